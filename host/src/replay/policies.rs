//! The policies a replay can compare, by name, each with the sweep of its knob.

use aquatope_core::forecast::Forecast;
use aquatope_core::pool::{self, Prices, Rule};
use serde::Serialize;

use super::drive::drive;
use super::errors::Errors;
use crate::baselines::Classical;
use crate::baselines::autoscale::Autoscale;
use crate::baselines::faascache::FaasCache;
use crate::baselines::hybrid_histogram::HybridHistogram;
use crate::baselines::lstm;
use crate::baselines::openwhisk::{OpenWhisk, Reactive};
use crate::error::Result;
use crate::forecast::Forecaster;
use crate::forecast::models::Models;
use crate::progress::Progress;
use crate::sim::{KeepAlive, Policy, Targets};
use crate::trace::{Split, Trace};

/// A policy that can run on another thread.
pub type BoxedPolicy<'a> = Box<dyn Policy + Send + 'a>;

/// A policy to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// Clairvoyant: each minute's peak, launched the cold-start time too late like everybody's.
    Oracle,
    /// Idle containers are kept for a fixed time.
    KeepAlive,
    /// As many containers as the busiest of the last minutes needed.
    Autoscale,
    /// OpenWhisk's keep-alive and reactive stem cells.
    Openwhisk,
    /// Greedy-dual caching in a fixed memory (FaasCache).
    Faascache,
    /// Hybrid histogram (Serverless in the Wild).
    Histogram,
    /// The last minute's peak again.
    LastValue,
    /// The strongest harmonics of the last two hours (IceBreaker's forecast).
    Icebreaker,
    /// The same, planned a cold start before the minute as Aquatope plans: what of its lead that is.
    IcebreakerAhead,
    /// Holt-Winters with a daily season.
    HoltWinters,
    /// A linear model of the last 48 minutes (NLinear).
    Nlinear,
    /// ARIMA of the order with the best AIC.
    Arima,
    /// A vanilla LSTM.
    Lstm,
    /// The hybrid Bayesian network without its uncertainty: one pass, and the median is all it says.
    Aqualite,
    /// The hybrid Bayesian network.
    Hybrid,
    /// The light quantile network.
    Light,
    /// Per function whichever of light, hybrid, Holt-Winters and NLinear validated best, or a pair of them.
    Aquatope,
}

impl PolicyName {
    /// All policies, in table order.
    pub const ALL: [Self; 17] = [
        Self::Oracle,
        Self::KeepAlive,
        Self::Autoscale,
        Self::Openwhisk,
        Self::Faascache,
        Self::Histogram,
        Self::LastValue,
        Self::Icebreaker,
        Self::IcebreakerAhead,
        Self::HoltWinters,
        Self::Nlinear,
        Self::Arima,
        Self::Lstm,
        Self::Aqualite,
        Self::Hybrid,
        Self::Light,
        Self::Aquatope,
    ];

    /// Whether it is nothing without the hybrid model.
    pub fn is_hybrid(self) -> bool {
        matches!(self, Self::Aqualite | Self::Hybrid)
    }

    /// Whether it is nothing without the light model.
    pub fn is_light(self) -> bool {
        matches!(self, Self::Light | Self::Aquatope)
    }

    /// Whether it plans a minute a cold start before it begins, not when it does.
    pub fn plans_ahead(self) -> bool {
        matches!(self, Self::IcebreakerAhead | Self::Aqualite | Self::Hybrid | Self::Light | Self::Aquatope)
    }

    /// The name in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Oracle => "oracle",
            Self::KeepAlive => "keep-alive",
            Self::Autoscale => "autoscale",
            Self::Openwhisk => "OpenWhisk",
            Self::Faascache => "FaasCache",
            Self::Histogram => "histogram",
            Self::LastValue => "last value",
            Self::Icebreaker => "IceBreaker",
            Self::IcebreakerAhead => "IceBreaker, ahead",
            Self::HoltWinters => "Holt-Winters",
            Self::Nlinear => "NLinear",
            Self::Arima => "ARIMA",
            Self::Lstm => "LSTM",
            Self::Aqualite => "AquaLite",
            Self::Hybrid => "hybrid",
            Self::Light => "light",
            Self::Aquatope => "aquatope",
        }
    }

    /// The name in a sentence.
    pub fn described(self) -> &'static str {
        match self {
            Self::KeepAlive => "the best fixed keep-alive",
            Self::Icebreaker => "IceBreaker's forecast",
            Self::IcebreakerAhead => "IceBreaker's forecast, planned as early",
            other => other.label(),
        }
    }
}

/// What a policy may know when it is built.
pub struct Context<'a> {
    /// The trace up to the end of validation.
    pub past: &'a Trace,
    /// What only a clairvoyant knows: the peaks of the whole trace, `[function][minute]`.
    pub peaks: &'a [Vec<u32>],
    /// Its division.
    pub split: Split,
    /// The trained models.
    pub models: &'a Models<'a>,
    /// Seed of everything random.
    pub seed: u64,
    /// Mean memory of the oracle over the test, MB: the unit of cache sizes.
    pub oracle_memory_mb: f64,
    /// Where training reports to.
    pub progress: &'a Progress,
}

/// A policy ready to run.
pub enum Contender<'a> {
    /// Reacts to events; one simulation per setting.
    Reactive {
        /// Settings and the policies that have them.
        settings: Vec<(String, BoxedPolicy<'a>)>,
        /// Index of the default.
        chosen: usize,
    },
    /// Forecasts, and plans by a quantile; one simulation per [`Plan`].
    Forecaster(Box<dyn Forecaster + 'a>),
}

impl<'a> Contender<'a> {
    /// One policy for each of `knobs`, `chosen` being the index of the default.
    fn reactive<K, P: Policy + Send + 'a, const N: usize>(
        knobs: [K; N],
        chosen: usize,
        policy: impl Fn(K) -> (String, P),
    ) -> Self {
        let boxed = |knob| -> (String, BoxedPolicy<'a>) {
            let (setting, policy) = policy(knob);
            (setting, Box::new(policy))
        };
        Self::Reactive { settings: knobs.into_iter().map(boxed).collect(), chosen }
    }
}

/// Build, and where there is something to train train, the policy `name`.
///
/// # Errors
/// Whatever a trainer refuses.
pub fn build<'a>(name: PolicyName, context: &Context<'a>) -> Result<Contender<'a>> {
    let classical = |model: Classical| -> Contender<'a> {
        Contender::Forecaster(Box::new(model.forecaster(context.past, context.split)))
    };
    let valid_end = context.split.valid_end;
    Ok(match name {
        PolicyName::Oracle => {
            Contender::reactive([()], 0, |()| ("peak".into(), Targets::new(0, context.peaks)))
        }
        // Ten minutes: OpenWhisk's default, and the usual comparison.
        PolicyName::KeepAlive => {
            let minutes = [0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0];
            Contender::reactive(minutes, 6, |m| (format!("{m} min"), KeepAlive::new(m * 60.0)))
        }
        PolicyName::Autoscale => {
            let minutes = [1, 2, 3, 5, 10, 20, 30, 60];
            Contender::reactive(minutes, 3, |m| (format!("{m} min"), Autoscale::new(m)))
        }
        PolicyName::Openwhisk => {
            let minutes = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0];
            Contender::reactive(minutes, 3, |m| {
                (format!("{m} min"), OpenWhisk::new(m * 60.0, 1, Reactive::default()))
            })
        }
        PolicyName::Faascache => {
            let sizes = [0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0];
            Contender::reactive(sizes, 4, |size| {
                (format!("{size} x oracle"), FaasCache::new(size * context.oracle_memory_mb))
            })
        }
        PolicyName::Histogram => {
            Contender::reactive([()], 0, |()| ("4 h".into(), HybridHistogram::default()))
        }
        PolicyName::LastValue => classical(Classical::MovingMax { minutes: 1 }),
        PolicyName::Icebreaker | PolicyName::IcebreakerAhead => classical(icebreaker(context)),
        PolicyName::HoltWinters => classical(Classical::HoltWinters),
        PolicyName::Nlinear => classical(Classical::Linear),
        PolicyName::Arima => classical(Classical::Arima),
        PolicyName::Lstm => {
            Contender::Forecaster(Box::new(lstm::forecaster(context.past, context.split, context.seed)))
        }
        PolicyName::Aqualite => Contender::Forecaster(Box::new(context.models.aqualite(valid_end)?)),
        PolicyName::Hybrid => Contender::Forecaster(Box::new(context.models.hybrid(valid_end)?)),
        PolicyName::Light => Contender::Forecaster(Box::new(context.models.light(valid_end)?)),
        PolicyName::Aquatope => Contender::Forecaster(Box::new(context.models.selection()?)),
    })
}

/// IceBreaker's forecast with the window that does best on the validation part, in its favour: the source fixes none.
fn icebreaker(context: &Context<'_>) -> Classical {
    let Split { train_end, valid_end, .. } = context.split;
    let windows = [(120, 10), (360, 10), (1440, 40)];
    let candidates = windows
        .into_iter()
        .filter(|&(window, _)| window == 120 || 2 * window <= train_end)
        .map(|(window, harmonics)| Classical::Harmonics { window, harmonics });
    // Calibrated on as much as is forecast: the last of the training, then the validation as a test.
    let calibrated_from = train_end.saturating_sub(valid_end - train_end);
    let error = |model: Classical| -> f64 {
        let inner = Split { train_end: calibrated_from, valid_end: train_end, end: valid_end };
        let mut forecaster = model.forecaster(context.past, inner);
        let bar = context.progress.minutes("IceBreaker: choosing a window", valid_end - train_end);
        let forecasts = drive(&mut forecaster, context.past, None, train_end..valid_end, bar);
        Errors::mean(&forecasts.errors(context.past, inner)).crps_scaled
    };
    let measured = candidates.map(|model| (error(model), model));
    let best = measured.min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(Classical::Harmonics { window: 120, harmonics: 10 }, |(_, model)| model)
}

/// How forecasts become containers: one setting of a forecasting policy's sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The name of the setting.
    pub label: String,
    /// The sweep it belongs to: 0, or 1 where the first container is dearer.
    pub sweep: usize,
    rule: Rule,
}

impl Plan {
    /// The containers for `forecast` of a function of `memory_mb` a container, at most `most`.
    pub fn containers(&self, forecast: &Forecast, memory_mb: f64, most: u32) -> u32 {
        pool::containers(forecast, &self.rule, memory_mb as f32, most)
    }
}

/// Critical ratios the sweep covers, for a container of mean memory: close enough that reading between two of them is
/// safe, and low enough for functions whose forecasts are sure.
const LEVELS: [f32; 20] = [
    0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.975, 0.985, 0.99, 0.995, 0.998,
    0.999, 0.9995, 0.9999,
];
/// The first container of a function is also tried at this many times the price of the others: rare functions then
/// start warm more often, which the mean over functions shows.
const FIRST_TIMES: f32 = 10.0;

/// The sweep of every forecasting policy; the last one is the default, for the price of a cold start `cold_cost`
/// (see [`super::Options::cold_cost`]). `memory_mb` is the mean over functions.
pub fn plans(cold_cost: f64, memory_mb: f64) -> Vec<Plan> {
    let newsvendor = |label: String, ratio: f32, first_times: f32| {
        let prices = Prices { first_cold_start: ratio * first_times, ..Prices::ratio(ratio) };
        Plan { label, sweep: usize::from(first_times > 1.0), rule: Rule::Newsvendor(prices) }
    };
    let at_level = |level: f32| level / (1.0 - level) * memory_mb as f32 / 1024.0;
    let mut plans = vec![Plan { label: "mean".into(), sweep: 0, rule: Rule::MeanPlusDeviations { k: 0.0 } }];
    plans.extend(LEVELS.map(|level| newsvendor(format!("q{level}"), at_level(level), 1.0)));
    let first_dearer = LEVELS
        .into_iter()
        .filter(|&level| level <= 0.99)
        .map(|level| newsvendor(format!("q{level}, first x {FIRST_TIMES}"), at_level(level), FIRST_TIMES));
    plans.extend(first_dearer);
    plans.push(newsvendor(format!("cost {cold_cost}"), cold_cost as f32, 1.0));
    plans
}

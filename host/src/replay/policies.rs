//! The policies a replay can compare, by name, each with the sweep of its knob.

use std::ops::ControlFlow;

use aquatope_core::forecast::{Forecast, LEVELS, MEDIAN};
use serde::Serialize;

use super::progress::Progress;
use crate::baselines::Classical;
use crate::error::{Error, Result};
use crate::forecast::Forecaster;
use crate::forecast::light::LightForecaster;
use crate::sim::{KeepAlive, Policy, Targets};
use crate::trace::{Split, Trace};
use crate::train;
use crate::train::light::Series;

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
    /// The last minute's peak again.
    LastValue,
    /// The strongest harmonics of the last two hours (IceBreaker's forecast).
    Icebreaker,
    /// Holt-Winters with a daily season.
    HoltWinters,
    /// A linear model of the last 48 minutes (NLinear).
    Nlinear,
    /// ARIMA of the order with the best AIC.
    Arima,
    /// The light quantile network.
    Light,
}

impl PolicyName {
    /// All policies, in table order.
    pub const ALL: [Self; 8] = [
        Self::Oracle,
        Self::KeepAlive,
        Self::LastValue,
        Self::Icebreaker,
        Self::HoltWinters,
        Self::Nlinear,
        Self::Arima,
        Self::Light,
    ];

    /// The name in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Oracle => "oracle",
            Self::KeepAlive => "keep-alive",
            Self::LastValue => "last value",
            Self::Icebreaker => "IceBreaker",
            Self::HoltWinters => "Holt-Winters",
            Self::Nlinear => "NLinear",
            Self::Arima => "ARIMA",
            Self::Light => "light",
        }
    }

    /// The name in a sentence.
    pub fn described(self) -> &'static str {
        match self {
            Self::KeepAlive => "the best fixed keep-alive",
            Self::Icebreaker => "IceBreaker's forecast",
            other => other.label(),
        }
    }
}

/// What a policy may know when it is built: the trace up to the end of validation.
pub struct Context<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// Its division.
    pub split: Split,
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

/// Build, and where there is something to train train, the policy `name`.
///
/// # Errors
/// Whatever a trainer refuses.
pub fn build<'a>(name: PolicyName, context: &Context<'a>) -> Result<Contender<'a>> {
    let classical = |model: Classical| -> Contender<'a> {
        Contender::Forecaster(Box::new(model.forecaster(context.trace, context.split)))
    };
    Ok(match name {
        PolicyName::Oracle => Contender::Reactive {
            settings: vec![("peak".into(), Box::new(Targets::new("oracle", 0, &context.trace.peaks)))],
            chosen: 0,
        },
        PolicyName::KeepAlive => {
            let minutes = [0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0];
            let setting = |minutes: f64| -> (String, BoxedPolicy<'a>) {
                (format!("{minutes} min"), Box::new(KeepAlive::new(minutes * 60.0)))
            };
            // Ten minutes: OpenWhisk's default.
            Contender::Reactive { settings: minutes.map(setting).into(), chosen: 6 }
        }
        PolicyName::LastValue => classical(Classical::MovingMax { minutes: 1 }),
        PolicyName::Icebreaker => classical(Classical::Harmonics { window: 120, harmonics: 10 }),
        PolicyName::HoltWinters => classical(Classical::HoltWinters),
        PolicyName::Nlinear => classical(Classical::Linear),
        PolicyName::Arima => classical(Classical::Arima),
        PolicyName::Light => Contender::Forecaster(Box::new(light(context)?)),
    })
}

fn light(context: &Context<'_>) -> Result<LightForecaster> {
    let series = Series::of(context.trace);
    let options = train::light::Options { seed: context.seed, ..train::light::Options::default() };
    let bar = context.progress.bar(0, "light: training".into(), "rounds");
    let outcome = train::light::train(&series, context.split.train_end, &options, None, |progress| {
        bar.set_length(progress.rounds as u64);
        bar.set_position(progress.round as u64);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    let diverged = |why| Error::Failed(format!("training diverged: {why}"));
    let train::light::Outcome::Finished(model) = outcome.map_err(diverged)? else {
        return Err(Error::Failed("training was stopped".into()));
    };
    let parents = series.iter().map(|series| series.parent).collect();
    let mut forecaster = LightForecaster::new(model, parents).map_err(diverged)?;
    forecaster.replay(&series, context.split.valid_end);
    Ok(forecaster)
}

/// How many containers a forecast asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plan {
    /// The mean, rounded.
    Mean,
    /// The quantile at this level, rounded.
    Quantile(f32),
    /// The highest quantile and this many times its distance to the median on top, rounded.
    Beyond(f32),
}

impl Plan {
    /// The containers for `forecast`.
    pub fn containers(&self, forecast: &Forecast) -> u32 {
        let highest = forecast.quantiles[LEVELS.len() - 1];
        let wanted = match *self {
            Self::Mean => forecast.mean,
            Self::Quantile(level) => forecast.quantile(level),
            Self::Beyond(times) => highest + times * (highest - forecast.quantiles[MEDIAN]),
        };
        (wanted.max(0.0) + 0.5) as u32
    }

    /// The name of the setting.
    pub fn label(&self) -> String {
        match self {
            Self::Mean => "mean".into(),
            Self::Quantile(level) => format!("q{level}"),
            Self::Beyond(times) => format!("q{} + {times} spreads", LEVELS[LEVELS.len() - 1]),
        }
    }
}

/// The sweep of every forecasting policy; the last one is the default, for the price of a cold start `cold_cost`.
pub fn plans(cold_cost: f64) -> Vec<Plan> {
    let mut plans = vec![Plan::Mean];
    plans.extend(LEVELS[MEDIAN..].iter().map(|&level| Plan::Quantile(level)));
    plans.extend([Plan::Beyond(1.0), Plan::Beyond(4.0)]);
    plans.push(Plan::Quantile((cold_cost / (cold_cost + 1.0)) as f32));
    plans
}

//! Replays a trace: train on its first part, then forecast, plan and simulate the rest minute by minute, and compare
//! policies.
//!
//! Every policy is a sweep of one knob (keep-alive time, cache size, quantile of the forecast). Of each sweep one
//! point is the policy's default, and the whole of it tells how much memory a level of cold starts costs.
//!
//! Aquatope's own forecasters plan a minute before it begins, a cold start ahead, from the runs that the running minute has
//! seen begin by then; their errors are those of these forecasts. Other forecasts are planned when a minute begins
//! ([`PolicyName::plans_ahead`]).

mod drive;
pub mod errors;
pub mod frontier;
pub mod policies;
pub mod report;
mod sweep;

use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::Instant;

use aquatope_core::forecast::Forecast;
use serde::Serialize;

use crate::error::{Error, Result, note};
use crate::forecast::Observation;
use crate::forecast::models::Models;
use crate::progress::Progress;
use crate::sim::{Outcome, Simulation, Targets};
use crate::trace::{Split, Trace};
use crate::train::light::Trained;
use drive::{Forecasts, drive};
use errors::Errors;
use policies::{Contender, Plan, PolicyName};

/// What to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// The policies, in table order; none: all that the trace is long enough for.
    pub policies: Vec<PolicyName>,
    /// Price of a cold start in units of 1 GB (1,024 MB) kept idle for one minute.
    pub cold_cost: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// Folder of trained models; without one they are trained.
    pub models: Option<PathBuf>,
    /// At most so many functions are kept in detail for the report.
    pub featured: usize,
}

/// Everything a replay found.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// What was replayed.
    pub trace: TraceSummary,
    /// GB s of keeping exactly the peak of every minute: the unit of [`Point::memory_x_oracle`].
    pub oracle_memory_gb_s: f64,
    /// One entry per policy.
    pub policies: Vec<PolicyResult>,
    /// Indices of the functions kept in detail.
    #[serde(skip)]
    pub featured: Vec<usize>,
    /// The light model, if a policy used it.
    #[serde(skip)]
    pub light: Option<Trained>,
}

/// The trace and its division, in minutes.
#[derive(Clone, Debug, Serialize)]
pub struct TraceSummary {
    /// Number of functions.
    pub functions: usize,
    /// Invocations in the test part.
    pub invocations: u64,
    /// First minute after training.
    pub train_end: usize,
    /// First minute of the test.
    pub valid_end: usize,
    /// First minute after the test.
    pub end: usize,
}

/// One policy's sweep.
#[derive(Clone, Debug, Serialize)]
pub struct PolicyResult {
    /// The policy.
    pub name: PolicyName,
    /// The sweep.
    pub points: Vec<Point>,
    /// Index of the default point.
    pub chosen: usize,
    /// Memory in units of the oracle's at stated levels of cold starts, read off the sweep.
    pub memory_at: MemoryAt,
    /// Of forecasting policies, the mean over functions.
    pub errors: Option<Errors>,
    /// Of forecasting policies, per function.
    pub function_errors: Vec<Errors>,
    /// Seconds of training; 0 when there is none.
    pub train_s: f64,
    /// Median milliseconds to forecast one minute of all functions.
    pub forecast_ms: f64,
    /// Forecasts of the featured functions over the test minutes.
    #[serde(skip)]
    pub featured_forecasts: Vec<Vec<Forecast>>,
    /// Containers alive at the start of every test minute under the default point, for the featured functions.
    #[serde(skip)]
    pub featured_provisioned: Vec<Vec<u32>>,
}

/// One setting of a policy.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The setting.
    pub setting: String,
    /// Which of the policy's sweeps the setting belongs to.
    pub sweep: usize,
    /// Cold starts in percent of all invocations.
    pub cold_percent: f64,
    /// Cold starts in percent, mean over functions.
    pub cold_percent_function_mean: f64,
    /// GB s of containers alive.
    pub memory_gb_s: f64,
    /// The same in units of the oracle's.
    pub memory_x_oracle: f64,
    /// Containers created.
    pub launches: u64,
}

/// Memory (x oracle) at levels of cold starts; `None` when the sweep does not reach the level.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MemoryAt {
    /// At most 4 % of all invocations cold.
    pub cold_4: Option<f64>,
    /// At most 2 %.
    pub cold_2: Option<f64>,
    /// At most 1 %.
    pub cold_1: Option<f64>,
    /// At most 10 % as the mean over functions.
    pub function_mean_10: Option<f64>,
    /// At most 4 % as the mean over functions.
    pub function_mean_4: Option<f64>,
}

/// No plan asks for more than this many times the largest peak before the test.
const HEADROOM: u32 = 4;

/// Compare `options.policies` on `trace`.
///
/// # Errors
/// A trace that nothing was invoked in during the test, and whatever a trainer refuses.
pub fn run(trace: &Trace, split: Split, options: &Options, progress: &Progress) -> Result<Comparison> {
    let simulation = Simulation::new(trace, split.valid_end..split.end);
    let oracle = simulation.run(&mut Targets::new(0, &trace.peaks).ready_at_once());
    if oracle.invocations() == 0 {
        return Err(Error::input(
            format!("test part, minutes {} to {}", split.valid_end, split.end - 1),
            "no function is invoked in it",
            "choose another --split",
        ));
    }
    let past = trace.before(split.valid_end);
    let replay = Replay {
        trace,
        past: &past,
        split,
        options,
        progress,
        simulation,
        so_far: OnceCell::new(),
        models: Models::new(&past, split, options.seed, options.models.clone(), progress.clone()),
        oracle_memory_gb_s: oracle.memory_gb_s(),
        featured: featured(&oracle, options.featured),
    };
    let names = replay.names();
    let hybrid = |name: &PolicyName| {
        name.is_hybrid() || *name == PolicyName::Aquatope && replay.models.hybrid_at_hand()
    };
    replay.models.check(names.iter().any(|name| name.is_light()), names.iter().any(hybrid))?;
    let policies = names.into_iter().map(|name| replay.policy(name)).collect::<Result<_>>()?;
    Ok(Comparison {
        trace: TraceSummary {
            functions: trace.functions.len(),
            invocations: oracle.invocations(),
            train_end: split.train_end,
            valid_end: split.valid_end,
            end: split.end,
        },
        oracle_memory_gb_s: replay.oracle_memory_gb_s,
        policies,
        featured: replay.featured,
        light: replay.models.into_light(),
    })
}

struct Replay<'a> {
    trace: &'a Trace,
    /// What the policies may know beforehand.
    past: &'a Trace,
    split: Split,
    options: &'a Options,
    progress: &'a Progress,
    simulation: Simulation<'a>,
    /// Of every test minute but the last, what is known a cold start before its end; once somebody plans ahead.
    so_far: OnceCell<Vec<Vec<Observation>>>,
    models: Models<'a>,
    oracle_memory_gb_s: f64,
    featured: Vec<usize>,
}

impl Replay<'_> {
    /// The policies asked for, or all that can run; says which cannot.
    fn names(&self) -> Vec<PolicyName> {
        let why = self.models.without_hybrid();
        let all = self.options.policies.is_empty();
        if let Some(why) = &why {
            if all {
                note(format_args!(
                    "{why}: left out are hybrid and AquaLite, and aquatope chooses without it"
                ));
            } else if self.options.policies.contains(&PolicyName::Aquatope) {
                note(format_args!("{why}: aquatope chooses without the hybrid model"));
            }
        }
        if all {
            PolicyName::ALL.into_iter().filter(|name| why.is_none() || !name.is_hybrid()).collect()
        } else {
            self.options.policies.clone()
        }
    }

    fn policy(&self, name: PolicyName) -> Result<PolicyResult> {
        let started = Instant::now();
        let context = policies::Context {
            past: self.past,
            peaks: &self.trace.peaks,
            split: self.split,
            models: &self.models,
            seed: self.options.seed,
            oracle_memory_mb: self.oracle_memory_gb_s * 1024.0
                / ((self.split.end - self.split.valid_end) as f64 * 60.0),
            progress: self.progress,
        };
        let contender = policies::build(name, &context)?;
        let train_s = started.elapsed().as_secs_f64();
        let simulating = || self.progress.simulating(name.label());
        match contender {
            Contender::Reactive { settings, chosen } => {
                let (settings, policies): (Vec<_>, _) =
                    settings.into_iter().map(|(setting, policy)| ((setting, 0), policy)).unzip();
                let outcomes = sweep::run(&self.simulation, policies, chosen, simulating());
                Ok(self.result(name, settings, chosen, &outcomes, None))
            }
            Contender::Forecaster(mut forecaster) => {
                let minutes = self.split.valid_end..self.split.end;
                let ahead = name.plans_ahead();
                let so_far = ahead.then(|| self.so_far());
                let bar = self.progress.minutes(name.label(), minutes.len());
                let forecasts = drive(forecaster.as_mut(), self.trace, so_far, minutes, bar);
                let plans = policies::plans(self.options.cold_cost, self.mean_memory_mb());
                let chosen = plans.len() - 1;
                let targets: Vec<_> = plans.iter().map(|plan| self.targets(plan, &forecasts)).collect();
                let policies = targets.iter().map(|targets| -> policies::BoxedPolicy<'_> {
                    let targets = Targets::new(self.split.valid_end, targets);
                    Box::new(if ahead { targets.ahead() } else { targets })
                });
                let outcomes = sweep::run(&self.simulation, policies.collect(), chosen, simulating());
                let settings = plans.into_iter().map(|plan| (plan.label, plan.sweep)).collect();
                let result = self.result(name, settings, chosen, &outcomes, Some(&forecasts));
                Ok(PolicyResult { train_s, forecast_ms: forecasts.ms, ..result })
            }
        }
    }

    fn so_far(&self) -> &[Vec<Observation>] {
        self.so_far.get_or_init(|| self.trace.so_far(self.split.valid_end..self.split.end - 1))
    }

    /// Containers for every function and minute of the test, never more than [`HEADROOM`] times what a function
    /// needed before the test.
    fn targets(&self, plan: &Plan, forecasts: &Forecasts) -> Vec<Vec<u32>> {
        let functions = forecasts.rows.iter().zip(&self.trace.functions).zip(&self.trace.peaks);
        functions
            .map(|((row, function), peaks)| {
                let largest = peaks[..self.split.valid_end].iter().max().copied().unwrap_or(0);
                let most = HEADROOM.saturating_mul(largest.max(2));
                row.iter().map(|forecast| plan.containers(forecast, function.memory_mb, most)).collect()
            })
            .collect()
    }

    fn mean_memory_mb(&self) -> f64 {
        let sum: f64 = self.trace.functions.iter().map(|function| function.memory_mb).sum();
        sum / self.trace.functions.len() as f64
    }

    fn result(
        &self,
        name: PolicyName,
        settings: Vec<(String, usize)>,
        chosen: usize,
        outcomes: &[Outcome],
        forecasts: Option<&Forecasts>,
    ) -> PolicyResult {
        let points: Vec<Point> = settings
            .into_iter()
            .zip(outcomes)
            .map(|((setting, sweep), outcome)| self.point(setting, sweep, outcome))
            .collect();
        let function_errors =
            forecasts.map_or(Vec::new(), |forecasts| forecasts.errors(self.trace, self.split));
        PolicyResult {
            name,
            chosen,
            memory_at: MemoryAt::of(&points),
            points,
            errors: forecasts.map(|_| Errors::mean(&function_errors)),
            function_errors,
            train_s: 0.0,
            forecast_ms: 0.0,
            featured_forecasts: forecasts.map_or(Vec::new(), |forecasts| self.of_featured(&forecasts.rows)),
            featured_provisioned: self.of_featured(&outcomes[chosen].provisioned),
        }
    }

    fn point(&self, setting: String, sweep: usize, outcome: &Outcome) -> Point {
        Point {
            setting,
            sweep,
            cold_percent: outcome.cold_percent(),
            cold_percent_function_mean: outcome.cold_percent_function_mean(),
            memory_gb_s: outcome.memory_gb_s(),
            memory_x_oracle: outcome.memory_gb_s() / self.oracle_memory_gb_s,
            launches: outcome.launches(),
        }
    }

    fn of_featured<T: Clone>(&self, rows: &[T]) -> Vec<T> {
        self.featured.iter().map(|&function| rows[function].clone()).collect()
    }
}

impl MemoryAt {
    fn of(points: &[Point]) -> Self {
        // The better of the sweeps: points of different sweeps are no neighbours to interpolate between.
        let sweeps = points.iter().map(|point| point.sweep).max().map_or(0, |last| last + 1);
        let read = |level: f64, cold: fn(&Point) -> f64| {
            let of_sweep = |sweep: usize| {
                let points = points.iter().filter(|point| point.sweep == sweep);
                let points: Vec<_> = points.map(|point| (point.memory_x_oracle, cold(point))).collect();
                frontier::memory_at(&points, level)
            };
            (0..sweeps).filter_map(of_sweep).min_by(f64::total_cmp)
        };
        Self {
            cold_4: read(4.0, |p| p.cold_percent),
            cold_2: read(2.0, |p| p.cold_percent),
            cold_1: read(1.0, |p| p.cold_percent),
            function_mean_10: read(10.0, |p| p.cold_percent_function_mean),
            function_mean_4: read(4.0, |p| p.cold_percent_function_mean),
        }
    }
}

/// The functions to show: spread over the range of memory use, from the largest down.
fn featured(oracle: &Outcome, number: usize) -> Vec<usize> {
    let mut order: Vec<usize> =
        (0..oracle.functions.len()).filter(|&f| oracle.functions[f].invocations > 0).collect();
    order.sort_by(|&a, &b| {
        oracle.functions[b].alive_s.total_cmp(&oracle.functions[a].alive_s).then(a.cmp(&b))
    });
    let number = number.min(order.len());
    (0..number).map(|i| order[i * order.len() / number]).collect()
}

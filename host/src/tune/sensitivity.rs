//! What each axis does around the recommendation: cost and latency while one resource of one function changes and
//! everything else stays.
//!
//! Read off Gaussian processes of the trials: one a function on its ln duration over ln CPU, ln memory and ln concurrency,
//! composed
//! through the graph; where durations are missing, one each of ln cost and ln latency over all axes.

use aquatope_core::bo::space::Axis;
use aquatope_core::gp::{FitOptions, Gp, GpScratch, Noise, Prior};
use aquatope_core::workflow::Configuration;

use super::problem::{MAX_AXES, MAX_TRIALS};
use super::run::Finished;
use super::space::Point;
use super::trial::Outcome;
use super::workflow::{Decision, Workflow};

/// Cost and latency along one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The axis.
    pub decision: Decision,
    /// The recommended value of the resource.
    pub recommended: f64,
    /// `(value of the resource, cost, latency in seconds)` at every level.
    pub points: Vec<(f64, f64, f64)>,
}

/// One curve an axis, function by function; empty when there are too few trials to say anything.
pub fn curves(workflow: &Workflow, run: &Finished) -> Vec<Curve> {
    let counted = |(trial, anomalous): (&super::trial::Trial, &bool)| {
        (!anomalous).then(|| Some((trial.point.clone(), trial.outcome()?.clone()))).flatten()
    };
    let samples: Vec<(Point, Outcome)> = run.trials.iter().zip(&run.anomalous).filter_map(counted).collect();
    let Some(surrogate) = Surrogate::fit(workflow, &samples) else { return Vec::new() };
    let recommended = &run.recommendation.point;
    let curve = |(index, decision): (usize, Decision)| {
        let at = |level: u16| {
            let mut point = recommended.clone();
            point.0[index] = level;
            let (cost, latency) = surrogate.predict(workflow, &point)?;
            Some((decision.axis.value(level), cost, latency))
        };
        Curve {
            decision,
            recommended: decision.axis.value(recommended.0[index]),
            points: (0..decision.axis.levels()).filter_map(at).collect(),
        }
    };
    let mut curves: Vec<Curve> = workflow.decisions().into_iter().enumerate().map(curve).collect();
    curves.sort_by_key(|curve| curve.decision.function);
    curves
}

type FunctionProcess = Gp<MAX_TRIALS, 3>;
type WorkflowProcess = Gp<MAX_TRIALS, MAX_AXES>;

enum Surrogate {
    PerFunction(Vec<FunctionProcess>),
    EndToEnd { cost: Box<WorkflowProcess>, latency: Box<WorkflowProcess> },
}

/// The fewest samples worth a curve.
const NEEDED: usize = 5;

impl Surrogate {
    fn fit(workflow: &Workflow, samples: &[(Point, Outcome)]) -> Option<Self> {
        if samples.len() < NEEDED {
            return None;
        }
        let functions = workflow.functions.len();
        if samples.iter().all(|(_, outcome)| outcome.durations.len() == functions) {
            let mut scratch = Box::new(GpScratch::new());
            let process = |i: usize| {
                let data = samples
                    .iter()
                    .map(|(point, outcome)| (coordinates(workflow, point, i).to_vec(), outcome.durations[i]));
                fit(3, data, &mut scratch)
            };
            (0..functions)
                .map(process)
                .map(|fitted| fitted.map(|process| *process))
                .collect::<Option<_>>()
                .map(Self::PerFunction)
        } else {
            let mut scratch = Box::new(GpScratch::new());
            let mut process = |value: fn(&Outcome) -> f64| {
                let data =
                    samples.iter().map(|(point, outcome)| (all_coordinates(workflow, point), value(outcome)));
                fit(workflow.levels().len(), data, &mut scratch)
            };
            let cost = process(|outcome| outcome.cost)?;
            Some(Self::EndToEnd { cost, latency: process(|outcome| outcome.latency_s)? })
        }
    }

    /// Cost and latency of a configuration.
    fn predict(&self, workflow: &Workflow, point: &Point) -> Option<(f64, f64)> {
        match self {
            Self::PerFunction(processes) => {
                let duration = |(i, process): (usize, &FunctionProcess)| {
                    Some(process.posterior(&coordinates(workflow, point, i)).ok()?.mean.exp())
                };
                let durations: Vec<f64> =
                    processes.iter().enumerate().map(duration).collect::<Option<_>>()?;
                Some(workflow.compose(point, &durations))
            }
            Self::EndToEnd { cost, latency } => {
                let x = all_coordinates(workflow, point);
                Some((cost.posterior(&x).ok()?.mean.exp(), latency.posterior(&x).ok()?.mean.exp()))
            }
        }
    }
}

fn fit<const D: usize>(
    dimensions: usize,
    data: impl Iterator<Item = (Vec<f64>, f64)>,
    scratch: &mut GpScratch<MAX_TRIALS, D>,
) -> Option<Box<Gp<MAX_TRIALS, D>>> {
    let mut process = Box::new(Gp::new());
    process.reset(dimensions).ok()?;
    for (x, value) in data {
        process.push(&x, value.ln(), 0.0).ok()?;
    }
    let options = FitOptions { prior: Prior::DimensionScaled, noise: Noise::Inferred, start: None };
    process.fit(&options, scratch).ok()?;
    Some(process)
}

/// Logarithms of CPU, memory and concurrency of function `i`, scaled to 0..1.
fn coordinates(workflow: &Workflow, point: &Point, i: usize) -> [f64; 3] {
    let Configuration { cpu, memory_mb, concurrency } = workflow.configuration(point, i);
    [
        scaled(&workflow.cpu, cpu),
        scaled(&workflow.memory_mb, memory_mb),
        scaled(&workflow.functions[i].concurrency, concurrency),
    ]
}

fn all_coordinates(workflow: &Workflow, point: &Point) -> Vec<f64> {
    let coordinate =
        |(decision, &level): (&Decision, &u16)| scaled(&decision.axis, decision.axis.value(level));
    workflow.decisions().iter().zip(&point.0).map(coordinate).collect()
}

fn scaled(axis: &Axis, value: f64) -> f64 {
    match (axis.max() / axis.min()).ln() {
        0.0 => 0.0,
        range => (value / axis.min()).ln() / range,
    }
}

//! What each axis does around the recommendation: cost and latency while one resource of one function changes and
//! everything else stays.
//!
//! Read off Gaussian processes of the trials: one a function on its ln duration over ln CPU and ln memory, composed
//! through the graph; where durations are missing, one each of ln cost and ln latency over all axes.

use aquatope_core::gp::{FitOptions, Gp, GpScratch, Noise, Prior};

use super::problem::{MAX_AXES, MAX_TRIALS};
use super::run::Finished;
use super::space::Point;
use super::trial::Outcome;
use super::workflow_file::Workflow;

/// Cost and latency along one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The function.
    pub function: usize,
    /// Whether the axis is its memory; its CPU otherwise.
    pub memory: bool,
    /// `(cores or MB, cost, latency in seconds)` at every level.
    pub points: Vec<(f64, f64, f64)>,
}

/// One curve an axis; empty when there are too few trials to say anything.
pub fn curves(workflow: &Workflow, run: &Finished) -> Vec<Curve> {
    let counted = |(trial, anomalous): (&super::trial::Trial, &bool)| {
        (!anomalous).then(|| Some((trial.point.clone(), trial.outcome()?.clone()))).flatten()
    };
    let samples: Vec<(Point, Outcome)> = run.trials.iter().zip(&run.anomalous).filter_map(counted).collect();
    let Some(surrogate) = Surrogate::fit(workflow, &samples) else { return Vec::new() };
    let axis = |axis: usize| {
        let (function, memory) = (axis / 2, axis % 2 == 1);
        let grid = if memory { workflow.memory_mb } else { workflow.cpu };
        let at = |level: u16| {
            let mut point = run.recommendation.point.clone();
            point.0[axis] = level;
            let (cost, latency) = surrogate.predict(workflow, &point)?;
            Some((grid.value(level), cost, latency))
        };
        Curve { function, memory, points: (0..grid.levels()).filter_map(at).collect() }
    };
    (0..2 * workflow.functions.len()).map(axis).collect()
}

type FunctionProcess = Gp<MAX_TRIALS, 2>;
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
                fit(2, data, &mut scratch)
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
                fit(2 * functions, data, &mut scratch)
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

/// Logarithms of CPU and memory of function `i`, scaled to 0..1.
fn coordinates(workflow: &Workflow, point: &Point, i: usize) -> [f64; 2] {
    let (cpu, memory) = workflow.resources(point, i);
    let scaled = |value: f64, axis: &aquatope_core::bo::space::Axis| match (axis.max() / axis.min()).ln() {
        0.0 => 0.0,
        range => (value / axis.min()).ln() / range,
    };
    [scaled(cpu, &workflow.cpu), scaled(memory, &workflow.memory_mb)]
}

fn all_coordinates(workflow: &Workflow, point: &Point) -> Vec<f64> {
    (0..workflow.functions.len()).flat_map(|i| coordinates(workflow, point, i)).collect()
}

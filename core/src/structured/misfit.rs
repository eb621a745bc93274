//! Does the structure hold? Three tests, on every step from all trials.

use super::joint::Joint;
use super::observations::Observations;
use super::{Resource, StructuredModel};
use crate::bo::model::Evidence;
use crate::bo::profile::median;
use crate::bo::space::Point;
use crate::math::float;
use heapless::Vec;

/// Relative difference between what was told end to end and what the durations compose to, above which the graph or
/// the prices must be wrong. Rounding of the platform's clocks stays far below.
const COMPOSITION_TOLERANCE: f64 = 0.05;
/// Median absolute leave-one-out residual, in standard deviations of what the model expects, above which a
/// function's duration must depend on more than its own resources. That of a normal is 0.67.
const RESIDUAL_LIMIT: f64 = 2.0;
/// The fewest trials a residual test is made with.
const RESIDUAL_TRIALS: usize = 16;

/// Whether the trials agree with the structure; if not, the black box is in charge.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// They do.
    Structured,
    /// Some outcome lacks the duration of a function.
    MissingDurations,
    /// The durations do not compose to the latency told: the median of told over composed.
    Latency {
        /// Median ratio.
        ratio: f64,
    },
    /// The durations and prices do not make the cost told: the median of told over composed.
    Cost {
        /// Median ratio.
        ratio: f64,
    },
    /// A function's durations vary by more than its resources and the noise explain: it may depend on another
    /// function's configuration, or compete with it.
    Unexplained {
        /// The stage.
        stage: usize,
        /// Median absolute residual in standard deviations.
        deviations: f64,
    },
}

impl<B, const F: usize, const N: usize, const L: usize> StructuredModel<B, F, N, L> {
    /// Durations present, and in agreement with the latency and cost told.
    pub(super) fn check_outcomes<const D: usize>(&self, evidence: &Evidence<'_, D, F>) -> Status {
        let stages = self.workflow.len();
        let (mut latencies, mut costs): (Vec<f64, N>, Vec<f64, N>) = (Vec::new(), Vec::new());
        for trial in evidence.trials {
            let Some(outcome) = trial.outcome() else { continue };
            let durations = outcome.durations();
            if durations.len() != stages {
                return Status::MissingDurations;
            }
            let latency = self.workflow.latency_by(|i| durations[i]);
            let rate = |i: usize| {
                let Some(resources) = self.resources.get(i) else { return 0.0 };
                let levels = resources.all().map(|resource| match resource {
                    Resource::Axis(axis) => point_level(&trial.point, axis),
                    Resource::Fixed(_) => 0,
                });
                self.prices.per_second(&self.configuration(evidence.space, i, levels))
            };
            let cost: f64 = durations.iter().enumerate().map(|(i, d)| rate(i) * d).sum();
            // Trials beyond the capacity are not looked at.
            let _ = latencies.push(outcome.latency() / latency);
            let _ = costs.push(outcome.cost() / cost);
        }
        let off = |ratio: f64| ratio.is_nan() || float::ln(ratio).abs() > COMPOSITION_TOLERANCE;
        match (latencies.is_empty(), median(&mut latencies), median(&mut costs)) {
            (false, ratio, _) if off(ratio) => Status::Latency { ratio },
            (false, _, ratio) if off(ratio) => Status::Cost { ratio },
            _ => Status::Structured,
        }
    }

    /// Every function's durations explained by its own resources, noise and the common factor.
    pub(super) fn check_residuals(&self, data: &Observations<F, N>, joint: &Joint<F, N>) -> Status {
        if data.trials.len() < RESIDUAL_TRIALS {
            return Status::Structured;
        }
        for stage in 0..data.functions {
            let trials = (0..data.len).filter(|&s| data.is_trial(s));
            let mut residuals: Vec<f64, N> = trials.map(|s| joint.leave_one_out(stage, s).abs()).collect();
            let deviations = median(&mut residuals);
            if deviations.is_nan() || deviations > RESIDUAL_LIMIT {
                return Status::Unexplained { stage, deviations };
            }
        }
        Status::Structured
    }
}

/// The level of one axis; 0 where the point has no such axis.
fn point_level<const D: usize>(point: &Point<D>, axis: u16) -> u16 {
    point.indices().get(usize::from(axis)).copied().unwrap_or(0)
}

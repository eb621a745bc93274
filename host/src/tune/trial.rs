//! One trial: a configuration that was asked for, and what became of it.

use serde::{Deserialize, Serialize};

use super::space::Point;

/// What one measured sample says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Cost of the sample.
    pub cost: f64,
    /// End-to-end latency, seconds.
    pub latency_s: f64,
    /// Variance of `cost` as a mean, when it is one.
    pub cost_variance: Option<f64>,
    /// Variance of `latency_s` as a mean, when it is one.
    pub latency_variance: Option<f64>,
    /// Seconds every function took; empty when unknown.
    pub durations: Vec<f64>,
}

/// Where a trial stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrialState {
    /// Asked, no outcome yet.
    Running,
    /// Measured.
    Complete(Outcome),
    /// Could not be measured, for this reason.
    Failed(String),
}

/// A trial; its index in the study is its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The configuration.
    pub point: Point,
    /// What became of it.
    pub state: TrialState,
}

impl Trial {
    /// The outcome of a complete trial.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            TrialState::Complete(outcome) => Some(outcome),
            TrialState::Running | TrialState::Failed(_) => None,
        }
    }
}

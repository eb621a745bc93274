//! One trial: a configuration that was asked for, and what became of it.

use serde::{Deserialize, Serialize};

pub use aquatope_workflow::outcome::Outcome;

use super::space::Point;

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

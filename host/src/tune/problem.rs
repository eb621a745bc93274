//! What is to be solved: the grid, the QoS, what is known beforehand, and how trials are asked.

pub use aquatope_workflow::models::{Effort, MAX_AXES, MAX_FUNCTIONS, MAX_PATHS, MAX_TRIALS};

use crate::error::{Error, Result};

use super::space::Point;
use super::trial::Outcome;
use super::workflow::Workflow;

/// A tuning problem as a sampler sees it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Grid levels of every axis, each at least 1.
    pub levels: Vec<u16>,
    /// Shape, prices and units, when known.
    pub workflow: Option<Workflow>,
    /// End-to-end latency the recommendation must not exceed, seconds.
    pub qos_s: f64,
    /// Probability of meeting the QoS that a recommendation must have.
    pub confidence: f64,
    /// The configuration in use today.
    pub start: Point,
    /// Repeated measurements of `start`, made before the search; they tell the noise level. May be empty.
    pub profile: Vec<Outcome>,
    /// Trials of the first ask, spread over the whole space.
    pub initial: usize,
    /// Trials of every later ask.
    pub batch: usize,
    /// Trials in all.
    pub trials: usize,
    /// Seed of every random choice.
    pub seed: u64,
    /// How hard the black box searches for the next batch.
    pub effort: Effort,
    /// Which trials the black box leaves out.
    pub anomalies: Anomalies,
}

/// Which trials the black box leaves out of its fits; their verdicts are reported in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Anomalies {
    /// Those above the 99 % interval that the others predict: interference slows, it never speeds up.
    #[default]
    Default,
    /// Those outside of the central 95 % interval: the paper's test.
    Paper,
    /// None; the verdicts are those of the default test.
    Off,
}

impl Anomalies {
    /// The name of the option.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Paper => "paper",
            Self::Off => "off",
        }
    }
}

/// The most trials of one ask after the first.
pub const MAX_BATCH: usize = 16;

impl Problem {
    /// Fails when the problem exceeds what a study holds; `at` names its origin in the error.
    pub fn check_capacity(&self, at: &str) -> Result<()> {
        let limits = [
            ("axes", self.levels.len(), MAX_AXES, "split the workflow"),
            (
                "functions",
                self.workflow.as_ref().map_or(0, |w| w.functions.len()),
                MAX_FUNCTIONS,
                "split the workflow",
            ),
            ("trials", self.trials, MAX_TRIALS, "ask for fewer"),
            ("trials in the first ask", self.initial, MAX_TRIALS, "ask for fewer at first"),
            ("trials in one batch", self.batch, MAX_BATCH, "ask for fewer at a time"),
        ];
        for (what, found, most, mend) in limits {
            if found > most {
                return Err(Error::input(at, format!("{found} {what}, a study holds {most}"), mend));
            }
        }
        Ok(())
    }
}

//! What one measured sample says.

use aquatope_core::bo::trial::{self, OutcomeError};
use serde::{Deserialize, Serialize};

use crate::models::MAX_FUNCTIONS;

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

impl Outcome {
    /// The outcome as the core checks and keeps it. Both variances are known, or none.
    ///
    /// # Errors
    /// [`OutcomeError`].
    pub fn checked(&self) -> Result<trial::Outcome<MAX_FUNCTIONS>, OutcomeError> {
        let checked = trial::Outcome::new(self.cost, self.latency_s)?.with_durations(&self.durations)?;
        match (self.cost_variance, self.latency_variance) {
            (None, None) => Ok(checked),
            // One that is missing is no number, and is refused as such.
            (cost, latency) => checked.with_variances(cost.unwrap_or(f64::NAN), latency.unwrap_or(f64::NAN)),
        }
    }
}

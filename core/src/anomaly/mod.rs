//! Which observations to distrust: single outliers, and changes of behaviour.

pub mod leave_one_out;
pub(crate) mod shift;

pub use leave_one_out::AnomalyTest;

/// What a model makes of one trial's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Verdict {
    /// No outcome to test, or too few others to test it against.
    #[default]
    Untested,
    /// In line with the other trials; `z` is the standardised residual that came closest to the limit.
    Consistent {
        /// Standard deviations from what the other trials predict.
        z: f64,
    },
    /// Out of line; left out of the fit at this step, unless the model is set to keep everything.
    Anomalous {
        /// Standard deviations from what the other trials predict.
        z: f64,
    },
}

impl Verdict {
    /// Whether the outcome is out of line.
    pub const fn is_anomalous(&self) -> bool {
        matches!(self, Self::Anomalous { .. })
    }
}

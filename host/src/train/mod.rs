//! Training on CPU: what `aquatope train` runs and what `replay` and `forecast --stream` run before they forecast.

pub mod adam;
pub mod background;
mod calibration;
pub mod hybrid;
pub mod light;
pub mod lstm_bptt;
pub mod matrix;
pub mod model_file;
pub mod network;
pub mod profile;
pub mod samples;

use aquatope_core::nn::weights::WeightsError;

/// Why there is no model.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// There is nothing to learn from or to validate on.
    #[error("{minutes} minutes are too few to train on; give at least {needed}")]
    TooShort {
        /// Minutes there are, of the part that has too few or of all.
        minutes: usize,
        /// Minutes needed.
        needed: usize,
    },
    /// The checkpoint belongs to another run.
    #[error("the checkpoint was written with other options or another model; delete it to start anew")]
    ForeignCheckpoint,
    /// The weights are not finite.
    #[error("training diverged: {0}")]
    Diverged(WeightsError),
}

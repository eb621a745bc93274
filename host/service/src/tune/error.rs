//! Why a workflow cannot be tuned.

use aquatope_openwhisk::error::RestError;
use aquatope_workflow::fault::Fault;

/// Why a workflow cannot be tuned. Troubles that pass (no connection, throttling, a failure of the platform) are waited out
/// and never become an error; a configuration that fails becomes a failed trial.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TuneError {
    /// The workflow or its settings do not fit the platform.
    #[error(transparent)]
    Problem(#[from] Fault),
    /// The platform refuses what tuning needs.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// The configuration of today fails, so that nothing can be compared with it.
    #[error(
        "workflow {workflow}: the configuration of today cannot be measured: {reason}; mend the workflow first"
    )]
    Baseline {
        /// The workflow.
        workflow: String,
        /// Why.
        reason: String,
    },
    /// Every trial failed.
    #[error(
        "workflow {workflow}: no trial could be measured, so there is nothing to recommend; the last failed because {reason}"
    )]
    NothingMeasured {
        /// The workflow.
        workflow: String,
        /// Why the last trial failed.
        reason: String,
    },
    /// The optimiser refuses.
    #[error("workflow {workflow}: {reason}")]
    Search {
        /// The workflow.
        workflow: String,
        /// What it says, which names how to mend it.
        reason: String,
    },
}

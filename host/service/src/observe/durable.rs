//! What goes to the store, and what comes back from it after a restart.

use aquatope_core::activation::{ActivationId, FunctionId};
use aquatope_core::time::{Minute, Timestamp};
use aquatope_core::window::Window;

use super::{FunctionInfo, PartitionOffsets};

/// What becomes durable together.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Commit {
    /// The minutes before it are final; none yet if `None`.
    pub open: Option<Minute>,
    /// Newly final windows, by minute, then function; idle ones left out.
    pub windows: Vec<(FunctionId, Window)>,
    /// Functions that are new or changed.
    pub functions: Vec<(FunctionId, FunctionInfo)>,
    /// Where to read on.
    pub offsets: Vec<PartitionOffsets>,
    /// Ids of our own warm-up calls, with the time they were told, if there are new ones: all that are remembered.
    pub exclusions: Option<Vec<(ActivationId, Timestamp)>>,
}

/// What was durable when the process started.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Restored {
    /// The minutes before it are final.
    pub open: Option<Minute>,
    /// The functions, by [`FunctionId`].
    pub functions: Vec<FunctionInfo>,
    /// Where to read on.
    pub offsets: Vec<PartitionOffsets>,
    /// Ids of our own warm-up calls.
    pub exclusions: Vec<(ActivationId, Timestamp)>,
}

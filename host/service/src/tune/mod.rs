//! Tuning on a real OpenWhisk: measure configurations of a workflow, find the cheapest that meets its QoS, apply it, and
//! take it back when production then misses the QoS.
//!
//! ```text
//! problem -> search (state machine: what to measure next) <-> bench (clones of the actions, measured through REST)
//!               |                                                       execution (order of a workflow's stages)
//!               +-> finished -> change (limits of the real actions, and back) <- watch (does the QoS hold?)
//! ```
//!
//! Production actions are only read until a change is applied: trials run on clones named
//! `<action>__aquatope_<workflow>`. A change of limits throws an action's warm containers away, so every configuration is
//! invoked until a run is warm in all stages before anything is measured.
//!
//! Upstream OpenWhisk derives CPU from memory, so memory is what is searched for; CPU too where the platform is said to
//! have `limits.cpu`. Concurrency is one request a container.

mod bench;
mod change;
mod error;
mod execution;
mod patient;
mod problem;
mod run;
mod search;
mod watch;

pub use bench::is_clone;
pub(crate) use bench::{in_name, is_clone_of};
pub use change::{ActionChange, Change, RolledBack};
pub use error::TuneError;
pub use patient::{Pace, Patient};
pub use problem::{Problem, Resources, Settings};
pub(crate) use run::memory_bounds;
pub use run::{Keep, remove_clones, tune};
pub use search::{Finished, Progress, Recommended, TrialReport, TrialState};
pub use watch::{Guard, Promise, Verdict, WARM_UP, Watch};

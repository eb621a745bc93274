//! The resource manager's acting half: workflow files, evaluators, durable studies, protocol, comparison.
//!
//! ```text
//! workflow file -> problem -> study: ask -> evaluator: measure -> study: tell -> recommendation
//!                               |                                   |
//!                               +------- sampler      state file ---+
//! ```

pub mod candgen;
pub mod compare;
pub mod counter_random;
pub mod evaluator;
pub mod json;
pub mod method;
pub mod modelled;
pub mod oracle;
pub mod problem;
pub mod progress;
pub mod protocol;
pub mod report;
pub mod run;
pub mod sampler;
pub mod samplers;
pub mod sensitivity;
pub mod shipped;
pub mod simulator;
pub mod space;
pub mod store;
pub mod study;
pub mod summary;
pub mod trial;
pub mod workflow;
pub mod workflow_file;

//! The resource manager's acting half: workflow files, evaluators, durable studies, protocol, comparison.
//!
//! ```text
//! workflow file -> problem -> study: ask -> evaluator: measure -> study: tell -> recommendation
//!                               |                                   |
//!                               +------- sampler      state file ---+
//! ```

pub mod candgen;
pub mod compare;
pub mod evaluator;
pub mod method;
pub mod modelled;
pub mod problem;
pub mod progress;
pub mod protocol;
pub mod report;
pub mod run;
pub mod sampler;
pub mod samplers;
pub mod sensitivity;
pub mod shipped;
pub mod store;
pub mod study;
pub mod summary;
pub mod trial;

pub use aquatope_workflow::{counter_random, json, oracle, simulator, space, workflow, workflow_file};

//! The resource manager's acting half: workflow files, evaluators, durable studies, protocol, comparison.
//!
//! ```text
//! workflow file -> problem -> sampler: ask -> evaluator: measure -> sampler: tell -> recommendation
//! ```

pub mod counter_random;
pub mod json;
pub mod simulator;
pub mod space;
pub mod trial;
pub mod workflow_file;

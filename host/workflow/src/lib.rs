//! Workflow files, how their functions behave in simulation, and how the core's optimiser sees them: what the command
//! line and the browser package share.
//!
//! ```text
//! text -> json -> workflow_file -> models: search space, structured model, black box   (tuning)
//!                      |
//!                      +-------> simulator: cost, latency, durations; oracle           (trying it out)
//! ```
//!
//! Nothing here reads files or clocks: texts, seeds and counters are arguments.
#![forbid(unsafe_code)]

pub mod counter_random;
pub mod fault;
pub mod json;
pub mod models;
pub mod oracle;
pub mod outcome;
pub mod simulator;
pub mod space;
pub mod workflow;
pub mod workflow_file;

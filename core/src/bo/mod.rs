//! Constrained noisy Bayesian optimisation of a workflow's configuration: the least cost whose end-to-end latency
//! meets the QoS.
//!
//! ```text
//! SearchSpace -> Study -- ask --> Point -> evaluation -> Outcome -- tell --> Study -> Recommendation
//!                  |                                                          |
//!                  +------ Model: propose, verdicts, recommend <-- Evidence --+
//! ```
//!
//! Cost is minimised. Models work on ln cost and ln latency, because the noise of both is a factor; a configuration
//! is feasible when its noise-free latency is at most the limit. [`study::Study`] keeps the trials and hands them to
//! a [`model::Model`]: the paper's two black boxes, or one that knows the workflow's structure.

pub mod acquisition;
pub mod blackbox;
mod cheapest;
pub mod model;
pub mod profile;
#[cfg(feature = "serde")]
pub mod snapshot;
pub mod space;
pub mod study;
pub mod surrogates;
pub mod trial;

/// The most trials one call of [`study::Study::ask`] returns.
pub const MAX_BATCH: usize = 16;

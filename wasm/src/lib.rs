//! Bindings of the core for JavaScript: plain objects in, plain objects out, no algorithm. See README.md, which is the
//! page of the npm package.
#![forbid(unsafe_code)]

mod engine;
#[cfg(feature = "forecast")]
mod forecaster;
mod plain;
#[cfg(feature = "forecast")]
mod pool;
mod study;
mod study_types;
#[cfg(feature = "workflow")]
mod workflow;
#[cfg(feature = "workflow")]
mod workflow_study;

#[cfg(feature = "forecast")]
pub use forecaster::Forecaster;
#[cfg(feature = "forecast")]
pub use pool::PoolPlanner;
pub use study::Study;
#[cfg(feature = "workflow")]
pub use workflow::Workflow;

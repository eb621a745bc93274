//! Bindings of the core for JavaScript: plain objects in, plain objects out, no algorithm. See README.md, which is the
//! page of the npm package.
#![forbid(unsafe_code)]

mod forecaster;
mod plain;
mod pool;
mod study;
mod study_types;
mod workflow;

pub use forecaster::Forecaster;
pub use pool::PoolPlanner;
pub use study::Study;
pub use workflow::Workflow;

use wasm_bindgen::prelude::wasm_bindgen;

/// The version of this package.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}

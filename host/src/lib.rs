//! The acting half of Aquatope: files, processes, clocks and randomness around `aquatope-core`.
//!
//! The binary `aquatope` is a thin shell over [`cli::run`]; everything else is public for integration tests.

pub mod baselines;
pub mod cli;
pub mod error;
pub mod files;
pub mod forecast;
pub mod generate;
pub mod live;
pub mod progress;
pub mod replay;
pub mod report;
pub mod sim;
pub mod table;
pub mod trace;
pub mod train;
pub mod tune;

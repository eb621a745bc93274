//! The Aquatope service: observe activations, forecast and plan every minute, keep containers warm, tune workflows.
//!
//! ```text
//! source (Kafka) -> observe -> store -> plan -> actuate
//!                                 \-> train ---^          tune (one task a workflow)       http (reads the board)
//! ```
//! State machines decide (`observe`, `plan`, the studies of `tune`), thin tasks act. One place has the clock:
//! [`clock`].

pub mod clock;
pub mod config;
pub mod observe;
pub mod plan;
pub mod source;
pub mod store;
pub mod train;
pub mod tune;

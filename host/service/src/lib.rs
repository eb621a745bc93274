//! The Aquatope service: observe activations, forecast and plan every minute, keep containers warm, tune workflows.
//!
//! ```text
//! source (Kafka) -> observe -> store -> plan -> actuate
//!                                 \-> train ---^          tune (one task a workflow)       http (reads the board)
//! ```
//! State machines decide (`observe`, `plan`, the studies of `tune`), thin tasks act. One place has the clock:
//! [`clock`].

pub mod actuate;
pub mod board;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod doctor;
pub mod http;
pub mod observe;
pub mod plan;
mod platform;
pub mod serve;
pub mod share;
pub mod source;
pub mod store;
pub mod train;
pub mod tune;
mod workflows;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What a lock guards; a panic elsewhere leaves at worst a half-shown minute behind.
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// The same, to write.
pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

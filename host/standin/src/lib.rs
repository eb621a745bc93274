//! A stand-in for Apache OpenWhisk on loopback, for tests and demonstrations: simulated containers in real or scaled time
//! behind OpenWhisk's REST interface, with its events.
//!
//! [`platform::Platform`] is the whole platform as a state machine without clock and I/O: cold, pre-warmed and warm starts,
//! stem cells that are replaced when taken, versions that make containers useless, throttles, sequences, records.
//! [`Standin`] puts it behind HTTP and drives it by a clock. Semantics follow OpenWhisk's, traps included; what a real
//! container would compute is left to a [`config::Model`] of every action.

#![forbid(unsafe_code)]

pub mod config;
mod events;
pub mod faults;
pub mod platform;
mod rest;
mod server;

pub use server::{Arrival, Standin};

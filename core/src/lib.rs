//! Decisions for serverless workflows: how many containers to keep warm next minute, and how much CPU and
//! memory each function gets so that the workflow meets its latency target at the least cost.
//!
//! Two state machines, one shape. Time, randomness and memory come in as arguments; decisions go out as values.
//!
//! ```text
//! activations -> window -> forecast -> pool plan                 (pre-warmed pool)
//! workflow + QoS -> ask -> sample -> screen -> tell -> recommendation   (resource manager)
//! ```
//!
//! Invariants: safe Rust only, no heap, no clock, no I/O; bounded work and memory per call; a full buffer is an error
//! value; no input makes it panic, which `make no-panic` proves for the operations, capacities and target that
//! `core/no-panic` lists. Networks compute in `f32`,
//! Gaussian processes in `f64`; every transcendental function goes through [`math::float`], and sums run in a fixed
//! order, so that native, WebAssembly and microcontroller builds give the same bits.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod checksum;
pub mod error;
pub mod math;
mod part;
pub mod random;
#[cfg(feature = "serde")]
pub mod snapshot;
pub mod sobol;
pub mod time;

pub mod activation;
pub mod window;

pub mod nn;

pub mod forecast;
pub mod pool;
pub mod workflow;

pub mod anomaly;
pub mod bo;
pub mod gp;
pub mod structured;

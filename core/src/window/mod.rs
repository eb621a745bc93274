//! Activations to per-minute windows: what a forecaster is fed and what its forecast is compared with.
//!
//! The quantity that matters is [`Window::peak`], the most containers busy at the same instant: it is what the pool
//! must hold. Perfect foresight of the invocation *count* used as a container count costs several times the memory.

mod calendar;
mod series;

pub use calendar::{Trigger, calendar, phase};
pub use series::{Dropped, HORIZON, RecordError, Recorded, WindowSeries};

use crate::time::Minute;

/// What one function did in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Window {
    /// The minute.
    pub minute: Minute,
    /// Requests that arrived in this minute.
    pub invocations: u32,
    /// Those of them that found no warm container.
    pub cold_starts: u32,
    /// The most containers busy at the same instant.
    pub peak: u32,
    /// Container-milliseconds of busy time within the minute.
    pub busy_ms: u64,
}

impl Window {
    /// Time-weighted mean of the busy containers.
    pub fn mean_concurrency(&self) -> f32 {
        (self.busy_ms as f64 / MINUTE_MS as f64) as f32
    }
}

/// Milliseconds in a minute.
pub(crate) const MINUTE_MS: u64 = 60_000;

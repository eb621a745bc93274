//! What can be made to go wrong while a stand-in runs.

use std::time::Duration;

/// Troubles, all off by default; `Standin::set_faults` changes them at any time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// New connections are closed at once and open ones answer 503 and close: nothing gets through.
    pub down: bool,
    /// Every request is answered 500, without effect.
    pub errors: bool,
    /// Every answer comes later by this much real time.
    pub delay: Duration,
    /// Share of events that are sent twice.
    pub duplicate_events: f64,
    /// Share of events that are never sent.
    pub lost_events: f64,
    /// Share of events that are sent later than they should, and by how many virtual milliseconds.
    pub late_events: (f64, i64),
}

//! What can be made to go wrong while a stand-in runs.

use std::time::Duration;

/// Troubles, all off by default; `Standin::set_faults` changes them at any time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// New connections are closed at once and open ones answer 503 and close: nothing gets through.
    pub down: bool,
    /// Every request is answered 500, without effect.
    pub errors: bool,
    /// Requests that are refused, without effect.
    pub refused: Vec<Refused>,
    /// Every invocation is turned away by the rate limit.
    pub throttled: bool,
    /// Every answer comes later by this much real time.
    pub delay: Duration,
    /// Share of events that are sent twice.
    pub duplicate_events: f64,
    /// Share of events that are never sent.
    pub lost_events: f64,
    /// Share of events that are sent later than they should, and by how many virtual milliseconds.
    pub late_events: (f64, i64),
}

/// Requests to refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// `GET`, `PUT`, ..; empty for all.
    pub method: &'static str,
    /// How the path ends, decoded; empty for all.
    pub path: String,
    /// The HTTP status of the answer.
    pub status: u16,
}

impl Faults {
    /// The status to refuse a request with.
    pub(crate) fn refusal(&self, method: &str, path: &str) -> Option<u16> {
        let matches =
            |it: &&Refused| (it.method.is_empty() || it.method == method) && path.ends_with(&it.path);
        self.refused.iter().find(matches).map(|it| it.status)
    }
}

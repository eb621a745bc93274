//! What the observer is fed, and how it counts it.

use aquatope_core::activation::ActivationId;
use aquatope_core::time::Timestamp;

use super::Place;

/// One finished activation, from an event or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished<'a> {
    /// `namespace/[package/]action`.
    pub name: &'a str,
    /// The invoking namespace.
    pub namespace: &'a str,
    /// The runtime's kind.
    pub kind: &'a str,
    /// Its id; old versions of OpenWhisk send none, and then a duplicate is not recognised.
    pub id: Option<ActivationId>,
    /// When it ended.
    pub ended: Timestamp,
    /// Run and initialisation, ms.
    pub duration_ms: u64,
    /// Wait before them, ms.
    pub wait_ms: u64,
    /// Initialisation, ms; 0 on a warm container.
    pub init_ms: u64,
    /// The action's memory limit, MB; 0: not known.
    pub memory_mb: u32,
    /// Whether it is the record of a whole sequence or composition, for which no container ran.
    pub is_sequence: bool,
    /// Whether it ended with an error.
    pub failed: bool,
}

/// A run, its initialisation or its wait longer than this, a day, is not believed: one of them would keep minutes open
/// for as long. OpenWhisk's time limits are minutes.
pub(super) const LONGEST_MS: u64 = 86_400_000;

impl Finished<'_> {
    /// When it arrived, ms since the epoch; `None`: its times are not to be believed.
    pub fn arrival(&self) -> Option<u64> {
        let longest = self.duration_ms.max(self.wait_ms).max(self.init_ms);
        if longest > LONGEST_MS {
            return None;
        }
        self.ended.0.checked_sub(self.duration_ms + self.wait_ms)
    }
}

/// Where an activation was learned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the message there.
    Message(Place),
    /// From the platform's records, for a gap in the messages.
    Record,
}

/// How many messages there were of each kind since the start. Messages read again after a restart count once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counters {
    /// Runs of functions that were counted; those that turned out to be our own afterwards are among `own` too.
    pub activations: u64,
    /// Sequences and compositions.
    pub sequences: u64,
    /// Requests refused.
    pub throttled: u64,
    /// Known already.
    pub duplicates: u64,
    /// Our own warm-up calls.
    pub own: u64,
    /// OpenWhisk's own checks.
    pub system: u64,
    /// All of it in minutes that were final: not counted.
    pub late: u64,
    /// Arrived in a minute that was final: counted as busy in the later ones only.
    pub partly: u64,
    /// More than ten minutes ahead of the clock: not counted.
    pub ahead: u64,
    /// Of functions beyond the number that is told apart: not counted.
    pub excess: u64,
    /// Longer than a day, or begun before 1970: not counted.
    pub implausible: u64,
    /// Not readable.
    pub unreadable: u64,
    /// Of other kinds.
    pub other: u64,
    /// Read before the restart, and again.
    pub replayed: u64,
}

impl Counters {
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            activations: self.activations + other.activations,
            sequences: self.sequences + other.sequences,
            throttled: self.throttled + other.throttled,
            duplicates: self.duplicates + other.duplicates,
            own: self.own + other.own,
            system: self.system + other.system,
            late: self.late + other.late,
            partly: self.partly + other.partly,
            ahead: self.ahead + other.ahead,
            excess: self.excess + other.excess,
            implausible: self.implausible + other.implausible,
            unreadable: self.unreadable + other.unreadable,
            other: self.other + other.other,
            replayed: self.replayed + other.replayed,
        }
    }
}

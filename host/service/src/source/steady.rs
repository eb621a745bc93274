//! A clock that does not believe every jump of the system's.
//!
//! What is caught up at a wrong time would close minutes that have not happened, and their events would come too late.
//! So a jump of more than a minute against the monotonic clock counts only once an event confirms it, or after ten
//! minutes: a platform without traffic cannot confirm anything, and has nothing to lose. An event confirms a jump forward
//! when its time is what the system's clock shows, to a minute; one from the far future confirms nothing. Until then
//! events up to the time shown count, but close no minute: after a machine was suspended the first ones are hours old.
//!
//! The clock at the start of the process is believed. If it is ahead then, minutes are closed early, and events count as
//! late until the true time has passed it. If it is behind by more than ten minutes, events count as ahead until it is
//! set, and ten minutes longer. So the service is to be started after the clock is set.

use std::time::{Duration, Instant};

use aquatope_core::time::Timestamp;

use crate::clock::Clock;

/// See the module's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steady {
    clock: Clock,
    shown: Timestamp,
    at: Instant,
    /// Since when the system's clock has shown another time.
    doubted: Option<Instant>,
}

const JUMP_MS: u64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(600);

impl Steady {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, shown: clock.now(), at: Instant::now(), doubted: None }
    }

    /// What time it was at `instant`, a moment ago; `latest` is the time of the event that was read last.
    pub(super) fn at(&mut self, instant: Instant, latest: Timestamp) -> Timestamp {
        self.see(self.clock.now(), Instant::now(), latest);
        let ago = self.clock_ms(self.at.saturating_duration_since(instant));
        Timestamp(self.shown.0.saturating_sub(ago))
    }

    #[cfg(test)]
    pub(super) fn show(&mut self, clock: Clock) {
        self.clock = clock;
    }

    fn see(&mut self, system: Timestamp, instant: Instant, latest: Timestamp) {
        let passed = self.clock_ms(instant.saturating_duration_since(self.at));
        let steady = Timestamp(self.shown.0.saturating_add(passed));
        let close = system.0.abs_diff(steady.0) <= JUMP_MS;
        let confirmed = system > steady && latest.0.abs_diff(system.0) <= JUMP_MS;
        let doubted = *self.doubted.get_or_insert(instant);
        let believed = close || confirmed || instant.saturating_duration_since(doubted) > PATIENCE;
        if believed {
            self.doubted = None;
        } else if doubted == instant {
            tracing::warn!(
                shown_ms = system.0,
                expected_ms = steady.0,
                "the system's clock jumped; waiting for an event to confirm it"
            );
        }
        self.shown = if believed { system } else { steady };
        self.at = instant;
    }

    /// A span of real time on this clock, ms.
    fn clock_ms(&self, real: Duration) -> u64 {
        let second = self.clock.real(Duration::from_secs(1)).as_secs_f64();
        (real.as_secs_f64() / second * 1e3).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const NOON: u64 = 1_800_000_000_000;

    /// What is shown after the system's clock jumped from noon to `to`, `seconds` later.
    fn shown(to: u64, seconds: u64, latest: u64) -> u64 {
        let since = Instant::now();
        let mut steady = Steady { clock: Clock::system(), shown: Timestamp(NOON), at: since, doubted: None };
        for second in 1..=seconds {
            let instant = since + Duration::from_secs(second);
            steady.see(Timestamp(to + second * 1_000), instant, Timestamp(latest));
        }
        steady.shown.0 - NOON
    }

    #[test]
    fn small_steps_are_followed() {
        assert_eq!(shown(NOON + 30_000, 5, 0), 35_000);
        assert_eq!(shown(NOON - 3_000, 5, 0), 2_000);
    }

    #[test]
    fn jumps_wait_for_an_event() {
        assert_eq!(shown(NOON + HOUR, 5, NOON), 5_000);
        assert_eq!(shown(NOON + HOUR, 5, NOON + HOUR), HOUR + 5_000);
        assert_eq!(shown(NOON + HOUR, 5, NOON + 2 * HOUR), 5_000, "not for one of another time");
        assert_eq!(shown(NOON + HOUR, 700, NOON), HOUR + 700_000, "or for ten minutes");
        assert_eq!(shown(NOON - HOUR / 2, 5, NOON), 5_000, "backwards too");
    }
}

//! The windows of one function, counted exactly from activations in any order.
//!
//! Every activation that still touches an open minute is kept as an interval; a minute is counted by sweeping the
//! sorted starts and ends. A minute stays *provisional* until the lateness allowance after its end has passed, then
//! [`WindowSeries::poll_window`] hands it out once, *final*, and intervals that no open minute needs are forgotten.
//! An activation is recognised as a duplicate as long as it could still change a window; later it is [`Late`].
//!
//! [`Late`]: RecordError::Late

use core::fmt;
use core::time::Duration;

use heapless::Vec;

use super::{MINUTE_MS, Window};
use crate::activation::{Activation, ActivationId};
use crate::time::{Minute, Timestamp};

/// The open minutes of one function, holding at most `E` activations.
///
/// `E` bounds the activations that overlap or start within the open minutes: about
/// (invocations per minute) x (lateness in minutes + 2 + their duration in minutes). 40 bytes each.
#[derive(Clone, Debug)]
pub struct WindowSeries<const E: usize> {
    lateness_ms: u64,
    /// The first minute that is not final.
    open: Minute,
    /// Minutes before this one may be handed out.
    due: Minute,
    /// By `(from, id)`.
    intervals: Vec<Interval, E>,
    /// The `to` of every interval, ascending.
    ends: Vec<u64, E>,
    dropped: Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    from: u64,
    id: ActivationId,
    to: u64,
    cold: bool,
}

/// Where a recorded activation was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recorded {
    /// In every minute it belongs to.
    Whole,
    /// Its arrival lies in a final minute: it counts as busy in the open minutes, not as an invocation.
    Partly,
}

/// Why an activation was not recorded. [`WindowSeries::dropped`] counts each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// It ended before the first open minute, which is given.
    Late {
        /// The first minute that is not final.
        open: Minute,
    },
    /// It was recorded before.
    Duplicate,
    /// It arrived more than [`HORIZON`] minutes after the first open minute: a wrong clock, or `close_until` is not
    /// being called.
    Ahead {
        /// The first minute that is not final.
        open: Minute,
    },
    /// The buffer is full.
    Full {
        /// What it holds.
        capacity: usize,
    },
}

/// Activations that were not, or not wholly, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Dropped {
    /// [`RecordError::Late`].
    pub late: u64,
    /// [`Recorded::Partly`].
    pub partly: u64,
    /// [`RecordError::Duplicate`].
    pub duplicate: u64,
    /// [`RecordError::Ahead`].
    pub ahead: u64,
    /// [`RecordError::Full`].
    pub full: u64,
    /// Minutes skipped because the clock stepped forward by more than [`HORIZON`].
    pub skipped_minutes: u64,
}

/// How far ahead of the first open minute an activation may arrive, and how many minutes one clock step may leave to
/// hand out: a day.
pub const HORIZON: u32 = 1440;

impl<const E: usize> WindowSeries<E> {
    /// Count from minute `first` on; a minute becomes final `lateness` after its end.
    ///
    /// OpenWhisk reports an activation when it ends, so lateness trades the age of final windows and the room for open
    /// activations against missing the long runs. A pool plans from provisional windows meanwhile.
    pub const fn new(first: Minute, lateness: Duration) -> Self {
        let lateness_ms = lateness.as_millis();
        Self {
            lateness_ms: if lateness_ms > u64::MAX as u128 { u64::MAX } else { lateness_ms as u64 },
            open: first,
            due: first,
            intervals: Vec::new(),
            ends: Vec::new(),
            dropped: Dropped { late: 0, partly: 0, duplicate: 0, ahead: 0, full: 0, skipped_minutes: 0 },
        }
    }

    /// Take in one activation, in any order. Work: O(log E) when activations come about in order, O(E) at worst.
    ///
    /// # Errors
    /// See [`RecordError`]; the series is unchanged then, but for its counters.
    pub fn record(&mut self, activation: &Activation) -> Result<Recorded, RecordError> {
        let (from, to) = activation.demand();
        let open_ms = self.open.start().0;
        if to.0 <= open_ms {
            self.dropped.late += 1;
            return Err(RecordError::Late { open: self.open });
        }
        if from.minute().0 > self.open.0.saturating_add(HORIZON) {
            self.dropped.ahead += 1;
            return Err(RecordError::Ahead { open: self.open });
        }
        let interval =
            Interval { from: from.0, id: activation.id, to: to.0, cold: activation.is_cold_start() };
        let place = self.intervals.partition_point(|i| (i.from, i.id) < (interval.from, interval.id));
        if self.intervals.get(place).is_some_and(|i| (i.from, i.id) == (interval.from, interval.id)) {
            self.dropped.duplicate += 1;
            return Err(RecordError::Duplicate);
        }
        if self.intervals.insert(place, interval).is_err() {
            self.dropped.full += 1;
            return Err(RecordError::Full { capacity: E });
        }
        // There is an end for every interval, so that there is room.
        let place = self.ends.partition_point(|&end| end < interval.to);
        let _ = self.ends.insert(place, interval.to);
        if interval.from >= open_ms {
            return Ok(Recorded::Whole);
        }
        self.dropped.partly += 1;
        Ok(Recorded::Partly)
    }

    /// Let every minute that ended `lateness` before `now` become final; [`Self::poll_window`] then hands them out.
    /// A clock that steps back changes nothing; one that steps forward by more than [`HORIZON`] minutes skips to the
    /// last of them. Work: O(1).
    pub fn close_until(&mut self, now: Timestamp) {
        let due = Timestamp(now.0.saturating_sub(self.lateness_ms)).minute();
        self.due = self.due.max(due);
        let first_kept = Minute(self.due.0.saturating_sub(HORIZON));
        if first_kept > self.open {
            self.dropped.skipped_minutes += u64::from(first_kept.0 - self.open.0);
            self.open = first_kept;
            self.forget();
        }
    }

    /// The next final window in order, without gaps; `None` until [`Self::close_until`] makes one due. Call it until
    /// `None`. Work: O(E).
    pub fn poll_window(&mut self) -> Option<Window> {
        if self.open >= self.due {
            return None;
        }
        let window = self.count(self.open);
        self.open.0 += 1;
        self.forget();
        Some(window)
    }

    /// What is known so far of a minute that is not final; `None` once it is. Runs that have not ended are missing,
    /// so recent minutes are counted low. Work: O(E).
    pub fn provisional(&self, minute: Minute) -> Option<Window> {
        (minute >= self.open).then(|| self.count(minute))
    }

    /// The first minute that is not final.
    pub const fn open(&self) -> Minute {
        self.open
    }

    /// What was not counted.
    pub const fn dropped(&self) -> Dropped {
        self.dropped
    }

    fn count(&self, minute: Minute) -> Window {
        let start = minute.start().0;
        let end = start + MINUTE_MS;
        let started = self.intervals.partition_point(|i| i.from < start);
        let ended = self.ends.partition_point(|&to| to <= start);
        let (earlier, later) = self.intervals.split_at(started);
        let mut busy = started - ended;
        let mut window = Window { minute, peak: busy as u32, ..Window::default() };
        window.busy_ms = earlier.iter().map(|i| i.to.min(end).saturating_sub(start)).sum();
        // Ends go before starts at the same instant: a container is free when the next request takes it.
        let mut ends = self.ends.iter().skip(ended).peekable();
        for interval in later.iter().take_while(|i| i.from < end) {
            while ends.next_if(|&&to| to <= interval.from).is_some() {
                busy -= 1;
            }
            busy += 1;
            window.peak = window.peak.max(busy as u32);
            window.busy_ms += interval.to.min(end) - interval.from;
            window.invocations += 1;
            window.cold_starts += u32::from(interval.cold);
        }
        window
    }

    /// Drop the intervals that ended before the first open minute.
    fn forget(&mut self) {
        let open_ms = self.open.start().0;
        self.intervals.retain(|i| i.to > open_ms);
        self.ends.retain(|&to| to > open_ms);
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late { open } => {
                write!(
                    f,
                    "activation ended before minute {}, the first that is not final; allow more lateness",
                    open.0
                )
            }
            Self::Duplicate => write!(f, "activation was recorded before; deliver each one once"),
            Self::Ahead { open } => write!(
                f,
                "activation arrived more than {HORIZON} minutes after minute {}, the first that is not final; check \
                 the sender's clock and call close_until every minute",
                open.0
            ),
            Self::Full { capacity } => {
                write!(
                    f,
                    "full: {capacity} activations are open; build the series with a larger E or less lateness"
                )
            }
        }
    }
}

impl core::error::Error for RecordError {}

#[cfg(test)]
mod tests {
    use std::vec::Vec as StdVec;

    use proptest::prelude::*;

    use super::*;
    use crate::activation::FunctionId;

    fn run(id: u64, from: u64, to: u64) -> Activation {
        Activation {
            function: FunctionId(0),
            id: ActivationId(id),
            start: Timestamp(from),
            duration: Duration::from_millis(to - from),
            wait: Duration::ZERO,
            init: Duration::ZERO,
        }
    }

    fn cold(activation: Activation) -> Activation {
        let init = Duration::from_millis(250);
        Activation { init, duration: activation.duration + init, ..activation }
    }

    fn drain<const E: usize>(series: &mut WindowSeries<E>) -> StdVec<Window> {
        core::iter::from_fn(|| series.poll_window()).collect()
    }

    #[test]
    fn two_minutes_by_hand() {
        let mut series = WindowSeries::<8>::new(Minute(1), Duration::ZERO);
        // Busy in minute 1: a [60, 70), b [65, 130), c [70, 75) takes a's container. In minute 2: b and d.
        for a in [
            run(1, 60_000, 70_000),
            run(2, 65_000, 130_000),
            cold(run(3, 70_000, 75_000)),
            run(4, 129_999, 140_000),
        ] {
            assert_eq!(series.record(&a), Ok(Recorded::Whole));
        }
        assert_eq!(series.poll_window(), None, "no minute is due");
        series.close_until(Timestamp(180_000));
        let first = Window {
            minute: Minute(1),
            invocations: 3,
            cold_starts: 1,
            peak: 2,
            busy_ms: 10_000 + 55_000 + 5_000,
        };
        let second =
            Window { minute: Minute(2), invocations: 1, cold_starts: 0, peak: 2, busy_ms: 10_000 + 10_001 };
        assert_eq!(drain(&mut series), [first, second]);
        assert!((first.mean_concurrency() - 70.0 / 60.0).abs() < 1e-6);
    }

    #[test]
    fn provisional_becomes_final_after_the_lateness() {
        let mut series = WindowSeries::<8>::new(Minute(0), Duration::from_secs(5));
        series.record(&run(1, 1_000, 2_000)).unwrap();
        series.close_until(Timestamp(64_999));
        assert_eq!(series.poll_window(), None);
        assert_eq!(series.provisional(Minute(0)).unwrap().invocations, 1);
        series.record(&run(2, 500, 1_500)).unwrap();
        series.close_until(Timestamp(65_000));
        let window = series.poll_window().unwrap();
        assert_eq!((window.invocations, window.peak), (2, 2));
        assert_eq!(series.provisional(Minute(0)), None);
        assert_eq!(series.record(&run(3, 500, 1_500)), Err(RecordError::Late { open: Minute(1) }));
        assert_eq!(series.dropped().late, 1);
    }

    #[test]
    fn long_run_reported_late_still_occupies_open_minutes() {
        let mut series = WindowSeries::<8>::new(Minute(0), Duration::ZERO);
        series.close_until(Timestamp(180_000));
        assert_eq!(drain(&mut series).len(), 3);
        assert_eq!(series.record(&run(1, 30_000, 200_000)), Ok(Recorded::Partly));
        assert_eq!(series.record(&run(1, 30_000, 200_000)), Err(RecordError::Duplicate));
        let window = series.provisional(Minute(3)).unwrap();
        assert_eq!((window.invocations, window.peak, window.busy_ms), (0, 1, 20_000));
    }

    #[test]
    fn clock_steps() {
        let mut series = WindowSeries::<8>::new(Minute(10), Duration::ZERO);
        series.record(&run(1, 601_000, 602_000)).unwrap();
        series.close_until(Timestamp(0));
        assert_eq!(series.poll_window(), None, "backwards changes nothing");
        let ahead = u64::from(10 + HORIZON + 1) * 60_000;
        assert_eq!(series.record(&run(2, ahead, ahead + 1)), Err(RecordError::Ahead { open: Minute(10) }));
        series.close_until(Minute(10_000).start());
        assert_eq!(series.open(), Minute(10_000 - HORIZON));
        assert_eq!(series.dropped().skipped_minutes, u64::from(10_000 - HORIZON - 10));
        assert_eq!(drain(&mut series).len(), HORIZON as usize);
        series.close_until(Timestamp(u64::MAX));
        assert_eq!(drain(&mut series).len(), HORIZON as usize);
    }

    #[test]
    fn full_is_an_error_and_changes_nothing() {
        let mut series = WindowSeries::<2>::new(Minute(0), Duration::ZERO);
        series.record(&run(1, 0, 10)).unwrap();
        series.record(&run(2, 5, 10)).unwrap();
        let before = series.provisional(Minute(0));
        assert_eq!(series.record(&run(3, 5, 10)), Err(RecordError::Full { capacity: 2 }));
        assert_eq!(series.provisional(Minute(0)), before);
        series.close_until(Timestamp(60_000));
        assert_eq!(drain(&mut series).len(), 1);
        assert_eq!(series.record(&run(4, 60_000, 60_001)), Ok(Recorded::Whole));
    }

    #[test]
    fn state_size() {
        assert_eq!(size_of::<WindowSeries<256>>(), 256 * (32 + 8) + 80);
    }

    /// The definition, millisecond by millisecond.
    fn brute_force(runs: &[(u64, u64, bool)], minute: Minute) -> Window {
        let start = minute.start().0;
        let busy_at = |ms: u64| runs.iter().filter(|&&(from, to, _)| from <= ms && ms < to).count();
        let here = |from: u64| (start..start + MINUTE_MS).contains(&from);
        Window {
            minute,
            invocations: runs.iter().filter(|r| here(r.0)).count() as u32,
            cold_starts: runs.iter().filter(|r| here(r.0) && r.2).count() as u32,
            peak: (start..start + MINUTE_MS).map(busy_at).max().unwrap_or(0) as u32,
            busy_ms: (start..start + MINUTE_MS).map(|ms| busy_at(ms) as u64).sum(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Any order, with duplicates, between closes that never pass an undelivered activation.
        #[test]
        fn equals_brute_force(
            runs in prop::collection::vec((0_u64..180, 0_u64..90, any::<bool>()), 0..24),
            order in any::<u64>(),
        ) {
            // A coarse grid makes ties of starts, ends and minute boundaries likely.
            let runs: StdVec<_> = runs.iter().map(|&(s, d, c)| (s * 1_000, s * 1_000 + (d * 1_000).max(1), c)).collect();
            let mut series = WindowSeries::<24>::new(Minute(0), Duration::ZERO);
            let mut shuffled: StdVec<usize> = (0..runs.len()).collect();
            shuffled.sort_by_key(|&i| order.rotate_left(i as u32 * 7) ^ (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            for &i in &shuffled {
                let (from, to, is_cold) = runs[i];
                let activation = run(i as u64, from, to);
                let activation = if is_cold { cold(activation) } else { activation };
                prop_assert_eq!(series.record(&activation), Ok(Recorded::Whole));
                prop_assert_eq!(series.record(&activation), Err(RecordError::Duplicate));
            }
            for minute in 0..5 {
                prop_assert_eq!(series.provisional(Minute(minute)), Some(brute_force(&runs, Minute(minute))));
            }
            series.close_until(Minute(5).start());
            let windows = drain(&mut series);
            prop_assert_eq!(windows.len(), 5);
            for window in windows {
                prop_assert_eq!(window, brute_force(&runs, window.minute));
            }
        }

        /// Whatever comes in, windows come out in order, without gaps, and nothing panics.
        #[test]
        fn any_operations(
            operations in prop::collection::vec((any::<bool>(), any::<u64>(), any::<u64>(), 0_u64..4), 0..200),
            lateness in any::<u64>(),
        ) {
            let mut series = WindowSeries::<4>::new(Minute(0), Duration::from_millis(lateness % 200_000));
            let mut skipped = 0;
            let mut next = 0;
            for (close, a, b, wide) in operations {
                let bound = [100_000, 10_000_000, 1 << 40, u64::MAX][wide as usize];
                if close {
                    series.close_until(Timestamp(a % bound));
                    next += (series.dropped().skipped_minutes - skipped) as u32;
                    skipped = series.dropped().skipped_minutes;
                    for window in drain(&mut series) {
                        prop_assert_eq!(window.minute.0, next);
                        next += 1;
                        prop_assert!(window.busy_ms <= u64::from(window.peak) * MINUTE_MS);
                        prop_assert!(window.cold_starts <= window.invocations);
                    }
                } else {
                    let _ = series.record(&run(b, a % bound, (a % bound).saturating_add(b % 300_000)));
                }
            }
        }
    }
}

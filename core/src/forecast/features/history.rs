//! The last minutes of one function: invocations and peak concurrency in fixed rings.
//!
//! Minutes are pushed in order, quiet ones included; a gap is filled with quiet minutes. Everything the features
//! need is read back from here, so there is no running sum that could drift. Counts above 65,535 saturate.

use core::fmt;

use crate::time::Minute;

/// Minutes of invocation counts kept (peaks are kept for `N`).
pub const COUNT_MINUTES: usize = 64;

/// The past of one function, up to `N` minutes of peak concurrency: `2 N + 148` bytes.
///
/// `N` bounds the longest lag the features can see; longer lags read as unknown. [`super::FULL_HISTORY`] covers every
/// feature; a device with little memory may take less (a few hours suffice for functions without a daily rhythm).
#[derive(Clone, Debug)]
pub struct History<const N: usize> {
    peaks: [u16; N],
    counts: [u16; COUNT_MINUTES],
    /// Where the next peak is written.
    head: u32,
    /// Minutes pushed since the first one, at most `u32::MAX`.
    seen: u32,
    /// The minute to come.
    next: Minute,
    /// Minutes since the last one with a busy container, counted from the minute to come; 0 when there was none.
    since: u32,
}

/// Why a minute was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryError {
    /// The minute lies before the one expected next.
    Past {
        /// The minute offered.
        minute: Minute,
        /// The minute expected.
        expected: Minute,
    },
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Past { minute, expected } => write!(
                f,
                "minute {} is already closed (expected {} or later); count late events before closing the minute",
                minute.0, expected.0
            ),
        }
    }
}

impl core::error::Error for HistoryError {}

impl<const N: usize> History<N> {
    /// An empty history whose first minute is `first`.
    pub const fn new(first: Minute) -> Self {
        const { assert!(N >= 256, "the shortest history covers the features of four hours") };
        Self { peaks: [0; N], counts: [0; COUNT_MINUTES], head: 0, seen: 0, next: first, since: 0 }
    }

    /// Close `minute` with `count` invocations and `peak` busy containers. Minutes left out since the last call were
    /// quiet. Work: one write a minute, at most `N` for a gap.
    pub fn observe(&mut self, minute: Minute, count: u32, peak: u32) -> Result<(), HistoryError> {
        let Some(gap) = minute.0.checked_sub(self.next.0) else {
            return Err(HistoryError::Past { minute, expected: self.next });
        };
        // Quiet minutes older than the ring leave no trace but their number.
        let skipped = gap.saturating_sub(N as u32);
        self.seen = self.seen.saturating_add(skipped);
        if self.since > 0 {
            self.since = self.since.saturating_add(skipped);
        }
        self.next = Minute(self.next.0 + skipped);
        for _ in skipped..gap {
            self.push(0, 0);
        }
        self.push(count, peak);
        Ok(())
    }

    /// Close the minute to come.
    pub fn push(&mut self, count: u32, peak: u32) {
        let head = self.head as usize;
        self.peaks[head] = saturate(peak);
        self.head = if head + 1 == N { 0 } else { head as u32 + 1 };
        self.counts[self.next.0 as usize % COUNT_MINUTES] = saturate(count);
        self.seen = self.seen.saturating_add(1);
        self.next = Minute(self.next.0.saturating_add(1));
        if peak > 0 {
            self.since = 1;
        } else if self.since > 0 {
            self.since = self.since.saturating_add(1);
        }
    }

    /// The minute to come: the one a forecast is for.
    pub const fn next(&self) -> Minute {
        self.next
    }

    /// Minutes pushed so far.
    pub const fn seen(&self) -> u32 {
        self.seen
    }

    /// Minutes from the last busy one to the one to come (1: the last minute was busy); `None` when there was none.
    pub const fn since_busy(&self) -> Option<u32> {
        if self.since > 0 { Some(self.since) } else { None }
    }

    /// Peak `lag >= 1` minutes before the minute to come; `None` when it was not observed or is forgotten.
    pub fn peak(&self, lag: usize) -> Option<u16> {
        if lag == 0 || lag > N || lag > self.seen as usize {
            return None;
        }
        let head = self.head as usize;
        self.peaks.get(if lag <= head { head - lag } else { head + N - lag }).copied()
    }

    /// Invocations `lag` minutes before the minute to come, `1 <= lag <=` [`COUNT_MINUTES`]; 0 when not observed.
    pub fn count(&self, lag: usize) -> u16 {
        if lag == 0 || lag > COUNT_MINUTES || lag > self.seen as usize {
            return 0;
        }
        self.counts[(self.next.0 as usize).wrapping_sub(lag) % COUNT_MINUTES]
    }

    /// The last `L` peaks, newest last; minutes not observed are 0.
    pub(super) fn recent<const L: usize>(&self) -> [u16; L] {
        let mut out = [0; L];
        let head = self.head as usize;
        let newest = head.min(L);
        out[L - newest..].copy_from_slice(&self.peaks[head - newest..head]);
        let older = (L - newest).min(N - head);
        out[L - newest - older..L - newest].copy_from_slice(&self.peaks[N - older..]);
        out
    }

    /// Sum, largest and number of known peaks at lags `first..=last`.
    pub(super) fn span(&self, first: usize, last: usize) -> Span {
        let mut span = Span::default();
        for lag in first..=last {
            if let Some(peak) = self.peak(lag) {
                span.sum += u32::from(peak);
                span.max = span.max.max(peak);
                span.known += 1;
            }
        }
        span
    }
}

/// What a few minutes held together.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) sum: u32,
    pub(super) max: u16,
    pub(super) known: u32,
}

impl Span {
    /// Mean of the known minutes; 0 without any.
    pub(super) fn mean(self) -> f32 {
        if self.known == 0 { 0.0 } else { self.sum as f32 / self.known as f32 }
    }
}

fn saturate(value: u32) -> u16 {
    value.min(u32::from(u16::MAX)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn a_gap_is_quiet_and_the_past_is_refused() {
        let mut history = History::<256>::new(Minute(10));
        history.observe(Minute(12), 3, 2).unwrap();
        assert_eq!(
            (history.peak(1), history.peak(2), history.peak(3), history.peak(4)),
            (Some(2), Some(0), Some(0), None)
        );
        assert_eq!((history.count(1), history.count(2)), (3, 0));
        let refused = history.observe(Minute(11), 1, 1);
        assert_eq!(refused, Err(HistoryError::Past { minute: Minute(11), expected: Minute(13) }));
        history.observe(Minute(3_000_000_000), 1, 70_000).unwrap();
        assert_eq!(
            (history.peak(1), history.peak(2), history.since_busy()),
            (Some(u16::MAX), Some(0), Some(1))
        );
        assert_eq!(history.next(), Minute(3_000_000_001));
    }

    proptest! {
        #[test]
        fn the_ring_answers_like_the_whole_series(peaks in proptest::collection::vec(0u32..9, 0..700), lag in 1usize..300) {
            let mut history = History::<256>::new(Minute(0));
            for &peak in &peaks {
                history.push(2 * peak, peak);
            }
            let expected = (lag <= 256 && lag <= peaks.len()).then(|| peaks[peaks.len() - lag] as u16);
            prop_assert_eq!(history.peak(lag), expected);
            if lag <= COUNT_MINUTES && lag <= peaks.len() {
                prop_assert_eq!(u32::from(history.count(lag)), 2 * peaks[peaks.len() - lag]);
            }
            let mut padded: Vec<u16> = std::vec![0; 240];
            padded.extend(peaks.iter().map(|&p| p as u16));
            let recent = history.recent::<240>();
            prop_assert_eq!(recent.as_slice(), &padded[padded.len() - 240..]);
            let since = peaks.iter().rev().position(|&p| p > 0).map(|back| back as u32 + 1);
            prop_assert_eq!(history.since_busy(), since);
        }
    }
}

//! The last minutes of one function: invocations and peak concurrency in fixed rings.
//!
//! Minutes are pushed in order, quiet ones included; a gap is filled with quiet minutes. Everything the features
//! need is read back from here, so there is no running sum that could drift. Counts above 65,535 saturate.

use crate::time::Minute;

/// Minutes of invocation counts kept (peaks are kept for `N`).
pub const COUNT_MINUTES: usize = 64;

/// Rolling windows, minutes, in nested order.
pub(super) const WINDOWS: [usize; 4] = [5, 15, 60, 240];
pub(super) const DAY: usize = 1440;
/// Days looked back at this time of day, and minutes around it.
pub(super) const DAYS: usize = 3;
pub(super) const AROUND: usize = 7;

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
    /// Sums of the last 5, 15, 60 and 240 peaks ([`WINDOWS`]).
    sums: [u32; WINDOWS.len()],
    /// Sum of the peaks around this time on the last three days ([`DAYS`], [`AROUND`]).
    day_sum: u32,
    /// Minutes since the last one with a busy container, counted from the minute to come; 0 when there was none.
    since: u32,
}

impl<const N: usize> History<N> {
    /// An empty history whose first minute is `first`.
    pub const fn new(first: Minute) -> Self {
        const { assert!(N >= 256, "the shortest history covers the features of four hours") };
        Self {
            peaks: [0; N],
            counts: [0; COUNT_MINUTES],
            head: 0,
            seen: 0,
            next: first,
            since: 0,
            sums: [0; WINDOWS.len()],
            day_sum: 0,
        }
    }

    /// Let `minutes` quiet minutes pass at once that are older than the ring will reach when it has been filled again.
    pub(super) fn skip(&mut self, minutes: u32) {
        self.seen = self.seen.saturating_add(minutes);
        self.next = Minute(self.next.0.saturating_add(minutes));
        if self.since > 0 {
            self.since = self.since.saturating_add(minutes);
        }
    }

    /// Close the minute to come.
    pub fn push(&mut self, count: u32, peak: u32) {
        // Sums of whole numbers: exact, so they never drift from the ring.
        let entering = u32::from(saturate(peak));
        for (k, window) in WINDOWS.into_iter().enumerate() {
            self.sums[k] += entering;
            self.sums[k] -= self.known_or_quiet(window);
        }
        for day in Self::days() {
            self.day_sum += self.known_or_quiet(day * DAY - AROUND - 1);
            self.day_sum -= self.known_or_quiet(day * DAY + AROUND);
        }
        let head = self.head();
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

    /// Where the next peak is written: in the ring, which the compiler does not know.
    fn head(&self) -> usize {
        (self.head as usize).min(N - 1)
    }

    /// The days whose minutes the ring keeps.
    fn days() -> core::ops::RangeInclusive<usize> {
        1..=(N.saturating_sub(AROUND) / DAY).min(DAYS)
    }

    fn known_or_quiet(&self, lag: usize) -> u32 {
        u32::from(self.peak(lag).unwrap_or(0))
    }

    /// Mean peak of the last [`WINDOWS`]`[index]` minutes, of those observed.
    pub(super) fn mean(&self, index: usize) -> f32 {
        let known = WINDOWS[index].min(self.seen as usize).max(1);
        self.sums[index] as f32 / known as f32
    }

    /// Mean peak around this time on the last days; `None` without a day behind.
    pub(super) fn days_mean(&self) -> Option<f32> {
        let reach = self.seen as usize;
        let known: usize =
            Self::days().map(|day| (reach + 1).saturating_sub(day * DAY - AROUND).min(2 * AROUND + 1)).sum();
        (known > 0).then(|| self.day_sum as f32 / known as f32)
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
        let head = self.head();
        let newest = head.min(L);
        out[L - newest..].copy_from_slice(&self.peaks[head - newest..head]);
        let older = (L - newest).min(N - head);
        out[L - newest - older..L - newest].copy_from_slice(&self.peaks[N - older..]);
        out
    }

    /// The peaks at `lags` together, of those known.
    pub(super) fn span(&self, lags: impl Iterator<Item = usize>) -> Span {
        let mut span = Span::default();
        for peak in lags.filter_map(|lag| self.peak(lag)) {
            span.min = if span.known == 0 { peak } else { span.min.min(peak) };
            span.max = span.max.max(peak);
            span.sum += u32::from(peak);
            span.known += 1;
        }
        span
    }

    /// The last `count` repeats of a period.
    pub(super) fn repeats(&self, period: usize, count: usize) -> Span {
        self.span((1..=count).map(|repeat| repeat * period))
    }
}

/// What a few minutes held together.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) sum: u32,
    pub(super) min: u16,
    pub(super) max: u16,
    pub(super) known: u32,
}

impl Span {
    /// Mean of the known minutes.
    pub(super) fn mean(self) -> Option<f32> {
        (self.known > 0).then(|| self.sum as f32 / self.known as f32)
    }
}

/// Counts as the history keeps them.
pub(crate) fn saturate(value: u32) -> u16 {
    value.min(u32::from(u16::MAX)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn a_span_holds_what_its_known_minutes_held() {
        let mut history = History::<256>::new(Minute(0));
        for peak in [7, 3, 5, 9] {
            history.push(peak, peak);
        }
        let Span { sum, min, max, known } = history.span([1, 2, 3, 5].into_iter());
        assert_eq!((sum, min, max, known), (9 + 5 + 3, 3, 9, 3));
        assert_eq!(history.span([5].into_iter()).mean(), None);
    }

    #[test]
    fn a_ring_of_one_day_knows_the_mean_of_that_day() {
        const N: usize = DAY + AROUND;
        let (mut history, mut shorter) = (History::<N>::new(Minute(0)), History::<{ N - 1 }>::new(Minute(0)));
        let peaks: Vec<u32> = (0..3 * DAY as u32).map(|minute| minute % 11).collect();
        for &peak in &peaks {
            history.push(peak, peak);
            shorter.push(peak, peak);
        }
        let around = &peaks[peaks.len() - DAY - AROUND..=peaks.len() - DAY + AROUND];
        let mean = around.iter().sum::<u32>() as f32 / around.len() as f32;
        assert_eq!((history.days_mean(), shorter.days_mean()), (Some(mean), None));
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
            for (index, window) in WINDOWS.into_iter().enumerate() {
                let sum: u32 = peaks.iter().rev().take(window).sum();
                let mean = sum as f32 / window.min(peaks.len()).max(1) as f32;
                prop_assert_eq!(history.mean(index), mean);
            }
        }
    }
}

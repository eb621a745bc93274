//! The runs of one function that touch minutes not yet final, and the windows counted from them.
//!
//! Up to a cap every run is kept and windows are exact: the same as those of
//! [`WindowSeries`](aquatope_core::window::WindowSeries), without its fixed capacity. Beyond it the older half goes to
//! [`Occupancy`], which still counts invocations, cold starts and busy time exactly but samples concurrency.

use aquatope_core::activation::ActivationId;
use aquatope_core::time::Minute;
use aquatope_core::window::Window;

use super::occupancy::{MINUTE_MS, Occupancy};

/// A container's worth of demand, `[from, to)` in ms since the epoch: see
/// [`Activation::demand`](aquatope_core::activation::Activation::demand).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) id: ActivationId,
    pub(super) cold: bool,
}

/// See the module's header. 32 bytes a run that is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// By `(from, id)`.
    kept: Vec<Run>,
    spilled: Option<Box<Occupancy>>,
    /// Whether a back-filled run is among those kept: its times differ from those in its event, so only its id tells
    /// that they are one.
    backfilled: bool,
}

impl Runs {
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.spilled.is_none()
    }

    /// Whether some runs are only counted, no longer kept.
    pub(super) fn is_spilled(&self) -> bool {
        self.spilled.is_some()
    }

    /// The first minute a run touches.
    pub(super) fn first(&self) -> Option<Minute> {
        let kept = self.kept.first().map(|run| super::minute_of(run.from));
        let spilled = self.spilled.as_ref().and_then(|spilled| spilled.first_busy());
        kept.into_iter().chain(spilled).min()
    }

    /// Keep `run`; false: it is there already. Work: O(log n) when runs come about in order.
    pub(super) fn insert(&mut self, run: Run, backfilled: bool) -> bool {
        self.backfilled |= backfilled;
        if self.backfilled && self.kept.iter().any(|kept| kept.id == run.id) {
            return false;
        }
        let is_before = |kept: &Run| (kept.from, kept.id) < (run.from, run.id);
        // Mostly it comes last, or nearly: then the memory before is left alone.
        let near = self.kept.iter().rev().take(8).position(is_before);
        let place = match near {
            Some(after) => self.kept.len() - after,
            None => self.kept.partition_point(is_before),
        };
        if self.kept.get(place).is_some_and(|kept| (kept.from, kept.id) == (run.from, run.id)) {
            return false;
        }
        self.kept.insert(place, run);
        true
    }

    /// When more than `cap` runs are kept, count the older half and forget its intervals, telling the ids of them.
    pub(super) fn spill(&mut self, cap: usize, open: Minute, mut id: impl FnMut(ActivationId)) {
        if self.kept.len() <= cap {
            return;
        }
        let spilled = self.spilled.get_or_insert_with(|| Box::new(Occupancy::new(open)));
        for run in self.kept.drain(..cap / 2 + 1) {
            spilled.add(&run);
            id(run.id);
        }
    }

    /// Take back a run, if it is still kept.
    pub(super) fn remove(&mut self, id: ActivationId) -> Option<Run> {
        let place = self.kept.iter().position(|run| run.id == id)?;
        Some(self.kept.remove(place))
    }

    /// The windows of the minutes `from..until` in order, idle ones left out. `ends` is scratch.
    pub(super) fn windows(&self, from: Minute, until: Minute, ends: &mut Vec<u64>, each: impl FnMut(Window)) {
        match &self.spilled {
            None => self.exact_windows(from, until, ends, each),
            Some(spilled) => {
                let mut all = spilled.clone();
                self.kept.iter().for_each(|run| all.add(run));
                all.windows(from, until, each);
            }
        }
    }

    fn exact_windows(&self, from: Minute, until: Minute, ends: &mut Vec<u64>, mut each: impl FnMut(Window)) {
        ends.clear();
        ends.extend(self.kept.iter().map(|run| run.to));
        ends.sort_unstable();
        let start_ms = from.start().0;
        let mut started = self.kept.partition_point(|run| run.from < start_ms);
        let mut ended = ends.partition_point(|&to| to <= start_ms);
        let mut minute = from;
        while minute < until {
            if started == ended {
                // Idle until the next run starts.
                let Some(next) = self.kept.get(started) else { return };
                minute = minute.max(super::minute_of(next.from));
                if minute >= until {
                    return;
                }
            }
            let end = minute.start().0 + MINUTE_MS;
            let mut at = minute.start().0;
            let mut busy = (started - ended) as u64;
            let mut window = Window { minute, peak: busy as u32, ..Window::default() };
            // Ends go before starts at the same instant: a container is free when the next request takes it.
            loop {
                let next_start = self.kept.get(started).map_or(u64::MAX, |run| run.from);
                let next_end = ends.get(ended).copied().unwrap_or(u64::MAX);
                let next = next_start.min(next_end);
                let is_end = next_end <= next_start;
                // A run that ends with the minute is no part of the next one; one that starts there is no part of this.
                if next > end || (next == end && !is_end) {
                    break;
                }
                window.busy_ms += busy * (next - at);
                at = next;
                if is_end {
                    busy -= 1;
                    ended += 1;
                } else {
                    busy += 1;
                    window.peak = window.peak.max(busy as u32);
                    window.invocations += 1;
                    window.cold_starts += u32::from(self.kept[started].cold);
                    started += 1;
                }
            }
            window.busy_ms += busy * (end - at);
            each(window);
            minute.0 += 1;
        }
    }

    /// Forget what ended before minute `open` began.
    pub(super) fn forget(&mut self, open: Minute) {
        let open_ms = open.start().0;
        self.kept.retain(|run| run.to > open_ms);
        if let Some(spilled) = &mut self.spilled
            && spilled.forget(open)
        {
            self.spilled = None;
        }
        if self.kept.is_empty() {
            self.backfilled = false;
            // A function that was busy once does not hold memory for ever.
            if self.kept.capacity() > 16 {
                self.kept = Vec::new();
            }
        }
    }
}

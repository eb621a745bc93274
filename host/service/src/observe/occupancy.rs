//! Minutes of a function with too many runs to keep each one.
//!
//! Invocations, cold starts and busy time are exact. Concurrency is known at 600 instants a minute, 100 ms apart, so the
//! peak is never above the true one and misses only what lasts less than that. 2.4 KiB a minute
//! that is open and was not idle.

use std::collections::BTreeMap;

use aquatope_core::time::Minute;
use aquatope_core::window::Window;

use super::minute_of;
use super::runs::Run;

/// Milliseconds in a minute.
pub(super) const MINUTE_MS: u64 = 60_000;

const STEP_MS: u64 = 100;
const STEPS: usize = (MINUTE_MS / STEP_MS) as usize;

/// See the module's header.
#[derive(Clone, Debug)]
pub(super) struct Occupancy {
    first: Minute,
    /// Containers busy just before the first instant of `first`.
    before: i64,
    /// Every minute a run touches, and no other: between them nothing was busy.
    minutes: BTreeMap<Minute, Box<Counted>>,
}

#[derive(Clone, Debug)]
struct Counted {
    invocations: u32,
    cold_starts: u32,
    busy_ms: u64,
    /// How the number of busy containers changes at each instant.
    change: [i32; STEPS],
}

impl Occupancy {
    /// Nothing ran in minute `first` or later.
    pub(super) fn new(first: Minute) -> Self {
        Self { first, before: 0, minutes: BTreeMap::new() }
    }

    /// Count one run. What lies before the first minute is left out.
    pub(super) fn add(&mut self, run: &Run) {
        let origin = self.first.start().0;
        if run.to <= origin {
            return;
        }
        // The instants covered are those in [from, to).
        let (start, end) = (run.from.div_ceil(STEP_MS), run.to.div_ceil(STEP_MS));
        if run.from >= origin {
            let counted = self.minute(minute_of(run.from));
            counted.invocations += 1;
            counted.cold_starts += u32::from(run.cold);
        }
        let mut from = run.from.max(origin);
        while from < run.to {
            let minute = minute_of(from);
            let to = run.to.min(minute.start().0 + MINUTE_MS);
            self.minute(minute).busy_ms += to - from;
            from = to;
        }
        self.change_at(start.max(origin / STEP_MS), 1);
        self.change_at(end, -1);
    }

    fn change_at(&mut self, step: u64, by: i32) {
        self.minute(minute_of(step * STEP_MS)).change[(step % STEPS as u64) as usize] += by;
    }

    fn minute(&mut self, minute: Minute) -> &mut Counted {
        let idle = || Box::new(Counted { invocations: 0, cold_starts: 0, busy_ms: 0, change: [0; STEPS] });
        self.minutes.entry(minute).or_insert_with(idle)
    }

    /// The first minute that was not idle.
    pub(super) fn first_busy(&self) -> Option<Minute> {
        self.minutes.first_key_value().map(|(&minute, _)| minute)
    }

    /// The windows of `from..until` in order, idle ones left out.
    pub(super) fn windows(&self, from: Minute, until: Minute, mut each: impl FnMut(Window)) {
        let mut busy = self.before;
        for (&minute, counted) in self.minutes.range(..until) {
            let mut peak = 0;
            for change in counted.change {
                busy += i64::from(change);
                peak = peak.max(busy);
            }
            if minute < from || (counted.busy_ms == 0 && counted.invocations == 0) {
                continue;
            }
            // No fewer than the mean, and one when all runs fell between two instants.
            let peak = (peak.max(1) as u64).max(counted.busy_ms.div_ceil(MINUTE_MS));
            let Counted { invocations, cold_starts, busy_ms, .. } = **counted;
            each(Window { minute, invocations, cold_starts, peak: peak as u32, busy_ms });
        }
    }

    /// Forget the minutes before `open`; true: nothing is left.
    pub(super) fn forget(&mut self, open: Minute) -> bool {
        self.first = self.first.max(open);
        while let Some(entry) = self.minutes.first_entry().filter(|entry| *entry.key() < open) {
            self.before += entry.remove().change.iter().map(|&change| i64::from(change)).sum::<i64>();
        }
        self.minutes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use aquatope_core::activation::ActivationId;
    use proptest::prelude::*;

    use super::super::runs::Runs;
    use super::*;

    fn windows(runs: &Runs, from: u32, until: u32) -> Vec<Window> {
        let mut windows = Vec::new();
        runs.windows(Minute(from), Minute(until), &mut Vec::new(), |window| windows.push(window));
        windows
    }

    #[test]
    fn idle_minutes_take_no_memory() {
        let mut runs = Runs::default();
        let start = Minute(30_000_000).start().0;
        for id in 0..10 {
            let from = start + id * 10_000;
            runs.insert(Run { from, to: from + 1_000, id: ActivationId(id), cold: false }, false);
            // Years lie between the first open minute and the runs.
            runs.spill(3, Minute(0), |_| ());
        }
        assert_eq!(runs.first(), Some(Minute(30_000_000)));
        let counted: Vec<_> =
            windows(&runs, 0, 30_000_010).iter().map(|w| (w.minute.0, w.invocations)).collect();
        assert_eq!(counted, [(30_000_000, 6), (30_000_001, 4)]);
        let mut occupancy = Occupancy::new(Minute(0));
        occupancy.add(&Run { from: start, to: start + 1_000, id: ActivationId(0), cold: false });
        assert_eq!(occupancy.minutes.len(), 1);
    }

    proptest! {
        /// On a grid of 100 ms the samples miss nothing: both ways of counting agree, minute after minute.
        #[test]
        fn equals_the_exact_count_on_its_grid(
            times in prop::collection::vec((0_u64..3_000, 1_u64..1_500, any::<bool>()), 0..60),
            forgotten in 0_u32..4,
        ) {
            let (mut exact, mut sampled) = (Runs::default(), Runs::default());
            for (id, (from, length, cold)) in times.into_iter().enumerate() {
                let (from, to) = (from * 100, (from + length) * 100);
                let run = Run { from, to, id: ActivationId(id as u64), cold };
                exact.insert(run, false);
                sampled.insert(run, false);
                sampled.spill(3, Minute(0), |_| ());
            }
            prop_assert_eq!(windows(&sampled, 0, 10), windows(&exact, 0, 10));
            exact.forget(Minute(forgotten));
            sampled.forget(Minute(forgotten));
            prop_assert_eq!(windows(&sampled, forgotten, 10), windows(&exact, forgotten, 10));
            sampled.forget(Minute(10));
            prop_assert!(sampled.is_empty());
        }

        /// Off the grid the peak is at most the true one, and the rest is exact.
        #[test]
        fn is_never_above_the_true_peak(
            times in prop::collection::vec((0_u64..100_000, 1_u64..5_000), 1..60),
        ) {
            let (mut exact, mut sampled) = (Runs::default(), Runs::default());
            for (id, (from, length)) in times.into_iter().enumerate() {
                let run = Run { from, to: from + length, id: ActivationId(id as u64), cold: false };
                exact.insert(run, false);
                sampled.insert(run, false);
                sampled.spill(3, Minute(0), |_| ());
            }
            let (sampled, exact) = (windows(&sampled, 0, 10), windows(&exact, 0, 10));
            prop_assert_eq!(sampled.len(), exact.len());
            for (sampled, exact) in sampled.iter().zip(&exact) {
                prop_assert!(sampled.peak <= exact.peak);
                prop_assert_eq!(Window { peak: exact.peak, ..*sampled }, *exact);
            }
        }
    }
}

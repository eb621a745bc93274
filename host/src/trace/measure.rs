//! Counts and peak concurrency per minute from the invocations themselves.

use std::ops::Range;

use super::{Event, Trace};
use crate::forecast::Observation;

impl Trace {
    /// Fill [`Trace::counts`] and [`Trace::peaks`] from [`Trace::events`], which must be sorted by start;
    /// [`Trace::minutes`] grows to hold them. Functions with a concurrency above 1 need fewer containers at the peak.
    pub fn measure_events(&mut self) {
        let last = self.events.last().map_or(0, |event| (event.start_s / 60.0) as usize + 1);
        self.extend_to(last);
        for (function, events) in self.events_by_function().iter().enumerate() {
            (self.counts[function], self.peaks[function]) = measure(events, 0..self.minutes, 0.0);
            let concurrency = self.functions[function].concurrency;
            for peak in &mut self.peaks[function] {
                *peak = peak.div_ceil(concurrency);
            }
        }
    }

    /// What is known of each of `minutes` a cold start before its end, `[minute][function]`: a container that is launched
    /// then is warm when the next minute begins. For functions that start each other, which are forecast from each other, it
    /// is the longest cold start of them. [`Trace::events`] must be sorted by start.
    pub fn so_far(&self, minutes: Range<usize>) -> Vec<Vec<Observation>> {
        let mut longest_s = vec![0.0_f64; self.functions.len()];
        for (function, described) in self.functions.iter().enumerate() {
            let longest_s = &mut longest_s[self.first_stage(function)];
            *longest_s = longest_s.max(described.cold_start_s);
        }
        let mut observations = vec![vec![Observation::default(); self.functions.len()]; minutes.len()];
        for (function, events) in self.events_by_function().iter().enumerate() {
            let unseen_s = longest_s[self.first_stage(function)];
            let (counts, peaks) = measure(events, minutes.clone(), unseen_s);
            let concurrency = self.functions[function].concurrency;
            for ((minute, count), peak) in observations.iter_mut().zip(counts).zip(peaks) {
                minute[function] = Observation { count, peak: peak.div_ceil(concurrency) };
            }
        }
        observations
    }

    /// The stage before all stages before `function`.
    fn first_stage(&self, function: usize) -> usize {
        let before = std::iter::successors(Some(function), |&stage| self.functions[stage].parent);
        // Bounded, should they start each other in a ring.
        before.take(self.functions.len()).last().unwrap_or(function)
    }

    /// The events of each function, by start.
    pub fn events_by_function(&self) -> Vec<Vec<Event>> {
        let mut grouped = vec![Vec::new(); self.functions.len()];
        for event in &self.events {
            grouped[event.function as usize].push(*event);
        }
        grouped
    }
}

/// Invocations started and peak simultaneously running ones in each of `minutes`, up to `unseen_s` before its end;
/// `events` sorted by start. An invocation that ends at the instant another starts frees its container for it; none is
/// over before it has started, however short.
fn measure(events: &[Event], minutes: Range<usize>, unseen_s: f64) -> (Vec<u32>, Vec<u32>) {
    let (mut counts, mut peaks) = (vec![0u32; minutes.len()], vec![0u32; minutes.len()]);
    let end = |event: &Event| (event.start_s + event.duration_s).max(event.start_s.next_up());
    let mut ends: Vec<f64> = events.iter().map(end).collect();
    ends.sort_unstable_by(f64::total_cmp);
    let (mut started, mut ended) = (0, 0);
    for ((minute, count), most) in minutes.zip(&mut counts).zip(&mut peaks) {
        let (from, until) = (minute as f64 * 60.0, (minute + 1) as f64 * 60.0 - unseen_s);
        while started < events.len() && events[started].start_s < from {
            started += 1;
        }
        while ended < started && ends[ended] <= from {
            ended += 1;
        }
        let mut peak = started - ended;
        while started < events.len() && events[started].start_s < until {
            while ended < started && ends[ended] <= events[started].start_s {
                ended += 1;
            }
            started += 1;
            *count += 1;
            peak = peak.max(started - ended);
        }
        *most = peak as u32;
    }
    (counts, peaks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Function;

    fn event(start_s: f64, duration_s: f64) -> Event {
        Event { function: 0, start_s, duration_s }
    }

    #[test]
    fn peaks_count_what_runs_over_from_the_minute_before() {
        // 10..70 and 20..50 overlap; the first still runs at 60; 65..66 overlaps with it; 70 takes its place.
        let events = [event(10.0, 60.0), event(20.0, 30.0), event(65.0, 1.0), event(70.0, 5.0)];
        let (counts, peaks) = measure(&events, 0..3, 0.0);
        assert_eq!(counts, [2, 2, 0]);
        assert_eq!(peaks, [2, 2, 0]);
    }

    #[test]
    fn an_invocation_of_no_length_needs_a_container() {
        assert_eq!(measure(&[event(0.0, 10.0), event(5.0, 0.0), event(130.0, 0.0)], 0..3, 0.0).1, [2, 0, 1]);
    }

    #[test]
    fn an_end_at_the_boundary_does_not_reach_into_the_next_minute() {
        assert_eq!(measure(&[event(30.0, 30.0)], 0..2, 0.0).1, [1, 0]);
        assert_eq!(measure(&[event(30.0, 31.0), event(61.0, 4.0)], 0..2, 0.0).1, [1, 1]);
    }

    #[test]
    fn what_is_not_seen_yet_counts_as_running_afterwards() {
        // 58.5..70 starts in the last two seconds of its minute, 61..63 next to it; 100..160 runs on.
        let events = [event(10.0, 1.0), event(58.5, 11.5), event(61.0, 2.0), event(100.0, 60.0)];
        assert_eq!(measure(&events, 0..3, 0.0), (vec![2, 2, 0], vec![1, 2, 1]));
        assert_eq!(measure(&events, 0..3, 2.0), (vec![1, 2, 0], vec![1, 2, 1]));
        assert_eq!(measure(&events, 1..3, 2.0), (vec![2, 0], vec![2, 1]));
        // Nothing of a minute is known a minute before its end but what ran when it began.
        assert_eq!(measure(&events, 0..3, 60.0), (vec![0; 3], vec![0, 1, 1]));
    }

    fn described(cold_start_s: f64, parent: Option<usize>) -> Function {
        let (name, trigger, workflow) = (String::new(), String::new(), None);
        let (memory_mb, mean_duration_s, concurrency) = (256.0, 1.0, 1);
        Function { name, trigger, workflow, parent, cold_start_s, memory_mb, mean_duration_s, concurrency }
    }

    #[test]
    fn stages_are_seen_as_far_as_the_slowest_of_their_workflow_allows() {
        let mut trace = Trace::default();
        // A stage, what it starts, and a function of its own, each once in the last five seconds.
        for (function, (cold_start_s, parent)) in
            [(0.5, None), (4.0, Some(0)), (1.0, None)].into_iter().enumerate()
        {
            trace.functions.push(described(cold_start_s, parent));
            trace.events.push(Event { function: function as u32, start_s: 57.0, duration_s: 1.0 });
        }
        trace.measure_events();
        let seen: Vec<u32> = trace.so_far(0..1)[0].iter().map(|of| of.count).collect();
        assert_eq!(seen, [0, 0, 1]);
    }
}

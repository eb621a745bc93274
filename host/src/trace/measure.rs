//! Counts and peak concurrency per minute from the invocations themselves.

use super::{Event, Trace};

impl Trace {
    /// Fill [`Trace::counts`] and [`Trace::peaks`] from [`Trace::events`], which must be sorted by start;
    /// [`Trace::minutes`] grows to hold them. Functions with a concurrency above 1 need fewer containers at the peak.
    pub fn measure_events(&mut self) {
        let last = self.events.last().map_or(0, |event| (event.start_s / 60.0) as usize + 1);
        self.extend_to(last);
        for (function, events) in self.events_by_function().iter().enumerate() {
            (self.counts[function], self.peaks[function]) = measure(events, self.minutes);
            let concurrency = self.functions[function].concurrency;
            for peak in &mut self.peaks[function] {
                *peak = peak.div_ceil(concurrency);
            }
        }
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

/// Invocations started and peak simultaneously running ones in every minute; `events` sorted by start.
/// An invocation that ends at the instant another starts frees its container for it; none is over before it has
/// started, however short.
fn measure(events: &[Event], minutes: usize) -> (Vec<u32>, Vec<u32>) {
    let (mut counts, mut peaks) = (vec![0u32; minutes], vec![0u32; minutes]);
    let end = |event: &Event| (event.start_s + event.duration_s).max(event.start_s.next_up());
    let mut ends: Vec<f64> = events.iter().map(end).collect();
    ends.sort_unstable_by(f64::total_cmp);
    let (mut started, mut ended) = (0, 0);
    for minute in 0..minutes {
        let (from, until) = (minute as f64 * 60.0, (minute + 1) as f64 * 60.0);
        while ended < started && ends[ended] <= from {
            ended += 1;
        }
        let mut peak = started - ended;
        while started < events.len() && events[started].start_s < until {
            while ended < started && ends[ended] <= events[started].start_s {
                ended += 1;
            }
            started += 1;
            counts[minute] += 1;
            peak = peak.max(started - ended);
        }
        peaks[minute] = peak as u32;
    }
    (counts, peaks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(start_s: f64, duration_s: f64) -> Event {
        Event { function: 0, start_s, duration_s }
    }

    #[test]
    fn peaks_count_what_runs_over_from_the_minute_before() {
        // 10..70 and 20..50 overlap; the first still runs at 60; 65..66 overlaps with it; 70 takes its place.
        let events = [event(10.0, 60.0), event(20.0, 30.0), event(65.0, 1.0), event(70.0, 5.0)];
        let (counts, peaks) = measure(&events, 3);
        assert_eq!(counts, [2, 2, 0]);
        assert_eq!(peaks, [2, 2, 0]);
    }

    #[test]
    fn an_invocation_of_no_length_needs_a_container() {
        assert_eq!(measure(&[event(0.0, 10.0), event(5.0, 0.0), event(130.0, 0.0)], 3).1, [2, 0, 1]);
    }

    #[test]
    fn an_end_at_the_boundary_does_not_reach_into_the_next_minute() {
        assert_eq!(measure(&[event(30.0, 30.0)], 2).1, [1, 0]);
        assert_eq!(measure(&[event(30.0, 31.0), event(61.0, 4.0)], 2).1, [1, 1]);
    }
}

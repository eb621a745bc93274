//! Events for traces that only have counts per minute.
//!
//! Nothing in such a trace says when in its minute an invocation started, so this is an assumption, reproducible
//! by its seed: functions with a timer trigger fire at one fixed second of the minute (with a jitter of half a
//! second), all others uniformly. Durations follow the percentiles of the trace; without them they are log-normal
//! around a mean drawn from the distribution usually quoted from "Serverless in the Wild" (Shahrad et al. 2020,
//! section 3.4: log-mean -0.38, log-deviation 2.36, seconds).

use aquatope_core::random::{standard_normal, uniform};
use aquatope_core::window::Trigger;
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::azure::{Counts, PERCENTILES};
use super::{Event, Trace};

/// A log-normal with coefficient of variation 0.5: variation of one function's durations where unknown.
const DURATION_LOG_DEVIATION: f64 = 0.472;
/// The shortest invocation, seconds.
const LEAST_DURATION_S: f64 = 0.001;

/// Put the invocations of `counts` into their minutes and measure the peaks.
pub(super) fn invocations(counts: Counts, seed: u64) -> Trace {
    let Counts { mut trace, durations } = counts;
    for function in 0..trace.functions.len() {
        let mut rng = generator(seed, function);
        let described = &mut trace.functions[function];
        let fires_at_s = (Trigger::from_name(&described.trigger) == Trigger::Timer)
            .then(|| 1.0 + 54.0 * uniform(&mut rng));
        if durations[function].is_none() && described.mean_duration_s <= 0.0 {
            described.mean_duration_s = (-0.38 + 2.36 * standard_normal(&mut rng)).exp().clamp(0.01, 60.0);
        }
        let log_mean = described.mean_duration_s.ln() - 0.5 * DURATION_LOG_DEVIATION.powi(2);
        for (minute, &count) in trace.counts[function].iter().enumerate() {
            for _ in 0..count {
                let second = match fires_at_s {
                    Some(second) => second + 0.5 * standard_normal(&mut rng).abs(),
                    None => 60.0 * uniform(&mut rng),
                };
                let duration_s = match &durations[function] {
                    Some(seconds) => interpolate(seconds, uniform(&mut rng)),
                    None => (log_mean + DURATION_LOG_DEVIATION * standard_normal(&mut rng)).exp(),
                };
                trace.events.push(Event {
                    function: function as u32,
                    start_s: minute as f64 * 60.0 + second,
                    duration_s: duration_s.max(LEAST_DURATION_S),
                });
            }
        }
    }
    trace.events.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    // A timer's jitter may carry an invocation over the end of its minute, so the counts are measured as well.
    let minutes = trace.minutes;
    trace.events.retain(|event| event.start_s < minutes as f64 * 60.0);
    trace.measure_events();
    trace
}

/// Events for a trace that states containers in use per minute: each is held for its whole minute, and, since such
/// a trace knows no durations, is ready at once. Cold starts then are containers short in a minute.
pub(super) fn containers(trace: &mut Trace) {
    for function in &mut trace.functions {
        (function.cold_start_s, function.mean_duration_s, function.concurrency) = (0.0, 60.0, 1);
    }
    trace.events.clear();
    for minute in 0..trace.minutes {
        for (function, peaks) in trace.peaks.iter().enumerate() {
            let event = Event { function: function as u32, start_s: minute as f64 * 60.0, duration_s: 60.0 };
            trace.events.extend(std::iter::repeat_n(event, peaks[minute] as usize));
        }
    }
}

/// The generator of one function: its invocations do not depend on the other functions of the trace.
fn generator(seed: u64, function: usize) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed ^ (function as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The quantile at `level`, linear between [`PERCENTILES`].
fn interpolate(seconds: &[f64; 7], level: f64) -> f64 {
    let upper = PERCENTILES.iter().position(|&p| p >= level).unwrap_or(6).max(1);
    let (p0, p1) = (PERCENTILES[upper - 1], PERCENTILES[upper]);
    let share = (level - p0) / (p1 - p0);
    seconds[upper - 1] + share * (seconds[upper] - seconds[upper - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_interpolated() {
        let seconds = [0.0, 1.0, 25.0, 50.0, 75.0, 99.0, 100.0];
        assert_eq!(interpolate(&seconds, 0.5), 50.0);
        assert!((interpolate(&seconds, 0.375) - 37.5).abs() < 1e-12);
        assert!((interpolate(&seconds, 0.995) - 99.5).abs() < 1e-9);
    }
}

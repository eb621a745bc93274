//! Arrival processes: when invocations start, in seconds since the trace began.

use aquatope_core::random::{exponential, standard_normal, uniform};
use rand_core::Rng;

pub(super) const DAY_MINUTES: usize = 1440;
const MINUTE_S: f64 = 60.0;

/// A Poisson process whose rate (per minute) is constant within each minute.
pub(super) fn poisson<R: Rng>(rates: &[f64], rng: &mut R) -> Vec<f64> {
    let mut starts = Vec::new();
    for (minute, &rate) in rates.iter().enumerate() {
        let begin_s = minute as f64 * MINUTE_S;
        let mut second = exponential(rng, MINUTE_S / rate.max(1e-9));
        while second < MINUTE_S {
            starts.push(begin_s + second);
            second += exponential(rng, MINUTE_S / rate);
        }
    }
    starts
}

/// A rate of `mean` per minute that follows the day, with a second harmonic, quieter weekends and, at `sharpness`
/// above 1, a narrower peak; a slow multiplicative noise makes no two days alike.
pub(super) fn diurnal<R: Rng>(minutes: usize, mean: f64, rng: &mut R) -> Vec<f64> {
    let amplitude = 0.5 + 0.4 * uniform(rng);
    let weekend = 0.3 + 0.6 * uniform(rng);
    let sharpness = 1.0 + uniform(rng);
    let peak_hour = 9.0 + 11.0 * uniform(rng);
    let mut noise = 0.0;
    let rates: Vec<f64> = (0..minutes)
        .map(|minute| {
            let hour = (minute % DAY_MINUTES) as f64 / 60.0;
            let angle = std::f64::consts::TAU * (hour - peak_hour) / 24.0;
            let shape = 1.0 + amplitude * angle.cos() + 0.25 * amplitude * (2.0 * angle).cos();
            let day = if minute / DAY_MINUTES % 7 >= 5 { weekend } else { 1.0 };
            noise = 0.97 * noise + 0.05 * standard_normal(rng);
            shape.max(0.03).powf(sharpness) * day * noise.exp()
        })
        .collect();
    scaled_to(mean, rates)
}

/// A rate that switches between nearly nothing and bursts (a two-state modulated Poisson process), with bursts of
/// `burst_min` minutes on average and a coefficient of variation of the counts per minute of about `variation`.
pub(super) fn bursty<R: Rng>(
    minutes: usize,
    mean: f64,
    variation: f64,
    burst_min: f64,
    rng: &mut R,
) -> Vec<f64> {
    // A rate that is on for a share d of the time has CV^2 = (1 - d) / d; counts add 1 / mean.
    let duty = 1.0 / (1.0 + (variation * variation - 1.0 / mean).max(0.05));
    let low = 0.02 * mean;
    let high = (mean - (1.0 - duty) * low) / duty;
    let mut on = uniform(rng) < duty;
    let mut rates = Vec::with_capacity(minutes);
    while rates.len() < minutes {
        let stay_min = if on { burst_min } else { burst_min * (1.0 - duty) / duty };
        let length = exponential(rng, stay_min).round().max(1.0) as usize;
        rates.extend(std::iter::repeat_n(if on { high } else { low }, length.min(minutes - rates.len())));
        on = !on;
    }
    rates
}

/// `number` invocations every `period_s` seconds, each late by its own jitter of about `jitter_s`.
pub(super) fn timer<R: Rng>(
    minutes: usize,
    period_s: f64,
    number: usize,
    jitter_s: f64,
    rng: &mut R,
) -> Vec<f64> {
    let phase_s = 5.0 + 45.0 * uniform(rng);
    let firings = ((minutes as f64 * MINUTE_S - phase_s) / period_s).ceil() as usize;
    let mut starts = Vec::with_capacity(firings * number);
    for firing in 0..firings {
        for _ in 0..number {
            starts.push(phase_s + firing as f64 * period_s + jitter_s * standard_normal(rng).abs());
        }
    }
    starts
}

/// A log-normal variate of the given mean and coefficient of variation.
pub(super) fn log_normal<R: Rng>(mean: f64, variation: f64, rng: &mut R) -> f64 {
    let variance = (1.0 + variation * variation).ln();
    (mean.ln() - 0.5 * variance + variance.sqrt() * standard_normal(rng)).exp()
}

fn scaled_to(mean: f64, mut rates: Vec<f64>) -> Vec<f64> {
    let factor = mean * rates.len() as f64 / rates.iter().sum::<f64>();
    for rate in &mut rates {
        *rate *= factor;
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    const TWO_WEEKS: usize = 14 * DAY_MINUTES;

    /// Mean and coefficient of variation of the counts per minute.
    fn moments(starts: &[f64]) -> (f64, f64) {
        let mut counts = vec![0.0; TWO_WEEKS];
        for start in starts {
            counts[(start / MINUTE_S) as usize] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / TWO_WEEKS as f64;
        let variance = counts.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / TWO_WEEKS as f64;
        (mean, variance.sqrt() / mean)
    }

    #[test]
    fn a_constant_rate_gives_poisson_counts() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let (mean, variation) = moments(&poisson(&vec![25.0; TWO_WEEKS], &mut rng));
        // 350,000 and more arrivals: standard errors of 0.035 and about 0.001.
        assert!((mean - 25.0).abs() < 0.2, "{mean}");
        assert!((variation - 0.2).abs() < 0.005, "{variation}");
    }

    #[test]
    fn bursts_have_the_mean_and_variation_asked_for() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        let rates = bursty(TWO_WEEKS, 10.0, 2.0, 8.0, &mut rng);
        let (mean, variation) = moments(&poisson(&rates, &mut rng));
        assert!((mean - 10.0).abs() < 2.0, "{mean}");
        assert!((variation - 2.0).abs() < 0.3, "{variation}");
    }

    #[test]
    fn days_have_a_peak_and_weekends_are_quieter() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let rates = diurnal(TWO_WEEKS, 8.0, &mut rng);
        let of_day = |day: usize| rates[day * DAY_MINUTES..(day + 1) * DAY_MINUTES].iter().sum::<f64>();
        assert!((rates.iter().sum::<f64>() / TWO_WEEKS as f64 - 8.0).abs() < 1e-9);
        assert!(of_day(5) + of_day(6) < of_day(3) + of_day(4));
        assert!(rates.iter().copied().fold(0.0, f64::max) > 1.5 * 8.0);
    }

    #[test]
    fn timers_fire_every_period() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        let starts = timer(60, 900.0, 3, 1.5, &mut rng);
        assert_eq!(starts.len(), 4 * 3);
        assert!((starts[3] - starts[0] - 900.0).abs() < 10.0);
    }
}

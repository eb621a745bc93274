//! What a workflow's upstream stages say about the stage below.
//!
//! An upstream invocation starts `fan_out` downstream ones (below 1: the probability of one) `delay` after it arrived:
//! its own run, then whatever lies between. With the upstream counts of the last minutes and the count expected in
//! the minute to come, the expected number of busy downstream containers at any instant is a convolution: invocations
//! are taken to arrive evenly within their minutes, and each is busy from `delay` to `delay + duration` later.
//!
//! Around its expected course the number busy is taken as Poisson (exact for Poisson arrivals: the infinite-server queue,
//! Eick, Massey and Whitt, *The Physics of the M_t/G/infinity Queue*, Operations Research 1993), and the *peak* of the
//! minute as the largest of a few independent looks per run that fits into it, at the expected course's highest instant.
//!
//! A stage's own history says the same thing in another way: the two forecasts are averaged quantile by quantile
//! ([`combine`]; Ratcliff, *Group reaction time distributions*, Psychological Bulletin 1979).

use crate::forecast::{Forecast, LEVELS};
use crate::math::float;

/// One edge of a workflow, seen from the stage below.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Upstream {
    /// Downstream invocations per upstream invocation; below 1, the probability of one.
    pub fan_out: f32,
    /// From the upstream arrival to the downstream arrival, seconds, not negative.
    pub delay_s: f32,
}

/// Instants of the coming minute at which the expected number busy is looked at.
const INSTANTS: u32 = 12;
/// Looks per length of a run: in a queue the number busy just after an arrival counts, which is more than an
/// independent look per run. Simulated queues (5 to 60 s, 12 arrivals a minute) are met within a tenth.
const LOOKS_PER_RUN: f64 = 2.5;
/// Poisson terms summed at most; beyond, the normal approximation is used.
const LARGEST_MEAN: f64 = 600.0;

/// Forecast a stage from its upstream stages: `counts(edge, minutes_ago)` are the invocations of the upstream stage of
/// `edges[edge]`, observed for `minutes_ago >= 1` and expected for the coming minute at 0. Each downstream run takes
/// `duration_s`. Looks back as far as `delay_s + duration_s`, at most `memory` minutes.
/// Work: 12 passes over the edges' minutes, and a sum of at most about 1,000 Poisson terms.
pub fn implied(
    edges: &[Upstream],
    counts: impl Fn(usize, usize) -> f32,
    duration_s: f32,
    memory: usize,
) -> Forecast {
    let duration_s = f64::from(duration_s).max(0.001);
    let busy_at = |instant_s: f64| -> f64 {
        let of_edge = |(index, edge): (usize, &Upstream)| -> f64 {
            let delay_s = f64::from(edge.delay_s).max(0.0);
            let started = |minutes_ago: usize| {
                // Arrivals at `arrival_s` in [-60 ago, -60 ago + 60) are busy now if
                // instant - delay - duration < arrival_s <= instant - delay.
                let minute_s = -60.0 * minutes_ago as f64;
                let from = (instant_s - delay_s - duration_s).max(minute_s);
                let to = (instant_s - delay_s).min(minute_s + 60.0);
                f64::from(counts(index, minutes_ago)) * (to - from).max(0.0) / 60.0
            };
            f64::from(edge.fan_out) * (0..=memory).map(started).sum::<f64>()
        };
        edges.iter().enumerate().map(of_edge).sum()
    };
    let course = (0..=INSTANTS).map(|step| busy_at(60.0 * f64::from(step) / f64::from(INSTANTS)));
    let highest = course.fold(0.0, f64::max);
    let looks = 1.0 + LOOKS_PER_RUN * 60.0 / duration_s;
    largest_of_poisson(if highest.is_finite() { highest } else { 0.0 }, looks)
}

/// The distribution of the largest of `looks` Poisson numbers of mean `mean`: `F(x)^looks`.
fn largest_of_poisson(mean: f64, looks: f64) -> Forecast {
    let mut forecast = Forecast::default();
    if mean > LARGEST_MEAN {
        let normal = crate::math::normal::quantile;
        for (quantile, level) in forecast.quantiles.iter_mut().zip(LEVELS) {
            *quantile = (mean + float::sqrt(mean) * normal(float::pow(f64::from(level), 1.0 / looks))) as f32;
        }
        forecast.mean = forecast.quantiles[crate::forecast::MEDIAN];
        return forecast;
    }
    let (mut term, mut below) = (float::exp(-mean), 0.0_f64);
    let mut levels = forecast.quantiles.iter_mut().zip(LEVELS).peekable();
    // Every level is passed within 20 deviations of the mean.
    for count in 0..(mean + 20.0 * float::sqrt(mean + 1.0)) as u32 + 20 {
        let before = float::pow(below, looks);
        below = (below + term).min(1.0);
        let cumulative = float::pow(below, looks);
        forecast.mean += (f64::from(count) * (cumulative - before)) as f32;
        while let Some((quantile, _)) = levels.next_if(|(_, level)| cumulative >= f64::from(*level)) {
            *quantile = count as f32;
        }
        term *= mean / f64::from(count + 1);
    }
    forecast
}

/// Average two forecasts of the same thing, `share_of_a` of the first; half of each when it is no number of `[0, 1]`.
/// Quantiles stay in order. Work: O(1).
pub fn combine(a: &Forecast, b: &Forecast, share_of_a: f32) -> Forecast {
    let share = if (0.0..=1.0).contains(&share_of_a) { share_of_a } else { 0.5 };
    let mix = |x: f32, y: f32| share * x + (1.0 - share) * y;
    Forecast {
        mean: mix(a.mean, b.mean),
        quantiles: core::array::from_fn(|index| mix(a.quantiles[index], b.quantiles[index])),
        epistemic: mix(a.epistemic, b.epistemic),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_core::Rng;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::SeedableRng;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_burst_arrives_a_delay_later() {
        // 120 upstream invocations two minutes ago and none since, a run of 30 s two minutes later: in the coming
        // minute 30 / 60 of them are busy at once at most, 60; nothing a minute later or with another delay.
        let edge = |delay_s| [Upstream { fan_out: 1.0, delay_s }];
        let burst =
            |ago: usize| move |_: usize, minutes_ago: usize| if minutes_ago == ago { 120.0 } else { 0.0 };
        let forecast = implied(&edge(120.0), burst(2), 30.0, 5);
        let expected = largest_of_poisson(60.0, 6.0);
        assert_eq!(forecast, expected);
        assert!(forecast.mean > 65.0 && forecast.mean < 74.0, "{}", forecast.mean);
        assert_eq!(implied(&edge(120.0), burst(4), 30.0, 5).quantiles, [0.0; LEVELS.len()]);
        assert_eq!(implied(&edge(300.0), burst(2), 30.0, 5).quantiles, [0.0; LEVELS.len()]);
        // A third of them go on, and two edges add up.
        let third = [Upstream { fan_out: 1.0 / 3.0, delay_s: 120.0 }; 2];
        assert!((implied(&third, burst(2), 30.0, 5).mean - largest_of_poisson(40.0, 6.0).mean).abs() < 1e-3);
    }

    #[test]
    fn poisson_quantiles_by_hand() {
        // One look at mean 1: P(0) = .368, P(<= 1) = .736, P(<= 2) = .920, P(<= 3) = .981, P(<= 4) = .996.
        let forecast = largest_of_poisson(1.0, 1.0);
        assert_eq!(forecast.quantiles, [0., 0., 0., 0., 1., 2., 2., 3., 3., 4., 4.]);
        assert!((forecast.mean - 1.0).abs() < 1e-5);
        assert_eq!(largest_of_poisson(0.0, 5.0).quantiles, [0.0; LEVELS.len()]);
        let (below, above) = (largest_of_poisson(599.0, 4.0), largest_of_poisson(601.0, 4.0));
        for (b, a) in below.quantiles.iter().zip(above.quantiles) {
            assert!((a - b - 2.0).abs() < 2.0, "{b} {a}");
        }
    }

    /// Simulate a chain and compare the peak's mean and upper quantile.
    #[test]
    fn peak_of_a_simulated_stage() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        for duration_s in [5.0, 20.0, 60.0] {
            let mut peaks: Vec<u32> = (0..4000)
                .map(|_| {
                    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                    // Poisson arrivals at 12 a minute over four minutes, the last of which is looked at.
                    let (mut arrival, mut starts) = (0.0, Vec::new());
                    while arrival < 240.0 {
                        arrival -= float::ln(1.0 - uniform()) * 5.0;
                        starts.push(arrival);
                    }
                    let at = |instant: f64| {
                        starts.iter().filter(|&&s| s <= instant && instant < s + duration_s).count() as u32
                    };
                    let inside = starts.iter().copied().filter(|s| (180.0..240.0).contains(s));
                    inside.chain([180.0]).map(at).max().unwrap()
                })
                .collect();
            peaks.sort_unstable();
            let forecast =
                implied(&[Upstream { fan_out: 1.0, delay_s: 0.0 }], |_, _| 12.0, duration_s as f32, 4);
            let mean = peaks.iter().sum::<u32>() as f32 / peaks.len() as f32;
            assert!(
                (forecast.mean / mean - 1.0).abs() < 0.15,
                "{duration_s} s: {} for {mean}",
                forecast.mean
            );
            let upper = peaks[peaks.len() * 95 / 100] as f32;
            assert!(
                (forecast.quantiles[7] - upper).abs() <= 1.0,
                "{duration_s} s: {} {upper}",
                forecast.quantiles[7]
            );
        }
    }

    #[test]
    fn quantiles_are_averaged() {
        let wide =
            Forecast { mean: 10.0, quantiles: core::array::from_fn(|i| 2.0 * i as f32), epistemic: 0.0 };
        let narrow = Forecast { mean: 4.0, quantiles: [4.0; LEVELS.len()], epistemic: 2.0 };
        let both = combine(&wide, &narrow, 0.25);
        assert_eq!((both.mean, both.epistemic, both.quantiles[0], both.quantiles[10]), (5.5, 1.5, 3.0, 8.0));
        assert_eq!(combine(&wide, &narrow, f32::NAN).mean, 7.0);
    }

    proptest! {
        #[test]
        fn any_input(count in any::<f32>(), fan_out in any::<f32>(), delay_s in any::<f32>(), duration_s in any::<f32>()) {
            let forecast = implied(&[Upstream { fan_out, delay_s }], |_, _| count, duration_s, 10);
            prop_assert!(forecast.quantiles.is_sorted(), "{:?}", forecast);
            prop_assert!(forecast.quantiles[0] >= 0.0);
        }
    }
}

//! The noise of one invocation: every function's own, and a factor that all functions of an invocation share.
//!
//! ```text
//! ln duration_i = f_i(configuration) + c + e_i,   e_i ~ N(0, own_i)
//! c ~ N(0, common)                   with probability 1 - outliers
//! c ~ N(SLOWDOWN, SLOWDOWN_VARIANCE) with probability outliers: a noisy neighbour slows every function at once
//! ```
//!
//! Repeated measurements of one configuration (the baseline profile) tell all of it before the search starts;
//! without them it is learned from the trials, starting from [`Noise::assumed`].

use super::kernel::square;
use crate::bo::profile::median;
use crate::bo::trial::Outcome;
use crate::math::float;
use crate::math::normal::Normal;
use crate::part::{self, At};
use heapless::Vec;

/// Mean of c under interference: a factor of about 2.5.
pub(super) const SLOWDOWN: f64 = 0.9;
/// Its variance: factors from 1 to 6 are within two deviations.
pub(super) const SLOWDOWN_VARIANCE: f64 = 0.2;
/// Noise below one in a thousand is not believed: clocks and prices are rounded.
pub(super) const MIN_VARIANCE: f64 = 1e-6;
/// Prior share of outliers as pseudo-observations: one outlier in ten.
const PRIOR_OUTLIERS: (f64, f64) = (1.0, 10.0);
/// How many samples the mean of all functions' noise counts for in each function's own noise.
const POOLING: f64 = 20.0;
/// Density below which one measurement tells no more than another: something else went wrong.
const LEAST_DENSITY: f64 = 0.01;
/// The most outcomes a profile is computed from; further ones are not looked at.
const MAX_SAMPLES: usize = 128;

/// Variances of the logarithm.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Noise<const F: usize> {
    pub(super) own: Vec<f64, F>,
    pub(super) common: f64,
    /// Share of invocations under interference.
    pub(super) outliers: f64,
    /// How many samples stand behind these numbers.
    pub(super) samples: f64,
}

impl<const F: usize> Noise<F> {
    /// What is assumed before anything was measured: 10 % of each kind, with the weight of five samples.
    pub(super) fn assumed(functions: usize) -> Self {
        let own = part::list((0..functions).map(|_| 0.01));
        Self { own, common: 0.01, outliers: PRIOR_OUTLIERS.0 / PRIOR_OUTLIERS.1, samples: 5.0 }
    }

    /// Whether these can be numbers of so many functions.
    pub(super) fn is_consistent(&self, functions: usize) -> bool {
        let positive = |x: &f64| *x > 0.0 && x.is_finite();
        self.own.len() == functions
            && self.own.iter().chain([&self.common, &self.samples]).all(positive)
            && (0.0..=1.0).contains(&self.outliers)
    }

    /// ln of mean over median of function `i`'s duration: half the variance of a log-normal factor.
    pub(super) fn mean_over_median(&self, function: usize) -> f64 {
        0.5 * (self.own.get(function).copied().unwrap_or(0.0) + self.common)
    }

    /// Variance of the estimate of [`Noise::mean_over_median`].
    pub(super) fn mean_over_median_variance(&self) -> f64 {
        let own = self.own.iter().fold(0.0_f64, |a, &b| a.max(b));
        0.5 * (square(self.common) + square(own)) / self.samples
    }

    /// What interference makes of the prediction for an undisturbed invocation: the mixture's mean and variance.
    pub(super) fn disturb(&self, undisturbed: Normal) -> Normal {
        let p = self.outliers;
        Normal {
            mean: undisturbed.mean + p * SLOWDOWN,
            variance: undisturbed.variance + p * SLOWDOWN_VARIANCE + p * (1.0 - p) * square(SLOWDOWN),
        }
    }

    /// Probability that c, estimated as `mean` with `variance`, is that of a disturbed invocation.
    pub(super) fn outlier_probability(&self, mean: f64, variance: f64) -> f64 {
        let (normal, slow) = self.densities(mean, variance);
        let total = slow + normal;
        if total > 0.0 { slow / total } else { f64::from(u8::from(mean > 0.5 * SLOWDOWN)) }
    }

    /// ln density, up to a constant, of measuring c as `mean` with `variance`. Never less than that of
    /// [`LEAST_DENSITY`].
    pub(super) fn ln_density(&self, mean: f64, variance: f64) -> f64 {
        let (normal, slow) = self.densities(mean, variance);
        float::ln((normal + slow).max(LEAST_DENSITY))
    }

    /// Densities of undisturbed and of disturbed invocations.
    fn densities(&self, mean: f64, variance: f64) -> (f64, f64) {
        let normal = (1.0 - self.outliers) * density(mean, self.common + variance);
        (normal, self.outliers * density(mean - SLOWDOWN, SLOWDOWN_VARIANCE + variance))
    }
}

/// A normal density without the constant.
fn density(x: f64, variance: f64) -> f64 {
    float::exp(-0.5 * x * x / variance) / float::sqrt(variance)
}

/// Levels and noise at one configuration that was measured repeatedly.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Repeated<const F: usize> {
    /// ln duration of every function without the common factor.
    pub(super) level: Vec<f64, F>,
    pub(super) noise: Noise<F>,
    /// Estimated number of undisturbed samples.
    pub(super) undisturbed: f64,
}

impl<const F: usize> Repeated<F> {
    /// Whether these can be numbers of so many functions.
    pub(super) fn is_consistent(&self, functions: usize) -> bool {
        self.level.len() == functions
            && self.level.iter().all(|level| level.is_finite())
            && self.noise.is_consistent(functions)
            && self.undisturbed > 0.0
            && self.undisturbed.is_finite()
    }

    /// Estimates levels and noise from outcomes of one configuration; `None` for fewer than 5, or when some lack
    /// the durations of all `functions`. Looks at the first 128.
    pub(super) fn measure(outcomes: &[Outcome<F>], functions: usize) -> Option<Self> {
        let outcomes = &outcomes[..outcomes.len().min(MAX_SAMPLES)];
        if outcomes.len() < 5 || functions == 0 || outcomes.iter().any(|o| o.durations().len() != functions) {
            return None;
        }
        let ln = |o: &Outcome<F>, i: usize| float::ln(o.durations().at(i));
        let (samples, count) = (outcomes.len() as f64, functions as f64);
        let mut sorted: Vec<f64, MAX_SAMPLES> = Vec::new();
        let mut median_of = |values: &mut dyn Iterator<Item = f64>| {
            sorted.clear();
            part::extend(&mut sorted, values);
            median(&mut sorted)
        };
        let mut level: Vec<f64, F> =
            part::list((0..functions).map(|i| median_of(&mut outcomes.iter().map(|o| ln(o, i)))));
        // The common factor of an invocation: the mean residual over its functions.
        let factor = |o: &Outcome<F>, level: &[f64]| {
            (0..functions).map(|i| ln(o, i) - level.at(i)).sum::<f64>() / count
        };
        // Levels so that every function's residuals beside the common factor have mean 0.
        let medians = level.clone();
        for (i, (level, median)) in level.iter_mut().zip(&medians).enumerate() {
            *level += outcomes.iter().map(|o| ln(o, i) - median - factor(o, &medians)).sum::<f64>() / samples;
        }
        let factors: Vec<f64, MAX_SAMPLES> = part::list(outcomes.iter().map(|o| factor(o, &level)));

        // Variance of residual_i - mean residual is own_i (1 - 2/n) + mean(own)/n.
        let mut own: Vec<f64, F> = Vec::new();
        if functions > 1 {
            let spread = |i: usize| {
                let residuals = outcomes.iter().zip(&factors).map(|(o, f)| ln(o, i) - level.at(i) - f);
                residuals.map(square).sum::<f64>() / (samples - 1.0)
            };
            let mean = (0..functions).map(spread).sum::<f64>() / (count - 1.0);
            for i in 0..functions {
                let alone =
                    if functions > 2 { (spread(i) - mean / count) / (1.0 - 2.0 / count) } else { mean };
                let pooled = (samples * alone.max(0.25 * mean) + POOLING * mean) / (samples + POOLING);
                part::extend(&mut own, [pooled.max(MIN_VARIANCE)]);
            }
        }
        let own_of_mean = own.iter().sum::<f64>() / (count * count);

        // Two components by expectation maximisation: undisturbed around `centre`, and slowed.
        let mut centre = median_of(&mut factors.iter().copied());
        let deviation = 1.4826 * median_of(&mut factors.iter().map(|f| (f - centre).abs()));
        let mut total = square(deviation).max(MIN_VARIANCE);
        let mut outliers = PRIOR_OUTLIERS.0 / PRIOR_OUTLIERS.1;
        let mut undisturbed = samples;
        for _ in 0..50 {
            let mixture = Noise::<F> { own: Vec::new(), common: total, outliers, samples };
            // Responsibilities use the spread of the estimated factors, so no further variance is added.
            let weight = |f: f64| 1.0 - mixture.outlier_probability(f - centre, 0.0);
            undisturbed = factors.iter().map(|&f| weight(f)).sum::<f64>().max(2.0);
            let mean = factors.iter().map(|&f| weight(f) * f).sum::<f64>() / undisturbed;
            let spread = factors.iter().map(|&f| weight(f) * square(f - mean)).sum::<f64>();
            total = (spread / (undisturbed - 1.0)).max(MIN_VARIANCE);
            centre = mean;
            outliers = (PRIOR_OUTLIERS.0 + (samples - undisturbed).max(0.0)) / (PRIOR_OUTLIERS.1 + samples);
        }
        for l in &mut level {
            *l += centre;
        }
        // One function alone does not tell its own noise from the common factor.
        let common = if functions > 1 { (total - own_of_mean).max(0.1 * total) } else { 0.5 * total };
        if functions == 1 {
            part::extend(&mut own, [0.5 * total]);
        }
        Some(Self {
            level,
            noise: Noise { own, common: common.max(MIN_VARIANCE), outliers, samples },
            undisturbed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{SplitMix64, standard_normal, uniform};

    /// 128 invocations with known noise: own deviation 0.1 (and 0.2 for the last function), common 0.15, a share of
    /// them slowed by a factor of 1.5 to 4.
    fn invocations(share: f64) -> std::vec::Vec<Outcome<4>> {
        let mut rng = SplitMix64(7);
        let invocation = |_| {
            let slow = if uniform(&mut rng) < share { float::ln(1.5 + 2.5 * uniform(&mut rng)) } else { 0.0 };
            let common = 0.15 * standard_normal(&mut rng) + slow;
            let durations = [1.0, 2.0, 0.5, 4.0].map(|d| {
                let own = if d == 4.0 { 0.2 } else { 0.1 };
                d * float::exp(common + own * standard_normal(&mut rng))
            });
            Outcome::new(1.0, 1.0).unwrap().with_durations(&durations).unwrap()
        };
        (0..128).map(invocation).collect()
    }

    #[test]
    fn levels_and_noise_come_back_with_and_without_interference() {
        for share in [0.0, 0.1, 0.25] {
            let repeated = Repeated::measure(&invocations(share), 4).unwrap();
            for (level, duration) in repeated.level.iter().zip([1.0, 2.0, 0.5, 4.0]) {
                assert!((level - float::ln(duration)).abs() < 0.06, "{share}: {level} {duration}");
            }
            let Noise { own, common, outliers, .. } = &repeated.noise;
            assert!((float::sqrt(*common) - 0.15).abs() < 0.04, "{share}: {common}");
            assert!((outliers - share).abs() < 0.06, "{share}: {outliers}");
            assert!(own[..3].iter().all(|v| (float::sqrt(*v) - 0.1).abs() < 0.025), "{own:?}");
            assert!((float::sqrt(own[3]) - 0.2).abs() < 0.04, "{own:?}");
        }
    }

    #[test]
    fn what_is_no_profile_is_none() {
        let outcomes = invocations(0.0);
        assert_eq!(Repeated::measure(&outcomes[..4], 4), None);
        assert_eq!(Repeated::measure(&outcomes, 3), None);
        assert_eq!(Repeated::<4>::measure(&[], 0), None);
    }
}

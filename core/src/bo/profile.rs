//! The baseline profile: repeated measurements of one configuration (usually the default one), which tell how
//! strong the noise is before the search starts.
//!
//! Noise acts as a factor, so spreads are taken of logarithms; interference makes outliers, so they are robust:
//! 1.4826 times the median absolute deviation, which estimates the standard deviation of a normal.

use super::space::Point;
use super::trial::Outcome;
use crate::math::{float, sort};
use crate::part::{self, At};
use core::fmt;
use heapless::Vec;

/// The most outcomes a profile is computed from; further ones are not looked at.
const MAX_SAMPLES: usize = 256;
/// Scales the median absolute deviation of a normal to its standard deviation: 1 / quantile(3/4).
const MAD_SCALE: f64 = 1.4826;
/// Noise below this (one in a thousand) is not believed: clocks and prices are rounded.
const MIN_DEVIATION: f64 = 1e-3;

/// Robust location and spread of the logarithms of a positive quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Spread {
    /// Median of the logarithms.
    pub median: f64,
    /// Estimated standard deviation of the logarithms, at least 0.001.
    pub deviation: f64,
}

/// Noise levels measured by repeating one configuration.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Profile<const F: usize> {
    /// Of the cost.
    pub cost: Spread,
    /// Of the end-to-end latency.
    pub latency: Spread,
    /// Of every function's duration; empty when some outcome lacks them.
    pub durations: Vec<Spread, F>,
    /// Standard deviation of the factor that all functions of one invocation have in common (the mean of their log
    /// residuals, so it holds 1/n of their own noise as well); 0 without durations.
    pub common_deviation: f64,
    /// Number of outcomes it was computed from.
    pub samples: usize,
}

/// The profile of one configuration, measured before the search.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Baseline<const D: usize, const F: usize> {
    /// The configuration.
    pub point: Point<D>,
    /// What it showed.
    pub profile: Profile<F>,
}

impl<const F: usize> Profile<F> {
    /// Whether [`Self::measure`] can have made it.
    pub(super) fn is_consistent(&self) -> bool {
        let mut spreads = self.durations.iter().chain([&self.cost, &self.latency]);
        self.samples >= ProfileError::NEEDED
            && self.common_deviation >= 0.0
            && self.common_deviation.is_finite()
            && spreads
                .all(|of| of.median.is_finite() && of.deviation >= MIN_DEVIATION && of.deviation.is_finite())
    }

    /// The profile of repeated outcomes of one configuration; looks at the first 256.
    ///
    /// # Errors
    /// [`ProfileError`] for fewer than 5 outcomes.
    pub fn measure(outcomes: &[Outcome<F>]) -> Result<Self, ProfileError> {
        let outcomes = &outcomes[..outcomes.len().min(MAX_SAMPLES)];
        if outcomes.len() < ProfileError::NEEDED {
            return Err(ProfileError { found: outcomes.len() });
        }
        let mut buffer = Buffer::new();
        let functions = outcomes.iter().map(|o| o.durations().len()).min().unwrap_or(0);
        let durations =
            (0..functions).map(|i| buffer.spread(outcomes.iter().map(|o| float::ln(o.durations().at(i)))));
        let durations: Vec<Spread, F> = part::list(durations);
        let common_deviation = if functions == 0 {
            0.0
        } else {
            buffer
                .spread(outcomes.iter().map(|o| {
                    let residuals =
                        o.durations().iter().zip(&durations).map(|(&d, s)| float::ln(d) - s.median);
                    residuals.sum::<f64>() / functions as f64
                }))
                .deviation
        };
        Ok(Self {
            cost: buffer.spread(outcomes.iter().map(|o| float::ln(o.cost()))),
            latency: buffer.spread(outcomes.iter().map(|o| float::ln(o.latency()))),
            durations,
            common_deviation,
            samples: outcomes.len(),
        })
    }
}

/// The samples of one quantity, sorted in place.
struct Buffer(Vec<f64, MAX_SAMPLES>);

impl Spread {
    /// Variance of the median of `samples` normal numbers.
    pub(super) fn variance_of_median(&self, samples: usize) -> f64 {
        0.5 * core::f64::consts::PI * self.deviation * self.deviation / samples.max(1) as f64
    }
}

impl Buffer {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn spread(&mut self, logarithms: impl Iterator<Item = f64>) -> Spread {
        self.0.clear();
        part::extend(&mut self.0, logarithms);
        let median = median(&mut self.0);
        for x in &mut self.0 {
            *x = (*x - median).abs();
        }
        Spread { median, deviation: (MAD_SCALE * self::median(&mut self.0)).max(MIN_DEVIATION) }
    }
}

/// The median; 0 of none. Sorts the values, NaN behind all others; n operations for every value that is out of place.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    sort::by_insertion(values, |a, b| a < b || (b.is_nan() && !a.is_nan()));
    match values.split_at(values.len() / 2) {
        (_, []) => 0.0,
        ([.., below], [above, ..]) if values.len().is_multiple_of(2) => 0.5 * (below + above),
        (_, [middle, ..]) => *middle,
    }
}

/// Too few outcomes for a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileError {
    /// Number of outcomes given.
    pub found: usize,
}

impl ProfileError {
    /// The fewest outcomes that make a profile.
    pub const NEEDED: usize = 5;
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, needed) = (self.found, Self::NEEDED);
        write!(f, "a profile of {found} outcomes; measure one configuration at least {needed} times")
    }
}

impl core::error::Error for ProfileError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_by_hand() {
        let outcomes: std::vec::Vec<Outcome<2>> = [1.0, 2.0, 4.0, 8.0, 1e6]
            .iter()
            .map(|&x| Outcome::new(x, 3.0).unwrap().with_durations(&[x, 2.0 * x]).unwrap())
            .collect();
        let profile = Profile::measure(&outcomes).unwrap();
        let ln2 = core::f64::consts::LN_2;
        assert!((profile.cost.median - 2.0 * ln2).abs() < 1e-12);
        // Deviations of the logarithms from their median, in ln 2: 2, 1, 0, 1, 17.9; their median is 1.
        assert!((profile.cost.deviation - 1.4826 * ln2).abs() < 1e-12);
        assert_eq!(profile.latency.deviation, 1e-3);
        assert!((profile.durations[1].median - 3.0 * ln2).abs() < 1e-12);
        assert!((profile.common_deviation - 1.4826 * ln2).abs() < 1e-12);
        assert_eq!(Profile::measure(&outcomes[..4]), Err(ProfileError { found: 4 }));
    }

    #[test]
    fn median_by_hand() {
        assert_eq!(median(&mut []), 0.0);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&mut [5.0, f64::NAN, 1.0, f64::NAN, 3.0]), 5.0);
        assert_eq!(median(&mut [-f64::NAN, 1.0, 3.0, -f64::NAN, 5.0]), 5.0);
        assert!(median(&mut [f64::NAN, 1.0, f64::NAN]).is_nan());
    }
}

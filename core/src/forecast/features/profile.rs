//! What training learns about one function by itself: its scale and its strongest period.

/// Longest period looked for, minutes: one day.
pub const LONGEST_PERIOD: usize = 1440;

/// Per-function parameters of the light model, fixed at training time.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Profile {
    /// Mean peak per minute over the training part, containers.
    pub mean: f32,
    /// The lag, in minutes, `2..=`[`LONGEST_PERIOD`], at which the series correlates most with itself.
    pub period: u16,
    /// That correlation, -1 to 1.
    pub period_correlation: f32,
}

impl Profile {
    /// A function nothing is known about.
    pub const UNKNOWN: Self = Self { mean: 0.0, period: 60, period_correlation: 0.0 };

    /// The mean, 0 when it is no number of containers.
    pub(super) fn mean(&self) -> f32 {
        if self.mean.is_finite() { self.mean.clamp(0.0, 65_535.0) } else { 0.0 }
    }

    /// The correlation, 0 when it is no number.
    pub(super) fn period_correlation(&self) -> f32 {
        if self.period_correlation.is_finite() { self.period_correlation.clamp(-1.0, 1.0) } else { 0.0 }
    }

    /// What a spread of one container weighs in training, containers: close to the standard deviation of a Poisson
    /// count with the function's mean, and not below 0.22, so that a function which was silent still counts.
    pub fn scale(&self) -> f32 {
        crate::math::float::sqrt_f32(self.mean() + 0.05)
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

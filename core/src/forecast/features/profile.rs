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

    /// The unit the model forecasts in, containers: close to the standard deviation of a Poisson count with the
    /// function's mean, and not below 0.22, so that a function which was silent in training can be forecast.
    pub fn scale(&self) -> f32 {
        let mean = if self.mean.is_finite() { self.mean.max(0.0) } else { 0.0 };
        crate::math::float::sqrt_f32(mean + 0.05)
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

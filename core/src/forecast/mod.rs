//! The predictive distribution of one function's next minute.
//!
//! The quantity forecast is the *peak number of simultaneously busy containers* in the minute: what the pool must
//! hold. A forecast is a distribution, not a mean: it carries the noise of the counts themselves beside what the
//! model does not know.

pub mod encoder;
pub mod features;
pub mod head;
pub mod hybrid;
pub mod light;
pub mod mc_dropout;
pub mod predictor;

/// The levels every forecast states quantiles for.
pub const LEVELS: [f32; 11] = [0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995];

/// Index of the median in [`LEVELS`].
pub const MEDIAN: usize = 4;

/// Predictive distribution of the peak number of busy containers in one minute.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Forecast {
    /// Mean, in containers.
    pub mean: f32,
    /// Quantiles at [`LEVELS`], in containers, never decreasing, never negative.
    pub quantiles: [f32; LEVELS.len()],
    /// Standard deviation of what the *model* does not know (Monte-Carlo dropout), in containers; 0 when the model
    /// does not tell it apart from the noise of the counts.
    pub epistemic: f32,
}

impl Forecast {
    /// The quantile at `level`, linear between the stated [`LEVELS`] and held at the first and last one outside; the
    /// last one for NaN.
    pub fn quantile(&self, level: f32) -> f32 {
        let upper = LEVELS.iter().position(|&l| l >= level).unwrap_or(LEVELS.len() - 1);
        if upper == 0 || level >= LEVELS[upper] || level.is_nan() {
            return self.quantiles[upper];
        }
        let (l0, l1) = (LEVELS[upper - 1], LEVELS[upper]);
        let share = (level - l0) / (l1 - l0);
        self.quantiles[upper - 1] + share * (self.quantiles[upper] - self.quantiles[upper - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_between_and_beyond_the_levels_by_hand() {
        let forecast =
            Forecast { mean: 0.0, quantiles: core::array::from_fn(|at| (at * at) as f32), epistemic: 0.0 };
        let at = |level: f32| forecast.quantile(level);
        assert_eq!([0.025, 0.5, 0.995].map(at), [0.0, 16.0, 100.0]);
        // Halfway between .5 and .75 lie 16 and 25.
        assert_eq!(at(0.625), 20.5);
        assert_eq!([-1.0, 0.0, 0.01].map(at), [0.0; 3]);
        assert_eq!([0.999, 1.0, 7.0, f32::NAN].map(at), [100.0; 4]);
    }
}

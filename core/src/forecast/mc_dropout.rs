//! Monte-Carlo dropout (Gal and Ghahramani 2016): repeated stochastic passes to one predictive distribution.

use core::ops::RangeInclusive;

use super::encoder::EncoderMasks;
use super::predictor::PredictorMasks;
use super::{LEVELS, MEDIAN};
use crate::math::float;
use crate::nn::Dropout;
use rand_core::Rng;

/// Dropout at every place of the hybrid network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Outputs of the encoder's first layer.
    pub between: Dropout,
    /// Outputs of the encoder's second layer.
    pub latent: Dropout,
    /// Sums of the prediction network's first layer, before its non-linear function.
    pub before: Dropout,
    /// Outputs of the prediction network's first layer.
    pub first: Dropout,
    /// Outputs of the prediction network's second layer.
    pub second: Dropout,
}

impl Rates {
    /// Nothing is dropped: every pass is the deterministic one.
    pub const NONE: Self = Self {
        between: Dropout::NONE,
        latent: Dropout::NONE,
        before: Dropout::NONE,
        first: Dropout::NONE,
        second: Dropout::NONE,
    };

    /// The masks of one pass through layers of these widths.
    pub fn draw<G: Rng + ?Sized>(
        &self,
        encoder: [usize; 2],
        predictor: [usize; 2],
        rng: &mut G,
    ) -> (EncoderMasks, PredictorMasks) {
        let between = self.between.draw(encoder[0], rng);
        let latent = self.latent.draw(encoder[1], rng);
        let before = self.before.draw(predictor[0], rng);
        let first = self.first.draw(predictor[0], rng);
        let second = self.second.draw(predictor[1], rng);
        (EncoderMasks { between, latent }, PredictorMasks { before, first, second })
    }
}

/// Mean and spread of a number over the passes (Welford 1962).
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    passes: f32,
    mean: f32,
    squares: f32,
}

impl Spread {
    /// Take in one pass.
    pub fn push(&mut self, value: f32) {
        self.passes += 1.0;
        let before = value - self.mean;
        self.mean += before / self.passes;
        self.squares += before * (value - self.mean);
    }

    /// Mean over the passes; 0 without any.
    pub fn mean(&self) -> f32 {
        self.mean
    }

    /// Standard deviation over the passes (divided by their number); 0 without any.
    pub fn deviation(&self) -> f32 {
        float::sqrt_f32((self.squares / self.passes.max(1.0)).max(0.0))
    }
}

/// Passes' quantiles, in containers.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuantilePasses {
    sums: [f32; LEVELS.len()],
    median: Spread,
}

impl QuantilePasses {
    /// Take in the quantiles of one pass.
    pub fn push(&mut self, quantiles: &[f32; LEVELS.len()]) {
        for (sum, quantile) in self.sums.iter_mut().zip(quantiles) {
            *sum += quantile;
        }
        self.median.push(quantiles[MEDIAN]);
    }

    /// The predictive quantiles and the epistemic standard deviation.
    ///
    /// The passes' quantiles are averaged level by level, which keeps the noise of the counts; the spread of the
    /// passes' medians, the model's own doubt, widens them about the median as independent variances add:
    /// `sqrt(noise^2 + doubt * epistemic^2 / spread^2)`, with the two numbers of `calibration` and the spread of the
    /// averaged quantiles.
    pub fn predictive(&self, calibration: Calibration) -> ([f32; LEVELS.len()], f32) {
        let count = self.median.passes.max(1.0);
        let mut quantiles = self.sums.map(|sum| sum / count);
        let epistemic = self.median.deviation();
        let spread = central_deviation(&quantiles);
        let ratio = if spread > 0.0 { epistemic / spread } else { 0.0 };
        let Calibration { noise, doubt } = calibration;
        let widen = float::sqrt_f32(noise * noise + doubt * ratio * ratio);
        let median = quantiles[MEDIAN];
        for quantile in &mut quantiles {
            *quantile = median + (*quantile - median) * widen;
        }
        (quantiles, epistemic)
    }
}

/// How wide the predictive distribution is, fitted on a validation part.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Calibration {
    /// Factor of the distances of the quantiles from the median.
    pub noise: f32,
    /// Weight of the epistemic variance beside the variance of the counts.
    pub doubt: f32,
}

impl Calibration {
    /// The noise as trained, and the doubt as the passes show it.
    pub const NONE: Self = Self { noise: 1.0, doubt: 1.0 };

    /// What [`Self::noise`] may be. A distribution ten times as wide or as narrow as it was learnt is a damaged file.
    pub const NOISE: RangeInclusive<f32> = 0.1..=10.0;

    /// What [`Self::doubt`] may be: none at all up to ten times the deviation of the passes.
    pub const DOUBT: RangeInclusive<f32> = 0.0..=100.0;
}

/// A standard deviation from the central 90 % of a distribution, as if it were normal.
fn central_deviation(quantiles: &[f32; LEVELS.len()]) -> f32 {
    // Distance of the 5 % and 95 % points of the standard normal distribution.
    const DISTANCE: f32 = 3.289_707;
    (quantiles[7] - quantiles[1]) / DISTANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_three_numbers() {
        let mut spread = Spread::default();
        for value in [1.0, 2.0, 6.0] {
            spread.push(value);
        }
        assert!((spread.mean() - 3.0).abs() < 1e-6);
        assert!((spread.deviation() - (14.0f32 / 3.0).sqrt()).abs() < 1e-6);
        assert_eq!((Spread::default().mean(), Spread::default().deviation()), (0.0, 0.0));
    }

    #[test]
    fn variances_of_noise_and_doubt_add() {
        // Two passes that differ by a shift: noise from the levels, epistemic deviation half the shift.
        let mut passes = QuantilePasses::default();
        for median in [2.0, 4.0] {
            passes.push(&core::array::from_fn(|k| median + k as f32 - MEDIAN as f32));
        }
        let (plain, epistemic) = passes.predictive(Calibration { noise: 1.0, doubt: 0.0 });
        let (wide, _) = passes.predictive(Calibration::NONE);
        assert_eq!((plain[MEDIAN], wide[MEDIAN], epistemic), (3.0, 3.0, 1.0));
        let noise = central_deviation(&plain);
        assert!((central_deviation(&wide).powi(2) - (noise * noise + 1.0)).abs() < 1e-5);
        let (narrow, _) = passes.predictive(Calibration { noise: 0.5, doubt: 0.0 });
        assert!((central_deviation(&narrow) - 0.5 * noise).abs() < 1e-6 && narrow[MEDIAN] == 3.0);
    }
}

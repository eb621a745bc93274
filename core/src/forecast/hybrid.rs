//! The hybrid Bayesian network: an LSTM encoder and a prediction network, with Monte-Carlo dropout in both.
//!
//! Two recipes share the code:
//! - [`Recipe::Repaired`] (what Aquatope uses): 16 latent units after the last step, the features of the light model as
//!   external ones, rectifiers, and a quantile head that hangs on the light model's experts ([`super::head`]). The head
//!   carries the noise of the counts, dropout what the network does not know; the forecast is both.
//! - [`Recipe::Release`] (for comparison): the published code's one rectified latent unit at every step, calendar
//!   features, a target relative to the *oldest* value, and an interval from the variance of the passes alone.

use core::fmt;
use core::ops::RangeInclusive;

use rand_core::Rng;

use super::encoder::{Encoder, EncoderMasks, Latent};
use super::features::EXPERTS;
use super::light::from_quantiles;
use super::mc_dropout::{Calibration, QuantilePasses, Rates, Spread};
use super::predictor::{Nonlinearity, Predictor, PredictorMasks};
use super::{Forecast, LEVELS, head};
use crate::math::{float, normal};
use crate::nn::dropout::MAX_WIDTH;
use crate::nn::weights::{Header, Layers, ModelKind, SHAPE, WeightsError};
use crate::nn::{Dropout, Linear, Lstm, Mask, ShapeError, Weights};
use crate::part::{self, Part};
use crate::time::Minute;
use crate::window::calendar;

/// Values of a step of input.
pub const SEQUENCE: usize = 5;

/// Standardised inputs are held within this many standard deviations.
pub const CLIP: f32 = 8.0;

/// Which of the two recipes a model follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Recipe {
    /// Quantile head, engineered external features.
    Repaired,
    /// As the published code.
    Release,
}

impl Recipe {
    /// Number of external features.
    pub const fn externals(self) -> usize {
        match self {
            Self::Repaired => super::features::FEATURES,
            Self::Release => 4,
        }
    }

    /// The step of input of one finished minute: its `peak` and `count`, and the `parent` stage's count.
    pub fn step(self, peak: u32, count: u32, parent: u32, minute: Minute) -> [f32; SEQUENCE] {
        let [day_sin, day_cos, week_sin, week_cos] = calendar(minute);
        match self {
            Self::Repaired => {
                let [peak, count, parent] = [peak, count, parent].map(|x| float::ln_1p_f32(x as f32));
                [peak, count, parent, day_sin, day_cos]
            }
            Self::Release => [peak as f32, day_sin, day_cos, week_sin, week_cos],
        }
    }
}

/// (x - offset) * gain in place, within [`CLIP`].
pub fn standardise(row: &mut [f32], offset: &[f32], gain: &[f32]) {
    for ((x, &offset), &gain) in row.iter_mut().zip(offset).zip(gain) {
        *x = ((*x - offset) * gain).clamp(-CLIP, CLIP);
    }
}

/// The sizes of a hybrid network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HybridShape {
    /// The recipe.
    pub recipe: Recipe,
    /// Minutes of history.
    pub window: usize,
    /// Units of the encoder's layers, each at most [`MAX_WIDTH`].
    pub encoder: [usize; 2],
    /// Widths of the prediction network's hidden layers, each at most [`MAX_WIDTH`].
    pub predictor: [usize; 2],
}

impl HybridShape {
    /// What the encoder gives the prediction network.
    pub const fn latent(&self) -> Latent {
        match self.recipe {
            Recipe::Repaired => Latent::LastStep,
            Recipe::Release => Latent::EveryStepRectified,
        }
    }

    /// Outputs of the prediction network.
    pub const fn outputs(&self) -> usize {
        match self.recipe {
            Recipe::Repaired => head::OUTPUTS,
            Recipe::Release => 1,
        }
    }

    /// The header of this shape's weight files.
    ///
    /// The values after it: five dropout rates ([`Rates`]) and the two numbers of [`Calibration`]; offsets and gains of
    /// the [`SEQUENCE`] columns, offsets and gains of the external features; then input weight, recurrent weight and bias
    /// of the two LSTMs, and weight and bias of the three linear layers.
    pub const fn header(&self) -> Header {
        let mut shape = [0; SHAPE];
        shape[0] = SEQUENCE as u32;
        shape[1] = self.encoder[0] as u32;
        shape[2] = self.encoder[1] as u32;
        shape[3] = self.recipe.externals() as u32;
        shape[4] = self.predictor[0] as u32;
        shape[5] = self.predictor[1] as u32;
        shape[6] = self.outputs() as u32;
        Header { kind: ModelKind::Hybrid, window: self.window as u32, shape }
    }

    fn from_header(header: &Header) -> Result<Self, WeightsError> {
        let [_, h1, h2, _, w1, w2, outputs, ..] = header.shape.map(|number| number as usize);
        let recipe = if outputs == 1 { Recipe::Release } else { Recipe::Repaired };
        let shape = Self { recipe, window: header.window as usize, encoder: [h1, h2], predictor: [w1, w2] };
        let known = shape.header() == *header && (1..=MAX_WINDOW).contains(&shape.window);
        let fits = [h1, h2, w1, w2].iter().all(|width| (1..=MAX_WIDTH).contains(width));
        if known && fits { Ok(shape) } else { Err(WeightsError::Shape { expected: 0, found: outputs }) }
    }
}

/// Longest window a model may have, minutes: one day.
pub const MAX_WINDOW: usize = 1440;

/// A hybrid network, viewed in a weight file.
#[derive(Clone, Copy, Debug)]
pub struct HybridModel<'w> {
    shape: HybridShape,
    rates: Rates,
    calibration: Calibration,
    sequence: Scale<'w>,
    external: Scale<'w>,
    encoder: Encoder<'w, f32>,
    predictor: Predictor<'w, f32>,
}

/// Offsets and gains of some inputs.
#[derive(Clone, Copy, Debug)]
struct Scale<'w> {
    offset: &'w [f32],
    gain: &'w [f32],
}

/// What one forecast is made from.
#[derive(Clone, Copy, Debug)]
pub struct HybridInput<'a> {
    /// The last minutes, oldest first, as many as the model's window ([`Recipe::step`]).
    pub sequence: &'a [[f32; SEQUENCE]],
    /// External features of the minute to come ([`Recipe::externals`]).
    pub external: &'a [f32],
    /// Simple forecasts of the minute, containers ([`super::features::Reading`]); the release recipe does not use them.
    pub experts: &'a [f32; EXPERTS],
    /// The unit of spread, containers ([`super::features::Reading`]); the release recipe does not use it.
    pub unit: f32,
}

/// Stochastic passes that go through the network side by side.
const BLOCK: usize = 32;

impl<'w> HybridModel<'w> {
    /// The model in `weights`.
    ///
    /// # Errors
    /// [`WeightsError::Kind`] for another model's file, [`WeightsError::Shape`] when sizes or values do not fit,
    /// [`WeightsError::OutOfRange`] for an impossible dropout rate, calibration or gain.
    pub fn new(weights: &Weights<'w>) -> Result<Self, WeightsError> {
        weights.expect(ModelKind::Hybrid, weights.header().window)?;
        let shape = HybridShape::from_header(weights.header())?;
        let mut layers = weights.layers();
        let settings = layers.take(7)?;
        let rate = |index: usize| {
            let rate = settings.get(index).map(|&rate| Dropout::new(f64::from(rate)));
            rate.and_then(Result::ok).ok_or(WeightsError::OutOfRange { index })
        };
        let rates = Rates {
            between: rate(0)?,
            latent: rate(1)?,
            before: rate(2)?,
            first: rate(3)?,
            second: rate(4)?,
        };
        let number = |index: usize, range: RangeInclusive<f32>| {
            let number = settings.get(index).copied().filter(|number| range.contains(number));
            number.ok_or(WeightsError::OutOfRange { index })
        };
        let calibration =
            Calibration { noise: number(5, Calibration::NOISE)?, doubt: number(6, Calibration::DOUBT)? };
        let mut scale = |columns: usize| {
            let offset = layers.take(columns)?;
            let first = layers.taken();
            let gain = layers.take(columns)?;
            match gain.iter().position(|&gain| gain <= 0.0) {
                Some(at) => Err(WeightsError::OutOfRange { index: first + at }),
                None => Ok(Scale { offset, gain }),
            }
        };
        let (sequence, external) = (scale(SEQUENCE)?, scale(shape.recipe.externals())?);
        let [h1, h2] = shape.encoder;
        let (first, second) = (lstm(&mut layers, SEQUENCE, h1)?, lstm(&mut layers, h1, h2)?);
        let misfit = |e: ShapeError| WeightsError::Shape { expected: e.expected, found: e.found };
        let encoder = Encoder::new(first, second, shape.latent()).map_err(misfit)?;
        let [w1, w2] = shape.predictor;
        let latents = encoder.latent_len(shape.window);
        let weight = layers.take((latents + shape.recipe.externals()) * w1)?;
        let bias = layers.take(w1)?;
        let (second, third): (Linear<'w, f32>, _) =
            (layers.linear(w1, w2)?, layers.linear(w2, shape.outputs())?);
        let predictor =
            Predictor::new(latents, weight, bias, second, third, Nonlinearity::Relu).map_err(misfit)?;
        layers.finish()?;
        Ok(Self { shape, rates, calibration, sequence, external, encoder, predictor })
    }

    /// The sizes.
    pub fn shape(&self) -> &HybridShape {
        &self.shape
    }

    /// The dropout rates of the stochastic passes.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// How wide its predictive distribution is.
    pub fn calibration(&self) -> Calibration {
        self.calibration
    }

    /// Length of the scratch memory of [`Self::forecast`]: about 11,000 values for the paper's sizes.
    pub fn scratch_len(&self) -> usize {
        let steps = self.shape.window;
        steps * SEQUENCE
            + self.shape.recipe.externals()
            + self.encoder.prepared_len(steps)
            + self.predictor.prepared_len()
            + BLOCK * (self.encoder.latent_len(steps) + self.shape.outputs())
            + self.encoder.scratch_len(BLOCK)
            + self.predictor.scratch_len()
    }

    /// Forecast one minute by `passes` stochastic passes, or by one deterministic pass for 0. Each pass draws its masks
    /// from `rng`. Work: the first LSTM layer once, then per pass and minute about `4 hidden (hidden + dropped)`
    /// products of the second layer.
    ///
    /// # Errors
    /// [`HybridError`] when a length does not fit or an input is not finite.
    pub fn forecast<G: Rng + ?Sized>(
        &self,
        input: &HybridInput<'_>,
        passes: usize,
        rng: &mut G,
        scratch: &mut [f32],
    ) -> Result<Forecast, HybridError> {
        Ok(self.finish(input, &self.run(input, passes, rng, scratch)?))
    }

    /// The passes of [`Self::forecast`] before they are made one distribution, to calibrate on; none of the release
    /// recipe, whose passes have no quantiles.
    ///
    /// # Errors
    /// As [`Self::forecast`].
    pub fn passes<G: Rng + ?Sized>(
        &self,
        input: &HybridInput<'_>,
        passes: usize,
        rng: &mut G,
        scratch: &mut [f32],
    ) -> Result<QuantilePasses, HybridError> {
        Ok(self.run(input, passes, rng, scratch)?.quantiles)
    }

    fn run<G: Rng + ?Sized>(
        &self,
        input: &HybridInput<'_>,
        passes: usize,
        rng: &mut G,
        scratch: &mut [f32],
    ) -> Result<Summary, HybridError> {
        let steps = self.shape.window;
        ShapeError::check("window of a hybrid model", steps, input.sequence.len())?;
        ShapeError::check("external features", self.external.offset.len(), input.external.len())?;
        ShapeError::check("scratch of a hybrid model", self.scratch_len(), scratch.len())?;
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        let rest = finite(input.external) && finite(input.experts) && input.unit.is_finite();
        if !finite(input.sequence.as_flattened()) || !rest {
            return Err(HybridError::NotFinite);
        }
        let (x, rest) = split(scratch, steps * SEQUENCE)?;
        let (external, rest) = split(rest, input.external.len())?;
        let (encoded, rest) = split(rest, self.encoder.prepared_len(steps))?;
        let (base, rest) = split(rest, self.predictor.prepared_len())?;
        let (latents, rest) = split(rest, BLOCK * self.encoder.latent_len(steps))?;
        let (outputs, rest) = split(rest, BLOCK * self.shape.outputs())?;
        let (encoder_scratch, predictor_scratch) = split(rest, self.encoder.scratch_len(BLOCK))?;

        part::copy(x, input.sequence.as_flattened());
        for row in x.chunks_exact_mut(SEQUENCE) {
            standardise(row, self.sequence.offset, self.sequence.gain);
        }
        part::copy(external, input.external);
        standardise(external, self.external.offset, self.external.gain);
        let rates = if passes == 0 { &Rates::NONE } else { &self.rates };
        self.encoder.prepare(x, rates.between, encoded, encoder_scratch)?;
        self.predictor.prepare(external, base)?;

        let mut summary = Summary { quantiles: QuantilePasses::default(), value: Spread::default() };
        let mut left = passes.max(1);
        while left > 0 {
            let block = left.min(BLOCK);
            let mut encoder_masks = [EncoderMasks { between: Mask::NONE, latent: Mask::NONE }; BLOCK];
            let mut predictor_masks =
                [PredictorMasks { before: Mask::NONE, first: Mask::NONE, second: Mask::NONE }; BLOCK];
            for (encoder, predictor) in encoder_masks.iter_mut().zip(&mut predictor_masks).take(block) {
                (*encoder, *predictor) = rates.draw(self.shape.encoder, self.shape.predictor, rng);
            }
            let latents = latents.head_mut(block * self.encoder.latent_len(steps));
            let outputs = outputs.head_mut(block * self.shape.outputs());
            self.encoder.pass(encoded, &encoder_masks[..block], latents, encoder_scratch)?;
            self.predictor.pass(base, latents, &predictor_masks[..block], outputs, predictor_scratch)?;
            for outputs in outputs.chunks_exact(self.shape.outputs()) {
                summary.push(input, outputs);
            }
            left -= block;
        }
        Ok(summary)
    }

    /// From the model's unit to containers.
    fn finish(&self, input: &HybridInput<'_>, summary: &Summary) -> Forecast {
        #[expect(clippy::manual_clamp, reason = "clamp keeps NaN")]
        let finite = |x: f32| x.max(0.0).min(f32::MAX);
        match self.shape.recipe {
            Recipe::Repaired => {
                let (quantiles, epistemic) = summary.quantiles.predictive(self.calibration);
                Forecast { epistemic: finite(epistemic), ..from_quantiles(quantiles) }
            }
            Recipe::Release => {
                let oldest = input.sequence.first().map_or(0.0, |step| step[0]);
                // A model has a gain for every column.
                let gain = self.sequence.gain.first().map_or(f32::NAN, |gain| *gain);
                let mean = oldest + summary.value.mean() / gain;
                let epistemic = summary.value.deviation() / gain;
                let quantiles =
                    LEVELS.map(|level| mean + epistemic * normal::quantile(f64::from(level)) as f32);
                Forecast { mean: finite(mean), epistemic: finite(epistemic), ..from_quantiles(quantiles) }
            }
        }
    }
}

/// What is kept of the passes: quantiles of the repaired recipe, values of the release recipe.
struct Summary {
    quantiles: QuantilePasses,
    value: Spread,
}

impl Summary {
    fn push(&mut self, input: &HybridInput<'_>, outputs: &[f32]) {
        match <&[f32; head::OUTPUTS]>::try_from(outputs) {
            Ok(outputs) => self.quantiles.push(&head::quantiles(outputs, input.experts, input.unit)),
            Err(_) => outputs.iter().for_each(|&value| self.value.push(value)),
        }
    }
}

fn split(scratch: &mut [f32], length: usize) -> Result<(&mut [f32], &mut [f32]), ShapeError> {
    ShapeError::split("scratch of a hybrid model", length, scratch)
}

fn lstm<'w>(layers: &mut Layers<'w>, inputs: usize, hidden: usize) -> Result<Lstm<'w, f32>, WeightsError> {
    let (input, recurrent) = (layers.take(4 * inputs * hidden)?, layers.take(4 * hidden * hidden)?);
    Lstm::new(input, recurrent, layers.take(4 * hidden)?)
        .map_err(|e| WeightsError::Shape { expected: e.expected, found: e.found })
}

/// Why there is no forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum HybridError {
    /// A slice has the wrong length.
    Shape(ShapeError),
    /// A value of the window or an external feature is NaN or infinite.
    NotFinite,
}

impl From<ShapeError> for HybridError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}

impl fmt::Display for HybridError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(error) => error.fmt(f),
            Self::NotFinite => {
                f.write_str("an input is not a finite number; leave the minute out or repeat the last")
            }
        }
    }
}

impl core::error::Error for HybridError {}

#[cfg(test)]
#[path = "hybrid_tests.rs"]
mod tests;

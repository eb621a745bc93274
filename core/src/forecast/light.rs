//! The light quantile model: a small network shared by all functions, eleven quantiles in one pass.
//!
//! Features are standardised, pass two hidden layers with rectifiers, and end in two groups of outputs:
//! - weights (softmax) of the [`EXPERTS`] simple forecasts of the reading: their mean is where the distribution hangs,
//!   so that the network need not learn to copy a large number through its layers;
//! - the distance of the lowest quantile from there and the steps to the next ones (softplus, so quantiles never
//!   cross), in the reading's unit, about the deviation of a Poisson count of the size to expect.
//!
//! Several networks trained from different seeds may be averaged quantile by quantile.
//!
//! State is one [`super::features::FunctionState`] per function, and one weight file for all: 51 KB a network of width
//! 64.

use core::ops::Range;

use super::features::{EXPERTS, FEATURES, FULL_HISTORY, Reading};
use super::{Forecast, LEVELS};
use crate::math::float;
use crate::nn::linear::accumulate;
use crate::nn::weights::{Header, ModelKind, SHAPE, Weights, WeightsError};
use crate::part::{self, Part};

/// Widest hidden layer.
pub const MAX_HIDDEN: usize = 128;

/// Where in the values of a network the features' gains are; all must be above 0.
pub const GAINS: Range<usize> = FEATURES..2 * FEATURES;

/// Values of one network of hidden width `hidden`: offsets and gains of the features ([`GAINS`]), then weights and
/// biases of the three layers.
pub const fn network_len(hidden: usize) -> usize {
    2 * FEATURES + FEATURES * hidden + hidden + hidden * hidden + hidden + hidden * OUTPUTS + OUTPUTS
}

/// Outputs of a network: the lowest quantile and the steps to the others, then the experts' weights before softmax.
pub const OUTPUTS: usize = LEVELS.len() + EXPERTS;

/// The header of a weight file with `networks` networks of width `hidden`.
pub const fn header(hidden: usize, networks: usize) -> Header {
    let mut shape = [0; SHAPE];
    shape[0] = FEATURES as u32;
    shape[1] = hidden as u32;
    shape[2] = LEVELS.len() as u32;
    shape[3] = networks as u32;
    shape[4] = EXPERTS as u32;
    Header { kind: ModelKind::Light, window: FULL_HISTORY as u32, shape }
}

/// Standardised features are held within this many standard deviations.
const CLIP: f32 = 8.0;

/// Share of each level in the mean: half the distance between its neighbours, of the distance covered.
const MEAN_WEIGHTS: [f32; LEVELS.len()] = {
    let mut weights = [0.0; LEVELS.len()];
    let mut at = 0;
    while at < LEVELS.len() {
        let below = if at == 0 { 0.0 } else { (LEVELS[at] + LEVELS[at - 1]) / 2.0 };
        let above = if at + 1 == LEVELS.len() { 1.0 } else { (LEVELS[at] + LEVELS[at + 1]) / 2.0 };
        weights[at] = above - below;
        at += 1;
    }
    weights
};

/// One or more networks, viewed in a weight file.
#[derive(Clone, Copy, Debug)]
pub struct LightModel<'w> {
    values: &'w [f32],
    hidden: usize,
}

impl<'w> LightModel<'w> {
    /// The model in `weights`.
    ///
    /// # Errors
    /// [`WeightsError::Kind`] or [`WeightsError::Window`] for another model's file, [`WeightsError::Shape`] when the
    /// values are not those of at least one network on [`FEATURES`] features, at most [`MAX_HIDDEN`] wide,
    /// [`WeightsError::OutOfRange`] for a gain that is not above 0.
    pub fn new(weights: &Weights<'w>) -> Result<Self, WeightsError> {
        weights.expect(ModelKind::Light, FULL_HISTORY as u32)?;
        let [features, hidden, levels, networks, experts, ..] =
            weights.header().shape.map(|number| number as usize);
        let known = features == FEATURES
            && levels == LEVELS.len()
            && experts == EXPERTS
            && (1..=MAX_HIDDEN).contains(&hidden);
        let expected = if known { networks.max(1).saturating_mul(network_len(hidden)) } else { 0 };
        if weights.values().len() != expected {
            return Err(WeightsError::Shape { expected, found: weights.values().len() });
        }
        for (at, network) in part::rows(weights.values(), network_len(hidden)).enumerate() {
            let gains = network.part(GAINS);
            if let Some(wrong) = gains.iter().position(|&gain| gain <= 0.0) {
                return Err(WeightsError::OutOfRange {
                    index: at * network_len(hidden) + GAINS.start + wrong,
                });
            }
        }
        Ok(Self { values: weights.values(), hidden })
    }

    /// Forecast one minute from its features. Work: about `hidden (FEATURES + hidden + OUTPUTS)` multiplications a network.
    pub fn forecast(&self, reading: &Reading) -> Forecast {
        let mut quantiles = [0.0; LEVELS.len()];
        let networks = part::rows(self.values, network_len(self.hidden));
        let share = 1.0 / networks.len() as f32;
        for network in networks {
            let outputs = forward(network, self.hidden, &reading.features);
            let (steps, weights) = outputs.split_at(LEVELS.len());
            let mut level = mix(weights, &reading.experts) + steps[0] * reading.unit;
            quantiles[0] += level * share;
            for at in 1..LEVELS.len() {
                level += softplus(steps[at]) * reading.unit;
                quantiles[at] += level * share;
            }
        }
        from_quantiles(quantiles)
    }
}

/// A forecast from non-decreasing quantiles: cut off at 0, with the mean they imply. Weights of a damaged training may
/// overflow; one that is NaN or falls is taken as the one before, an infinite one as the largest number.
pub fn from_quantiles(mut quantiles: [f32; LEVELS.len()]) -> Forecast {
    let (mut mean, mut least) = (0.0, 0.0);
    for (quantile, weight) in quantiles.iter_mut().zip(MEAN_WEIGHTS) {
        least = quantile.max(least).min(f32::MAX);
        *quantile = least;
        mean += least * weight;
    }
    Forecast { mean, quantiles, epistemic: 0.0 }
}

/// ln(1 + e^x), without overflow.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + float::ln_1p_f32(float::exp_m1_f32(-x.abs()) + 1.0)
}

/// The experts' mean with softmax weights.
fn mix(weights: &[f32], experts: &[f32; EXPERTS]) -> f32 {
    let largest = weights.iter().fold(f32::NEG_INFINITY, |m, &w| m.max(w));
    let (mut sum, mut total) = (0.0, 0.0);
    for (&weight, &expert) in weights.iter().zip(experts) {
        let share = float::exp_m1_f32(weight - largest) + 1.0;
        sum += share * expert;
        total += share;
    }
    sum / total
}

/// The raw outputs of one network.
fn forward(network: &[f32], hidden: usize, features: &[f32; FEATURES]) -> [f32; OUTPUTS] {
    let mut rest = network;
    // `LightModel::new` checked that a network has all these values.
    let mut take = |len: usize| {
        let (taken, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        taken
    };
    let (offset, gain) = (take(FEATURES), take(FEATURES));
    let mut input = [0.0; FEATURES];
    for (((x, &f), &o), &g) in input.iter_mut().zip(features).zip(offset).zip(gain) {
        *x = ((f - o) * g).clamp(-CLIP, CLIP);
    }
    let (mut first, mut second) = ([0.0; MAX_HIDDEN], [0.0; MAX_HIDDEN]);
    let (first, second) = (first.head_mut(hidden), second.head_mut(hidden));
    let mut outputs = [0.0; OUTPUTS];
    let mut layer = |input: &[f32], output: &mut [f32]| {
        let weight = take(input.len() * output.len());
        part::copy(output, take(output.len()));
        accumulate(weight, input, output);
    };
    layer(&input, first);
    rectify(first);
    layer(first, second);
    rectify(second);
    layer(second, &mut outputs);
    outputs
}

fn rectify(values: &mut [f32]) {
    for value in values {
        *value = value.max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn file(header: &Header, values: &[f32]) -> Vec<u32> {
        let head = header.to_bytes(values).unwrap();
        let words = head.chunks_exact(4).map(|w| u32::from_le_bytes(w.try_into().unwrap()));
        words.chain(values.iter().map(|v| v.to_bits())).collect()
    }

    fn forecast(hidden: usize, networks: usize, values: &[f32], reading: &Reading) -> Forecast {
        let words = file(&header(hidden, networks), values);
        let weights = Weights::parse(bytemuck::cast_slice(&words)).unwrap();
        LightModel::new(&weights).unwrap().forecast(reading)
    }

    fn reading(unit: f32) -> Reading {
        Reading { features: [0.0; FEATURES], experts: [0.0; EXPERTS], unit }
    }

    /// All weights 0 and all gains 1, so that the outputs are the last biases.
    fn constant(hidden: usize, biases: [f32; OUTPUTS]) -> Vec<f32> {
        let mut values = vec![0.0; network_len(hidden)];
        values[GAINS].fill(1.0);
        let at = values.len() - OUTPUTS;
        values[at..].copy_from_slice(&biases);
        values
    }

    #[test]
    fn quantiles_are_softplus_steps_above_the_experts_mean() {
        let mut biases = [1.0; OUTPUTS];
        biases[LEVELS.len()..].fill(0.0);
        // Expert 2 has e^30 times the weight of the others, so its forecast is where the distribution hangs.
        biases[LEVELS.len() + 2] = 30.0;
        let mut reading = reading(2.0);
        reading.experts[2] = 7.0;
        let forecast = forecast(8, 1, &constant(8, biases), &reading);
        let step = 1.0f32.exp().ln_1p();
        for (k, quantile) in forecast.quantiles.iter().enumerate() {
            assert!((quantile - 7.0 - 2.0 * (1.0 + k as f32 * step)).abs() < 1e-4, "level {k}");
        }
        let total: f32 = MEAN_WEIGHTS.iter().sum();
        assert!((total - 1.0).abs() < 1e-6);
        assert!(forecast.quantiles[0] < forecast.mean && forecast.mean < forecast.quantiles[10]);
    }

    #[test]
    fn one_path_through_the_layers_by_hand() {
        let hidden = 8;
        let mut values = constant(hidden, [-40.0; OUTPUTS]);
        values[2] = 1.0; // offset of feature 2
        values[FEATURES + 2] = 0.5; // its gain
        let first = 2 * FEATURES;
        values[first + 2 * hidden + 3] = 4.0; // feature 2 -> unit 3
        let second = first + FEATURES * hidden + hidden;
        values[second + 3 * hidden + 5] = 2.0; // unit 3 -> unit 5
        let third = second + hidden * hidden + hidden;
        values[third + 5 * OUTPUTS] = 1.0; // unit 5 -> lowest quantile
        let mut reading = reading(1.0);
        reading.features[2] = 13.0;
        // (13 - 1) / 2 = 6, times 4, times 2, minus 40; the steps are as good as 0.
        let lowest = forecast(hidden, 1, &values, &reading).quantiles[0];
        assert!((lowest - 8.0).abs() < 1e-4, "{lowest}");
        // Beyond eight deviations a feature is cut off: 8 * 4 * 2 - 40.
        reading.features[2] = 1e9;
        let lowest = forecast(hidden, 1, &values, &reading).quantiles[0];
        assert!((lowest - 24.0).abs() < 1e-4, "{lowest}");
    }

    #[test]
    fn networks_are_averaged() {
        let (one, three) = (constant(8, [1.0; OUTPUTS]), constant(8, [3.0; OUTPUTS]));
        let both = forecast(8, 2, &[one, three].concat(), &reading(1.0));
        assert!((both.quantiles[0] - 2.0).abs() < 1e-5);
    }

    #[test]
    fn files_of_another_shape_are_refused() {
        let values = constant(8, [0.0; OUTPUTS]);
        for wrong in [header(16, 1), header(8, 2), header(8, 0), header(0, 1), header(MAX_HIDDEN + 8, 1)] {
            let words = file(&wrong, &values[1..]);
            let weights = Weights::parse(bytemuck::cast_slice(&words)).unwrap();
            assert!(matches!(LightModel::new(&weights), Err(WeightsError::Shape { .. })), "{wrong:?}");
        }
        let foreign = Header { kind: ModelKind::Hybrid, ..header(8, 1) };
        let words = file(&foreign, &values);
        let weights = Weights::parse(bytemuck::cast_slice(&words)).unwrap();
        assert!(matches!(LightModel::new(&weights), Err(WeightsError::Kind { .. })));
    }

    #[test]
    fn gains_not_above_0_are_refused() {
        let networks = [constant(8, [0.0; OUTPUTS]), constant(8, [0.0; OUTPUTS])].concat();
        let second = network_len(8) + FEATURES;
        for (index, gain) in [(FEATURES, 0.0), (2 * FEATURES - 1, -1.0), (second, -0.0), (second + 5, -1e-9)]
        {
            let mut values = networks.clone();
            values[index] = gain;
            let words = file(&header(8, 2), &values);
            let weights = Weights::parse(bytemuck::cast_slice(&words)).unwrap();
            assert_eq!(LightModel::new(&weights).unwrap_err(), WeightsError::OutOfRange { index });
        }
    }

    #[test]
    fn overflowing_weights_give_ordered_finite_quantiles() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let forecast = from_quantiles([-inf, 1.0, nan, 3.0, 2.0, inf, nan, -inf, 5.0, nan, inf]);
        let top = f32::MAX;
        assert_eq!(forecast.quantiles, [0.0, 1.0, 1.0, 3.0, 3.0, top, top, top, top, top, top]);
        assert!(forecast.mean.is_finite() && forecast.mean > 0.0);
    }

    proptest! {
        #[test]
        fn any_weights_and_features_give_ordered_non_negative_quantiles(
            seed in proptest::collection::vec(-3.0f32..3.0, 97),
            features in proptest::array::uniform32(proptest::num::f32::ANY),
            expert in 0.0f32..1e9,
            unit in 0.0f32..1e5,
        ) {
            let mut values: Vec<f32> = (0..network_len(8)).map(|k| seed[k * 31 % 97]).collect();
            values[GAINS].iter_mut().for_each(|gain| *gain = gain.abs().max(1e-3));
            let mut reading = reading(unit);
            reading.experts[3] = expert;
            reading.features[..32].copy_from_slice(&features);
            let forecast = forecast(8, 1, &values, &reading);
            prop_assert!(forecast.quantiles.iter().all(|q| *q >= 0.0));
            prop_assert!(forecast.quantiles.is_sorted());
        }
    }
}

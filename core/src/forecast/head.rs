//! The quantile head: raw network outputs to quantiles that never cross.
//!
//! The first outputs, one a level, are spread: output [`MEDIAN`] is the distance of the median from the anchor, every
//! other one a step outwards from its neighbour, made positive by [`step`]; all in the reading's unit. The others are
//! the softmax weights of the reading's [`EXPERTS`]: their mean is the anchor, so that the network need not learn to
//! copy a large number through its layers.

use super::features::EXPERTS;
use super::{LEVELS, MEDIAN};
use crate::nn::Real;

/// Raw outputs of a network with this head.
pub const OUTPUTS: usize = LEVELS.len() + EXPERTS;

/// A raw output as a positive step: 1 + 2x above 0, (1 - x)^-2 below. Smooth to the first derivative, rising, and cheap
/// enough to run once per level and pass.
#[inline]
pub fn step<R: Real>(x: R) -> R {
    if x > R::ZERO {
        R::ONE + x + x
    } else {
        let tail = R::ONE / (R::ONE - x);
        tail * tail
    }
}

/// The derivative of [`step`].
#[inline]
pub fn step_slope<R: Real>(x: R) -> R {
    let two = R::ONE + R::ONE;
    if x > R::ZERO {
        two
    } else {
        let tail = R::ONE / (R::ONE - x);
        two * tail * tail * tail
    }
}

/// Quantiles at [`LEVELS`] from raw outputs, in containers.
#[inline]
pub fn quantiles<R: Real>(outputs: &[R; OUTPUTS], experts: &[R; EXPERTS], unit: R) -> [R; LEVELS.len()] {
    let (spread, weights) = split(outputs);
    let steps = spread.map(step);
    let mut quantiles = [R::ZERO; LEVELS.len()];
    quantiles[MEDIAN] = anchor(&shares(&weights), experts) + spread[MEDIAN] * unit;
    for level in MEDIAN + 1..LEVELS.len() {
        quantiles[level] = quantiles[level - 1] + steps[level] * unit;
    }
    for level in (0..MEDIAN).rev() {
        quantiles[level] = quantiles[level + 1] - steps[level] * unit;
    }
    quantiles
}

/// The gradient by the raw outputs from the `gradient` by the quantiles.
pub fn quantiles_gradient<R: Real>(
    outputs: &[R; OUTPUTS],
    experts: &[R; EXPERTS],
    unit: R,
    gradient: &[R; LEVELS.len()],
) -> [R; OUTPUTS] {
    let (spread, weights) = split(outputs);
    let mut result = [R::ZERO; OUTPUTS];
    let (mut above, mut below) = (R::ZERO, R::ZERO);
    for level in (MEDIAN + 1..LEVELS.len()).rev() {
        above += gradient[level];
        result[level] = above * unit * step_slope(spread[level]);
    }
    for level in 0..MEDIAN {
        below += gradient[level];
        result[level] = -(below * unit * step_slope(spread[level]));
    }
    let whole = gradient[MEDIAN] + above + below;
    result[MEDIAN] = whole * unit;
    let shares = shares(&weights);
    let anchor = anchor(&shares, experts);
    for ((result, share), &expert) in result[LEVELS.len()..].iter_mut().zip(shares).zip(experts) {
        *result = whole * share * (expert - anchor);
    }
    result
}

/// The spread and the experts' weights.
#[inline]
fn split<R: Real>(outputs: &[R; OUTPUTS]) -> ([R; LEVELS.len()], [R; EXPERTS]) {
    (core::array::from_fn(|k| outputs[k]), core::array::from_fn(|k| outputs[LEVELS.len() + k]))
}

/// Softmax.
#[inline]
fn shares<R: Real>(weights: &[R; EXPERTS]) -> [R; EXPERTS] {
    let largest = weights.iter().fold(weights[0], |largest, &w| if w > largest { w } else { largest });
    let shares = weights.map(|weight| (weight - largest).exp_negative());
    let total = shares.iter().fold(R::ZERO, |total, &share| total + share);
    shares.map(|share| share / total)
}

#[inline]
fn anchor<R: Real>(shares: &[R; EXPERTS], experts: &[R; EXPERTS]) -> R {
    shares.iter().zip(experts).fold(R::ZERO, |sum, (&share, &expert)| sum + share * expert)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPERT: [f64; EXPERTS] = {
        let mut experts = [0.0; EXPERTS];
        let mut at = 0;
        while at < EXPERTS {
            experts[at] = (at * at % 7) as f64;
            at += 1;
        }
        experts
    };

    #[test]
    fn gradients_agree_with_finite_differences() {
        let outputs: [f64; OUTPUTS] =
            core::array::from_fn(|k| [0.7, -1.3, 2.0, -0.2, -3.0, 0.1, -8.0][k % 7]);
        let weights: [f64; LEVELS.len()] = core::array::from_fn(|k| (k as f64 - 4.0) * 0.3);
        let value = |outputs: &[f64; OUTPUTS]| {
            let quantiles = quantiles(outputs, &EXPERT, 0.6);
            quantiles.iter().zip(weights).map(|(q, w)| q * w).sum::<f64>()
        };
        let gradient = quantiles_gradient(&outputs, &EXPERT, 0.6, &weights);
        for k in 0..OUTPUTS {
            let at = |delta: f64| {
                let mut moved = outputs;
                moved[k] += delta;
                value(&moved)
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((difference - gradient[k]).abs() < 1e-7, "output {k}: {difference} not {}", gradient[k]);
        }
    }

    #[test]
    fn quantiles_never_cross_and_hang_on_the_experts() {
        let mut outputs = [-50.0f32; OUTPUTS];
        outputs[MEDIAN] = 3.0;
        outputs[LEVELS.len() + 2] = 0.0;
        let quantiles = quantiles(&outputs, &EXPERT.map(|e| e as f32), 2.0);
        assert!(quantiles.windows(2).all(|pair| pair[0] < pair[1]));
        assert!((quantiles[MEDIAN] - (EXPERT[2] as f32 + 6.0)).abs() < 1e-5);
    }
}

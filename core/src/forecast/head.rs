//! The quantile head: raw network outputs to quantiles that never cross.
//!
//! Output [`MEDIAN`] is the median; every other output is a step outwards from its neighbour, made positive by
//! [`step`]. All in the model's own unit.

use super::{LEVELS, MEDIAN};
use crate::nn::Real;

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

/// Raw outputs to quantiles at [`LEVELS`], in place.
#[inline]
pub fn quantiles<R: Real>(outputs: &mut [R; LEVELS.len()]) {
    let steps = outputs.map(step);
    for level in MEDIAN + 1..LEVELS.len() {
        outputs[level] = outputs[level - 1] + steps[level];
    }
    for level in (0..MEDIAN).rev() {
        outputs[level] = outputs[level + 1] - steps[level];
    }
}

/// The gradient by the raw outputs from the `gradient` by the quantiles, in place.
pub fn quantiles_gradient<R: Real>(outputs: &[R; LEVELS.len()], gradient: &mut [R; LEVELS.len()]) {
    let (mut above, mut below) = (R::ZERO, R::ZERO);
    for level in (MEDIAN + 1..LEVELS.len()).rev() {
        above += gradient[level];
        gradient[level] = above * step_slope(outputs[level]);
    }
    for level in 0..MEDIAN {
        below += gradient[level];
        gradient[level] = -below * step_slope(outputs[level]);
    }
    gradient[MEDIAN] += above + below;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_agree_with_finite_differences() {
        let outputs: [f64; LEVELS.len()] =
            core::array::from_fn(|k| [0.7, -1.3, 2.0, -0.2, -3.0, 0.1, -8.0][k % 7]);
        let weights: [f64; LEVELS.len()] = core::array::from_fn(|k| (k as f64 - 4.0) * 0.3);
        let value = |outputs: &[f64; LEVELS.len()]| {
            let mut q = *outputs;
            quantiles(&mut q);
            q.iter().zip(weights).map(|(q, w)| q * w).sum::<f64>()
        };
        let mut gradient = weights;
        quantiles_gradient(&outputs, &mut gradient);
        for k in 0..LEVELS.len() {
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
    fn quantiles_never_cross() {
        let mut outputs = [-50.0f32; LEVELS.len()];
        outputs[MEDIAN] = 3.0;
        quantiles(&mut outputs);
        assert!(outputs.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(outputs[MEDIAN], 3.0);
    }
}

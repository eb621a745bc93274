//! A function that behaves differently from some trial on: it was updated, or gets other input.
//!
//! What was learned of the *other* functions stays true, and an updated function mostly keeps its shape. So older
//! observations of the changed function are kept, with an unknown offset and some more noise, and a few new trials
//! tell the offset.
//!
//! The test is the score test for an offset of function i since trial t. With u the indicator of those trials, and
//! the weights and matrices of [`super::joint`],
//!
//! ```text
//! T = (u^T weights_i)^2 / u^T (A_i^-1 - A_i^-1 V A_i^-1) u  ~  chi squared with one degree of freedom
//! ```
//!
//! A change of all functions at once, such as slower machines, looks like interference that does not end. Its test is
//! the likelihood ratio of a shift of the common factors since trial t, by the median of what they measure. Under
//! either hypothesis some of the trials are disturbed, so that no single outlier tells much.

use super::joint::Joint;
use super::kernel::square;
use super::noise::Noise;
use super::observations::Observations;
use crate::bo::profile::median;
use crate::math::vector::dot;
use crate::part::Part;
use heapless::Vec;

/// Prior variance of the offset: a factor of 1.6 either way.
pub(super) const OFFSET_VARIANCE: f64 = 0.25;
/// Variance of what else has changed: 5 %.
pub(super) const SHAPE_VARIANCE: f64 = 0.0025;
/// The most functions that change is looked for in at one step.
pub(super) const MAX_CHANGES: usize = 3;
/// T above this is a change: 5.5 standard deviations, for the many trials and functions that are tested.
const THRESHOLD: f64 = 30.0;
/// The fewest trials since the change, and before it.
const MIN_TRIALS: usize = 2;
/// ln likelihood ratio above which all functions have changed: what 70 trials without a change hardly ever reach, with noise
/// of 0.05 to 0.4 and up to a quarter of them disturbed (the test `no_change_is_seen_where_there_is_none` has 15 studies).
const COMMON_THRESHOLD: f64 = 8.0;
/// The fewest trials since such a change, so that two disturbed ones are no majority; and before it.
const MIN_COMMON_TRIALS: usize = 5;
/// The least shift of the common factor that is a change: 10 %.
const MIN_SHIFT: f64 = 0.1;

/// The function and first trial of the clearest change of a function that has not changed yet, if any is clear.
/// F n^3 operations.
pub(super) fn find<const F: usize, const N: usize>(
    data: &Observations<F, N>,
    joint: &Joint<F, N>,
) -> Option<(usize, usize)> {
    let (n, trials) = (data.len(), data.trials().len());
    let mut clearest = (THRESHOLD, None);
    for i in 0..data.functions() {
        if data.changed_at[i] != 0 {
            continue;
        }
        // A_i^-1 u and u^T weights, one more trial at a time.
        let (mut solved, mut score) = ([0.0; N], 0.0);
        for first in (MIN_TRIALS.max(1)..trials).rev() {
            score += joint.weights[i][first];
            for (x, a) in solved[..n].iter_mut().zip(&joint.inverse[i][first]) {
                *x += a;
            }
            if trials - first < MIN_TRIALS {
                continue;
            }
            let mut variance = solved.part(first..trials).iter().sum::<f64>();
            for s in 0..n {
                variance -= solved[s] * dot(&joint.common_covariance[s][..n], &solved[..n]);
            }
            let statistic = square(score) / variance.max(1e-9);
            if statistic > clearest.0 {
                clearest = (statistic, Some((i, first)));
            }
        }
    }
    clearest.1
}

/// The first trial of the clearest change of all functions at once, if any is clear. n^2 operations.
pub(super) fn find_common<const F: usize, const N: usize>(
    data: &Observations<F, N>,
    joint: &Joint<F, N>,
    noise: &Noise<F>,
) -> Option<usize> {
    let trials = data.trials().len();
    let (mut factors, mut unshifted) = ([(0.0, 0.0); N], [0.0; N]);
    for s in 0..trials {
        factors[s] = joint.measured_factor(s);
        unshifted[s] = noise.ln_density(factors[s].0, factors[s].1);
    }
    let mut clearest = (COMMON_THRESHOLD, None);
    // One more trial at a time, which is all there is to sort.
    let mut sorted: Vec<f64, N> = Vec::new();
    for first in (MIN_COMMON_TRIALS..trials).rev() {
        let _ = sorted.push(factors[first].0);
        let shift = median(&mut sorted);
        if trials - first < MIN_COMMON_TRIALS || shift.abs() < MIN_SHIFT {
            continue;
        }
        let later = factors.part(first..trials).iter().zip(unshifted.part(first..trials));
        let gains =
            later.map(|(&(mean, variance), unshifted)| noise.ln_density(mean - shift, variance) - unshifted);
        let ratio = gains.sum::<f64>();
        if ratio > clearest.0 {
            clearest = (ratio, Some(first));
        }
    }
    clearest.1
}

//! Maximises the acquisition function: raw Sobol samples, restarts drawn from them with Boltzmann weights, bounded
//! quasi-Newton searches that are cut short when others are ahead.
//!
//! Every restart gets a short search; the better third goes on, and the best two search to the end (successive
//! halving), because most restarts end in the same few optima or far below them.

use super::{Acquisition, MAX_JOINT};
use crate::math::lbfgs::{Lbfgs, Stop};
use crate::math::{float, sort};
use crate::part::{At, Part};
use crate::random;
use crate::sobol::{self, Dimension};
use heapless::Vec;
use rand_core::Rng;

/// The most raw samples.
pub const MAX_RAW: usize = 512;
/// The most restarts.
pub const MAX_RESTARTS: usize = 32;

/// How hard to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Search {
    /// Raw samples: what is beyond [`MAX_RAW`] or the square of the scratch's `N` (256 for 16 trials) is not drawn.
    pub raw: u16,
    /// Restarts, at most [`MAX_RESTARTS`].
    pub restarts: u16,
    /// Evaluations of the longest search.
    pub evaluations: u16,
}

impl Default for Search {
    fn default() -> Self {
        Self { raw: 512, restarts: 20, evaluations: 200 }
    }
}

/// Temporary memory of a search for `Q` candidates in `D` dimensions: 564 bytes for each of their coordinates, and some
/// more.
#[derive(Clone, Debug)]
pub struct SearchScratch<const D: usize, const Q: usize = MAX_JOINT> {
    dimensions: [[Dimension; D]; Q],
    starts: Vec<Start<D, Q>, MAX_RESTARTS>,
    lbfgs: Lbfgs<D, Q>,
}

#[derive(Clone, Copy, Debug)]
struct Start<const D: usize, const Q: usize> {
    value: f64,
    x: [[f64; D]; Q],
}

impl<const D: usize, const Q: usize> SearchScratch<D, Q> {
    /// Empty memory.
    pub const fn new() -> Self {
        Self { dimensions: [[Dimension::ZERO; D]; Q], starts: Vec::new(), lbfgs: Lbfgs::new() }
    }
}

impl<const D: usize, const Q: usize> Default for SearchScratch<D, Q> {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes the best batch found into `x` (row-major, as long as the batch times the dimensions, at most `D` times `Q`) and
/// returns its value. The search stays between `lower` and `upper`, which are as long as `x`. `values` is temporary
/// memory, one place per raw sample: there are no more of these than places.
pub fn maximise<R: Rng + ?Sized, const N: usize, const D: usize, const S: usize, const Q: usize>(
    acquisition: &mut Acquisition<N, D, S, Q>,
    search: Search,
    lower: &[f64],
    upper: &[f64],
    x: &mut [f64],
    rng: &mut R,
    scratch: &mut SearchScratch<D, Q>,
    values: &mut [f64],
) -> f64 {
    let variables = x.len().min(D * Q).min(lower.len()).min(upper.len());
    let x = &mut x[..variables];
    let dimensions = &mut scratch.dimensions.as_flattened_mut()[..variables];
    for (j, dimension) in dimensions.iter_mut().enumerate() {
        *dimension = sobol::scrambled(j, rng);
    }
    let raw_sample = |index: usize, x: &mut [f64]| {
        for (((x, dimension), lower), upper) in x.iter_mut().zip(&*dimensions).zip(lower).zip(upper) {
            *x = lower + (upper - lower) * dimension.uniform(index as u32);
        }
    };
    let values = values.head_mut(usize::from(search.raw).clamp(1, MAX_RAW));
    for (index, value) in values.iter_mut().enumerate() {
        raw_sample(index, x);
        *value = acquisition.value(x);
    }

    scratch.starts.clear();
    for (_, index) in boltzmann(values, usize::from(search.restarts).clamp(1, MAX_RESTARTS), rng) {
        let mut start = Start { value: values.at(index), x: [[0.0; D]; Q] };
        raw_sample(index, &mut start.x.as_flattened_mut()[..variables]);
        let _ = scratch.starts.push(start);
    }
    let (restarts, most) = (scratch.starts.len(), usize::from(search.evaluations));
    for (survivors, evaluations) in [(restarts, most / 12), (restarts.div_ceil(3), most / 6), (2, most)] {
        scratch.starts.truncate(survivors);
        for start in &mut scratch.starts {
            let stop = Stop { evaluations: evaluations.max(2), decrease: 1e-7, gradient: 1e-5 };
            let x = &mut start.x.as_flattened_mut()[..variables];
            let minimum = scratch.lbfgs.minimise(x, lower, upper, stop, |x, gradient| {
                let value = acquisition.value_and_gradient(x, gradient);
                for g in gradient.iter_mut() {
                    *g = -*g;
                }
                -value
            });
            start.value = -minimum.value;
        }
        // Best first; a value that is no number goes last.
        let rank = |start: &Start<D, Q>| if start.value.is_nan() { f64::NEG_INFINITY } else { start.value };
        sort::by_insertion(&mut scratch.starts, |a, b| rank(a) > rank(b));
    }
    match scratch.starts.first() {
        Some(best) => {
            x.copy_from_slice(&best.x.as_flattened()[..variables]);
            best.value
        }
        None => f64::NEG_INFINITY,
    }
}

/// Draws the indices of `count` values without replacement with weights exp((value - mean) / deviation); the best one is
/// always among them (BoTorch's `initialize_q_batch`). By Gumbel keys, which come along: the largest
/// `ln weight - ln(-ln u)` win.
fn boltzmann<R: Rng + ?Sized>(values: &[f64], count: usize, rng: &mut R) -> Vec<(f64, usize), MAX_RESTARTS> {
    let finite = |v: f64| if v.is_finite() { v } else { -1e300 };
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| finite(v)).sum::<f64>() / n;
    let variance = values.iter().map(|&v| (finite(v) - mean) * (finite(v) - mean)).sum::<f64>() / n;
    let scale = if variance > 0.0 && variance.is_finite() { 1.0 / float::sqrt(variance) } else { 0.0 };
    let by_value = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1);
    let best = values.iter().map(|&v| finite(v)).enumerate().max_by(by_value).map_or(0, |(index, _)| index);
    // The largest keys so far, largest first; of equal ones the first.
    let mut keys = Vec::<(f64, usize), MAX_RESTARTS>::new();
    let count = count.min(MAX_RESTARTS);
    for (index, &value) in values.iter().enumerate() {
        let gumbel = -float::ln(-float::ln(random::uniform(rng)));
        let key = if index == best { f64::INFINITY } else { (finite(value) - mean) * scale + gumbel };
        let place = keys.partition_point(|other| other.0 >= key);
        if place < count {
            keys.truncate(count - 1);
            let _ = keys.insert(place, (key, index));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    #[test]
    fn starts_are_drawn_by_their_boltzmann_weights() {
        // The best is always among them. Beside it, e^((v - mean) / deviation) with a deviation of sqrt(1.25).
        const DRAWS: u32 = 20_000;
        let (mut rng, mut drawn) = (SplitMix64(5), [0_u32; 4]);
        for _ in 0..DRAWS {
            let keys = boltzmann(&[0.0, 1.0, 2.0, 3.0], 2, &mut rng);
            assert_eq!((keys.len(), keys[0].1), (2, 3));
            drawn[keys[1].1] += 1;
        }
        let weights = [0.0, 1.0, 2.0].map(|value: f64| float::exp(value / float::sqrt(1.25)));
        let total: f64 = weights.iter().sum();
        for (&count, weight) in drawn.iter().zip(weights) {
            // Four standard deviations of a share.
            assert!((f64::from(count) / f64::from(DRAWS) - weight / total).abs() < 0.014, "{drawn:?}");
        }
        assert_eq!(drawn[3], 0, "without replacement");
    }
}

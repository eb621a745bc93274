//! Maximises the acquisition function: raw Sobol samples, restarts drawn from them with Boltzmann weights, bounded
//! quasi-Newton searches that are cut short when others are ahead.
//!
//! Every restart gets a short search; the better third goes on, and the best two search to the end (successive
//! halving), because most restarts end in the same few optima or far below them.

use super::Acquisition;
use crate::math::lbfgs::{Lbfgs, MAX_VARIABLES, Stop};
use crate::math::{float, sort};
use crate::part;
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
    /// Raw samples, at most [`MAX_RAW`].
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

/// Temporary memory of a search, about 90 kB.
#[derive(Clone, Debug)]
pub struct SearchScratch {
    dimensions: Vec<Dimension, MAX_VARIABLES>,
    starts: Vec<Start, MAX_RESTARTS>,
    lbfgs: Lbfgs,
}

#[derive(Clone, Copy, Debug)]
struct Start {
    value: f64,
    x: [f64; MAX_VARIABLES],
}

impl SearchScratch {
    /// Empty memory.
    pub const fn new() -> Self {
        Self { dimensions: Vec::new(), starts: Vec::new(), lbfgs: Lbfgs::new() }
    }
}

impl Default for SearchScratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes the best batch found into `x` (row-major, as long as the batch times the dimensions, at most
/// [`MAX_VARIABLES`]) and returns its value. The search stays between `lower` and `upper`, which are as long as `x`.
pub fn maximise<R: Rng + ?Sized, const N: usize, const D: usize, const S: usize>(
    acquisition: &mut Acquisition<N, D, S>,
    search: Search,
    lower: &[f64],
    upper: &[f64],
    x: &mut [f64],
    rng: &mut R,
    scratch: &mut SearchScratch,
) -> f64 {
    let variables = x.len().min(MAX_VARIABLES).min(lower.len()).min(upper.len());
    let x = &mut x[..variables];
    scratch.dimensions.clear();
    part::extend(&mut scratch.dimensions, (0..variables).map(|j| sobol::scrambled(j, rng)));
    let raw_sample = |dimensions: &[Dimension], index: usize, x: &mut [f64]| {
        for (((x, dimension), lower), upper) in x.iter_mut().zip(dimensions).zip(lower).zip(upper) {
            *x = lower + (upper - lower) * dimension.uniform(index as u32);
        }
    };
    let mut values: Vec<f64, MAX_RAW> = Vec::new();
    for index in 0..usize::from(search.raw).clamp(1, MAX_RAW) {
        raw_sample(&scratch.dimensions, index, x);
        let _ = values.push(acquisition.value(x));
    }

    scratch.starts.clear();
    for (value, index) in boltzmann(&values, usize::from(search.restarts).clamp(1, MAX_RESTARTS), rng) {
        let mut start = Start { value, x: [0.0; MAX_VARIABLES] };
        raw_sample(&scratch.dimensions, index, &mut start.x[..variables]);
        let _ = scratch.starts.push(start);
    }
    let (restarts, most) = (scratch.starts.len(), usize::from(search.evaluations));
    for (survivors, evaluations) in [(restarts, most / 12), (restarts.div_ceil(3), most / 6), (2, most)] {
        scratch.starts.truncate(survivors);
        for start in &mut scratch.starts {
            let stop = Stop { evaluations: evaluations.max(2), decrease: 1e-7, gradient: 1e-5 };
            let minimum =
                scratch.lbfgs.minimise(&mut start.x[..variables], lower, upper, stop, |x, gradient| {
                    let value = acquisition.value_and_gradient(x, gradient);
                    for g in gradient.iter_mut() {
                        *g = -*g;
                    }
                    -value
                });
            start.value = -minimum.value;
        }
        // Best first; a value that is no number goes last.
        let rank = |start: &Start| if start.value.is_nan() { f64::NEG_INFINITY } else { start.value };
        sort::by_insertion(&mut scratch.starts, |a, b| rank(a) > rank(b));
    }
    match scratch.starts.first() {
        Some(best) => {
            x.copy_from_slice(&best.x[..variables]);
            best.value
        }
        None => f64::NEG_INFINITY,
    }
}

/// Draws `count` values and their indices without replacement with weights exp((value - mean) / deviation); the best one is always
/// among them (BoTorch's `initialize_q_batch`). By Gumbel keys: the largest `ln weight - ln(-ln u)` win.
fn boltzmann<R: Rng + ?Sized>(values: &[f64], count: usize, rng: &mut R) -> Vec<(f64, usize), MAX_RESTARTS> {
    let finite = |v: f64| if v.is_finite() { v } else { -1e300 };
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| finite(v)).sum::<f64>() / n;
    let variance = values.iter().map(|&v| (finite(v) - mean) * (finite(v) - mean)).sum::<f64>() / n;
    let scale = if variance > 0.0 && variance.is_finite() { 1.0 / float::sqrt(variance) } else { 0.0 };
    let by_value = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1);
    let best = values.iter().map(|&v| finite(v)).enumerate().max_by(by_value).map_or(0, |(index, _)| index);
    // The largest keys so far, largest first; of equal ones the first.
    let mut keys: Vec<(f64, (f64, usize)), MAX_RESTARTS> = Vec::new();
    let count = count.min(MAX_RESTARTS);
    for (index, &value) in values.iter().enumerate() {
        let gumbel = -float::ln(-float::ln(random::uniform(rng)));
        let key = if index == best { f64::INFINITY } else { (finite(value) - mean) * scale + gumbel };
        let place = keys.partition_point(|other| other.0 >= key);
        if place < count {
            keys.truncate(count - 1);
            let _ = keys.insert(place, (key, (value, index)));
        }
    }
    part::list(keys.into_iter().map(|(_, drawn)| drawn))
}

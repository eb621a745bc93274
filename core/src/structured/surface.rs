//! ln duration of one function over all its candidate configurations: the posterior mean, or a draw.

use super::change::OFFSET_VARIANCE;
use super::joint::Joint;
use super::kernel::{AXES, Effects, Kernel, Place, trend, trend_deviations};
use super::noise::Noise;
use super::observations::Observations;
use crate::bo::space::Axis;
use crate::math::vector::{axpy, dot};
use crate::math::{cholesky, float};
use crate::part::{self, At, Part};
use crate::random::standard_normal;
use rand_core::Rng;

/// The most levels of one axis among the candidates of a function.
pub(super) const LEVELS: usize = 64;

/// The candidate configurations of one function: all combinations of its levels or, where those are more than the
/// buffers hold, of every k-th level of an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// Coordinate of the candidate levels.
    coordinates: [[f64; LEVELS]; AXES],
    /// Number of candidate levels of each axis.
    counts: [usize; AXES],
    strides: [u16; AXES],
    tops: [u16; AXES],
}

impl Grid {
    pub(super) const fn new() -> Self {
        Self { coordinates: [[0.0; LEVELS]; AXES], counts: [1; AXES], strides: [1; AXES], tops: [0; AXES] }
    }

    /// The grid of these axes (`None`: this resource is fixed), of at most `capacity` candidates.
    pub(super) fn fill(&mut self, axes: [Option<&Axis>; AXES], capacity: usize) {
        self.tops = axes.map(|axis| axis.map_or(0, |a| a.levels() - 1));
        self.strides = [1; AXES];
        let count = |top: u16, stride: u16| usize::from(top.div_ceil(stride)) + 1;
        loop {
            self.counts = core::array::from_fn(|a| count(self.tops[a], self.strides[a].max(1)));
            let crowded = self.counts.iter().position(|&count| count > LEVELS);
            let all = self.counts.iter().product::<usize>();
            let longest = (0..AXES).max_by_key(|&a| self.counts[a]).filter(|_| all > capacity.max(1));
            let several = |&a: &usize| self.counts.get(a).is_some_and(|&count| count > 1);
            match crowded.or(longest).filter(several).and_then(|a| self.strides.get_mut(a)) {
                Some(stride) => *stride += 1,
                None => break,
            }
        }
        for (a, axis) in axes.into_iter().enumerate() {
            for k in 0..self.counts[a].min(LEVELS) {
                self.coordinates[a][k] = axis.map_or(0.0, |axis| coordinate(axis, self.level(a, k)));
            }
        }
    }

    /// Number of candidate levels of an axis: 1 to [`LEVELS`], which the compiler does not know.
    fn count(&self, axis: usize) -> usize {
        self.counts[axis].clamp(1, LEVELS)
    }

    /// Coordinates of the candidate levels of an axis.
    fn levels_of(&self, axis: usize) -> &[f64] {
        &self.coordinates[axis][..self.count(axis)]
    }

    /// Numbers of candidate levels.
    fn counts(&self) -> [usize; AXES] {
        [self.count(0), self.count(1), self.count(2)]
    }

    /// Number of candidates.
    pub(super) fn len(&self) -> usize {
        self.counts().iter().product()
    }

    /// Level indices of a candidate.
    pub(super) fn levels(&self, candidate: usize) -> [u16; AXES] {
        let k = self.unravel(candidate);
        core::array::from_fn(|a| self.level(a, k[a]))
    }

    /// Coordinates of a candidate.
    pub(super) fn place(&self, candidate: usize) -> Place {
        let k = self.unravel(candidate);
        core::array::from_fn(|a| self.coordinates[a].at(k[a]))
    }

    /// The candidate nearest to a place.
    fn nearest(&self, place: &Place) -> usize {
        let counts = self.counts();
        let nearest = |a: usize| {
            let distance = |k: usize| (self.coordinates[a].at(k) - place[a]).abs();
            (1..counts[a]).fold(0, |best, k| if distance(k) < distance(best) { k } else { best })
        };
        (nearest(0) * counts[1] + nearest(1)) * counts[2] + nearest(2)
    }

    fn level(&self, axis: usize, k: usize) -> u16 {
        (k as u16).saturating_mul(self.strides[axis]).min(self.tops[axis])
    }

    fn unravel(&self, candidate: usize) -> [usize; AXES] {
        let [_, memories, concurrencies] = self.counts;
        let (memories, concurrencies) = (memories.max(1), concurrencies.max(1));
        let rest = candidate / concurrencies;
        [rest / memories, rest % memories, candidate % concurrencies]
    }
}

/// Coordinate of a level: ln(value / largest value), with values from a millionth of the largest one.
pub(super) fn coordinate(axis: &Axis, level: u16) -> f64 {
    let largest = axis.max();
    if largest > 0.0 { float::ln((axis.value(level) / largest).max(1e-6)) } else { 0.0 }
}

/// Work space for surfaces of one function at a time.
pub(super) struct Surfaces<const N: usize> {
    /// Correlations of every candidate level with the observations, by axis.
    rows: [[[f64; N]; LEVELS]; AXES],
    /// Cholesky factors of the correlations among candidate levels.
    factors: [[[f64; LEVELS]; LEVELS]; AXES],
}

impl<const N: usize> Surfaces<N> {
    pub(super) const fn new() -> Self {
        Self { rows: [[[0.0; N]; LEVELS]; AXES], factors: [[[0.0; LEVELS]; LEVELS]; AXES] }
    }

    /// Writes the posterior mean of ln duration of function `i` at every candidate.
    pub(super) fn mean<const F: usize>(
        &mut self,
        data: &Observations<F, N>,
        kernel: &Kernel,
        joint: &Joint<F, N>,
        grid: &Grid,
        i: usize,
        out: &mut [f64],
    ) {
        self.start(data, grid, i, out);
        self.add_kernel(data, &kernel.effects(), grid, i, &joint.weights[i], out);
    }

    fn start<const F: usize>(&self, data: &Observations<F, N>, grid: &Grid, i: usize, out: &mut [f64]) {
        for (candidate, out) in out.iter_mut().enumerate().take(grid.len()) {
            *out = data.level[i] + trend(&grid.place(candidate));
        }
    }

    /// Adds `k_i(x)^T weights` at every candidate x, effect by effect.
    fn add_kernel<const F: usize>(
        &mut self,
        data: &Observations<F, N>,
        effects: &Effects,
        grid: &Grid,
        i: usize,
        weights: &[f64; N],
        out: &mut [f64],
    ) {
        let n = data.len();
        for a in 0..AXES {
            for (row, &level) in self.rows[a].iter_mut().zip(grid.levels_of(a)) {
                for (r, &place) in row[..n].iter_mut().zip(&data.places[i][a]) {
                    *r = effects.correlation(a, level, place);
                }
            }
        }
        let mut alone = [[0.0; LEVELS]; AXES];
        for a in 0..AXES {
            for (alone, row) in alone[a].iter_mut().zip(&self.rows[a]).take(grid.count(a)) {
                *alone = effects.variance[a] * dot(&row[..n], &weights[..n]);
            }
        }
        let sum = weights[..n].iter().sum::<f64>();
        let moment = dot(&data.places[i][0][..n], &weights[..n]);
        let [_, memories, concurrencies] = grid.counts();
        let [of_cpu, of_memory, of_concurrency] = &alone;
        let [cpu_rows, memory_rows, concurrency_rows] = &self.rows;
        let mut out = out.iter_mut();
        let (mut first, mut second) = ([0.0; N], [0.0; N]);
        let level = Effects::trend_covariance(0.0);
        for ((&cpu, of_cpu), row) in grid.levels_of(0).iter().zip(of_cpu).zip(cpu_rows) {
            let base = level * sum + (Effects::trend_covariance(cpu) - level) * moment;
            multiply(&mut first[..n], &weights[..n], row);
            for (of_memory, row) in of_memory.iter().zip(memory_rows).take(memories) {
                multiply(&mut second[..n], &first[..n], row);
                for (of_concurrency, row) in of_concurrency.iter().zip(concurrency_rows).take(concurrencies) {
                    let together = effects.interaction * dot(&second[..n], &row[..n]);
                    if let Some(out) = out.next() {
                        *out += base + of_cpu + of_memory + of_concurrency + together;
                    }
                }
            }
        }
    }

    /// Writes one draw from the joint posterior of all functions into `out`, by pathwise conditioning (Wilson et
    /// al., "Efficiently sampling functions from Gaussian process posteriors", ICML 2020): a draw from the prior of
    /// functions, factors and noise, plus the posterior's answer to what it leaves unexplained. The prior is drawn
    /// exactly, one axis at a time.
    pub(super) fn draw<const F: usize, const L: usize, R: Rng + ?Sized>(
        &mut self,
        data: &Observations<F, N>,
        kernel: &Kernel,
        noise: &Noise<F>,
        joint: &Joint<F, N>,
        grids: &[Grid; F],
        out: &mut [[f64; L]; F],
        residuals: &mut [[f64; N]; F],
        rng: &mut R,
    ) {
        let n = data.len();
        let effects = kernel.effects();
        let mut factors = [0.0; N];
        for (factor, (precision, precision_times_mean)) in factors[..n].iter_mut().zip(&joint.prior) {
            *factor = precision_times_mean / precision + standard_normal(rng) / float::sqrt(*precision);
        }
        let mut total = [0.0; N];
        for i in 0..data.functions() {
            self.draw_prior(&effects, &grids[i], &mut out[i], rng);
            let offset = float::sqrt(OFFSET_VARIANCE) * standard_normal(rng);
            for s in 0..n {
                let value = out[i][grids[i].nearest(&data.place(i, s)).min(L - 1)];
                let own = float::sqrt(data.variance(noise, i, s)) * standard_normal(rng);
                let offset = if data.is_outdated(i, s) { offset } else { 0.0 };
                residuals[i][s] = data.residuals[i][s] - value - offset - factors[s] - own;
            }
            for s in 0..n {
                total[s] += dot(&joint.inverse[i][s][..n], &residuals[i][..n]);
            }
        }
        let shift: [f64; N] = core::array::from_fn(|s| {
            if s < n { dot(&joint.common_covariance[s][..n], &total[..n]) } else { 0.0 }
        });
        for i in 0..data.functions() {
            axpy(&mut residuals[i][..n], -1.0, &shift);
            let mut weights = [0.0; N];
            for s in 0..n {
                weights[s] = dot(&joint.inverse[i][s][..n], &residuals[i][..n]);
            }
            self.add_kernel(data, &effects, &grids[i], i, &weights, &mut out[i]);
            for (candidate, out) in out[i].iter_mut().enumerate().take(grids[i].len()) {
                *out += data.level[i] + trend(&grids[i].place(candidate));
            }
        }
    }

    /// A draw from the prior at every candidate, without level and trend.
    fn draw_prior<R: Rng + ?Sized>(&mut self, effects: &Effects, grid: &Grid, out: &mut [f64], rng: &mut R) {
        let (level, slope) = trend_deviations();
        let (level, slope) = (level * standard_normal(rng), slope * standard_normal(rng));
        let mut alone = [[0.0; LEVELS]; AXES];
        for a in 0..AXES {
            let count = grid.count(a);
            let factor = &mut self.factors[a];
            for (k, (row, &from)) in factor.iter_mut().zip(grid.levels_of(a)).enumerate() {
                for (x, &to) in row.iter_mut().zip(grid.levels_of(a)).skip(k) {
                    *x = effects.correlation(a, from, to);
                }
                // Neighbouring levels are almost equal; this much noise keeps the factor well conditioned.
                row[k] += 1e-7;
            }
            if cholesky::factor(factor.as_flattened_mut(), count, LEVELS).is_err() {
                for (k, row) in factor.iter_mut().enumerate().take(count) {
                    row.part_mut(k..count).fill(0.0);
                }
            }
            let alone = &mut alone[a][..count];
            for x in alone.iter_mut() {
                *x = standard_normal(rng);
            }
            times_factor(factor, count, 1, alone);
            let deviation = float::sqrt(effects.variance[a]);
            alone.iter_mut().for_each(|x| *x *= deviation);
        }
        // The interaction: independent normals, correlated along one axis after the other.
        let [_, memories, concurrencies] = grid.counts();
        let out = out.head_mut(grid.len());
        out.iter_mut().for_each(|x| *x = standard_normal(rng));
        let steps = [memories * concurrencies, concurrencies, 1];
        for ((factor, count), step) in self.factors.iter().zip(grid.counts()).zip(steps) {
            for block in part::rows_mut(out, count * step) {
                for offset in 0..step {
                    times_factor(factor, count, step, block.get_mut(offset..).unwrap_or_default());
                }
            }
        }
        let deviation = float::sqrt(effects.interaction);
        for (candidate, out) in out.iter_mut().enumerate() {
            let [x, y, z] = grid.unravel(candidate);
            let sum = alone[0].at(x) + alone[1].at(y) + alone[2].at(z);
            *out = level + slope * grid.coordinates[0].at(x) + sum + deviation * *out;
        }
    }
}

/// `values <- U^T values` for the upper factor `U`, in place, on every `step`-th value.
fn times_factor(u: &[[f64; LEVELS]; LEVELS], count: usize, step: usize, values: &mut [f64]) {
    for k in (0..count.min(LEVELS)).rev() {
        let value = u.iter().take(k + 1).enumerate().map(|(l, u)| u[k] * values.at(l * step)).sum();
        if let Some(place) = values.get_mut(k * step) {
            *place = value;
        }
    }
}

fn multiply(out: &mut [f64], a: &[f64], b: &[f64]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = a * b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_is_the_nearest_to_its_place() {
        let [cpu, memory, concurrency] = [(0.25, 3.0, 0.25), (128.0, 1024.0, 64.0), (1.0, 3.0, 1.0)]
            .map(|(min, max, step)| Axis::new(min, max, step).unwrap());
        let mut grid = Grid::new();
        // All 12 * 15 * 3; and fewer, of every so many levels.
        for (axes, capacity, count) in [
            ([Some(&cpu), Some(&memory), Some(&concurrency)], 540, Some(540)),
            ([Some(&cpu), Some(&memory), Some(&concurrency)], 100, None),
            ([None, Some(&memory), Some(&concurrency)], 540, Some(45)),
        ] {
            grid.fill(axes, capacity);
            assert!(
                grid.len() <= capacity && count.is_none_or(|count| count == grid.len()),
                "{}",
                grid.len()
            );
            for candidate in 0..grid.len() {
                assert_eq!(grid.nearest(&grid.place(candidate)), candidate);
            }
        }
    }
}

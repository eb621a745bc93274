//! ln duration of one function over all its candidate configurations: the posterior mean, or a draw.

use super::change::OFFSET_VARIANCE;
use super::joint::Joint;
use super::kernel::{AXES, Effects, Kernel, Place, trend, trend_deviations};
use super::noise::Noise;
use super::observations::Observations;
use crate::bo::space::Axis;
use crate::math::vector::{axpy, dot};
use crate::math::{cholesky, float};
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
            self.counts = core::array::from_fn(|a| count(self.tops[a], self.strides[a]));
            let crowded = (0..AXES).find(|&a| self.counts[a] > LEVELS);
            let all = self.counts.iter().product::<usize>();
            let longest = (0..AXES).max_by_key(|&a| self.counts[a]).filter(|_| all > capacity.max(1));
            match crowded.or(longest).filter(|&a| self.counts[a] > 1) {
                Some(a) => self.strides[a] += 1,
                None => break,
            }
        }
        for (a, axis) in axes.into_iter().enumerate() {
            for k in 0..self.counts[a] {
                self.coordinates[a][k] = axis.map_or(0.0, |axis| coordinate(axis, self.level(a, k)));
            }
        }
    }

    /// Number of candidates.
    pub(super) fn len(&self) -> usize {
        self.counts.iter().product()
    }

    /// Level indices of a candidate.
    pub(super) fn levels(&self, candidate: usize) -> [u16; AXES] {
        let k = self.unravel(candidate);
        core::array::from_fn(|a| self.level(a, k[a]))
    }

    /// Coordinates of a candidate.
    pub(super) fn place(&self, candidate: usize) -> Place {
        let k = self.unravel(candidate);
        core::array::from_fn(|a| self.coordinates[a][k[a]])
    }

    /// The candidate nearest to a place.
    fn nearest(&self, place: &Place) -> usize {
        let nearest = |a: usize| {
            let distance = |k: usize| (self.coordinates[a][k] - place[a]).abs();
            (1..self.counts[a]).fold(0, |best, k| if distance(k) < distance(best) { k } else { best })
        };
        (nearest(0) * self.counts[1] + nearest(1)) * self.counts[2] + nearest(2)
    }

    fn level(&self, axis: usize, k: usize) -> u16 {
        (k as u16).saturating_mul(self.strides[axis]).min(self.tops[axis])
    }

    fn unravel(&self, candidate: usize) -> [usize; AXES] {
        let [_, memories, concurrencies] = self.counts;
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
        let n = data.len;
        for a in 0..AXES {
            for k in 0..grid.counts[a] {
                for (r, &place) in self.rows[a][k][..n].iter_mut().zip(&data.places[i][a]) {
                    *r = effects.correlation(a, grid.coordinates[a][k], place);
                }
            }
        }
        let mut alone = [[0.0; LEVELS]; AXES];
        for a in 0..AXES {
            for k in 0..grid.counts[a] {
                alone[a][k] = effects.variance[a] * dot(&self.rows[a][k][..n], &weights[..n]);
            }
        }
        let sum = weights[..n].iter().sum::<f64>();
        let moment = dot(&data.places[i][0][..n], &weights[..n]);
        let [cpus, memories, concurrencies] = grid.counts;
        let mut out = out.iter_mut();
        let (mut first, mut second) = ([0.0; N], [0.0; N]);
        for x in 0..cpus {
            let cpu = grid.coordinates[0][x];
            let level = Effects::trend_covariance(0.0);
            let base = level * sum + (Effects::trend_covariance(cpu) - level) * moment;
            multiply(&mut first[..n], &weights[..n], &self.rows[0][x]);
            for y in 0..memories {
                multiply(&mut second[..n], &first[..n], &self.rows[1][y]);
                for z in 0..concurrencies {
                    let together = effects.interaction * dot(&second[..n], &self.rows[2][z][..n]);
                    if let Some(out) = out.next() {
                        *out += base + alone[0][x] + alone[1][y] + alone[2][z] + together;
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
        let n = data.len;
        let effects = kernel.effects();
        let mut factors = [0.0; N];
        for (factor, (precision, precision_times_mean)) in factors[..n].iter_mut().zip(&joint.prior) {
            *factor = precision_times_mean / precision + standard_normal(rng) / float::sqrt(*precision);
        }
        let mut total = [0.0; N];
        for i in 0..data.functions {
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
        for i in 0..data.functions {
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
            let count = grid.counts[a];
            let factor = &mut self.factors[a];
            for k in 0..count {
                for l in k..count {
                    factor[k][l] = effects.correlation(a, grid.coordinates[a][k], grid.coordinates[a][l]);
                }
                // Neighbouring levels are almost equal; this much noise keeps the factor well conditioned.
                factor[k][k] += 1e-7;
            }
            if cholesky::factor(factor.as_flattened_mut(), count, LEVELS).is_err() {
                for k in 0..count {
                    factor[k][k..count].fill(0.0);
                }
            }
            for x in &mut alone[a][..count] {
                *x = standard_normal(rng);
            }
            times_factor(factor, count, 1, &mut alone[a][..count]);
            let deviation = float::sqrt(effects.variance[a]);
            alone[a][..count].iter_mut().for_each(|x| *x *= deviation);
        }
        // The interaction: independent normals, correlated along one axis after the other.
        let [_, memories, concurrencies] = grid.counts;
        let out = &mut out[..grid.len()];
        out.iter_mut().for_each(|x| *x = standard_normal(rng));
        for (a, step) in [memories * concurrencies, concurrencies, 1].into_iter().enumerate() {
            let block = grid.counts[a] * step;
            for block in out.chunks_exact_mut(block) {
                for offset in 0..step {
                    times_factor(&self.factors[a], grid.counts[a], step, &mut block[offset..]);
                }
            }
        }
        let deviation = float::sqrt(effects.interaction);
        for (candidate, out) in out.iter_mut().enumerate() {
            let [x, y, z] = grid.unravel(candidate);
            let sum = alone[0][x] + alone[1][y] + alone[2][z];
            *out = level + slope * grid.coordinates[0][x] + sum + deviation * *out;
        }
    }
}

/// `values <- U^T values` for the upper factor `U`, in place, on every `step`-th value.
fn times_factor(u: &[[f64; LEVELS]; LEVELS], count: usize, step: usize, values: &mut [f64]) {
    for k in (0..count).rev() {
        values[k * step] = (0..=k).map(|l| u[l][k] * values[l * step]).sum();
    }
}

fn multiply(out: &mut [f64], a: &[f64], b: &[f64]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = a * b;
    }
}

//! Exact Gaussian processes: Matérn-5/2 with one length scale per dimension, constant mean, a noise variance per
//! observation.
//!
//! A process keeps its observations and the Cholesky factor of their covariance inline: `N` observations of `D`
//! inputs take about `8 N (N + D)` bytes, 165 kB for `N` = 128, `D` = 32. Adding or dropping an observation costs
//! n² operations, a fit about 30 n³. When a covariance matrix is not positive definite within rounding (duplicates
//! without noise), a jitter of 1e-10 of the output scale is put on its diagonal, ten times more at every further
//! attempt, up to 1e-4.

pub mod fit;
pub mod kernel;
mod likelihood;
pub mod prior;

pub use fit::{Fit, FitOptions, GpScratch, Noise};
pub use prior::Prior;

use crate::math::normal::Normal;
use crate::math::{cholesky, vector};
use crate::part::{self, At, Part, drop_first};
use core::fmt;
use heapless::Vec;
use kernel::{add_square_distances, matern52};

/// Shares of the output scale that are tried as jitter.
const JITTERS: [f64; 8] = [0.0, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4];

/// The largest input or outcome: its square, and sums of such squares, are still finite.
const LARGEST: f64 = 1e100;

/// Length scales, output scale, mean and noise, in the units of the data.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Hyperparameters<const D: usize> {
    /// One per dimension.
    pub lengthscales: Vec<f64, D>,
    /// Variance of the process.
    pub outputscale: f64,
    /// Constant mean.
    pub mean: f64,
    /// Variance of the noise, where it was inferred.
    pub noise: f64,
}

impl<const D: usize> Hyperparameters<D> {
    /// Whether a fit in so many dimensions can have found them.
    pub(crate) fn is_consistent(&self, dimensions: usize) -> bool {
        let mut scales = self.lengthscales.iter().chain([&self.outputscale, &self.noise]);
        self.lengthscales.len() == dimensions
            && self.mean.is_finite()
            && scales.all(|scale| *scale > 0.0 && scale.is_finite())
    }

    /// All ones, mean 0.
    const fn new() -> Self {
        Self { lengthscales: Vec::new(), outputscale: 1.0, mean: 0.0, noise: 1.0 }
    }
}

/// A Gaussian process of at most `N` observations with at most `D` inputs each.
#[derive(Clone, Debug)]
pub struct Gp<const N: usize, const D: usize> {
    dimensions: usize,
    count: usize,
    /// Dimension-major.
    inputs: [[f64; N]; D],
    targets: [f64; N],
    noise: [f64; N],
    hyperparameters: Hyperparameters<D>,
    /// Upper triangle: `U` with `Uᵀ U` = kernel matrix + noise + jitter. Lent as temporary memory to what makes it anew
    /// with [`Gp::refactorise`].
    pub(crate) factor: [[f64; N]; N],
    /// (kernel matrix + noise)⁻¹ (targets - mean).
    alpha: [f64; N],
    jitter: f64,
}

impl<const N: usize, const D: usize> Default for Gp<N, D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, const D: usize> Gp<N, D> {
    /// A process without inputs and observations; [`Gp::reset`] makes it usable.
    pub const fn new() -> Self {
        Self {
            dimensions: 0,
            count: 0,
            inputs: [[0.0; N]; D],
            targets: [0.0; N],
            noise: [0.0; N],
            hyperparameters: Hyperparameters::new(),
            factor: [[0.0; N]; N],
            alpha: [0.0; N],
            jitter: 0.0,
        }
    }

    /// Forgets everything; from now on there are `dimensions` inputs.
    ///
    /// # Errors
    /// [`GpError::Capacity`] for more than `D`.
    pub fn reset(&mut self, dimensions: usize) -> Result<(), GpError> {
        if dimensions > D {
            return Err(GpError::Capacity { capacity: D });
        }
        self.dimensions = dimensions;
        self.count = 0;
        self.jitter = 0.0;
        self.hyperparameters = Hyperparameters::new();
        // Fits: dimensions is at most D.
        let _ = self.hyperparameters.lengthscales.resize(dimensions, 1.0);
        Ok(())
    }

    /// Adds an observation without conditioning on it: several of these, then [`Gp::fit`] or
    /// [`Gp::set_hyperparameters`]. `noise` is the variance of `y`.
    ///
    /// # Errors
    /// [`GpError::Length`], [`GpError::NotFinite`], [`GpError::Capacity`].
    pub fn push(&mut self, x: &[f64], y: f64, noise: f64) -> Result<(), GpError> {
        self.check_length(x)?;
        let small = |x: &f64| x.abs() <= LARGEST;
        if !(x.iter().all(small) && small(&y) && small(&noise) && noise >= 0.0) {
            return Err(GpError::NotFinite { index: self.count });
        }
        let count = self.len();
        if count == N {
            return Err(GpError::Capacity { capacity: N });
        }
        for (row, &x) in self.inputs.iter_mut().zip(x) {
            row[count] = x;
        }
        self.targets[count] = y;
        self.noise[count] = noise;
        self.count = count + 1;
        Ok(())
    }

    /// Conditions the process on its observations with given hyper-parameters. n³/3 operations.
    ///
    /// # Errors
    /// [`GpError::Length`], [`GpError::NotPositiveDefinite`] (also for scales that are not positive and finite).
    pub fn set_hyperparameters(&mut self, hyperparameters: Hyperparameters<D>) -> Result<(), GpError> {
        self.check_length(&hyperparameters.lengthscales)?;
        let positive = |x: &f64| *x >= 1.0 / LARGEST && *x <= LARGEST;
        let Hyperparameters { lengthscales, outputscale, mean, .. } = &hyperparameters;
        if !(lengthscales.iter().all(positive) && positive(outputscale) && mean.abs() <= LARGEST) {
            return Err(GpError::NotPositiveDefinite);
        }
        self.hyperparameters = hyperparameters;
        self.factorise()
    }

    /// Adds an observation and conditions on it. n² operations. One that repeats another without noise is given the least
    /// noise with which the covariance matrix can be factored.
    ///
    /// # Errors
    /// Those of [`Gp::push`], and [`GpError::NotPositiveDefinite`]; the process is then as before.
    pub fn condition(&mut self, x: &[f64], y: f64, noise: f64) -> Result<(), GpError> {
        let n = self.len();
        self.push(x, y, noise)?;
        let mut column = [0.0; N];
        self.covariances(x, &mut column[..n]);
        let outputscale = self.hyperparameters.outputscale;
        let mut jitters = self.jitters();
        let factor = self.factor.as_flattened_mut();
        // A duplicate without noise has no pivot of its own; give it the smallest noise that works.
        let added = jitters.find(|jitter| {
            let diagonal = outputscale + jitter + noise + self.jitter;
            cholesky::append(factor, n, N, &mut column.clone(), diagonal).is_ok()
        });
        let Some(added) = added else {
            self.count = n;
            return Err(GpError::NotPositiveDefinite);
        };
        if let Some(noise) = self.noise.get_mut(n) {
            *noise += added;
        }
        self.solve_alpha();
        Ok(())
    }

    /// Drops observation `index`; later ones move down by one. n² operations.
    ///
    /// # Errors
    /// [`GpError::Length`] when there is no such observation.
    pub fn remove(&mut self, index: usize) -> Result<(), GpError> {
        let n = self.len();
        if index >= n {
            return Err(GpError::Length { expected: n, found: index });
        }
        cholesky::remove(self.factor.as_flattened_mut(), n, N, index);
        for row in self.inputs.iter_mut().chain([&mut self.targets, &mut self.noise]) {
            drop_first(row.part_mut(index..n));
        }
        self.count = n - 1;
        self.solve_alpha();
        Ok(())
    }

    /// Takes back the last [`Gp::push`].
    pub(crate) const fn truncate_last(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// Number of observations.
    pub const fn len(&self) -> usize {
        // No more than N are pushed, which the compiler does not know; nor that there are at most D dimensions.
        if self.count < N { self.count } else { N }
    }

    /// Whether there is no observation.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of inputs.
    pub const fn dimensions(&self) -> usize {
        if self.dimensions < D { self.dimensions } else { D }
    }

    /// Outcomes, in order.
    pub fn targets(&self) -> &[f64] {
        &self.targets[..self.len()]
    }

    /// Noise variances, in order.
    pub fn noise(&self) -> &[f64] {
        &self.noise[..self.len()]
    }

    /// What was added to every noise variance to make the covariance matrix positive definite; usually 0.
    pub const fn jitter(&self) -> f64 {
        self.jitter
    }

    /// Input `dimension` of every observation; empty when there is no such dimension.
    pub fn input(&self, dimension: usize) -> &[f64] {
        self.inputs.get(dimension).map_or(&[], |row| &row[..self.len()])
    }

    /// The hyper-parameters.
    pub const fn hyperparameters(&self) -> &Hyperparameters<D> {
        &self.hyperparameters
    }

    /// (kernel matrix + noise)⁻¹ (targets - mean): the posterior mean at x is `mean + covariances(x) . alpha`.
    pub fn alpha(&self) -> &[f64] {
        &self.alpha[..self.len()]
    }

    /// `U` with `Uᵀ U` = kernel matrix + noise: row-major rows of length `N`, upper triangle (see
    /// [`crate::math::cholesky`]).
    pub fn factor(&self) -> &[f64] {
        self.factor.as_flattened()
    }

    /// Prior covariances of the process at `x` with the observations. `x` has [`Gp::dimensions`] elements, `out` at
    /// most [`Gp::len`].
    pub fn covariances(&self, x: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        for ((points, &x), lengthscale) in self.inputs.iter().zip(x).zip(&self.hyperparameters.lengthscales) {
            add_square_distances(out, points, x, 1.0 / lengthscale);
        }
        for k in out {
            *k = self.hyperparameters.outputscale * matern52(*k);
        }
    }

    /// Prior covariance of the process at two points.
    pub fn covariance(&self, x: &[f64], y: &[f64]) -> f64 {
        let terms = x.iter().zip(y).zip(&self.hyperparameters.lengthscales);
        let r2 = terms.map(|((x, y), l)| (x - y) / l * ((x - y) / l)).sum();
        self.hyperparameters.outputscale * matern52(r2)
    }

    /// The mean of [`Gp::posterior`] alone, in n operations; NaN where that fails.
    pub fn mean(&self, x: &[f64]) -> f64 {
        if x.len() != self.dimensions() {
            return f64::NAN;
        }
        let mut k = [0.0; N];
        let k = &mut k[..self.len()];
        self.covariances(x, k);
        self.hyperparameters.mean + vector::dot(k, self.alpha())
    }

    /// The posterior of the noise-free process at `x`. n² operations.
    ///
    /// # Errors
    /// [`GpError::Length`].
    pub fn posterior(&self, x: &[f64]) -> Result<Normal, GpError> {
        self.check_length(x)?;
        let mut k = [0.0; N];
        let k = &mut k[..self.len()];
        self.covariances(x, k);
        let mean = self.hyperparameters.mean + vector::dot(k, self.alpha());
        cholesky::solve_forward(self.factor(), self.len(), N, k);
        let variance = (self.hyperparameters.outputscale - vector::dot(k, k)).max(0.0);
        Ok(Normal { mean, variance })
    }

    /// The joint posterior of the noise-free process at m points (row-major, m times [`Gp::dimensions`]): `mean`
    /// has m elements, `covariance` m times m; `work` is at least m times [`Gp::len`] long. m n² + m² n operations.
    ///
    /// # Errors
    /// [`GpError::Length`].
    pub fn joint_posterior(
        &self,
        points: &[f64],
        mean: &mut [f64],
        covariance: &mut [f64],
        work: &mut [f64],
    ) -> Result<(), GpError> {
        let (m, n, d) = (mean.len(), self.len(), self.dimensions());
        let (inputs, pairs, solved) = (m.saturating_mul(d), m.saturating_mul(m), m.saturating_mul(n));
        for (expected, found) in
            [(inputs, points.len()), (pairs, covariance.len()), (solved, work.len().min(solved))]
        {
            if expected != found {
                return Err(GpError::Length { expected, found });
            }
        }
        let point = |i: usize| part::row(points, d, i, 0..d);
        for (i, mean) in mean.iter_mut().enumerate() {
            let k = part::row_mut(work, n, i, 0..n);
            self.covariances(point(i), k);
            *mean = self.hyperparameters.mean + vector::dot(k, self.alpha());
            cholesky::solve_forward(self.factor(), n, N, k);
        }
        let solved = |i: usize| part::row(work, n, i, 0..n);
        for (i, row) in covariance.chunks_exact_mut(m.max(1)).enumerate() {
            for (j, c) in row.iter_mut().enumerate().skip(i) {
                *c = self.covariance(point(j), point(i)) - vector::dot(solved(j), solved(i));
            }
        }
        for i in 1..m {
            let (above, row) = covariance.split_at_mut_checked(i * m).unwrap_or_default();
            for (j, c) in row.iter_mut().enumerate().take(i) {
                *c = above.at(j * m + i);
            }
        }
        Ok(())
    }

    /// Writes (kernel matrix + noise)⁻¹, all of it, into the first [`Gp::len`] rows and columns of `inverse`. 2/3 n³
    /// operations.
    pub fn inverse(&self, inverse: &mut [[f64; N]; N]) {
        self.copy_factor(inverse);
        // Fits: there are at most N observations.
        let _ = cholesky::invert(inverse.as_flattened_mut(), self.len(), N);
    }

    /// [`Gp::inverse`] in the place of the factor, until [`Gp::refactorise`].
    pub(crate) fn lend_inverse(&mut self) -> &mut [[f64; N]; N] {
        let n = self.len();
        let _ = cholesky::invert(self.factor.as_flattened_mut(), n, N);
        &mut self.factor
    }

    /// For every observation, the predictive distribution (noise included) that all others give for it, in closed
    /// form (Rasmussen and Williams 2006, eqs. 5.10 to 5.12). Fills the first [`Gp::len`] places of `out`. n³/3
    /// operations.
    pub fn leave_one_out(&self, out: &mut [Normal], scratch: &mut GpScratch<N, D>) {
        let n = self.len();
        self.copy_factor(&mut scratch.matrix);
        cholesky::invert_factor(scratch.matrix.as_flattened_mut(), n, N);
        // The diagonal of the inverse: the squared length of every column of V.
        let diagonal = &mut scratch.weights[..n];
        diagonal.fill(0.0);
        for (k, v) in scratch.matrix.iter().enumerate().take(n) {
            for (sum, v) in diagonal.iter_mut().zip(&v[..=k]) {
                *sum += v * v;
            }
        }
        let observations = self.targets.iter().zip(&self.alpha).zip(diagonal);
        for (out, ((y, alpha), inverse)) in out.iter_mut().zip(observations) {
            let variance = 1.0 / *inverse;
            *out = Normal { mean: y - alpha * variance, variance };
        }
    }

    fn copy_factor(&self, to: &mut [[f64; N]; N]) {
        let n = self.len();
        for (k, (to, from)) in to.iter_mut().zip(&self.factor).enumerate().take(n) {
            part::copy(to.part_mut(k..n), from.part(k..n));
        }
    }

    fn check_length(&self, x: &[f64]) -> Result<(), GpError> {
        let (expected, found) = (self.dimensions(), x.len());
        if expected == found { Ok(()) } else { Err(GpError::Length { expected, found }) }
    }

    /// What may be added to the diagonal, least first.
    fn jitters(&self) -> impl Iterator<Item = f64> + use<N, D> {
        let outputscale = self.hyperparameters.outputscale;
        JITTERS.into_iter().map(move |share| outputscale * share)
    }

    /// Factors the covariance of all observations, with as little jitter as it takes.
    pub(crate) fn factorise(&mut self) -> Result<(), GpError> {
        self.jitter = 0.0;
        self.refactorise()
    }

    /// [`Gp::factorise`] of a covariance that has been factored before, with the jitter that it took then.
    pub(crate) fn refactorise(&mut self) -> Result<(), GpError> {
        let n = self.len();
        if n == 0 {
            return Err(GpError::Empty);
        }
        let outputscale = self.hyperparameters.outputscale;
        let least = self.jitter;
        for jitter in self.jitters().filter(|&jitter| jitter >= least) {
            self.jitter = jitter;
            for i in 0..n {
                let row = &mut self.factor[i][i..n];
                row.fill(0.0);
                for (points, lengthscale) in self.inputs.iter().zip(&self.hyperparameters.lengthscales) {
                    add_square_distances(row, &points[i..n], points[i], 1.0 / lengthscale);
                }
                for k in row.iter_mut() {
                    *k = outputscale * matern52(*k);
                }
                row[0] += self.noise[i] + self.jitter;
            }
            if cholesky::factor(self.factor.as_flattened_mut(), n, N).is_ok() {
                self.solve_alpha();
                return Ok(());
            }
        }
        Err(GpError::NotPositiveDefinite)
    }

    fn solve_alpha(&mut self) {
        let n = self.len();
        for (alpha, y) in self.alpha[..n].iter_mut().zip(&self.targets) {
            *alpha = y - self.hyperparameters.mean;
        }
        cholesky::solve_forward(self.factor.as_flattened(), n, N, &mut self.alpha[..n]);
        cholesky::solve_backward(self.factor.as_flattened(), n, N, &mut self.alpha[..n]);
    }
}

/// Why a Gaussian process cannot be fitted or asked.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum GpError {
    /// More observations or dimensions than the process holds.
    Capacity {
        /// The number it holds.
        capacity: usize,
    },
    /// Slices whose lengths do not belong together.
    Length {
        /// Length expected.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// NaN, an infinity or a number beyond 1e100 among inputs or observations, or a negative noise variance.
    NotFinite {
        /// Index of the observation.
        index: usize,
    },
    /// No observation.
    Empty,
    /// The covariance matrix is not positive definite even with the largest jitter.
    NotPositiveDefinite,
}

impl fmt::Display for GpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity { capacity } => {
                write!(f, "more than the {capacity} the process holds; build with a larger const parameter")
            }
            Self::Length { expected, found } => write!(f, "{found} numbers where {expected} belong"),
            Self::NotFinite { index } => {
                write!(f, "observation {index} is not finite or has a negative variance; leave it out")
            }
            Self::Empty => write!(f, "no observation; give at least one"),
            Self::NotPositiveDefinite => {
                write!(f, "the covariance matrix is not positive definite; state a larger noise variance")
            }
        }
    }
}

impl core::error::Error for GpError {}

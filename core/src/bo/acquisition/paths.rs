//! Sample paths of one Gaussian process, given the data and given its own values at the baseline.
//!
//! Noisy improvement compares candidates with the *noise-free* values at points already measured, which are unknown:
//! each Monte-Carlo path draws them first. Given the draws `z_s`, the path's value at `q` candidates is, with the
//! anchors X (training inputs, then pending points), `K` the kernel matrix plus noise and B the baseline,
//!
//! ```text
//! f_s(x) = mean + k(x)ᵀ w_s + (L z'_s),   L Lᵀ = k(x, x) - k(x)ᵀ P k(x)
//! w_s = K⁻¹ (y - mean) + Mᵀ z_s,          P = K⁻¹ + Mᵀ M,          M = L_B⁻¹ (rows B of I - k(B, X) K⁻¹)
//! ```
//!
//! so that one kernel row and two small matrix products make all paths, and the baseline is paid for once. For a
//! training point b the row of M before solving is its noise times row b of `K⁻¹`. A pending point x is appended by
//! a rank-one update with the row `(e - P k(x)) / sd(x)`.

use super::MAX_JOINT;
use crate::gp::kernel::{add_square_distances, matern52, matern52_with_slope};
use crate::gp::{Gp, GpError};
use crate::math::vector::{axpy, dot, rows_times_matrix};
use crate::math::{cholesky, float};
use crate::part::{self, At, Part};

/// Paths of one process with at most `N` anchors in at most `D` dimensions; at most `S` paths, at `Q` candidates at once.
/// `N` and `S` are multiples of 8.
#[derive(Clone, Debug)]
pub(super) struct Paths<const N: usize, const D: usize, const S: usize, const Q: usize> {
    anchors: usize,
    dimensions: usize,
    samples: usize,
    outputscale: f64,
    mean: f64,
    inverse_lengthscales: [f64; D],
    /// Anchors divided by the length scales, dimension-major.
    scaled: [[f64; N]; D],
    /// From [`Paths::take`] to [`Paths::release`] the process has no factor: its matrix is P then. Before that, while paths
    /// are drawn, `K⁻¹` below its diagonal, and on and above it the root of the baseline.
    pub(super) process: Gp<N, D>,
    /// What the draws take for the noise of the training points: their variances and the jitter, at least
    /// 1e-9 of the output scale. The mean goes by the process's own.
    noise: [f64; N],
    /// Diagonal of `K⁻¹`.
    diagonal: [f64; N],
    /// w, one row per anchor.
    weights: [[f64; S]; N],
    /// w, one row per path. Before that, while paths are drawn, their values at the baseline: `S` for each of its points.
    transposed: [[f64; N]; S],
    /// z': base samples of the candidates.
    candidate_normals: [[f64; S]; Q],
}

/// What one process says of `q` candidates, and room for the way back to their gradient.
#[derive(Clone, Debug)]
pub(super) struct Candidates<const N: usize, const S: usize, const Q: usize> {
    kernel: [[f64; N]; Q],
    slopes: [[f64; N]; Q],
    /// P k.
    projected: [[f64; N]; Q],
    root: [[f64; Q]; Q],
    /// Values of every path at every candidate; on the way back, the slopes of the acquisition in them.
    pub(super) values: [[f64; S]; Q],
}

impl<const N: usize, const S: usize, const Q: usize> Candidates<N, S, Q> {
    pub(super) const fn new() -> Self {
        Self {
            kernel: [[0.0; N]; Q],
            slopes: [[0.0; N]; Q],
            projected: [[0.0; N]; Q],
            root: [[0.0; Q]; Q],
            values: [[0.0; S]; Q],
        }
    }
}

impl<const N: usize, const D: usize, const S: usize, const Q: usize> Paths<N, D, S, Q> {
    pub(super) const fn new() -> Self {
        const { assert!(N.is_multiple_of(8) && S.is_multiple_of(8) && S > 0, "N and S must be multiples of 8") };
        const { assert!(0 < Q && Q <= MAX_JOINT, "1 to 4 candidates are moved together") };
        Self {
            anchors: 0,
            dimensions: 0,
            samples: 0,
            outputscale: 1.0,
            mean: 0.0,
            inverse_lengthscales: [0.0; D],
            scaled: [[0.0; N]; D],
            process: Gp::new(),
            noise: [0.0; N],
            diagonal: [0.0; N],
            weights: [[0.0; S]; N],
            transposed: [[0.0; N]; S],
            candidate_normals: [[0.0; S]; Q],
        }
    }

    /// Takes the process's matrix for the precision matrix: it holds `K⁻¹` now. [`Paths::release`] gives it back.
    pub(super) fn take(&mut self) {
        let gp = &mut self.process;
        (self.anchors, self.dimensions) = (gp.len(), gp.dimensions());
        (self.outputscale, self.mean) = (gp.hyperparameters().outputscale, gp.hyperparameters().mean);
        let scales = self.inverse_lengthscales.iter_mut().zip(&gp.hyperparameters().lengthscales);
        for (u, (scaled, (inverse_lengthscale, lengthscale))) in
            self.scaled.iter_mut().zip(scales).enumerate()
        {
            *inverse_lengthscale = 1.0 / lengthscale;
            for (scaled, x) in scaled.iter_mut().zip(gp.input(u)) {
                *scaled = x / lengthscale;
            }
        }
        // Noise-free points get a trace of noise: their values are known, which is no reason to fail.
        for (to, noise) in self.noise.iter_mut().zip(gp.noise()) {
            *to = (noise + gp.jitter()).max(1e-9 * self.outputscale);
        }
        let inverse = gp.lend_inverse();
        for (i, (diagonal, row)) in self.diagonal.iter_mut().zip(inverse).enumerate() {
            *diagonal = row[i];
        }
    }

    /// Whether there are paths: from [`Paths::take`] to [`Paths::release`].
    pub(super) const fn is_taken(&self) -> bool {
        self.anchors > 0
    }

    /// Gives the matrix back to the process, factored anew; the paths are gone.
    pub(super) fn release(&mut self) -> Result<(), GpError> {
        if self.is_taken() {
            self.process.refactorise()?;
            self.anchors = 0;
        }
        Ok(())
    }

    /// Forgets paths and observations; from now on there are `dimensions` inputs.
    pub(super) fn reset(&mut self, dimensions: usize) -> Result<(), GpError> {
        self.process.reset(dimensions)?;
        self.anchors = 0;
        Ok(())
    }

    /// Between [`Paths::take`] and [`Paths::draw`]: writes the root of the posterior covariance of the process at the
    /// training points `at`, `N - N K⁻¹ N` with N the noise, over the upper triangle; what stood there stands below it too.
    /// The diagonal is raised by 10^-(10 - `attempt`) of the noise, ten times as much at each further attempt, but not for
    /// attempt 0; the roots of the noise alone, should nothing help.
    pub(super) fn root(&mut self, at: &[usize], attempt: i32) {
        let matrix = self.process.factor.as_flattened_mut();
        let noise = |b: usize| self.noise.at(b);
        let places = || at.iter().take(N).enumerate();
        for attempt in attempt..8 {
            for (row, &b) in places() {
                for (column, &c) in places().skip(row) {
                    let x = -noise(b) * inverse::<N>(matrix, &self.diagonal, b, c) * noise(c);
                    part::row_mut(matrix, N, row, column..column + 1).fill(x);
                }
                let ridge = if attempt > 0 { float::pow(10.0, f64::from(attempt) - 10.0) } else { 0.0 };
                for x in part::row_mut(matrix, N, row, row..row + 1) {
                    *x += noise(b);
                    *x += noise(b) * ridge;
                }
            }
            if cholesky::factor(matrix, at.len().min(N), N).is_ok() {
                return;
            }
        }
        for (row, &b) in places() {
            let row = part::row_mut(matrix, N, row, row..at.len().min(N));
            row.fill(0.0);
            if let Some(diagonal) = row.first_mut() {
                *diagonal = float::sqrt(noise(b));
            }
        }
    }

    /// Turns base samples at the training points `at`, whose root [`Paths::root`] has made, into values: mean + L z, in the
    /// first `width` columns of [`Paths::at_baseline`].
    pub(super) fn values(&mut self, at: &[usize], width: usize) {
        let Self { process: gp, transposed, .. } = self;
        let (rows, width) = (transposed.as_flattened_mut().as_chunks_mut::<S>().0, width.min(S));
        // From the last one up, because z is overwritten.
        for row in (0..at.len().min(N)).rev() {
            let Some((values, before)) = rows.head_mut(row + 1).split_last_mut() else { break };
            let (values, b) = (&mut values[..width], at[row]);
            let mean = gp.targets().at(b) - (gp.noise().at(b) + gp.jitter()) * gp.alpha().at(b);
            let diagonal = gp.factor[row][row];
            for value in values.iter_mut() {
                *value = mean + diagonal * *value;
            }
            for (z, root) in before.iter().zip(&gp.factor) {
                axpy(values, root[row], &z[..width]);
            }
        }
    }

    /// Draws `samples` paths at the training points `baseline` and conditions on them, after [`Paths::take`].
    /// `normals(b)` fills the base samples of baseline point b, and of candidate j for b = baseline.len() + j. `rows` is
    /// temporary memory. The paths can be evaluated after [`Paths::transpose`]; until then [`Paths::at_baseline`] tells
    /// their values at the baseline.
    pub(super) fn draw(
        &mut self,
        baseline: &[usize],
        samples: usize,
        mut normals: impl FnMut(usize, &mut [f64]),
        rows: &mut [[f64; N]; N],
    ) {
        self.samples = samples;
        let (n, _, samples) = self.sizes();
        let baseline = baseline.head(N);
        let count = baseline.len();
        self.root(baseline, 0);
        let Self { process: gp, noise, diagonal, transposed, weights, .. } = self;
        let root = &gp.factor;
        let at_baseline = transposed.as_flattened_mut().as_chunks_mut::<S>().0;
        for ((row, &b), z) in baseline.iter().enumerate().zip(at_baseline.iter_mut()) {
            // Row of M: forward substitution, one baseline point after the other.
            let (before, m) = rows.split_at_mut(row);
            let m = &mut m[0][..n];
            for (i, m) in m.iter_mut().enumerate() {
                *m = noise.at(b) * inverse::<N>(root.as_flattened(), diagonal, b, i);
            }
            for (previous, root) in before.iter().zip(root) {
                axpy(m, -root[row], &previous[..n]);
            }
            let scale = 1.0 / root[row][row];
            for m in m.iter_mut() {
                *m *= scale;
            }
            *z = [0.0; S];
            normals(row, &mut z[..samples]);
        }
        // w starts as alpha, and P is K⁻¹ so far.
        for (i, weights) in weights.iter_mut().take(n).enumerate() {
            weights[..samples].fill(gp.alpha().at(i));
            for (m, z) in rows.iter().zip(at_baseline.iter()).take(count) {
                axpy(&mut weights[..samples], m.at(i), &z[..samples]);
            }
        }
        self.values(baseline, samples);
        // The root has served: its place takes the upper triangle of K⁻¹ again.
        let precision = &mut self.process.factor;
        for i in 0..n {
            precision[i][i] = self.diagonal[i];
            for j in i + 1..n {
                precision[i][j] = precision[j][i];
            }
        }
        for (i, precision) in precision.iter_mut().take(n).enumerate() {
            precision[n..].fill(0.0);
            for m in rows.iter().take(count) {
                axpy(&mut precision[..n], m.at(i), &m[..n]);
            }
        }
        for (j, z) in self.candidate_normals.iter_mut().enumerate() {
            normals(count + j, &mut z[..samples]);
        }
    }

    /// Room for path values at `N` points; after [`Paths::draw`] the first are those at its baseline.
    #[inline(always)]
    pub(super) fn at_baseline(&mut self) -> &mut [[f64; S]] {
        self.transposed.as_flattened_mut().as_chunks_mut().0
    }

    /// Makes `x` an anchor, with the values that the paths take there now (by the base samples of candidate 0) fixed
    /// from here on; writes them to `values`. `fresh` becomes the base samples of candidate 0. Does nothing when
    /// there are `N` anchors.
    pub(super) fn append(
        &mut self,
        x: &[f64],
        fresh: impl FnOnce(&mut [f64]),
        candidates: &mut Candidates<N, S, Q>,
        values: &mut [f64],
    ) {
        self.evaluate(1, x, candidates);
        part::copy(values, &candidates.values[0]);
        let (n, _, samples) = self.sizes();
        if n == N {
            return;
        }
        for ((row, x), inverse_lengthscale) in self.scaled.iter_mut().zip(x).zip(&self.inverse_lengthscales) {
            row[n] = x * inverse_lengthscale;
        }
        let inverse_deviation = 1.0 / candidates.root[0][0];
        let m = &mut candidates.projected[0];
        m[n] = -1.0;
        for m in &mut m[..=n] {
            *m *= -inverse_deviation;
        }
        let precision = &mut self.process.factor;
        precision[n].fill(0.0);
        self.weights[n] = [0.0; S];
        for i in 0..=n {
            axpy(&mut self.weights[i][..samples], m[i], &self.candidate_normals[0][..samples]);
            axpy(&mut precision[i][..=n], m[i], &m[..=n]);
        }
        self.anchors = n + 1;
        fresh(&mut self.candidate_normals[0][..samples]);
        self.transpose();
    }

    /// Anchors, dimensions and samples: no more than there is room for, which the compiler does not know.
    fn sizes(&self) -> (usize, usize, usize) {
        (self.anchors.min(N), self.dimensions.min(D), self.samples.min(S))
    }

    /// Makes the paths that [`Paths::draw`] has drawn usable.
    pub(super) fn transpose(&mut self) {
        let (anchors, _, samples) = self.sizes();
        for (s, row) in self.transposed[..samples].iter_mut().enumerate() {
            for (out, weights) in row.iter_mut().zip(&self.weights[..anchors]) {
                *out = weights[s];
            }
        }
    }

    /// Path values at `q` candidates (row-major), 1 to `Q`.
    pub(super) fn evaluate(&self, q: usize, x: &[f64], out: &mut Candidates<N, S, Q>) {
        let ((n, d, samples), q) = (self.sizes(), q.min(Q));
        for j in 0..q {
            let (kernel, slopes) = (&mut out.kernel[j][..n], &mut out.slopes[j][..n]);
            kernel.fill(0.0);
            let axes = part::row(x, d, j, 0..d).iter().zip(&self.inverse_lengthscales).zip(&self.scaled);
            for ((x, inverse_lengthscale), scaled) in axes {
                add_square_distances(kernel, scaled, x * inverse_lengthscale, 1.0);
            }
            for (k, h) in kernel.iter_mut().zip(slopes) {
                let (value, slope) = matern52_with_slope(*k);
                (*k, *h) = (self.outputscale * value, self.outputscale * slope);
            }
        }
        product(q, &out.kernel, n, &self.process.factor, n, &mut out.projected);
        product(q, &out.kernel, n, &self.weights, samples, &mut out.values);

        let mut covariance = [[0.0; Q]; Q];
        for j in 0..q {
            for l in 0..=j {
                let prior = if j == l { 1.0 } else { matern52(self.square_distance(x, j, l)) };
                covariance[j][l] =
                    self.outputscale * prior - dot(&out.kernel[j][..n], &out.projected[l][..n]);
            }
        }
        root(q, &covariance, self.outputscale, &mut out.root);
        for j in 0..q {
            let values = &mut out.values[j][..samples];
            for value in values.iter_mut() {
                *value += self.mean;
            }
            for l in 0..=j {
                axpy(values, out.root[j][l], &self.candidate_normals[l]);
            }
        }
    }

    /// Adds to `gradient` (row-major, as `x`) what the slopes in `out.values` make of the candidates of the last
    /// [`Paths::evaluate`].
    pub(super) fn pull_back(&self, q: usize, x: &[f64], out: &mut Candidates<N, S, Q>, gradient: &mut [f64]) {
        let ((n, d, samples), q) = (self.sizes(), q.min(Q));
        let point = |j: usize| part::row(x, d, j, 0..d);
        let mut adjoint = [[0.0; Q]; Q];
        for j in 0..q {
            for l in 0..=j {
                adjoint[j][l] = dot(&out.values[j][..samples], &self.candidate_normals[l][..samples]);
            }
        }
        let covariance = covariance_adjoint(q, &out.root, &adjoint);
        // The kernel rows are not needed any more; their place takes the slopes in them.
        product(q, &out.values, samples, &self.transposed, n, &mut out.kernel);
        for j in 0..q {
            let weights = &mut out.kernel[j][..n];
            for l in 0..q {
                axpy(weights, -2.0 * covariance[j][l], &out.projected[l][..n]);
            }
            let mut sum = 0.0;
            for (w, h) in weights.iter_mut().zip(&out.slopes[j]) {
                *w *= h;
                sum += *w;
            }
            let gradient = part::row_mut(gradient, d, j, 0..d);
            let axes = self.inverse_lengthscales.iter().zip(&self.scaled).zip(point(j));
            for (slope, ((inverse_lengthscale, scaled), x)) in gradient.iter_mut().zip(axes) {
                let pull = dot(weights, scaled) - sum * (x * inverse_lengthscale);
                *slope += pull * inverse_lengthscale;
            }
            for l in 0..q {
                if l == j {
                    continue;
                }
                let (_, slope) = matern52_with_slope(self.square_distance(x, j, l));
                let weight = -2.0 * covariance[j][l] * self.outputscale * slope;
                let pairs = point(j).iter().zip(point(l)).zip(&self.inverse_lengthscales);
                for (slope, ((a, b), scale)) in gradient.iter_mut().zip(pairs) {
                    *slope += weight * (a - b) * scale * scale;
                }
            }
        }
    }

    fn square_distance(&self, x: &[f64], j: usize, l: usize) -> f64 {
        let (_, d, _) = self.sizes();
        let pairs = part::row(x, d, j, 0..d).iter().zip(part::row(x, d, l, 0..d));
        pairs.zip(&self.inverse_lengthscales).map(|((a, b), scale)| (a - b) * scale * ((a - b) * scale)).sum()
    }
}

/// Entry (i, j) of the symmetric matrix that stands below the diagonal of `matrix` and on `diagonal`.
#[inline(always)]
fn inverse<const N: usize>(matrix: &[f64], diagonal: &[f64; N], i: usize, j: usize) -> f64 {
    if i == j { diagonal.at(i) } else { part::row(matrix, N, i.max(j), 0..N).at(i.min(j)) }
}

/// The first `length` columns of `q` rows times `matrix`, into the first `columns` columns of `out`: the candidates
/// share every row of the matrix that is read.
fn product<const A: usize, const B: usize, const R: usize, const Q: usize>(
    q: usize,
    a: &[[f64; A]; Q],
    length: usize,
    matrix: &[[f64; B]; R],
    columns: usize,
    out: &mut [[f64; B]; Q],
) {
    let matrix = matrix.as_flattened();
    match (a.head(q), out.head_mut(q)) {
        ([a], [out]) => rows_times_matrix([a.head(length)], matrix, B, columns, [out]),
        ([a0, a1], [o0, o1]) => {
            rows_times_matrix([a0, a1].map(|a| a.head(length)), matrix, B, columns, [o0, o1]);
        }
        ([a0, a1, a2], [o0, o1, o2]) => {
            rows_times_matrix([a0, a1, a2].map(|a| a.head(length)), matrix, B, columns, [o0, o1, o2]);
        }
        ([a0, a1, a2, a3], [o0, o1, o2, o3]) => {
            rows_times_matrix([a0, a1, a2, a3].map(|a| a.head(length)), matrix, B, columns, [o0, o1, o2, o3]);
        }
        _ => {}
    }
}

/// A matrix with a row per candidate.
type Joint<const Q: usize> = [[f64; Q]; Q];

/// The lower Cholesky factor of a small covariance matrix, with as little jitter as it takes.
fn root<const Q: usize>(q: usize, covariance: &Joint<Q>, outputscale: f64, l: &mut Joint<Q>) {
    let (mut jitter, q) = (0.0, q.min(Q));
    'attempt: loop {
        for j in 0..q {
            for k in 0..=j {
                let mut sum = covariance[j][k];
                for i in 0..k {
                    sum -= l[j][i] * l[k][i];
                }
                if j != k {
                    l[j][k] = sum / l[k][k];
                    continue;
                }
                let pivot = sum + jitter;
                // With a jitter of the output scale itself every pivot is positive.
                let positive = pivot > 1e-14 * outputscale;
                if !positive && jitter < outputscale {
                    jitter = if jitter == 0.0 { 1e-8 * outputscale } else { 10.0 * jitter };
                    continue 'attempt;
                }
                l[j][j] = float::sqrt(pivot.max(1e-14 * outputscale));
            }
        }
        return;
    }
}

/// The derivative in a covariance matrix, given that in its lower Cholesky factor (Murray, "Differentiation of the
/// Cholesky decomposition", 2016, eq. 10): the symmetric part of `L⁻ᵀ Phi(Lᵀ A) L⁻¹`, where Phi takes the lower
/// triangle and half of the diagonal.
fn covariance_adjoint<const Q: usize>(q: usize, l: &Joint<Q>, adjoint: &Joint<Q>) -> Joint<Q> {
    let (mut p, q) = ([[0.0; Q]; Q], q.min(Q));
    for j in 0..q {
        for k in 0..=j {
            for i in j..q {
                p[j][k] += l[i][j] * adjoint[i][k];
            }
        }
        p[j][j] *= 0.5;
    }
    for k in 0..q {
        for j in (0..q).rev() {
            for i in j + 1..q {
                p[j][k] -= l[i][j] * p[i][k];
            }
            p[j][k] /= l[j][j];
        }
    }
    for j in 0..q {
        for k in (0..q).rev() {
            for i in k + 1..q {
                p[j][k] -= p[j][i] * l[i][k];
            }
            p[j][k] /= l[k][k];
        }
    }
    let mut symmetric = [[0.0; Q]; Q];
    for j in 0..q {
        for k in 0..q {
            symmetric[j][k] = 0.5 * (p[j][k] + p[k][j]);
        }
    }
    symmetric
}

//! The exact joint posterior of all functions and of the common factors.
//!
//! With r_i the residuals of function i, A_i = K_i + own noise, and the common factors c ~ N(m, T) of the
//! observations (T diagonal), the functions are independent given c. Hence, in closed form,
//!
//! ```text
//! c | data ~ N(V (sum_i A_i^-1 r_i + T^-1 m), V),        V = (sum_i A_i^-1 + T^-1)^-1
//! f_i(x) | data: mean k_i(x)^T A_i^-1 (r_i - E c)
//! cov(f_i(x), f_j(y)) = [i = j] (k(x, y) - k_i(x)^T A_i^-1 k_i(y)) + k_i(x)^T A_i^-1 V A_j^-1 k_j(y)
//! ```
//!
//! so that functions know of each other through what is unsure about the factors. Every matrix is n by n, whatever
//! the number of functions. Interference is a mixture on c (see [`super::noise`]): its responsibilities and the
//! posterior of c are iterated, each from the other (the factor's own prior taken out of its posterior first).

use super::change::OFFSET_VARIANCE;
use super::kernel::{Effects, Kernel, PARAMETERS, Place, square, trend};
use super::noise::{MIN_VARIANCE, Noise, SLOWDOWN, SLOWDOWN_VARIANCE};
use super::observations::Observations;
use crate::math::vector::dot;
use crate::math::{cholesky, float};
use crate::part::{At, Part};

/// Iterations of the interference mixture; it settles in three or four.
const MIXTURE_ITERATIONS: usize = 7;
/// Steps of the two sweeps of a hyper-parameter search, in the logarithm.
const SWEEPS: [f64; 2] = [0.5, 0.25];
/// The most steps of one parameter in a sweep.
const MAX_MOVES: usize = 4;

pub(super) type Matrix<const N: usize> = [[f64; N]; N];

/// The posterior and its work space: `F + 3` matrices of N by N.
pub(super) struct Joint<const F: usize, const N: usize> {
    /// A_i^-1.
    pub(super) inverse: [Matrix<N>; F],
    /// V.
    pub(super) common_covariance: Matrix<N>,
    /// E c.
    pub(super) common_mean: [f64; N],
    /// A_i^-1 (r_i - E c).
    pub(super) weights: [[f64; N]; F],
    /// Probability that the observation was disturbed.
    pub(super) outlier: [f64; N],
    /// Prior of c: precision, and precision times mean.
    pub(super) prior: [(f64, f64); N],
    /// Sum of A_i^-1.
    pub(super) sum: Matrix<N>,
    pub(super) work: Matrix<N>,
}

impl<const F: usize, const N: usize> Joint<F, N> {
    pub(super) const fn new() -> Self {
        Self {
            inverse: [[[0.0; N]; N]; F],
            common_covariance: [[0.0; N]; N],
            common_mean: [0.0; N],
            weights: [[0.0; N]; F],
            outlier: [0.0; N],
            prior: [(0.0, 0.0); N],
            sum: [[0.0; N]; N],
            work: [[0.0; N]; N],
        }
    }

    /// Computes the posterior: `functions + 8` inversions of n by n.
    pub(super) fn infer(&mut self, data: &Observations<F, N>, kernel: &Kernel, noise: &Noise<F>) {
        let n = data.len();
        let effects = kernel.effects();
        self.sum.as_flattened_mut().fill(0.0);
        let mut total = [0.0; N];
        for i in 0..data.functions() {
            covariance(data, i, &effects, noise, |_| 0.0, &mut self.work);
            invert(&self.work, n, &mut self.inverse[i]);
            for s in 0..n {
                total[s] += dot(&self.inverse[i][s][..n], &data.residuals[i][..n]);
                for (sum, x) in self.sum[s][..n].iter_mut().zip(&self.inverse[i][s]) {
                    *sum += x;
                }
            }
        }
        for s in 0..n {
            self.outlier[s] = if data.is_trial(s) { noise.outliers } else { 0.0 };
        }
        for iteration in 0..=MIXTURE_ITERATIONS {
            self.common_factors(data, noise, &total);
            if iteration < MIXTURE_ITERATIONS {
                self.judge(data, noise);
            }
        }
        for i in 0..data.functions() {
            let residuals: [f64; N] = core::array::from_fn(|s| data.residuals[i][s] - self.common_mean[s]);
            for s in 0..n {
                self.weights[i][s] = dot(&self.inverse[i][s][..n], &residuals[..n]);
            }
        }
    }

    /// The posterior of c under the present responsibilities.
    fn common_factors(&mut self, data: &Observations<F, N>, noise: &Noise<F>, total: &[f64; N]) {
        let n = data.len();
        let mut right = *total;
        for s in 0..n {
            let p = self.outlier[s];
            self.prior[s] = match data.repeated {
                Some((_, undisturbed)) if !data.is_trial(s) => (undisturbed / noise.common, 0.0),
                _ => ((1.0 - p) / noise.common + p / SLOWDOWN_VARIANCE, p * SLOWDOWN / SLOWDOWN_VARIANCE),
            };
            self.work[s][..n].copy_from_slice(&self.sum[s][..n]);
            self.work[s][s] += self.prior[s].0;
            right[s] += self.prior[s].1;
        }
        invert(&self.work, n, &mut self.common_covariance);
        for s in 0..n {
            self.common_mean[s] = dot(&self.common_covariance[s][..n], &right[..n]);
        }
    }

    /// The responsibilities under the present posterior of c.
    fn judge(&mut self, data: &Observations<F, N>, noise: &Noise<F>) {
        for s in 0..data.len() {
            if !data.is_trial(s) {
                continue;
            }
            let (mean, variance) = self.measured_factor(s);
            self.outlier[s] = noise.outlier_probability(mean, variance);
        }
    }

    /// Mean and variance of the common factor of observation `s` as the durations alone tell it, without its prior.
    pub(super) fn measured_factor(&self, s: usize) -> (f64, f64) {
        let precision = 1.0 / self.common_covariance[s][s];
        let (prior, prior_times_mean) = self.prior[s];
        let rest = (precision - prior).max(1e-9);
        ((self.common_mean[s] * precision - prior_times_mean) / rest, 1.0 / rest)
    }

    /// Improves the kernel shared by all functions: two sweeps of a coordinate search on the marginal likelihood of
    /// every function given the common factors (their variance counts as noise) times the prior. At most [`MAX_MOVES`] + 2
    /// evaluations per parameter and sweep.
    pub(super) fn improve(&mut self, data: &Observations<F, N>, kernel: &mut Kernel, noise: &Noise<F>) {
        let mut least = self.objective(data, kernel, noise);
        for step in SWEEPS {
            // The parameters of an axis that no function varies stay at their prior.
            for parameter in 0..PARAMETERS {
                if !varies(data, parameter) {
                    continue;
                }
                for direction in [step, -step] {
                    let mut moves = 0;
                    while moves < MAX_MOVES {
                        let mut candidate = *kernel;
                        candidate.ln[parameter] += direction;
                        let value = self.objective(data, &candidate, noise);
                        // NaN is no improvement.
                        if value.is_nan() || value >= least {
                            break;
                        }
                        (least, *kernel) = (value, candidate);
                        moves += 1;
                    }
                    if moves > 0 {
                        break;
                    }
                }
            }
        }
    }

    /// Minus the log posterior density of the kernel, up to a constant; infinite where it cannot be computed.
    fn objective(&mut self, data: &Observations<F, N>, kernel: &Kernel, noise: &Noise<F>) -> f64 {
        let n = data.len();
        let effects = kernel.effects();
        let mut value = kernel.penalty();
        for i in 0..data.functions() {
            let (work, common) = (&mut self.work, &self.common_covariance);
            covariance(data, i, &effects, noise, |s| common[s][s], work);
            if cholesky::factor(work.as_flattened_mut(), n, N).is_err() {
                return f64::INFINITY;
            }
            let mut z: [f64; N] = core::array::from_fn(|s| data.residuals[i][s] - self.common_mean[s]);
            cholesky::solve_forward(work.as_flattened(), n, N, &mut z[..n]);
            value += 0.5 * (dot(&z[..n], &z[..n]) + cholesky::log_determinant(work.as_flattened(), n, N));
        }
        value
    }

    /// Re-estimates the noise from the residuals, with `base` as prior of its stated weight (one step of expectation
    /// maximisation).
    pub(super) fn learn_noise(&mut self, data: &Observations<F, N>, base: &Noise<F>, noise: &mut Noise<F>) {
        let n = data.len();
        let trials = (0..n).filter(|&s| data.is_trial(s)).count() as f64;
        for i in 0..data.functions() {
            let own = noise.own.get(i).copied().unwrap_or(1.0);
            let mut sum = 0.0;
            for s in 0..n {
                if !data.is_trial(s) {
                    continue;
                }
                let row = &self.inverse[i][s][..n];
                // (A^-1 V A^-1)_ss
                let through: f64 =
                    row.iter().zip(&self.common_covariance).map(|(x, v)| x * dot(v, row)).sum();
                sum += square(own * self.weights[i][s]) + own - own * own * (row[s] - through);
            }
            if let (Some(new), Some(prior)) = (noise.own.get_mut(i), base.own.get(i)) {
                *new = ((base.samples * prior + sum) / (base.samples + trials)).max(MIN_VARIANCE);
            }
        }
        let (mut sum, mut undisturbed, mut disturbed) = (0.0, 0.0, 0.0);
        for s in 0..n {
            if !data.is_trial(s) {
                continue;
            }
            let normal = 1.0 - self.outlier[s];
            sum += normal * (square(self.common_mean[s]) + self.common_covariance[s][s]);
            undisturbed += normal;
            disturbed += self.outlier[s];
        }
        noise.common = (base.samples * base.common + sum) / (base.samples + undisturbed);
        noise.outliers = (base.samples * base.outliers + disturbed) / (base.samples + trials);
        noise.samples = base.samples + trials;
    }

    /// Prior covariances of function `i` at `place` with its observations.
    pub(super) fn cross_covariance(
        data: &Observations<F, N>,
        effects: &Effects,
        i: usize,
        place: &Place,
        out: &mut [f64; N],
    ) {
        for (s, k) in out[..data.len()].iter_mut().enumerate() {
            *k = effects.between(place, &data.place(i, s));
        }
    }

    /// Posterior mean and covariance of ln duration (its median over undisturbed invocations) of all functions at
    /// the given places. F (2 n² + F n) operations.
    pub(super) fn posterior(
        &self,
        data: &Observations<F, N>,
        kernel: &Kernel,
        places: &[Place; F],
        mean: &mut [f64; F],
        covariance: &mut [[f64; F]; F],
    ) {
        let n = data.len();
        let effects = kernel.effects();
        let (mut solved, mut through) = ([[0.0; N]; F], [[0.0; N]; F]);
        for i in 0..data.functions() {
            let mut k = [0.0; N];
            Self::cross_covariance(data, &effects, i, &places[i], &mut k);
            mean[i] = data.level[i] + trend(&places[i]) + dot(&k[..n], &self.weights[i][..n]);
            for s in 0..n {
                solved[i][s] = dot(&self.inverse[i][s][..n], &k[..n]);
            }
            for s in 0..n {
                through[i][s] = dot(&self.common_covariance[s][..n], &solved[i][..n]);
            }
            let alone = effects.between(&places[i], &places[i]) - dot(&k[..n], &solved[i][..n]);
            covariance[i] = [0.0; F];
            covariance[i][i] = alone.max(1e-10);
        }
        for i in 0..data.functions() {
            for j in 0..data.functions() {
                covariance[i][j] += dot(&solved[i][..n], &through[j][..n]);
            }
        }
    }

    /// Standardised leave-one-out residual of observation `s` of function `i`, given the common factors.
    pub(super) fn leave_one_out(&self, i: usize, s: usize) -> f64 {
        let weight = self.weights.get(i).map_or(f64::NAN, |weights| weights.at(s));
        let row = self.inverse.get(i).and_then(|inverse| inverse.get(s));
        weight / float::sqrt(row.map_or(f64::NAN, |row| row.at(s)).max(f64::MIN_POSITIVE))
    }
}

/// Whether any function varies on the axis of a kernel parameter.
fn varies<const F: usize, const N: usize>(data: &Observations<F, N>, parameter: usize) -> bool {
    let axis = match parameter {
        0..3 => parameter,
        3 => return true,
        _ => parameter - 4,
    };
    let places = data.places[..data.functions()].iter();
    let observed = places.filter_map(|axes| Some(axes.get(axis)?.head(data.len())));
    observed.into_iter().any(|axis| axis.iter().any(|x| Some(x) != axis.first()))
}

/// Writes A_i (plus `extra` variance) into the upper triangle of `out`.
fn covariance<const F: usize, const N: usize>(
    data: &Observations<F, N>,
    i: usize,
    effects: &Effects,
    noise: &Noise<F>,
    extra: impl Fn(usize) -> f64,
    out: &mut Matrix<N>,
) {
    let n = data.len();
    let [cpu, memory, concurrency] = &data.places[i];
    for s in 0..n {
        let (place, row) = (data.place(i, s), &mut out[s][s..n]);
        for (((k, &x), &y), &z) in row.iter_mut().zip(&cpu[s..n]).zip(&memory[s..n]).zip(&concurrency[s..n]) {
            *k = effects.between(&place, &[x, y, z]);
        }
        if data.is_outdated(i, s) {
            for (t, k) in (s..n).zip(&mut *row) {
                *k += if data.is_outdated(i, t) { OFFSET_VARIANCE } else { 0.0 };
            }
        }
        out[s][s] += data.variance(noise, i, s) + extra(s);
    }
}

/// Inverts the upper triangle of `matrix` into `inverse` (all of it), adding to the diagonal until it is positive
/// definite. n³ operations per attempt.
pub(super) fn invert<const N: usize>(matrix: &Matrix<N>, n: usize, inverse: &mut Matrix<N>) {
    // It always is, which the compiler does not know.
    let n = n.min(N);
    for s in 0..n {
        inverse[s][s..n].copy_from_slice(&matrix[s][s..n]);
    }
    let mut jitter = 0.0;
    while cholesky::factor(inverse.as_flattened_mut(), n, N).is_err() {
        jitter = if jitter == 0.0 { 1e-10 } else { jitter * 10.0 };
        let hopeless = jitter > 1.0;
        for s in 0..n {
            for t in s..n {
                let off = if hopeless { 0.0 } else { matrix[s][t] };
                inverse[s][t] = if s == t { if hopeless { 1.0 } else { off * (1.0 + jitter) } } else { off };
            }
        }
    }
    let _ = cholesky::invert(inverse.as_flattened_mut(), n, N);
}

//! The log marginal likelihood and its gradient (Rasmussen and Williams 2006, eqs. 5.8 and 5.9).

use super::kernel::{add_square_distances, matern52_with_slope};
use super::prior::Prior;
use crate::math::{cholesky, float, vector};
use crate::part::{self, At, Part};

const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_7;

/// What is fitted: `n` observations, dimension-major with rows of length `stride`.
pub(super) struct Problem<'a> {
    pub(super) inputs: &'a [f64],
    pub(super) stride: usize,
    pub(super) n: usize,
    pub(super) targets: &'a [f64],
    /// Known noise variances; `None` when one variance is inferred.
    pub(super) noise: Option<&'a [f64]>,
    /// `None` for the plain likelihood.
    pub(super) prior: Option<Prior>,
}

/// Temporary memory: two `n` by `stride` matrices, the scaled inputs, and three vectors.
pub(super) struct Work<'a> {
    pub(super) covariance: &'a mut [f64],
    pub(super) slopes: &'a mut [f64],
    pub(super) scaled: &'a mut [f64],
    pub(super) residuals: &'a mut [f64],
    pub(super) alpha: &'a mut [f64],
    pub(super) weights: &'a mut [f64],
}

/// The log marginal likelihood plus the log prior at `theta` = log length scales, log output scale, mean, log noise,
/// and its gradient. Minus infinity where the covariance matrix is not positive definite. About n³ + 4 n² d
/// operations.
pub(super) fn evaluate(
    problem: &Problem<'_>,
    theta: &[f64],
    gradient: &mut [f64],
    work: &mut Work<'_>,
) -> f64 {
    let &Problem { inputs, stride, n, .. } = problem;
    let (theta, gradient) = (theta.split_last_chunk(), gradient.split_last_chunk_mut());
    let (Some((ln_lengthscales, &[ln_outputscale, mean, ln_noise])), Some((slopes, others))) =
        (theta, gradient)
    else {
        return f64::NAN;
    };
    let (outputscale, inferred) = (float::exp(ln_outputscale), float::exp(ln_noise));
    let noise = |i: usize| problem.noise.map_or(inferred, |noise| noise.at(i));
    let row = |matrix, i: usize, columns| part::row(matrix, stride, i, columns);
    slopes.fill(0.0);

    for (u, &ln_lengthscale) in ln_lengthscales.iter().enumerate() {
        let inverse_lengthscale = float::exp(-ln_lengthscale);
        let scaled = part::row_mut(work.scaled, stride, u, 0..n);
        for (scaled, x) in scaled.iter_mut().zip(row(inputs, u, 0..n)) {
            *scaled = x * inverse_lengthscale;
        }
    }
    for i in 0..n {
        let covariance = part::row_mut(work.covariance, stride, i, i..n);
        let slopes = part::row_mut(work.slopes, stride, i, i..n);
        covariance.fill(0.0);
        for u in 0..ln_lengthscales.len() {
            let points = row(work.scaled, u, i..n);
            add_square_distances(covariance, points, points.at(0), 1.0);
        }
        for (k, h) in covariance.iter_mut().zip(slopes) {
            let (value, slope) = matern52_with_slope(*k);
            (*k, *h) = (outputscale * value, outputscale * slope);
        }
        if let Some(diagonal) = covariance.first_mut() {
            *diagonal = outputscale + noise(i);
        }
    }
    if cholesky::factor(work.covariance, n, stride).is_err() {
        return f64::NEG_INFINITY;
    }
    let (residuals, alpha) = (work.residuals.head_mut(n), work.alpha.head_mut(n));
    for ((residual, alpha), y) in residuals.iter_mut().zip(alpha.iter_mut()).zip(problem.targets) {
        *residual = y - mean;
        *alpha = *residual;
    }
    cholesky::solve_forward(work.covariance, n, stride, alpha);
    let fit = vector::dot(alpha, alpha);
    cholesky::solve_backward(work.covariance, n, stride, alpha);
    let ln_determinant = cholesky::log_determinant(work.covariance, n, stride);
    cholesky::invert_factor(work.covariance, n, stride);
    cholesky::inverse_from_factor(work.covariance, n, stride);

    // d/d(theta) = 1/2 trace((alpha alpha^T - K^-1) dK/d(theta)); the off-diagonal terms count twice.
    let (mut diagonal, mut noise_trace, mut noise_fit, mut alpha_sum) = (0.0, 0.0, 0.0, 0.0);
    for i in 0..n {
        let Some((&own, later)) = alpha.part(i..n).split_first() else { break };
        let Some((&inverse, inverses)) = row(work.covariance, i, i..n).split_first() else { break };
        diagonal += own * own - inverse;
        noise_trace += noise(i) * inverse;
        noise_fit += noise(i) * own * own;
        alpha_sum += own;
        let weights = work.weights.part_mut(i + 1..n);
        let terms = later.iter().zip(inverses).zip(row(work.slopes, i, i + 1..n));
        for (w, ((a, inverse), slope)) in weights.iter_mut().zip(terms) {
            *w = (own * a - inverse) * slope;
        }
        for (u, slope) in slopes.iter_mut().enumerate() {
            let Some((&point, points)) = row(work.scaled, u, i..n).split_first() else { break };
            *slope += vector::weighted_square_distance(weights, points, point);
        }
    }
    // K - noise is the kernel matrix, so its terms follow from those of K.
    let residual_fit = vector::dot(residuals, alpha);
    let mut value = -0.5 * fit - 0.5 * ln_determinant - n as f64 * HALF_LN_TWO_PI;
    let infers_noise = problem.noise.is_none();
    *others = [
        0.5 * ((residual_fit - noise_fit) - (n as f64 - noise_trace)),
        alpha_sum,
        if infers_noise { 0.5 * inferred * diagonal } else { 0.0 },
    ];
    if let Some(prior) = problem.prior {
        let noise = infers_noise.then_some(ln_noise);
        value += prior.add(ln_lengthscales, ln_outputscale, noise, slopes, others);
        if prior.fixes_outputscale() {
            let [outputscale, ..] = others;
            *outputscale = 0.0;
        }
    }
    value
}

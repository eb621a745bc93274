//! The log marginal likelihood and its gradient (Rasmussen and Williams 2006, eqs. 5.8 and 5.9).

use super::kernel::{add_square_distances, matern52_with_slope};
use super::prior::Prior;
use crate::math::{cholesky, float, vector};

const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_7;

/// What is fitted: `n` observations of `dimensions` inputs, dimension-major with rows of length `stride`.
pub(super) struct Problem<'a> {
    pub(super) inputs: &'a [f64],
    pub(super) stride: usize,
    pub(super) n: usize,
    pub(super) dimensions: usize,
    pub(super) targets: &'a [f64],
    /// Known noise variances; `None` when one variance is inferred.
    pub(super) noise: Option<&'a [f64]>,
    /// `None` for the plain likelihood.
    pub(super) prior: Option<Prior>,
}

/// Temporary memory: three `n` by `stride` matrices, the scaled inputs, and three vectors.
pub(super) struct Work<'a> {
    pub(super) covariance: &'a mut [f64],
    pub(super) slopes: &'a mut [f64],
    pub(super) inverse_factor: &'a mut [f64],
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
    let &Problem { inputs, stride, n, dimensions: d, .. } = problem;
    let (outputscale, mean) = (float::exp(theta[d]), theta[d + 1]);
    let inferred = float::exp(theta[d + 2]);
    let noise = |i: usize| problem.noise.map_or(inferred, |noise| noise[i]);
    gradient.fill(0.0);

    for u in 0..d {
        let inverse_lengthscale = float::exp(-theta[u]);
        let row = u * stride..u * stride + n;
        for (scaled, x) in work.scaled[row.clone()].iter_mut().zip(&inputs[row]) {
            *scaled = x * inverse_lengthscale;
        }
    }
    for i in 0..n {
        let row = i * stride + i..i * stride + n;
        let (covariance, slopes) = (&mut work.covariance[row.clone()], &mut work.slopes[row]);
        covariance.fill(0.0);
        for u in 0..d {
            let points = &work.scaled[u * stride + i..u * stride + n];
            add_square_distances(covariance, points, points[0], 1.0);
        }
        for (k, h) in covariance.iter_mut().zip(slopes) {
            let (value, slope) = matern52_with_slope(*k);
            (*k, *h) = (outputscale * value, outputscale * slope);
        }
        covariance[0] = outputscale + noise(i);
    }
    if cholesky::factor(work.covariance, n, stride).is_err() {
        return f64::NEG_INFINITY;
    }
    for (r, y) in work.residuals[..n].iter_mut().zip(problem.targets) {
        *r = y - mean;
    }
    work.alpha[..n].copy_from_slice(&work.residuals[..n]);
    cholesky::solve_forward(work.covariance, n, stride, work.alpha);
    let fit = vector::dot(&work.alpha[..n], &work.alpha[..n]);
    cholesky::solve_backward(work.covariance, n, stride, work.alpha);
    let ln_determinant = cholesky::log_determinant(work.covariance, n, stride);
    cholesky::invert_factor(work.covariance, n, stride, work.inverse_factor);
    cholesky::inverse_from_factor(work.inverse_factor, n, stride, work.covariance);

    // d/d(theta) = 1/2 trace((alpha alpha^T - K^-1) dK/d(theta)); the off-diagonal terms count twice.
    let (mut diagonal, mut noise_trace, mut noise_fit, mut alpha_sum) = (0.0, 0.0, 0.0, 0.0);
    for i in 0..n {
        let (alpha, inverse) = (work.alpha[i], work.covariance[i * stride + i]);
        diagonal += alpha * alpha - inverse;
        noise_trace += noise(i) * inverse;
        noise_fit += noise(i) * alpha * alpha;
        alpha_sum += alpha;
        let row = i * stride + i + 1..i * stride + n;
        let weights = &mut work.weights[i + 1..n];
        let terms = work.alpha[i + 1..n].iter().zip(&work.covariance[row.clone()]).zip(&work.slopes[row]);
        for (w, ((a, inverse), slope)) in weights.iter_mut().zip(terms) {
            *w = (alpha * a - inverse) * slope;
        }
        for u in 0..d {
            let points = &work.scaled[u * stride..u * stride + n];
            gradient[u] += vector::weighted_square_distance(weights, &points[i + 1..], points[i]);
        }
    }
    // K - noise is the kernel matrix, so its terms follow from those of K.
    let residual_fit = vector::dot(&work.residuals[..n], &work.alpha[..n]);
    let mut value = -0.5 * fit - 0.5 * ln_determinant - n as f64 * HALF_LN_TWO_PI;
    gradient[d] = 0.5 * ((residual_fit - noise_fit) - (n as f64 - noise_trace));
    gradient[d + 1] = alpha_sum;
    gradient[d + 2] = if problem.noise.is_none() { 0.5 * inferred * diagonal } else { 0.0 };
    if let Some(prior) = problem.prior {
        value += prior.add(theta, problem.noise.is_none(), gradient);
        if prior.fixes_outputscale() {
            gradient[d] = 0.0;
        }
    }
    value
}

//! Score tests: does a quantity have an effect where the structure has none?
//!
//! An effect u (one number per observation) would add beta u to the residuals r of a function, or to the common
//! factors c of all. The score of beta at 0 and its variance follow from the posterior at hand, nothing is refitted.
//! With P the precision of the marginal distribution of what is tested and y its distance from the mean,
//!
//! ```text
//! z² = (u^T P y)² / u^T P u
//! function:       P = A_i^-1 - A_i^-1 V A_i^-1,    P y = A_i^-1 (r_i - E c)
//! common factors: P = T^-1 - T^-1 V T^-1,          P y = T^-1 (E c - m)
//! ```
//!
//! An effect that is there went into the noise, which was learned from the same residuals: z² can hardly exceed nu, the
//! residual degrees of freedom. So z² / nu is a squared partial correlation, and the likelihood-ratio form
//!
//! ```text
//! sqrt(-nu ln(1 - z² / nu))
//! ```
//!
//! is a standard normal deviate to a few per cent even far in the tails (Wallace, "Bounds on normal approximations to
//! Student's and the chi-square distributions", Annals of Mathematical Statistics 30, 1959).

use super::joint::{Joint, Matrix, invert};
use super::kernel::square;
use super::noise::Noise;
use super::observations::Observations;
use crate::math::float;
use crate::math::vector::dot;
use crate::part::At;

/// The least unexplained share, 1 - z² / nu: noise that was not learned from these residuals lets z² exceed nu.
const MIN_UNEXPLAINED: f64 = 1e-3;

impl<const F: usize, const N: usize> Joint<F, N> {
    /// Residual degrees of freedom behind the own noise of function `i`: the samples it was known from before, and
    /// what the trials have left when everything else is fitted. n² operations per trial.
    pub(super) fn freedom(
        &self,
        data: &Observations<F, N>,
        base: &Noise<F>,
        noise: &Noise<F>,
        i: usize,
    ) -> f64 {
        let n = data.len();
        let own = noise.own.get(i).copied().unwrap_or(1.0);
        let left = |s: usize| {
            let row = &self.inverse[i][s][..n];
            own * (row.at(s) - quadratic(&self.common_covariance, row))
        };
        base.samples + (0..n).filter(|&s| data.is_trial(s)).map(left).sum::<f64>()
    }

    /// Deviations from 0 of the effect `u` on the ln duration of function `i`. 2 n² operations.
    pub(super) fn effect_on_function(
        &self,
        data: &Observations<F, N>,
        i: usize,
        u: &[f64; N],
        freedom: f64,
    ) -> f64 {
        let n = data.len();
        let mut solved = [0.0; N];
        for (solved, row) in solved[..n].iter_mut().zip(&self.inverse[i]) {
            *solved = dot(&row[..n], &u[..n]);
        }
        let score = dot(&u[..n], &self.weights[i][..n]);
        let alone = dot(&u[..n], &solved[..n]);
        deviations(score, alone, quadratic(&self.common_covariance, &solved[..n]), freedom)
    }

    /// The common factors as the mixture they are taken for: interference is taken out.
    pub(super) fn common_factors_by_mixture(
        &self,
        data: &Observations<F, N>,
        base: &Noise<F>,
    ) -> CommonFactors<'_, N> {
        CommonFactors::new(data, base, &self.prior, &self.common_mean, &self.common_covariance)
    }

    /// The common factors of all trials as one normal distribution, interference included: contention may have been
    /// taken for it, but follows the configuration. About n³ operations; uses up the work space, the posterior
    /// stays.
    pub(super) fn common_factors_pooled(
        &mut self,
        data: &Observations<F, N>,
        base: &Noise<F>,
    ) -> CommonFactors<'_, N> {
        let (n, trials) = (data.len(), data.trials().len().min(N));
        let count = trials.max(1) as f64;
        let mean = self.common_mean[..trials].iter().sum::<f64>() / count;
        let spread = |s: usize| square(self.common_mean[s] - mean) + self.common_covariance[s][s];
        let precision = count / (0..trials).map(spread).sum::<f64>().max(f64::MIN_POSITIVE);
        let (mut prior, mut right, mut means) = (self.prior, [0.0; N], [0.0; N]);
        for s in 0..n {
            if data.is_trial(s) {
                prior[s] = (precision, precision * mean);
            }
            let total = |i: usize| dot(&self.inverse[i][s][..n], &data.residuals[i][..n]);
            right[s] = (0..data.functions()).map(total).sum::<f64>() + prior[s].1;
            self.work[s][..n].copy_from_slice(&self.sum[s][..n]);
            self.work[s][s] += prior[s].0;
        }
        invert(&self.work, n, &mut self.sum);
        for (mean, row) in means[..n].iter_mut().zip(&self.sum) {
            *mean = dot(&row[..n], &right[..n]);
        }
        CommonFactors::new(data, base, &prior, &means, &self.sum)
    }
}

/// A prior and a posterior of the common factors.
pub(super) struct CommonFactors<'a, const N: usize> {
    n: usize,
    /// V.
    covariance: &'a Matrix<N>,
    /// Diagonal of T^-1.
    precisions: [f64; N],
    /// T^-1 (E c - m).
    weights: [f64; N],
    freedom: f64,
}

impl<'a, const N: usize> CommonFactors<'a, N> {
    fn new<const F: usize>(
        data: &Observations<F, N>,
        base: &Noise<F>,
        prior: &[(f64, f64); N],
        means: &[f64; N],
        covariance: &'a Matrix<N>,
    ) -> Self {
        let n = data.len();
        let (mut precisions, mut weights) = ([0.0; N], [0.0; N]);
        for s in 0..n {
            precisions[s] = prior[s].0;
            weights[s] = prior[s].0 * means[s] - prior[s].1;
        }
        let left = |s: usize| 1.0 - precisions[s] * covariance[s][s];
        let freedom = base.samples + (0..n).filter(|&s| data.is_trial(s)).map(left).sum::<f64>();
        Self { n, covariance, precisions, weights, freedom }
    }

    /// Residual degrees of freedom behind the variance of the factors.
    pub(super) const fn freedom(&self) -> f64 {
        self.freedom
    }

    /// Deviations from 0 of the effect `u` on the common factors. n² operations.
    pub(super) fn effect(&self, u: &[f64; N]) -> f64 {
        let n = self.n.min(N);
        let solved: [f64; N] = core::array::from_fn(|s| self.precisions[s] * u[s]);
        let score = dot(&u[..n], &self.weights[..n]);
        let alone = dot(&u[..n], &solved[..n]);
        deviations(score, alone, quadratic(self.covariance, &solved[..n]), self.freedom)
    }
}

/// The normal deviate of a score with variance `alone - known`.
fn deviations(score: f64, alone: f64, known: f64, freedom: f64) -> f64 {
    let variance = alone - known;
    // Where almost nothing is left of the effect, rounding is: that tells nothing.
    if variance > 1e-6 * alone {
        let unexplained = 1.0 - square(score) / (variance * freedom);
        float::sqrt(-freedom * float::ln(unexplained.max(MIN_UNEXPLAINED)))
    } else {
        0.0
    }
}

/// x^T M x.
fn quadratic<const N: usize>(matrix: &Matrix<N>, x: &[f64]) -> f64 {
    x.iter().zip(matrix).map(|(x_s, row)| x_s * dot(&row[..x.len()], x)).sum()
}

//! Outliers by leave-one-out: is an outcome in line with what all others predict for it, observation noise included?
//!
//! In closed form, from one inverse K⁻¹: the standardised residual of observation i is
//! `alpha_i / sqrt((K⁻¹)_ii)` (Rasmussen and Williams 2006, eqs. 5.10 to 5.12). The worst observation beyond the limit
//! is taken out by a rank-one update, and the rest is judged anew, so that several outliers do not hide each other.

use super::Verdict;
use crate::gp::{Gp, GpError, GpScratch};
use crate::math::vector::axpy;
use crate::math::{float, normal};

/// Which residuals count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Sides {
    /// Only costs and latencies above what is predicted: interference slows, it never speeds up.
    Upper,
    /// Both directions.
    Both,
}

/// The test.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AnomalyTest {
    /// Probability mass of the predictive interval: 0.95 in the paper.
    pub level: f64,
    /// Which ends of it count.
    pub sides: Sides,
    /// The largest share of observations that may be ruled out.
    pub most: f64,
}

impl AnomalyTest {
    /// The paper's test: outside of the central 95 % interval. Measured: it rules out most observations of a noisy
    /// study, so it is not the default.
    pub const PAPER: Self = Self { level: 0.95, sides: Sides::Both, most: 0.35 };

    /// Whether `level` and `most` lie between 0 and 1.
    pub(crate) fn is_consistent(&self) -> bool {
        [self.level, self.most].iter().all(|share| (0.0..=1.0).contains(share))
    }

    /// How many standard deviations the interval reaches. As in the paper's two-sided intervals also where only the
    /// upper end counts: 2.58 at 99 %.
    fn limit(&self) -> f64 {
        normal::quantile(0.5 + 0.5 * self.level.clamp(0.0, 1.0))
    }
}

impl Default for AnomalyTest {
    /// Above the 99 % interval; at most 35 % of the observations.
    fn default() -> Self {
        Self { level: 0.99, sides: Sides::Upper, most: 0.35 }
    }
}

/// Judges every observation of a pair of processes over the same inputs: `objective` holds negative ln costs,
/// `constraint` ln latencies, and is factored anew in the end, because its matrix is needed for the test. Writes one verdict
/// per observation. 5/3 n³ + n² d/2 operations and 4 n² for every one ruled out.
///
/// # Errors
/// [`GpError::Length`] when `verdicts` or a process has another length than the first, and
/// [`GpError::NotPositiveDefinite`] when `constraint` cannot be factored again. Both must have been fitted since their last
/// observation was added; else the verdicts mean nothing.
pub fn judge<const N: usize, const D: usize>(
    objective: &Gp<N, D>,
    constraint: &mut Gp<N, D>,
    test: &AnomalyTest,
    verdicts: &mut [Verdict],
    scratch: &mut GpScratch<N, D>,
) -> Result<(), GpError> {
    let n = objective.len();
    for found in [constraint.len(), verdicts.len()] {
        if found != n {
            return Err(GpError::Length { expected: n, found });
        }
    }
    if n == 0 {
        return Ok(());
    }
    let (mut alpha_objective, mut alpha_constraint) = ([0.0; N], [0.0; N]);
    alpha_objective[..n].copy_from_slice(objective.alpha());
    alpha_constraint[..n].copy_from_slice(constraint.alpha());
    let first = &mut scratch.matrix;
    objective.inverse(first);
    let second = constraint.lend_inverse();

    let limit = test.limit();
    verdicts.fill(Verdict::Untested);
    let most = (test.most.clamp(0.0, 1.0) * n as f64) as usize;
    for ruled_out in 0..=most {
        let mut worst: Option<(usize, f64)> = None;
        for (i, verdict) in (0..n).zip(verdicts.iter_mut()) {
            if verdict.is_anomalous() {
                continue;
            }
            let cost = -alpha_objective[i] / float::sqrt(first[i][i]);
            let latency = alpha_constraint[i] / float::sqrt(second[i][i]);
            let score = |z: f64| if test.sides == Sides::Both { z.abs() } else { z };
            let z = if score(cost) > score(latency) { cost } else { latency };
            *verdict = Verdict::Consistent { z };
            if score(z) > worst.map_or(limit, |(_, w)| score(w)) {
                worst = Some((i, z));
            }
        }
        let Some((index, z)) = worst.filter(|&(index, _)| ruled_out < most && index < n) else { break };
        if let Some(verdict) = verdicts.get_mut(index) {
            *verdict = Verdict::Anomalous { z };
        }
        for (inverse, alpha) in [(&mut *first, &mut alpha_objective), (&mut *second, &mut alpha_constraint)] {
            let pivot = inverse[index];
            let scale = 1.0 / pivot[index];
            let share = alpha[index] * scale;
            axpy(&mut alpha[..n], -share, &pivot[..n]);
            for row in &mut inverse[..n] {
                let factor = -row[index] * scale;
                axpy(&mut row[..n], factor, &pivot[..n]);
            }
        }
    }
    constraint.refactorise()
}

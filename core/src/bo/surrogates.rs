//! The paper's two black boxes: one process for -ln cost, one for ln(latency / limit), over all axes together.

use super::MAX_BATCH;
use super::acquisition::maximise::{Search, SearchScratch, maximise};
use super::acquisition::{Acquisition, Improvement, MAX_JOINT};
use crate::anomaly::leave_one_out::judge;
use crate::anomaly::{AnomalyTest, Verdict};
use crate::gp::{FitOptions, Gp, GpError, GpScratch, Hyperparameters, Noise, Prior};
use crate::math::float;
use crate::part::{self, Part};
use rand_core::Rng;

/// How a batch is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Sampling {
    /// qLogNEI or qNEI.
    pub improvement: Improvement,
    /// Monte-Carlo paths; rounded up to a multiple of 8, at most the scratch's `S`.
    pub samples: u16,
    /// How hard the acquisition function is searched.
    pub search: Search,
    /// Whether the candidates of a batch are moved together, as many at a time as the scratch's `Q`, or found one after
    /// the other.
    pub joint: bool,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { improvement: Improvement::LogNei, samples: 64, search: Search::default(), joint: true }
    }
}

/// Both processes and everything that fitting and searching need: `N` trials in `D` dimensions, `S` paths (`N` and
/// `S` multiples of 8), `Q` candidates moved together (1 to [`MAX_JOINT`]). With `N` = 128, `D` = 32, `S` = 64 it is 0.96 MB
/// (asserted by the test `sizes`): keep it in a `static`, or make it on a thread with a stack of several megabytes and
/// box it there. `new` is `const`, so a `static` needs no stack at all.
#[derive(Clone, Debug)]
pub struct Surrogates<const N: usize, const D: usize, const S: usize, const Q: usize = MAX_JOINT> {
    acquisition: Acquisition<N, D, S, Q>,
    scratch: GpScratch<N, D>,
    search: SearchScratch<D, Q>,
}

impl<const N: usize, const D: usize, const S: usize, const Q: usize> Default for Surrogates<N, D, S, Q> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, const D: usize, const S: usize, const Q: usize> Surrogates<N, D, S, Q> {
    /// Memory without observations.
    pub const fn new() -> Self {
        Self { acquisition: Acquisition::new(), scratch: GpScratch::new(), search: SearchScratch::new() }
    }

    /// Forgets all observations; from now on there are `dimensions` inputs.
    ///
    /// # Errors
    /// [`GpError::Capacity`].
    pub fn reset(&mut self, dimensions: usize) -> Result<(), GpError> {
        self.acquisition.reset(dimensions)
    }

    /// Adds an observation at `x` (in the unit cube): a cost, a latency as a multiple of its limit, and the variances
    /// of their logarithms.
    ///
    /// # Errors
    /// Those of [`Gp::push`]; nothing is added then.
    pub fn push(
        &mut self,
        x: &[f64],
        cost: f64,
        relative_latency: f64,
        cost_noise: f64,
        latency_noise: f64,
    ) -> Result<(), GpError> {
        let [objective, constraint] = self.acquisition.processes_mut()?;
        constraint.push(x, float::ln(relative_latency), latency_noise)?;
        objective.push(x, -float::ln(cost), cost_noise).inspect_err(|_| constraint.truncate_last())
    }

    /// Fits both processes; `starts` are earlier hyper-parameters of the two.
    ///
    /// # Errors
    /// Those of [`Gp::fit`].
    pub fn fit(
        &mut self,
        prior: Prior,
        noise: Noise,
        starts: [Option<&Hyperparameters<D>>; 2],
    ) -> Result<(), GpError> {
        for (process, start) in self.acquisition.processes_mut()?.into_iter().zip(starts) {
            process.fit(&FitOptions { prior, noise, start }, &mut self.scratch)?;
        }
        Ok(())
    }

    /// Conditions both processes with given hyper-parameters.
    pub(super) fn set_hyperparameters(&mut self, given: [Hyperparameters<D>; 2]) -> Result<(), GpError> {
        for (process, given) in self.acquisition.processes_mut()?.into_iter().zip(given) {
            process.set_hyperparameters(given)?;
        }
        Ok(())
    }

    /// Judges all observations, one verdict each.
    pub(super) fn judge(&mut self, test: &AnomalyTest, verdicts: &mut [Verdict]) -> Result<(), GpError> {
        let [objective, constraint] = self.acquisition.processes_mut()?;
        judge(objective, constraint, test, verdicts, &mut self.scratch)
    }

    /// The process of -ln cost and that of ln(latency / limit).
    pub const fn processes(&self) -> (&Gp<N, D>, &Gp<N, D>) {
        self.acquisition.processes()
    }

    /// Finds the batch that is worth most together with the `pending` points: as many candidates as `x` has rows (at
    /// most [`MAX_BATCH`]), between `lower` and `upper` (one number per dimension). Both processes must be fitted.
    /// `settle` may move what was found, row-major candidates, before they are taken as chosen: to the grid. Returns
    /// the number of evaluations of the acquisition function.
    ///
    /// # Errors
    /// [`GpError`].
    pub fn search<R: Rng + ?Sized>(
        &mut self,
        sampling: &Sampling,
        pending: &[[f64; D]],
        lower: &[f64; D],
        upper: &[f64; D],
        x: &mut [[f64; D]],
        mut settle: impl FnMut(&mut Acquisition<N, D, S, Q>, &mut [f64]),
        rng: &mut R,
    ) -> Result<usize, GpError> {
        let d = self.processes().0.dimensions();
        let (improvement, samples) = (sampling.improvement, usize::from(sampling.samples));
        self.acquisition.begin(improvement, samples, rng, &mut self.scratch)?;
        for point in pending {
            self.acquisition.add_pending(&point[..d], rng);
        }
        let count = x.len().min(MAX_BATCH);
        let together = if sampling.joint { count.clamp(1, Q) } else { 1 };
        let [mut lowest, mut highest, mut flat] = [[[0.0; D]; Q]; 3];
        let [lowest, highest, flat] = [&mut lowest, &mut highest, &mut flat].map(|x| x.as_flattened_mut());
        for (all, one) in [(&mut *lowest, lower), (&mut *highest, upper)] {
            part::rows_mut(all, d).for_each(|row| part::copy(row, one));
        }
        for group in x[..count].chunks_mut(together) {
            let variables = group.len() * d;
            let (lower, upper, flat) =
                (lowest.head(variables), highest.head(variables), flat.head_mut(variables));
            let (scratch, values) = (&mut self.search, self.scratch.matrix.as_flattened_mut());
            maximise(&mut self.acquisition, sampling.search, lower, upper, flat, rng, scratch, values);
            settle(&mut self.acquisition, flat);
            for (point, found) in group.iter_mut().zip(flat.chunks_exact(d.max(1))) {
                part::copy(point, found);
                self.acquisition.add_pending(found, rng);
            }
        }
        self.acquisition.processes_mut()?;
        Ok(self.acquisition.evaluations())
    }
}

//! Constrained noisy expected improvement of a batch, by quasi-Monte-Carlo paths through two processes: the negative
//! ln cost (maximised) and the ln of latency over its limit (feasible when at most 0).

mod improvement;
pub mod maximise;
mod paths;

pub use improvement::Improvement;

use crate::gp::{Gp, GpError, GpScratch};
use crate::math::{float, normal};
use crate::part::{self, Part};
use crate::random;
use crate::sobol;
use heapless::Vec;
use paths::{Candidates, Paths};
use rand_core::Rng;

/// The most candidates that are moved together; larger batches are found one after the other.
pub const MAX_JOINT: usize = 4;

/// Joint draws that decide which baseline points can matter.
const PRUNING_DRAWS: usize = 128;
/// They need not be exact: the attempts at their root begin with the fourth, 1e-6 of the noise on its diagonal.
const PRUNING_ATTEMPT: i32 = 4;

/// The acquisition function of two processes: `N` trials in `D` dimensions, `S` paths (`N` and `S` multiples of 8), `Q`
/// candidates at once (at most [`MAX_JOINT`]).
#[derive(Clone, Debug)]
pub struct Acquisition<const N: usize, const D: usize, const S: usize, const Q: usize = MAX_JOINT> {
    improvement: Improvement,
    samples: usize,
    dimensions: usize,
    objective: Paths<N, D, S, Q>,
    constraint: Paths<N, D, S, Q>,
    /// Every path's best feasible value at the baseline and the pending points.
    best: [f64; S],
    objective_work: Candidates<N, S, Q>,
    constraint_work: Candidates<N, S, Q>,
    evaluations: usize,
    /// Number of Sobol dimensions given out.
    drawn: usize,
}

impl<const N: usize, const D: usize, const S: usize, const Q: usize> Acquisition<N, D, S, Q> {
    /// Memory: [`Acquisition::processes_mut`] are given observations and fitted, then [`Acquisition::begin`] makes paths.
    pub const fn new() -> Self {
        Self {
            improvement: Improvement::LogNei,
            samples: 0,
            dimensions: 0,
            objective: Paths::new(),
            constraint: Paths::new(),
            best: [0.0; S],
            objective_work: Candidates::new(),
            constraint_work: Candidates::new(),
            evaluations: 0,
            drawn: 0,
        }
    }

    /// The processes, of -ln cost and of ln(latency / limit): to be given observations and fitted. The paths through them
    /// need their memory, so that they are factored anew here after [`Acquisition::begin`], which must be called again then.
    /// n³/3 + n² d/2 operations each.
    ///
    /// # Errors
    /// [`GpError::NotPositiveDefinite`] when that fails.
    pub fn processes_mut(&mut self) -> Result<[&mut Gp<N, D>; 2], GpError> {
        let (objective, constraint) = (&mut self.objective, &mut self.constraint);
        objective.release()?;
        constraint.release()?;
        Ok([&mut objective.process, &mut constraint.process])
    }

    /// Forgets everything; from now on there are `dimensions` inputs.
    ///
    /// # Errors
    /// [`GpError::Capacity`] for more than `D`.
    pub(super) fn reset(&mut self, dimensions: usize) -> Result<(), GpError> {
        self.objective.reset(dimensions)?;
        self.constraint.reset(dimensions)
    }

    /// The processes, as long as no paths have their memory.
    pub(super) const fn processes(&self) -> (&Gp<N, D>, &Gp<N, D>) {
        (&self.objective.process, &self.constraint.process)
    }

    /// Prepares the acquisition function: prunes the baseline to the points that are the best feasible one in some
    /// joint posterior draw, draws the paths (`samples` is rounded up to a multiple of 8, at most `S`) and conditions
    /// them. Both processes must hold the same inputs, and must have been fitted since the last one was added.
    ///
    /// # Errors
    /// [`GpError`] when a process is empty or its covariance cannot be factored.
    pub fn begin<R: Rng + ?Sized>(
        &mut self,
        improvement: Improvement,
        samples: usize,
        rng: &mut R,
        scratch: &mut GpScratch<N, D>,
    ) -> Result<(), GpError> {
        self.take()?;
        let baseline = self.prune(rng);
        self.drawn = 0;
        let mut drawn = 0;
        let mut normals = |_: usize, out: &mut [f64]| {
            quasi_normals(drawn, rng, out);
            drawn += 1;
        };
        self.draw(improvement, samples, &baseline, &mut normals, scratch);
        self.drawn = drawn;
        Ok(())
    }

    /// The same with a given baseline (indices of observations) and given base samples: `normals` is called for
    /// every baseline point and then for each of `Q` candidates, with its number, first for the objective
    /// and then for the constraint.
    ///
    /// # Errors
    /// [`GpError`].
    pub fn condition(
        &mut self,
        improvement: Improvement,
        samples: usize,
        baseline: &[usize],
        normals: &mut dyn FnMut(usize, &mut [f64]),
        scratch: &mut GpScratch<N, D>,
    ) -> Result<(), GpError> {
        let n = self.objective.process.len();
        if baseline.len() > n || baseline.iter().any(|&b| b >= n) {
            return Err(GpError::Length {
                expected: n,
                found: baseline.iter().fold(baseline.len(), |a, &b| a.max(b)),
            });
        }
        self.take()?;
        self.draw(improvement, samples, baseline, normals, scratch);
        Ok(())
    }

    /// Takes the matrices of both processes for their paths.
    fn take(&mut self) -> Result<(), GpError> {
        let [objective, constraint] = self.processes_mut()?;
        let (expected, found) = (objective.len(), constraint.len());
        if expected == 0 {
            return Err(GpError::Empty);
        }
        if expected != found {
            return Err(GpError::Length { expected, found });
        }
        self.objective.take();
        self.constraint.take();
        Ok(())
    }

    fn draw(
        &mut self,
        improvement: Improvement,
        samples: usize,
        baseline: &[usize],
        normals: &mut dyn FnMut(usize, &mut [f64]),
        scratch: &mut GpScratch<N, D>,
    ) {
        self.improvement = improvement;
        self.samples = samples.clamp(1, S).next_multiple_of(8);
        self.dimensions = self.objective.process.dimensions();
        self.evaluations = 0;
        for paths in [&mut self.objective, &mut self.constraint] {
            paths.draw(baseline, self.samples, &mut *normals, &mut scratch.matrix);
        }
        // A path without a feasible baseline point improves on a value that any point reaches, so that feasibility
        // decides (as BoTorch does; its issue 3009 is about an objective that does not fall below that value).
        let objective = &self.objective.process;
        let hyper = objective.hyperparameters();
        let least = objective.targets().iter().fold(hyper.mean, |a, &b| a.min(b));
        let unreachable = least - 6.0 * float::sqrt(hyper.outputscale);
        self.best = [unreachable; S];
        let at_baseline = self.objective.at_baseline().iter().zip(self.constraint.at_baseline());
        for (values, limits) in at_baseline.take(baseline.len()) {
            improve(&mut self.best, values, limits);
        }
        self.objective.transpose();
        self.constraint.transpose();
    }

    /// Takes in a point that is being measured, or has just been chosen: its unknown values join the baseline of
    /// every path. Ignored when there are already `N` points, for another number of coordinates, and without paths.
    pub fn add_pending<R: Rng + ?Sized>(&mut self, x: &[f64], rng: &mut R) {
        if x.len() != self.dimensions || !self.has_paths() {
            return;
        }
        let samples = self.samples.min(S);
        let (mut values, mut limits) = ([f64::NEG_INFINITY; S], [f64::INFINITY; S]);
        for (paths, work, values) in [
            (&mut self.objective, &mut self.objective_work, &mut values),
            (&mut self.constraint, &mut self.constraint_work, &mut limits),
        ] {
            let drawn = self.drawn;
            paths.append(x, |out| quasi_normals(drawn, rng, out), work, &mut values[..samples]);
            self.drawn += 1;
        }
        improve(&mut self.best, &values, &limits);
    }

    /// The value for a batch of at most `Q` candidates, row-major, in the unit cube; minus infinity for another number, and
    /// without paths: before [`Acquisition::begin`] and after [`Acquisition::processes_mut`].
    pub fn value(&mut self, x: &[f64]) -> f64 {
        self.evaluate(x, None)
    }

    /// The value and its gradient, which is as long as `x`; minus infinity if it is not, and where
    /// [`Acquisition::value`] is.
    pub fn value_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        if gradient.len() != x.len() {
            return f64::NEG_INFINITY;
        }
        self.evaluate(x, Some(gradient))
    }

    /// Evaluations since [`Acquisition::begin`].
    pub const fn evaluations(&self) -> usize {
        self.evaluations
    }

    /// Number of dimensions of a candidate.
    pub const fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Every path's best feasible value so far.
    pub fn best(&self) -> &[f64] {
        self.best.head(self.samples)
    }

    /// From [`Acquisition::begin`] to [`Acquisition::processes_mut`].
    const fn has_paths(&self) -> bool {
        self.objective.is_taken() && self.constraint.is_taken()
    }

    fn evaluate(&mut self, x: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        let q = x.len() / self.dimensions.max(1);
        if !(1..=Q).contains(&q) || !self.has_paths() {
            return f64::NEG_INFINITY;
        }
        self.evaluations += 1;
        self.objective.evaluate(q, x, &mut self.objective_work);
        self.constraint.evaluate(q, x, &mut self.constraint_work);
        let value = self.improvement.value(
            q,
            &mut self.objective_work.values,
            &mut self.constraint_work.values,
            &self.best,
            self.samples,
        );
        if let Some(gradient) = gradient {
            gradient.fill(0.0);
            self.objective.pull_back(q, x, &mut self.objective_work, gradient);
            self.constraint.pull_back(q, x, &mut self.constraint_work, gradient);
        }
        value
    }

    /// The observations that are the best feasible one (or the nearest to feasible, where none is) in some of
    /// [`PRUNING_DRAWS`] joint posterior draws.
    fn prune<R: Rng + ?Sized>(&mut self, rng: &mut R) -> Vec<usize, N> {
        let n = self.objective.process.len();
        let all: Vec<usize, N> = part::list(0..n);
        self.objective.root(&all, PRUNING_ATTEMPT);
        self.constraint.root(&all, PRUNING_ATTEMPT);
        let mut chosen = [false; N];
        for _ in 0..PRUNING_DRAWS.div_ceil(S) {
            let width = S.min(PRUNING_DRAWS);
            for paths in [&mut self.objective, &mut self.constraint] {
                for row in paths.at_baseline().head_mut(n) {
                    for z in &mut row[..width] {
                        *z = normal::quantile_approximate(random::uniform(rng));
                    }
                }
                paths.values(&all, width);
            }
            let (values, limits) = (self.objective.at_baseline(), self.constraint.at_baseline());
            for s in 0..width {
                let (mut best, mut nearest) = (None, (0, f64::INFINITY));
                for (i, (values, limits)) in values.iter().zip(limits.iter()).take(n).enumerate() {
                    let (value, limit) = (values[s], limits[s]);
                    if limit <= 0.0 && best.is_none_or(|(_, best)| value > best) {
                        best = Some((i, value));
                    }
                    if limit < nearest.1 {
                        nearest = (i, limit);
                    }
                }
                let (index, _) = best.unwrap_or(nearest);
                if let Some(chosen) = chosen.get_mut(index) {
                    *chosen = true;
                }
            }
        }
        part::list((0..n).zip(chosen).filter_map(|(i, chosen)| chosen.then_some(i)))
    }
}

impl<const N: usize, const D: usize, const S: usize, const Q: usize> Default for Acquisition<N, D, S, Q> {
    fn default() -> Self {
        Self::new()
    }
}

/// Raises `best` to the values that meet their limit.
fn improve<const S: usize>(best: &mut [f64; S], values: &[f64; S], limits: &[f64; S]) {
    for ((best, &value), &limit) in best.iter_mut().zip(values).zip(limits) {
        if limit <= 0.0 && value > *best {
            *best = value;
        }
    }
}

/// Coordinate `dimension` of a freshly scrambled Sobol set as standard normals.
fn quasi_normals<R: Rng + ?Sized>(dimension: usize, rng: &mut R, out: &mut [f64]) {
    let dimension = sobol::scrambled(dimension, rng);
    for (s, z) in out.iter_mut().enumerate() {
        *z = dimension.normal(s as u32);
    }
}

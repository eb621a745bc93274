//! The structured model: every function on its own, composed exactly through the workflow.
//!
//! The paper models end-to-end cost and latency as two black boxes over the resources of all functions. The platform
//! reports every function's duration, the graph is known, and cost is an exact function of configuration and
//! durations. So this model learns one small Gaussian process per function, on the logarithm of its duration over its
//! own CPU, memory and concurrency, and computes the rest:
//!
//! ```text
//! durations of the trials -> observations -> joint: f_i and the common factor of every invocation   (kernel, noise)
//!                                              |
//!                                   surface: mean, or a draw, over all configurations of a function
//!                                              |
//!                                   composition: Pareto fronts along the graph -> cheapest per latency
//!                                              |
//!                                   decision: posterior of cost and latency -> proposals, recommendation
//! ```
//!
//! Interference hits all functions of an invocation at once. The factor they have in common is estimated from all of
//! them and taken out, which is the handling of outliers that works: a disturbed trial still tells how the functions
//! compare.
//!
//! The structure is an assumption. Where the trials contradict it ([`Status`]) the model hands over to a black box.
//! Durations are seconds; spreads are of natural logarithms.

mod change;
mod composition;
mod decision;
mod front;
mod joint;
mod kernel;
mod misfit;
mod noise;
mod observations;
mod score;
mod surface;
#[cfg(test)]
mod tests;

pub use misfit::Status;

use crate::anomaly::Verdict;
use crate::bo::MAX_BATCH;
use crate::bo::model::{Evidence, Model, ModelError, Posterior, Proposal, Recommendation};
use crate::bo::space::{Point, SearchSpace};
use crate::bo::trial::Outcome;
use crate::math::float;
use crate::part;
use crate::workflow::{Configuration, Prices, Workflow};
use core::fmt;
use decision::Workbench;
use heapless::Vec;
use joint::Joint;
use kernel::{AXES, Kernel, Place};
use noise::{Noise, Repeated};
use observations::Observations;
use rand_core::Rng;

/// The fewest complete trials the model proposes from.
const NEEDED: usize = 2;

/// Where a resource of a function is decided.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Resource {
    /// By this axis of the search space.
    Axis(u16),
    /// Not at all: it has this value.
    Fixed(f64),
}

/// The resources of one function.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Resources {
    /// Cores.
    pub cpu: Resource,
    /// Memory in MB.
    pub memory_mb: Resource,
    /// Requests served at once by one container.
    pub concurrency: Resource,
}

impl Resources {
    const fn all(&self) -> [Resource; AXES] {
        [self.cpu, self.memory_mb, self.concurrency]
    }
}

/// The structured model of a workflow of at most `F` functions, with a black box `B` to fall back on. It learns from
/// the latest `N` observations (a baseline counts as one) and looks at most at `L` configurations per function: with
/// finer grids it takes every k-th level.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StructuredModel<B, const F: usize, const N: usize, const L: usize> {
    workflow: Workflow<F>,
    prices: Prices,
    resources: Vec<Resources, F>,
    baseline: Option<(Repeated<F>, Vec<Place, F>)>,
    kernel: Kernel,
    /// What is assumed or was measured of the noise before the search.
    base_noise: Noise<F>,
    noise: Noise<F>,
    fallback: B,
}

/// Temporary memory of a [`StructuredModel`] and of its fallback: (F + 3) N² + F L numbers and 25 kB per function,
/// some megabytes at F = 16, N = 128. Keep it in a `static` or a box.
pub struct StructuredScratch<S, const F: usize, const N: usize, const L: usize> {
    observations: Observations<F, N>,
    joint: Joint<F, N>,
    workbench: Workbench<F, N, L>,
    /// Of the black box.
    pub fallback: S,
}

impl<S, const F: usize, const N: usize, const L: usize> StructuredScratch<S, F, N, L> {
    /// Cleared memory.
    pub const fn new(fallback: S) -> Self {
        // Two levels of each of the three resources is the coarsest grid there is.
        const { assert!(L >= 8 && L <= u16::MAX as usize, "8 to 65535 configurations per function") };
        Self { observations: Observations::new(), joint: Joint::new(), workbench: Workbench::new(), fallback }
    }
}

impl<B, const F: usize, const N: usize, const L: usize> StructuredModel<B, F, N, L> {
    /// A model that has learned nothing yet. `resources` has one entry per stage of the workflow.
    ///
    /// # Errors
    /// [`StructureError`] when the number of entries differs from the number of stages, an axis is not one of the
    /// space, or a fixed or possible value is not positive.
    pub fn new<const D: usize>(
        workflow: Workflow<F>,
        prices: Prices,
        resources: &[Resources],
        space: &SearchSpace<D>,
        fallback: B,
    ) -> Result<Self, StructureError> {
        let stages = workflow.len();
        check(stages, resources, space)?;
        let resources = part::list(resources.iter().copied());
        let noise = Noise::assumed(stages);
        let kernel = Kernel::prior();
        Ok(Self {
            workflow,
            prices,
            resources,
            baseline: None,
            kernel,
            base_noise: noise.clone(),
            noise,
            fallback,
        })
    }

    /// Learns levels and noise from repeated outcomes of one configuration (the baseline profile), measured before
    /// the search. Fewer than 5 outcomes, or outcomes without every function's duration, tell nothing and change
    /// nothing; returns whether it learned.
    pub fn learn_baseline<const D: usize>(
        &mut self,
        space: &SearchSpace<D>,
        point: &Point<D>,
        outcomes: &[Outcome<F>],
    ) -> bool {
        let Some(repeated) = Repeated::measure(outcomes, self.workflow.len()) else { return false };
        (self.base_noise, self.noise) = (repeated.noise.clone(), repeated.noise.clone());
        let places = part::list((0..self.workflow.len()).map(|stage| self.place(space, point, stage)));
        self.baseline = Some((repeated, places));
        true
    }

    /// The black box.
    pub const fn fallback(&self) -> &B {
        &self.fallback
    }

    /// The workflow.
    pub const fn workflow(&self) -> &Workflow<F> {
        &self.workflow
    }

    /// Whether the trials agree with the structure, or why the black box is in charge: what the next proposal would find,
    /// at about its work. Decided anew from all trials every time; a hand-over can be taken back.
    pub fn status<const D: usize, S>(
        &self,
        evidence: &Evidence<'_, D, F>,
        scratch: &mut StructuredScratch<S, F, N, L>,
    ) -> Status {
        let status = self.observe(evidence, &self.kernel, &self.noise, scratch);
        let StructuredScratch { observations: data, joint, .. } = scratch;
        if status != Status::Structured || !misfit::is_testable(data) {
            return status;
        }
        let (mut kernel, mut noise) = (self.kernel, self.noise.clone());
        self.refit(data, &mut kernel, &mut noise, joint);
        let status = self.check_posterior(data, &noise, joint);
        joint.infer(data, &self.kernel, &self.noise);
        status
    }

    /// Reads the evidence and computes the posterior, which is not tested yet.
    fn observe<const D: usize, S>(
        &self,
        evidence: &Evidence<'_, D, F>,
        kernel: &Kernel,
        noise: &Noise<F>,
        scratch: &mut StructuredScratch<S, F, N, L>,
    ) -> Status {
        let status = self.check_outcomes(evidence);
        if status != Status::Structured {
            return status;
        }
        let data = &mut scratch.observations;
        data.clear(self.workflow.len());
        let complete =
            evidence.trials.iter().enumerate().filter_map(|(t, trial)| Some((t, trial, trial.outcome()?)));
        // Levels measured before a change of behaviour are no longer true.
        let baseline = self.baseline.as_ref().filter(|_| !evidence.changed);
        let room = N.saturating_sub(usize::from(baseline.is_some()));
        let skip = complete.clone().count().saturating_sub(room);
        for (t, trial, outcome) in complete.skip(skip) {
            data.push(t, |stage| self.place(evidence.space, &trial.point, stage), outcome.durations());
        }
        let mut places = [[0.0; AXES]; F];
        for (to, from) in places.iter_mut().zip(baseline.iter().flat_map(|(_, places)| places)) {
            *to = *from;
        }
        data.finish(baseline.map(|(repeated, _)| (repeated, &places)));
        scratch.joint.infer(data, kernel, noise);
        for _ in 0..change::MAX_CHANGES {
            let Some((function, trial)) = change::find(data, &scratch.joint) else { break };
            if let Some(changed_at) = data.changed_at.get_mut(function) {
                *changed_at = trial;
            }
            scratch.joint.infer(data, kernel, noise);
        }
        // A change that is not known yet has been learned as noise.
        let expected = if self.baseline.is_some() { &self.base_noise } else { noise };
        if let Some(trial) = change::find_common(data, &scratch.joint, expected) {
            for changed_at in &mut data.changed_at[..self.workflow.len()] {
                *changed_at = trial.max(*changed_at);
            }
            scratch.joint.infer(data, kernel, noise);
        }
        Status::Structured
    }

    /// Learns kernel and noise from what was observed, and computes the posterior under them.
    fn refit(
        &self,
        data: &Observations<F, N>,
        kernel: &mut Kernel,
        noise: &mut Noise<F>,
        joint: &mut Joint<F, N>,
    ) {
        joint.improve(data, kernel, noise);
        joint.infer(data, kernel, noise);
        joint.learn_noise(data, &self.base_noise, noise);
        joint.infer(data, kernel, noise);
    }

    /// Coordinates of a stage's resources under `point`.
    fn place<const D: usize>(&self, space: &SearchSpace<D>, point: &Point<D>, stage: usize) -> Place {
        let Some(resources) = self.resources.get(stage) else { return [0.0; AXES] };
        resources.all().map(|resource| match resource {
            Resource::Fixed(_) => 0.0,
            Resource::Axis(index) => {
                let index = usize::from(index);
                let level = point.indices().get(index).copied().unwrap_or(0);
                space.axes().get(index).map_or(0.0, |axis| surface::coordinate(axis, level))
            }
        })
    }

    /// The configuration of a stage whose axes have these levels.
    fn configuration<const D: usize>(
        &self,
        space: &SearchSpace<D>,
        stage: usize,
        levels: [u16; AXES],
    ) -> Configuration {
        let value = |resource: Resource, level: u16| match resource {
            Resource::Fixed(value) => value,
            Resource::Axis(index) => {
                space.axes().get(usize::from(index)).map_or(1.0, |axis| axis.value(level))
            }
        };
        let Some(resources) = self.resources.get(stage) else {
            return Configuration { cpu: 1.0, memory_mb: 1.0, concurrency: 1.0 };
        };
        Configuration {
            cpu: value(resources.cpu, levels[0]),
            memory_mb: value(resources.memory_mb, levels[1]),
            concurrency: value(resources.concurrency, levels[2]),
        }
    }
}

/// Whether these can be the resources of as many stages in this space.
fn check<const D: usize>(
    stages: usize,
    resources: &[Resources],
    space: &SearchSpace<D>,
) -> Result<(), StructureError> {
    if resources.len() != stages {
        return Err(StructureError::Count { stages, resources: resources.len() });
    }
    for (stage, of_stage) in resources.iter().enumerate() {
        for resource in of_stage.all() {
            let least = match resource {
                Resource::Fixed(value) => value,
                Resource::Axis(axis) => {
                    let axis = space.axes().get(usize::from(axis));
                    axis.ok_or(StructureError::Axis { stage, axes: space.dimensions() })?.min()
                }
            };
            if !(least > 0.0 && least.is_finite()) {
                return Err(StructureError::Value { stage, value: least });
            }
        }
    }
    Ok(())
}

impl<B, const D: usize, const F: usize, const N: usize, const L: usize> Model<D, F>
    for StructuredModel<B, F, N, L>
where
    B: Model<D, F, Scratch: Sized>,
{
    type Scratch = StructuredScratch<B::Scratch, F, N, L>;

    fn has_task_of(&self, other: &Self) -> bool {
        self.workflow == other.workflow
            && self.prices == other.prices
            && self.resources == other.resources
            && self.fallback.has_task_of(&other.fallback)
    }

    fn is_consistent(&self, space: &SearchSpace<D>) -> bool {
        let stages = self.workflow.len();
        check(stages, &self.resources, space).is_ok()
            && self.kernel.ln.iter().all(|ln| ln.is_finite())
            && [&self.base_noise, &self.noise].iter().all(|noise| noise.is_consistent(stages))
            && self.baseline.iter().all(|(repeated, places)| {
                repeated.is_consistent(stages)
                    && places.len() == stages
                    && places.as_flattened().iter().all(|x| x.is_finite())
            })
            && self.fallback.is_consistent(space)
    }

    fn needed(&self) -> usize {
        NEEDED
    }

    fn propose<R: Rng + ?Sized>(
        &mut self,
        evidence: &Evidence<'_, D, F>,
        count: usize,
        batch: &mut Vec<Proposal<D>, MAX_BATCH>,
        rng: &mut R,
        scratch: &mut Self::Scratch,
    ) -> Result<(), ModelError> {
        let (mut kernel, mut noise) = (self.kernel, self.noise.clone());
        let mut status = self.observe(evidence, &kernel, &noise, scratch);
        if status == Status::Structured {
            let StructuredScratch { observations: data, joint, .. } = scratch;
            self.refit(data, &mut kernel, &mut noise, joint);
            if misfit::is_testable(data) {
                status = self.check_posterior(data, &noise, joint);
            }
        }
        if status != Status::Structured {
            self.fallback.propose(evidence, count, batch, rng, &mut scratch.fallback)?;
        }
        // Learning goes on while the black box is in charge.
        (self.kernel, self.noise) = (kernel, noise);
        if status == Status::Structured {
            self.decide_batch(evidence, count, batch, rng, scratch);
        }
        Ok(())
    }

    fn verdicts(
        &self,
        evidence: &Evidence<'_, D, F>,
        verdicts: &mut [Verdict],
        scratch: &mut Self::Scratch,
    ) -> Result<(), ModelError> {
        if self.status(evidence, scratch) != Status::Structured {
            return self.fallback.verdicts(evidence, verdicts, &mut scratch.fallback);
        }
        verdicts.fill(Verdict::Untested);
        let joint = &scratch.joint;
        for (s, &trial) in scratch.observations.trials().iter().enumerate() {
            let variance = self.noise.common + joint.common_covariance[s][s];
            let z = joint.common_mean[s] / float::sqrt(variance);
            if let Some(verdict) = verdicts.get_mut(usize::from(trial)) {
                let disturbed = joint.outlier[s] > 0.5;
                *verdict = if disturbed { Verdict::Anomalous { z } } else { Verdict::Consistent { z } };
            }
        }
        Ok(())
    }

    fn recommend(
        &self,
        evidence: &Evidence<'_, D, F>,
        scratch: &mut Self::Scratch,
    ) -> Result<Recommendation<D>, ModelError> {
        if self.status(evidence, scratch) != Status::Structured {
            return self.fallback.recommend(evidence, &mut scratch.fallback);
        }
        Ok(self.decide(evidence, scratch))
    }

    fn posterior(
        &self,
        evidence: &Evidence<'_, D, F>,
        points: &[Point<D>],
        posteriors: &mut [Posterior],
        scratch: &mut Self::Scratch,
    ) -> Result<(), ModelError> {
        if self.status(evidence, scratch) != Status::Structured {
            return self.fallback.posterior(evidence, points, posteriors, &mut scratch.fallback);
        }
        self.believe(evidence.space, points, posteriors, scratch);
        Ok(())
    }
}

/// Why a workflow and a search space do not fit together.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum StructureError {
    /// Not one entry per stage.
    Count {
        /// Number of stages.
        stages: usize,
        /// Number of entries given.
        resources: usize,
    },
    /// A resource names an axis that the space does not have.
    Axis {
        /// The stage.
        stage: usize,
        /// Number of axes of the space.
        axes: usize,
    },
    /// A resource can have a value that is not positive.
    Value {
        /// The stage.
        stage: usize,
        /// The value.
        value: f64,
    },
}

impl fmt::Display for StructureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { stages, resources } => {
                write!(
                    f,
                    "resources of {resources} functions for a workflow of {stages}; give one entry each"
                )
            }
            Self::Axis { stage, axes } => {
                write!(f, "function {stage} names an axis beyond the {axes} of the search space")
            }
            Self::Value { stage, value } => {
                write!(f, "a resource of function {stage} can be {value}; give values above 0 only")
            }
        }
    }
}

impl core::error::Error for StructureError {}

//! The seam between a study and the model that drives it.

use super::MAX_BATCH;
use super::profile::Baseline;
use super::space::{Point, SearchSpace};
use super::trial::{Expectation, Trial};
use crate::anomaly::Verdict;
use crate::gp::GpError;
use crate::math::normal::Normal;
use core::fmt;
use heapless::Vec;
use rand_core::Rng;

/// What is to be achieved: least cost, with latency at most `latency_limit`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Objective {
    /// The QoS: the largest allowed noise-free end-to-end latency, in the unit of the outcomes.
    pub latency_limit: f64,
    /// The probability of meeting the QoS that a recommendation must have.
    pub confidence: f64,
}

/// Everything a model may look at.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a, const D: usize, const F: usize> {
    /// The search space.
    pub space: &'a SearchSpace<D>,
    /// The goal.
    pub objective: Objective,
    /// Trials since the last change of behaviour, in any state, by ascending id.
    pub trials: &'a [Trial<D, F>],
    /// Repeated measurements of one configuration, if there were any.
    pub baseline: Option<&'a Baseline<D, F>>,
    /// Whether the behaviour has changed since the study began: what was measured before it, such as the baseline,
    /// still tells the noise but no longer the level.
    pub changed: bool,
}

/// A configuration to try next.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal<const D: usize> {
    /// The configuration.
    pub point: Point<D>,
    /// What the model expects to see.
    pub expected: Option<Expectation>,
}

/// The configuration to use.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation<const D: usize> {
    /// The configuration.
    pub point: Point<D>,
    /// Posterior of its noise-free ln cost.
    pub ln_cost: Normal,
    /// Posterior of its noise-free ln latency.
    pub ln_latency: Normal,
    /// Posterior probability that it meets the QoS.
    pub feasible: f64,
    /// Whether it meets the QoS at the objective's confidence *and* with the margin its model adds (the black box 2.5
    /// standard deviations and 1 %, the structured model 4 and 0.5 %); if not, this is the configuration whose
    /// latency is lowest at that confidence.
    pub qualified: bool,
}

/// What is believed of one configuration, without noise.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Posterior {
    /// Of its ln cost.
    pub ln_cost: Normal,
    /// Of its ln latency.
    pub ln_latency: Normal,
}

/// A surrogate with its way of choosing trials.
///
/// Every call does bounded work and depends only on its arguments and `self`; what must survive a restart (warm
/// starts) is in `self`, never in the scratch. Only [`Model::propose`] may change it, so a recommendation never
/// changes what is asked later.
pub trait Model<const D: usize, const F: usize> {
    /// Temporary memory, made once by the caller. It may be some megabytes: a `static` or a box, not the stack.
    type Scratch: ?Sized;

    /// Whether both are set up for the same task, whatever they have learned since: what one learned may go on in the
    /// other.
    fn has_task_of(&self, other: &Self) -> bool;

    /// Whether a model that was read from bytes can be one of `space`.
    fn is_consistent(&self, space: &SearchSpace<D>) -> bool;

    /// How many complete trials [`Model::propose`] needs; until then a study asks for quasi-random points.
    fn needed(&self) -> usize;

    /// Appends up to `count` proposals (at least one) that are worth trying together with the pending trials.
    ///
    /// # Errors
    /// [`ModelError`].
    fn propose<R: Rng + ?Sized>(
        &mut self,
        evidence: &Evidence<'_, D, F>,
        count: usize,
        batch: &mut Vec<Proposal<D>, MAX_BATCH>,
        rng: &mut R,
        scratch: &mut Self::Scratch,
    ) -> Result<(), ModelError>;

    /// Writes the verdict on every trial of the evidence, re-decided from all of them.
    ///
    /// # Errors
    /// [`ModelError`]; the verdicts are then all [`Verdict::Untested`].
    fn verdicts(
        &self,
        evidence: &Evidence<'_, D, F>,
        verdicts: &mut [Verdict],
        scratch: &mut Self::Scratch,
    ) -> Result<(), ModelError>;

    /// The configuration to use, by posterior.
    ///
    /// # Errors
    /// [`ModelError`].
    fn recommend(
        &self,
        evidence: &Evidence<'_, D, F>,
        scratch: &mut Self::Scratch,
    ) -> Result<Recommendation<D>, ModelError>;

    /// Writes the posterior at every one of `points`, which are points of the evidence's space; `posteriors` has one
    /// place each. One fit, and then the posterior of every point.
    ///
    /// # Errors
    /// [`ModelError`]; what was written then is of no use.
    fn posterior(
        &self,
        evidence: &Evidence<'_, D, F>,
        points: &[Point<D>],
        posteriors: &mut [Posterior],
        scratch: &mut Self::Scratch,
    ) -> Result<(), ModelError>;
}

/// Why a model cannot answer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ModelError {
    /// Too few complete trials.
    TooFewTrials {
        /// Complete trials there are.
        complete: usize,
        /// Complete trials needed.
        needed: usize,
    },
    /// More trials than the model's scratch holds.
    Capacity {
        /// The number of trials it holds.
        capacity: usize,
    },
    /// The Gaussian process cannot be fitted.
    Gp(GpError),
}

impl From<GpError> for ModelError {
    fn from(error: GpError) -> Self {
        Self::Gp(error)
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewTrials { complete, needed } => {
                write!(f, "{complete} complete trials, the model needs {needed}; tell more outcomes first")
            }
            Self::Capacity { capacity } => {
                write!(f, "more than {capacity} trials; build the scratch with a larger const parameter N")
            }
            Self::Gp(error) => write!(f, "the model cannot be fitted: {error}"),
        }
    }
}

impl core::error::Error for ModelError {}

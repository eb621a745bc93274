//! [`Study`]: ask, tell, screen, reject, fail.
//!
//! Trials may be told in any order and at any time; as many may be pending as the study holds. A study begins with
//! a quasi-random design and goes on with the proposals of its model. When the told outcomes keep surprising the
//! model, the behaviour has changed: older trials leave the window that the models see, and a new design begins.

use super::MAX_BATCH;
use super::model::{Evidence, Model, ModelError, Objective, Posterior, Proposal, Recommendation};
use super::profile::{Baseline, Profile};
#[cfg(feature = "serde")]
use super::snapshot::TaskPart;
use super::space::{Point, SearchSpace};
use super::trial::{Expectation, Outcome, Trial, TrialId, TrialState};
use crate::anomaly::Verdict;
use crate::anomaly::shift::ShiftDetector;
use crate::error::CapacityError;
use crate::math::float;
use crate::part;
use crate::random::SplitMix64;
use crate::sobol;
use core::fmt;
use heapless::Vec;
use rand_core::Rng;

/// What a study is to achieve and how it begins.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StudyConfig {
    /// Least cost under this latency.
    pub objective: Objective,
    /// Number of quasi-random trials before the model takes over, and again after a change of behaviour.
    pub initial: u16,
    /// Seed of the quasi-random design.
    pub seed: u64,
}

/// A search for the cheapest configuration that meets the QoS: at most `N` trials in a space of at most `D` axes,
/// with at most `F` functions per workflow.
///
/// With `D` = 32, `N` = 128, `F` = 16 it is 41 kB (asserted by the test `sizes`), and is best kept in a `static` or a
/// box.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Study<M, const D: usize, const N: usize, const F: usize> {
    space: SearchSpace<D>,
    config: StudyConfig,
    /// By ascending id.
    trials: Vec<Trial<D, F>, N>,
    /// The id of the next trial.
    next: u32,
    /// Trials before this one are not shown to the model.
    window: TrialId,
    /// Quasi-random points asked for so far, and how many the current design still has to give.
    designed: u32,
    design_left: u16,
    shift: ShiftDetector,
    baseline: Option<Baseline<D, F>>,
    model: M,
}

impl<M: Model<D, F>, const D: usize, const N: usize, const F: usize> Study<M, D, N, F> {
    /// A study without trials.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(space: SearchSpace<D>, config: StudyConfig, model: M) -> Result<Self, ConfigError> {
        config.check()?;
        if !model.is_consistent(&space) {
            return Err(ConfigError::Model);
        }
        Ok(Self {
            space,
            config,
            trials: Vec::new(),
            next: 0,
            window: TrialId(0),
            designed: 0,
            design_left: config.initial,
            shift: ShiftDetector::new(),
            baseline: None,
            model,
        })
    }

    /// Asks for up to `count` trials (at least one, at most [`MAX_BATCH`]) to be evaluated next. During the initial
    /// design these are what is left of it; later they are chosen together by the model, with the pending ones in
    /// mind. While too few outcomes are known for the model, further quasi-random points are given.
    ///
    /// # Errors
    /// [`AskError::Full`] when `N` trials are kept and none can be forgotten, [`AskError::Model`]. The study is then
    /// unchanged, so asking again later is safe.
    pub fn ask<R: Rng + ?Sized>(
        &mut self,
        count: usize,
        rng: &mut R,
        scratch: &mut M::Scratch,
    ) -> Result<Vec<TrialId, MAX_BATCH>, AskError> {
        let count = count.clamp(1, MAX_BATCH).min(self.room());
        if count == 0 {
            return Err(AskError::Full(CapacityError { capacity: N }));
        }
        let mut batch: Vec<Proposal<D>, MAX_BATCH> = Vec::new();
        let needed = self.model.needed();
        let complete = self.evidence().trials.iter().filter(|t| t.outcome().is_some()).count();
        if self.design_left > 0 || complete < needed {
            let count = if self.design_left > 0 { count.min(usize::from(self.design_left)) } else { count };
            for i in 0..count {
                let point = self.design_point(self.designed.wrapping_add(i as u32));
                // The batch has room for MAX_BATCH and count is at most that.
                let _ = batch.push(Proposal { point, expected: None });
            }
            self.designed = self.designed.wrapping_add(count as u32);
            self.design_left = self.design_left.saturating_sub(count as u16);
        } else {
            let evidence = Evidence {
                space: &self.space,
                objective: self.config.objective,
                trials: window(&self.trials, self.window),
                baseline: self.baseline.as_ref(),
                changed: self.window > TrialId(0),
            };
            self.model.propose(&evidence, count, &mut batch, rng, scratch).map_err(AskError::Model)?;
            batch.truncate(count);
        }
        let mut ids = Vec::new();
        for Proposal { point, expected } in &batch {
            // Prices may be so extreme that a cost is not a number: then nothing is expected.
            let expected = expected.filter(Expectation::is_consistent);
            let id = self.insert(point.clone(), TrialState::Pending, expected)?;
            let _ = ids.push(id);
        }
        Ok(ids)
    }

    /// Takes in the outcome of a pending trial.
    ///
    /// # Errors
    /// [`TellError`]; the study is then unchanged.
    pub fn tell(&mut self, id: TrialId, outcome: Outcome<F>) -> Result<(), TellError> {
        let (ln_cost, ln_latency) = (float::ln(outcome.cost()), float::ln(outcome.latency()));
        let trial = self.pending_mut(id)?;
        trial.state = TrialState::Complete(outcome);
        if let Some(expected) = trial.expected
            && id >= self.window
        {
            let surprise = expected.surprise(ln_cost, ln_latency);
            if let Some(start) = self.shift.observe(id, surprise) {
                self.window = start;
                self.design_left = self.config.initial;
            }
        }
        Ok(())
    }

    /// What the verdict on a pending trial's outcome would be, were it told now. Costs a fit of the model.
    ///
    /// # Errors
    /// [`ScreenError`].
    pub fn screen(
        &mut self,
        id: TrialId,
        outcome: &Outcome<F>,
        scratch: &mut M::Scratch,
    ) -> Result<Verdict, ScreenError> {
        self.pending_mut(id)?.state = TrialState::Complete(outcome.clone());
        let verdicts = self.verdicts(scratch);
        // Just found, and verdicts do not remove trials.
        let Some(index) = self.index(id) else { return Err(TellError::UnknownTrial(id).into()) };
        self.trials[index].state = TrialState::Pending;
        Ok(verdicts?.get(index).copied().unwrap_or_default())
    }

    /// Rules a pending or complete trial out: its outcome is kept, but no model sees it. `outcome` replaces what was
    /// told before.
    ///
    /// # Errors
    /// [`TellError`].
    pub fn reject(&mut self, id: TrialId, outcome: Outcome<F>) -> Result<(), TellError> {
        let index = self.index(id).ok_or(TellError::UnknownTrial(id))?;
        match &mut self.trials[index].state {
            state @ (TrialState::Pending | TrialState::Complete(_)) => *state = TrialState::Rejected(outcome),
            _ => return Err(TellError::NotPending(id)),
        }
        Ok(())
    }

    /// The evaluation of a pending trial failed; nothing was measured.
    ///
    /// # Errors
    /// [`TellError`].
    pub fn fail(&mut self, id: TrialId) -> Result<(), TellError> {
        self.pending_mut(id)?.state = TrialState::Failed;
        Ok(())
    }

    /// Adds an outcome that was measured without being asked for.
    ///
    /// # Errors
    /// [`AskError::Full`], or [`AskError::Point`] for a point of another space.
    pub fn record(&mut self, point: Point<D>, outcome: Outcome<F>) -> Result<TrialId, AskError> {
        if !self.space.contains(&point) {
            return Err(AskError::Point);
        }
        self.insert(point, TrialState::Complete(outcome), None)
    }

    /// Tells what repeating the configuration `point` has shown: its level, and the noise of all configurations.
    ///
    /// # Errors
    /// [`AskError::Point`] for a point of another space, [`AskError::Profile`] for numbers that [`Profile::measure`] does not
    /// give.
    pub fn set_baseline(&mut self, point: Point<D>, profile: Profile<F>) -> Result<(), AskError> {
        if !self.space.contains(&point) {
            return Err(AskError::Point);
        }
        if !profile.is_consistent() {
            return Err(AskError::Profile);
        }
        self.baseline = Some(Baseline { point, profile });
        Ok(())
    }

    /// The verdict on every trial of [`Study::trials`], re-decided from all of the window; trials without a visible
    /// outcome are untested.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn verdicts(&self, scratch: &mut M::Scratch) -> Result<Vec<Verdict, N>, ModelError> {
        let mut verdicts = Vec::new();
        let _ = verdicts.resize(self.trials.len(), Verdict::Untested);
        let evidence = self.evidence();
        let before = self.trials.len().saturating_sub(evidence.trials.len());
        self.model.verdicts(&evidence, verdicts.get_mut(before..).unwrap_or_default(), scratch)?;
        Ok(verdicts)
    }

    /// The configuration to use, by posterior: the cheapest that meets the QoS with the stated confidence, or
    /// the one nearest to it when none does. Never changes what is asked later.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn recommendation(&self, scratch: &mut M::Scratch) -> Result<Recommendation<D>, ModelError> {
        self.model.recommend(&self.evidence(), scratch)
    }

    /// Writes what is believed of each of `points` into `posteriors`, which has one place each: noise-free ln cost and
    /// ln latency. Changes nothing. Work: one fit, and then the posterior of every point.
    ///
    /// # Errors
    /// [`PosteriorError`]; what was written then is of no use.
    pub fn posterior(
        &self,
        points: &[Point<D>],
        posteriors: &mut [Posterior],
        scratch: &mut M::Scratch,
    ) -> Result<(), PosteriorError> {
        if points.len() != posteriors.len() {
            return Err(PosteriorError::Length { points: points.len(), posteriors: posteriors.len() });
        }
        if let Some(index) = points.iter().position(|point| !self.space.contains(point)) {
            return Err(PosteriorError::Point { index });
        }
        Ok(self.model.posterior(&self.evidence(), points, posteriors, scratch)?)
    }

    /// The trials kept, by ascending id. Trials from before a change of behaviour and failed ones are forgotten,
    /// oldest first, when room is needed.
    pub fn trials(&self) -> &[Trial<D, F>] {
        &self.trials
    }

    /// One trial.
    pub fn trial(&self, id: TrialId) -> Option<&Trial<D, F>> {
        self.index(id).map(|index| &self.trials[index])
    }

    /// The first trial that the model still sees: later than 0 after a change of behaviour.
    pub const fn window_start(&self) -> TrialId {
        self.window
    }

    /// The search space.
    pub const fn space(&self) -> &SearchSpace<D> {
        &self.space
    }

    /// The configuration of the study.
    pub const fn config(&self) -> &StudyConfig {
        &self.config
    }

    /// The baseline, if one was told.
    pub const fn baseline(&self) -> Option<&Baseline<D, F>> {
        self.baseline.as_ref()
    }

    /// The model.
    pub const fn model(&self) -> &M {
        &self.model
    }

    /// What the model sees.
    pub fn evidence(&self) -> Evidence<'_, D, F> {
        Evidence {
            space: &self.space,
            objective: self.config.objective,
            trials: window(&self.trials, self.window),
            baseline: self.baseline.as_ref(),
            changed: self.window > TrialId(0),
        }
    }

    /// How many more trials fit: free places and trials that can be forgotten, as long as there are numbers for them.
    fn room(&self) -> usize {
        let places = N - self.trials.len() + self.trials.iter().filter(|t| self.forgettable(t)).count();
        places.min((u32::MAX - self.next) as usize)
    }

    fn forgettable(&self, trial: &Trial<D, F>) -> bool {
        match trial.state {
            TrialState::Pending => false,
            TrialState::Complete(_) => trial.id < self.window,
            TrialState::Rejected(_) | TrialState::Failed => true,
        }
    }

    fn insert(
        &mut self,
        point: Point<D>,
        state: TrialState<F>,
        expected: Option<Expectation>,
    ) -> Result<TrialId, AskError> {
        let following = self.next.checked_add(1).ok_or(AskError::Full(CapacityError { capacity: N }))?;
        if self.trials.is_full() {
            let oldest = self.trials.iter().position(|t| self.forgettable(t));
            let oldest = oldest.ok_or(AskError::Full(CapacityError { capacity: N }))?;
            self.trials.remove(oldest);
        }
        let id = TrialId(self.next);
        let trial = Trial { id, point, state, expected };
        self.trials.push(trial).map_err(|_| AskError::Full(CapacityError { capacity: N }))?;
        self.next = following;
        Ok(id)
    }

    fn index(&self, id: TrialId) -> Option<usize> {
        self.trials.binary_search_by_key(&id, |t| t.id).ok()
    }

    fn pending_mut(&mut self, id: TrialId) -> Result<&mut Trial<D, F>, TellError> {
        let index = self.index(id).ok_or(TellError::UnknownTrial(id))?;
        let trial = &mut self.trials[index];
        if trial.is_pending() { Ok(trial) } else { Err(TellError::NotPending(id)) }
    }

    /// Point `index` of the scrambled Sobol design, even in the coordinates of the models; the same for the same
    /// seed.
    fn design_point(&self, index: u32) -> Point<D> {
        let mut rng = SplitMix64(self.config.seed);
        let axes = self.space.axes().iter().enumerate();
        Point(part::list(axes.map(|(j, axis)| axis.decode(sobol::scrambled(j, &mut rng).uniform(index)))))
    }

    /// The first part of the task that is another one in `other`.
    #[cfg(feature = "serde")]
    pub(super) fn other_part(&self, other: &Self) -> Option<TaskPart> {
        let parts = [
            (TaskPart::Space, self.space == other.space),
            (TaskPart::Objective, self.config.objective == other.config.objective),
            (TaskPart::Design, self.config == other.config),
            (TaskPart::Model, self.model.has_task_of(&other.model)),
        ];
        parts.into_iter().find_map(|(part, same)| (!same).then_some(part))
    }

    /// Whether a decoded study can be one: what the constructors check, once more.
    #[cfg(feature = "serde")]
    pub(super) fn is_consistent(&self) -> bool {
        self.config.check().is_ok()
            && self.space.is_consistent()
            && self.model.is_consistent(&self.space)
            && self.shift.is_consistent(TrialId(self.next))
            && self.baseline.as_ref().is_none_or(|Baseline { point, profile }| {
                self.space.contains(point) && profile.is_consistent()
            })
            && self.trials.is_sorted_by(|a, b| a.id < b.id)
            && self
                .trials
                .iter()
                .all(|t| t.id.0 < self.next && self.space.contains(&t.point) && t.is_consistent())
    }
}

/// The trials from `start` on, of trials by ascending id.
fn window<const D: usize, const F: usize>(trials: &[Trial<D, F>], start: TrialId) -> &[Trial<D, F>] {
    trials.get(trials.partition_point(|t| t.id < start)..).unwrap_or_default()
}

impl StudyConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let Objective { latency_limit, confidence } = self.objective;
        if !(latency_limit > 0.0 && latency_limit.is_finite()) {
            return Err(ConfigError::LatencyLimit { latency_limit });
        }
        if !(confidence > 0.0 && confidence < 1.0) {
            return Err(ConfigError::Confidence { confidence });
        }
        Ok(())
    }
}

/// Why a study cannot begin.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The QoS is not a positive number.
    LatencyLimit {
        /// The limit given.
        latency_limit: f64,
    },
    /// The confidence is not between 0 and 1.
    Confidence {
        /// The confidence given.
        confidence: f64,
    },
    /// The model was made for another search space, or with an anomaly test whose `level` or `most` is not between 0 and 1.
    Model,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LatencyLimit { latency_limit } => {
                write!(f, "the latency limit (QoS) is {latency_limit}; give a positive number")
            }
            Self::Confidence { confidence } => {
                write!(f, "the confidence is {confidence}; give a probability between 0 and 1, such as 0.9")
            }
            Self::Model => write!(
                f,
                "the model was made for another search space, or its anomaly test has a share below 0 or above 1; make it \
                 with the study's space, and level and most between 0 and 1"
            ),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Why there is no posterior.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum PosteriorError {
    /// Not one place a point.
    Length {
        /// Points given.
        points: usize,
        /// Places given.
        posteriors: usize,
    },
    /// A point is not one of the study's space.
    Point {
        /// Which one.
        index: usize,
    },
    /// The model cannot answer.
    Model(ModelError),
}

impl From<ModelError> for PosteriorError {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}

impl fmt::Display for PosteriorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { points, posteriors } => {
                write!(f, "{posteriors} places for the posterior of {points} points; give one each")
            }
            Self::Point { index } => write!(f, "point {index} is not one of the study's search space"),
            Self::Model(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PosteriorError {}

/// Why no trial can be asked for or added.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum AskError {
    /// All places hold trials that are still of use.
    Full(CapacityError),
    /// The model cannot propose.
    Model(ModelError),
    /// The point is not one of the study's space.
    Point,
    /// The profile of the baseline holds numbers that no measurement gives.
    Profile,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(error) => write!(f, "no room for another trial: {error}"),
            Self::Model(error) => write!(f, "no proposal: {error}"),
            Self::Point => write!(f, "the point is not on the grid of this study's search space"),
            Self::Profile => write!(
                f,
                "the baseline's profile has a number that is not finite, or a deviation that is too small, or is of fewer than 5 outcomes; make it with Profile::measure"
            ),
        }
    }
}

impl core::error::Error for AskError {}

/// Why an outcome was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TellError {
    /// The study has no such trial (or has forgotten it after a change of behaviour).
    UnknownTrial(TrialId),
    /// The trial was told before, or failed.
    NotPending(TrialId),
}

impl fmt::Display for TellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTrial(TrialId(id)) => {
                write!(f, "trial {id} is unknown; tell only trials that were asked")
            }
            Self::NotPending(TrialId(id)) => write!(f, "trial {id} is finished; every trial is told once"),
        }
    }
}

impl core::error::Error for TellError {}

/// Why an outcome could not be screened.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ScreenError {
    /// The trial is not pending.
    Trial(TellError),
    /// The model cannot judge.
    Model(ModelError),
}

impl From<TellError> for ScreenError {
    fn from(error: TellError) -> Self {
        Self::Trial(error)
    }
}

impl From<ModelError> for ScreenError {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}

impl fmt::Display for ScreenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trial(error) => error.fmt(f),
            Self::Model(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ScreenError {}

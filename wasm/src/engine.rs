//! What is behind a [`Study`](crate::Study): a study of the core with one of its models. The black box is always there,
//! the structured model with the feature `workflow`.

use std::sync::{Mutex, PoisonError};

use aquatope_core::bo::acquisition::Improvement;
use aquatope_core::bo::model::{Model, Objective, Posterior};
use aquatope_core::bo::profile::{Profile, ProfileError};
use aquatope_core::bo::space::{self, SearchSpace};
use aquatope_core::bo::study::{self, StudyConfig};
use aquatope_core::bo::surrogates::Surrogates;
use aquatope_core::bo::trial::{self, TrialId};
use aquatope_core::snapshot::SnapshotError;
use aquatope_workflow::models::{
    self, BlackBoxModel, BlackBoxScratch, Effort, MAX_AXES, MAX_FUNCTIONS, MAX_PATHS, MAX_TRIALS,
};
use aquatope_workflow::outcome;
use rand_core::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::JsError;

use crate::study_types::{
    Axis, Baseline, Belief, Interval, ModelInCharge, ModelName, Outcome, Recommendation, SamplerName,
    StudyOptions, Trial, TrialState, Verdict,
};

/// Trials of the initial design, and the confidence, unless given: those of the command line.
const INITIAL: u16 = 10;
const CONFIDENCE: f64 = 0.95;

/// A study on any axes, or of a workflow.
///
/// # Errors
/// Options that cannot be, naming the place.
pub(crate) fn begin(options: StudyOptions) -> Result<Box<dyn Engine>, JsError> {
    #[cfg(feature = "workflow")]
    if options.workflow.is_some() {
        return crate::workflow_study::begin(options);
    }
    #[cfg(feature = "workflow")]
    if options.model == Some(ModelName::Structured) {
        let what = "options.model: the structured model needs a workflow; give one, or choose blackbox";
        return Err(JsError::new(what));
    }
    let Some(axes) = &options.axes else {
        return Err(JsError::new("options.axes: is missing; say what can be chosen"));
    };
    let named = |place: String| move |error: space::SpaceError| JsError::new(&format!("{place}: {error}"));
    if axes.len() > MAX_AXES {
        let what = format!("options.axes: has {}; give at most {MAX_AXES}", axes.len());
        return Err(JsError::new(&what));
    }
    let axis = |(i, axis): (usize, &Axis)| axis.checked().map_err(named(format!("options.axes[{i}]")));
    let axes = axes.iter().enumerate().map(axis).collect::<Result<Vec<_>, _>>()?;
    black_box(SearchSpace::new(&axes).map_err(named("options.axes".into()))?, &options, None, None)
}

/// A study with the black box; `qos` and `start` are those of the workflow.
pub(crate) fn black_box(
    space: SearchSpace<MAX_AXES>,
    options: &StudyOptions,
    qos: Option<f64>,
    start: Option<&[u16]>,
) -> Result<Box<dyn Engine>, JsError> {
    let improvement = match options.sampler {
        Some(SamplerName::QNei) => Improvement::Nei,
        Some(SamplerName::QLogNei) | None => Improvement::LogNei,
    };
    let model = models::black_box(effort(options)?, improvement);
    study(space, options, qos, start, None, |_, _, _| model)
}

/// A study with the model that `model` makes of the measured baseline; its outcomes must hold the durations of so many
/// `functions`.
pub(crate) fn study<M: Kind + 'static>(
    space: SearchSpace<MAX_AXES>,
    options: &StudyOptions,
    qos: Option<f64>,
    start: Option<&[u16]>,
    functions: Option<usize>,
    model: impl FnOnce(&SearchSpace<MAX_AXES>, Option<&space::Point<MAX_AXES>>, &[Checked]) -> M,
) -> Result<Box<dyn Engine>, JsError> {
    let Some(qos) = options.qos.or(qos) else {
        return Err(JsError::new("options.qos: is missing; give the largest good latency in seconds"));
    };
    let config = StudyConfig {
        objective: Objective { latency_limit: qos, confidence: options.confidence.unwrap_or(CONFIDENCE) },
        initial: options.initial.unwrap_or(INITIAL),
        seed: options.seed.unwrap_or(0),
    };
    let of = |(i, outcome): (usize, &Outcome)| {
        checked(&format!("options.baseline.outcomes[{i}]"), outcome.clone(), functions)
    };
    if let Some(found) = options.baseline.as_ref().map(|baseline| baseline.outcomes.len())
        && found < ProfileError::NEEDED
    {
        return Err(JsError::new(&format!(
            "options.baseline.outcomes: has {found}; give {} or more, or no baseline",
            ProfileError::NEEDED
        )));
    }
    let outcomes = options.baseline.iter().flat_map(|baseline| &baseline.outcomes);
    let outcomes = outcomes.enumerate().map(of).collect::<Result<Vec<_>, _>>()?;
    let start = baseline_point(options.baseline.as_ref(), start, &space)?;
    let model = model(&space, start.as_ref(), &outcomes);
    let named = |error: study::ConfigError| {
        let place =
            if matches!(error, study::ConfigError::LatencyLimit { .. }) { "qos" } else { "confidence" };
        JsError::new(&format!("options.{place}: {error}"))
    };
    let mut study = CoreStudy::new(space, config, model).map_err(named)?;
    if let Some(start) = start {
        study.set_baseline(start, Profile::measure(&outcomes)?)?;
    }
    Ok(Box::new(study))
}

/// # Errors
/// Effort that is none, or more than there is memory for.
pub(crate) fn effort(options: &StudyOptions) -> Result<Effort, JsError> {
    let effort = options.effort.map_or_else(Effort::default, Effort::from);
    let Effort { mc_samples, restarts, raw_samples } = effort;
    let limits = [
        ("mcSamples", mc_samples, MAX_PATHS as u16),
        ("restarts", restarts, raw_samples),
        ("rawSamples", raw_samples, u16::MAX),
    ];
    match limits.into_iter().find(|(_, given, most)| !(1..=*most).contains(given)) {
        None => Ok(effort),
        Some((name, given, most)) => {
            Err(JsError::new(&format!("options.effort.{name}: is {given}; give 1 to {most}")))
        }
    }
}

/// The configuration that a baseline was measured at.
fn baseline_point(
    baseline: Option<&Baseline>,
    start: Option<&[u16]>,
    space: &SearchSpace<MAX_AXES>,
) -> Result<Option<space::Point<MAX_AXES>>, JsError> {
    let Some(baseline) = baseline else { return Ok(None) };
    let Some(levels) = baseline.levels.as_deref().or(start) else {
        return Err(JsError::new("options.baseline.levels: is missing; give one level per axis"));
    };
    let named = |error: space::SpaceError| JsError::new(&format!("options.baseline.levels: {error}"));
    Ok(Some(space.point(levels).map_err(named)?))
}

/// The study in a snapshot of the core.
///
/// # Errors
/// Bytes that are something else, or a model that this module does not have.
pub(crate) fn restore(structured: bool, bytes: &[u8]) -> Result<Box<dyn Engine>, JsError> {
    if !structured {
        return Ok(Box::new(CoreStudy::<BlackBoxModel>::restore(bytes)?));
    }
    #[cfg(feature = "workflow")]
    return Ok(Box::new(CoreStudy::<models::Structured>::restore(bytes)?));
    #[cfg(not(feature = "workflow"))]
    Err(JsError::new("bytes: is a study of a workflow; restore it with the whole package"))
}

/// An outcome whose numbers can be, with the durations that a model of so many `functions` needs; `place` names it in
/// errors.
///
/// # Errors
/// Numbers that cannot be, or durations that are missing or too many.
pub(crate) fn checked(place: &str, outcome: Outcome, functions: Option<usize>) -> Result<Checked, JsError> {
    let given = outcome.durations.as_ref().map(Vec::len);
    match (functions, given) {
        (Some(functions), None) => {
            return Err(JsError::new(&format!(
                "{place}.durations: is missing; the structured model needs the seconds of each of the {functions} \
                 functions (or choose the model blackbox)"
            )));
        }
        (Some(functions), Some(given)) if functions != given => {
            let what = format!("{place}.durations: has {given} for {functions} functions; give one each");
            return Err(JsError::new(&what));
        }
        _ => {}
    }
    outcome::Outcome::from(outcome).checked().map_err(|error| JsError::new(&format!("{place}: {error}")))
}

pub(crate) type CoreStudy<M> = study::Study<M, MAX_AXES, MAX_TRIALS, MAX_FUNCTIONS>;

/// A study with either model.
pub(crate) trait Engine {
    fn config(&self) -> &StudyConfig;
    fn ask(&mut self, count: usize, rng: &mut dyn Rng) -> Result<Vec<TrialId>, JsError>;
    fn tell(&mut self, id: TrialId, outcome: Checked) -> Result<(), JsError>;
    fn screen(&mut self, id: TrialId, outcome: &Checked) -> Result<Verdict, JsError>;
    fn reject(&mut self, id: TrialId, outcome: Checked) -> Result<(), JsError>;
    fn fail(&mut self, id: TrialId) -> Result<(), JsError>;
    fn trial(&self, id: TrialId) -> Option<Trial>;
    fn trials(&self) -> Vec<Trial>;
    fn verdicts(&self) -> Result<Vec<Verdict>, JsError>;
    fn recommendation(&self) -> Result<Recommendation, JsError>;
    fn posterior(&self, points: &[Vec<u16>]) -> Result<Vec<Belief>, JsError>;
    fn window_start(&self) -> TrialId;
    /// Functions that every outcome must hold the duration of.
    fn functions(&self) -> Option<usize>;
    fn model(&self) -> ModelInCharge;
    /// Whether the model is the structured one, and the core's snapshot.
    fn snapshot(&self) -> Result<(bool, Vec<u8>), SnapshotError>;
}

pub(crate) type Checked = trial::Outcome<MAX_FUNCTIONS>;

/// A model with its place in the working memory.
pub(crate) trait Kind: Model<MAX_AXES, MAX_FUNCTIONS> + Serialize + DeserializeOwned {
    const STRUCTURED: bool;
    fn scratch(memory: &mut Memory) -> &mut Self::Scratch;
    /// Functions that every outcome must hold the duration of.
    fn functions(&self) -> Option<usize>;
    fn in_charge(study: &CoreStudy<Self>, memory: &mut Memory) -> ModelInCharge;
}

/// Bytes that hold any snapshot: 128 trials of 32 axes and 16 durations take about 50 kB.
pub(crate) const SNAPSHOT: usize = 1 << 18;

/// Working memory, several megabytes, of every study: nothing in it survives a call.
static MEMORY: Mutex<Memory> = Mutex::new(MEMORY_AT_REST);
#[cfg(feature = "workflow")]
pub(crate) type Memory = models::StructuredMemory;
#[cfg(feature = "workflow")]
const MEMORY_AT_REST: Memory = aquatope_core::structured::StructuredScratch::new(Surrogates::new());
#[cfg(not(feature = "workflow"))]
pub(crate) type Memory = BlackBoxScratch;
#[cfg(not(feature = "workflow"))]
const MEMORY_AT_REST: Memory = Surrogates::new();

impl Kind for BlackBoxModel {
    const STRUCTURED: bool = false;
    fn scratch(memory: &mut Memory) -> &mut BlackBoxScratch {
        #[cfg(feature = "workflow")]
        return &mut memory.fallback;
        #[cfg(not(feature = "workflow"))]
        memory
    }

    fn functions(&self) -> Option<usize> {
        None
    }

    fn in_charge(_: &CoreStudy<Self>, _: &mut Memory) -> ModelInCharge {
        ModelInCharge { model: ModelName::BlackBox, reason: None }
    }
}

impl<M: Kind> Engine for CoreStudy<M> {
    fn config(&self) -> &StudyConfig {
        self.config()
    }

    fn ask(&mut self, count: usize, rng: &mut dyn Rng) -> Result<Vec<TrialId>, JsError> {
        let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |error: study::AskError| match error {
            study::AskError::Full(_) => JsError::new(&format!(
                "the study is full: it keeps {MAX_TRIALS} trials, and all of them are pending or complete; fail(id) or \
                 reject(id, outcome) some, or begin a new study"
            )),
            other => other.into(),
        };
        Ok(self.ask(count, rng, M::scratch(&mut memory)).map_err(full)?.to_vec())
    }

    fn tell(&mut self, id: TrialId, outcome: Checked) -> Result<(), JsError> {
        Ok(self.tell(id, outcome)?)
    }

    fn screen(&mut self, id: TrialId, outcome: &Checked) -> Result<Verdict, JsError> {
        let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Verdict::new(id, self.screen(id, outcome, M::scratch(&mut memory))?))
    }

    fn reject(&mut self, id: TrialId, outcome: Checked) -> Result<(), JsError> {
        Ok(self.reject(id, outcome)?)
    }

    fn fail(&mut self, id: TrialId) -> Result<(), JsError> {
        Ok(self.fail(id)?)
    }

    fn trial(&self, id: TrialId) -> Option<Trial> {
        self.trial(id).map(|trial| describe(self.space(), trial))
    }

    fn trials(&self) -> Vec<Trial> {
        self.trials().iter().map(|trial| describe(self.space(), trial)).collect()
    }

    fn verdicts(&self) -> Result<Vec<Verdict>, JsError> {
        let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        let verdicts = self.verdicts(M::scratch(&mut memory))?;
        Ok(self
            .trials()
            .iter()
            .zip(verdicts)
            .map(|(trial, verdict)| Verdict::new(trial.id, verdict))
            .collect())
    }

    fn recommendation(&self) -> Result<Recommendation, JsError> {
        let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        let recommended = self.recommendation(M::scratch(&mut memory))?;
        Ok(Recommendation {
            levels: recommended.point.indices().to_vec(),
            values: shown(self.space(), &recommended.point),
            cost: Interval::of_logarithm(recommended.ln_cost),
            latency: Interval::of_logarithm(recommended.ln_latency),
            feasible: recommended.feasible,
            qualified: recommended.qualified,
        })
    }

    fn posterior(&self, points: &[Vec<u16>]) -> Result<Vec<Belief>, JsError> {
        let point = |(i, levels): (usize, &Vec<u16>)| {
            let named = |error: space::SpaceError| JsError::new(&format!("points[{i}]: {error}"));
            self.space().point(levels).map_err(named)
        };
        let points = points.iter().enumerate().map(point).collect::<Result<Vec<_>, _>>()?;
        let mut posteriors = vec![Posterior::default(); points.len()];
        let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        self.posterior(&points, &mut posteriors, M::scratch(&mut memory))?;
        Ok(posteriors.into_iter().map(Belief::from).collect())
    }

    fn window_start(&self) -> TrialId {
        self.window_start()
    }

    fn functions(&self) -> Option<usize> {
        self.model().functions()
    }

    fn model(&self) -> ModelInCharge {
        let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        M::in_charge(self, &mut memory)
    }

    fn snapshot(&self) -> Result<(bool, Vec<u8>), SnapshotError> {
        let mut buffer = vec![0; SNAPSHOT];
        let used = self.snapshot(&mut buffer)?.len();
        buffer.truncate(used);
        Ok((M::STRUCTURED, buffer))
    }
}

/// The values of a point, without the rounding of sums: 3.8 and not 3.8000000000000003.
fn shown(space: &SearchSpace<MAX_AXES>, point: &space::Point<MAX_AXES>) -> Vec<f64> {
    space.values(point).map(decimal).collect()
}

/// The nearest number of nine decimals, where there are so many.
pub(crate) fn decimal(value: f64) -> f64 {
    if value.abs() < 1e6 { (value * 1e9).round() / 1e9 } else { value }
}

fn describe(space: &SearchSpace<MAX_AXES>, trial: &trial::Trial<MAX_AXES, MAX_FUNCTIONS>) -> Trial {
    let (state, outcome) = match &trial.state {
        trial::TrialState::Pending => (TrialState::Pending, None),
        trial::TrialState::Complete(outcome) => (TrialState::Complete, Some(outcome)),
        trial::TrialState::Rejected(outcome) => (TrialState::Rejected, Some(outcome)),
        trial::TrialState::Failed => (TrialState::Failed, None),
    };
    Trial {
        id: trial.id.0,
        levels: trial.point.indices().to_vec(),
        values: shown(space, &trial.point),
        state,
        outcome: outcome.map(Outcome::from),
    }
}

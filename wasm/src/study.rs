//! [`Study`]: ask, tell, screen, reject, fail, recommendation, snapshot.

use std::sync::{Mutex, PoisonError};

use aquatope_core::bo::acquisition::Improvement;
use aquatope_core::bo::model::{Model, Objective, Posterior};
use aquatope_core::bo::profile::{Profile, ProfileError};
use aquatope_core::bo::space::{self, SearchSpace};
use aquatope_core::bo::study::{self, StudyConfig};
use aquatope_core::bo::surrogates::Surrogates;
use aquatope_core::bo::trial::{self, TrialId};
use aquatope_core::bo::{MAX_BATCH, snapshot};
use aquatope_core::snapshot::{Format, SnapshotError};
use aquatope_core::structured::StructuredScratch;
use aquatope_workflow::models::{
    self, BlackBoxModel, BlackBoxScratch, Effort, MAX_AXES, MAX_FUNCTIONS, MAX_TRIALS, Structured,
    StructuredMemory,
};
use aquatope_workflow::outcome;
use aquatope_workflow::workflow_file::WorkflowFile;
use rand_core::Rng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};

use crate::plain;
use crate::study_types::{
    Baseline, Belief, Interval, ModelName, Outcome, Recommendation, SamplerName, StudyOptions, Trial,
    TrialState, Verdict,
};
use crate::workflow;

/// A search for the cheapest configuration that meets the QoS: ask for trials, evaluate them, tell what came of them.
#[wasm_bindgen]
pub struct Study {
    engine: Box<dyn Engine>,
    /// Completed calls of `ask`; every one draws from its own random stream.
    asks: u64,
}

#[wasm_bindgen]
impl Study {
    /// A study without trials.
    ///
    /// # Errors
    /// Options that are wrong, naming the place.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "StudyOptions")] options: &JsValue,
    ) -> Result<Self, JsError> {
        let options: StudyOptions = plain::read("options", options)?;
        Ok(Self { engine: engine(options)?, asks: 0 })
    }

    /// Asks for up to `count` trials (3 unless given, at most 16) to be evaluated next. Fewer come at the end of the
    /// initial design. Trials may be told in any order and at any time.
    ///
    /// # Errors
    /// A full study; asking again later is safe.
    #[wasm_bindgen(unchecked_return_type = "Trial[]")]
    pub fn ask(
        &mut self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] count: &JsValue,
    ) -> Result<JsValue, JsError> {
        let count = plain::read::<Option<usize>>("count", count)?.unwrap_or(3);
        if !(1..=MAX_BATCH).contains(&count) {
            return Err(JsError::new(&format!(
                "count: is {count}; ask for 1 to {MAX_BATCH} trials at a time"
            )));
        }
        let seed = self.engine.config().seed;
        let ids = self.engine.ask(count, &mut models::stream(seed, self.asks))?;
        self.asks += 1;
        plain::show(&ids.into_iter().filter_map(|id| self.engine.trial(id)).collect::<Vec<_>>())
    }

    /// Tells the outcome of a pending trial.
    ///
    /// # Errors
    /// A trial that is not pending, or numbers that cannot be; the study is then unchanged.
    pub fn tell(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "number")] id: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "Outcome")] outcome: &JsValue,
    ) -> Result<(), JsError> {
        self.engine.tell(read_id(id)?, read_outcome(outcome)?)
    }

    /// What the verdict on a pending trial's outcome would be, were it told now. Changes nothing.
    ///
    /// # Errors
    /// A trial that is not pending, numbers that cannot be, or too few other trials.
    #[wasm_bindgen(unchecked_return_type = "Verdict")]
    pub fn screen(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "number")] id: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "Outcome")] outcome: &JsValue,
    ) -> Result<JsValue, JsError> {
        plain::show(&self.engine.screen(read_id(id)?, &read_outcome(outcome)?)?)
    }

    /// Rules a pending or complete trial out: its outcome is kept, but no model sees it.
    ///
    /// # Errors
    /// A trial that is neither, or numbers that cannot be.
    pub fn reject(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "number")] id: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "Outcome")] outcome: &JsValue,
    ) -> Result<(), JsError> {
        self.engine.reject(read_id(id)?, read_outcome(outcome)?)
    }

    /// The evaluation of a pending trial failed; nothing was measured.
    ///
    /// # Errors
    /// A trial that is not pending.
    pub fn fail(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "number")] id: &JsValue,
    ) -> Result<(), JsError> {
        self.engine.fail(read_id(id)?)
    }

    /// All trials the study keeps, by ascending number.
    ///
    /// # Errors
    /// None in practice.
    #[wasm_bindgen(unchecked_return_type = "Trial[]")]
    pub fn trials(&self) -> Result<JsValue, JsError> {
        plain::show(&self.engine.trials())
    }

    /// The verdicts on all trials the study keeps, re-decided from all of them.
    ///
    /// # Errors
    /// Too few trials.
    #[wasm_bindgen(unchecked_return_type = "Verdict[]")]
    pub fn verdicts(&self) -> Result<JsValue, JsError> {
        plain::show(&self.engine.verdicts()?)
    }

    /// The configuration to use: the cheapest that meets the QoS with the stated confidence. Changes nothing.
    ///
    /// # Errors
    /// Too few trials.
    #[wasm_bindgen(unchecked_return_type = "Recommendation")]
    pub fn recommendation(&self) -> Result<JsValue, JsError> {
        plain::show(&self.engine.recommendation()?)
    }

    /// What is believed of configurations, one level per axis each: their cost and latency without noise. Changes nothing.
    ///
    /// # Errors
    /// Levels that are not on the grid, or too few trials.
    #[wasm_bindgen(unchecked_return_type = "Belief[]")]
    pub fn posterior(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number[][]")] points: &JsValue,
    ) -> Result<JsValue, JsError> {
        plain::show(&self.engine.posterior(&plain::read::<Vec<Vec<u16>>>("points", points)?)?)
    }

    /// The first trial that still counts: above 0 once the behaviour of the workflow has changed.
    #[wasm_bindgen(getter, js_name = windowStart)]
    pub fn window_start(&self) -> u32 {
        self.engine.window_start().0
    }

    /// The study as bytes, versioned and with a checksum.
    ///
    /// # Errors
    /// None in practice.
    pub fn snapshot(&self) -> Result<Vec<u8>, JsError> {
        let (structured, study) = self.engine.snapshot()?;
        let mut buffer = vec![0; SNAPSHOT];
        let used = SAVED.encode(&Saved { asks: self.asks, structured, study }, &mut buffer)?.len();
        buffer.truncate(used);
        Ok(buffer)
    }

    /// The study that `snapshot` wrote; it goes on as that one would have.
    ///
    /// # Errors
    /// Bytes that are something else, damaged, or of another version.
    pub fn restore(
        #[wasm_bindgen(unchecked_param_type = "Uint8Array | ArrayBuffer")] bytes: &JsValue,
    ) -> Result<Self, JsError> {
        let Saved { asks, structured, study } = SAVED.decode(&plain::bytes("bytes", bytes)?)?;
        let engine: Box<dyn Engine> = if structured {
            Box::new(CoreStudy::<Structured>::restore(&study)?)
        } else {
            Box::new(CoreStudy::<BlackBoxModel>::restore(&study)?)
        };
        Ok(Self { engine, asks })
    }
}

/// What a snapshot holds: that of the core, and what the core does not know.
#[derive(Serialize, Deserialize)]
struct Saved {
    asks: u64,
    structured: bool,
    study: Vec<u8>,
}

const SAVED: Format = Format { magic: *b"AQWS", version: snapshot::STUDY.version };

/// Bytes that hold any snapshot: 128 trials of 32 axes and 16 durations take about 50 kB.
const SNAPSHOT: usize = 1 << 18;

/// Working memory, several megabytes, of every study: nothing in it survives a call.
static MEMORY: Mutex<StructuredMemory> = Mutex::new(StructuredScratch::new(Surrogates::new()));

type CoreStudy<M> = study::Study<M, MAX_AXES, MAX_TRIALS, MAX_FUNCTIONS>;

/// A study with either model.
trait Engine {
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
    /// Whether the model is the structured one, and the core's snapshot.
    fn snapshot(&self) -> Result<(bool, Vec<u8>), SnapshotError>;
}

type Checked = trial::Outcome<MAX_FUNCTIONS>;

/// A model with its place in the working memory.
trait Kind: Model<MAX_AXES, MAX_FUNCTIONS> + Serialize + DeserializeOwned {
    const STRUCTURED: bool;
    fn scratch(memory: &mut StructuredMemory) -> &mut Self::Scratch;
}

impl Kind for BlackBoxModel {
    const STRUCTURED: bool = false;
    fn scratch(memory: &mut StructuredMemory) -> &mut BlackBoxScratch {
        &mut memory.fallback
    }
}

impl Kind for Structured {
    const STRUCTURED: bool = true;
    fn scratch(memory: &mut StructuredMemory) -> &mut StructuredMemory {
        memory
    }
}

impl<M: Kind> Engine for CoreStudy<M> {
    fn config(&self) -> &StudyConfig {
        self.config()
    }

    fn ask(&mut self, count: usize, rng: &mut dyn Rng) -> Result<Vec<TrialId>, JsError> {
        let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.ask(count, rng, M::scratch(&mut memory))?.to_vec())
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
            values: self.space().values(&recommended.point).collect(),
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

    fn snapshot(&self) -> Result<(bool, Vec<u8>), SnapshotError> {
        let mut buffer = vec![0; SNAPSHOT];
        let used = self.snapshot(&mut buffer)?.len();
        buffer.truncate(used);
        Ok((M::STRUCTURED, buffer))
    }
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
        values: space.values(&trial.point).collect(),
        state,
        outcome: outcome.map(Outcome::from),
    }
}

/// Trials of the initial design, and the confidence, unless given: those of the command line.
const INITIAL: u16 = 10;
const CONFIDENCE: f64 = 0.95;

fn engine(options: StudyOptions) -> Result<Box<dyn Engine>, JsError> {
    let file =
        options.workflow.as_ref().map(|value| workflow::parse("options.workflow", value)).transpose()?;
    let space = match (&file, &options.axes) {
        (Some(file), None) => models::space(&file.workflow)?,
        (None, Some(axes)) => SearchSpace::new(
            &axes.iter().map(crate::study_types::Axis::checked).collect::<Result<Vec<_>, _>>()?,
        )?,
        _ => return Err(JsError::new("options: give either workflow or axes")),
    };
    let Some(qos) = options.qos.or(file.as_ref().map(|file| file.qos_s)) else {
        return Err(JsError::new("options.qos: is missing; give the largest good latency in seconds"));
    };
    let objective = Objective { latency_limit: qos, confidence: options.confidence.unwrap_or(CONFIDENCE) };
    let config = StudyConfig {
        objective,
        initial: options.initial.unwrap_or(INITIAL),
        seed: options.seed.unwrap_or(0),
    };
    let outcomes = match &options.baseline {
        Some(baseline) => baseline.outcomes.iter().cloned().map(checked).collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    let effort = options.effort.map_or_else(Effort::default, Effort::from);
    let improvement = match options.sampler {
        Some(SamplerName::QNei) => Improvement::Nei,
        Some(SamplerName::QLogNei) | None => Improvement::LogNei,
    };
    let start = baseline_point(options.baseline.as_ref(), file.as_ref(), &space)?;
    match (&file, options.model) {
        (Some(file), None | Some(ModelName::Structured)) => {
            let mut model = models::structured(&file.workflow, &space, effort)?;
            if let Some(start) = &start {
                model.learn_baseline(&space, start, &outcomes);
            }
            begin(space, config, model, start, &outcomes)
        }
        (_, None | Some(ModelName::BlackBox)) => {
            begin(space, config, models::black_box(effort, improvement), start, &outcomes)
        }
        (None, Some(ModelName::Structured)) => Err(JsError::new(
            "options.model: the structured model needs a workflow; give one, or choose blackbox",
        )),
    }
}

fn begin<M: Kind + 'static>(
    space: SearchSpace<MAX_AXES>,
    config: StudyConfig,
    model: M,
    start: Option<space::Point<MAX_AXES>>,
    outcomes: &[Checked],
) -> Result<Box<dyn Engine>, JsError> {
    let mut study = CoreStudy::new(space, config, model)?;
    if let Some(start) = start
        && outcomes.len() >= ProfileError::NEEDED
    {
        study.set_baseline(start, Profile::measure(outcomes)?)?;
    }
    Ok(Box::new(study))
}

/// The configuration that a baseline was measured at.
fn baseline_point(
    baseline: Option<&Baseline>,
    file: Option<&WorkflowFile>,
    space: &SearchSpace<MAX_AXES>,
) -> Result<Option<space::Point<MAX_AXES>>, JsError> {
    let Some(baseline) = baseline else { return Ok(None) };
    let Some(levels) = baseline.levels.as_deref().or(file.map(|file| &file.start.0[..])) else {
        return Err(JsError::new("options.baseline.levels: is missing; give one level per axis"));
    };
    let named = |error: space::SpaceError| JsError::new(&format!("options.baseline.levels: {error}"));
    Ok(Some(space.point(levels).map_err(named)?))
}

fn checked(outcome: Outcome) -> Result<Checked, trial::OutcomeError> {
    outcome::Outcome::from(outcome).checked()
}

fn read_id(id: &JsValue) -> Result<TrialId, JsError> {
    Ok(TrialId(plain::read("id", id)?))
}

fn read_outcome(value: &JsValue) -> Result<Checked, JsError> {
    Ok(checked(plain::read("outcome", value)?)?)
}

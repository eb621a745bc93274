//! The search as a state machine: what to measure next, what has been measured, what to recommend. No clock and no I/O; all
//! of it can be written as bytes at any time, and goes on from them bit by bit as it would have.
//!
//! The models do not learn from failed trials. So a function that fails for want of memory is never given as little again:
//! the space loses these levels, and the study begins anew in it with all outcomes that are known.
//!
//! Its calls take up to seconds and much stack: they belong on a thread of their own (see [`super::run`]).

use std::fmt::Display;
use std::sync::Arc;

use aquatope_core::bo::model::{Objective, Posterior};
use aquatope_core::bo::profile::{Profile, ProfileError};
use aquatope_core::bo::snapshot;
use aquatope_core::bo::space::{Axis, SearchSpace};
use aquatope_core::bo::study::{self, StudyConfig};
use aquatope_core::bo::surrogates::Surrogates;
use aquatope_core::bo::trial::TrialId;
use aquatope_core::math::normal::Normal;
use aquatope_core::snapshot::Format;
use aquatope_core::structured::StructuredScratch;
use aquatope_workflow::models::{self, MAX_AXES, MAX_FUNCTIONS, MAX_TRIALS, Structured, StructuredMemory};
use aquatope_workflow::outcome::Outcome;
use aquatope_workflow::space::Point;
use aquatope_workflow::workflow::Decision;
use serde::{Deserialize, Serialize};

use super::error::TuneError;
use super::problem::{Problem, Resources};

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Measure the configuration of today once more.
    Profile(Point),
    /// Measure the trial that is running.
    Trial(Point),
    /// The trials are used up.
    Done,
}

/// A search under way.
pub(super) struct Search {
    problem: Arc<Problem>,
    saved: Saved,
    study: Option<Box<Study>>,
    scratch: Box<StructuredMemory>,
}

type Study = study::Study<Structured, MAX_AXES, MAX_TRIALS, MAX_FUNCTIONS>;

/// Where a search stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// Trials finished.
    pub finished: usize,
    /// All trials, by number.
    pub trials: Vec<TrialReport>,
    /// The configuration to use, as far as is known.
    pub best: Option<Recommended>,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrialReport {
    /// Its number.
    pub id: usize,
    /// What every function got.
    pub resources: Vec<Resources>,
    /// What became of it.
    pub state: TrialState,
}

/// What became of a trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialState {
    /// Not measured yet.
    Running,
    /// Measured.
    Complete {
        /// Cost of a run.
        cost: f64,
        /// End-to-end latency, seconds.
        latency_s: f64,
    },
    /// Could not be measured, for this reason.
    Failed(String),
}

/// The configuration to use.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recommended {
    /// What every function gets.
    pub resources: Vec<Resources>,
    /// Median, low and high end of the central 95 % interval of the cost of a run, without noise.
    pub cost: [f64; 3],
    /// Of the end-to-end latency, seconds.
    pub latency_s: [f64; 3],
    /// Probability that it meets the QoS.
    pub feasible: f64,
    /// Whether that is as much as was asked for; if not, this is the configuration that comes nearest, not one to apply.
    pub qualified: bool,
}

/// A search that ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finished {
    /// The configuration of today, as it was when the search began.
    pub today: Vec<Resources>,
    /// What was measured in its stead: the same, where the space has it.
    pub measured: Vec<Resources>,
    /// Mean cost and latency (s) of that; nothing when it was not measured.
    pub baseline: Option<(f64, f64)>,
    /// Median cost and latency (s) that are believed of it after all trials, without noise; nothing when it was not
    /// measured.
    pub believed: Option<(f64, f64)>,
    /// All trials, by number.
    pub trials: Vec<TrialReport>,
    /// The configuration to use.
    pub recommended: Recommended,
}

impl Finished {
    /// Whether to apply what is recommended: it is another configuration than today's, meets the QoS with the confidence
    /// asked for, and is believed to be cheaper than today's (or that is believed to miss the QoS of `problem`).
    pub fn is_improvement(&self, problem: &Problem) -> bool {
        let better = |(cost, latency_s)| self.recommended.cost[0] < cost || latency_s > problem.qos_s;
        let new = ![&self.today, &self.measured].contains(&&self.recommended.resources);
        new && self.recommended.qualified && self.believed.is_none_or(better)
    }
}

#[derive(Serialize, Deserialize)]
struct Saved {
    of: String,
    today: Vec<Resources>,
    start: Point,
    profile: Vec<Outcome>,
    trials: Vec<Trial>,
    /// The least memory level of every function that is searched.
    floors: Vec<u16>,
    /// The core's snapshot, once there is a study.
    study: Vec<u8>,
    /// The number that the last trial has in the core's study.
    id: u32,
}

#[derive(Serialize, Deserialize)]
struct Trial {
    point: Point,
    state: State,
}

#[derive(Serialize, Deserialize)]
enum State {
    Running,
    Complete(Outcome),
    Failed(String),
}

const SAVED: Format = Format { magic: *b"AQW2", version: snapshot::STUDY.version };

/// Bytes that hold any search: a study of 128 trials takes about 50 kB, a trial's own entry less than 1 kB.
const BYTES: usize = 1 << 20;

/// Quasi-random trials before the model takes over, when there are three times as many in all.
const INITIAL: usize = 10;

impl Search {
    /// A search that begins with what the functions have `today`.
    pub(super) fn begin(problem: Arc<Problem>, today: Vec<Resources>) -> Self {
        let saved = Saved {
            of: problem.fingerprint(),
            start: problem.start(&today),
            today,
            profile: Vec::new(),
            trials: Vec::new(),
            floors: vec![0; problem.workflow.functions.len()],
            study: Vec::new(),
            id: 0,
        };
        Self { problem, saved, study: None, scratch: Box::new(StructuredScratch::new(Surrogates::new())) }
    }

    /// The search that `bytes` hold; nothing when they hold that of another problem, or cannot be read.
    pub(super) fn restore(problem: Arc<Problem>, bytes: &[u8]) -> Option<Self> {
        let unreadable = |error: &dyn Display| {
            tracing::warn!(workflow = problem.name, "the stored search begins anew: it {error}");
        };
        let saved: Saved = SAVED.decode(bytes).inspect_err(|error| unreadable(error)).ok()?;
        if saved.of != problem.fingerprint() {
            return None;
        }
        let study = match saved.study.as_slice() {
            [] => None,
            bytes => Some(Box::new(Study::restore(bytes).inspect_err(|error| unreadable(error)).ok()?)),
        };
        let scratch = Box::new(StructuredScratch::new(Surrogates::new()));
        Some(Self { problem, saved, study, scratch })
    }

    /// What [`Self::restore`] reads.
    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, TuneError> {
        let mut buffer = vec![0; BYTES];
        if let Some(study) = &self.study {
            self.saved.study = study.snapshot(&mut buffer).map_err(|error| self.refused(&error))?.to_vec();
        }
        let used = SAVED.encode(&self.saved, &mut buffer).map_err(|error| self.refused(&error))?.len();
        buffer.truncate(used);
        Ok(buffer)
    }

    /// Whether nothing is left to be measured.
    pub(super) fn is_done(&self) -> bool {
        let Saved { profile, trials, .. } = &self.saved;
        let running = trials.last().is_some_and(|trial| matches!(trial.state, State::Running));
        profile.len() >= self.problem.settings.profile
            && trials.len() >= self.problem.settings.trials
            && !running
    }

    /// What to measure next; a trial that was asked for and not finished comes again.
    pub(super) fn next(&mut self) -> Result<Step, TuneError> {
        if self.saved.profile.len() < self.problem.settings.profile {
            return Ok(Step::Profile(self.saved.start.clone()));
        }
        if let Some(Trial { point, state: State::Running }) = self.saved.trials.last() {
            return Ok(Step::Trial(point.clone()));
        }
        if self.study.is_none() {
            self.study = Some(self.fresh()?);
        }
        let asks = self.saved.trials.len();
        let Some(study) = self.study.as_mut().filter(|_| asks < self.problem.settings.trials) else {
            return Ok(Step::Done);
        };
        let mut rng = models::stream(self.problem.settings.seed, asks as u64);
        let asked = study.ask(1, &mut rng, &mut self.scratch);
        let asked = asked.map_err(|error| refused(&self.problem, &error))?;
        let trial = asked.first().and_then(|&id| study.trial(id));
        let Some((id, levels)) = trial.map(|trial| (trial.id.0, trial.point.indices().to_vec())) else {
            return Ok(Step::Done);
        };
        let point = self.of_study(levels);
        self.saved.id = id;
        self.saved.trials.push(Trial { point: point.clone(), state: State::Running });
        Ok(Step::Trial(point))
    }

    /// An outcome of the configuration of today.
    pub(super) fn profiled(&mut self, outcome: Outcome) -> Result<(), TuneError> {
        outcome.checked().map_err(|error| self.baseline_failed(error.to_string()))?;
        self.saved.profile.push(outcome);
        Ok(())
    }

    /// The configuration of today cannot be measured.
    pub(super) fn baseline_failed(&self, reason: String) -> TuneError {
        TuneError::Baseline { workflow: self.problem.name.clone(), reason }
    }

    /// The outcome of the trial that is running.
    pub(super) fn told(&mut self, outcome: Outcome) -> Result<(), TuneError> {
        let checked = match outcome.checked() {
            Ok(checked) => checked,
            Err(error) => return self.failed(error.to_string(), None),
        };
        let id = TrialId(self.saved.id);
        let told = self.study.as_mut().map_or(Ok(()), |study| study.tell(id, checked));
        told.map_err(|error| self.refused(&error))?;
        self.end(State::Complete(outcome));
        Ok(())
    }

    /// The trial that is running could not be measured; for want of memory in one function, if that is known.
    pub(super) fn failed(&mut self, reason: String, starved: Option<usize>) -> Result<(), TuneError> {
        let id = TrialId(self.saved.id);
        let told = self.study.as_mut().map_or(Ok(()), |study| study.fail(id));
        told.map_err(|error| self.refused(&error))?;
        self.end(State::Failed(reason));
        if let (Some(function), Some(trial)) = (starved, self.saved.trials.last()) {
            let axis = 2 * function + 1;
            // What runs today is enough.
            let floor = (trial.point.0[axis] + 1).min(self.saved.start.0[axis]);
            if floor > self.saved.floors[function] {
                self.saved.floors[function] = floor;
                self.study = Some(self.fresh()?);
            }
        }
        Ok(())
    }

    /// Where it stands.
    pub(super) fn progress(&mut self) -> Progress {
        let trials = self.trials();
        let finished = trials.iter().filter(|trial| trial.state != TrialState::Running).count();
        // Too few outcomes for a model yet: nothing to recommend, and no reason to stop.
        Progress { finished, trials, best: self.recommended().ok() }
    }

    /// What came of it.
    pub(super) fn finish(&mut self) -> Result<Finished, TuneError> {
        let trials = self.trials();
        if !trials.iter().any(|trial| matches!(trial.state, TrialState::Complete { .. })) {
            let reasons = trials.into_iter().rev().filter_map(|trial| match trial.state {
                TrialState::Failed(reason) => Some(reason),
                _ => None,
            });
            let reason = reasons.take(1).collect();
            return Err(TuneError::NothingMeasured { workflow: self.problem.name.clone(), reason });
        }
        let measured = self.saved.profile.len() as f64;
        let total =
            self.saved.profile.iter().fold((0.0, 0.0), |sum, o| (sum.0 + o.cost, sum.1 + o.latency_s));
        Ok(Finished {
            today: self.saved.today.clone(),
            measured: self.problem.resources(&self.saved.start),
            baseline: (measured > 0.0).then_some((total.0 / measured, total.1 / measured)),
            believed: if measured > 0.0 { Some(self.believed_of_today()?) } else { None },
            trials,
            recommended: self.recommended()?,
        })
    }

    fn end(&mut self, state: State) {
        if let Some(trial) = self.saved.trials.last_mut() {
            trial.state = state;
        }
    }

    /// Median cost and latency of today's configuration.
    fn believed_of_today(&mut self) -> Result<(f64, f64), TuneError> {
        let Some(study) = &self.study else { return Err(self.refused(&"nothing was measured")) };
        let today = study.space().point(&self.to_study(&self.saved.start).0);
        let today = today.map_err(|error| refused(&self.problem, &error))?;
        let mut believed = [Posterior::default()];
        study
            .posterior(&[today], &mut believed, &mut self.scratch)
            .map_err(|error| refused(&self.problem, &error))?;
        let [Posterior { ln_cost, ln_latency }] = believed;
        Ok((ln_cost.mean.exp(), ln_latency.mean.exp()))
    }

    fn recommended(&mut self) -> Result<Recommended, TuneError> {
        let Some(study) = &self.study else { return Err(self.refused(&"nothing was measured")) };
        let found = study.recommendation(&mut self.scratch);
        let found = found.map_err(|error| refused(&self.problem, &error))?;
        Ok(Recommended {
            resources: self.problem.resources(&self.of_study(found.point.indices().to_vec())),
            cost: interval(found.ln_cost),
            latency_s: interval(found.ln_latency),
            feasible: found.feasible,
            qualified: found.qualified,
        })
    }

    fn trials(&self) -> Vec<TrialReport> {
        let report = |(id, Trial { point, state }): (usize, &Trial)| TrialReport {
            id,
            resources: self.problem.resources(point),
            state: match state {
                State::Running => TrialState::Running,
                State::Complete(Outcome { cost, latency_s, .. }) => {
                    TrialState::Complete { cost: *cost, latency_s: *latency_s }
                }
                State::Failed(reason) => TrialState::Failed(reason.clone()),
            },
        };
        self.saved.trials.iter().enumerate().map(report).collect()
    }

    /// A study in the space above the floors that knows the configuration of today and all outcomes so far.
    fn fresh(&self) -> Result<Box<Study>, TuneError> {
        let (problem, saved, settings) = (&self.problem, &self.saved, &self.problem.settings);
        let refused = |error: &dyn Display| refused(problem, error);
        let mut axes = Vec::new();
        for (i, Decision { axis, .. }) in problem.workflow.decisions().iter().enumerate() {
            let axis = match self.floor(i) {
                0 => Ok(*axis),
                floor => Axis::new(axis.value(floor), axis.max(), axis.value(1) - axis.min()),
            };
            axes.push(axis.and_then(Axis::log_scaled).map_err(|error| refused(&error))?);
        }
        let space: SearchSpace<MAX_AXES> = SearchSpace::new(&axes).map_err(|error| refused(&error))?;
        let start = space.point(&self.to_study(&saved.start).0).map_err(|error| refused(&error))?;
        let profile: Result<Vec<_>, _> = saved.profile.iter().map(Outcome::checked).collect();
        let profile = profile.map_err(|error| refused(&error))?;
        let mut model =
            models::structured(&problem.workflow, &space, problem.effort).map_err(|error| refused(&error))?;
        model.learn_baseline(&space, &start, &profile);
        let known = saved.trials.iter().filter_map(|trial| match &trial.state {
            State::Complete(outcome) => Some((self.to_study(&trial.point), outcome)),
            State::Running | State::Failed(_) => None,
        });
        let known: Vec<_> = known.collect();
        let config = StudyConfig {
            objective: Objective { latency_limit: problem.qos_s, confidence: settings.confidence },
            initial: INITIAL.min(settings.trials.div_ceil(3)).saturating_sub(known.len()) as u16,
            // Another design in every space.
            seed: settings.seed.wrapping_add(saved.floors.iter().map(|&floor| u64::from(floor)).sum()),
        };
        let mut study = Box::new(Study::new(space, config, model).map_err(|error| refused(&error))?);
        if profile.len() >= ProfileError::NEEDED {
            let profile = Profile::measure(&profile).map_err(|error| refused(&error))?;
            study.set_baseline(start, profile).map_err(|error| refused(&error))?;
        }
        for (point, outcome) in known {
            // A point below a floor ran once and failed later: nothing to rely on.
            if let (Ok(point), Ok(outcome)) = (study.space().point(&point.0), outcome.checked()) {
                study.record(point, outcome).map_err(|error| refused(&error))?;
            }
        }
        Ok(study)
    }

    /// The lowest level of an axis that is searched.
    fn floor(&self, axis: usize) -> u16 {
        if axis % 2 == 1 { self.saved.floors[axis / 2] } else { 0 }
    }

    /// Levels in the study's space; one below the floor becomes a level that the space does not have.
    fn to_study(&self, point: &Point) -> Point {
        let level = |(axis, &level): (usize, &u16)| level.checked_sub(self.floor(axis)).unwrap_or(u16::MAX);
        Point(point.0.iter().enumerate().map(level).collect())
    }

    fn of_study(&self, levels: Vec<u16>) -> Point {
        Point(levels.into_iter().enumerate().map(|(axis, level)| level + self.floor(axis)).collect())
    }

    fn refused(&self, error: &dyn Display) -> TuneError {
        refused(&self.problem, error)
    }
}

fn refused(problem: &Problem, error: &dyn Display) -> TuneError {
    TuneError::Search { workflow: problem.name.clone(), reason: error.to_string() }
}

/// Median and 95 % interval of a quantity whose logarithm is normal: median, low, high.
fn interval(ln: Normal) -> [f64; 3] {
    [ln.mean.exp(), ln.quantile(0.025).exp(), ln.quantile(0.975).exp()]
}

#[cfg(test)]
mod tests {
    use aquatope_workflow::workflow_file::WorkflowFile;
    use serde_json::json;

    use super::*;
    use crate::tune::Settings;

    fn problem(input: &str) -> Problem {
        let text = json!({
            "schema": "aquatope-workflow/1", "name": "w", "functions": [{"name": "a"}], "edges": [], "edge_overhead_s": 0,
            "prices": {"cpu_per_core_s": 1, "mem_per_gb_s": 1}, "qos_s": 2.0,
            "space": {"cpu": {"min": 1, "max": 1, "step": 1}, "mem_mb": {"min": 256, "max": 1024, "step": 256}},
        });
        let file = WorkflowFile::parse("w.json", &text.to_string()).unwrap();
        Problem::new(&file, json!({ "secret": input }), Settings::default()).unwrap()
    }

    fn mb(memory_mb: u32) -> Vec<Resources> {
        vec![Resources { memory_mb, cpu: None }]
    }

    #[test]
    fn today_is_no_improvement_on_itself() {
        let finished = |recommended: u32, cost, believed| Finished {
            today: mb(600),
            measured: mb(768),
            baseline: Some((10.0, 1.0)),
            believed,
            trials: Vec::new(),
            recommended: Recommended {
                resources: mb(recommended),
                cost: [cost; 3],
                latency_s: [1.0; 3],
                feasible: 1.0,
                qualified: true,
            },
        };
        let improves = |finished: Finished| finished.is_improvement(&problem(""));
        // Beliefs are compared with beliefs: the mean of the noisy runs, 10, does not count.
        assert!(improves(finished(512, 8.0, Some((9.0, 1.0)))));
        assert!(!improves(finished(512, 9.5, Some((9.0, 1.0)))));
        assert!(improves(finished(512, 9.5, Some((9.0, 3.0)))), "today misses the QoS");
        assert!(!improves(finished(768, 8.0, Some((9.0, 3.0)))));
        assert!(!improves(finished(600, 8.0, None)));
        assert!(improves(finished(512, 8.0, None)));
    }

    #[test]
    fn production_off_the_grid_is_measured_with_no_less_memory() {
        let problem = problem("");
        let measured = |memory_mb| problem.resources(&problem.start(&mb(memory_mb)));
        assert_eq!([100, 256, 257, 600, 1024].map(measured), [256, 256, 512, 768, 1024].map(mb));
        // As far as the space goes.
        assert_eq!(measured(2048), mb(1024));
    }

    #[test]
    fn what_is_stored_holds_no_argument_and_what_cannot_be_read_begins_anew() {
        let check = || {
            let hidden = Arc::new(problem("open sesame"));
            assert_ne!(hidden.fingerprint(), problem("open barley").fingerprint());
            let bytes = Search::begin(hidden.clone(), mb(600)).bytes().unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"sesame"));
            assert_eq!(Search::restore(hidden.clone(), &bytes).unwrap().saved.today, mb(600));
            assert!(Search::restore(hidden, &bytes[..bytes.len() / 2]).is_none());
            assert!(Search::restore(Arc::new(problem("")), &bytes).is_none());
        };
        // Models build their working memory by value.
        let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(check).unwrap();
        thread.join().unwrap();
    }
}

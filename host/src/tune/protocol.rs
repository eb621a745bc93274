//! `aquatope tune --ask-tell`: a study driven from outside, one JSON object a line on stdin, one on stdout.
//!
//! | request | reply |
//! |---|---|
//! | `{"cmd":"init","protocol":1,"d":6,"q":3,"n_init":10,"budget":70,"qos":3.9,"seed":0,"levels":[40,31,..],"baseline_profile":{"x":[1,..],"cost":[..],"latency":[..],"durations":[[..],..]},"workflow":{..}}` | `{"ok":true,"name":"..","trials":n}` |
//! | `{"cmd":"ask"}` | `{"x":[[d numbers in 0..1],..],"ids":[..]}`: `n_init` points at first, then up to `q` |
//! | `{"cmd":"tell","obs":[{"id":0,"x":[..],"cost":c,"latency":l,"cost_var":null,"latency_var":null,"durations":[..]},..]}` | `{"ok":true}` |
//! | `{"cmd":"fail","id":0,"reason":".."}` | `{"ok":true}`: this trial could not be measured |
//! | `{"cmd":"recommend"}` | `{"x":[d numbers],"feasible":p,"cost":..,"latency":..}` |
//! | `{"cmd":"candgen","X":[[..],..],"cost":[..],"latency":[..],"qos":..,"noise_var_log":..,"q":3,"mc":32,"restarts":10,"raw":32,"maxiter":200,"seed":0}` | `{"x":[[..],..],"t":{"fit":s,"acq":s},"nev":n}`: one black-box batch from given data, for benchmarks; no study is touched |
//! | `{"cmd":"quit"}` | ends |
//!
//! Axis `2i` is the CPU of function i, axis `2i + 1` its memory; after these comes one axis for every function whose
//! `concurrency` is a range (see [`super::workflow`]); `x` is `level / (levels - 1)`. Trials are numbered from
//! 0 in the order they were asked. `baseline_profile` (measurements of today's configuration) and `workflow` (the
//! schema of workflow files without the simulator's fields) are optional; without them the search knows the grid
//! only. A fault is answered by `{"error":"text"}` and changes nothing. With `--state FILE` the study continues
//! where it stopped: `init` answers how many trials there are, and the first ask returns those still waiting.

use std::io::{BufRead, Read, Write};
use std::path::PathBuf;

use aquatope_workflow::fault;
use serde_json::{Value, json};

use crate::error::{Error, Result};

use super::candgen;
use super::evaluator::read_outcome;
use super::json::Field;
use super::method::Method;
use super::modelled::convert;
use super::problem::{Anomalies, Effort, MAX_TRIALS, Problem};
use super::space::Point;
use super::store::{Record, Store};
use super::study::{Study, check_settings};
use super::trial::Outcome;
use super::workflow::Workflow;

/// The conversation: options from the command line, and the study once `init` came.
pub struct Session {
    method: Method,
    confidence: f64,
    effort: Effort,
    anomalies: Anomalies,
    state: Option<PathBuf>,
    active: Option<(Problem, Study)>,
    /// Trials of the state file that still wait; the first ask returns them.
    waiting: Vec<usize>,
}

/// What to do after a line.
enum Answer {
    Reply(Value),
    Quit,
}

impl Session {
    /// A session that will study with `method` and keep its state in the file `state`.
    pub fn new(
        method: Method,
        confidence: f64,
        effort: Effort,
        anomalies: Anomalies,
        state: Option<PathBuf>,
    ) -> Self {
        Self { method, confidence, effort, anomalies, state, active: None, waiting: Vec::new() }
    }

    /// Answer the lines of `input` until it ends or says quit.
    pub fn run(&mut self, mut input: impl BufRead, mut output: impl Write) -> Result<()> {
        let failed =
            |error: std::io::Error| Error::Failed(format!("the other end of --ask-tell is gone: {error}"));
        let mut bytes = Vec::new();
        for number in 1_u64.. {
            bytes.clear();
            if input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes).map_err(failed)? == 0 {
                break;
            }
            let source = format!("line {number}");
            let line = text(&source, &bytes);
            if line.as_ref().is_ok_and(|line| line.trim().is_empty()) {
                continue;
            }
            let reply = match line.and_then(|line| self.answer(&source, line)) {
                Ok(Answer::Reply(reply)) => reply,
                Ok(Answer::Quit) => return Ok(()),
                Err(error) => json!({ "error": error.to_string() }),
            };
            if is_cut_off(&bytes) {
                input.skip_until(b'\n').map_err(failed)?;
            }
            writeln!(output, "{reply}").and_then(|()| output.flush()).map_err(failed)?;
        }
        Ok(())
    }

    fn answer(&mut self, source: &str, line: &str) -> Result<Answer> {
        let document = super::json::parse(source, line)?;
        let request = Field::root(source, &document);
        let reply = match request.get("cmd").text()? {
            "init" => self.init(&request)?,
            "ask" => self.ask()?,
            "tell" => self.tell(&request)?,
            "fail" => self.fail(&request)?,
            "recommend" => self.recommend()?,
            "candgen" => candgen::answer(&request)?,
            "quit" => return Ok(Answer::Quit),
            other => {
                let mend = "use init, ask, tell, fail, recommend, candgen or quit";
                return Err(request.get("cmd").fault(format!("unknown command {other:?}"), mend).into());
            }
        };
        Ok(Answer::Reply(reply))
    }

    fn init(&mut self, request: &Field) -> Result<Value> {
        if self.active.is_some() {
            return Err(request
                .get("cmd")
                .fault("the study has begun already", "start another process for another study")
                .into());
        }
        let problem = self.read_problem(request)?;
        let sampler = self.method.sampler(&problem)?;
        let settings = self.method.settings(&problem);
        let (store, record) = match &self.state {
            None => (None, Record::default()),
            Some(path) => {
                let (store, record) = Store::open(path)?;
                if let Some(record) = &record {
                    check_settings(&path.display().to_string(), record, &settings)?;
                }
                (Some(store), record.unwrap_or_default())
            }
        };
        let record = Record { settings, ..record };
        let study = Study::new(record, sampler, store, problem.seed)?;
        let reply = json!({ "ok": true, "name": self.method.for_problem(&problem).name(), "trials": study.trials().len() });
        self.waiting = study.running();
        self.active = Some((problem, study));
        Ok(reply)
    }

    fn ask(&mut self) -> Result<Value> {
        let mut resumed = std::mem::take(&mut self.waiting);
        let (problem, study) = self.active()?;
        resumed.retain(|&id| study.expect_running(id).is_ok());
        let asked = study.trials().len();
        let ids = if resumed.is_empty() {
            let wanted = if asked == 0 { problem.initial } else { problem.batch };
            let left = problem.trials.saturating_sub(asked);
            if left == 0 {
                let what = format!("the budget of {} trials is used up", problem.trials);
                return Err(Error::input(
                    "ask",
                    what,
                    "ask for a recommendation, or init with a greater budget",
                ));
            }
            study.ask(wanted.min(left))?
        } else {
            resumed
        };
        let x: Vec<Vec<f64>> = ids.iter().map(|&id| study.point(id).unit(&problem.levels)).collect();
        Ok(json!({ "x": x, "ids": ids }))
    }

    fn tell(&mut self, request: &Field) -> Result<Value> {
        let (problem, study) = self.active()?;
        let mut told: Vec<(usize, Outcome)> = Vec::new();
        for item in request.get("obs").items()? {
            let id = item.get("id").whole(0)? as usize;
            study
                .expect_running(id)
                .map_err(|error| item.get("id").fault(error.to_string(), "nothing was told"))?;
            if told.iter().any(|(other, _)| *other == id) {
                return Err(item
                    .get("id")
                    .fault(format!("trial {id} stands twice"), "tell every trial once")
                    .into());
            }
            if read_point(&item.get("x"), &problem.levels)? != *study.point(id) {
                let what = format!("is not the configuration asked as trial {id}");
                return Err(item.get("x").fault(what, "measure the points that ask returned").into());
            }
            let functions = problem.workflow.as_ref().map(|workflow| workflow.functions.len());
            let outcome = read_outcome(&item, functions)?;
            // What the study would refuse is refused before anything is told.
            convert(&outcome)?;
            told.push((id, outcome));
        }
        study.tell(told)?;
        Ok(json!({ "ok": true }))
    }

    fn fail(&mut self, request: &Field) -> Result<Value> {
        let (_, study) = self.active()?;
        let id = request.get("id").whole(0)? as usize;
        let reason = match request.get("reason").present() {
            Some(reason) => reason.text()?.to_string(),
            None => "unspecified".into(),
        };
        study.fail(id, reason)?;
        Ok(json!({ "ok": true }))
    }

    fn recommend(&mut self) -> Result<Value> {
        let (problem, study) = self.active()?;
        let recommendation = study.recommend()?;
        let mut reply = json!({ "x": recommendation.point.unit(&problem.levels) });
        if let Some(prediction) = recommendation.prediction {
            reply["feasible"] = json!(prediction.feasible);
            reply["cost"] = json!(prediction.cost.median);
            reply["latency"] = json!(prediction.latency_s.median);
        }
        Ok(reply)
    }

    fn read_problem(&self, request: &Field) -> Result<Problem> {
        let protocol = request.get("protocol").whole(1)?;
        if protocol != PROTOCOL {
            return Err(request
                .get("protocol")
                .fault(format!("is {protocol}"), format!("this program speaks {PROTOCOL}"))
                .into());
        }
        let workflow =
            request.get("workflow").present().map(|workflow| Workflow::read(&workflow)).transpose()?;
        let level = |field: &Field| -> fault::Result<u16> {
            let levels = field.whole(1)?;
            u16::try_from(levels).map_err(|_| field.fault(format!("is {levels}"), "use at most 65535 levels"))
        };
        let levels: Vec<u16> =
            request.get("levels").items()?.iter().map(level).collect::<fault::Result<_>>()?;
        let d = request.get("d").whole(1)? as usize;
        if levels.len() != d {
            return Err(request
                .get("levels")
                .fault(format!("has {} entries for d = {d}", levels.len()), "give one an axis")
                .into());
        }
        if workflow.as_ref().is_some_and(|workflow| workflow.levels() != levels) {
            return Err(request
                .get("levels")
                .fault("differ from those of workflow.space", "give the same grid in both")
                .into());
        }
        let (start, profile) = match request.get("baseline_profile").present() {
            None => {
                let top = || Point(levels.iter().map(|levels| levels - 1).collect());
                (workflow.as_ref().map_or_else(top, Workflow::largest), Vec::new())
            }
            Some(profile) => {
                (read_point(&profile.get("x"), &levels)?, read_profile(&profile, workflow.as_ref())?)
            }
        };
        let trials =
            request.get("budget").present().map_or(Ok(MAX_TRIALS as u64), |budget| budget.whole(1))?;
        let problem = Problem {
            qos_s: request.get("qos").positive()?,
            confidence: self.confidence,
            initial: request.get("n_init").whole(1)? as usize,
            batch: request.get("q").whole(1)? as usize,
            trials: trials as usize,
            seed: request.get("seed").whole(0)?,
            levels,
            workflow,
            start,
            profile,
            effort: self.effort,
            anomalies: self.anomalies,
        };
        problem.check_capacity("init")?;
        Ok(problem)
    }

    fn active(&mut self) -> Result<&mut (Problem, Study)> {
        self.active.as_mut().ok_or_else(|| Error::input("cmd", "there is no study yet", "send init first"))
    }
}

/// The longest line in bytes: one without an end must not fill the memory. The longest useful one, a tell of 128
/// trials of 16 functions, has less than a hundredth of that.
const LONGEST_LINE: u64 = 16 << 20;

fn is_cut_off(line: &[u8]) -> bool {
    line.len() as u64 == LONGEST_LINE && !line.ends_with(b"\n")
}

/// A line as text.
fn text<'b>(source: &str, bytes: &'b [u8]) -> Result<&'b str> {
    if is_cut_off(bytes) {
        let what = format!("is longer than {} MB", LONGEST_LINE >> 20);
        return Err(Error::input(source, what, "send one JSON object a line"));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let at = format!("{source}: byte {}", error.valid_up_to() + 1);
        Error::input(at, "is not UTF-8", "send JSON as UTF-8")
    })
}

/// The version of the protocol this module speaks.
const PROTOCOL: u64 = 1;

fn read_profile(profile: &Field, workflow: Option<&Workflow>) -> Result<Vec<Outcome>> {
    let list = |name: &str| profile.get(name).items();
    let (costs, latencies) = (list("cost")?, list("latency")?);
    let durations =
        profile.get("durations").present().map(|field| field.items()).transpose()?.unwrap_or_default();
    if latencies.len() != costs.len() || (!durations.is_empty() && durations.len() != costs.len()) {
        return Err(profile
            .fault("has lists of different lengths", "give cost, latency and durations of every sample")
            .into());
    }
    let sample = |i: usize| -> Result<Outcome> {
        let seconds = match durations.get(i) {
            None => Vec::new(),
            Some(list) => list.items()?.iter().map(Field::positive).collect::<fault::Result<_>>()?,
        };
        if let (Some(workflow), Some(list)) = (workflow, durations.get(i))
            && seconds.len() != workflow.functions.len()
        {
            let what = format!("has {} entries", seconds.len());
            return Err(list.fault(what, "give one duration a function").into());
        }
        Ok(Outcome {
            cost: costs[i].positive()?,
            latency_s: latencies[i].positive()?,
            cost_variance: None,
            latency_variance: None,
            durations: seconds,
        })
    };
    (0..costs.len()).map(sample).collect()
}

fn read_point(field: &Field, levels: &[u16]) -> Result<Point> {
    let x = field.numbers()?;
    if x.len() != levels.len() {
        return Err(field
            .fault(format!("has {} coordinates", x.len()), format!("give {}", levels.len()))
            .into());
    }
    Ok(Point::nearest(&x, levels))
}

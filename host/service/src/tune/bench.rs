//! The measuring bench: clones of a workflow's actions, and runs of the workflow on them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aquatope_openwhisk::error::{Cause, RestError};
use aquatope_openwhisk::event::Status;
use aquatope_openwhisk::records::{Action, Limits, Record};
use aquatope_openwhisk::rest::{Invoked, Wait};
use aquatope_workflow::fault::Fault;
use aquatope_workflow::outcome::Outcome;
use aquatope_workflow::space::Point;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::change::same_cpu;
use super::error::TuneError;
use super::execution::Execution;
use super::patient::Patient;
use super::problem::{Problem, Resources};

/// Clones of a workflow's actions.
#[derive(Debug)]
pub(super) struct Bench<'p> {
    platform: Patient,
    problem: &'p Problem,
    /// The clones' names, and what each has got.
    clones: Vec<(String, Option<Resources>)>,
    turns: Turns,
}

/// Runs until all stages are warm, and in total for every sample, before a configuration counts as one that cannot be
/// kept warm.
const COLD_RUNS: usize = 20;

/// Failed runs of one configuration before it counts as one that fails.
const FAILED_RUNS: usize = 3;

/// Stages never take less than the platform's clock can tell.
const RESOLUTION_S: f64 = 0.001;

/// Why a configuration has no outcome.
#[derive(Debug)]
pub(super) struct Obstacle {
    /// What happened, for people.
    pub reason: String,
    /// The function whose container failed, again and again: it has too little memory, as far as can be told.
    pub starved: Option<usize>,
}

/// One stage of a run.
struct Stage {
    execution_s: f64,
    wait_s: f64,
    cold: bool,
}

impl<'p> Bench<'p> {
    /// Clones every action of the workflow.
    ///
    /// # Errors
    /// An action that is missing or a sequence, a platform without a limit that is to be searched, or calls the platform
    /// refuses.
    pub(super) async fn prepare(platform: &Patient, problem: &'p Problem) -> Result<Self, TuneError> {
        let mut actions = Vec::new();
        for function in &problem.workflow.functions {
            actions.push(production(platform, problem, &function.name, true).await?);
        }
        let clones = problem.workflow.functions.iter().map(|f| (clone_name(&f.name, &problem.name), None));
        let turns = Turns::new(platform.pace.invocation);
        let bench = Self { platform: platform.clone(), problem, clones: clones.collect(), turns };
        bench.clone_actions(&actions).await?;
        Ok(bench)
    }

    async fn clone_actions(&self, actions: &[Action]) -> Result<(), TuneError> {
        let client = &self.platform.client;
        for ((clone, _), action) in self.clones.iter().zip(actions) {
            self.platform.call(|| client.put_action(clone, action, true)).await?;
        }
        let Some((clone, _)) = self.clones.first().filter(|_| self.problem.settings.cpu_limits) else {
            return Ok(());
        };
        // Upstream accepts the limit, ignores it and answers 200.
        let asked = Limits { cpu: Some(self.problem.workflow.cpu.max()), ..Limits::default() };
        let put = self.platform.call(|| client.put_limits(clone, &asked)).await?;
        if same_cpu(put.limits.cpu, asked.cpu) {
            return Ok(());
        }
        Err(Fault {
            at: format!("workflow {}: cpu_limits", self.problem.name),
            what: "the platform does not keep limits.cpu".into(),
            mend: "set it to false: CPU comes with memory there".into(),
        }
        .into())
    }

    /// The outcome of a configuration, or why it has none.
    ///
    /// # Errors
    /// Calls the platform refuses for reasons that are not the configuration's: nothing is known of it.
    pub(super) async fn measure(&mut self, point: &Point) -> Result<Result<Outcome, Obstacle>, RestError> {
        if let Err(obstacle) = self.configure(point).await? {
            return Ok(Err(obstacle));
        }
        let samples = self.problem.settings.samples;
        let functions = self.problem.workflow.functions.len();
        let mut outcome = Outcome {
            cost: 0.0,
            latency_s: 0.0,
            cost_variance: None,
            latency_variance: None,
            durations: vec![0.0; functions],
        };
        let share = 1.0 / samples as f64;
        let (mut warm, mut taken, mut cold, mut failed) = (false, 0, 0, 0);
        while taken < samples {
            let stages = match self.run().await? {
                Ok(stages) => stages,
                Err(obstacle) => {
                    failed += 1;
                    if failed == FAILED_RUNS {
                        return Ok(Err(obstacle));
                    }
                    continue;
                }
            };
            if stages.iter().any(|stage| stage.cold) {
                cold += 1;
                if cold > COLD_RUNS {
                    let reason = format!("{cold} runs began with a cold start: its containers do not stay");
                    return Ok(Err(Obstacle { reason, starved: None }));
                }
                continue;
            }
            // The first warm run only shows that all containers are there.
            if !std::mem::replace(&mut warm, true) {
                continue;
            }
            taken += 1;
            let durations: Vec<f64> = stages.iter().map(|stage| stage.execution_s).collect();
            let with_waits: Vec<f64> = stages.iter().map(|stage| stage.execution_s + stage.wait_s).collect();
            let (cost, _) = self.problem.workflow.compose(point, &durations);
            outcome.cost += share * cost;
            outcome.latency_s += share * self.problem.workflow.latency(&with_waits);
            for (mean, duration) in outcome.durations.iter_mut().zip(durations) {
                *mean += share * duration;
            }
        }
        Ok(Ok(outcome))
    }

    /// Gives the clones the resources of `point`; those that have them keep their containers.
    async fn configure(&mut self, point: &Point) -> Result<Result<(), Obstacle>, RestError> {
        let Self { platform, problem, clones, .. } = self;
        for ((clone, has), wanted) in clones.iter_mut().zip(problem.resources(point)) {
            if *has == Some(wanted) {
                continue;
            }
            // Whatever becomes of the call: what the clone has is not known until it succeeds.
            *has = None;
            let limits = wanted.limits();
            match platform.call(|| platform.client.put_limits(clone, &limits)).await {
                Ok(_) => *has = Some(wanted),
                // Limits out of bounds; but so is a PUT of limits for an action that somebody has deleted.
                Err(error) if matches!(error.cause, Cause::Refused { status: 400, .. }) => {
                    return match platform.call(|| platform.client.action(clone, false)).await? {
                        Some(_) => Ok(Err(Obstacle { reason: error.to_string(), starved: None })),
                        None => Err(error),
                    };
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Ok(()))
    }

    /// Runs the workflow once: stages in order, those that do not depend on each other at the same time.
    async fn run(&self) -> Result<Result<Vec<Stage>, Obstacle>, RestError> {
        let mut execution = Execution::new(&self.problem.workflow, &self.problem.input);
        let mut stages: Vec<Option<Stage>> = self.clones.iter().map(|_| None).collect();
        let mut running = JoinSet::new();
        loop {
            while let Some((function, input)) = execution.next() {
                let (platform, turns) = (self.platform.clone(), self.turns.clone());
                let clone = self.clones[function].0.clone();
                running.spawn(async move { (function, invoke(&platform, &turns, &clone, &input).await) });
            }
            let Some(ended) = running.join_next().await else { break };
            let (function, record) = ended.expect("an invocation does not panic");
            let record = match record? {
                Ok(record) => record,
                Err((status, activation)) => {
                    let words = status.words();
                    return Ok(Err(Obstacle {
                        reason: format!("{}: {words}: activation {activation}", self.clones[function].0),
                        starved: (status == Status::DeveloperError).then_some(function),
                    }));
                }
            };
            stages[function] = Some(Stage {
                execution_s: (record.execution_ms() as f64 / 1000.0).max(RESOLUTION_S),
                wait_s: record.wait_ms().max(0) as f64 / 1000.0,
                cold: record.init_ms() > 0,
            });
            execution.finished(function, record.response.map(|response| response.result).unwrap_or_default());
        }
        // Every function of an acyclic graph was started.
        Ok(Ok(stages.into_iter().flatten().collect()))
    }
}

/// Who may invoke when: the namespace's rate limit is its users'.
#[derive(Clone, Debug)]
struct Turns {
    next: Arc<Mutex<Instant>>,
    spacing: Duration,
}

impl Turns {
    fn new(spacing: Duration) -> Self {
        Self { next: Arc::new(Mutex::new(Instant::now())), spacing }
    }

    /// Returns when it is the caller's turn.
    async fn take(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + self.spacing;
            turn
        };
        sleep_until(turn).await;
    }
}

/// The record of a successful run of `action`; otherwise how it ended, and its activation.
async fn invoke(
    platform: &Patient,
    turns: &Turns,
    action: &str,
    input: &Value,
) -> Result<Result<Record, (Status, String)>, RestError> {
    let wait = Wait::UpTo(Duration::from_secs(60));
    let call = async || {
        turns.take().await;
        platform.client.invoke(action, input, wait).await
    };
    let record = match platform.call(call).await? {
        Invoked::Finished(record) => *record,
        Invoked::Accepted { id } => awaited(platform, id).await?,
    };
    Ok(match record.status() {
        Status::Success => Ok(record),
        status => Err((status, record.activation_id)),
    })
}

/// The record of a run that lasts longer than a blocking call.
async fn awaited(platform: &Patient, id: String) -> Result<Record, RestError> {
    let Patient { client, pace } = platform;
    let looks = (pace.record.as_secs_f64() / pace.poll.as_secs_f64().max(0.001)).ceil() as u64;
    for _ in 0..looks {
        sleep(pace.poll).await;
        if let Some(record) = platform.call(|| client.activation(&id)).await? {
            return Ok(record);
        }
    }
    let why = format!("no record after {} s", pace.record.as_secs_f64());
    Err(RestError { at: format!("activation {id}"), cause: Cause::Unexpected(why) })
}

/// An action of the workflow as it is in production; only read.
pub(super) async fn production(
    platform: &Patient,
    problem: &Problem,
    name: &str,
    code: bool,
) -> Result<Action, TuneError> {
    let fault = |what: &str, mend: &str| Fault {
        at: format!("workflow {}: function {name}", problem.name),
        what: what.into(),
        mend: mend.into(),
    };
    let action = platform.call(|| platform.client.action(name, code)).await?;
    let action =
        action.ok_or_else(|| fault("is no action of the namespace", "name functions as OpenWhisk does"))?;
    if action.kind() == "sequence" {
        return Err(fault("is a sequence", "name its components, and the edges between them").into());
    }
    Ok(action)
}

/// Between the names of action and workflow in the name of a clone.
const MARK: &str = "__aquatope_";

/// Whether an action, by whatever part of its name, is a clone made for trials. Its runs are no load to prepare for.
pub fn is_clone(action: &str) -> bool {
    action.contains(MARK)
}

/// Whether it is one made for trials of `workflow`.
pub(crate) fn is_clone_of(action: &str, workflow: &str) -> bool {
    action.rsplit_once(MARK).is_some_and(|(_, of)| of == in_name(workflow))
}

/// Whether the clones of `workflow` can be told from those of others by their names.
pub(super) fn can_be_told(workflow: &str) -> bool {
    is_clone_of(&clone_name("", workflow), workflow)
}

fn clone_name(action: &str, workflow: &str) -> String {
    format!("{action}{MARK}{}", in_name(workflow))
}

/// In the characters that names of actions may have. Of the workflows of a namespace no two may be the same in these.
pub(crate) fn in_name(workflow: &str) -> String {
    let allowed =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@') { c } else { '-' };
    workflow.chars().map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_told_apart_by_workflow() {
        let clone = clone_name("img/left", "my album");
        assert_eq!(clone, "img/left__aquatope_my-album");
        assert!(is_clone(&clone) && is_clone_of(&clone, "my album"));
        assert!(!["album", "my album 2", "my"].iter().any(|other| is_clone_of(&clone, other)));
        assert!(!is_clone("img/left") && !is_clone_of("my-album", "my album"));
        let clone = clone_name("a__aquatope_b", "w");
        assert!(is_clone_of(&clone, "w") && !is_clone_of(&clone, "b__aquatope_w"));
        let told = ["w", "_w", "aquatope_w", "_aquatope_w", "a__aquatope_w"].map(can_be_told);
        assert_eq!(told, [true, true, true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn invocations_keep_their_distance() {
        let turns = Turns::new(Duration::from_secs(2));
        let began = Instant::now();
        let mut running = JoinSet::new();
        for _ in 0..4 {
            let turns = turns.clone();
            running.spawn(async move { turns.take().await });
        }
        running.join_all().await;
        assert_eq!(began.elapsed().as_secs(), 6);
        // What was not used is no credit.
        sleep(Duration::from_secs(60)).await;
        for _ in 0..2 {
            turns.take().await;
        }
        assert_eq!(began.elapsed().as_secs(), 68);
    }
}

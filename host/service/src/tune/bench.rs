//! The measuring bench: clones of a workflow's actions, and runs of the workflow on them.

use std::time::Duration;

use aquatope_openwhisk::error::RestError;
use aquatope_openwhisk::event::Status;
use aquatope_openwhisk::records::{Action, Record};
use aquatope_openwhisk::rest::{Invoked, Wait};
use aquatope_workflow::fault::Fault;
use aquatope_workflow::outcome::Outcome;
use aquatope_workflow::space::Point;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

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

impl From<String> for Obstacle {
    fn from(reason: String) -> Self {
        Self { reason, starved: None }
    }
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
    /// An action that is missing or a sequence, or calls the platform refuses; no clone is left then.
    pub(super) async fn prepare(platform: &Patient, problem: &'p Problem) -> Result<Self, TuneError> {
        let mut actions = Vec::new();
        for function in &problem.workflow.functions {
            actions.push(production(platform, problem, &function.name, true).await?);
        }
        let clones =
            problem.workflow.functions.iter().map(|f| (clone_name(&f.name, &problem.name), None)).collect();
        let bench = Self { platform: platform.clone(), problem, clones };
        for ((clone, _), action) in bench.clones.iter().zip(&actions) {
            if let Err(error) = platform.call(|| platform.client.put_action(clone, action, true)).await {
                bench.remove().await?;
                return Err(error.into());
            }
        }
        Ok(bench)
    }

    /// The outcome of a configuration, or why it has none.
    pub(super) async fn measure(&mut self, point: &Point) -> Result<Outcome, Obstacle> {
        self.configure(point).await.map_err(|error| error.to_string())?;
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
            let stages = match self.run().await {
                Ok(stages) => stages,
                Err(obstacle) => {
                    failed += 1;
                    if failed == FAILED_RUNS {
                        return Err(obstacle);
                    }
                    continue;
                }
            };
            if stages.iter().any(|stage| stage.cold) {
                cold += 1;
                if cold > COLD_RUNS {
                    return Err(
                        format!("{cold} runs began with a cold start: its containers do not stay").into()
                    );
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
        Ok(outcome)
    }

    /// Gives the clones the resources of `point`; those that have them keep their containers.
    async fn configure(&mut self, point: &Point) -> Result<(), RestError> {
        for ((clone, has), wanted) in self.clones.iter_mut().zip(self.problem.resources(point)) {
            if *has != Some(wanted) {
                // Whatever becomes of the call: what the clone has is not known until it succeeds.
                *has = None;
                let limits = wanted.limits();
                self.platform.call(|| self.platform.client.put_limits(clone, &limits)).await?;
                *has = Some(wanted);
            }
        }
        Ok(())
    }

    /// Runs the workflow once: stages in order, those that do not depend on each other at the same time.
    async fn run(&self) -> Result<Vec<Stage>, Obstacle> {
        let mut execution = Execution::new(&self.problem.workflow, &self.problem.input);
        let mut stages: Vec<Option<Stage>> = self.clones.iter().map(|_| None).collect();
        let mut running = JoinSet::new();
        loop {
            while let Some((function, input)) = execution.next() {
                let (platform, clone) = (self.platform.clone(), self.clones[function].0.clone());
                running.spawn(async move { (function, invoke(&platform, &clone, &input).await) });
            }
            let Some(ended) = running.join_next().await else { break };
            let (function, record) = ended.map_err(|error| error.to_string())?;
            let record = record.map_err(|(status, reason)| Obstacle {
                reason: format!("{}: {reason}", self.clones[function].0),
                starved: (status == Some(Status::DeveloperError)).then_some(function),
            })?;
            stages[function] = Some(Stage {
                execution_s: (record.execution_ms() as f64 / 1000.0).max(RESOLUTION_S),
                wait_s: record.wait_ms().max(0) as f64 / 1000.0,
                cold: record.init_ms() > 0,
            });
            execution.finished(function, record.response.map(|response| response.result).unwrap_or_default());
        }
        // Every function of an acyclic graph was started.
        Ok(stages.into_iter().flatten().collect())
    }

    /// Deletes the clones.
    pub(super) async fn remove(self) -> Result<(), RestError> {
        for (clone, _) in &self.clones {
            self.platform.call(|| self.platform.client.delete_action(clone)).await?;
        }
        Ok(())
    }
}

/// The record of a successful run of `action`; otherwise how it ended, if it ran, and why.
async fn invoke(platform: &Patient, action: &str, input: &Value) -> Result<Record, (Option<Status>, String)> {
    let wait = Wait::UpTo(Duration::from_secs(60));
    let invoked = platform.call(|| platform.client.invoke(action, input, wait)).await;
    let record = match invoked.map_err(|error| (None, error.to_string()))? {
        Invoked::Finished(record) => *record,
        Invoked::Accepted { id } => awaited(platform, &id).await.map_err(|reason| (None, reason))?,
    };
    match record.status() {
        Status::Success => Ok(record),
        status => {
            let said = record.response.map(|response| response.result).unwrap_or_default();
            let said: String = said.to_string().chars().take(200).collect();
            Err((Some(status), format!("{}: {said}", status.words())))
        }
    }
}

/// The record of a run that lasts longer than a blocking call.
async fn awaited(platform: &Patient, id: &str) -> Result<Record, String> {
    let Patient { client, pace } = platform;
    let looks = (pace.record.as_secs_f64() / pace.poll.as_secs_f64().max(0.001)).ceil() as u64;
    for _ in 0..looks {
        sleep(pace.poll).await;
        if let Some(record) =
            platform.call(|| client.activation(id)).await.map_err(|error| error.to_string())?
        {
            return Ok(record);
        }
    }
    Err(format!("activation {id} has no record after {} s", pace.record.as_secs_f64()))
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

/// `<action>__aquatope_<workflow>`, in the characters names of actions may have.
fn clone_name(action: &str, workflow: &str) -> String {
    let allowed =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@') { c } else { '-' };
    format!("{action}{MARK}{}", workflow.chars().map(allowed).collect::<String>())
}

//! The workflows of the configuration: their files, and what is to be searched for.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use aquatope_workflow::fault::Fault;
use aquatope_workflow::workflow_file::WorkflowFile;

use super::Tuning;
use crate::board::Board;
use crate::clock::Clock;
use crate::config::{Config, Secrets, Workflow as Registered};
use crate::platform::{self, fault};
use crate::store::Store;
use crate::tune::{Pace, Patient, Problem, Settings, in_name};

impl Tuning {
    /// The tasks of the workflows that `config` wants tuned.
    ///
    /// # Errors
    /// A workflow file, an input or a setting that cannot be used, or a workflow that is registered twice.
    pub(crate) fn all(
        config: &Config,
        secrets: &Secrets,
        store: &Arc<Store>,
        board: &Arc<RwLock<Board>>,
        clock: Clock,
    ) -> Result<Vec<Self>, Fault> {
        let wanted = config.workflow.iter().filter(|registered| registered.tune);
        let tunings = wanted.map(|registered| {
            let problem = Arc::new(problem(registered)?);
            let client = platform::client(config, secrets, &registered.namespace)?;
            Ok(Self {
                registered: registered.clone(),
                name: problem.name.clone(),
                problem,
                platform: Patient { client, pace: pace(clock, registered.per_minute) },
                store: Arc::clone(store),
                turn: Arc::default(),
                board: Arc::clone(board),
                clock,
                approval: Arc::default(),
            })
        });
        let mut tunings: Vec<Self> = tunings.collect::<Result<_, Fault>>()?;
        name_apart(&mut tunings)?;
        Ok(tunings)
    }
}

/// The file of a registered workflow.
pub(crate) fn read_file(registered: &Registered) -> Result<WorkflowFile, Fault> {
    let at = registered.file.display().to_string();
    let text = std::fs::read_to_string(&registered.file).map_err(|error| {
        fault(&format!("workflow.file = {at}"), error, "name a workflow file that the service may read")
    })?;
    WorkflowFile::parse(&at, &text)
}

/// What is to be searched for.
///
/// # Errors
/// A workflow file, an input or a setting that cannot be used.
pub(crate) fn problem(registered: &Registered) -> Result<Problem, Fault> {
    let at = format!("workflow.input of {}", registered.file.display());
    let input = serde_json::from_str(&registered.input).map_err(|error| {
        fault(&at, format!("not valid JSON ({error})"), "write a JSON object, as {\"size\":3}")
    })?;
    let settings = Settings {
        samples: registered.samples,
        trials: registered.trials,
        cpu_limits: registered.cpu_limits,
        ..Settings::default()
    };
    Problem::new(&read_file(registered)?, input, settings)
}

/// Gives workflows of the same name in different namespaces different names.
///
/// # Errors
/// Two of one namespace would delete each other's clones.
fn name_apart(tunings: &mut [Tuning]) -> Result<(), Fault> {
    let (mut clones, mut times) = (HashSet::new(), HashMap::new());
    for Tuning { registered, problem, .. } in tunings.iter() {
        if !clones.insert((in_name(&problem.name), &registered.namespace)) {
            let at = format!("workflow.file {}", registered.file.display());
            let what = format!("workflow {} is registered twice for {}", problem.name, registered.namespace);
            let mend = "register it once, or give one of them another name or namespace; names that differ only in \
                        characters that names of actions may not have are the same";
            return Err(fault(&at, what, mend));
        }
        *times.entry(problem.name.clone()).or_insert(0) += 1;
    }
    for tuning in tunings.iter_mut().filter(|tuning| times[&tuning.problem.name] > 1) {
        tuning.name = format!("{}/{}", tuning.registered.namespace, tuning.problem.name);
    }
    Ok(())
}

fn pace(clock: Clock, per_minute: u32) -> Pace {
    let invocation = Duration::from_secs(60) / per_minute.max(1);
    let Pace { throttled, retry, longest_retry, poll, record, watch, .. } = Pace::default();
    let [throttled, retry, longest_retry, poll, record, invocation, watch] =
        [throttled, retry, longest_retry, poll, record, invocation, watch].map(|pause| clock.real(pause));
    Pace { throttled, retry, longest_retry, poll, record, invocation, watch }
}

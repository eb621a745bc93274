//! One task a registered workflow: search for its cheapest configuration, apply it when that is wanted, watch it, and take
//! it back when it breaks its promise. Every phase is in the store before it begins, so a restart goes on where it was.

use std::sync::{Arc, RwLock};

use aquatope_workflow::fault::Fault;
use aquatope_workflow::workflow_file::WorkflowFile;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::board::{Board, Workflow as Shown};
use crate::clock::Clock;
use crate::config::{Config, Secrets, Workflow as Registered};
use crate::platform::{self, fault};
use crate::store::Store;
use crate::tune::{
    Change, Finished, Guarded, Keep, Pace, Patient, Problem, Promise, Settings, TuneError, guard, tune,
};
use crate::write;

/// The state of a workflow whose configuration can be approved of.
pub(crate) const WAITING: &str = "waiting for approval";

/// A workflow that is tuned.
pub(crate) struct Tuning {
    registered: Registered,
    problem: Arc<Problem>,
    platform: Patient,
    store: Arc<Store>,
    board: Arc<RwLock<Board>>,
    clock: Clock,
    /// Somebody approves of what was found.
    pub(crate) approved: Arc<Notify>,
}

/// What has been done, as the store keeps it; nothing: the search goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Phase {
    /// Production is being changed.
    Applying(Change),
    /// It has been, at this time (ms since the epoch).
    Watching(Change, u64),
    /// It is over; how.
    Over(String),
}

impl Tuning {
    /// The tasks of the workflows that `config` wants tuned.
    ///
    /// # Errors
    /// A workflow file, an input or a setting that cannot be used.
    pub(crate) fn all(
        config: &Config,
        secrets: &Secrets,
        store: &Arc<Store>,
        board: &Arc<RwLock<Board>>,
        clock: Clock,
    ) -> Result<Vec<Self>, Fault> {
        let wanted = config.workflow.iter().filter(|registered| registered.tune);
        wanted
            .map(|registered| {
                let at = registered.file.display().to_string();
                let input = serde_json::from_str(&registered.input).map_err(|error| {
                    fault(&format!("workflow.input of {at}"), error, "write a JSON object")
                })?;
                let settings = Settings {
                    samples: registered.samples,
                    trials: registered.trials,
                    cpu_limits: registered.cpu_limits,
                    ..Settings::default()
                };
                let problem = Arc::new(Problem::new(&read_file(registered)?, input, settings)?);
                let client = platform::client(config, secrets, &registered.namespace)?;
                Ok(Self {
                    registered: registered.clone(),
                    problem,
                    platform: Patient { client, pace: pace(clock) },
                    store: Arc::clone(store),
                    board: Arc::clone(board),
                    clock,
                    approved: Arc::default(),
                })
            })
            .collect()
    }

    pub(crate) fn name(&self) -> &str {
        &self.problem.name
    }

    /// Until it is over, or cannot go on; why is shown.
    pub(crate) async fn run(self) {
        let (qos_s, budget) = (self.problem.qos_s, self.problem.settings.trials);
        self.show(|shown| *shown = Shown { qos_s, budget, ..Shown::default() });
        if let Err(error) = self.phases().await {
            tracing::error!(workflow = self.name(), "{error}");
            self.show(|shown| {
                shown.state = "stopped".into();
                shown.error = Some(error);
            });
        }
    }

    async fn phases(&self) -> Result<(), String> {
        let mut phase = match self.stored()? {
            Some(phase) => phase,
            None => self.search().await?,
        };
        loop {
            self.keep(&phase)?;
            phase = match phase {
                Phase::Applying(change) => {
                    self.state("applying");
                    change.apply(&self.platform).await.map_err(|error| said(&error))?;
                    tracing::info!(
                        workflow = self.name(),
                        actions = change.actions.len(),
                        "configuration applied"
                    );
                    Phase::Watching(change, self.clock.now().0)
                }
                Phase::Watching(change, since_ms) => {
                    self.state("applied, being watched");
                    let promise = Promise::new(self.problem.qos_s);
                    let since_ms = i64::try_from(since_ms).unwrap_or(i64::MAX);
                    let guarded = guard(&self.platform, self.name(), &change, since_ms, promise).await;
                    Phase::Over(match guarded.map_err(|error| said(&error))? {
                        Guarded::Kept => "applied, and it keeps its QoS".into(),
                        Guarded::RolledBack(back) if back.left.is_empty() => {
                            "taken back: it missed its QoS".into()
                        }
                        Guarded::RolledBack(back) => format!(
                            "taken back: it missed its QoS; somebody else changed {}, which stay as they are",
                            back.left.join(", ")
                        ),
                    })
                }
                Phase::Over(how) => {
                    tracing::info!(workflow = self.name(), "{how}");
                    self.state(&how);
                    return Ok(());
                }
            };
        }
    }

    /// Search, and wait for the approval if there is something to approve of.
    async fn search(&self) -> Result<Phase, String> {
        self.state("searching");
        let saved = self.store.get(&self.key("search")).map_err(|error| error.to_string())?;
        let keep: Arc<dyn Keep> = Arc::new(Kept { store: Arc::clone(&self.store), key: self.key("search") });
        let finished = tune(&self.platform, &self.problem, saved, &keep, |progress| {
            let best =
                progress.best.as_ref().map(|best| (words(&best.resources), best.cost[0], best.latency_s[0]));
            let trials = progress.finished;
            self.show(|shown| {
                shown.trials = trials;
                if let Some((resources, cost, latency_s)) = best {
                    shown.recommendation = Some(resources);
                    shown.expected = Some([cost, latency_s]);
                }
            });
        })
        .await
        .map_err(|error| said(&error))?;
        self.found(&finished);
        if !finished.is_improvement(&self.problem) {
            return Ok(Phase::Over("nothing better than today's configuration was found".into()));
        }
        if !self.registered.apply {
            self.state(WAITING);
            self.approved.notified().await;
        }
        let resources = &finished.recommended.resources;
        let change =
            Change::plan(&self.platform, &self.problem, resources).await.map_err(|error| said(&error))?;
        Ok(Phase::Applying(change))
    }

    fn found(&self, finished: &Finished) {
        let best = &finished.recommended;
        tracing::info!(
            workflow = self.name(),
            cost = best.cost[0],
            latency_s = best.latency_s[0],
            feasible = best.feasible,
            "search finished: {}",
            words(&best.resources)
        );
        self.show(|shown| {
            shown.trials = finished.trials.len();
            shown.recommendation = Some(words(&best.resources));
            shown.expected = Some([best.cost[0], best.latency_s[0]]);
        });
    }

    fn stored(&self) -> Result<Option<Phase>, String> {
        let bytes = self.store.get(&self.key("phase")).map_err(|error| error.to_string())?;
        let decode = |bytes: Vec<u8>| {
            postcard::from_bytes(&bytes).map_err(|_| "what is stored of it is of another version".to_owned())
        };
        bytes.map(decode).transpose()
    }

    fn keep(&self, phase: &Phase) -> Result<(), String> {
        let bytes = postcard::to_stdvec(phase).map_err(|error| error.to_string())?;
        self.store.put(&self.key("phase"), &bytes).map_err(|error| error.to_string())
    }

    fn key(&self, what: &str) -> String {
        format!("workflow/{}/{what}", self.name())
    }

    fn state(&self, state: &str) {
        self.show(|shown| shown.state = state.to_owned());
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        change(write(&self.board).workflows.entry(self.name().to_owned()).or_default());
    }
}

/// Where the search is kept.
struct Kept {
    store: Arc<Store>,
    key: String,
}

impl Keep for Kept {
    fn save(&self, bytes: &[u8]) -> Result<(), String> {
        self.store.put(&self.key, bytes).map_err(|error| error.to_string())
    }
}

/// The file of a registered workflow.
pub(crate) fn read_file(registered: &Registered) -> Result<WorkflowFile, Fault> {
    let at = registered.file.display().to_string();
    let text = std::fs::read_to_string(&registered.file)
        .map_err(|error| fault(&at, error, "name a workflow file"))?;
    WorkflowFile::parse(&at, &text)
}

fn pace(clock: Clock) -> Pace {
    let Pace { throttled, retry, longest_retry, poll, record, watch } = Pace::default();
    let [throttled, retry, longest_retry, poll, record, watch] =
        [throttled, retry, longest_retry, poll, record, watch].map(|pause| clock.real(pause));
    Pace { throttled, retry, longest_retry, poll, record, watch }
}

fn words(resources: &[crate::tune::Resources]) -> String {
    let one = |r: &crate::tune::Resources| match r.cpu {
        Some(cpu) => format!("{} MB, {cpu} CPU", r.memory_mb),
        None => format!("{} MB", r.memory_mb),
    };
    resources.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn said(error: &TuneError) -> String {
    error.to_string()
}

//! One task a registered workflow: search for its cheapest configuration, apply it when that is wanted, watch it, and take
//! it back when it breaks its promise. Every phase is in the store before it begins, so a restart goes on where it was.

mod approval;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::task::Poll;
use std::time::{Duration, Instant};

pub(crate) use approval::Approval;
use aquatope_workflow::fault::Fault;
use aquatope_workflow::workflow_file::WorkflowFile;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::board::{Board, Workflow as Shown};
use crate::clock::Clock;
use crate::config::{Config, Secrets, Workflow as Registered};
use crate::platform::{self, fault};
use crate::source::{Duty, SharedStatus};
use crate::store::{Store, StoreError};
use crate::tune::{
    Change, Finished, Guard, Keep, Pace, Patient, Problem, Progress, Promise, RolledBack, Settings,
    TuneError, Verdict, remove_clones, tune,
};
use crate::write;

/// Whether this instance acts is looked at this often.
const DUTY: Duration = Duration::from_millis(500);

/// A workflow that is tuned.
pub(crate) struct Tuning {
    registered: Registered,
    /// The workflow's name; with its namespace before it when another namespace has one of this name.
    name: String,
    problem: Arc<Problem>,
    platform: Patient,
    store: Arc<Store>,
    /// Held while the store is asked, one after the other, even when nobody waits for the answer any more.
    turn: Arc<Mutex<()>>,
    board: Arc<RwLock<Board>>,
    clock: Clock,
    /// Somebody approves of what was found.
    pub(crate) approval: Arc<Approval>,
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
    /// It is being taken back, for this reason.
    TakingBack(Change, String),
}

/// A phase, and what problem it is of. Kept as JSON: limits leave out what they do not name, which only a format with names
/// can read back.
#[derive(Serialize, Deserialize)]
struct Stored {
    of: String,
    phase: Phase,
}

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
            let at = registered.file.display().to_string();
            let input = serde_json::from_str(&registered.input)
                .map_err(|error| fault(&format!("workflow.input of {at}"), error, "write a JSON object"))?;
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

    /// What it is called on the board and in approvals.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Tune while this instance acts, and again after a fault of ours. The other workflows and the pool are not to suffer.
    pub(crate) async fn run_steadily(self, ingest: SharedStatus) {
        let mut wait = self.platform.pace.retry;
        loop {
            let began = Instant::now();
            let mut running = pin!(self.run_on_duty(&ingest));
            // In the task that is waited for when it is ended, so that nothing of it goes on after that.
            let panicked =
                poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context))) {
                    Ok(poll) => poll.map(|()| false),
                    Err(_) => Poll::Ready(true),
                });
            if !panicked.await {
                return;
            }
            if began.elapsed() > self.platform.pace.longest_retry {
                wait = self.platform.pace.retry;
            }
            self.trouble(&"a fault of the service: its log tells more", &mut wait).await;
        }
    }

    /// Tune while this instance acts; a search goes on where it was left.
    async fn run_on_duty(&self, ingest: &SharedStatus) {
        let lost = async || {
            while ingest.get().duty.acts() {
                sleep(DUTY).await;
            }
        };
        loop {
            let duty = ingest.get().duty;
            if !duty.acts() {
                let another = duty == Duty::Another;
                self.state(if another { "another instance is on duty" } else { "not on duty yet" });
                sleep(DUTY).await;
                continue;
            }
            tokio::select! {
                () = self.run() => return,
                () = lost() => {}
            }
        }
    }

    /// Until it is over, or cannot go on; why is shown.
    async fn run(&self) {
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
        let mut phase = match self.stored().await {
            Some(Stored { of, phase }) if of == self.of() => phase,
            Some(Stored { phase, .. }) => {
                self.abandon(phase).await?;
                self.search().await?
            }
            None => self.search().await?,
        };
        loop {
            self.keep(&phase).await?;
            phase = match phase {
                Phase::Applying(change) => self.apply(change).await,
                Phase::Watching(change, since_ms) => self.watch(change, since_ms).await,
                Phase::TakingBack(change, why) => self.take_back(&change, &why).await,
                Phase::Over(how) => {
                    tracing::info!(workflow = self.name(), "{how}");
                    self.state(&how);
                    return Ok(());
                }
            };
        }
    }

    /// The workflow or its settings have changed: ends what was under way before it is searched anew. A change that was
    /// half applied is taken back, one that was applied stays.
    async fn abandon(&self, phase: Phase) -> Result<(), String> {
        tracing::warn!(
            workflow = self.name(),
            "the workflow or its settings have changed: it is searched anew"
        );
        match phase {
            Phase::Applying(change) | Phase::TakingBack(change, _) => {
                let over = self.take_back(&change, "the workflow was edited meanwhile").await;
                self.keep_of(String::new(), &over).await
            }
            Phase::Watching(..) => {
                tracing::warn!(workflow = self.name(), "what was applied before is not watched on");
                Ok(())
            }
            Phase::Over(_) => Ok(()),
        }
    }

    async fn apply(&self, change: Change) -> Phase {
        self.state("applying");
        match change.apply(&self.platform).await {
            Ok(()) => {
                let actions = change.actions.len();
                tracing::info!(workflow = self.name(), actions, "configuration applied");
                Phase::Watching(change, self.clock.now().0)
            }
            Err(error) => {
                tracing::error!(workflow = self.name(), %error, "the configuration cannot be applied");
                Phase::TakingBack(change, format!("it could not be applied: {error}"))
            }
        }
    }

    async fn watch(&self, change: Change, since_ms: u64) -> Phase {
        self.wait_for_sequence().await;
        self.state("applied, being watched");
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let mut guard = Guard::new(&self.problem.name, ms(since_ms), Promise::new(self.problem.qos_s));
        let mut wait = self.platform.pace.retry;
        loop {
            match guard.look(&self.platform, ms(self.clock.now().0)).await {
                Ok(Verdict::Kept) => {
                    self.recovered();
                    return Phase::Over("applied, and it keeps its QoS".into());
                }
                Ok(Verdict::Broken) => {
                    self.recovered();
                    let (runs, late) = guard.counts();
                    tracing::warn!(workflow = self.name(), runs, late, "the QoS is missed after the change");
                    return Phase::TakingBack(change, "it missed its QoS".into());
                }
                Ok(Verdict::Watching) => {
                    self.recovered();
                    wait = self.platform.pace.retry;
                    sleep(self.platform.pace.watch).await;
                }
                Err(error) => self.trouble(&error, &mut wait).await,
            }
        }
    }

    /// Until production has a sequence or composition of the workflow's name, whose runs can be watched.
    async fn wait_for_sequence(&self) {
        let Patient { client, pace } = &self.platform;
        let mut wait = pace.retry;
        loop {
            match client.action(&self.problem.name, false).await {
                Ok(Some(action)) if action.is_workflow() => return self.recovered(),
                Ok(_) => {
                    self.recovered();
                    wait = pace.retry;
                    self.state(&format!(
                        "applied; not watched: there is no sequence or composition {}",
                        self.problem.name
                    ));
                    sleep(pace.watch).await;
                }
                Err(error) => self.trouble(&error, &mut wait).await,
            }
        }
    }

    async fn take_back(&self, change: &Change, why: &str) -> Phase {
        self.state("being taken back");
        let mut wait = self.platform.pace.retry;
        let RolledBack { left, .. } = loop {
            match change.roll_back(&self.platform).await {
                Ok(back) => break back,
                Err(error) => self.trouble(&error, &mut wait).await,
            }
        };
        self.recovered();
        Phase::Over(match left.as_slice() {
            [] => format!("taken back: {why}"),
            left => {
                format!(
                    "taken back: {why}; somebody else changed {}, which stay as they are",
                    left.join(", ")
                )
            }
        })
    }

    /// Search, and wait for the approval if there is something to approve of. What the platform refuses is tried again.
    async fn search(&self) -> Result<Phase, String> {
        let finished = self.searched().await?;
        self.recovered();
        self.found(&finished);
        let (phase, ()) = tokio::join!(self.decide(&finished), self.clean_up(finished.clones_left));
        phase
    }

    /// Deletes clones that could not be deleted because the platform was down, when it is back.
    async fn clean_up(&self, needed: bool) {
        if needed && let Err(error) = remove_clones(&self.platform, &self.problem).await {
            tracing::warn!(workflow = self.name(), %error, "clones of actions are left behind");
        }
    }

    /// Whether to apply what was found.
    async fn decide(&self, finished: &Finished) -> Result<Phase, String> {
        if !finished.is_improvement(&self.problem) {
            let over = "nothing better than today's configuration was found";
            // Deleting clones may have to wait for the platform.
            self.state(over);
            return Ok(Phase::Over(over.into()));
        }
        if !self.registered.apply {
            let approved = self.approval.wait();
            self.state("waiting for approval");
            approved.await;
        }
        self.state("applying");
        let mut wait = self.platform.pace.retry;
        let change = loop {
            let resources = &finished.recommended.resources;
            match Change::plan(&self.platform, &self.problem, resources).await {
                Ok(change) => break change,
                Err(error) if may_pass(&error) => self.trouble(&error, &mut wait).await,
                Err(error) => return Err(error.to_string()),
            }
        };
        self.recovered();
        if change.actions.is_empty() {
            return Ok(Phase::Over("production has what was found already".into()));
        }
        Ok(Phase::Applying(change))
    }

    async fn searched(&self) -> Result<Finished, String> {
        let keep: Arc<dyn Keep> = Arc::new(Kept { store: Arc::clone(&self.store), key: self.key("search") });
        let progressed = AtomicBool::new(false);
        let see = |progress: &Progress| {
            progressed.store(true, Ordering::Relaxed);
            let best =
                progress.best.as_ref().map(|best| (words(&best.resources), best.cost[0], best.latency_s[0]));
            let trials = progress.finished;
            self.show(|shown| {
                (shown.trials, shown.error) = (trials, None);
                if let Some((resources, cost, latency_s)) = best {
                    shown.recommendation = Some(resources);
                    shown.expected = Some([cost, latency_s]);
                }
            });
        };
        let mut wait = self.platform.pace.retry;
        loop {
            self.state("searching");
            let saved = match self.get("search").await {
                Ok(saved) => saved,
                Err(error) => {
                    self.trouble(&error, &mut wait).await;
                    continue;
                }
            };
            match tune(&self.platform, &self.problem, saved, &keep, see).await {
                Ok(finished) => return Ok(finished),
                Err(error) if may_pass(&error) => {
                    if progressed.swap(false, Ordering::Relaxed) {
                        wait = self.platform.pace.retry;
                    }
                    self.trouble(&error, &mut wait).await;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
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
        if finished.today != finished.measured {
            let (today, measured) = (words(&finished.today), words(&finished.measured));
            tracing::warn!(
                workflow = self.name(),
                "production is no point of the space: {measured} was measured in place of {today}"
            );
        }
        self.show(|shown| {
            shown.trials = finished.trials.len();
            shown.today = Some(words(&finished.today));
            shown.measured = Some(words(&finished.measured));
            shown.recommendation = Some(words(&best.resources));
            shown.expected = Some([best.cost[0], best.latency_s[0]]);
        });
    }

    /// The phase that was kept, if it can be read.
    async fn stored(&self) -> Option<Stored> {
        let mut wait = self.platform.pace.retry;
        let bytes = loop {
            match self.get("phase").await {
                Ok(bytes) => break bytes?,
                Err(error) => self.trouble(&error, &mut wait).await,
            }
        };
        self.recovered();
        let stored = serde_json::from_slice(&bytes);
        if stored.is_err() {
            tracing::warn!(
                workflow = self.name(),
                "what is stored of it is of another version: it is searched anew, and a change applied before stays as it is"
            );
        }
        stored.ok()
    }

    async fn keep(&self, phase: &Phase) -> Result<(), String> {
        self.keep_of(self.of(), phase).await
    }

    /// Keeps a phase of a problem, however often it takes.
    async fn keep_of(&self, of: String, phase: &Phase) -> Result<(), String> {
        let stored = Stored { of, phase: phase.clone() };
        let bytes = serde_json::to_vec(&stored).map_err(|error| error.to_string())?;
        let mut wait = self.platform.pace.retry;
        loop {
            let (key, bytes) = (self.key("phase"), bytes.clone());
            let Err(error) = self.with_store(move |store| store.put(&key, &bytes)).await else { break };
            self.trouble(&error, &mut wait).await;
        }
        self.recovered();
        Ok(())
    }

    async fn get(&self, what: &str) -> Result<Option<Vec<u8>>, String> {
        let key = self.key(what);
        self.with_store(move |store| store.get(&key)).await
    }

    /// In a thread of its own: the store of a cluster waits for the brokers.
    async fn with_store<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, String> {
        let (store, turn) = (Arc::clone(&self.store), Arc::clone(&self.turn).lock_owned().await);
        let asked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            ask(&store).map_err(|error| error.to_string())
        });
        asked.await.map_err(|error| error.to_string())?
    }

    /// What must be equal for a phase to be gone on with.
    fn of(&self) -> String {
        format!("{} {}", self.problem.fingerprint(), self.problem.settings.trials)
    }

    fn key(&self, what: &str) -> String {
        format!("workflow/{}/{}/{what}", self.registered.namespace, self.problem.name)
    }

    /// Shows what does not work now, and waits before the next try.
    async fn trouble(&self, error: &(impl Display + Sync), wait: &mut Duration) {
        tracing::error!(workflow = self.name(), %error, wait_s = wait.as_secs_f64(), "trying again");
        self.show(|shown| shown.error = Some(error.to_string()));
        sleep(*wait).await;
        *wait = (*wait * 2).min(self.platform.pace.longest_retry);
    }

    /// It works again.
    fn recovered(&self) {
        self.show(|shown| shown.error = None);
    }

    fn state(&self, state: &str) {
        self.show(|shown| shown.state = state.to_owned());
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        change(write(&self.board).workflows.entry(self.name().to_owned()).or_default());
    }
}

/// Gives workflows of the same name in different namespaces different names.
fn name_apart(tunings: &mut [Tuning]) -> Result<(), Fault> {
    let mut namespaces: HashMap<String, Vec<&str>> = HashMap::new();
    for Tuning { registered, problem, .. } in tunings.iter() {
        let of_name = namespaces.entry(problem.name.clone()).or_default();
        if of_name.contains(&registered.namespace.as_str()) {
            let at = format!("workflow.file {}", registered.file.display());
            let what = format!("workflow {} is registered twice for {}", problem.name, registered.namespace);
            return Err(fault(&at, what, "register it once, or give one of them another name or namespace"));
        }
        of_name.push(&registered.namespace);
    }
    namespaces.retain(|_, namespaces| namespaces.len() > 1);
    let ambiguous: HashSet<String> = namespaces.into_keys().collect();
    for tuning in tunings.iter_mut().filter(|tuning| ambiguous.contains(&tuning.problem.name)) {
        tuning.name = format!("{}/{}", tuning.registered.namespace, tuning.problem.name);
    }
    Ok(())
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

fn pace(clock: Clock, per_minute: u32) -> Pace {
    let invocation = Duration::from_secs(60) / per_minute.max(1);
    let Pace { throttled, retry, longest_retry, poll, record, watch, .. } = Pace::default();
    let [throttled, retry, longest_retry, poll, record, invocation, watch] =
        [throttled, retry, longest_retry, poll, record, invocation, watch].map(|pause| clock.real(pause));
    Pace { throttled, retry, longest_retry, poll, record, invocation, watch }
}

/// Whether an operator can mend it while the service runs.
fn may_pass(error: &TuneError) -> bool {
    matches!(error, TuneError::Rest(_) | TuneError::Problem(_))
}

fn words(resources: &[crate::tune::Resources]) -> String {
    let one = |r: &crate::tune::Resources| match r.cpu {
        Some(cpu) => format!("{} MB, {cpu} CPU", r.memory_mb),
        None => format!("{} MB", r.memory_mb),
    };
    resources.iter().map(one).collect::<Vec<_>>().join("; ")
}

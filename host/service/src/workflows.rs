//! One task a registered workflow: search for its cheapest configuration, apply it when that is wanted, watch it, and take
//! it back when it breaks its promise. Every phase is in the store before it begins, so a restart goes on where it was.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use aquatope_workflow::fault::Fault;
use aquatope_workflow::workflow_file::WorkflowFile;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::board::{Board, Workflow as Shown};
use crate::clock::Clock;
use crate::config::{Config, Secrets, Workflow as Registered};
use crate::platform::{self, fault};
use crate::store::Store;
use crate::tune::{
    Change, Finished, Guard, Keep, Pace, Patient, Problem, Progress, Promise, RolledBack, Settings,
    TuneError, Verdict, tune,
};
use crate::write;

/// The state of a workflow whose configuration can be approved of.
const WAITING: &str = "waiting for approval";

/// A workflow that is tuned.
pub(crate) struct Tuning {
    registered: Registered,
    /// The workflow's name; with its namespace before it when another namespace has one of this name.
    name: String,
    problem: Arc<Problem>,
    platform: Patient,
    store: Arc<Store>,
    board: Arc<RwLock<Board>>,
    clock: Clock,
    /// Somebody approves of what was found.
    pub(crate) approval: Arc<Approval>,
}

/// Where an approval is waited for.
#[derive(Debug, Default)]
pub(crate) struct Approval(Mutex<Option<oneshot::Sender<()>>>);

impl Approval {
    /// Approves; false when nobody waits for it now, and then it does not count later either.
    pub(crate) fn give(&self) -> bool {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        waiting.is_some_and(|waiting| waiting.send(()).is_ok())
    }

    /// From now on somebody waits for it, until what is returned ends or is dropped.
    fn wait(&self) -> impl Future<Output = ()> + use<> {
        let (sender, receiver) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        async move {
            if receiver.await.is_err() {
                // Somebody else waits in our place.
                std::future::pending::<()>().await;
            }
        }
    }
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

    /// Until it is over, or cannot go on; why is shown.
    pub(crate) async fn run(&self) {
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

    /// Shows that this instance leaves the workflow alone, and why.
    pub(crate) fn off_duty(&self, why: &str) {
        self.state(why);
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
        if !finished.is_improvement(&self.problem) {
            return Ok(Phase::Over("nothing better than today's configuration was found".into()));
        }
        if !self.registered.apply {
            let approved = self.approval.wait();
            self.state(WAITING);
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
            let saved = match self.store.get(&self.key("search")) {
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
            match self.store.get(&self.key("phase")) {
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
        while let Err(error) = self.store.put(&self.key("phase"), &bytes) {
            self.trouble(&error, &mut wait).await;
        }
        self.recovered();
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use aquatope_core::time::Timestamp;
    use aquatope_openwhisk::credentials::Secret;
    use aquatope_openwhisk::records::Limits;
    use aquatope_standin::Standin;
    use aquatope_standin::config::{Action, Model};
    use aquatope_standin::faults::{Faults, Refused};
    use tempfile::TempDir;

    use super::*;
    use crate::read;
    use crate::source::{Duty, SharedStatus};
    use crate::tune::ActionChange;

    /// Virtual seconds in a real one.
    const SPEED: f64 = 1000.0;

    /// A platform with the sequence `pair` of `a` and `b`, and who tunes it.
    struct Both {
        standin: Standin,
        tuning: Tuning,
        _folder: TempDir,
    }

    impl Both {
        async fn start(qos_s: f64) -> Self {
            let model = Model { fixed_ms: 100.0, work_ms: 500.0, ..Model::default() };
            let action = |name: &str| Action { memory_mb: 2048, ..Action::new(name, "python:3", model) };
            let config = aquatope_standin::config::Config {
                actions: vec![action("a"), action("b"), Action::sequence("pair", &["a", "b"])],
                invokers_mb: vec![16_384; 2],
                per_minute: 1 << 40,
                concurrent: 1 << 40,
                idle_timeout_ms: i64::MAX / 4,
                ..Default::default()
            };
            let standin = Standin::start(config, SPEED, 0, |_| {}).await.unwrap();
            let folder = TempDir::new().unwrap();
            let file = folder.path().join("pair.json");
            let text = format!(
                r#"{{"schema":"aquatope-workflow/1","name":"pair","functions":[{{"name":"a"}},{{"name":"b"}}],"edges":[[0,1]],
                "edge_overhead_s":0.01,"prices":{{"cpu_per_core_s":0.2,"mem_per_gb_s":0.05}},"qos_s":{qos_s},
                "space":{{"cpu":{{"min":1,"max":1,"step":1}},"mem_mb":{{"min":256,"max":2048,"step":256}}}}}}"#
            );
            std::fs::write(&file, text).unwrap();
            let mut config = Config::default();
            config.openwhisk.url = standin.url();
            config.workflow = vec![Registered {
                file,
                namespace: "guest".into(),
                tune: true,
                apply: false,
                input: "{}".into(),
                samples: 1,
                trials: 4,
                per_minute: 1000,
                cpu_limits: false,
            }];
            let subject = standin.subject();
            let key = Secret::new(format!("{}:{}", subject.user, subject.secret.reveal()));
            let secrets = Secrets { openwhisk: Some(key), ..Secrets::default() };
            let store = Arc::new(Store::open(folder.path().join("store.redb"), 15).unwrap());
            let clock = Clock::fast(Timestamp(standin.now_ms() as u64), SPEED);
            let tuning = Tuning::all(&config, &secrets, &store, &Arc::default(), clock).unwrap().remove(0);
            Self { standin, tuning, _folder: folder }
        }

        fn memory(&self) -> [u64; 2] {
            let of = |name| self.standin.with(|platform| platform.action(name, false).unwrap());
            ["a", "b"].map(|name| of(name)["limits"]["memory"].as_u64().unwrap())
        }

        async fn set_memory(&self, memory_mb: [u32; 2]) {
            for (name, memory_mb) in ["a", "b"].into_iter().zip(memory_mb) {
                let limits = Limits::memory(memory_mb);
                self.tuning.platform.client.put_limits(name, &limits).await.unwrap();
            }
        }

        fn shown(&self) -> Shown {
            read(&self.tuning.board).workflows.get("pair").cloned().unwrap_or_default()
        }

        /// Until it is over, while users run the workflow.
        async fn over(&self) -> String {
            tokio::select! {
                () = self.tuning.run() => {}
                () = self.load() => {}
            }
            let Shown { state, error, .. } = self.shown();
            assert_eq!(error, None);
            state
        }

        async fn load(&self) {
            let began = Instant::now();
            loop {
                assert!(began.elapsed() < PATIENCE, "{:?}", self.shown());
                self.standin.with(|platform| platform.load("pair", None)).unwrap();
                sleep(Duration::from_millis(5)).await;
            }
        }

        /// Runs it until `condition`.
        async fn until(&self, condition: impl Fn(Shown) -> bool) {
            let wait = async {
                let began = Instant::now();
                while !condition(self.shown()) {
                    assert!(began.elapsed() < PATIENCE, "{:?}", self.shown());
                    sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                () = self.tuning.run() => assert!(condition(self.shown()), "{:?}", self.shown()),
                () = wait => {}
            }
        }
    }

    /// Longer than anything takes on the slowest machine.
    const PATIENCE: Duration = Duration::from_secs(100);

    /// From 2048 MB both to 1024 and 512.
    fn change() -> Change {
        let (from, to) = (Limits::memory(2048), [Limits::memory(1024), Limits::memory(512)]);
        let action = |(name, to): (&str, Limits)| ActionChange { name: name.into(), from: from.clone(), to };
        Change { actions: ["a", "b"].into_iter().zip(to).map(action).collect() }
    }

    fn refuse(method: &'static str, path: &str, status: u16) -> Faults {
        Faults { refused: vec![Refused { method, path: path.into(), status }], ..Faults::default() }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_change_that_is_refused_half_way_is_taken_back() {
        let both = Both::start(60.0).await;
        both.standin.set_faults(refuse("PUT", "actions/b", 403));
        both.tuning.keep(&Phase::Applying(change())).await.unwrap();
        let state = both.over().await;
        assert!(
            state.starts_with("taken back: it could not be applied: ") && state.contains("403"),
            "{state}"
        );
        assert_eq!(both.memory(), [2048, 2048]);
        let version = both.standin.with(|platform| platform.action("a", false).unwrap()["version"].clone());
        assert_eq!(version, "0.0.3", "it was changed, and changed back");
    }

    /// The phase that is stored, what production has then, and the state in the end.
    type Case = (fn(&Both) -> Phase, [u32; 2], &'static str);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_restart_goes_on_with_the_phase_it_was_in() {
        // No run takes less than the QoS: whatever is applied is taken back in the end.
        let missed = "taken back: it missed its QoS";
        let cases: [Case; 4] = [
            (|_| Phase::Applying(change()), [1024, 2048], missed),
            (|both| Phase::Watching(change(), both.standin.now_ms() as u64), [1024, 512], missed),
            (|_| Phase::TakingBack(change(), "it was slow".into()), [2048, 512], "taken back: it was slow"),
            (|_| Phase::Over("as it was".into()), [2048, 2048], "as it was"),
        ];
        for (phase, memory_mb, state) in cases {
            let both = Both::start(0.1).await;
            both.set_memory(memory_mb).await;
            both.tuning.keep(&phase(&both)).await.unwrap();
            assert_eq!(both.over().await, state);
            assert_eq!(both.memory(), [2048, 2048], "{state}");
            // That is kept too.
            let stored = both.tuning.stored().await.unwrap();
            assert_eq!(stored.phase, Phase::Over(state.into()));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_half_applied_before_an_edit_is_taken_back_before_the_search() {
        let both = Both::start(3.0).await;
        both.set_memory([1024, 2048]).await;
        both.tuning.keep_of("another problem".into(), &Phase::Applying(change())).await.unwrap();
        both.until(|shown| shown.state == "searching").await;
        assert_eq!(both.memory(), [2048, 2048]);
        let stored = both.tuning.stored().await.unwrap();
        assert_eq!(stored.phase, Phase::Over("taken back: the workflow was edited meanwhile".into()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_revoked_key_is_shown_and_tried_again() {
        let both = Both::start(3.0).await;
        both.standin.set_faults(refuse("", "", 401));
        both.until(|shown| shown.error.is_some_and(|error| error.contains("401"))).await;
        assert_eq!(both.shown().state, "searching");
        both.standin.set_faults(Faults::default());
        both.until(|shown| shown.trials == 4 && shown.state != "searching").await;
        let shown = both.shown();
        assert_eq!((shown.error, shown.today.as_deref()), (None, Some("2048 MB; 2048 MB")));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn off_duty_a_workflow_is_left_alone() {
        let Both { standin, tuning, _folder } = Both::start(3.0).await;
        // So that the search does not end.
        standin.set_faults(refuse("", "", 401));
        let (board, status) = (tuning.board.clone(), SharedStatus::default());
        let task = tokio::spawn(crate::serve::on_duty(tuning, status.clone()));
        for (duty, state) in [
            (Duty::Another, "another instance is on duty"),
            (Duty::Ours, "searching"),
            (Duty::Unknown, "not on duty yet"),
            (Duty::NotKnowable, "searching"),
        ] {
            status.update(|status| status.duty = duty);
            let began = Instant::now();
            while read(&board).workflows.get("pair").is_none_or(|shown| shown.state != state) {
                assert!(began.elapsed() < PATIENCE, "{duty:?}");
                sleep(Duration::from_millis(5)).await;
            }
        }
        task.abort();
    }

    #[tokio::test]
    async fn an_approval_counts_only_while_it_is_waited_for() {
        let approval = Approval::default();
        assert!(!approval.give());
        tokio::select! {
            biased;
            () = approval.wait() => panic!("nobody approved"),
            () = std::future::ready(()) => {}
        }
        assert!(!approval.give(), "whoever waited has gone");
        let give = async {
            while !approval.give() {
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(approval.wait(), give);
        assert!(!approval.give(), "once");
    }
}

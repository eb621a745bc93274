//! The service: its threads and tasks, and what flows between them.
//!
//! ```text
//! source thread --MinuteReport--> planning thread --Wants--> actuator task        http task (reads the board)
//!   owns the observer               owns the planner             |
//!   and writes the store            starts training              v
//!      ^------------- ids of our own invocations ----------------+
//! ```
//! With `[cluster]` there is a planning thread for each shard that is held, and one source thread for all of them.
//! A part that ends takes the service down ([`Service::ended`]), so that whoever watches over the process starts it again.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use aquatope_core::activation::FunctionId;
use aquatope_core::pool::{Hysteresis, Prices};
use aquatope_core::time::{Minute, Timestamp};
use aquatope_workflow::fault::Fault;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::actuate::{BackEnd, OwnActivations, Runner, Wanted, Wants};
use crate::board::Board;
use crate::clock::Clock;
use crate::cluster::log::KafkaLog;
use crate::cluster::plans::Follower;
use crate::cluster::shard_of;
use crate::config::{Config, Secrets};
use crate::observe::{FunctionInfo, MinuteReport, ObserverConfig};
use crate::plan::{Managed, PlanConfig, Planner, PoolPlan};
use crate::platform::{self, fault};
use crate::share::{Shard, Share, Term};
use crate::source::kafka::Opener;
use crate::source::{
    Duty, Ingest, IngestConfig, IngestHandle, PlatformRecords, Records, SharedStatus, in_process, kafka,
};
use crate::store::Store;
use crate::train::{self, MODEL, Model, Schedule, Trainer, select};
use crate::tune::is_clone;
use crate::workflows::{Tuning, read_file};
use crate::{http, write};

/// The file of the store in the state folder.
pub const STORE: &str = "aquatope.redb";

/// The name of the minute that was claimed last, in the store of a shard.
const CLAIMED: &str = "claimed";

/// Where events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// The brokers of the configuration.
    Kafka,
    /// [`Service::events`], for demonstrations and tests.
    InProcess,
}

/// The running service. Failures after the start are logged, shown and tried again.
pub struct Service {
    address: SocketAddr,
    events: Option<std::sync::mpsc::Sender<Vec<u8>>>,
    ingest: Arc<IngestHandle>,
    board: Arc<RwLock<Board>>,
    share: Arc<Share>,
    stopping: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    /// The only one; a shard's ends when the shard is given up.
    planner: Option<JoinHandle<()>>,
    runner: JoinHandle<()>,
    server: JoinHandle<()>,
    /// Hears of the other shards' plans.
    follower: Option<Follower>,
}

impl Service {
    /// Start it.
    ///
    /// # Errors
    /// What keeps it from starting: a state that cannot be read, an address in use, a back-end without what it needs.
    pub async fn start(
        config: &Config,
        secrets: &Secrets,
        trainer: Arc<dyn Trainer>,
        clock: Clock,
        events: Events,
    ) -> Result<Self, Fault> {
        let board = Arc::new(RwLock::new(Board {
            started_ms: clock.now().0,
            idle_min: config.state.history_days.saturating_mul(1440),
            ..Board::default()
        }));
        let stopping = Arc::new(AtomicBool::new(false));
        let for_all = config.cluster.enabled && config.actuator.kind.is_for_all();
        let (share, wanted) = Share::new(for_all.then(|| clock.real(LATE)));
        let shards = Shards {
            config: config.clone(),
            secrets: secrets.clone(),
            trainer,
            board: Arc::clone(&board),
            clock,
            share: Arc::clone(&share),
            stopping: Arc::clone(&stopping),
            training: Arc::new(Semaphore::new(1)),
            runtime: tokio::runtime::Handle::current(),
        };
        make_directory(config)?;
        // So that a fault of the configuration is told before anything runs.
        BackEnd::new(config, secrets, OwnActivations::default())?;
        let opened = if config.cluster.enabled {
            shards.check()?;
            None
        } else {
            Some(shards.only()?)
        };
        let listener = http::bind(config.http.listen).await.map_err(|error| {
            fault(
                &format!("http.listen = {}", config.http.listen),
                error,
                "choose a free address of this machine",
            )
        })?;
        let address = listener.local_addr().unwrap_or(config.http.listen);
        let follower = for_all.then(|| follow_plans(config, secrets, &share)).transpose()?;
        let (events, ingest, planner) = match opened {
            None => (None, read_shards(config, secrets, shards, clock)?, None),
            Some(Opened { ingest, planning, reports }) => {
                let (events, ingest) = read_events(config, secrets, events, ingest)?;
                (events, ingest, Some(tokio::task::spawn_blocking(move || planning.run(reports))))
            }
        };
        let ingest = Arc::new(ingest);
        let back_end = BackEnd::new(config, secrets, OwnActivations::of(&ingest))?;
        let status = ingest.shared_status();
        let runner = Runner::new(back_end, wanted, Arc::clone(&board), clock, status);
        let runner = tokio::spawn(runner.run());
        let (stop, stopped) = watch::channel(false);
        let shared = http::Shared {
            board: Arc::clone(&board),
            ingest: ingest.shared_status(),
            share: Arc::clone(&share),
            scraped: Arc::default(),
            token: secrets.http.clone(),
            clock,
        };
        let server = tokio::spawn(http::serve(listener, shared, stopped));
        tracing::info!(%address, "serving");
        Ok(Self { address, events, ingest, board, share, stopping, stop, planner, runner, server, follower })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes messages of the topic `events`; with [`Events::InProcess`] only.
    pub fn events(&self) -> Option<std::sync::mpsc::Sender<Vec<u8>>> {
        self.events.clone()
    }

    /// What it shows.
    pub fn board(&self) -> &RwLock<Board> {
        &self.board
    }

    /// Waits until a part of it ends by itself, which only a fault of ours makes it do, and says which.
    pub async fn ended(&mut self) -> &'static str {
        let reading = async {
            while !self.ingest.is_finished() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let planning = async {
            match &mut self.planner {
                Some(planner) => drop(planner.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = reading => "the reader of events",
            () = planning => "the planner",
            _ = &mut self.runner => "the actuator",
            _ = &mut self.server => "the HTTP server",
        }
    }

    /// Stop in order; what was final is durable.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.stopping.store(true, Ordering::Relaxed);
        // The reader of events ends first: with its reports the planner ends, and with the plans the actuator.
        let (ingest, follower) = (self.ingest, self.follower);
        let _ = tokio::task::spawn_blocking(move || drop((ingest, follower))).await;
        if let Some(planner) = self.planner.filter(|planner| !planner.is_finished()) {
            let _ = tokio::time::timeout(GRACE, planner).await;
        }
        self.share.close();
        if !self.runner.is_finished() {
            let _ = tokio::time::timeout(GRACE, self.runner).await;
        }
        let _ = self.stop.send(true);
        if !self.server.is_finished() {
            let _ = tokio::time::timeout(GRACE, self.server).await;
        }
    }
}

/// Without a report for this long, the last targets are asked for again.
const SILENCE: Duration = Duration::from_secs(75);
/// For so long whoever acts for all shards waits for the others' plans of the minute.
const LATE: Duration = Duration::from_secs(5);
/// Reports that may wait for the planner; more are merged.
const REPORTS: usize = 4;
/// Whether this instance acts is looked at this often.
const DUTY: Duration = Duration::from_millis(500);
/// A plan or a call to the platform that is under way may end within this time.
const GRACE: Duration = Duration::from_secs(5);

type Reading = (Option<std::sync::mpsc::Sender<Vec<u8>>>, IngestHandle);

fn read_events(config: &Config, secrets: &Secrets, events: Events, ingest: Ingest) -> Result<Reading, Fault> {
    if events == Events::InProcess {
        let (sender, handle) = in_process::spawn(ingest);
        return Ok((Some(sender), handle));
    }
    let records = records(config, secrets)?;
    let handle = kafka::spawn(&config.kafka, secrets.kafka.as_ref(), ingest, records)
        .map_err(|error| fault("[kafka]", error, "correct this section of the configuration"))?;
    Ok((None, handle))
}

fn read_shards(
    config: &Config,
    secrets: &Secrets,
    shards: Shards,
    clock: Clock,
) -> Result<IngestHandle, Fault> {
    let (records, password) = (records(config, secrets)?, secrets.kafka.as_ref());
    kafka::spawn_shards(&config.kafka, &config.cluster, password, Arc::new(shards), records, clock)
        .map_err(|error| fault("[kafka]", error, "correct this section of the configuration"))
}

fn follow_plans(config: &Config, secrets: &Secrets, share: &Arc<Share>) -> Result<Follower, Fault> {
    let share = Arc::clone(share);
    let hear = move |told: Option<(u32, &[u8])>| match told {
        None => share.look(),
        Some((shard, plan)) => match postcard::from_bytes(plan) {
            Ok(wants) => share.hear(shard, wants),
            Err(_) => tracing::warn!(shard, "the plan of this shard is of another version"),
        },
    };
    Follower::start(&config.kafka, secrets.kafka.as_ref(), &config.cluster, hear)
        .map_err(|error| fault("[kafka]", error, "correct this section of the configuration"))
}

fn records(config: &Config, secrets: &Secrets) -> Result<Option<Arc<dyn Records>>, Fault> {
    if config.openwhisk.url.is_empty() {
        return Ok(None);
    }
    let client = platform::client(config, secrets, "_")?;
    Ok(Some(Arc::new(PlatformRecords::new(client, tokio::runtime::Handle::current()))))
}

fn make_directory(config: &Config) -> Result<(), Fault> {
    let directory = &config.state.directory;
    std::fs::create_dir_all(directory).map_err(|error| {
        fault(
            &format!("state.directory = {}", directory.display()),
            error,
            "name a folder the service may write to",
        )
    })
}

/// Makes what a shard consists of: a store, an observer, a planner.
struct Shards {
    config: Config,
    secrets: Secrets,
    trainer: Arc<dyn Trainer>,
    board: Arc<RwLock<Board>>,
    clock: Clock,
    share: Arc<Share>,
    stopping: Arc<AtomicBool>,
    /// One training at a time.
    training: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
}

struct Opened {
    ingest: Ingest,
    planning: Planning,
    reports: mpsc::Receiver<MinuteReport>,
}

impl Shards {
    /// What is wrong with the workflows.
    fn check(&self) -> Result<(), Fault> {
        upstream(&self.config)?;
        let store = Store::in_memory().map_err(|error| fault("memory", error, "free some"))?;
        self.tunings(Shard::ALL, &Arc::new(store)).map(drop)
    }

    /// The only one, whose state is in a file.
    fn only(&self) -> Result<Opened, Fault> {
        let path = self.config.state.directory.join(STORE);
        let store = Store::open(&path, self.days())
            .map_err(|error| fault(&path.display().to_string(), error, "see what is said above"))?;
        self.assemble(Shard::ALL, store)
    }

    fn assemble(&self, shard: Shard, store: Store) -> Result<Opened, Fault> {
        let at = store.path().display().to_string();
        let damaged = |error: String| fault(&at, error, "restore it, or move it away to begin anew");
        let store = Arc::new(store);
        let windows = &self.config.windows;
        let ingest = IngestConfig {
            topic: self.config.kafka.topic.clone(),
            observer: ObserverConfig {
                lateness: Duration::from_secs_f64(windows.lateness_s),
                final_after: Duration::from_secs_f64(windows.final_after_s),
                ..ObserverConfig::default()
            },
            event_delay: Duration::from_secs_f64(windows.event_delay_s),
        };
        let (sender, reports) = mpsc::channel(REPORTS);
        let ingest = Ingest::new(ingest, Arc::clone(&store), sender, self.clock);
        let ingest = ingest.map_err(|error| damaged(error.to_string()))?;
        let tunings = self.tunings(shard, &store)?;
        let mut planning = Planning::new(self, shard, store, tunings, ingest.status().clone())?;
        if let Err(error) = planning.restore(&self.config.kafka.topic) {
            planning.end();
            return Err(damaged(error));
        }
        Ok(Opened { ingest, planning, reports })
    }

    /// The workflows that belong to `shard`.
    fn tunings(&self, shard: Shard, store: &Arc<Store>) -> Result<Vec<Tuning>, Fault> {
        let mut tunings = Tuning::all(&self.config, &self.secrets, store, &self.board, self.clock)?;
        tunings
            .retain(|tuning| shard_of(tuning.name(), shard.of.cast_signed()) == shard.number.cast_signed());
        Ok(tunings)
    }

    fn days(&self) -> u16 {
        u16::try_from(self.config.state.history_days).unwrap_or(u16::MAX)
    }
}

impl Opener for Shards {
    fn open(&self, number: i32) -> Result<Ingest, String> {
        let (kafka, cluster) = (&self.config.kafka, &self.config.cluster);
        let log = KafkaLog::open(kafka, self.secrets.kafka.as_ref(), cluster, number);
        let log = log.map_err(|error| error.to_string())?;
        // A copy of the log, made anew every time.
        let path = self.config.state.directory.join(format!("shard-{number}.redb"));
        let store = Store::from_log(path, self.days(), Box::new(log)).map_err(|error| error.to_string())?;
        let shard = Shard { number: number.unsigned_abs(), of: cluster.shards.unsigned_abs() };
        let opened = self.assemble(shard, store).map_err(|error| error.to_string())?;
        let Opened { ingest, planning, reports } = opened;
        self.runtime.spawn_blocking(move || planning.run(reports));
        Ok(ingest)
    }
}

/// Tune while this instance acts; a search goes on where it was left.
pub(crate) async fn on_duty(tuning: Tuning, ingest: SharedStatus) {
    let lost = async || {
        while ingest.get().duty.acts() {
            tokio::time::sleep(DUTY).await;
        }
    };
    loop {
        let duty = ingest.get().duty;
        if !duty.acts() {
            let another = duty == Duty::Another;
            tuning.off_duty(if another { "another instance is on duty" } else { "not on duty yet" });
            tokio::time::sleep(DUTY).await;
            continue;
        }
        tokio::select! {
            () = tuning.run() => return,
            () = lost() => {}
        }
    }
}

/// What a planning thread owns.
struct Planning {
    planner: Planner,
    trainer: Arc<dyn Trainer>,
    store: Arc<Store>,
    board: Arc<RwLock<Board>>,
    clock: Clock,
    shard: Shard,
    term: Term,
    /// The last minute that this shard was planned for, by us or whoever had it before; where others could take it over.
    claimed: Option<u32>,
    clustered: bool,
    /// Whether whoever has shard 0 acts for all.
    for_all: bool,
    /// The workflows of this shard.
    tunings: Vec<Tuning>,
    ingest: SharedStatus,
    stopping: Arc<AtomicBool>,
    /// None: never.
    schedule: Option<Schedule>,
    training: Option<std::thread::JoinHandle<Result<Vec<u32>, String>>>,
    may_train: Arc<Semaphore>,
    /// When the last training ended, well or not.
    last: Option<Timestamp>,
    /// The first minute there are windows of.
    first: Option<Minute>,
    upstream: HashMap<String, String>,
    /// Days that windows are kept.
    history_days: u32,
}

impl Planning {
    /// A planner that knows what the store knows.
    fn new(
        shards: &Shards,
        shard: Shard,
        store: Arc<Store>,
        tunings: Vec<Tuning>,
        ingest: SharedStatus,
    ) -> Result<Self, Fault> {
        let config = &shards.config;
        let upstream = upstream(config)?;
        let train = &config.train;
        let schedule = train.enabled.then(|| Schedule {
            first_after_min: (train.first_after_h * 60.0) as u32,
            every: Duration::from_secs_f64(train.every_h * 3600.0),
        });
        let planner =
            Planner::new(plan_config(config), Managed::new(config.pool.functions.clone()), upstream.clone());
        let approvals = tunings.iter().map(|of| (of.name().to_owned(), Arc::clone(&of.approval)));
        Ok(Self {
            planner,
            trainer: Arc::clone(&shards.trainer),
            term: shards.share.begin(shard, Arc::clone(&store), approvals.collect()),
            tunings,
            ingest,
            for_all: config.actuator.kind.is_for_all(),
            store,
            board: Arc::clone(&shards.board),
            clock: shards.clock,
            shard,
            claimed: None,
            clustered: config.cluster.enabled,
            stopping: Arc::clone(&shards.stopping),
            schedule,
            training: None,
            may_train: Arc::clone(&shards.training),
            last: None,
            first: None,
            upstream,
            history_days: config.state.history_days,
        })
    }

    fn restore(&mut self, topic: &str) -> Result<(), String> {
        let began = Instant::now();
        let restored = self.store.restored(topic).map_err(|error| error.to_string())?;
        let functions = restored.functions.len();
        write(&self.board).forget(self.shard);
        for (id, info) in (0..).map(FunctionId).zip(restored.functions) {
            self.saw(&info);
            self.planner.add(id, info.clone());
            let mut board = write(&self.board);
            let shown = board.function(self.shard.global(id));
            (shown.info, shown.busy) = (info, restored.open.unwrap_or_default());
        }
        let claimed = self.store.get(CLAIMED).map_err(|error| error.to_string())?;
        self.claimed = claimed.and_then(|bytes| postcard::from_bytes(&bytes).ok());
        let Some(open) = restored.open else { return Ok(()) };
        let reach = aquatope_core::forecast::features::FULL_HISTORY as u32;
        let minutes = Minute(open.0.saturating_sub(reach))..open;
        let mut read = 0_usize;
        let planner = &mut self.planner;
        self.store
            .for_each_window(minutes, |id, window| {
                planner.finals(&[(id, window)]);
                read += 1;
            })
            .map_err(|error| error.to_string())?;
        self.planner.close(open);
        if let Some(bytes) = self.store.get(MODEL).map_err(|error| error.to_string())? {
            let model: Option<Model> = postcard::from_bytes(&bytes).ok();
            match model.map(|model| (model.trained, self.adopt(model))) {
                Some((trained, Ok(()))) => self.last = Some(trained),
                // Recent peaks forecast until it has been trained again.
                Some((_, Err(error))) => tracing::warn!("the stored model is not of this version: {error}"),
                None => tracing::warn!("the stored model is not of this version"),
            }
        }
        tracing::info!(functions, windows = read, seconds = began.elapsed().as_secs_f64(), "state restored");
        Ok(())
    }

    fn saw(&mut self, info: &FunctionInfo) {
        self.first = Some(self.first.map_or(info.first, |first| first.min(info.first)));
    }

    fn adopt(&mut self, model: Model) -> Result<(), String> {
        let trainer = Arc::clone(&self.trainer);
        self.planner
            .set_model(model.weights, |peaks| trainer.profile(peaks))
            .map_err(|error| error.to_string())?;
        let shown = &mut write(&self.board).model;
        (shown.kind, shown.trained_ms) = ("light", Some(model.trained.0));
        Ok(())
    }

    /// Until the source is gone, or the shard is given up.
    fn run(mut self, mut reports: mpsc::Receiver<MinuteReport>) {
        if !self.planner.has_model() {
            write(&self.board).model.kind = "recent peaks";
        }
        let runtime = tokio::runtime::Handle::current();
        let mut workflows = JoinSet::new();
        let names: Vec<String> = self.tunings.iter().map(|tuning| tuning.name().to_owned()).collect();
        for tuning in self.tunings.drain(..) {
            workflows.spawn_on(on_duty(tuning, self.ingest.clone()), &runtime);
        }
        loop {
            let wait = self.clock.real(SILENCE);
            let Ok(report) = runtime.block_on(async { tokio::time::timeout(wait, reports.recv()).await })
            else {
                self.silence();
                continue;
            };
            let Some(report) = report else { break };
            if let Some(Err(error)) = workflows.try_join_next() {
                // Whoever watches over the process starts it again; a search goes on where it was.
                tracing::error!(%error, "the tuning of a workflow ended");
                break;
            }
            let began = Instant::now();
            for (_, info) in &report.functions {
                self.saw(info);
            }
            let plan = self.planner.plan(&report);
            let took_ms = began.elapsed().as_secs_f64() * 1e3;
            let wants = self.wants(&plan);
            if self.claim(&wants) {
                self.term.want(wants);
            }
            write(&self.board).minute(self.shard, &report, &plan, self.clock.now().0, took_ms);
            self.train(report.open);
        }
        // A search has kept every step it finished.
        runtime.block_on(workflows.shutdown());
        if self.clustered {
            names.iter().for_each(|name| drop(write(&self.board).workflows.remove(name)));
        }
        self.end();
    }

    fn end(self) {
        if self.term.end() {
            write(&self.board).forget(self.shard);
        }
    }

    /// Whether to act for `minute`. Where others could have taken the shard over, that is so if the log takes the claim:
    /// then nobody else has or will.
    fn claim(&mut self, wants: &Wants) -> bool {
        let minute = wants.minute;
        if !self.clustered {
            return true;
        }
        if self.claimed.is_some_and(|claimed| claimed >= minute) {
            return false;
        }
        let bytes = |what: Result<Vec<u8>, postcard::Error>| what.expect("plain data is written to memory");
        let claim = bytes(postcard::to_stdvec(&minute));
        let claimed = if self.for_all {
            let plan = bytes(postcard::to_stdvec(wants));
            self.store.put_with_plan(CLAIMED, &claim, self.shard.number, plan)
        } else {
            self.store.put(CLAIMED, &claim)
        };
        match claimed {
            Ok(()) => {
                self.claimed = Some(minute);
                true
            }
            Err(error) => {
                tracing::warn!(shard = self.shard.number, minute, "nothing is done for this minute: {error}");
                false
            }
        }
    }

    /// Nothing closes a minute: the broker is gone, or a gap is being filled. The last targets are asked for again, for
    /// the present minute, so that what keeps containers warm goes on.
    fn silence(&mut self) {
        let minute = self.clock.now().minute().0;
        let last = self.term.wanted();
        if last.minute >= minute || last.functions.is_empty() {
            return;
        }
        let wants = Wants { minute, functions: last.functions.clone(), share: None };
        if !self.claim(&wants) {
            return;
        }
        self.term.want(wants);
        if let Some(planned) = write(&self.board).planned.get_mut(&self.shard.number) {
            planned.stale = true;
        }
    }

    fn wants(&self, plan: &PoolPlan) -> Wants {
        let mut functions = Vec::with_capacity(plan.targets.len());
        for (_, info, target) in self.planner.functions() {
            let Some(target) = target else { continue };
            functions.push(Wanted {
                name: info.name.clone(),
                namespace: info.namespace.clone(),
                kind: info.kind.clone(),
                memory_mb: info.memory_mb,
                containers: target.containers,
                busy: target.busy,
                warm: target.warm,
                cold_start_ms: info.cold_start_ms as u32,
            });
        }
        Wants { minute: plan.minute.0, functions, share: None }
    }

    /// Take a finished training in, and begin one when it is time.
    fn train(&mut self, open: Minute) {
        if self.training.as_ref().is_some_and(std::thread::JoinHandle::is_finished)
            && let Some(training) = self.training.take()
        {
            let result = training.join().unwrap_or_else(|_| Err("the training thread panicked".to_owned()));
            self.trained(result);
        }
        let now = self.clock.now();
        let history_min = self.first.map_or(0, |first| open.0.saturating_sub(first.0));
        let (trained, drifted) = (self.planner.has_model(), self.planner.drift().drifted());
        let due = self.schedule.is_some_and(|s| s.is_due(now, history_min, self.last, trained, drifted));
        if due
            && self.training.is_none()
            && let Ok(permit) = Arc::clone(&self.may_train).try_acquire_owned()
        {
            tracing::info!(history_min, drifted, "training");
            let (store, trainer, stop) =
                (Arc::clone(&self.store), Arc::clone(&self.trainer), Arc::clone(&self.stopping));
            let first = train::first(open, history_min, self.history_days);
            let upstream = self.upstream_ids();
            let clones = self.clones();
            self.training = Some(std::thread::spawn(move || {
                let _permit = permit;
                let series =
                    select(first, open, &upstream, &clones, |take| store.for_each_window(first..open, take))
                        .map_err(|error| error.to_string())?;
                trainer.train(&series, &stop)
            }));
        }
        let shown = &mut write(&self.board).model;
        shown.training = self.training.is_some();
        shown.above_q95 = self.planner.drift().share();
    }

    fn trained(&mut self, result: Result<Vec<u32>, String>) {
        let now = self.clock.now();
        self.last = Some(now);
        let adopted = result.and_then(|weights| {
            let model = Model { weights, trained: now };
            let bytes = postcard::to_stdvec(&model).map_err(|error| error.to_string())?;
            self.adopt(model)?;
            self.store.put(MODEL, &bytes).map_err(|error| error.to_string())
        });
        let shown = &mut write(&self.board).model;
        match adopted {
            Ok(()) => {
                shown.trainings += 1;
                shown.error = None;
                tracing::info!("a new model forecasts");
            }
            Err(error) => {
                tracing::error!("training: {error}; the old forecasts go on");
                shown.failures += 1;
                shown.error = Some(error);
            }
        }
    }

    /// The clones that trials of a workflow run on: they are no functions of anybody's.
    fn clones(&self) -> HashSet<FunctionId> {
        self.planner.functions().filter(|(_, info, _)| is_clone(&info.name)).map(|(id, ..)| id).collect()
    }

    fn upstream_ids(&self) -> HashMap<FunctionId, FunctionId> {
        let ids: HashMap<&str, FunctionId> =
            self.planner.functions().map(|(id, info, _)| (info.name.as_str(), id)).collect();
        let of = |name: &String| ids.get(name.as_str()).copied();
        self.upstream.iter().filter_map(|(stage, before)| Some((of(stage)?, of(before)?))).collect()
    }
}

fn plan_config(config: &Config) -> PlanConfig {
    let pool = &config.pool;
    let cold_start = pool.cold_start_cost as f32;
    PlanConfig {
        prices: Prices {
            first_cold_start: pool.first_cold_start_cost.map_or(cold_start, |cost| cost as f32),
            ..Prices::ratio(cold_start)
        },
        most: pool.most,
        capacity_mb: pool.capacity_mb.unwrap_or(f64::INFINITY),
        hysteresis: Hysteresis { patience: pool.patience, step: pool.step.unwrap_or(u32::MAX) },
        stale_after: Duration::from_secs_f64(pool.stale_after_s),
        // What was used a minute longer ago is evicted before the planned minute ends.
        idle_minutes: (config.actuator.idle_container_min as usize).saturating_sub(1).max(1),
    }
}

/// The stage before every stage of the registered workflows, by full names.
fn upstream(config: &Config) -> Result<HashMap<String, String>, Fault> {
    let mut upstream = HashMap::new();
    for registered in &config.workflow {
        let workflow = read_file(registered)?.workflow;
        let full = |name: &str| format!("{}/{name}", registered.namespace);
        for &(from, to) in &workflow.edges {
            let (from, to) = (&workflow.functions[from], &workflow.functions[to]);
            upstream.entry(full(&to.name)).or_insert_with(|| full(&from.name));
        }
    }
    Ok(upstream)
}

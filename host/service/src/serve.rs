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

mod planning;
mod shards;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use aquatope_workflow::fault::Fault;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use self::shards::{Opened, Shards};
use crate::actuate::{BackEnd, OwnActivations, Runner};
use crate::board::Board;
use crate::clock::Clock;
use crate::cluster::plans::Follower;
use crate::cluster::told::Told;
use crate::config::{Config, Secrets};
use crate::http::{self, Elsewhere};
use crate::platform::{self, fault};
use crate::share::{ONE_VERSION, Share};
use crate::source::kafka::Sharing;
use crate::source::{Ingest, IngestHandle, PlatformRecords, Records, SharedStatus, in_process, kafka};
use crate::train::Trainer;

/// The file of the store in the state folder.
pub const STORE: &str = "aquatope.redb";

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
    /// Hears what all shards tell.
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
            status: SharedStatus::default(),
            stopping: Arc::clone(&stopping),
            training: Arc::new(Semaphore::new(1)),
            runtime: tokio::runtime::Handle::current(),
            place: String::new(),
        };
        make_directory(config)?;
        // So that a fault of the configuration is told before anything runs.
        BackEnd::new(config, secrets, OwnActivations::default())?;
        let (opened, elsewhere) = if config.cluster.enabled {
            let workflows = shards.check()?;
            (None, Some(Arc::new(Elsewhere::new(config, secrets, workflows))))
        } else {
            (Some(shards.only()?), None)
        };
        let listener = http::bind(config.http.listen).await.map_err(|error| {
            fault(
                &format!("http.listen = {}", config.http.listen),
                error,
                "choose a free address of this machine",
            )
        })?;
        let address = listener.local_addr().unwrap_or(config.http.listen);
        let follow = || follow_plans(config, secrets, &share, shards.status.clone());
        let follower = config.cluster.enabled.then(follow).transpose()?;
        let (events, ingest, planner) = match opened {
            None => {
                let shards = Shards { place: place(address), ..shards };
                (None, read_shards(config, secrets, shards, address)?, None)
            }
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
            elsewhere,
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
        // The actuator ends first, so that the ids of its last calls are stored; with the reader of events the planner ends.
        self.share.close();
        if !self.runner.is_finished() {
            let _ = tokio::time::timeout(GRACE, self.runner).await;
        }
        let (ingest, follower) = (self.ingest, self.follower);
        let _ = tokio::task::spawn_blocking(move || drop((ingest, follower))).await;
        if let Some(planner) = self.planner.filter(|planner| !planner.is_finished()) {
            let _ = tokio::time::timeout(GRACE, planner).await;
        }
        let _ = self.stop.send(true);
        if !self.server.is_finished() {
            let _ = tokio::time::timeout(GRACE, self.server).await;
        }
    }
}

/// For so long whoever acts for all shards waits for the others' plans of the minute.
const LATE: Duration = Duration::from_secs(5);
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
    address: SocketAddr,
) -> Result<IngestHandle, Fault> {
    let (records, clock, status) = (records(config, secrets)?, shards.clock, shards.status.clone());
    let sharing = Sharing {
        cluster: config.cluster.clone(),
        opener: Arc::new(shards),
        status,
        listens: address.to_string(),
    };
    kafka::spawn_shards(&config.kafka, secrets.kafka.as_ref(), sharing, records, clock)
        .map_err(|error| fault("[kafka]", error, "correct this section of the configuration"))
}

fn follow_plans(
    config: &Config,
    secrets: &Secrets,
    share: &Arc<Share>,
    status: SharedStatus,
) -> Result<Follower, Fault> {
    let share = Arc::clone(share);
    let hear = move |told: Option<(u32, &[u8])>| match told {
        None => share.look(),
        Some((shard, bytes)) => {
            if share.hear(shard, Told::from_bytes(bytes)) {
                tracing::warn!(shard, "what this shard tells is of another version; {ONE_VERSION}");
            }
        }
    };
    Follower::start(&config.kafka, secrets.kafka.as_ref(), &config.cluster, status, hear)
        .map_err(|error| fault("[kafka]", error, "correct this section of the configuration"))
}

/// Where this instance is, for people: its host, where the system tells, and where it listens.
fn place(address: SocketAddr) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{} http.listen = {address}", host.trim()).trim_start().to_owned()
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

//! What a shard consists of, made from the configuration. Without a cluster there is one, of one.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use aquatope_workflow::fault::Fault;
use tokio::sync::{Semaphore, mpsc};

use super::STORE;
use super::planning::{Planning, upstream};
use crate::board::Board;
use crate::clock::Clock;
use crate::cluster::log::KafkaLog;
use crate::cluster::shard_of;
use crate::config::{Config, Secrets};
use crate::observe::{MinuteReport, ObserverConfig};
use crate::share::{Shard, Share};
use crate::source::kafka::Opener;
use crate::source::{Ingest, IngestConfig, SharedStatus};
use crate::store::Store;
use crate::train::Trainer;
use crate::workflows::Tuning;

/// Reports that may wait for the planner; more are merged.
const REPORTS: usize = 4;

/// Makes what a shard consists of: a store, an observer, a planner.
pub(super) struct Shards {
    pub(super) config: Config,
    pub(super) secrets: Secrets,
    pub(super) trainer: Arc<dyn Trainer>,
    pub(super) board: Arc<RwLock<Board>>,
    pub(super) clock: Clock,
    pub(super) share: Arc<Share>,
    /// Of the reader of all shards.
    pub(super) status: SharedStatus,
    pub(super) stopping: Arc<AtomicBool>,
    /// One training at a time.
    pub(super) training: Arc<Semaphore>,
    pub(super) runtime: tokio::runtime::Handle,
    /// This instance, for people at another one.
    pub(super) place: String,
}

pub(super) struct Opened {
    pub(super) ingest: Ingest,
    pub(super) planning: Planning,
    pub(super) reports: mpsc::Receiver<MinuteReport>,
}

impl Shards {
    /// The names of the workflows that are tuned; or what is wrong with one.
    pub(super) fn check(&self) -> Result<Vec<String>, Fault> {
        upstream(&self.config)?;
        let store = Store::in_memory().map_err(|error| error.fault())?;
        let tunings = self.tunings(Shard::ALL, &Arc::new(store))?;
        Ok(tunings.iter().map(|tuning| tuning.name().to_owned()).collect())
    }

    /// The only one, whose state is in a file.
    pub(super) fn only(&self) -> Result<Opened, Fault> {
        let path = self.config.state.directory.join(STORE);
        let store = Store::open(&path, self.days()).map_err(|error| error.fault())?;
        self.assemble(Shard::ALL, store)
    }

    fn assemble(&self, shard: Shard, store: Store) -> Result<Opened, Fault> {
        let store = Arc::new(store);
        let windows = &self.config.windows;
        let ObserverConfig { functions, .. } = ObserverConfig::default();
        let ingest = IngestConfig {
            topic: self.config.kafka.topic.clone(),
            observer: ObserverConfig {
                ahead: Duration::from_secs_f64(windows.ahead_s),
                final_after: Duration::from_secs_f64(windows.final_after_s),
                // So many in all shards: whoever can write events can choose names, and shards.
                functions: functions.div_ceil(shard.of.max(1) as usize),
                ..ObserverConfig::default()
            },
            event_delay: Duration::from_secs_f64(windows.event_delay_s),
        };
        let (sender, reports) = mpsc::channel(REPORTS);
        let ingest = Ingest::new(ingest, Arc::clone(&store), sender, self.clock);
        let ingest = ingest.map_err(|error| error.fault())?;
        let tunings = self.tunings(shard, &store)?;
        let mut planning = Planning::new(self, shard, store, tunings, ingest.status().clone())?;
        if let Err(error) = planning.restore(&self.config.kafka.topic) {
            planning.end();
            return Err(error.fault());
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
        let log = KafkaLog::open(kafka, self.secrets.kafka.as_ref(), cluster, number, self.status.clone());
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

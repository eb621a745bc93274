//! Events from Kafka's topic `events`, read by one thread.
//!
//! Partitions are assigned by hand, at the offsets that the store has. Another consumer joins the group: it learns whether
//! another instance is at work ([`super::Duty`]), and shows our position to lag tools once the store has it. Another thread
//! asks the brokers four times a second how far each partition goes: that is what the watermark follows, so that nothing is
//! closed while a broker cannot say that there is no more.
//!
//! A topic that was deleted and made anew is told by its end, which lies before what was read. If it has grown beyond that
//! by the time it is seen, offsets cannot tell, and its first messages are not read.

mod client;
mod partition;
mod reader;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use aquatope_openwhisk::credentials::Secret;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use self::reader::{Opening, Reader};
use super::asker::Asker;
use super::shards::{Shard, Shards};
use super::{Duty, Ingest, IngestHandle, Records, SharedStatus};
use crate::clock::Clock;
use crate::config::{Cluster, Kafka};

pub use self::client::client_config;
pub(super) use self::client::log;
pub(crate) use self::client::{Log, mend, metadata};

/// Start the thread, which connects and reconnects for as long as it runs. `records` fill gaps, if there are any.
///
/// # Errors
/// librdkafka refuses the configuration, such as a certificate file that does not exist.
pub fn spawn(
    config: &Kafka,
    password: Option<&Secret>,
    ingest: Ingest,
    records: Option<Arc<dyn Records>>,
) -> Result<IngestHandle, KafkaError> {
    let (status, clock) = (ingest.status().clone(), ingest.clock());
    status.update(|status| status.duty = Duty::Unknown);
    let shards = Shards::new(1, vec![Shard::new(0, ingest)]);
    start(config, password, Start { shards, status, clock, records, sharing: None })
}

/// Opens a shard: shuts out whoever had it, and goes on from where its state is.
pub trait Opener: Send + Sync {
    /// May take its time; what is returned is dropped when the shard is no longer ours.
    ///
    /// # Errors
    /// Why not, for the log; it is tried again.
    fn open(&self, shard: i32) -> Result<Ingest, String>;
}

/// How several instances share the functions.
pub struct Sharing {
    /// The topic of the state, and its shards.
    pub cluster: Cluster,
    /// Opens those that are ours.
    pub opener: Arc<dyn Opener>,
    /// What it is doing, to be shown by others.
    pub status: SharedStatus,
    /// Where our own HTTP interface is, for the other instances.
    pub listens: String,
}

/// The same where several instances share the functions.
///
/// # Errors
/// The same.
pub fn spawn_shards(
    config: &Kafka,
    password: Option<&Secret>,
    sharing: Sharing,
    records: Option<Arc<dyn Records>>,
    clock: Clock,
) -> Result<IngestHandle, KafkaError> {
    let (of, status) = (sharing.cluster.shards, sharing.status.clone());
    status.update(|status| status.cluster.get_or_insert_default().of = of);
    let shards = Shards::new(of, Vec::new());
    start(config, password, Start { shards, status, clock, records, sharing: Some(sharing) })
}

struct Start {
    shards: Shards,
    status: SharedStatus,
    clock: Clock,
    records: Option<Arc<dyn Records>>,
    sharing: Option<Sharing>,
}

fn start(config: &Kafka, password: Option<&Secret>, start: Start) -> Result<IngestHandle, KafkaError> {
    let Start { shards, status, clock, records, sharing } = start;
    let consumer: Arc<BaseConsumer<Log>> =
        Arc::new(client_config(config, password).create_with_context(Log::default())?);
    let (commands, received) = mpsc::channel();
    let own_commands = commands.clone();
    let (config, password, shared) = (config.clone(), password.cloned(), status.clone());
    let run = move || {
        let (answers, answered) = mpsc::channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let member = Arc::new(OnceLock::new());
        let (listens, cluster, opener) = match sharing {
            None => (String::new(), None, None),
            Some(Sharing { cluster, opener, listens, .. }) => (listens, Some(cluster), Some(opener)),
        };
        let asker = Asker {
            consumer: consumer.clone(),
            config: config.clone(),
            password,
            cluster,
            listens,
            stopped: stopped.clone(),
            answers,
            member: member.clone(),
            status: shared.clone(),
        };
        let asking = thread::Builder::new().name("ingest-ends".into()).spawn(move || asker.run());
        let reader = Reader {
            consumer,
            config,
            shards,
            status: shared,
            clock,
            records,
            commands: own_commands,
            member,
            opening: opener.map(Opening::new),
            partitions: Vec::new(),
            reassign: false,
        };
        reader.run(&received, &answered);
        stopped.store(true, Ordering::Relaxed);
        drop(asking.map(thread::JoinHandle::join));
    };
    let thread = thread::Builder::new().name("ingest".into()).spawn(run);
    let thread = Some(thread.expect("the system has room for one more thread"));
    Ok(IngestHandle { commands, status, thread })
}

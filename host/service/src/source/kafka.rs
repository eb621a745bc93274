//! Events from Kafka's topic `events`, read by one thread.
//!
//! Partitions are assigned by hand, at the offsets that the store has. Another consumer joins the group: it learns whether
//! another instance is at work ([`super::Duty`]), and shows our position to lag tools once the store has it. Another thread
//! asks the brokers four times a second how far each partition goes: that is what the watermark follows, so that nothing is
//! closed while a broker cannot say that there is no more.
//!
//! A topic that was deleted and made anew is told by its end, which lies before what was read. If it has grown beyond that
//! by the time it is seen, offsets cannot tell, and its first messages are not read.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use aquatope_core::time::Timestamp;
use aquatope_openwhisk::credentials::Secret;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::asker::{Answer, Asker, Ends};
use super::backfill;
use super::ingest::{STATUS_EVERY, Ticked};
use super::membership::Member;
use super::shards::{Shard, Shards};
use super::turns::Turns;
use super::{Command, Duty, Ingest, IngestHandle, PartitionStatus, Records, SharedStatus};
use crate::clock::Clock;
use crate::config::{self, Cluster, Kafka, Security};
use crate::observe::{PartitionOffsets, Place};

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

/// What librdkafka needs to know to reach the brokers; for the checks of `doctor` too.
pub fn client_config(config: &Kafka, password: Option<&Secret>) -> ClientConfig {
    let mut client = ClientConfig::new();
    let protocol = match config.security {
        Security::Plaintext => "plaintext",
        Security::Ssl => "ssl",
        Security::SaslPlaintext => "sasl_plaintext",
        Security::SaslSsl => "sasl_ssl",
    };
    client
        .set("bootstrap.servers", &config.brokers)
        .set("security.protocol", protocol)
        .set("group.id", &config.group)
        .set("client.id", "aquatope")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Where to go on when messages are gone is ours to say, since the gap has to be told.
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("reconnect.backoff.max.ms", "2000")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "200")
        // What is fetched ahead: bounds the memory of a backlog.
        .set("queued.max.messages.kbytes", "32768")
        // When that is full, librdkafka would rest for a second, and we drain it in a fraction of one.
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.message.max.bytes", "4194304")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set_log_level(RDKafkaLogLevel::Warning);
    if matches!(config.security, Security::SaslPlaintext | Security::SaslSsl) {
        client.set("sasl.mechanisms", &config.sasl_mechanism).set("sasl.username", &config.username);
        client.set("sasl.password", password.map_or("", Secret::reveal));
    }
    if let Some(file) = &config.ca_file {
        client.set("ssl.ca.location", file.to_string_lossy());
    }
    client
}

/// librdkafka's log lines, which hold no secrets, to ours; and why a broker was not reached last.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(super) reason: Mutex<Option<String>>,
}

impl ClientContext for Log {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
        // "All brokers are down" tells less than what came before it.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Log {}

impl ProducerContext for Log {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {}
}

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
            tracing::debug!(facility, "{message}");
        }
        _ => tracing::warn!(facility, "{message}"),
    }
}

/// Reads.
struct Reader {
    consumer: Arc<BaseConsumer<Log>>,
    config: Kafka,
    shards: Shards,
    status: SharedStatus,
    clock: Clock,
    records: Option<Arc<dyn Records>>,
    commands: mpsc::Sender<Command>,
    member: Arc<OnceLock<Member>>,
    /// Where several instances share the functions.
    opening: Option<Opening>,
    partitions: Vec<Partition>,
    /// The broker said that an offset does not exist.
    reassign: bool,
}

/// The shards that are being opened.
struct Opening {
    opener: Arc<dyn Opener>,
    turns: Turns,
    told: Option<Instant>,
}

impl Opening {
    fn new(opener: Arc<dyn Opener>) -> Self {
        Self { opener, turns: Turns::default(), told: None }
    }
}

#[derive(Debug)]
struct Partition {
    id: i32,
    position: i64,
    /// The last answer.
    ends: Ends,
    /// When that was taken in, and how far was read by then: an answer to a question asked later has to say as much.
    read_by: (Instant, i64),
    /// Since when the broker has said that there is less than was read.
    short_since: Option<Instant>,
}

impl Partition {
    /// Take in an answer at `now`: whether it has said for [`SHORT`] that there is less than was read. An answer to a
    /// question that is older than the last one taken in says nothing: more may have come and been read since.
    fn is_remade(&mut self, ends: Ends, now: Instant) -> bool {
        let (since, position) = self.read_by;
        self.ends = ends;
        self.read_by = (now, self.position);
        if ends.asked < since {
            return false;
        }
        if ends.high >= position {
            self.short_since = None;
            return false;
        }
        now.saturating_duration_since(*self.short_since.get_or_insert(now)) > SHORT
    }
}

/// Messages taken between two looks at the clock and the channels.
const BATCH: usize = 10_000;
const BATCH_TIME: Duration = Duration::from_millis(50);

/// A new leader may know of less than was read for a moment. Longer than this, and the topic was made anew.
const SHORT: Duration = Duration::from_secs(10);

impl Reader {
    fn run(mut self, commands: &mpsc::Receiver<Command>, answers: &mpsc::Receiver<Answer>) {
        loop {
            while let Ok(command) = commands.try_recv() {
                match command {
                    Command::Opened(shard, ingest) => self.handle_opened(shard, *ingest),
                    command => {
                        if let Command::Filled(true, _) = command {
                            self.status.update(|status| status.gaps_filled += 1);
                        }
                        if !self.shards.handle_command(command) {
                            return;
                        }
                    }
                }
            }
            while let Ok(answer) = answers.try_recv() {
                self.handle_answer(answer);
            }
            self.follow_group();
            self.read();
            self.tell_caught_up();
            match self.shards.tick() {
                Ticked::Idle => {}
                Ticked::Stored(offsets) => self.commit(&offsets),
                Ticked::Closed => return,
            }
        }
    }

    /// Let go of the shards that are no longer ours, and open those that are.
    fn follow_group(&mut self) {
        let (Some(opening), Some(member)) = (&mut self.opening, self.member.get()) else { return };
        let Some(ours) = member.shards() else { return };
        let now = Instant::now();
        for shard in self.shards.give_up(&ours) {
            // Somebody else opened it: we may not have heard the group's latest word, and would shut out its rightful owner.
            opening.turns.handle_failed(shard, None, now);
        }
        let mut held: Vec<i32> = self.shards.held.iter().map(|shard| shard.id).collect();
        held.sort_unstable();
        for shard in opening.turns.due(&ours, &held, now) {
            let (opener, commands) = (opening.opener.clone(), self.commands.clone());
            // When the reader is gone meanwhile, so is the shard.
            let open = move || drop(commands.send(Command::Opened(shard, Box::new(opener.open(shard)))));
            let thread = thread::Builder::new().name(format!("shard-{shard}")).spawn(open);
            drop(thread.expect("the system has room for one more thread"));
        }
        if opening.told.is_none_or(|told| told.elapsed() >= STATUS_EVERY) {
            opening.told = Some(Instant::now());
            self.shards.tell_status(&self.status);
            self.status.update(|status| {
                if let Some(cluster) = &mut status.cluster {
                    cluster.joined = true;
                    cluster.assigned = ours.into_iter().collect();
                    cluster.held = held;
                    cluster.error = opening.turns.error();
                }
            });
        }
    }

    fn handle_opened(&mut self, shard: i32, opened: Result<Ingest, String>) {
        let Some(opening) = &mut self.opening else { return };
        match opened {
            Ok(ingest) => {
                tracing::info!(shard, "shard taken over");
                opening.turns.handle_opened(shard);
                self.shards.held.push(Shard::new(shard, ingest));
            }
            Err(error) => {
                tracing::error!(shard, "not taken over: {error}");
                opening.turns.handle_failed(shard, Some(error), Instant::now());
            }
        }
    }

    /// Take what is there, for at most [`BATCH_TIME`].
    fn read(&mut self) {
        let until = Instant::now() + BATCH_TIME;
        for taken in 0..BATCH {
            let wait = if taken % 64 == 0 {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return;
                }
                if taken == 0 { left } else { Duration::ZERO }
            } else {
                Duration::ZERO
            };
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    if let Some(known) = self.partitions.iter_mut().find(|known| known.id == partition) {
                        known.position = known.position.max(offset + 1);
                    }
                    self.shards
                        .handle_message(Place { partition, offset }, message.payload().unwrap_or_default());
                }
                Some(Err(error)) => {
                    let code = error.rdkafka_error_code();
                    self.reassign |= matches!(
                        code,
                        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
                    );
                    tracing::debug!(%error, "reading");
                }
                None => return,
            }
        }
    }

    fn handle_answer(&mut self, answer: Answer) {
        let ends = match answer {
            Ok(ends) => ends,
            Err(error) => {
                return self.status.update(|status| {
                    if status.connected || status.error.as_ref() != Some(&error) {
                        tracing::warn!("{error}");
                    }
                    status.connected = false;
                    status.error = Some(error);
                });
            }
        };
        let (mut moved, mut gaps) = (self.forget_missing(&ends), BTreeSet::new());
        for &ends in &ends {
            moved |= self.handle_ends(ends, &mut gaps);
        }
        for at in 0..self.shards.held.len() {
            moved |= self.admit(at, &ends, &mut gaps);
        }
        if !gaps.is_empty() {
            self.fill_gap(&gaps);
        }
        if moved {
            self.assign();
        }
        self.reassign = false;
        let partitions = self.partitions.iter().map(|known| PartitionStatus {
            partition: known.id,
            position: known.position,
            lag: (known.ends.high - known.position).max(0),
        });
        let partitions = partitions.collect();
        self.status.update(|status| {
            if !status.connected {
                tracing::info!("the brokers answer");
            }
            status.connected = true;
            status.error = None;
            status.partitions = partitions;
        });
    }

    /// Leave out partitions that are no more: the topic was made anew with fewer. True: there were some.
    fn forget_missing(&mut self, ends: &[Ends]) -> bool {
        let before = self.partitions.len();
        let is_there = |id: i32| ends.iter().any(|ends| ends.partition == id);
        for missing in self.partitions.iter().filter(|known| !is_there(known.id)) {
            for shard in &mut self.shards.held {
                shard.partitions.retain(|&partition| partition != missing.id);
                shard.ingest.observer().handle_removed(missing.id);
            }
            self.shards.demand.forget(missing.id);
        }
        self.partitions.retain(|known| is_there(known.id));
        self.partitions.len() < before
    }

    /// Find the way of a shard into the partitions that it does not read yet. Whether reading has to begin elsewhere.
    fn admit(&mut self, at: usize, ends: &[Ends], gaps: &mut BTreeSet<usize>) -> bool {
        let shard = &mut self.shards.held[at];
        // Whoever had it before may have read further than an older answer says.
        if ends.iter().any(|ends| ends.asked < shard.opened) {
            return false;
        }
        let observer = shard.ingest.observer();
        let is_short =
            |ends: &Ends| observer.stored(ends.partition).is_some_and(|it| it.position > ends.high);
        // The answer may come from a leader that is behind.
        if shard.partitions.is_empty()
            && ends.iter().any(is_short)
            && shard.short_since.get_or_insert_with(Instant::now).elapsed() <= SHORT
        {
            return false;
        }
        let begun = observer.has_begun();
        let mut moved = false;
        for &ends in ends {
            let Ends { partition, low, high, .. } = ends;
            let shard = &mut self.shards.held[at];
            if shard.partitions.contains(&partition) {
                continue;
            }
            shard.partitions.push(partition);
            let stored = shard.ingest.observer().stored(partition);
            let position = first_position(stored, self.config.start, begun, low, high);
            let remade = stored.is_some_and(|stored| stored.position > high);
            shard.ingest.handle_assigned(partition, position);
            if remade || stored.is_some_and(|stored| stored.resume < low) {
                self.gap(at, partition, position, remade);
                gaps.insert(at);
            }
            match self.partitions.iter_mut().find(|known| known.id == partition) {
                // What others have read already they leave out.
                Some(known) => known.position = known.position.min(position),
                None => {
                    let read_by = (Instant::now(), position);
                    let known = Partition { id: partition, position, ends, read_by, short_since: None };
                    self.partitions.push(known);
                }
            }
            moved = true;
        }
        moved
    }

    /// Whether the partition has to be read from elsewhere, or asked for once more.
    fn handle_ends(&mut self, ends: Ends, gaps: &mut BTreeSet<usize>) -> bool {
        let Ends { partition, low, .. } = ends;
        let now = Instant::now();
        let Some(known) = self.partitions.iter_mut().find(|known| known.id == partition) else {
            return false;
        };
        let remade = known.is_remade(ends, now);
        if known.position >= low && !remade {
            // An offset that the broker refused and that is there again is asked for once more.
            return self.reassign;
        }
        (known.position, known.read_by, known.short_since) = (low, (now, low), None);
        if remade {
            self.shards.demand.forget(partition);
        }
        for at in 0..self.shards.held.len() {
            if self.shards.held[at].partitions.contains(&partition) {
                self.gap(at, partition, low, remade);
                gaps.insert(at);
            }
        }
        true
    }

    /// Messages of `partition` before `position` were lost before a shard read them; `remade`: all of them.
    fn gap(&mut self, at: usize, partition: i32, position: i64, remade: bool) {
        let now = self.clock.now();
        let Shard { id, ingest, .. } = &mut self.shards.held[at];
        tracing::warn!(
            partition,
            shard = *id,
            since_ms = ingest.watermark().0,
            "Kafka no longer has the messages that come next; reading goes on with the first it has"
        );
        ingest.observer().handle_gap(partition, position, remade, now.minute());
    }

    /// From the platform's records, if there are any, for these shards.
    fn fill_gap(&mut self, shards: &BTreeSet<usize>) {
        self.status.update(|status| status.gaps += 1);
        let Some(records) = &self.records else { return };
        let (mut waiting, mut since) = (Vec::new(), Timestamp(u64::MAX));
        for &at in shards {
            let Shard { id, opened, ingest, .. } = &mut self.shards.held[at];
            waiting.push((*id, *opened));
            // Records are listed by their start; runs that were under way at the watermark started before it.
            let longest = ingest.final_after().as_millis() as u64;
            since = since.min(Timestamp(ingest.watermark().0.saturating_sub(longest)));
            ingest.observer().hold();
        }
        backfill::fill(records.clone(), since, self.clock.now(), waiting, self.commands.clone());
    }

    fn assign(&self) {
        let mut list = TopicPartitionList::new();
        // Without a shard there is nothing to read for.
        for known in self.partitions.iter().filter(|_| !self.shards.held.is_empty()) {
            let added =
                list.add_partition_offset(&self.config.topic, known.id, Offset::Offset(known.position));
            if let Err(error) = added {
                tracing::error!(%error, partition = known.id, "assigning");
            }
        }
        if let Err(error) = self.consumer.assign(&list) {
            tracing::error!(%error, "assigning");
        }
    }

    fn tell_caught_up(&mut self) {
        for known in &self.partitions {
            if known.position >= known.ends.high {
                self.shards.handle_caught_up(known.id, known.ends.asked);
            }
        }
    }

    /// For tools that show lag; nothing is read from it.
    fn commit(&self, offsets: &[PartitionOffsets]) {
        let mut list = TopicPartitionList::new();
        for of in offsets {
            // One before the first there is, while a gap would have to be found again.
            let offset = Offset::Offset(of.resume.max(0));
            if let Err(error) = list.add_partition_offset(&self.config.topic, of.partition, offset) {
                tracing::debug!(%error, "committing offsets");
            }
        }
        if list.count() > 0
            && let Some(member) = self.member.get()
        {
            member.commit(&list);
        }
    }
}

/// Where to read a partition from that holds `low..high`: where the last run stopped, or from its beginning if that is
/// gone or the topic was made anew. `Latest` is about where the first reading ever begins: of a partition that was added
/// later nothing is skipped.
fn first_position(
    stored: Option<PartitionOffsets>,
    start: config::Start,
    begun: bool,
    low: i64,
    high: i64,
) -> i64 {
    match (stored, start) {
        (Some(stored), _) if low <= stored.resume && stored.position <= high => stored.resume,
        (None, config::Start::Latest) if !begun => high,
        _ => low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Start;

    #[test]
    fn a_partition_added_later_is_read_from_its_beginning() {
        assert_eq!(first_position(None, Start::Latest, false, 3, 9), 9);
        assert_eq!(first_position(None, Start::Latest, true, 3, 9), 3);
    }

    #[test]
    fn only_an_end_that_stays_before_what_was_read_is_of_another_topic() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let ends = |high, asked| Ends { partition: 0, low: 0, high, asked: at(asked) };
        let mut live =
            Partition { id: 0, position: 10, ends: ends(10, 0.0), read_by: (at(0.0), 10), short_since: None };
        for second in 1..100 {
            // More came and was read between question and answer.
            let asked = f64::from(second) - 0.1;
            assert!(!live.is_remade(ends(live.position, asked), at(f64::from(second))));
            live.position += 7;
            // This was asked before that one was taken in.
            assert!(!live.is_remade(ends(1, asked), at(f64::from(second) + 0.1)));
        }
        let mut taken = Vec::new();
        for second in 100..115 {
            let asked = f64::from(second) + 0.5;
            taken.push(live.is_remade(ends(3, asked), at(asked + 0.1)));
        }
        assert_eq!(taken.iter().position(|&remade| remade), Some(11), "after more than ten seconds");
    }

    #[test]
    fn a_restart_goes_on_where_it_stopped_unless_that_is_gone() {
        let first = |resume, position| {
            let stored = PartitionOffsets { partition: 0, resume, position };
            first_position(Some(stored), Start::Latest, true, 3, 9)
        };
        assert_eq!([first(5, 7), first(3, 9)], [5, 3]);
        assert_eq!(first(1, 7), 3, "deleted before it was read");
        assert_eq!([first(5, 10), first(12, 12)], [3, 3], "the topic was made anew");
    }
}

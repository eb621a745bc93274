//! Events from Kafka's topic `events`, read by one thread.
//!
//! Partitions are assigned by hand, at the offsets that the store has. A second consumer joins the group: it learns whether
//! another instance is at work ([`super::Duty`]), and shows our position to lag tools, after the store has it. A second thread asks the brokers four times a second how far each partition goes: that is
//! what the watermark follows, so that nothing is closed while a broker cannot say that there is no more.
//!
//! A topic that was deleted and made anew is told by its end, which lies before what was read. If it has grown beyond that
//! by the time it is seen, offsets cannot tell, and its first messages are not read.

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
use rdkafka::message::Message;
use rdkafka::metadata::MetadataPartition;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::backfill;
use super::ingest::Ticked;
use super::membership::Member;
use super::{Command, Duty, Ingest, IngestHandle, PartitionStatus, Records, SharedStatus};
use crate::config::{Kafka, Security, Start};
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
    let consumer: Arc<BaseConsumer<Log>> =
        Arc::new(client_config(config, password).create_with_context(Log::default())?);
    let (commands, received) = mpsc::channel();
    let status = ingest.status().clone();
    status.update(|status| status.duty = Duty::Unknown);
    let (start, own_commands) = (config.start, commands.clone());
    let (config, password) = (config.clone(), password.cloned());
    let run = move || {
        let (answers, answered) = mpsc::channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let member = Arc::new(OnceLock::new());
        let asker = Asker {
            consumer: consumer.clone(),
            config,
            password,
            stopped: stopped.clone(),
            answers,
            member: member.clone(),
            status: ingest.status().clone(),
        };
        let asking = thread::Builder::new().name("ingest-ends".into()).spawn(move || asker.run());
        let reader = Reader {
            consumer,
            ingest,
            start,
            records,
            commands: own_commands,
            member,
            partitions: Vec::new(),
            short_since: None,
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
struct Log {
    reason: Mutex<Option<String>>,
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

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
            tracing::debug!(facility, "{message}");
        }
        _ => tracing::warn!(facility, "{message}"),
    }
}

/// What a partition holds: offsets `low..high`, and all that was produced until `asked`.
#[derive(Clone, Copy, Debug)]
struct Ends {
    partition: i32,
    low: i64,
    high: i64,
    asked: Instant,
}

/// The brokers' answer, or why there is none.
type Answer = Result<Vec<Ends>, String>;

/// Asks the brokers how far the partitions go, and the group whether we are the only ones.
struct Asker {
    consumer: Arc<BaseConsumer<Log>>,
    config: Kafka,
    password: Option<Secret>,
    stopped: Arc<AtomicBool>,
    answers: mpsc::Sender<Answer>,
    /// Once there are partitions to share.
    member: Arc<OnceLock<Member>>,
    status: SharedStatus,
}

impl Asker {
    const EVERY: Duration = Duration::from_millis(250);
    /// New partitions are looked for.
    const PARTITIONS_EVERY: Duration = Duration::from_secs(30);
    const TIMEOUT: Duration = Duration::from_secs(2);

    fn run(self) {
        let mut partitions: (Vec<i32>, Option<Instant>) = (Vec::new(), None);
        while !self.stopped.load(Ordering::Relaxed) {
            if partitions.0.is_empty() || partitions.1.is_none_or(|at| at.elapsed() > Self::PARTITIONS_EVERY)
            {
                match self.partitions() {
                    Ok(found) => partitions = (found, Some(Instant::now())),
                    Err(error) => drop(self.answers.send(Err(error))),
                }
            }
            let ends: Result<Vec<Ends>, String> = partitions.0.iter().map(|&id| self.ends(id)).collect();
            if ends.as_ref().is_ok_and(Vec::is_empty) {
                // Why has been said.
            } else if self.answers.send(ends).is_err() {
                return;
            }
            if !partitions.0.is_empty() {
                self.take_part();
            }
            thread::sleep(Self::EVERY);
        }
    }

    fn take_part(&self) {
        let Some(member) = self.member.get() else {
            match Member::join(&self.config, self.password.as_ref()) {
                Ok(member) => drop(self.member.set(member)),
                Err(error) => tracing::error!(%error, "joining the consumer group"),
            }
            return;
        };
        member.poll();
        let (duty, before) = (member.duty(), self.status.get().duty);
        if duty != before {
            let group = &self.config.group;
            match duty {
                Duty::Another => tracing::error!(group, "{}", duty.reason().unwrap_or_default()),
                Duty::NotKnowable => {
                    tracing::warn!(
                        group,
                        "the group may not be joined: a second instance would go unnoticed"
                    );
                }
                _ => tracing::info!(group, "the only instance at work"),
            }
            self.status.update(|status| status.duty = duty);
        }
    }

    fn partitions(&self) -> Result<Vec<i32>, String> {
        let metadata = self.consumer.fetch_metadata(Some(&self.config.topic), Self::TIMEOUT);
        let metadata = metadata.map_err(|error| {
            let reason = self.consumer.context().reason.lock().unwrap_or_else(PoisonError::into_inner).take();
            let reason = reason.unwrap_or_else(|| error.to_string());
            format!(
                "brokers do not answer: {reason}; check [kafka]: brokers, security, sasl_mechanism, ca_file"
            )
        })?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.config.topic);
        let partitions: Vec<i32> = topic
            .filter(|topic| topic.error().is_none())
            .map_or_else(Vec::new, |topic| topic.partitions().iter().map(MetadataPartition::id).collect());
        if partitions.is_empty() {
            let topic = &self.config.topic;
            return Err(format!(
                "topic `{topic}` does not exist; enable user events in OpenWhisk, or set kafka.topic"
            ));
        }
        Ok(partitions)
    }

    fn ends(&self, partition: i32) -> Result<Ends, String> {
        let asked = Instant::now();
        let (low, high) = self
            .consumer
            .fetch_watermarks(&self.config.topic, partition, Self::TIMEOUT)
            .map_err(|error| format!("partition {partition} cannot be read: {error}"))?;
        Ok(Ends { partition, low, high, asked })
    }
}

/// Reads.
struct Reader {
    consumer: Arc<BaseConsumer<Log>>,
    ingest: Ingest,
    start: Start,
    records: Option<Arc<dyn Records>>,
    commands: mpsc::Sender<Command>,
    member: Arc<OnceLock<Member>>,
    partitions: Vec<Partition>,
    /// Since when there has been less than was read before the restart.
    short_since: Option<Instant>,
    /// The broker said that an offset does not exist.
    reassign: bool,
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

/// What an answer says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Reading goes on.
    AsExpected,
    /// Reading has to begin, or to be asked for once more.
    Elsewhere,
    /// Messages are gone that were never read.
    Gap,
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
                if !self.ingest.handle_command(command) {
                    return;
                }
            }
            while let Ok(answer) = answers.try_recv() {
                self.handle_answer(answer);
            }
            self.read();
            self.tell_caught_up();
            match self.ingest.tick() {
                Ticked::Idle => {}
                Ticked::Stored(offsets) => self.commit(&offsets),
                Ticked::Closed => return,
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
                    self.ingest
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
                return self.ingest.status().update(|status| {
                    if status.connected || status.error.as_ref() != Some(&error) {
                        tracing::warn!("{error}");
                    }
                    status.connected = false;
                    status.error = Some(error);
                });
            }
        };
        let (mut moved, mut gap) = (self.forget_missing(&ends), false);
        if !self.partitions.is_empty() || self.is_settled(&ends) {
            let begun = self.ingest.observer().has_begun();
            for ends in ends {
                let found = self.handle_ends(ends, begun);
                moved |= found != Found::AsExpected;
                gap |= found == Found::Gap;
            }
        }
        if gap {
            self.fill_gap();
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
        self.ingest.status().update(|status| {
            if !status.connected {
                tracing::info!("the brokers answer");
            }
            status.connected = true;
            status.error = None;
            status.partitions = partitions;
        });
    }

    /// Whether to begin with this answer, which may come from a leader that is behind.
    fn is_settled(&mut self, ends: &[Ends]) -> bool {
        let observer = self.ingest.observer();
        let is_short =
            |ends: &Ends| observer.stored(ends.partition).is_some_and(|it| it.position > ends.high);
        if !ends.iter().any(is_short) {
            return true;
        }
        self.short_since.get_or_insert_with(Instant::now).elapsed() > SHORT
    }

    /// Leave out partitions that are no more: the topic was made anew with fewer. True: there were some.
    fn forget_missing(&mut self, ends: &[Ends]) -> bool {
        let before = self.partitions.len();
        let observer = self.ingest.observer();
        self.partitions.retain(|known| {
            let there = ends.iter().any(|ends| ends.partition == known.id);
            if !there {
                observer.handle_removed(known.id);
            }
            there
        });
        self.partitions.len() < before
    }

    /// `begun`: partitions were read before this answer.
    fn handle_ends(&mut self, ends: Ends, begun: bool) -> Found {
        let Ends { partition, low, high, .. } = ends;
        let now = Instant::now();
        let known = self.partitions.iter_mut().find(|known| known.id == partition);
        let Some(known) = known else {
            let stored = self.ingest.observer().stored(partition);
            let position = first_position(stored, self.start, begun, low, high);
            let remade = stored.is_some_and(|stored| stored.position > high);
            let lost = remade || stored.is_some_and(|stored| stored.resume < low);
            self.ingest.handle_assigned(partition, position);
            if lost {
                self.gap(partition, position, remade);
            }
            let read_by = (now, position);
            self.partitions.push(Partition { id: partition, position, ends, read_by, short_since: None });
            return if lost { Found::Gap } else { Found::Elsewhere };
        };
        let remade = known.is_remade(ends, now);
        if known.position >= low && !remade {
            // An offset that the broker refused and that is there again is asked for once more.
            return if self.reassign { Found::Elsewhere } else { Found::AsExpected };
        }
        (known.position, known.read_by, known.short_since) = (low, (now, low), None);
        self.gap(partition, low, remade);
        Found::Gap
    }

    /// Messages of `partition` before `position` were lost before they were read; `remade`: all of them.
    fn gap(&mut self, partition: i32, position: i64, remade: bool) {
        let now = self.ingest.clock().now();
        let observer = self.ingest.observer();
        tracing::warn!(
            partition,
            since_ms = observer.watermark().0,
            "Kafka no longer has the messages that come next; reading goes on with the first it has"
        );
        observer.handle_gap(partition, position, remade, now.minute());
    }

    /// From the platform's records, if there are any.
    fn fill_gap(&mut self) {
        self.ingest.status().update(|status| status.gaps += 1);
        if let Some(records) = &self.records {
            let since = self.ingest.observer().watermark();
            self.ingest.observer().hold();
            // Records are listed by their start; runs that were under way at the watermark started before it.
            let longest = self.ingest.final_after().as_millis() as u64;
            let since = Timestamp(since.0.saturating_sub(longest));
            let upto = self.ingest.clock().now();
            backfill::fill(records.clone(), since, upto, self.commands.clone());
        }
    }

    fn assign(&self) {
        let mut list = TopicPartitionList::new();
        for known in &self.partitions {
            let added =
                list.add_partition_offset(self.ingest.topic(), known.id, Offset::Offset(known.position));
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
                self.ingest.handle_caught_up(known.id, known.ends.asked);
            }
        }
    }

    /// For tools that show lag; nothing is read from it.
    fn commit(&self, offsets: &[PartitionOffsets]) {
        let mut list = TopicPartitionList::new();
        for of in offsets {
            // One before the first there is, while a gap would have to be found again.
            let offset = Offset::Offset(of.resume.max(0));
            if let Err(error) = list.add_partition_offset(self.ingest.topic(), of.partition, offset) {
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
fn first_position(stored: Option<PartitionOffsets>, start: Start, begun: bool, low: i64, high: i64) -> i64 {
    match (stored, start) {
        (Some(stored), _) if low <= stored.resume && stored.position <= high => stored.resume,
        (None, Start::Latest) if !begun => high,
        _ => low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

//! The thread that reads: messages to shards, shards as the group gives them, and the gaps between.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use aquatope_core::time::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Opener;
use super::client::Log;
use super::partition::{Partition, SHORT, first_position};
use crate::clock::Clock;
use crate::config::Kafka;
use crate::observe::{PartitionOffsets, Place};
use crate::source::asker::{Answer, Ends};
use crate::source::backfill;
use crate::source::ingest::{STATUS_EVERY, Ticked};
use crate::source::membership::Member;
use crate::source::shards::{Shard, Shards};
use crate::source::turns::Turns;
use crate::source::{Command, Ingest, PartitionStatus, Records, SharedStatus};

/// Reads.
pub(super) struct Reader {
    pub(super) consumer: Arc<BaseConsumer<Log>>,
    pub(super) config: Kafka,
    pub(super) shards: Shards,
    pub(super) status: SharedStatus,
    pub(super) clock: Clock,
    pub(super) records: Option<Arc<dyn Records>>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) member: Arc<OnceLock<Member>>,
    /// Where several instances share the functions.
    pub(super) opening: Option<Opening>,
    pub(super) partitions: Vec<Partition>,
    /// The broker said that an offset does not exist.
    pub(super) reassign: bool,
}

/// The shards that are being opened.
pub(super) struct Opening {
    opener: Arc<dyn Opener>,
    turns: Turns,
    told: Option<Instant>,
}

impl Opening {
    pub(super) fn new(opener: Arc<dyn Opener>) -> Self {
        Self { opener, turns: Turns::default(), told: None }
    }
}

/// Messages taken between two looks at the clock and the channels.
const BATCH: usize = 10_000;
const BATCH_TIME: Duration = Duration::from_millis(50);

impl Reader {
    pub(super) fn run(mut self, commands: &mpsc::Receiver<Command>, answers: &mpsc::Receiver<Answer>) {
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
        backfill::fill(
            records.clone(),
            since,
            self.clock.now(),
            waiting,
            self.commands.clone(),
            backfill::PAUSE,
        );
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

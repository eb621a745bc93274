//! Decode, observe, store, report: what every source drives from its thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatope_core::time::Timestamp;
use aquatope_openwhisk::event::{Event, decode};
use tokio::sync::mpsc::Sender;

use super::Command;
use super::event::{finished, unsigned};
use super::status::SharedStatus;
use super::steady::Steady;
use crate::clock::Clock;
use crate::observe::{MinuteReport, Observer, ObserverConfig, Origin, PartitionOffsets, Place};
use crate::store::{Store, StoreError, Unreadable};

/// What an [`Ingest`] needs to know.
#[derive(Clone, Debug)]
pub struct IngestConfig {
    /// The topic, or another name for where events come from; offsets are stored under it.
    pub topic: String,
    /// How minutes are closed.
    pub observer: ObserverConfig,
    /// Between the end of a run and its event.
    pub event_delay: Duration,
}

/// See the module's header.
#[derive(Debug)]
pub struct Ingest {
    config: IngestConfig,
    observer: Observer,
    store: Arc<Store>,
    reports: Sender<MinuteReport>,
    clock: Clock,
    steady: Steady,
    status: SharedStatus,
    /// Waiting for the next transaction.
    unreadable: Vec<Unreadable>,
    /// Something other than a closed minute is to be stored.
    checkpoint: bool,
    /// Not before this is the store tried again after a failure, or asked for less than a closed minute.
    pause: Option<Instant>,
    failed: bool,
    last_status: Option<Instant>,
    commits: u64,
}

/// Whether to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ticked {
    /// Nothing to tell the source.
    Idle,
    /// These offsets are durable.
    Stored(Vec<PartitionOffsets>),
    /// Nobody takes reports any more.
    Closed,
}

/// After a transaction, before another one that failed or closes no minute.
const PAUSE: Duration = Duration::from_secs(1);

const STATUS_EVERY: Duration = Duration::from_millis(200);

impl Ingest {
    /// Go on from `store`; a report goes to `reports` every minute. While that is full reports are merged.
    pub fn new(
        config: IngestConfig,
        store: Arc<Store>,
        reports: Sender<MinuteReport>,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let mut observer = Observer::new(config.observer, store.restored(&config.topic)?);
        observer.handle_timeout(clock.now());
        Ok(Self {
            config,
            observer,
            store,
            reports,
            clock,
            steady: Steady::new(clock),
            status: SharedStatus::default(),
            unreadable: Vec::new(),
            checkpoint: false,
            pause: None,
            failed: false,
            last_status: None,
            commits: 0,
        })
    }

    pub(super) fn topic(&self) -> &str {
        &self.config.topic
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn status(&self) -> &SharedStatus {
        &self.status
    }

    pub(super) fn observer(&mut self) -> &mut Observer {
        &mut self.observer
    }

    pub(super) fn final_after(&self) -> Duration {
        self.config.observer.final_after
    }

    /// Messages of `partition` come from `position` on. That is stored, so that a restart begins there too.
    pub(super) fn handle_assigned(&mut self, partition: i32, position: i64) {
        self.observer.handle_assigned(partition, position);
        self.checkpoint = true;
    }

    /// What was in `partition` at `instant` has been read.
    pub(super) fn handle_caught_up(&mut self, partition: i32, instant: Instant) {
        let at = self.steady.at(instant, self.observer.newest());
        self.observer.handle_caught_up(partition, at);
    }

    /// One message.
    pub(super) fn handle_message(&mut self, place: Place, message: &[u8]) {
        match decode(message) {
            Ok(Event::Activation(activation)) => {
                let delay_ms = self.config.event_delay.as_millis() as u64;
                self.observer.handle_activation(Origin::Message(place), &finished(&activation, delay_ms));
            }
            Ok(Event::Metric(metric)) => {
                let at = Timestamp(unsigned(metric.timestamp_ms));
                match &*metric.name {
                    "ConcurrentRateLimit" | "TimedRateLimit" => {
                        self.observer.handle_throttled(place, &metric.namespace, at);
                    }
                    _ => self.observer.handle_other(place, Some(at)),
                }
            }
            Err(error) => {
                let full = self.unreadable.len() as u64 >= Unreadable::CAPACITY;
                if self.observer.handle_unreadable(place) && !full {
                    let Place { partition, offset } = place;
                    tracing::warn!(partition, offset, %error, "message kept aside");
                    let message = message[..message.len().min(Unreadable::BYTES)].to_vec();
                    self.unreadable.push(Unreadable {
                        partition,
                        offset,
                        reason: error.to_string(),
                        message,
                    });
                }
            }
        }
    }

    /// Returns false when the thread is to stop.
    pub(super) fn handle_command(&mut self, command: Command) -> bool {
        match command {
            Command::Exclude(name, id) => {
                self.observer.exclude(&name, id);
                self.checkpoint = true;
            }
            Command::Record(record) => {
                self.observer.handle_activation(Origin::Record, &record.finished());
            }
            Command::Filled(filled) => {
                self.observer.release();
                self.status.update(|status| status.gaps_filled += u64::from(filled));
            }
            Command::Stop => return false,
        }
        true
    }

    /// Close and store what is due, and report. To be called several times a second.
    pub(super) fn tick(&mut self) -> Ticked {
        let now = self.steady.at(Instant::now(), self.observer.newest());
        self.observer.handle_timeout(now);
        let mut stored = self.store();
        // After a long pause there are several transactions; the report comes after all of them.
        while stored.is_some() && self.observer.is_commit_due() {
            match self.store() {
                Some(offsets) => stored = Some(offsets),
                None => break,
            }
        }
        if self.reports.capacity() > 0
            && let Some(report) = self.observer.poll_report()
        {
            // There is room, and this is the only sender: only a closed channel fails, as seen below.
            let _ = self.reports.try_send(report);
        }
        if self.last_status.is_none_or(|last| last.elapsed() >= STATUS_EVERY) {
            self.tell_status();
        }
        match stored {
            _ if self.reports.is_closed() => Ticked::Closed,
            Some(offsets) => Ticked::Stored(offsets),
            None => Ticked::Idle,
        }
    }

    fn store(&mut self) -> Option<Vec<PartitionOffsets>> {
        let paused = self.pause.is_some_and(|until| Instant::now() < until);
        let due = self.observer.is_commit_due();
        // A gap that is not filled yet has to be found again after a restart.
        if (paused && (self.failed || !due)) || self.observer.is_held() {
            return None;
        }
        let closing = self.observer.poll_commit();
        if closing.is_none() && !self.checkpoint {
            return None;
        }
        let commit = closing.unwrap_or_else(|| self.observer.poll_checkpoint());
        let stored = self.store.commit(&self.config.topic, &commit, &self.unreadable);
        self.pause = Some(Instant::now() + PAUSE);
        self.failed = stored.is_err();
        if let Err(error) = stored {
            tracing::error!(%error, "windows were not stored; they are kept and tried again");
            self.status.update(|status| status.store_error = Some(error.to_string()));
            return None;
        }
        self.unreadable.clear();
        self.checkpoint = false;
        self.commits += 1;
        self.status.update(|status| status.store_error = None);
        let offsets = commit.offsets.clone();
        self.observer.handle_committed(commit);
        Some(offsets)
    }

    fn tell_status(&mut self) {
        self.last_status = Some(Instant::now());
        let (observer, commits) = (&self.observer, self.commits);
        self.status.update(|status| {
            status.counters = observer.counters();
            status.functions = observer.functions();
            status.sampled = observer.sampled();
            status.watermark = observer.watermark();
            status.behind_ms = observer.behind().as_millis() as u64;
            status.open = observer.open();
            status.commits = commits;
        });
    }
}

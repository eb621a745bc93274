//! Decode, observe, store, report: what every source drives from its thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatope_core::activation::ActivationId;
use aquatope_core::time::{Minute, Timestamp};
use aquatope_openwhisk::event::{Event, EventError};
use tokio::sync::mpsc::Sender;

use super::demand::Demand;
use super::event::{finished, unsigned};
use super::status::{IngestStatus, SharedStatus};
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
    /// The time of the event that was read last.
    latest: Timestamp,
    status: SharedStatus,
    /// Waiting for the next transaction: the last [`Unreadable::CAPACITY`], 5 MB at most.
    unreadable: VecDeque<Unreadable>,
    /// Something other than a closed minute is to be stored.
    checkpoint: bool,
    /// Since when a call of our own is not stored yet.
    excluded: Option<Instant>,
    /// Not before this is the store tried again after a failure, or asked for less than a closed minute.
    pause: Option<Instant>,
    /// How often it has failed since it last did not.
    failed: u32,
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
/// It doubles with every further failure: an attempt may take long, and nothing is read meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The ids of our own calls are written together, all of them: they wait for a closed minute, or as long as this.
const EXCLUDED: Duration = Duration::from_secs(10);

pub(super) const STATUS_EVERY: Duration = Duration::from_millis(200);

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
            latest: Timestamp(0),
            status: SharedStatus::default(),
            unreadable: VecDeque::new(),
            checkpoint: false,
            excluded: None,
            pause: None,
            failed: 0,
            last_status: None,
            commits: 0,
        })
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// What it is doing, to be shown by others.
    pub fn status(&self) -> &SharedStatus {
        &self.status
    }

    pub(super) fn observer(&mut self) -> &mut Observer {
        &mut self.observer
    }

    pub(super) fn watermark(&self) -> Timestamp {
        self.observer.watermark()
    }

    pub(super) fn event_delay_ms(&self) -> u64 {
        self.config.event_delay.as_millis() as u64
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
        let at = self.steady.at(instant, self.latest);
        self.observer.handle_caught_up(partition, at);
    }

    /// One message, which was decoded to this.
    pub(super) fn handle_decoded(
        &mut self,
        place: Place,
        decoded: &Result<Event<'_>, EventError>,
        message: &[u8],
    ) {
        match decoded {
            Ok(Event::Activation(activation)) => {
                let finished = finished(activation, self.event_delay_ms());
                self.latest = finished.ended;
                if self.observer.is_ahead(self.latest) {
                    // Our own clock may be what is wrong.
                    self.see_clock();
                }
                self.observer.handle_activation(Origin::Message(place), &finished);
            }
            Ok(Event::Metric(metric)) => {
                let at = Timestamp(unsigned(metric.timestamp_ms));
                if metric.throttled() {
                    self.observer.handle_throttled(place, &metric.namespace, at);
                } else {
                    self.observer.handle_other(place, Some(at));
                }
            }
            Err(error) => {
                if self.observer.handle_unreadable(place) {
                    let Place { partition, offset } = place;
                    let reason: String = error.to_string().chars().take(Unreadable::REASON).collect();
                    if self.unreadable.len() as u64 >= Unreadable::CAPACITY {
                        self.unreadable.pop_front();
                    } else {
                        tracing::warn!(partition, offset, reason, "message kept aside");
                    }
                    let message = message[..message.len().min(Unreadable::BYTES)].to_vec();
                    self.unreadable.push_back(Unreadable { partition, offset, reason, message });
                }
            }
        }
    }

    /// [`Observer::exclude`], to be stored soon.
    pub(super) fn exclude(&mut self, name: &str, id: ActivationId) -> Option<(&str, Minute)> {
        self.excluded.get_or_insert_with(Instant::now);
        self.observer.exclude(name, id)
    }

    /// Before it is dropped: what was read since the last transaction need not be read again. Whether that was stored.
    pub(super) fn finish(&mut self) -> bool {
        self.checkpoint = true;
        self.pause = None;
        self.store();
        self.failed == 0
    }

    /// What there is to be shown, at this moment.
    pub(super) fn last_status(&mut self) -> IngestStatus {
        self.tell_status();
        self.status.get()
    }

    /// Whether another instance has taken over.
    pub(super) fn is_lost(&self) -> bool {
        self.store.is_lost()
    }

    /// Close and store what is due, and report, with what of `demand` was refused. To be called several times a second.
    pub(super) fn tick(&mut self, demand: &Demand) -> Ticked {
        self.see_clock();
        let mut stored = self.store();
        // After a long pause there are several transactions; the report comes after all of them.
        while stored.is_some() && self.observer.is_commit_due() {
            match self.store() {
                Some(offsets) => stored = Some(offsets),
                None => break,
            }
        }
        if self.reports.capacity() > 0
            && let Some(mut report) = self.observer.poll_report()
        {
            report.beyond_rate = demand.asked(report.minute);
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

    fn see_clock(&mut self) {
        let now = self.steady.at(Instant::now(), self.latest);
        self.observer.handle_timeout(now);
        self.observer.handle_shown(self.clock.now());
    }

    fn store(&mut self) -> Option<Vec<PartitionOffsets>> {
        let paused = self.pause.is_some_and(|until| Instant::now() < until);
        let due = self.observer.is_commit_due();
        // A gap that is not filled yet has to be found again after a restart.
        if (paused && (self.failed > 0 || !due)) || self.observer.is_held() {
            return None;
        }
        let closing = self.observer.poll_commit();
        let excluded = self.excluded.is_some_and(|since| since.elapsed() >= EXCLUDED);
        if closing.is_none() && !self.checkpoint && !excluded {
            return None;
        }
        let commit = closing.unwrap_or_else(|| self.observer.poll_checkpoint());
        let stored = self.store.commit(&self.config.topic, &commit, self.unreadable.make_contiguous());
        self.failed = if stored.is_err() { self.failed.saturating_add(1) } else { 0 };
        let pause = pause_after(self.failed);
        self.pause = Some(Instant::now() + pause);
        if let Err(error) = stored {
            let again_in_s = pause.as_secs();
            tracing::error!(%error, again_in_s, "windows were not stored; they are kept and tried again");
            self.status.update(|status| status.store_error = Some(error.to_string()));
            return None;
        }
        self.unreadable.clear();
        self.checkpoint = false;
        self.excluded = None;
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
            status.watermark = Some(observer.watermark()).filter(|&at| at > Timestamp::default());
            status.open = observer.open();
            status.commits = commits;
        });
    }
}

/// Before the next transaction, after so many failures in a row.
fn pause_after(failures: u32) -> Duration {
    PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(6)).min(LONGEST_PAUSE)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::Ordering;

    use aquatope_openwhisk::event::decode;

    use super::*;

    /// One that reads partition 0 from its begin; its reports go nowhere.
    pub(in crate::source) fn ingest(store: &Arc<Store>) -> Ingest {
        let config = IngestConfig {
            topic: "events".into(),
            observer: ObserverConfig::default(),
            event_delay: Duration::ZERO,
        };
        let (reports, received) = tokio::sync::mpsc::channel(1);
        std::mem::forget(received);
        let mut ingest = Ingest::new(config, store.clone(), reports, Clock::system()).unwrap();
        ingest.handle_assigned(0, 0);
        ingest
    }

    fn handle(ingest: &mut Ingest, place: Place, message: &[u8]) {
        ingest.handle_decoded(place, &decode(message), message);
    }

    #[test]
    fn a_store_that_fails_is_tried_less_and_less_often() {
        let pauses = [0, 1, 2, 3, 6, 7, 8, u32::MAX].map(|failures| pause_after(failures).as_secs());
        assert_eq!(pauses, [1, 1, 2, 4, 32, 60, 60, 60]);
    }

    #[test]
    fn what_is_kept_of_unreadable_messages_is_bounded() {
        let store = Arc::new(Store::in_memory().unwrap());
        let mut ingest = ingest(&store);
        let kept = Unreadable::CAPACITY as i64;
        for offset in 0..kept + 100 {
            handle(&mut ingest, Place { partition: 0, offset }, b"nothing");
        }
        let long = "é".repeat(10_000);
        let wrong = format!(r#"{{"timestamp":"{long}"}}"#);
        let named = format!(
            r#"{{"timestamp":1570013740010,"namespace":"ns","body":{{"name":"ns/{long}","kind":"python:3"}}}}"#
        );
        for (message, offset) in [wrong, named].iter().zip(kept + 100..) {
            handle(&mut ingest, Place { partition: 0, offset }, message.as_bytes());
        }
        assert!(matches!(ingest.tick(&Demand::default()), Ticked::Stored(_)));
        let unreadable = store.unreadable().unwrap();
        assert_eq!((unreadable.len() as i64, unreadable[0].offset), (kept, 102));
        let [.., wrong, named] = &unreadable[..] else { panic!("two and more") };
        assert_eq!(
            (wrong.reason.chars().count(), wrong.message.len()),
            (Unreadable::REASON, Unreadable::BYTES)
        );
        assert!(named.reason.contains("`body.name` is longer than 1024 bytes"), "{}", named.reason);
        assert_eq!(ingest.observer().functions(), 0);
    }

    #[test]
    fn the_observer_goes_by_the_steadied_clock() {
        let store = Arc::new(Store::in_memory().unwrap());
        let mut ingest = ingest(&store);
        let now = ingest.clock.now();
        // The system's clock is a day ahead for a moment.
        ingest.clock = Clock::fast(Timestamp(now.0 + 86_400_000), 1.0);
        ingest.steady.show(ingest.clock);
        ingest.handle_caught_up(0, Instant::now());
        ingest.tick(&Demand::default());
        assert!(ingest.observer().watermark().0 < now.0 + 3_600_000);
        assert!(ingest.observer().behind() < Duration::from_secs(3_600));
    }

    #[test]
    fn nothing_is_lost_when_the_machine_was_suspended() {
        const HOUR: u64 = 3_600_000;
        let store = Arc::new(Store::in_memory().unwrap());
        let mut ingest = ingest(&store);
        let before = ingest.clock.now().0;
        let mut offset = 0;
        let mut run = |ingest: &mut Ingest, ended: u64| {
            let message = format!(
                r#"{{"timestamp":{ended},"namespace":"ns","body":{{"name":"ns/f","kind":"k:1","duration":5}}}}"#
            );
            handle(ingest, Place { partition: 0, offset }, message.as_bytes());
            offset += 1;
            ingest.handle_caught_up(0, Instant::now());
            ingest.tick(&Demand::default());
        };
        run(&mut ingest, before);
        // The monotonic clock stood still for three hours, and the system's did not.
        ingest.clock = Clock::fast(Timestamp(before + 3 * HOUR), 1.0);
        ingest.steady.show(ingest.clock);
        run(&mut ingest, before + HOUR);
        run(&mut ingest, before + 1_000 * HOUR);
        assert!(ingest.observer().watermark().0 < before + HOUR, "nothing shows that the clock is right");
        assert_eq!((ingest.observer().counters().activations, ingest.observer().counters().ahead), (2, 1));
        run(&mut ingest, before + 3 * HOUR);
        assert_eq!((ingest.observer().counters().activations, ingest.observer().counters().late), (3, 0));
        assert!(ingest.observer().watermark().0 >= before + 3 * HOUR, "the last event does");
    }

    #[test]
    fn while_the_disk_is_full_windows_wait_and_offsets_stand_still() {
        let folder = tempfile::tempdir().unwrap();
        let (store, bytes) = crate::store::tests::on_limited_disk(&folder.path().join("state"));
        let (store, healthy) = (Arc::new(store), Arc::new(Store::in_memory().unwrap()));
        let (mut ingest, mut other) = (ingest(&store), ingest(&healthy));
        let start = ingest.clock.now().0 - 3 * 3_600_000;
        let mut stored = Vec::new();
        let mut tick = |ingest: &mut Ingest| {
            ingest.pause = None;
            let ticked = ingest.tick(&Demand::default());
            if let Ticked::Stored(offsets) = &ticked {
                stored.extend(offsets.iter().map(|of| of.resume));
            }
            (ticked, stored.len())
        };
        // By its own time a backlog closes a minute about every 256 messages.
        let minute = |of: u64, both: [&mut Ingest; 2]| {
            for ingest in both {
                for at in 0..300 {
                    let (ended, offset) = (start + of * 60_000 + at * 200, of * 300 + at);
                    let message = format!(
                        r#"{{"timestamp":{ended},"namespace":"ns","body":{{"name":"ns/f{}","kind":"k:1","duration":5}}}}"#,
                        at % 7
                    );
                    let place = Place { partition: 0, offset: offset as i64 };
                    handle(ingest, place, message.as_bytes());
                }
            }
        };
        for of in 0..20 {
            minute(of, [&mut ingest, &mut other]);
            tick(&mut ingest);
        }
        let (_, before) = tick(&mut ingest);
        assert!(before > 5 && ingest.status().get().store_error.is_none());
        bytes.store(0, Ordering::Relaxed);
        for of in 20..40 {
            minute(of, [&mut ingest, &mut other]);
            assert_eq!(tick(&mut ingest), (Ticked::Idle, before), "minute {of}");
        }
        let error = ingest.status().get().store_error.unwrap();
        assert!(error.contains("no space left"), "{error}");
        assert_eq!(ingest.observer().counters().activations, 40 * 300, "it reads on");
        // A restart now would read again from what was stored last.
        let resume = store.restored("events").map(|restored| restored.offsets[0].resume);
        bytes.store(u64::MAX, Ordering::Relaxed);
        let resume = resume.or_else(|_| store.restored("events").map(|restored| restored.offsets[0].resume));
        assert!(resume.unwrap() <= 20 * 300);
        for of in 40..60 {
            minute(of, [&mut ingest, &mut other]);
            tick(&mut ingest);
        }
        for ingest in [&mut ingest, &mut other] {
            // All that was read is final.
            ingest.handle_caught_up(0, Instant::now());
            tick(ingest);
        }
        assert_eq!(ingest.status().get().store_error, None);
        let windows = |store: &Store| {
            let mut all = Vec::new();
            store.for_each_window(Minute(0)..Minute(u32::MAX), |id, window| all.push((id, window))).unwrap();
            all
        };
        assert!(windows(&store).iter().map(|(_, window)| window.invocations).sum::<u32>() == 60 * 300);
        assert_eq!(windows(&store), windows(&healthy));
    }
}

//! Which observer an event belongs to: the only one, or, where several instances share the functions, that of the
//! function's shard. Every shard sees the place and time of every message, so each has a position and a watermark of its
//! own.

use std::collections::BTreeSet;
use std::time::Instant;

use aquatope_core::time::Timestamp;
use aquatope_openwhisk::event::{Event, decode};

use super::demand::Demand;
use super::event::{activation_id, unsigned};
use super::ingest::Ticked;
use super::{Command, Ingest, SharedStatus};
use crate::cluster::shard_of;
use crate::observe::{Counters, Origin, Place};

/// The shards held, out of how many.
#[derive(Debug)]
pub(super) struct Shards {
    pub(super) of: i32,
    pub(super) held: Vec<Shard>,
    /// What the shards counted that are no longer held: sums over all of them never fall.
    past: Past,
    pub(super) demand: Demand,
}

#[derive(Debug, Default)]
struct Past {
    counters: Counters,
    commits: u64,
    /// How many of them others had taken over.
    lost: u64,
}

/// One shard.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) id: i32,
    pub(super) ingest: Ingest,
    /// How far the topic goes counts only when it was asked after this.
    pub(super) opened: Instant,
    /// The partitions it knows its way in.
    pub(super) partitions: Vec<i32>,
    /// Since when the topic has held less than was read before.
    pub(super) short_since: Option<Instant>,
}

impl Shard {
    pub(super) fn new(id: i32, ingest: Ingest) -> Self {
        Self { id, ingest, opened: Instant::now(), partitions: Vec::new(), short_since: None }
    }
}

impl Shards {
    pub(super) fn new(of: i32, held: Vec<Shard>) -> Self {
        Self { of, held, past: Past::default(), demand: Demand::default() }
    }

    /// Let go of the shards that are not `ours`, and of those that somebody else has taken over, which are given back.
    pub(super) fn give_up(&mut self, ours: &BTreeSet<i32>) -> Vec<i32> {
        let (mut all_lost, mut stored) = (Vec::new(), true);
        let Self { held, past, .. } = self;
        held.retain_mut(|shard| {
            let lost = shard.ingest.is_lost();
            if ours.contains(&shard.id) && !lost {
                return true;
            }
            tracing::info!(shard = shard.id, lost, "shard given up");
            if lost {
                all_lost.push(shard.id);
            } else if stored {
                // What cannot be stored is read again; where the first cannot, the others would keep us waiting.
                stored = shard.ingest.finish();
            }
            let status = shard.ingest.last_status();
            past.counters = past.counters.plus(&status.counters);
            past.commits += status.commits;
            past.lost += u64::from(shard.ingest.is_lost());
            false
        });
        all_lost
    }

    /// One message.
    pub(super) fn handle_message(&mut self, place: Place, message: &[u8]) {
        let decoded = decode(message);
        let (owner, at) = match &decoded {
            _ if self.of == 1 => (0, None),
            Ok(Event::Activation(of)) => (shard_of(&of.name, self.of), Some(of.timestamp_ms)),
            Ok(Event::Metric(of)) => (shard_of(&of.namespace, self.of), Some(of.timestamp_ms)),
            Err(_) => (0, None),
        };
        let is_own = matches!(&decoded, Ok(Event::Activation(of)) if of.activation_id.as_deref().is_some_and(|id| {
            find(&mut self.held, owner).is_some_and(|ingest| ingest.observer().is_own(activation_id(id)))
        }));
        // Nobody asked for what we did ourselves.
        if !is_own && let (Ok(event), Some(any)) = (&decoded, self.held.first_mut()) {
            let (delay_ms, observer) = (any.ingest.event_delay_ms(), any.ingest.observer());
            self.demand.handle_message(place, event, delay_ms, |at| observer.is_ahead(at));
        }
        for shard in &mut self.held {
            if shard.id == owner {
                shard.ingest.handle_decoded(place, &decoded, message);
            } else {
                let at = at.map(|ms| Timestamp(unsigned(ms)));
                shard.ingest.observer().handle_foreign(place, at);
            }
        }
    }

    /// Returns false when the thread is to stop.
    pub(super) fn handle_command(&mut self, command: Command) -> bool {
        match command {
            Command::Exclude(name, id) => {
                let Self { of, held, demand, .. } = self;
                let counted = find(held, shard_of(&name, *of)).and_then(|ingest| ingest.exclude(&name, id));
                if let Some((namespace, minute)) = counted {
                    demand.handle_own(namespace, minute);
                }
            }
            Command::Record(record) => {
                if let Some(ingest) = find(&mut self.held, shard_of(record.name(), self.of)) {
                    ingest.observer().handle_activation(Origin::Record, &record.finished());
                }
            }
            Command::Filled(_, shards) => {
                let waiting = |shard: &&mut Shard| shards.contains(&(shard.id, shard.opened));
                let holding = self.held.iter_mut().filter(waiting);
                holding.for_each(|shard| shard.ingest.observer().release());
            }
            Command::Refused(namespace, minute, calls) => {
                self.demand.handle_refused(&namespace, minute, calls);
            }
            Command::Opened(..) => {}
            Command::Stop => {
                // The same.
                let _ = self.held.iter_mut().all(|shard| shard.ingest.finish() || shard.ingest.is_lost());
                return false;
            }
        }
        true
    }

    pub(super) fn handle_caught_up(&mut self, partition: i32, asked: Instant) {
        for shard in &mut self.held {
            shard.ingest.handle_caught_up(partition, asked);
        }
    }

    /// Close and store what is due, and report.
    pub(super) fn tick(&mut self) -> Ticked {
        let mut stored = Ticked::Idle;
        for shard in &mut self.held {
            match shard.ingest.tick(&self.demand) {
                Ticked::Idle => {}
                Ticked::Closed => return Ticked::Closed,
                ticked @ Ticked::Stored(_) => stored = ticked,
            }
        }
        stored
    }

    /// What the shards say of themselves, in one.
    pub(super) fn tell_status(&self, all: &SharedStatus) {
        let statuses: Vec<_> = self.held.iter().map(|shard| shard.ingest.status().get()).collect();
        all.update(|all| {
            all.counters = statuses.iter().fold(self.past.counters, |sum, of| sum.plus(&of.counters));
            all.functions = statuses.iter().map(|of| of.functions).sum();
            all.sampled = statuses.iter().map(|of| of.sampled).sum();
            all.commits = self.past.commits + statuses.iter().map(|of| of.commits).sum::<u64>();
            if let Some(cluster) = &mut all.cluster {
                cluster.refused = self.past.lost;
            }
            all.watermark = statuses.iter().map(|of| of.watermark).min().flatten();
            all.open = statuses.iter().map(|of| of.open).min().flatten();
            all.store_error = statuses.iter().find_map(|of| of.store_error.clone());
        });
    }
}

/// The shard of this number, if it is held.
fn find(held: &mut [Shard], id: i32) -> Option<&mut Ingest> {
    held.iter_mut().find(|shard| shard.id == id).map(|shard| &mut shard.ingest)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use aquatope_core::time::Minute;

    use super::*;
    use crate::clock::Clock;
    use crate::observe::Asked;
    use crate::source::ingest::tests::ingest;
    use crate::store::{Change, Changelog, LogError, Store};

    fn shard(id: i32) -> Shard {
        shard_of_store(id, Store::in_memory().unwrap())
    }

    fn shard_of_store(id: i32, store: Store) -> Shard {
        Shard::new(id, ingest(&Arc::new(store)))
    }

    #[test]
    fn what_was_counted_stays_counted_when_a_shard_is_given_up() {
        let mut shards = Shards::new(2, vec![shard(0), shard(1)]);
        let status = SharedStatus::default();
        let now = Clock::system().now().0;
        for offset in 0..20 {
            let message = format!(
                r#"{{"timestamp":{now},"namespace":"ns","body":{{"name":"ns/f{offset}","kind":"k:1","duration":5}}}}"#
            );
            shards.handle_message(Place { partition: 0, offset }, message.as_bytes());
        }
        shards.tick();
        shards.tell_status(&status);
        let before = status.get();
        assert_eq!((before.counters.activations, before.functions), (20, 20));
        assert_eq!(shards.give_up(&BTreeSet::from([1])), [0; 0]);
        shards.tell_status(&status);
        let after = status.get();
        assert_eq!(after.counters, before.counters);
        assert!(after.functions < 20 && after.commits > before.commits, "it was stored once more");
        // It comes back, with what it counts from then on.
        shards.held.push(shard(0));
        shards.tell_status(&status);
        assert_eq!(status.get().counters, before.counters);
    }

    #[test]
    fn what_we_did_ourselves_was_not_asked_for() {
        let minute = Minute(Clock::system().now().minute().0 - 1);
        let at = minute.start().0 + 10_000;
        let id = |number: i64| format!("{number:016x}{number:016x}");
        let ran = |name: &str, number: i64| {
            let id = id(number);
            format!(
                r#"{{"timestamp":{at},"namespace":"ns","body":{{"name":"{name}","activationId":"{id}","kind":"k:1","duration":5}}}}"#
            )
        };
        let refused = format!(
            r#"{{"eventType":"Metric","timestamp":{at},"namespace":"ns","body":{{"metricName":"TimedRateLimit","metricValue":1}}}}"#
        );
        let messages = [
            ran("ns/f", 1),
            ran("ns/f", 2),
            ran("ns/f", 3),
            ran("ns/g", 4),
            ran("ns/f__aquatope_pair", 5),
            refused.clone(),
            refused,
        ];
        let mut shards = Shards::new(2, vec![shard(0), shard(1)]);
        let exclude = |shards: &mut Shards, number: i64| {
            shards.handle_command(Command::Exclude("ns/f".into(), activation_id(&id(number))))
        };
        // Known before its event, after it, and told twice.
        exclude(&mut shards, 2);
        for (offset, message) in (0..).zip(&messages) {
            shards.handle_message(Place { partition: 0, offset }, message.as_bytes());
        }
        exclude(&mut shards, 3);
        exclude(&mut shards, 3);
        assert_eq!(shards.demand.asked(minute), [("ns".to_owned(), Asked { ran: 2, refused: 2 })].into());
    }

    #[test]
    fn a_shard_that_came_back_waits_for_the_filling_of_its_own_gap() {
        let mut shards = Shards::new(2, vec![shard(0), shard(1)]);
        let waiting = |shards: &mut Shards| -> Vec<_> {
            let hold = |shard: &mut Shard| {
                shard.ingest.observer().hold();
                (shard.id, shard.opened)
            };
            shards.held.iter_mut().map(hold).collect()
        };
        let held = |shards: &mut Shards| {
            shards.held.iter_mut().map(|shard| shard.ingest.observer().is_held()).collect()
        };
        let first = waiting(&mut shards);
        shards.give_up(&BTreeSet::from([1]));
        shards.held.push(shard(0));
        let second = vec![(0, shards.held[1].opened)];
        shards.held[1].ingest.observer().hold();
        assert!(shards.handle_command(Command::Filled(true, first)));
        let after: Vec<bool> = held(&mut shards);
        assert_eq!(after, [false, true], "of shard 1 and the one that came back");
        assert!(shards.handle_command(Command::Filled(true, second)));
        let after: Vec<bool> = held(&mut shards);
        assert_eq!(after, [false, false]);
    }

    /// A log that takes what makes it a log of ours, and counts what it does not take.
    #[derive(Clone, Default)]
    struct Refusing(Arc<AtomicU32>);

    impl Changelog for Refusing {
        fn read(&mut self, _: &mut dyn FnMut(Change) -> Result<(), LogError>) -> Result<(), LogError> {
            Ok(())
        }

        fn write(&mut self, _: &[Change]) -> Result<(), LogError> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(()),
                _ => Err(LogError::Unavailable("no leader".into())),
            }
        }
    }

    #[test]
    fn where_one_shard_cannot_be_stored_the_others_are_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let logs: Vec<Refusing> = (0..3).map(|_| Refusing::default()).collect();
        let opened = |id: i32| {
            let path = folder.path().join(id.to_string());
            shard_of_store(id, Store::from_log(path, 15, Box::new(logs[id as usize].clone())).unwrap())
        };
        let refused = || logs.iter().map(|log| log.0.load(Ordering::Relaxed) - 1).collect::<Vec<_>>();
        let mut shards = Shards::new(3, (0..3).map(opened).collect());
        assert_eq!(shards.give_up(&BTreeSet::from([2])), [0; 0]);
        assert_eq!((shards.held.len(), refused()), (1, vec![1, 0, 0]));
        logs.iter().for_each(|log| log.0.store(0, Ordering::Relaxed));
        let mut shards = Shards::new(3, (0..3).map(opened).collect());
        assert!(!shards.handle_command(Command::Stop));
        assert_eq!(refused(), [1, 0, 0]);
    }
}

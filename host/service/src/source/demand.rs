//! What was asked for, by minute and namespace: what ran, and what the rate limit refused. Every instance reads every
//! message, so this is of the whole platform, whoever's the functions are.

use std::collections::{BTreeMap, HashMap};

use aquatope_core::time::{Minute, Timestamp};
use aquatope_openwhisk::event::Event;

use super::event::{finished, unsigned};
use crate::observe::{Asked, Place};
use crate::tune::is_clone;

/// The last [`KEPT`] minutes. A message counts once, however often it is read.
#[derive(Debug, Default)]
pub(super) struct Demand {
    /// The offset after the last message of every partition.
    read: HashMap<i32, i64>,
    minutes: BTreeMap<Minute, HashMap<Box<str>, Counts>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    ran: u64,
    refused: u64,
    /// Those of the refused that were calls of our own.
    own: u64,
}

/// Minutes that are counted: those within which a run may end, and those that events may be ahead of the clock.
const KEPT: usize = 20;

/// Namespaces of a minute; further ones are left out.
const NAMESPACES: usize = 10_000;

impl Demand {
    /// One message, which no call of our own brought about. Its event may come `delay_ms` after the end of its run; times
    /// that `is_ahead` calls so are not believed.
    pub(super) fn handle_message(
        &mut self,
        place: Place,
        event: &Event<'_>,
        delay_ms: u64,
        is_ahead: impl Fn(Timestamp) -> bool,
    ) {
        let next = self.read.entry(place.partition).or_default();
        if place.offset < *next {
            return;
        }
        *next = place.offset + 1;
        let (namespace, at) = match event {
            Event::Activation(of) if !of.is_workflow() && !is_clone(&of.name) => {
                (&of.namespace, finished(of, delay_ms).arrival())
            }
            Event::Metric(of) if of.beyond_rate() => (&of.namespace, Some(unsigned(of.timestamp_ms))),
            _ => return,
        };
        let Some(at) = at.map(Timestamp).filter(|&at| !is_ahead(at)) else { return };
        if let Some(counts) = self.counts(namespace, at.minute()) {
            match event {
                Event::Activation(_) => counts.ran += 1,
                Event::Metric(_) => counts.refused += 1,
            }
        }
    }

    /// So many calls of our own were refused for the rate of `namespace` in `minute`: nobody asked for them.
    pub(super) fn handle_refused(&mut self, namespace: &str, minute: Minute, calls: u64) {
        if let Some(counts) = self.counts(namespace, minute) {
            counts.own += calls;
        }
    }

    /// A run of `namespace` in `minute` turned out to be our own.
    pub(super) fn handle_own(&mut self, namespace: &str, minute: Minute) {
        if let Some(counts) = self.counts(namespace, minute) {
            counts.ran = counts.ran.saturating_sub(1);
        }
    }

    /// The partition begins anew.
    pub(super) fn forget(&mut self, partition: i32) {
        self.read.remove(&partition);
    }

    /// Of the namespaces that had requests refused in `minute`.
    pub(super) fn asked(&self, minute: Minute) -> BTreeMap<String, Asked> {
        let counts = self.minutes.get(&minute).into_iter().flatten();
        let asked = counts.map(|(namespace, of)| {
            (namespace.to_string(), Asked { ran: of.ran, refused: of.refused.saturating_sub(of.own) })
        });
        asked.filter(|(_, of)| of.refused > 0).collect()
    }

    fn counts(&mut self, namespace: &str, minute: Minute) -> Option<&mut Counts> {
        let is_past = self.minutes.len() == KEPT && self.minutes.first_key_value()?.0 > &minute;
        if is_past {
            return None;
        }
        if !self.minutes.contains_key(&minute) && self.minutes.len() == KEPT {
            self.minutes.pop_first();
        }
        let namespaces = self.minutes.entry(minute).or_default();
        if !namespaces.contains_key(namespace) {
            if namespaces.len() == NAMESPACES {
                return None;
            }
            namespaces.insert(namespace.into(), Counts::default());
        }
        namespaces.get_mut(namespace)
    }
}

#[cfg(test)]
mod tests {
    use aquatope_openwhisk::event::decode;

    use super::*;

    const START: Minute = Minute(1_000_000);

    fn ran(namespace: &str, ended: u64) -> String {
        format!(
            r#"{{"timestamp":{ended},"namespace":"{namespace}","body":{{"name":"ns/f","kind":"k:1","duration":5}}}}"#
        )
    }

    fn refused(namespace: &str, at: u64) -> String {
        format!(
            r#"{{"eventType":"Metric","timestamp":{at},"namespace":"{namespace}","body":{{"metricName":"TimedRateLimit","metricValue":1}}}}"#
        )
    }

    fn read(demand: &mut Demand, offset: i64, message: &str) {
        let event = decode(message.as_bytes()).unwrap();
        let limit = START.start().0 + 600_000;
        demand.handle_message(Place { partition: 0, offset }, &event, 0, |at| at.0 > limit);
    }

    fn one(namespace: &str, ran: u64, refused: u64) -> BTreeMap<String, Asked> {
        BTreeMap::from([(namespace.to_owned(), Asked { ran, refused })])
    }

    #[test]
    fn every_refusal_counts_once_in_its_own_minute() {
        let mut demand = Demand::default();
        let at = |minute: u64| START.start().0 + minute * 60_000 + 10_000;
        let messages = [
            ran("a", at(0)),
            refused("a", at(0)),
            refused("a", at(1)),
            ran("b", at(1)),
            // The minute in which a run arrived is that in which it was asked for.
            ran("a", at(1) - 9_998),
            refused("a", at(99)),
        ];
        for _ in 0..2 {
            // The second time another shard wants them read again.
            for (offset, message) in (0..).zip(&messages) {
                read(&mut demand, offset, message);
            }
        }
        assert_eq!(demand.asked(START), one("a", 2, 1));
        assert_eq!(demand.asked(Minute(START.0 + 1)), one("a", 0, 1));
        assert!(
            demand.asked(Minute(START.0 + 2)).is_empty() && demand.asked(Minute(START.0 + 99)).is_empty()
        );
        demand.forget(0);
        read(&mut demand, 0, &refused("a", at(0)));
        assert_eq!(demand.asked(START), one("a", 2, 2), "the topic was made anew");
    }

    #[test]
    fn refused_calls_of_our_own_were_not_asked_for() {
        let mut demand = Demand::default();
        for offset in 0..5 {
            read(&mut demand, offset, &refused("a", START.start().0));
        }
        demand.handle_refused("a", START, 3);
        assert_eq!(demand.asked(START), one("a", 0, 2));
        demand.handle_refused("a", START, 7);
        assert!(demand.asked(START).is_empty());
    }

    #[test]
    fn old_minutes_make_room_and_do_not_come_back() {
        let mut demand = Demand::default();
        for minute in 0..=KEPT as u32 {
            demand.handle_refused("a", Minute(START.0 + minute), 0);
        }
        assert_eq!(demand.minutes.len(), KEPT);
        read(&mut demand, 0, &refused("a", START.start().0));
        assert!(demand.asked(START).is_empty());
    }
}

//! Which observer an event belongs to: the only one, or, where several instances share the functions, that of the
//! function's shard. Every shard sees the place and time of every message, so each has a position and a watermark of its
//! own.

use std::time::Instant;

use aquatope_core::time::Timestamp;
use aquatope_openwhisk::event::{Event, decode};

use super::event::unsigned;
use super::ingest::Ticked;
use super::{Command, Ingest, SharedStatus};
use crate::cluster::shard_of;
use crate::observe::{Counters, Place};

/// The shards held, out of how many.
#[derive(Debug)]
pub(super) struct Shards {
    pub(super) of: i32,
    pub(super) held: Vec<Shard>,
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
    /// One message.
    pub(super) fn handle_message(&mut self, place: Place, message: &[u8]) {
        let decoded = decode(message);
        let (owner, at) = match &decoded {
            _ if self.of == 1 => (0, None),
            Ok(Event::Activation(of)) => (shard_of(&of.name, self.of), Some(of.timestamp_ms)),
            Ok(Event::Metric(of)) => (shard_of(&of.namespace, self.of), Some(of.timestamp_ms)),
            Err(_) => (0, None),
        };
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
        let name = match &command {
            Command::Exclude(name, _) => name,
            Command::Record(record) => record.name(),
            Command::Filled(_, shards) => {
                let holding = self.held.iter_mut().filter(|shard| shards.contains(&shard.id));
                holding.for_each(|shard| shard.ingest.observer().release());
                return true;
            }
            Command::Opened(..) => return true,
            Command::Stop => {
                self.held.iter_mut().for_each(|shard| shard.ingest.finish());
                return false;
            }
        };
        let owner = shard_of(name, self.of);
        let held = self.held.iter_mut().find(|shard| shard.id == owner);
        held.is_none_or(|shard| shard.ingest.handle_command(command))
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
            match shard.ingest.tick() {
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
            all.counters = statuses.iter().fold(Counters::default(), |sum, of| sum.plus(&of.counters));
            all.functions = statuses.iter().map(|of| of.functions).sum();
            all.sampled = statuses.iter().map(|of| of.sampled).sum();
            all.commits = statuses.iter().map(|of| of.commits).sum();
            all.watermark = statuses.iter().map(|of| of.watermark).min().unwrap_or_default();
            all.behind_ms = statuses.iter().map(|of| of.behind_ms).max().unwrap_or_default();
            all.open = statuses.iter().map(|of| of.open).min().flatten();
            all.store_error = statuses.iter().find_map(|of| of.store_error.clone());
        });
    }
}

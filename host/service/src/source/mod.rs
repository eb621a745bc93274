//! Where events come from, and the thread that reads them: decode, observe, store, report.
//!
//! ```text
//! messages -> decode -> Observer -> Store.commit -> offsets to Kafka
//!                           \-> MinuteReport -> planner
//! ```
//! One thread does all of it, so nothing is shared but the [`IngestStatus`] and two channels.

mod asker;
mod backfill;
mod demand;
mod event;
pub mod in_process;
mod ingest;
pub mod kafka;
mod membership;
mod shards;
mod status;
mod steady;
mod turns;

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use aquatope_core::activation::ActivationId;
use aquatope_core::time::Minute;

pub use backfill::{PlatformRecords, RecordError, Records};
pub use event::{activation_id, finished};
pub use ingest::{Ingest, IngestConfig};
pub use status::{ClusterStatus, Duty, IngestStatus, PartitionStatus, SharedStatus};

/// The reading thread, from outside. Dropping it stops the thread and waits for it.
#[derive(Debug)]
pub struct IngestHandle {
    commands: mpsc::Sender<Command>,
    status: SharedStatus,
    thread: Option<JoinHandle<()>>,
}

/// What the reading thread can be told.
#[derive(Debug)]
enum Command {
    /// An activation of this action is our own.
    Exclude(String, ActivationId),
    /// A record for a gap.
    Record(backfill::Record),
    /// So many calls of our own were refused for the rate of this namespace in this minute.
    Refused(String, Minute, u64),
    /// The gap of these shards is filled (or given up: false).
    Filled(bool, Vec<Waiting>),
    /// A shard was opened, or why not.
    Opened(i32, Box<Result<Ingest, String>>),
    Stop,
}

/// A shard that waits for its gap to be filled: its number, and when it was opened. One that was given up meanwhile and came
/// back waits for another filling.
type Waiting = (i32, Instant);

impl IngestHandle {
    /// The activation `id` of the action `name` (`namespace/[package/]action`) is our own warm-up call and does not
    /// count. To be called as soon as the id is known; the event may have come already.
    pub fn exclude(&self, name: &str, id: &str) {
        // The thread ends only when it is told to.
        let _ = self.commands.send(Command::Exclude(name.to_owned(), activation_id(id)));
    }

    /// So many calls of our own were refused for the rate of `namespace` in `minute`: nobody asked for them.
    pub fn refused(&self, namespace: &str, minute: Minute, calls: u64) {
        // The same.
        let _ = self.commands.send(Command::Refused(namespace.to_owned(), minute, calls));
    }

    /// What it is doing.
    pub fn status(&self) -> IngestStatus {
        self.status.get()
    }

    /// The same, for others to hold.
    pub fn shared_status(&self) -> SharedStatus {
        self.status.clone()
    }

    /// Whether the thread ended by itself: the receiver of reports is gone.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for IngestHandle {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

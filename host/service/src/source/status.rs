//! What the reading thread says about itself, for `/metrics`, `/readyz` and the dashboard.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use aquatope_core::time::{Minute, Timestamp};
use serde::Serialize;

use crate::observe::Counters;

/// A copy of the state of the reading thread, at most a fifth of a second old.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct IngestStatus {
    /// Whether the source answers: Kafka's brokers were reached when they were asked last.
    pub connected: bool,
    /// Why it does not, or what went wrong last.
    pub error: Option<String>,
    /// Why the last attempt to store failed; nothing once it succeeded. Windows wait in memory meanwhile.
    pub store_error: Option<String>,
    /// Messages by kind, since the start.
    pub counters: Counters,
    /// Functions known.
    pub functions: usize,
    /// Functions whose peaks are sampled, because too many of their runs are open.
    pub sampled: usize,
    /// Everything up to here has been read; `None` until there is an event, or a broker says that there is none.
    pub watermark: Option<Timestamp>,
    /// The first minute that is not final.
    pub open: Option<Minute>,
    /// Transactions of the store.
    pub commits: u64,
    /// Times that messages were lost before they were read: Kafka's retention passed.
    pub gaps: u64,
    /// Gaps that were filled from the platform's records.
    pub gaps_filled: u64,
    /// The partitions read.
    pub partitions: Vec<PartitionStatus>,
    /// Whether this is the instance that acts.
    pub duty: Duty,
    /// Why the consumer group was not joined yet.
    pub group_error: Option<String>,
    /// Where several instances share the functions: what is ours.
    pub cluster: Option<ClusterStatus>,
}

/// The shards of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterStatus {
    /// Shards there are.
    pub of: i32,
    /// Whether the group has said what is ours.
    pub joined: bool,
    /// Ours, by the group's word.
    pub assigned: Vec<i32>,
    /// Those of them that are being read and planned.
    pub held: Vec<i32>,
    /// Why one of them could not be opened.
    pub error: Option<String>,
    /// Times that the state or the plans could not be read, and minutes in which a shard was deaf, since the start.
    pub read_errors: u64,
    /// Why the plans could not; nothing once they could.
    pub plans_error: Option<String>,
    /// Held shards that do not know what the others want, and why.
    pub deaf: BTreeMap<u32, String>,
    /// Shards that others had taken over while this instance thought to have them: their logs refused it.
    pub refused: u64,
}

impl ClusterStatus {
    /// Why the state or the plans are not read, or what the others want is not known, if that is so.
    pub fn failing(&self) -> Option<&String> {
        self.error.as_ref().or(self.plans_error.as_ref()).or(self.deaf.values().next())
    }
}

/// Which of the instances of one consumer group acts. The others observe and plan only; one of them takes over when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// Events come from within the process: there are no others.
    #[default]
    Alone,
    /// The group has not answered yet.
    Unknown,
    /// This one.
    Ours,
    /// Another one.
    Another,
    /// The brokers do not let us join the group; this one acts.
    NotKnowable,
}

impl Duty {
    /// Whether to act.
    pub fn acts(self) -> bool {
        self.reason().is_none()
    }

    /// Why not to.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Alone | Self::Ours | Self::NotKnowable => None,
            Self::Unknown => Some("the consumer group has not answered yet"),
            Self::Another => Some(
                "another instance of this consumer group is at work; this one acts when that one ends: stop it, or give \
                 this one another kafka.group and other functions",
            ),
        }
    }
}

/// One partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: i32,
    /// The offset that is read next.
    pub position: i64,
    /// Messages after it when the broker was asked last.
    pub lag: i64,
}

/// The status, shared with those who show it.
#[derive(Clone, Debug, Default)]
pub struct SharedStatus(Arc<Mutex<IngestStatus>>);

impl SharedStatus {
    /// A copy of it.
    pub fn get(&self) -> IngestStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The state of a shard could not be read; why is said by whoever wanted to open it.
    pub(crate) fn count_unreadable_state(&self) {
        self.update(|status| status.cluster.get_or_insert_default().read_errors += 1);
    }

    /// The plans of the cluster were read, or could not be.
    pub(crate) fn handle_plans_read(&self, read: Result<(), &dyn Display>) {
        let error = read.err().map(|error| format!("plans cannot be read: {error}"));
        self.handle_read(error, |cluster, error| mem::replace(&mut cluster.plans_error, error));
    }

    /// The shard knows what the others want, or does not, for this reason.
    pub(crate) fn handle_heard(&self, shard: u32, error: Option<&String>) {
        let error = error.map(|error| format!("shard {shard} does not know what the others want: {error}"));
        self.handle_read(error, |cluster, error| match error {
            Some(error) => cluster.deaf.insert(shard, error),
            None => cluster.deaf.remove(&shard),
        });
    }

    /// `keep` puts the error where it belongs, in place of the one it returns; one that is new is told.
    fn handle_read(
        &self,
        error: Option<String>,
        keep: impl FnOnce(&mut ClusterStatus, Option<String>) -> Option<String>,
    ) {
        self.update(|status| {
            let cluster = status.cluster.get_or_insert_default();
            cluster.read_errors += u64::from(error.is_some());
            let before = keep(cluster, error.clone());
            if let Some(error) = error.filter(|error| before.as_ref() != Some(error)) {
                tracing::warn!("{error}");
            }
        });
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut IngestStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_cleared_by_what_ended_it() {
        let status = SharedStatus::default();
        let failing = || status.get().cluster.unwrap().failing().cloned().unwrap_or_default();
        let lost = "what shard 0 told last has not come back".to_owned();
        status.handle_heard(0, Some(&lost));
        status.handle_heard(1, None);
        status.handle_plans_read(Ok(()));
        assert!(failing().contains(&lost), "the others' words come, or those of another shard");
        status.handle_plans_read(Err(&"denied"));
        status.handle_heard(0, None);
        assert!(failing().contains("denied"));
        status.handle_plans_read(Ok(()));
        assert_eq!((failing().as_str(), status.get().cluster.unwrap().read_errors), ("", 2));
    }
}

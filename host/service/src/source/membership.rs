//! Our place in the consumer group: which partitions of a topic are ours, by the group's own word.
//!
//! Nothing is read through it, the partitions are paused. The group's coordinator notices within the session timeout
//! when a member is gone, and gives its partitions to the others.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aquatope_openwhisk::credentials::Secret;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};

use super::kafka::{client_config, log};
use super::status::Duty;
use crate::clock::Clock;
use crate::config::{Cluster, Kafka};

/// A member of the group, which leaves it when dropped. It has to be polled several times a minute.
pub(super) struct Member {
    consumer: BaseConsumer<Group>,
}

/// The group's last word.
#[derive(Debug)]
struct Group(Mutex<Word>);

#[derive(Debug)]
struct Word {
    /// Whether the partitions are shared out, and everybody acts for what is theirs; else whoever has partition 0 acts.
    shared: bool,
    duty: Duty,
    /// The partitions that are ours, where they are shared.
    shards: BTreeSet<i32>,
    /// Whether it has spoken at all.
    spoken: bool,
}

impl Word {
    fn new(shared: bool) -> Self {
        let duty = if shared { Duty::Alone } else { Duty::Unknown };
        Self { shared, duty, shards: BTreeSet::new(), spoken: false }
    }

    /// These partitions are ours too.
    fn handle_assigned(&mut self, added: &[i32]) {
        self.duty = match self.shared {
            true => Duty::Alone,
            false if added.contains(&0) => Duty::Ours,
            false => Duty::Another,
        };
        self.shards.extend(added);
        self.spoken = true;
    }

    /// What is taken away may come back at once, and without a broker nobody else can get it: as to the duty, the last
    /// word stands until the group has spoken anew. Shards are another matter: their logs would refuse us.
    fn handle_revoked(&mut self, removed: &[i32]) {
        self.shards.retain(|shard| !removed.contains(shard));
    }

    /// The group does not let us in, for now.
    fn handle_refused(&mut self, code: RDKafkaErrorCode) {
        match code {
            RDKafkaErrorCode::GroupAuthorizationFailed => self.duty = Duty::NotKnowable,
            RDKafkaErrorCode::InconsistentGroupProtocol => self.duty = Duty::Another,
            _ => {}
        }
    }
}

/// A member that is not heard of for so long is taken for dead.
const SESSION: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(1);

impl Member {
    /// Join the group that `config` names. Without a `cluster` whoever has partition 0 of the events is on duty: the
    /// member that was started first, by the clocks of the members' hosts. With one, the partitions of its topic are shared
    /// out, and stay where they are if they can. The others can see where we are and where we listen.
    pub(super) fn join(
        config: &Kafka,
        password: Option<&Secret>,
        cluster: Option<&Cluster>,
        listens: &str,
    ) -> Result<Self, KafkaError> {
        let session = cluster.map_or(SESSION, |cluster| Duration::from_secs_f64(cluster.session_timeout_s));
        // Members of one kind refuse the other: the group agrees on one way of sharing.
        let (strategy, topic) = match cluster {
            None => ("range", &config.topic),
            Some(cluster) => ("cooperative-sticky", &cluster.topic),
        };
        let mut client = client_config(config, password);
        client
            // A range is given out in the order of these names, so the oldest member keeps the first partition.
            .set("client.id", format!("aquatope-{:015}@{listens}", Clock::system().now().0))
            .set("partition.assignment.strategy", strategy)
            .set("session.timeout.ms", session.as_millis().to_string())
            // That others have gone is told in the answers to these.
            .set("heartbeat.interval.ms", HEARTBEAT.as_millis().to_string())
            .set("auto.offset.reset", "latest");
        let word = Mutex::new(Word::new(cluster.is_some()));
        let consumer: BaseConsumer<Group> = client.create_with_context(Group(word))?;
        consumer.subscribe(&[topic])?;
        Ok(Self { consumer })
    }

    /// Take part in what the group agrees on, without waiting.
    pub(super) fn poll(&self) {
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            let Some(code) = event.err().and_then(|error| error.rdkafka_error_code()) else { continue };
            if code == RDKafkaErrorCode::InconsistentGroupProtocol {
                tracing::error!("instances with cluster.enabled and without it cannot be of one kafka.group");
            }
            self.consumer.context().word().handle_refused(code);
        }
    }

    pub(super) fn duty(&self) -> Duty {
        self.consumer.context().word().duty
    }

    /// The shards that are ours; nothing: the group has not spoken yet.
    pub(super) fn shards(&self) -> Option<BTreeSet<i32>> {
        let word = self.consumer.context().word();
        word.spoken.then(|| word.shards.clone())
    }

    /// Show the group these offsets, if they are ours to show.
    pub(super) fn commit(&self, offsets: &TopicPartitionList) {
        if self.duty() == Duty::Ours
            && let Err(error) = self.consumer.commit(offsets, CommitMode::Async)
        {
            tracing::debug!(%error, "committing offsets");
        }
    }
}

impl Group {
    fn word(&self) -> MutexGuard<'_, Word> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
    }
}

impl ConsumerContext for Group {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let numbers = |list: &TopicPartitionList| -> Vec<i32> {
            list.elements().iter().map(TopicPartitionListElem::partition).collect()
        };
        match rebalance {
            Rebalance::Assign(partitions) => {
                if let Err(error) = consumer.pause(partitions) {
                    tracing::debug!(%error, "pausing");
                }
                self.word().handle_assigned(&numbers(partitions));
            }
            Rebalance::Revoke(partitions) => self.word().handle_revoked(&numbers(partitions)),
            Rebalance::Error(error) => tracing::debug!(%error, "rebalancing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_the_first_partition_acts_and_in_a_cluster_everybody_does() {
        let mut one = Word::new(false);
        assert_eq!(one.duty, Duty::Unknown);
        one.handle_assigned(&[0, 1]);
        assert_eq!(one.duty, Duty::Ours);
        one.handle_revoked(&[0, 1]);
        assert_eq!(one.duty, Duty::Ours, "until the group has spoken anew");
        one.handle_assigned(&[1]);
        assert_eq!(one.duty, Duty::Another);
        let mut shared = Word::new(true);
        shared.handle_assigned(&[4, 5]);
        shared.handle_assigned(&[6]);
        shared.handle_revoked(&[4]);
        assert_eq!((shared.duty, shared.shards), (Duty::Alone, BTreeSet::from([5, 6])));
    }

    #[test]
    fn an_instance_that_the_group_refused_acts_once_it_is_let_in() {
        for refusal in
            [RDKafkaErrorCode::InconsistentGroupProtocol, RDKafkaErrorCode::GroupAuthorizationFailed]
        {
            let mut word = Word::new(true);
            word.handle_refused(refusal);
            assert!(!word.spoken && word.duty != Duty::Alone);
            // The one without cluster.enabled has ended; what is given out has not the first partition in it.
            word.handle_assigned(&[4, 5]);
            assert_eq!(word.duty, Duty::Alone);
        }
    }
}

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
    duty: Duty,
    /// The partitions that are ours, where they are shared.
    shards: BTreeSet<i32>,
    /// Whether it has spoken at all.
    spoken: bool,
}

/// A member that is not heard of for so long is taken for dead.
const SESSION: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(1);

impl Member {
    /// Join the group that `config` names. Without a `cluster` whoever has partition 0 of the events is on duty: the
    /// member that was started first, by the clocks of the members' hosts. With one, the partitions of its topic are shared out, and stay where they are if they can.
    pub(super) fn join(
        config: &Kafka,
        password: Option<&Secret>,
        cluster: Option<&Cluster>,
    ) -> Result<Self, KafkaError> {
        let session = cluster.map_or(SESSION, |cluster| Duration::from_secs_f64(cluster.session_timeout_s));
        // Members of one kind refuse the other: the group agrees on one way of sharing.
        let (strategy, duty, topic) = match cluster {
            None => ("range", Duty::Unknown, &config.topic),
            Some(cluster) => ("cooperative-sticky", Duty::Alone, &cluster.topic),
        };
        let mut client = client_config(config, password);
        client
            // A range is given out in the order of these names, so the oldest member keeps the first partition.
            .set("client.id", format!("aquatope-{:015}", Clock::system().now().0))
            .set("partition.assignment.strategy", strategy)
            .set("session.timeout.ms", session.as_millis().to_string())
            // That others have gone is told in the answers to these.
            .set("heartbeat.interval.ms", HEARTBEAT.as_millis().to_string())
            .set("auto.offset.reset", "latest");
        let word = Word { duty, shards: BTreeSet::new(), spoken: false };
        let consumer: BaseConsumer<Group> = client.create_with_context(Group(Mutex::new(word)))?;
        consumer.subscribe(&[topic])?;
        Ok(Self { consumer })
    }

    /// Take part in what the group agrees on, without waiting.
    pub(super) fn poll(&self) {
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            let code = event.err().and_then(|error| error.rdkafka_error_code());
            let duty = match code {
                Some(RDKafkaErrorCode::GroupAuthorizationFailed) => Duty::NotKnowable,
                Some(RDKafkaErrorCode::InconsistentGroupProtocol) => {
                    tracing::error!(
                        "instances with cluster.enabled and without it cannot be of one kafka.group"
                    );
                    Duty::Another
                }
                _ => continue,
            };
            self.consumer.context().word().duty = duty;
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
                let (mut word, added) = (self.word(), numbers(partitions));
                if word.duty != Duty::Alone {
                    word.duty = if added.contains(&0) { Duty::Ours } else { Duty::Another };
                }
                word.shards.extend(added);
                word.spoken = true;
            }
            // What is taken away may come back at once, and without a broker nobody else can get it: as to the duty, the
            // last word stands until the group has spoken anew. Shards are another matter: their logs would refuse us.
            Rebalance::Revoke(partitions) => {
                let removed = numbers(partitions);
                self.word().shards.retain(|shard| !removed.contains(shard));
            }
            Rebalance::Error(error) => tracing::debug!(%error, "rebalancing"),
        }
    }
}

//! Our place in the consumer group: which partitions of a topic are ours, by the group's own word.
//!
//! Nothing is read through it, the partitions are paused. The group's coordinator notices within the session timeout
//! when a member is gone, and gives its partitions to the others.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aquatope_openwhisk::credentials::Secret;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::kafka::{client_config, log};
use super::status::Duty;
use crate::clock::Clock;
use crate::config::Kafka;

/// A member of the group, which leaves it when dropped. It has to be polled several times a minute.
pub(super) struct Member {
    consumer: BaseConsumer<Group>,
}

#[derive(Debug)]
struct Group(Mutex<Duty>);

/// A member that is not heard of for so long is taken for dead.
const SESSION: Duration = Duration::from_secs(10);

impl Member {
    /// Join the group that `config` names. Whoever has partition 0 of the topic is on duty: the member that joined first.
    pub(super) fn join(config: &Kafka, password: Option<&Secret>) -> Result<Self, KafkaError> {
        let mut client = client_config(config, password);
        client
            // Partitions are given out in the order of these names, so the oldest member keeps the first one.
            .set("client.id", format!("aquatope-{:015}", Clock::system().now().0))
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", SESSION.as_millis().to_string())
            .set("heartbeat.interval.ms", (SESSION / 4).as_millis().to_string())
            .set("auto.offset.reset", "latest");
        let consumer: BaseConsumer<Group> = client.create_with_context(Group(Mutex::new(Duty::Unknown)))?;
        consumer.subscribe(&[&config.topic])?;
        Ok(Self { consumer })
    }

    /// Take part in what the group agrees on, without waiting.
    pub(super) fn poll(&self) {
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            let code = event.err().and_then(|error| error.rdkafka_error_code());
            let duty = match code {
                Some(RDKafkaErrorCode::GroupAuthorizationFailed) => Duty::NotKnowable,
                Some(RDKafkaErrorCode::InconsistentGroupProtocol) => Duty::Another,
                _ => continue,
            };
            self.consumer.context().set(duty);
        }
    }

    pub(super) fn duty(&self) -> Duty {
        *self.consumer.context().0.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn set(&self, duty: Duty) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = duty;
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
        // What is taken away may come back at once, and without a broker nobody else can get it: until the group has
        // spoken anew, its last word stands.
        if let Rebalance::Assign(partitions) = rebalance {
            if let Err(error) = consumer.pause(partitions) {
                tracing::debug!(%error, "pausing");
            }
            let first = partitions.elements().iter().any(|element| element.partition() == 0);
            self.set(if first { Duty::Ours } else { Duty::Another });
        }
    }
}

//! The state topic: made if it is missing, checked if it is there.

use std::time::Duration;

use aquatope_openwhisk::credentials::Secret;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use crate::config::{Cluster, Kafka};
use crate::source::kafka::{Log, client_config};

/// The largest record: what one minute of all functions of a shard brought, or a model.
pub(super) const RECORD_BYTES: &str = "8388608";

const PATIENCE: Duration = Duration::from_secs(10);

/// What of the topic is not as it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// It is missing.
    #[error("the state topic {0:?} does not exist")]
    Missing(String),
    /// The brokers do not answer, or do not let us.
    #[error("the state topic {0:?}: {1}")]
    Unavailable(String, String),
    /// Functions would belong to other shards than before.
    #[error(
        "the state topic {topic:?} has {found} partitions and cluster.shards is {expected}: set it to {found}, or name another \
         cluster.topic to begin anew"
    )]
    Shards {
        /// Its name.
        topic: String,
        /// Partitions it has.
        found: usize,
        /// `cluster.shards`.
        expected: i32,
    },
    /// Kafka would delete the state.
    #[error(
        "the state topic {topic:?} has {key} = {found}; set {key} = {expected} (kafka-configs --alter --entity-type topics)"
    )]
    Setting {
        /// Its name.
        topic: String,
        /// The setting.
        key: &'static str,
        /// As it is.
        found: String,
        /// As it has to be.
        expected: &'static str,
    },
}

/// Make the topic if it is missing, and [`check`] it.
///
/// # Errors
/// It cannot be made, or is not as it has to be.
pub fn prepare(kafka: &Kafka, password: Option<&Secret>, cluster: &Cluster) -> Result<(), TopicError> {
    match check(kafka, password, cluster) {
        Err(TopicError::Missing(_)) => {
            create(kafka, password, cluster)?;
            check(kafka, password, cluster)
        }
        checked => checked,
    }
}

/// Whether the topic is as it has to be. Nothing is changed.
///
/// # Errors
/// What it is that is not.
pub fn check(kafka: &Kafka, password: Option<&Secret>, cluster: &Cluster) -> Result<(), TopicError> {
    let topic = &cluster.topic;
    let failed = |error: &dyn std::fmt::Display| TopicError::Unavailable(topic.clone(), error.to_string());
    let client = client_config(kafka, password);
    let consumer: BaseConsumer<Log> =
        client.create_with_context(Log::default()).map_err(|error| failed(&error))?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).map_err(|error| failed(&error))?;
    let known = metadata.topics().iter().find(|known| known.name() == topic);
    let found = known.filter(|known| known.error().is_none()).map_or(0, |known| known.partitions().len());
    if found == 0 {
        return Err(TopicError::Missing(topic.clone()));
    }
    if found != cluster.shards as usize {
        return Err(TopicError::Shards { topic: topic.clone(), found, expected: cluster.shards });
    }
    let specifier = ResourceSpecifier::Topic(topic);
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let described = wait(admin(kafka, password)?.describe_configs([&specifier], &options));
    let described = described.map_err(|error| failed(&error))?;
    for (key, expected) in [("cleanup.policy", "compact"), ("max.message.bytes", RECORD_BYTES)] {
        let described = described.first().and_then(|described| described.as_ref().ok());
        let Some(found) = described.and_then(|described| described.get(key)?.value.clone()) else {
            // Access rules may hide it.
            continue;
        };
        let well = match (found.parse::<u64>(), expected.parse::<u64>()) {
            (Ok(found), Ok(expected)) => found >= expected,
            _ => found == expected,
        };
        if !well {
            return Err(TopicError::Setting { topic: topic.clone(), key, found, expected });
        }
    }
    Ok(())
}

fn create(kafka: &Kafka, password: Option<&Secret>, cluster: &Cluster) -> Result<(), TopicError> {
    // As many replicas as the brokers make by default.
    let topic = NewTopic::new(&cluster.topic, cluster.shards, TopicReplication::Fixed(-1))
        .set("cleanup.policy", "compact")
        .set("max.message.bytes", RECORD_BYTES)
        // What was overwritten goes within hours, so that a shard is read quickly.
        .set("segment.ms", "3600000")
        .set("min.cleanable.dirty.ratio", "0.1");
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let failed = |error: String| TopicError::Unavailable(cluster.topic.clone(), error);
    let made = wait(admin(kafka, password)?.create_topics([&topic], &options));
    let made = made.map_err(|error| failed(format!("cannot be made: {error}")))?;
    match made.into_iter().next() {
        // Another instance was quicker.
        Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | None => {
            tracing::info!(topic = cluster.topic, shards = cluster.shards, "state topic made");
            Ok(())
        }
        Some(Err((_, code))) => Err(failed(format!("cannot be made: {code}"))),
    }
}

fn admin(kafka: &Kafka, password: Option<&Secret>) -> Result<AdminClient<DefaultClientContext>, TopicError> {
    client_config(kafka, password)
        .create()
        .map_err(|error| TopicError::Unavailable("admin".into(), error.to_string()))
}

fn wait<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system has room for a runtime of one thread").block_on(future)
}

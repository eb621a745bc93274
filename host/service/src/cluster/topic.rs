//! The topics of a cluster, the state's and that of the plans: made if they are missing, checked if they are there.

use std::time::Duration;

use aquatope_openwhisk::credentials::Secret;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;

use super::plans;
use crate::config::{Cluster, Kafka};
use crate::source::kafka::{Log, client_config, metadata};

/// The largest record: what one minute of all functions of a shard brought, or a model.
pub(super) const RECORD_BYTES: &str = "8388608";

const PATIENCE: Duration = Duration::from_secs(10);

/// What of the topic is not as it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// It is missing.
    #[error("the topic {0:?} does not exist")]
    Missing(String),
    /// The brokers do not let us.
    #[error("the topic {0:?}: access is denied")]
    Denied(String),
    /// The brokers do not answer, or cannot now.
    #[error("the topic {0:?}: {1}")]
    Unavailable(String, String),
    /// Functions would belong to other shards than before.
    #[error(
        "the topic {topic:?} has {found} partitions in place of {expected}: if it is cluster.topic, set cluster.shards to {found}; \
         else name another cluster.topic to begin anew"
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
        "the topic {topic:?} has {key} = {found}; set {key} = {expected} (kafka-configs --alter --entity-type topics)"
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

/// Make the topics that are missing, and look at all as [`check`] does.
///
/// # Errors
/// One cannot be made, or is not as it has to be.
pub fn prepare(kafka: &Kafka, password: Option<&Secret>, cluster: &Cluster) -> Result<(), TopicError> {
    for (topic, partitions) in topics(cluster) {
        let checked = match check(kafka, password, &topic, partitions) {
            Err(TopicError::Missing(_)) => {
                create(kafka, password, &topic, partitions)?;
                check(kafka, password, &topic, partitions)?
            }
            checked => checked?,
        };
        if checked == Checked::SettingsHidden {
            tracing::warn!(topic, "the brokers do not show its settings: {}", must_have());
        }
    }
    Ok(())
}

/// What could be seen of a topic that is as it has to be, as far as could be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// All.
    Well,
    /// Its partitions; access rules hide its settings.
    SettingsHidden,
}

/// In words, the settings that a topic must have.
pub(crate) fn must_have() -> String {
    SETTINGS.map(|(key, expected)| format!("{key} must be {expected}")).join(", ") + " or more"
}

/// The last one is the least value.
const SETTINGS: [(&str, &str); 2] = [("cleanup.policy", "compact"), ("max.message.bytes", RECORD_BYTES)];

/// The topics of a cluster, and how many partitions each must have.
pub(crate) fn topics(cluster: &Cluster) -> [(String, i32); 2] {
    [(cluster.topic.clone(), cluster.shards), (plans::topic(cluster), 1)]
}

/// Whether a topic is as it has to be. Nothing is changed.
///
/// # Errors
/// What it is that is not.
pub fn check(
    kafka: &Kafka,
    password: Option<&Secret>,
    topic: &str,
    partitions: i32,
) -> Result<Checked, TopicError> {
    let failed = |error: &dyn std::fmt::Display| TopicError::Unavailable(topic.to_owned(), error.to_string());
    let client = client_config(kafka, password);
    let consumer: BaseConsumer<Log> =
        client.create_with_context(Log::default()).map_err(|error| failed(&error))?;
    let metadata = metadata(&consumer, Some(topic), PATIENCE).map_err(|why| failed(&why))?;
    let known = metadata.topics().iter().find(|known| known.name() == topic);
    if let Some(code) = known.and_then(MetadataTopic::error) {
        return Err(refused(topic, code.into()));
    }
    let found = known.map_or(0, |known| known.partitions().len());
    if found == 0 {
        return Err(TopicError::Missing(topic.to_owned()));
    }
    if found != partitions as usize {
        return Err(TopicError::Shards { topic: topic.to_owned(), found, expected: partitions });
    }
    let specifier = ResourceSpecifier::Topic(topic);
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let described = wait(admin(kafka, password)?.describe_configs([&specifier], &options));
    let described = described.map_err(|error| failed(&error))?;
    let described = described.into_iter().next().unwrap_or(Err(RDKafkaErrorCode::Unknown));
    settings(topic, described.map(|described| move |key: &str| described.get(key)?.value.clone()))
}

/// What is wrong with a topic of which the brokers say `code`.
pub(crate) fn refused(topic: &str, code: RDKafkaErrorCode) -> TopicError {
    let topic = topic.to_owned();
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition => TopicError::Missing(topic),
        RDKafkaErrorCode::TopicAuthorizationFailed => TopicError::Denied(topic),
        code => TopicError::Unavailable(topic, code.to_string()),
    }
}

/// What there is to say of a topic with the settings `found`; access rules may hide them.
fn settings(
    topic: &str,
    found: Result<impl Fn(&str) -> Option<String>, RDKafkaErrorCode>,
) -> Result<Checked, TopicError> {
    let found = match found {
        Ok(found) => found,
        Err(RDKafkaErrorCode::TopicAuthorizationFailed) => return Ok(Checked::SettingsHidden),
        Err(code) => return Err(refused(topic, code)),
    };
    let mut checked = Checked::Well;
    for (key, expected) in SETTINGS {
        let Some(found) = found(key) else {
            checked = Checked::SettingsHidden;
            continue;
        };
        let well = match (found.parse::<u64>(), expected.parse::<u64>()) {
            (Ok(found), Ok(expected)) => found >= expected,
            _ => found == expected,
        };
        if !well {
            return Err(TopicError::Setting { topic: topic.to_owned(), key, found, expected });
        }
    }
    Ok(checked)
}

fn create(kafka: &Kafka, password: Option<&Secret>, name: &str, partitions: i32) -> Result<(), TopicError> {
    // As many replicas as the brokers make by default.
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1))
        .set("cleanup.policy", "compact")
        .set("max.message.bytes", RECORD_BYTES)
        // What was overwritten goes within hours, so that a shard is read quickly.
        .set("segment.ms", "3600000")
        .set("min.cleanable.dirty.ratio", "0.1");
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let failed = |error: String| TopicError::Unavailable(name.to_owned(), error);
    let made = wait(admin(kafka, password)?.create_topics([&topic], &options));
    let made = made.map_err(|error| failed(format!("cannot be made: {error}")))?;
    match made.into_iter().next() {
        // Another instance was quicker.
        Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | None => {
            tracing::info!(topic = name, partitions, "topic made");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_hidden_are_not_taken_for_good_ones() {
        let with = |policy: Option<&str>, bytes: Option<&str>| {
            let found = |key: &str| if key == "cleanup.policy" { policy } else { bytes };
            settings("t", Ok(|key: &str| found(key).map(str::to_owned)))
        };
        let enough = Some(RECORD_BYTES);
        assert_eq!(with(Some("compact"), enough), Ok(Checked::Well));
        assert_eq!(with(None, None), Ok(Checked::SettingsHidden));
        assert_eq!(with(None, enough), Ok(Checked::SettingsHidden));
        assert_eq!(with(Some("compact"), None), Ok(Checked::SettingsHidden));
        for (wrong, named) in [
            (with(Some("delete"), None), "cleanup.policy = delete"),
            (with(Some("compact,delete"), enough), "cleanup.policy = compact,delete"),
            (with(None, Some("1048588")), "max.message.bytes = 1048588"),
        ] {
            let error = wrong.unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let described = |code| settings("t", Err::<fn(&str) -> Option<String>, _>(code));
        assert_eq!(described(RDKafkaErrorCode::TopicAuthorizationFailed), Ok(Checked::SettingsHidden));
        let late = RDKafkaErrorCode::RequestTimedOut;
        assert!(matches!(described(late), Err(TopicError::Unavailable(..))));
        assert!(matches!(refused("t", late), TopicError::Unavailable(..)));
        assert!(matches!(refused("t", RDKafkaErrorCode::UnknownTopicOrPartition), TopicError::Missing(_)));
        assert!(matches!(refused("t", RDKafkaErrorCode::TopicAuthorizationFailed), TopicError::Denied(_)));
        assert_eq!(must_have(), "cleanup.policy must be compact, max.message.bytes must be 8388608 or more");
    }
}

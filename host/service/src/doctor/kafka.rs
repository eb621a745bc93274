//! Whether the brokers answer, whether the topic holds user events, and whether instances may share the functions.

use std::time::{Duration, Instant};

use aquatope_openwhisk::event::{self, Event};
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::Report;
use crate::cluster::topic::{self, Checked, TopicError};
use crate::cluster::{log, plans};
use crate::config::{Config, Secrets};
use crate::source::kafka::{Log, client_config, mend, metadata};

/// How long the broker has to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages looked at for the kinds of events.
const LOOKED_AT: i64 = 200;

impl Report {
    /// `recent`: whether there were activations within the last hour. What cannot be reached is told of once.
    pub(super) fn kafka(&mut self, config: &Config, secrets: &Secrets, recent: Option<bool>) {
        let brokers = &config.kafka.brokers;
        let client = client_config(&config.kafka, secrets.kafka.as_ref());
        let consumer: BaseConsumer<Log> = match client.create_with_context(Log::default()) {
            Ok(consumer) => consumer,
            Err(error) => {
                return self.broken(format!("Kafka: {error}"), "correct [kafka] in the configuration");
            }
        };
        let metadata = match metadata(&consumer, None, PATIENCE) {
            Ok(metadata) => metadata,
            Err(why) => return self.broken(format!("Kafka: {brokers}: {why}"), mend(&why)),
        };
        self.well(format!("Kafka: {} brokers answer at {brokers}", metadata.brokers().len()));
        self.events(config, &consumer, &metadata, recent);
        if config.cluster.enabled {
            self.cluster(config, secrets);
        }
    }

    /// The topic of user events.
    fn events(
        &mut self,
        config: &Config,
        consumer: &BaseConsumer<Log>,
        metadata: &Metadata,
        recent: Option<bool>,
    ) {
        let topic = &config.kafka.topic;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            let similar: Vec<&str> = metadata
                .topics()
                .iter()
                .map(MetadataTopic::name)
                .filter(|name| name.ends_with("events"))
                .collect();
            let mend = if similar.is_empty() {
                "user events are off by default: set whisk.user-events.enabled = true \
                 (CONFIG_whisk_userEvents_enabled) for controllers and invokers, and restart them; \
                 if they are on, set kafka.topic, or let the principal of kafka.username Describe and Read it"
                    .to_owned()
            } else {
                format!("did you mean {}? Set kafka.topic", similar.join(", "))
            };
            return self.broken(format!("Kafka: there is no topic {topic:?}"), mend);
        };
        let mut messages = 0;
        let mut kinds = [0_usize; 3];
        for partition in found.partitions() {
            match consumer.fetch_watermarks(topic, partition.id(), PATIENCE) {
                Ok((low, high)) => {
                    messages += high - low;
                    let last = low.max(high - LOOKED_AT)..high;
                    if let Err(error) = look(consumer, topic, partition.id(), last, &mut kinds) {
                        return self.broken(
                            format!("Kafka: {topic}/{} cannot be read: {error}", partition.id()),
                            "let the principal of kafka.username Read the topic and the group kafka.group",
                        );
                    }
                }
                Err(error) => {
                    let why = consumer.context().why(&error);
                    return self.broken(
                        format!("Kafka: {topic}/{}: {why}", partition.id()),
                        "its leader is not available: see the brokers' logs",
                    );
                }
            }
        }
        let [activations, others, unreadable] = kinds;
        let found =
            format!("Kafka: {topic:?} has {} partitions and {messages} messages", found.partitions().len());
        if activations > 0 {
            self.well(format!("{found}; the last ones are activations"));
        } else if unreadable > 0 && others == 0 {
            self.broken(
                format!("{found}, which are no user events"),
                "set kafka.topic to the topic of user events",
            );
        } else if recent == Some(true) {
            self.broken(
                format!("{found}, none of them an activation, though there were some within the hour"),
                "turn user events on for the invokers too: whisk.user-events.enabled = true",
            );
        } else {
            self.doubtful(
                format!("{found}, none of them an activation"),
                "invoke an action and ask again; if nothing comes, turn user events on (whisk.user-events.enabled)",
            );
        }
    }

    /// The group is not joined, which would move shards.
    fn cluster(&mut self, config: &Config, secrets: &Secrets) {
        let (kafka, cluster, password) = (&config.kafka, &config.cluster, secrets.kafka.as_ref());
        for (topic, partitions) in topic::topics(cluster) {
            let checked = topic::check(kafka, password, &topic, partitions);
            let is_there = checked.is_ok();
            self.cluster_topic(&kafka.brokers, &topic, partitions, checked);
            if is_there && topic == plans::topic(cluster) {
                self.plans(config, secrets);
            }
        }
        match log::try_transactions(kafka, password, cluster) {
            Ok(()) => self.well(format!("cluster: transactions of \"{}-*\" are allowed", cluster.topic)),
            Err(error) => self.broken(
                format!("cluster: transactions are refused: {error}"),
                format!("allow WRITE and DESCRIBE on transactional ids with the prefix {:?}", cluster.topic),
            ),
        }
    }

    pub(super) fn cluster_topic(
        &mut self,
        brokers: &str,
        topic: &str,
        partitions: i32,
        checked: Result<Checked, TopicError>,
    ) {
        let configs = |action: &str| {
            format!(
                "kafka-configs --bootstrap-server {brokers} --entity-type topics --entity-name {topic} {action}"
            )
        };
        match checked {
            Ok(Checked::Well) => {
                self.well(format!("cluster: {topic:?} has {partitions} partitions and is compacted"));
            }
            Ok(Checked::SettingsHidden) => self.doubtful(
                format!(
                    "cluster: {topic:?} has {partitions} partitions; whether it is compacted could not be checked: \
                     the brokers do not show us its settings"
                ),
                format!(
                    "allow DESCRIBE_CONFIGS on it and ask again, or look with `{}`: {}",
                    configs("--describe --all"),
                    topic::must_have()
                ),
            ),
            Err(TopicError::Missing(_)) => {
                self.well(format!("cluster: {topic:?} will be made at the start, if the brokers allow it"));
            }
            Err(error) => {
                let mend = match &error {
                    TopicError::Setting { key, expected, .. } => {
                        configs(&format!("--alter --add-config {key}={expected}"))
                    }
                    TopicError::Shards { .. } => "correct cluster.shards or cluster.topic".to_owned(),
                    TopicError::Denied(_) => "allow DESCRIBE, READ and WRITE on it".to_owned(),
                    _ => "ask again; if it stays so, see the brokers' logs".to_owned(),
                };
                self.broken(format!("cluster: {error}"), mend);
            }
        }
    }

    /// Whoever may write what it tells the others and may not read what they tell is not noticed in any other way.
    fn plans(&mut self, config: &Config, secrets: &Secrets) {
        let topic = plans::topic(&config.cluster);
        match plans::try_read(&config.kafka, secrets.kafka.as_ref(), &config.cluster) {
            Ok(()) => self.well(format!("cluster: {topic:?} can be read")),
            Err(error) => self.broken(
                format!("cluster: {topic:?} cannot be read: {error}"),
                "let the principal of kafka.username Read it: without that, nothing is set for all functions together, \
                 and pool.capacity_mb leaves this instance only what is busy",
            ),
        }
    }
}

/// Read the messages at `offsets` and count activations, other events and what is no event; why they cannot be read.
fn look(
    consumer: &BaseConsumer<Log>,
    topic: &str,
    partition: i32,
    offsets: std::ops::Range<i64>,
    kinds: &mut [usize; 3],
) -> Result<(), String> {
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, partition, Offset::Offset(offsets.start))
        .and_then(|()| consumer.assign(&assignment))
        .map_err(|error| error.to_string())?;
    let mut next = offsets.start;
    let mut until = Instant::now() + PATIENCE;
    let mut why = format!("nothing came within {} s", PATIENCE.as_secs());
    while next < offsets.end {
        match consumer.poll(until.saturating_duration_since(Instant::now())) {
            Some(Ok(message)) => {
                next = message.offset() + 1;
                until = Instant::now() + PATIENCE;
                let kind = match event::decode(message.payload().unwrap_or_default()) {
                    Ok(Event::Activation(_)) => 0,
                    Ok(_) => 1,
                    Err(_) => 2,
                };
                kinds[kind] += 1;
            }
            // One broker of several may be gone for the moment.
            Some(Err(error)) if Instant::now() < until => why = consumer.context().why(&error),
            // The rest are no messages but marks of transactions.
            _ if next > offsets.start => return Ok(()),
            _ => return Err(why),
        }
    }
    Ok(())
}

//! Asks the brokers how far the partitions go, and the group what is ours: what may take long, on a thread of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use aquatope_openwhisk::credentials::Secret;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};

use super::kafka::{Log, mend};
use super::membership::Member;
use super::{Duty, SharedStatus};
use crate::cluster::topic::{self, TopicError};
use crate::config::{Cluster, Kafka};

/// What a partition holds: offsets `low..high`, and all that was produced until `asked`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) partition: i32,
    pub(super) low: i64,
    pub(super) high: i64,
    pub(super) asked: Instant,
}

/// The brokers' answer, or why there is none.
pub(super) type Answer = Result<Vec<Ends>, String>;

/// See the module's header.
pub(super) struct Asker {
    pub(super) consumer: Arc<BaseConsumer<Log>>,
    pub(super) config: Kafka,
    pub(super) password: Option<Secret>,
    /// Where several instances share the work.
    pub(super) cluster: Option<Cluster>,
    /// Where our own HTTP interface is, for the other instances.
    pub(super) listens: String,
    pub(super) stopped: Arc<AtomicBool>,
    pub(super) answers: mpsc::Sender<Answer>,
    /// Once there are partitions to share.
    pub(super) member: Arc<OnceLock<Member>>,
    pub(super) status: SharedStatus,
}

/// The partitions of the topic, and when they were looked for.
struct Known {
    partitions: Vec<i32>,
    found: Instant,
}

impl Asker {
    /// Between two questions.
    const EVERY: Duration = Duration::from_millis(250);
    /// New partitions are looked for.
    const PARTITIONS_EVERY: Duration = Duration::from_secs(30);
    const TIMEOUT: Duration = Duration::from_secs(2);

    pub(super) fn run(self) {
        let mut known = None;
        while !self.stopped.load(Ordering::Relaxed) {
            let answer = self.look(&mut known);
            if answer.is_ok() {
                self.consumer.context().reached();
            }
            if self.answers.send(answer).is_err() {
                return;
            }
            if known.is_some() {
                self.take_part();
            }
            thread::sleep(Self::EVERY);
        }
    }

    /// How far the partitions go, which are looked for now and then. One reason why that is not to be had is enough.
    fn look(&self, known: &mut Option<Known>) -> Answer {
        if known.as_ref().is_none_or(|known| known.found.elapsed() > Self::PARTITIONS_EVERY) {
            *known = Some(Known { partitions: self.partitions()?, found: Instant::now() });
        }
        known.iter().flat_map(|known| &known.partitions).map(|&id| self.ends(id)).collect()
    }

    fn take_part(&self) {
        let Some(member) = self.member.get() else {
            match self.join() {
                Ok(member) => drop(self.member.set(member)),
                Err(error) => {
                    let told = self.status.get().group_error;
                    if told.as_ref() != Some(&error) {
                        tracing::error!("{error}");
                    }
                    self.status.update(|status| status.group_error = Some(error));
                }
            }
            return;
        };
        member.poll();
        let (duty, before) = (member.duty(), self.status.get().duty);
        if duty != before {
            let group = &self.config.group;
            match duty {
                Duty::Another => tracing::error!(group, "{}", duty.reason().unwrap_or_default()),
                Duty::NotKnowable => {
                    tracing::warn!(
                        group,
                        "the group may not be joined: a second instance would go unnoticed"
                    );
                }
                _ => tracing::info!(group, "the only instance at work"),
            }
            self.status.update(|status| status.duty = duty);
        }
    }

    fn join(&self) -> Result<Member, String> {
        let password = self.password.as_ref();
        if let Some(cluster) = &self.cluster {
            topic::prepare(&self.config, password, cluster).map_err(|error| error.to_string())?;
        }
        let member = Member::join(&self.config, password, self.cluster.as_ref(), &self.listens)
            .map_err(|error| format!("the consumer group cannot be joined: {error}"))?;
        self.status.update(|status| status.group_error = None);
        Ok(member)
    }

    fn partitions(&self) -> Result<Vec<i32>, String> {
        let metadata = self.consumer.fetch_metadata(Some(&self.config.topic), Self::TIMEOUT);
        let metadata = metadata.map_err(|error| {
            let why = self.consumer.context().why(&error);
            format!("brokers do not answer: {why}; {}", mend(&why))
        })?;
        let name = &self.config.topic;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        let refused = topic.and_then(MetadataTopic::error).map(|code| topic::refused(name, code.into()));
        let partitions = topic.map_or(&[][..], MetadataTopic::partitions);
        match refused {
            Some(denied @ TopicError::Denied(_)) => {
                Err(format!("{denied}; let the principal of kafka.username Describe and Read it"))
            }
            Some(error @ TopicError::Unavailable(..)) => Err(error.to_string()),
            None if !partitions.is_empty() => Ok(partitions.iter().map(MetadataPartition::id).collect()),
            _ => {
                let missing = TopicError::Missing(name.clone());
                Err(format!("{missing}; enable user events in OpenWhisk, or set kafka.topic"))
            }
        }
    }

    fn ends(&self, partition: i32) -> Result<Ends, String> {
        let asked = Instant::now();
        let found = self.consumer.fetch_watermarks(&self.config.topic, partition, Self::TIMEOUT);
        let (low, high) = found.map_err(|error| {
            format!("partition {partition} cannot be read: {}", self.consumer.context().why(&error))
        })?;
        Ok(Ends { partition, low, high, asked })
    }
}

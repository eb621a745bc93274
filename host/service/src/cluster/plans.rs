//! What each shard tells the others (`told.rs`): its last record in a topic with one partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aquatope_openwhisk::credentials::Secret;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;

use crate::config::{Cluster, Kafka};
use crate::source::SharedStatus;
use crate::source::kafka::{Log, client_config};
use crate::store::Row;

/// The name of the topic.
pub fn topic(cluster: &Cluster) -> String {
    format!("{}-plans", cluster.topic)
}

/// Hears of the plans on a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct Follower {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How often the hearer is asked whether it is time to act, at least.
const EVERY: Duration = Duration::from_millis(200);

impl Follower {
    /// `hear` gets a shard and what it tells, or nothing when nothing came for a while. `status` shows when they cannot be read.
    ///
    /// # Errors
    /// librdkafka refuses the configuration.
    pub fn start(
        kafka: &Kafka,
        password: Option<&Secret>,
        cluster: &Cluster,
        status: SharedStatus,
        mut hear: impl FnMut(Option<(u32, &[u8])>) + Send + 'static,
    ) -> Result<Self, KafkaError> {
        let mut client = client_config(kafka, password);
        client.set("isolation.level", "read_committed");
        let consumer: BaseConsumer<Log> = client.create_with_context(Log::default())?;
        let mut list = TopicPartitionList::new();
        let topic = topic(cluster);
        list.add_partition_offset(&topic, 0, Offset::Beginning)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || {
            let mut assigned = false;
            while !stopped.load(Ordering::Relaxed) {
                if !assigned {
                    assigned = consumer.assign(&list).is_ok();
                }
                match consumer.poll(EVERY) {
                    Some(Ok(message)) => {
                        status.handle_plans_read(Ok(()));
                        let key = message.key().map(String::from_utf8_lossy).unwrap_or_default();
                        if let (Ok(Row::Plan(shard)), Some(plan)) = (key.parse(), message.payload()) {
                            hear(Some((shard, plan)));
                        }
                    }
                    Some(Err(error)) => {
                        // It is made by whoever starts first.
                        assigned =
                            error.rdkafka_error_code() != Some(RDKafkaErrorCode::UnknownTopicOrPartition);
                        if assigned {
                            status.handle_plans_read(Err(&error));
                        }
                        thread::sleep(EVERY);
                        hear(None);
                    }
                    None => hear(None),
                }
            }
        };
        let thread = thread::Builder::new().name("plans".into()).spawn(work);
        let thread = Some(thread.expect("the system has room for one more thread"));
        Ok(Self { stop, thread })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

//! What each shard tells the others (`told.rs`): its last record in a topic with one partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aquatope_openwhisk::credentials::Secret;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;

use super::read_from;
use crate::config::{Cluster, Kafka};
use crate::source::SharedStatus;
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

/// How long the brokers have to answer.
const PATIENCE: Duration = Duration::from_secs(10);
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
        let (consumer, list) = read_from(kafka, password, &topic(cluster), 0, Offset::Beginning)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || {
            let mut assigned = true;
            let is_read = || {
                consumer.context().reached();
                status.handle_plans_read(Ok(()));
            };
            while !stopped.load(Ordering::Relaxed) {
                if !assigned {
                    assigned = consumer.assign(&list).is_ok();
                }
                match consumer.poll(EVERY) {
                    Some(Ok(message)) => {
                        is_read();
                        let key = message.key().map(String::from_utf8_lossy).unwrap_or_default();
                        if let (Ok(Row::Plan(shard)), Some(plan)) = (key.parse(), message.payload()) {
                            hear(Some((shard, plan)));
                        }
                    }
                    Some(Err(KafkaError::PartitionEOF(_))) => is_read(),
                    Some(Err(error)) => {
                        let code = error.rdkafka_error_code();
                        // It is made by whoever starts first.
                        let missing = code == Some(RDKafkaErrorCode::UnknownTopicOrPartition);
                        // It was made anew.
                        let moved = matches!(
                            code,
                            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
                        );
                        assigned &= !(missing || moved);
                        if !missing {
                            status.handle_plans_read(Err(&consumer.context().why(&error)));
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

/// Whether the brokers let us read the topic.
///
/// # Errors
/// Why they do not.
pub fn try_read(kafka: &Kafka, password: Option<&Secret>, cluster: &Cluster) -> Result<(), String> {
    let consumer = read_from(kafka, password, &topic(cluster), 0, Offset::End);
    let (consumer, _) = consumer.map_err(|error| error.to_string())?;
    let until = Instant::now() + PATIENCE;
    let mut why = "the brokers do not answer".to_owned();
    while Instant::now() < until {
        match consumer.poll(EVERY) {
            Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) => why = consumer.context().why(&error),
            None => {}
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use std::iter;
    use std::sync::mpsc;

    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    #[test]
    fn an_offset_that_is_gone_is_no_end() {
        let brokers = MockCluster::new(1).unwrap();
        let cluster = Cluster::default();
        let topic = topic(&cluster);
        brokers.create_topic(&topic, 1, 1).unwrap();
        let servers = brokers.bootstrap_servers();
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
        let tell = |shard: u32| {
            let key = Row::Plan(shard).to_string();
            producer.send(BaseRecord::to(&topic).key(&key).payload("told")).unwrap();
            producer.flush(PATIENCE * 10).unwrap();
        };
        let (sender, heard) = mpsc::channel();
        let hear = move |told: Option<(u32, &[u8])>| {
            told.into_iter().for_each(|(shard, _)| sender.send(shard).unwrap());
        };
        let kafka = Kafka { brokers: servers, ..Kafka::default() };
        let follower = Follower::start(&kafka, None, &cluster, SharedStatus::default(), hear).unwrap();
        let hears = || heard.recv_timeout(PATIENCE * 10).unwrap();
        tell(0);
        assert_eq!(hears(), 0);
        let gone = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
        // librdkafka takes the first for the end of the partition, should it be told of the end with it.
        brokers.request_errors(RDKafkaApiKey::Fetch, &[gone, gone]);
        assert_eq!(hears(), 0, "from the begin");
        tell(1);
        assert_eq!(iter::repeat_with(hears).find(|&shard| shard != 0), Some(1));
        drop(follower);
    }
}

//! The log of one shard: a partition of the state topic, written in transactions.
//!
//! The coordinator gives each transactional id to the producer that asked last, and refuses every older one. So an
//! instance that was taken for dead and comes back can store nothing any more, however late it notices.

use std::time::{Duration, Instant};

use aquatope_openwhisk::credentials::Secret;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::Offset;

use super::{plans, read_from};
use crate::config::{Cluster, Kafka};
use crate::source::SharedStatus;
use crate::source::kafka::{Log, client_config};
use crate::store::{Change, Changelog, LogError, Row};

/// See the module's header.
pub struct KafkaLog {
    kafka: Kafka,
    password: Option<Secret>,
    topic: String,
    plans: String,
    shard: i32,
    status: SharedStatus,
    producer: BaseProducer<Log>,
    /// A transaction that was to end, without the coordinator's answer.
    ending: Option<Ending>,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Commit,
    Abort,
}

/// The coordinator ends a transaction that takes longer.
const TRANSACTION: Duration = Duration::from_secs(20);
/// For one step of a transaction.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at what became of messages, while a transaction is given up.
const STEP: Duration = Duration::from_millis(200);
/// To shut out the one before; a transaction it left open is ended first.
const OPENING: Duration = Duration::from_secs(30);
/// Without a message for this long, reading has failed.
const SILENCE: Duration = Duration::from_secs(30);

impl KafkaLog {
    /// Open the log of `shard`; from now on nobody else can write it. `status` shows when it cannot be read.
    ///
    /// # Errors
    /// The brokers do not answer, or do not let us.
    pub fn open(
        kafka: &Kafka,
        password: Option<&Secret>,
        cluster: &Cluster,
        shard: i32,
        status: SharedStatus,
    ) -> Result<Self, LogError> {
        let producer = producer(kafka, password, &format!("{}-{shard}", cluster.topic))?;
        let (kafka, password) = (kafka.clone(), password.cloned());
        let (topic, plans) = (cluster.topic.clone(), plans::topic(cluster));
        Ok(Self { kafka, password, topic, plans, shard, status, producer, ending: None })
    }

    fn transact(&mut self, changes: &[Change]) -> Result<(), KafkaError> {
        self.end()?;
        self.producer.begin_transaction()?;
        self.ending = Some(Ending::Abort);
        let until = Instant::now() + PATIENCE;
        for Change { row, value } in changes {
            let key = row.to_string();
            let (topic, partition) = match row {
                Row::Plan(_) => (&self.plans, 0),
                _ => (&self.topic, self.shard),
            };
            let mut record = BaseRecord::<str, [u8]>::to(topic).partition(partition).key(&key);
            record.payload = value.as_deref();
            while let Err((error, unsent)) = self.producer.send(record) {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !full || Instant::now() > until {
                    return Err(error);
                }
                self.producer.poll(Duration::from_millis(10));
                record = unsent;
            }
        }
        self.producer.flush(PATIENCE)?;
        self.ending = Some(Ending::Commit);
        self.end()
    }

    /// Ask, once more if need be, for the end of a transaction.
    fn end(&mut self) -> Result<(), KafkaError> {
        let until = Instant::now() + PATIENCE;
        while let Some(ending) = self.ending {
            let ended = match ending {
                Ending::Commit => self.producer.commit_transaction(PATIENCE),
                Ending::Abort => self.producer.abort_transaction(STEP),
            };
            match ended {
                Ok(()) => self.ending = None,
                // It waits until somebody has taken the reports of what was sent, but takes none itself.
                Err(KafkaError::Transaction(error))
                    if matches!(ending, Ending::Abort) && error.is_retriable() && Instant::now() < until =>
                {
                    self.producer.poll(STEP);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_all(&self, each: &mut dyn FnMut(Change) -> Result<(), LogError>) -> Result<(), LogError> {
        let password = self.password.as_ref();
        let consumer = read_from(&self.kafka, password, &self.topic, self.shard, Offset::Beginning);
        let (consumer, _) = consumer.map_err(unavailable)?;
        let (mut heard, mut last) = (Instant::now(), None);
        while heard.elapsed() < SILENCE {
            match consumer.poll(Duration::from_millis(500)) {
                // Open transactions were ended when the producer was made: this is the end of all that is committed.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    return Ok(());
                }
                Some(Err(error)) => last = Some(consumer.context().why(&error)),
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let key = message.key().map(String::from_utf8_lossy).unwrap_or_default();
                    each(Change { row: key.parse()?, value: message.payload().map(<[u8]>::to_vec) })?;
                }
                None => {}
            }
        }
        let why = last.unwrap_or_else(|| "the brokers do not answer".to_owned());
        Err(LogError::Unavailable(format!("{}/{} cannot be read: {why}", self.topic, self.shard)))
    }
}

impl Changelog for KafkaLog {
    fn read(&mut self, each: &mut dyn FnMut(Change) -> Result<(), LogError>) -> Result<(), LogError> {
        self.read_all(each).inspect_err(|_| self.status.count_unreadable_state())
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), LogError> {
        self.transact(changes).map_err(|error| {
            if let KafkaError::Transaction(error) = &error
                && error.txn_requires_abort()
            {
                self.ending = Some(Ending::Abort);
            }
            // Whatever it is, a fatal error leaves nothing but to open the log anew.
            if self.producer.client().fatal_error().is_some() { LogError::Lost } else { unavailable(error) }
        })
    }
}

/// Whether the brokers let us use transactions; with an id that is no shard's, so that nobody is shut out.
///
/// # Errors
/// Why they do not.
pub fn try_transactions(kafka: &Kafka, password: Option<&Secret>, cluster: &Cluster) -> Result<(), LogError> {
    producer(kafka, password, &format!("{}-doctor", cluster.topic)).map(drop)
}

/// A producer that shuts out all older ones with this transactional id.
fn producer(kafka: &Kafka, password: Option<&Secret>, id: &str) -> Result<BaseProducer<Log>, LogError> {
    let mut client = client_config(kafka, password);
    client
        .set("transactional.id", id)
        .set("transaction.timeout.ms", TRANSACTION.as_millis().to_string())
        .set("message.timeout.ms", TRANSACTION.as_millis().to_string())
        .set("message.max.bytes", super::topic::RECORD_BYTES)
        .set("compression.codec", "zstd")
        .set("linger.ms", "0");
    let producer: BaseProducer<Log> = client.create_with_context(Log::default()).map_err(unavailable)?;
    match producer.init_transactions(OPENING) {
        Ok(()) => Ok(producer),
        Err(error) => {
            // Why a broker is not reached comes as an event of its own.
            producer.poll(Duration::ZERO);
            Err(unavailable(producer.context().why(&error)))
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> LogError {
    LogError::Unavailable(error.to_string())
}

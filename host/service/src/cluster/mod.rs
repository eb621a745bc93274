//! Several instances that share the work as one consumer group.
//!
//! ```text
//! functions --hash of the name--> shards = partitions of the state topic --consumer group--> instances
//! ```
//! A shard is what a single instance is: an observer, a store, a planner. Its store's log is its partition of the state
//! topic, which Kafka compacts; whoever is given the partition reads the log and goes on from there, with the offsets of
//! `events` that stand in it. The log is written in transactions, by a producer with the shard's own transactional id: to
//! open a shard shuts out whoever had it before ([`log`]).
//!
//! Everybody hears of all shards' plans through a second, small topic, written in the same transactions ([`plans`]): what is
//! set for all functions together is set by whoever has shard 0, and a limit on the memory of all is divided (`told.rs`).

pub(crate) mod holder;
pub mod log;
pub mod plans;
pub(crate) mod told;
pub mod topic;

use aquatope_openwhisk::credentials::Secret;
use aquatope_openwhisk::fnv::fnv1a_64;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::config::Kafka;
use crate::source::kafka::{Log, client_config};

/// The shard of a function, by its name: FNV-1a, mixed as in MurmurHash3. Every version has to keep it.
pub fn shard_of(name: &str, shards: i32) -> i32 {
    let mut hash = fnv1a_64(name.bytes());
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    (hash % shards.max(1).unsigned_abs() as u64) as i32
}

/// A consumer of what is committed in one partition, which also tells when it has read all there is; and its assignment.
fn read_from(
    kafka: &Kafka,
    password: Option<&Secret>,
    topic: &str,
    partition: i32,
    offset: Offset,
) -> Result<(BaseConsumer<Log>, TopicPartitionList), KafkaError> {
    let mut client = client_config(kafka, password);
    client.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    let consumer: BaseConsumer<Log> = client.create_with_context(Log::default())?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, offset)?;
    consumer.assign(&list)?;
    Ok((consumer, list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_spread_over_the_shards() {
        let mut functions = [0; 8];
        for number in 0..8_000 {
            functions[shard_of(&format!("guest/function-{number:05}"), 8) as usize] += 1;
        }
        assert!(functions.iter().all(|&count| (700..1_300).contains(&count)), "{functions:?}");
        assert_eq!(shard_of("guest/f", 1), 0);
        // Of a stored state: it must never change.
        assert_eq!([shard_of("guest/a", 8), shard_of("guest/b", 8)], [6, 4]);
    }
}

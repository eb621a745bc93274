//! Which instance has a shard, by the word of the consumer group.

use std::time::Duration;

use aquatope_openwhisk::credentials::Secret;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::groups::GroupInfo;

use crate::config::{Cluster, Kafka};
use crate::source::kafka::{Log, client_config};

const PATIENCE: Duration = Duration::from_secs(5);

/// Where the instance is that has `shard`, in words; `None`: none has it now.
///
/// # Errors
/// The brokers do not say.
pub(crate) fn holder(
    kafka: &Kafka,
    password: Option<&Secret>,
    cluster: &Cluster,
    shard: i32,
) -> Result<Option<String>, String> {
    let client: Result<BaseConsumer<Log>, _> =
        client_config(kafka, password).create_with_context(Log::default());
    let client = client.map_err(|error| error.to_string())?;
    let groups = client.client().fetch_group_list(Some(&kafka.group), PATIENCE);
    let groups = groups.map_err(|error| error.to_string())?;
    let mut members = groups.groups().iter().flat_map(GroupInfo::members);
    let has = |assignment: &[u8]| {
        assigned(assignment, &cluster.topic).is_some_and(|partitions| partitions.contains(&shard))
    };
    let holder = members.find(|member| member.assignment().is_some_and(has));
    Ok(holder.map(|member| {
        let host = member.client_host().trim_start_matches('/');
        match member.client_id().split_once('@') {
            Some((_, listens)) => format!("the instance on {host} (http.listen = {listens})"),
            None => format!("the instance on {host}"),
        }
    }))
}

/// The partitions of `topic` in a member's assignment, as Kafka's consumer protocol writes it: a version, then every topic's
/// name and partitions. All numbers are big-endian, and counts come before what they count.
fn assigned(bytes: &[u8], topic: &str) -> Option<Vec<i32>> {
    let mut rest = bytes.get(2..)?;
    let mut take = |length: usize| {
        let (head, tail) = rest.split_at_checked(length)?;
        rest = tail;
        Some(head)
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0_i32, |number, &byte| (number << 8) | i32::from(byte));
    let mut found = Vec::new();
    for _ in 0..number(take(4)?) {
        let length = number(take(2)?);
        let ours = take(usize::try_from(length).ok()?)? == topic.as_bytes();
        for _ in 0..number(take(4)?) {
            let partition = number(take(4)?);
            if ours {
                found.push(partition);
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_by_hand() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        bytes.extend(b"\x00\x01x\x00\x00\x00\x01\x00\x00\x00\x09");
        bytes.extend(b"\x00\x05state\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x01\x00\xff\xff\xff\xff");
        assert_eq!(assigned(&bytes, "state"), Some(vec![3, 256]));
        assert_eq!(assigned(&bytes, "x"), Some(vec![9]));
        assert_eq!(assigned(&bytes, "y"), Some(Vec::new()));
        for end in 0..bytes.len() - 4 {
            assert_eq!(assigned(&bytes[..end], "state"), None, "{end}");
        }
        // More topics than any bytes can hold.
        assert_eq!(assigned(b"\x00\x01\x7f\xff\xff\xff\x00", "x"), None);
    }
}

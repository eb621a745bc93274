//! Workflows that other instances tune.

use aquatope_openwhisk::credentials::Secret;

use crate::cluster::holder::holder;
use crate::cluster::shard_of;
use crate::config::{Cluster, Config, Kafka, Secrets};

/// Who has the shards that this instance does not have.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    kafka: Kafka,
    password: Option<Secret>,
    cluster: Cluster,
    /// All that are tuned, by their names on the board.
    workflows: Vec<String>,
}

impl Elsewhere {
    pub(crate) fn new(config: &Config, secrets: &Secrets, workflows: Vec<String>) -> Self {
        let (kafka, cluster) = (config.kafka.clone(), config.cluster.clone());
        Self { kafka, password: secrets.kafka.clone(), cluster, workflows }
    }

    /// All that are tuned, here or elsewhere, and the shards they belong to.
    pub(super) fn workflows(&self) -> impl Iterator<Item = (&str, u32)> {
        let shards = self.cluster.shards;
        self.workflows.iter().map(move |name| (name.as_str(), shard_of(name, shards).unsigned_abs()))
    }

    /// Who tunes `workflow`, in words; `None`: nobody is to. Asks the brokers, and waits for them.
    pub(super) fn who(&self, workflow: &str) -> Option<String> {
        if !self.workflows.iter().any(|known| known == workflow) {
            return None;
        }
        let shard = shard_of(workflow, self.cluster.shards);
        let holder = match holder(&self.kafka, self.password.as_ref(), &self.cluster, shard) {
            Ok(Some(holder)) => format!("{holder} has: approve of it there"),
            Ok(None) => "no instance has at the moment: ask again in a few seconds".to_owned(),
            Err(error) => format!("another instance has; the brokers do not say which: {error}"),
        };
        Some(format!("workflow {workflow:?} is tuned with shard {shard}, which {holder}\n"))
    }
}

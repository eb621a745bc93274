//! The back-end `keep-count` (function-pulling engine): `warmedContainerKeepingCount` in the limits document of a
//! namespace, which says how many idle containers of each of its functions outlive `idle-container`.
//!
//! It keeps what exists and creates nothing, and one number serves all functions of a namespace: the largest target. A
//! namespace per function makes it one per function. The platform caches the document for five minutes.

use std::collections::BTreeMap;

use aquatope_workflow::fault::Fault;

use super::couchdb::CouchDb;
use super::{Applied, Wants};
use crate::config::{Config, Secrets};

pub(crate) struct KeepCount {
    database: CouchDb,
    /// What was set last.
    set: BTreeMap<String, u32>,
}

impl KeepCount {
    pub(super) fn new(config: &Config, secrets: &Secrets) -> Result<Self, Fault> {
        Ok(Self { database: CouchDb::new(config, secrets)?, set: BTreeMap::new() })
    }

    pub(super) async fn apply(&mut self, wants: &Wants) -> Result<Applied, String> {
        let mut applied = Applied::default();
        for (namespace, count) in largest(wants) {
            if self.set.get(&namespace) == Some(&count) {
                continue;
            }
            if !self.database.set_limit(&namespace, "warmedContainerKeepingCount", count).await? {
                applied
                    .remarks
                    .push(format!("CouchDB has no subject {namespace}; its keep count is not set"));
            }
            applied.calls += 1;
            self.set.insert(namespace, count);
        }
        Ok(applied)
    }
}

/// The largest target in every namespace.
fn largest(wants: &Wants) -> BTreeMap<String, u32> {
    let mut largest = BTreeMap::new();
    for function in &wants.functions {
        let namespace = function.name.split('/').next().unwrap_or_default().to_owned();
        let most = largest.entry(namespace).or_insert(0);
        *most = function.containers.max(*most);
    }
    largest
}

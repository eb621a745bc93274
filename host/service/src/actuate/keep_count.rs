//! The back-end `keep-count` (function-pulling engine): `warmedContainerKeepingCount` in the limits document of a
//! namespace, which says how many idle containers of each of its functions outlive `idle-container`.
//!
//! It keeps what exists and creates nothing, and one number serves all functions of a namespace: the largest target. A
//! namespace per function makes it one per function. The platform caches the document for five minutes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aquatope_workflow::fault::Fault;

use super::couchdb::CouchDb;
use super::{Applied, Wants};
use crate::config::{Config, Secrets};

pub(crate) struct KeepCount {
    database: CouchDb,
    /// What was set last.
    set: BTreeMap<String, u32>,
    min_interval: Duration,
    changed: Option<Instant>,
}

impl KeepCount {
    pub(super) fn new(config: &Config, secrets: &Secrets) -> Result<Self, Fault> {
        let min_interval = Duration::from_secs_f64(config.actuator.min_interval_s);
        Ok(Self {
            database: CouchDb::new(config, secrets)?,
            set: BTreeMap::new(),
            min_interval,
            changed: None,
        })
    }

    pub(super) async fn apply(&mut self, wants: &Wants) -> Result<Applied, String> {
        let mut applied = Applied::default();
        // Plans come at a minute's distance, give or take a little.
        if self.changed.is_some_and(|changed| changed.elapsed().mul_f64(1.1) < self.min_interval) {
            return Ok(applied);
        }
        for (namespace, count) in largest(wants, &self.set) {
            if self.set.get(&namespace) == Some(&count) {
                continue;
            }
            self.changed = Some(Instant::now());
            if self.database.set_limit(&namespace, "warmedContainerKeepingCount", count).await? {
                applied.calls += 1;
                self.set.insert(namespace, count);
            } else {
                applied
                    .remarks
                    .push(format!("CouchDB has no subject {namespace}; its keep count is not set"));
            }
        }
        Ok(applied)
    }
}

/// The largest target in every invoking namespace; 0 where there was one and is none any more.
fn largest(wants: &Wants, before: &BTreeMap<String, u32>) -> BTreeMap<String, u32> {
    let mut largest: BTreeMap<String, u32> = before.keys().map(|namespace| (namespace.clone(), 0)).collect();
    for function in &wants.functions {
        let most = largest.entry(function.namespace.clone()).or_insert(0);
        *most = function.containers.max(*most);
    }
    largest
}

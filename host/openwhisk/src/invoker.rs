//! An invoker's own endpoints (port 12001, credentials `whisk.invoker.username` and `.password`): its stem cells with pull
//! request 4790, its containers with the function-pulling engine.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;

use crate::credentials::Credentials;
use crate::error::RestError;
use crate::http::{Http, Reply, Request};
use crate::rest::Transport;

/// An invoker, addressed directly.
#[derive(Clone, Debug)]
pub struct Invoker {
    http: Http,
}

/// Idle stem cells of one kind and memory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StemCells {
    /// The runtime kind.
    pub kind: String,
    /// MB of each.
    #[serde(rename = "memory")]
    pub memory_mb: u32,
    /// Alive and idle now, on this invoker.
    pub number: u32,
}

/// The containers of an invoker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPool {
    /// All of them.
    pub total_containers: u32,
    /// Being created.
    pub in_progress_count: u32,
    /// Stem cells.
    pub prewarmed_pool: Prewarmed,
    /// At work, or waiting for work.
    pub busy_pool: Holders,
    /// Idle.
    pub paused_pool: Holders,
}

/// Stem cells of an invoker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Prewarmed {
    /// All of them.
    pub total: u32,
    /// By kind.
    pub counts_by_kind: BTreeMap<String, u32>,
}

/// Containers that hold an action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Holders {
    /// How many.
    pub total: u32,
    /// Each of them.
    pub containers: Vec<Holder>,
}

/// A container that holds an action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Holder {
    /// The container.
    pub container_id: String,
    /// The invoking namespace.
    pub namespace: String,
    /// The action, **without its package**: two packages with an action of one name cannot be told apart.
    pub action: String,
    /// The runtime kind.
    pub kind: String,
}

impl Invoker {
    /// The invoker at `base`, with the invokers' own credentials.
    pub fn new(base: &str, credentials: Credentials, transport: &Transport) -> Result<Self, RestError> {
        Ok(Self { http: Http::new(base, credentials, transport)? })
    }

    /// Live idle stem cells (`GET /getRuntime`); nothing when the invoker lacks pull request 4790.
    pub async fn stem_cells(&self) -> Result<Option<Vec<StemCells>>, RestError> {
        supported(self.get("getRuntime").await?)
    }

    /// The containers of a function-pulling invoker (`GET /pool`); nothing when the engine is the push engine.
    pub async fn pool(&self) -> Result<Option<ContainerPool>, RestError> {
        supported(self.get("pool").await?)
    }

    async fn get(&self, path: &str) -> Result<Reply, RestError> {
        self.http.send(Method::GET, Request { path: &[path], ..Request::default() }).await
    }
}

/// Invokers without an endpoint answer 404, or 200 with the words `not supported`.
fn supported<T: serde::de::DeserializeOwned>(reply: Reply) -> Result<Option<T>, RestError> {
    let text = String::from_utf8_lossy(&reply.body);
    if reply.status == 200 && text.trim().trim_matches('"') == "not supported" {
        return Ok(None);
    }
    reply.json_if_found()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Cause;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { at: "GET http://localhost/pool".into(), status, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn the_push_engine_does_not_support_pools() {
        for (status, body) in [(200, "not supported"), (200, "\"not supported\""), (404, "")] {
            assert_eq!(supported::<ContainerPool>(reply(status, body)).unwrap(), None);
        }
        let error = supported::<ContainerPool>(reply(200, "<html>")).unwrap_err();
        assert!(matches!(error.cause, Cause::Unexpected(_)));
    }

    #[test]
    fn a_pool_of_the_function_pulling_engine() {
        let body = r#"{"totalContainers":3,"inProgressCount":0,"prewarmedPool":{"total":1,"countsByKind":{"nodejs:20":1}},
            "busyPool":{"total":1,"containers":[{"containerId":"c1","namespace":"guest","action":"hello","kind":"python:3"}]},
            "pausedPool":{"total":1,"containers":[{"containerId":"c2","namespace":"guest","action":"hello","kind":"python:3"}]}}"#;
        let pool: ContainerPool = supported(reply(200, body)).unwrap().unwrap();
        assert_eq!((pool.total_containers, pool.prewarmed_pool.counts_by_kind["nodejs:20"]), (3, 1));
        assert_eq!((pool.busy_pool.containers[0].action.as_str(), pool.paused_pool.total), ("hello", 1));
    }
}

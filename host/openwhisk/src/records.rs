//! What the REST interface tells about actions, activations, namespaces and the system.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::Status;
use crate::size::parse_megabytes;

/// An action, whole: what a GET returns can be PUT under another name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Action {
    /// The action's namespace, with the package: `guest` or `guest/package`.
    pub namespace: String,
    /// The name without the package.
    pub name: String,
    /// Changed by every PUT; containers of another version are of no use.
    pub version: String,
    /// Kind and code, as the platform wrote them (`code` is absent when asked for without).
    pub exec: Value,
    /// Default parameters.
    #[serde(default)]
    pub parameters: Value,
    /// Limits; a sequence has them too, without effect.
    #[serde(default)]
    pub limits: Limits,
    /// A list of `{"key": .., "value": ..}`.
    #[serde(default)]
    pub annotations: Value,
}

impl Action {
    /// The runtime kind: `python:3`, `blackbox`, `sequence`, ..
    pub fn kind(&self) -> &str {
        self.exec.get("kind").and_then(Value::as_str).unwrap_or("unknown")
    }

    /// Whether each of its runs is a run of a whole workflow: a sequence, or a composition by its conductor.
    pub fn is_workflow(&self) -> bool {
        let yes = |annotation: &Value| annotation["key"] == "conductor" && annotation["value"] != false;
        self.kind() == "sequence" || self.annotations.as_array().into_iter().flatten().any(yes)
    }

    /// The names of a sequence's components, in order, without the leading slash; none for other kinds.
    pub fn components(&self) -> Vec<&str> {
        let components = self.exec.get("components").and_then(Value::as_array);
        let names = components.into_iter().flatten().filter_map(Value::as_str);
        names.map(|name| name.trim_start_matches('/')).collect()
    }
}

/// The limits of an action. In a PUT, what is absent keeps its old value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// MB, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// MB of log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<u32>,
    /// Activations one container serves at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Containers of the action at most; function-pulling engine only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
    /// Cores; patched platforms only. Upstream accepts it, ignores it and **still bumps the version**, which throws every
    /// warm container away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
}

impl Limits {
    /// A memory limit alone.
    pub fn memory(mb: u32) -> Self {
        Self { memory: Some(mb), ..Self::default() }
    }
}

/// A finished activation, or a row of the list of activations (which has no response and no logs).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// 32 hexadecimal digits.
    pub activation_id: String,
    /// The invoking namespace.
    #[serde(default)]
    pub namespace: String,
    /// The action's name without namespace and package.
    pub name: String,
    /// The action's version.
    #[serde(default)]
    pub version: String,
    /// Milliseconds since the epoch; the begin of the initialisation or run.
    #[serde(deserialize_with = "whole")]
    pub start: i64,
    /// Milliseconds since the epoch; 0 or absent when unknown.
    #[serde(default, deserialize_with = "whole")]
    pub end: i64,
    /// Milliseconds. In a list `end - start`; in a record of a sequence the sum of its components.
    #[serde(default, deserialize_with = "whole")]
    pub duration: i64,
    /// The activation of the sequence or composition this is a part of.
    pub cause: Option<String>,
    /// In lists only.
    #[serde(default)]
    status_code: Option<i64>,
    /// Absent in lists.
    pub response: Option<Response>,
    /// Log lines; for a sequence the ids of its parts, in order.
    #[serde(default)]
    pub logs: Vec<String>,
    #[serde(default)]
    annotations: Vec<Annotation>,
}

/// What an action answered.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Response {
    /// `success`, `application error`, `action developer error` or `whisk internal error`.
    #[serde(default)]
    status: String,
    /// The result.
    #[serde(default)]
    pub result: Value,
    /// Bytes of the result.
    pub size: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Annotation {
    key: String,
    value: Value,
}

impl Record {
    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&Value> {
        self.annotations.iter().find(|annotation| annotation.key == key).map(|annotation| &annotation.value)
    }

    /// `namespace/[package/]action`; without the annotation `path`, namespace and name.
    pub fn path(&self) -> String {
        let path = self.annotation("path").and_then(Value::as_str);
        path.map_or_else(|| format!("{}/{}", self.namespace, self.name), str::to_owned)
    }

    /// The runtime kind; `unknown` when the record does not say.
    pub fn kind(&self) -> &str {
        self.annotation("kind").and_then(Value::as_str).unwrap_or("unknown")
    }

    /// Milliseconds of initialisation; 0 when the container was warm.
    pub fn init_ms(&self) -> i64 {
        self.annotation("initTime").and_then(Value::as_f64).map_or(0, |ms| (ms as i64).max(0))
    }

    /// Milliseconds waited; negative when two clocks disagree.
    pub fn wait_ms(&self) -> i64 {
        self.annotation("waitTime").and_then(Value::as_f64).map_or(0, |ms| ms as i64)
    }

    /// The memory limit it ran under, MB.
    pub fn memory_mb(&self) -> Option<u32> {
        let memory = self.annotation("limits")?.get("memory")?.as_f64()?;
        Some(memory as u32)
    }

    /// Milliseconds of the run itself, without the initialisation.
    pub fn execution_ms(&self) -> i64 {
        self.duration.saturating_sub(self.init_ms()).max(0)
    }

    /// How it ended.
    pub fn status(&self) -> Status {
        match (&self.response, self.status_code) {
            (Some(response), _) => Status::from_words(&response.status),
            (None, Some(code)) => Status::from_code(code),
            (None, None) => Status::SystemError,
        }
    }
}

/// Integers written as floats are integers too.
fn whole<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    // Milliseconds since the epoch are exact in a double.
    Ok(number.unwrap_or(0.0) as i64)
}

/// What a namespace may do; what is absent is the system's default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceLimits {
    /// Invocations a minute.
    pub invocations_per_minute: Option<u64>,
    #[serde(default)]
    min_action_memory: Value,
    #[serde(default)]
    max_action_memory: Value,
}

impl NamespaceLimits {
    /// The least and the largest memory an action may have, MB, where the namespace says.
    pub fn action_memory_mb(&self) -> (Option<u32>, Option<u32>) {
        (memory_mb(&self.min_action_memory), memory_mb(&self.max_action_memory))
    }
}

/// `"512 MB"`, or a number of bytes.
fn memory_mb(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => parse_megabytes(text),
        _ => value.as_f64().map(|bytes| (bytes / f64::from(1 << 20)) as u32),
    }
}

/// What the controller's root says.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct System {
    /// `OpenWhisk`.
    #[serde(default)]
    pub description: String,
    /// The system's limits; names differ between versions, see [`Self::limit`].
    #[serde(default)]
    limits: Map<String, Value>,
    /// Families of runtimes, each with its kinds; no stem cells, no black boxes.
    #[serde(default)]
    pub runtimes: BTreeMap<String, Vec<Map<String, Value>>>,
}

impl System {
    /// A limit by its name: `actions_per_minute`, `concurrent_actions`, `max_action_duration` (ms),
    /// `min_action_memory` and `max_action_memory` (bytes), ..
    pub fn limit(&self, name: &str) -> Option<f64> {
        self.limits.get(name)?.as_f64()
    }
}

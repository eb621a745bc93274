//! The actions of a namespace: creating, changing and showing them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Refusal;
use crate::config::{self, Config, Model};

/// An action as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    /// `namespace/[package/]action`.
    pub path: String,
    /// The last part of the version.
    pub version: u32,
    pub exec: Value,
    pub parameters: Value,
    pub annotations: Value,
    pub memory_mb: u32,
    pub timeout_ms: u64,
    pub logs_mb: u32,
    /// On patched platforms only.
    pub cpu: Option<f64>,
    pub model: Model,
    updated_ms: i64,
}

impl Action {
    pub(crate) fn kind(&self) -> &str {
        self.exec.get("kind").and_then(Value::as_str).unwrap_or_default()
    }

    /// For a sequence the paths of its components.
    pub(crate) fn components(&self) -> Option<Vec<String>> {
        let components = self.exec.get("components").filter(|_| self.kind() == "sequence")?.as_array()?;
        Some(components.iter().filter_map(|c| Some(c.as_str()?.trim_start_matches('/').to_owned())).collect())
    }

    pub(crate) fn version_text(&self) -> String {
        format!("0.0.{}", self.version)
    }

    /// The document as a GET shows it.
    pub(crate) fn document(&self, code: bool) -> Value {
        let mut exec = self.exec.clone();
        if let (false, Some(exec)) = (code, exec.as_object_mut()) {
            exec.remove("code");
        }
        let (namespace, name) = self.path.rsplit_once('/').unwrap_or_default();
        let mut limits = json!({"timeout": self.timeout_ms, "memory": self.memory_mb, "logs": self.logs_mb, "concurrency": 1});
        if let Some(cpu) = self.cpu {
            limits["cpu"] = json!(cpu);
        }
        json!({
            "namespace": namespace,
            "name": name,
            "version": self.version_text(),
            "publish": false,
            "exec": exec,
            "parameters": self.parameters,
            "limits": limits,
            "annotations": self.annotations,
            "updated": self.updated_ms,
        })
    }
}

/// All actions, by path.
#[derive(Debug)]
pub(crate) struct Registry {
    actions: BTreeMap<String, Action>,
    memory_mb: (u32, u32),
    cpu_limits: bool,
}

impl Registry {
    pub(crate) fn new(config: &Config, now_ms: i64) -> Self {
        let path = |name: &str| format!("{}/{name}", config.namespace);
        let action = |action: &config::Action| {
            let exec = if action.components.is_empty() {
                json!({"kind": action.kind, "code": format!("code of {}", action.name), "binary": false})
            } else {
                let components = action.components.iter().map(|name| format!("/{}", path(name)));
                json!({"kind": "sequence", "components": components.collect::<Vec<_>>()})
            };
            let action = Action {
                path: path(&action.name),
                version: 1,
                annotations: json!([{"key": "exec", "value": exec["kind"]}]),
                exec,
                parameters: json!([]),
                memory_mb: action.memory_mb,
                timeout_ms: 60_000,
                logs_mb: 10,
                cpu: config.cpu_limits.then_some(1.0),
                model: action.model,
                updated_ms: now_ms,
            };
            (action.path.clone(), action)
        };
        Self {
            actions: config.actions.iter().map(action).collect(),
            memory_mb: config.memory_mb,
            cpu_limits: config.cpu_limits,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Action> {
        self.actions.get(path)
    }

    /// What a list shows: no parameters, and of the code only whether it is binary.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let mut actions: Vec<&Action> = self.actions.values().collect();
        actions.sort_by_key(|action| std::cmp::Reverse(action.updated_ms));
        let row = |action: &Action| {
            let mut row = action.document(false);
            row["exec"] = json!({ "binary": action.exec["binary"] == true });
            if let Some(fields) = row.as_object_mut() {
                fields.remove("parameters");
            }
            row
        };
        actions.into_iter().map(row).collect()
    }

    pub(crate) fn remove(&mut self, path: &str) -> Option<Action> {
        self.actions.remove(path)
    }

    /// Creates an action or changes one; what `body` leaves out of the limits of an existing action keeps its value. The
    /// version of an existing one goes up, whatever `body` says. A new action behaves as the existing one with the same
    /// code, so that a copy of an action behaves as the action.
    pub(crate) fn put(
        &mut self,
        path: &str,
        body: &Value,
        overwrite: bool,
        now_ms: i64,
    ) -> Result<&Action, Refusal> {
        let Some(body) = body.as_object() else {
            return Err(Refusal::new(400, "The request content was malformed: Object expected"));
        };
        let old = self.actions.get(path);
        if old.is_some() && !overwrite {
            return Err(Refusal::new(409, "resource already exists"));
        }
        let mut action = match (old, body.get("exec")) {
            (Some(old), _) => Action { version: old.version + 1, ..old.clone() },
            (None, Some(exec)) => self.fresh(path, exec),
            (None, None) => return Err(Refusal::new(400, "exec undefined")),
        };
        for (field, value) in body {
            match field.as_str() {
                "exec" => action.exec = value.clone(),
                "parameters" => action.parameters = value.clone(),
                "annotations" => action.annotations = value.clone(),
                _ => {}
            }
        }
        if let Some(limits) = body.get("limits").and_then(Value::as_object) {
            self.set_limits(&mut action, limits)?;
        }
        action.updated_ms = now_ms;
        let entry = self.actions.entry(path.to_owned());
        Ok(entry.insert_entry(action).into_mut())
    }

    fn fresh(&self, path: &str, exec: &Value) -> Action {
        let twin = self.actions.values().find(|action| action.exec.get("code") == exec.get("code"));
        Action {
            path: path.to_owned(),
            version: 1,
            exec: exec.clone(),
            parameters: json!([]),
            annotations: json!([]),
            memory_mb: 256,
            timeout_ms: 60_000,
            logs_mb: 10,
            cpu: self.cpu_limits.then_some(1.0),
            model: twin.map(|twin| twin.model).unwrap_or_default(),
            updated_ms: 0,
        }
    }

    fn set_limits(&self, action: &mut Action, limits: &Map<String, Value>) -> Result<(), Refusal> {
        let malformed =
            |what: String| Refusal::new(400, format!("The request content was malformed: {what}"));
        for (name, value) in limits {
            let number = value.as_f64().ok_or_else(|| malformed(format!("limit {name} is not a number")))?;
            let whole = number.fract() == 0.0 && number >= 0.0;
            match name.as_str() {
                "memory" => {
                    let (least, most) = self.memory_mb;
                    if !whole {
                        return Err(malformed("memory limit must be whole number".into()));
                    }
                    if !(f64::from(least)..=f64::from(most)).contains(&number) {
                        return Err(malformed(format!(
                            "memory {number} MB is not within {least} MB and {most} MB"
                        )));
                    }
                    action.memory_mb = number as u32;
                }
                "timeout" if whole && (100.0..=300_000.0).contains(&number) => {
                    action.timeout_ms = number as u64;
                }
                "logs" if whole && number <= 10.0 => action.logs_mb = number as u32,
                "concurrency" if number == 1.0 => {}
                "timeout" | "logs" | "concurrency" => {
                    return Err(malformed(format!("{name} {number} is not within the allowed range")));
                }
                "cpu" if self.cpu_limits => {
                    if !(0.1..=6.0).contains(&number) {
                        return Err(malformed(format!("cpu {number} is not within 0.1 and 6")));
                    }
                    action.cpu = Some(number);
                }
                // Unknown limits are passed over without a word.
                _ => {}
            }
        }
        Ok(())
    }
}

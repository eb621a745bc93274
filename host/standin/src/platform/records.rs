//! Runs that ended, as the REST interface shows them.

use std::collections::{HashMap, VecDeque};

use aquatope_openwhisk::event::Status;
use serde_json::{Value, json};

/// A run that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The invoking namespace.
    pub namespace: String,
    /// `namespace/[package/]action`.
    pub path: String,
    /// The action's version.
    pub version: String,
    /// The runtime kind; empty when a trigger fired: its record has no annotations, and its end is the epoch.
    pub kind: String,
    /// Memory limit, MB.
    pub memory_mb: u32,
    /// Time limit, ms.
    pub timeout_ms: u64,
    /// How it ended.
    pub status: Status,
    /// When the request arrived, milliseconds since the epoch.
    pub arrival_ms: i64,
    /// Begin of the initialisation or run.
    pub start_ms: i64,
    /// End of the run.
    pub end_ms: i64,
    /// Initialisation and run; for a sequence the sum of its parts.
    pub duration_ms: i64,
    /// From arrival to start.
    pub wait_ms: i64,
    /// 0 on a warm container.
    pub init_ms: i64,
    /// The sequence this is a part of.
    pub cause: Option<String>,
    /// The result.
    pub result: Value,
    /// For a sequence the ids of its parts.
    pub logs: Vec<String>,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            id: String::new(),
            namespace: String::new(),
            path: String::new(),
            version: String::new(),
            kind: String::new(),
            memory_mb: 0,
            timeout_ms: 60_000,
            status: Status::Success,
            arrival_ms: 0,
            start_ms: 0,
            end_ms: 0,
            duration_ms: 0,
            wait_ms: 0,
            init_ms: 0,
            cause: None,
            result: Value::Null,
            logs: Vec::new(),
        }
    }
}

impl Run {
    /// The action's name alone.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The record as `GET activations/{id}` shows it.
    pub(crate) fn record(&self) -> Value {
        let mut record = self.row();
        if let Some(duration) = record.get_mut("duration") {
            *duration = json!(self.duration_ms);
        }
        record["logs"] = json!(self.logs);
        record["response"] = self.response();
        if let Some(record) = record.as_object_mut() {
            record.remove("statusCode");
        }
        record
    }

    pub(crate) fn response(&self) -> Value {
        json!({
            "result": self.result,
            "success": self.status == Status::Success,
            "status": self.status.words(),
            "size": self.result.to_string().len(),
        })
    }

    /// A row of the list of activations; its duration is the time between start and end.
    pub(crate) fn row(&self) -> Value {
        let limits =
            json!({"memory": self.memory_mb, "timeout": self.timeout_ms, "logs": 10, "concurrency": 1});
        let mut annotations = vec![
            json!({"key": "path", "value": self.path}),
            json!({"key": "kind", "value": self.kind}),
            json!({"key": "limits", "value": limits}),
            json!({"key": "waitTime", "value": self.wait_ms}),
            json!({"key": "timeout", "value": false}),
        ];
        if self.init_ms > 0 {
            annotations.push(json!({"key": "initTime", "value": self.init_ms}));
        }
        if self.cause.is_some() {
            annotations.push(json!({"key": "causedBy", "value": "sequence"}));
        } else {
            annotations.push(json!({"key": "topmost", "value": true}));
        }
        let mut row = json!({
            "namespace": self.namespace,
            "name": self.name(),
            "version": self.version,
            "subject": self.namespace,
            "activationId": self.id,
            "start": self.start_ms,
            "end": self.end_ms,
            "duration": self.end_ms - self.start_ms,
            "statusCode": self.status.code(),
            "publish": false,
            "annotations": annotations,
        });
        if self.kind.is_empty()
            && let Some(row) = row.as_object_mut()
        {
            row.insert("annotations".into(), json!([]));
            row.remove("duration");
        }
        if let Some(cause) = &self.cause {
            row["cause"] = json!(cause);
        }
        row
    }
}

/// The last runs that ended.
#[derive(Debug)]
pub(crate) struct Records {
    runs: VecDeque<Run>,
    /// By id, the number of the run since the beginning.
    numbers: HashMap<String, u64>,
    /// The number of the first run kept.
    first: u64,
    /// Runs before this number are in the view that lists are read from: it is brought up to date after it is read.
    listed: u64,
    capacity: usize,
}

/// Which rows of a list are asked for.
pub(crate) struct Range<'r> {
    pub since_ms: i64,
    pub upto_ms: i64,
    pub name: Option<&'r str>,
    pub skip: usize,
    pub limit: usize,
}

impl Records {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { runs: VecDeque::new(), numbers: HashMap::new(), first: 0, listed: 0, capacity }
    }

    pub(crate) fn push(&mut self, run: Run) {
        if self.runs.len() == self.capacity
            && let Some(oldest) = self.runs.pop_front()
        {
            self.numbers.remove(&oldest.id);
            self.first += 1;
        }
        self.numbers.insert(run.id.clone(), self.first + self.runs.len() as u64);
        self.runs.push_back(run);
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Run> {
        self.runs.get((self.numbers.get(id)? - self.first) as usize)
    }

    /// The rows asked for, newest start first.
    pub(crate) fn list(&mut self, range: &Range<'_>) -> Vec<&Run> {
        let known = self.listed.saturating_sub(self.first) as usize;
        self.listed = self.first + self.runs.len() as u64;
        let in_range = |run: &&Run| {
            let named =
                range.name.is_none_or(|name| run.path.split_once('/').is_some_and(|(_, path)| path == name));
            named && (range.since_ms..=range.upto_ms).contains(&run.start_ms)
        };
        let mut rows: Vec<&Run> = self.runs.iter().take(known).filter(in_range).collect();
        rows.sort_by(|a, b| b.start_ms.cmp(&a.start_ms).then_with(|| a.id.cmp(&b.id)));
        rows.into_iter().skip(range.skip).take(range.limit).collect()
    }
}

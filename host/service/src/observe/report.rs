//! What the observing part tells the planner, once a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use aquatope_core::activation::FunctionId;
use aquatope_core::time::Minute;
use aquatope_core::window::Window;
use serde::{Deserialize, Serialize};

/// What is known of a function from its events. Means are running ones, over about the last 64 runs of their kind.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct FunctionInfo {
    /// `namespace/[package/]action`, as the events name it.
    pub name: String,
    /// The runtime's kind, such as `python:3`.
    pub kind: String,
    /// The namespace that invoked it first; a shared package's action is invoked from others than its own.
    pub namespace: String,
    /// The action's memory limit, MB; 0: not known.
    pub memory_mb: u32,
    /// The minute its first activation arrived in.
    pub first: Minute,
    /// Runs that found a warm container.
    pub warm_runs: u64,
    /// Runs that did not.
    pub cold_runs: u64,
    /// Mean execution, initialisation excluded, ms.
    pub duration_ms: f64,
    /// Mean wait of warm runs, ms.
    pub wait_ms: f64,
    /// Mean initialisation of cold runs, ms.
    pub init_ms: f64,
    /// Mean of what a cold start costs its caller: initialisation, and the wait beyond that of warm runs, ms.
    pub cold_start_ms: f64,
}

/// Runs of one sequence or composition. They occupied no containers of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct SequenceRuns {
    /// How many ended.
    pub runs: u64,
    /// Those of them that ended with an error.
    pub failed: u64,
}

/// What was asked for in one namespace and minute, of all functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Asked {
    /// Requests that ran.
    pub ran: u64,
    /// Requests that were refused for the namespace's rate.
    pub refused: u64,
}

/// Names of sequences, or of namespaces, that are told apart; further ones count together as [`OTHERS`].
const NAMES: usize = 10_000;

/// No name of OpenWhisk's.
const OTHERS: &str = "(others)";

/// The value of `name`, new if there is none.
pub fn of_name<'a, V: Default>(values: &'a mut BTreeMap<String, V>, name: &str) -> &'a mut V {
    let known = values.contains_key(name) || values.len() < NAMES;
    values.entry((if known { name } else { OTHERS }).to_owned()).or_default()
}

/// What is new, whenever the watermark comes near the end of a minute ([`ahead`](super::ObserverConfig::ahead)).
///
/// After a pause (a backlog, a restart) one report may stand for several minutes: minutes without a window in it were
/// idle, as far as known.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct MinuteReport {
    /// The minute that is about to end, and the last one that anything is told of; the one after it is to be planned. It
    /// may have ended already where events are read late.
    pub minute: Minute,
    /// The first minute that is not final.
    pub open: Minute,
    /// Windows that became final since the last report, by minute, then function; durable; idle ones left out.
    pub finals: Vec<(FunctionId, Window)>,
    /// What is known so far of the minutes `open..=minute`, by function, then minute; idle ones left out. Of `minute`
    /// itself that is the part that has passed; the next report has the whole of it.
    pub provisional: Vec<(FunctionId, Window)>,
    /// Functions that are new or whose description changed since the last report.
    pub functions: Vec<(FunctionId, FunctionInfo)>,
    /// Sequences and compositions that were read of since the last report, by name.
    pub sequences: BTreeMap<String, SequenceRuns>,
    /// Requests that OpenWhisk refused for its rate or concurrency limits and that were read of since the last report, by
    /// namespace. They leave no activation: what was asked for is the activations and these.
    pub throttled: BTreeMap<String, u64>,
    /// The namespaces of which the rate limit refused requests in `minute`, so far.
    pub beyond_rate: BTreeMap<String, Asked>,
    /// The clock minus the watermark: how far the events that were read lie behind.
    pub behind: Duration,
}

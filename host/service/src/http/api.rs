//! The JSON API.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Shared, since_s};
use crate::board::{Function, Shown, Workflow};
use crate::read;
use crate::source::ClusterStatus;
use crate::store::{StoreError, Unreadable};

/// `GET /api/status`: everything but the functions.
pub(super) async fn status(State(shared): State<Shared>) -> Json<Value> {
    let (board, events) = (read(&shared.board), shared.ingest.get());
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_ms": board.started_ms,
        "functions": board.functions().count(),
        "planned": board.planned(),
        "shards_planned": board.planned.len(),
        "model": board.model(),
        "actuator": board.actuator,
        "cluster_failing": events.cluster.as_ref().and_then(ClusterStatus::failing),
        "events": events,
        "behind_s": shared.behind_s(),
        "sequences": board.sequences,
        "throttled": board.throttled,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// Only functions whose name contains this.
    #[serde(default)]
    name: String,
    #[serde(default)]
    skip: usize,
    #[serde(default = "hundred")]
    limit: usize,
}

fn hundred() -> usize {
    100
}

/// Most functions of one answer.
const MOST: usize = 1000;

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    kind: &'a str,
    memory_mb: u32,
    invocations: u64,
    cold_starts: u64,
    duration_ms: f64,
    cold_start_ms: f64,
    target: Option<u32>,
    busy: Option<u32>,
    warm: Option<u32>,
    low: Option<f32>,
    median: Option<f32>,
    high: Option<f32>,
}

impl<'a> Row<'a> {
    fn of(function: &'a Function) -> Self {
        let Function { info, target, .. } = function;
        let quantile = |level| target.map(|target| target.forecast.quantile(level));
        Self {
            name: &info.name,
            kind: &info.kind,
            memory_mb: info.memory_mb,
            invocations: function.invocations,
            cold_starts: function.cold_starts,
            duration_ms: info.duration_ms,
            cold_start_ms: info.cold_start_ms,
            target: target.map(|target| target.containers),
            busy: target.map(|target| target.busy),
            warm: target.map(|target| target.warm),
            low: quantile(0.05),
            median: quantile(0.5),
            high: quantile(0.95),
        }
    }
}

/// `GET /api/functions?name=&skip=&limit=`: by invocations, the busiest first.
pub(super) async fn functions(State(shared): State<Shared>, Query(list): Query<List>) -> Json<Value> {
    let board = read(&shared.board);
    let mut functions: Vec<&Function> =
        board.listed().filter(|function| function.info.name.contains(&list.name)).collect();
    let total = functions.len();
    functions.sort_by(|a, b| b.invocations.cmp(&a.invocations).then_with(|| a.info.name.cmp(&b.info.name)));
    let shown = functions.into_iter().skip(list.skip).take(list.limit.min(MOST));
    Json(json!({ "total": total, "functions": shown.map(Row::of).collect::<Vec<_>>() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    name: String,
}

/// `GET /api/function?name=guest/hello`: its last minutes.
pub(super) async fn function(
    State(shared): State<Shared>,
    Query(one): Query<One>,
) -> Result<Json<Value>, (StatusCode, String)> {
    let board = read(&shared.board);
    let Some(function) = board.functions().find(|function| function.info.name == one.name) else {
        let text = format!("no function {:?} has been seen; GET /api/functions lists them\n", one.name);
        return Err((StatusCode::NOT_FOUND, text));
    };
    let minutes: Vec<Shown> = function.minutes.iter().copied().collect();
    Ok(Json(json!({ "function": Row::of(function), "minutes": minutes })))
}

/// `GET /api/unreadable`: where the messages that were kept aside lie, and why, the last first. Shard 0 keeps them all.
pub(super) async fn unreadable(State(shared): State<Shared>) -> Result<Json<Value>, (StatusCode, String)> {
    let read = move || -> Result<Vec<Unreadable>, StoreError> {
        shared.share.first_store().map_or(Ok(Vec::new()), |store| store.unreadable())
    };
    let kept = tokio::task::spawn_blocking(read).await;
    let kept =
        kept.map_err(|error| error.to_string()).and_then(|kept| kept.map_err(|error| error.to_string()));
    let kept = kept.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))?;
    let row = |message: &Unreadable| {
        let Unreadable { partition, offset, reason, .. } = message;
        json!({ "partition": partition, "offset": offset, "reason": reason })
    };
    Ok(Json(
        json!({ "total": kept.len(), "messages": kept.iter().rev().take(100).map(row).collect::<Vec<_>>() }),
    ))
}

#[derive(Serialize)]
struct Tuned {
    #[serde(flatten)]
    workflow: Workflow,
    /// Whether this instance tunes it.
    here: bool,
    /// Who told of it, if that is another one.
    told: Option<Told>,
}

#[derive(Serialize)]
struct Told {
    /// The instance that tuned it then.
    by: String,
    /// When it told of it, ms since the epoch, by its clock.
    at_ms: u64,
    /// How long ago that was, s: an instance tells every minute while it lives.
    age_s: f64,
}

/// `GET /api/workflows`: all that are tuned, by name. What others tune is as they told it with their last plan.
pub(super) async fn workflows(State(shared): State<Shared>) -> Json<Value> {
    let ours = read(&shared.board).workflows.clone();
    let mut all: BTreeMap<String, Tuned> = BTreeMap::new();
    for (name, shard) in shared.elsewhere.iter().flat_map(|elsewhere| elsewhere.workflows()) {
        let (workflow, told) = match shared.share.told_of(shard, name) {
            Some((workflow, by, at)) => {
                let age_s = since_s(at, shared.clock.now());
                (workflow, Some(Told { by, at_ms: at.0, age_s }))
            }
            None => (Workflow { state: "nobody has told of it yet".into(), ..Workflow::default() }, None),
        };
        all.insert(name.to_owned(), Tuned { workflow, here: false, told });
    }
    let ours = ours.into_iter().map(|(name, workflow)| (name, Tuned { workflow, here: true, told: None }));
    all.extend(ours);
    Json(json!(all))
}

/// `POST /api/workflows/NAME/approve`, with `Authorization: Bearer TOKEN`.
pub(super) async fn approve(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, String) {
    let Some(token) = &shared.token else {
        let text = "approvals are off: set AQUATOPE_HTTP_TOKEN for the service\n";
        return (StatusCode::FORBIDDEN, text.to_owned());
    };
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given.and_then(|value| value.strip_prefix(b"Bearer "));
    if !given.is_some_and(|given| same(given, token.reveal().as_bytes())) {
        return (StatusCode::UNAUTHORIZED, "wrong token\n".to_owned());
    }
    match shared.share.approval(&name) {
        None => match elsewhere(&shared, name.clone()).await {
            Some(text) => (StatusCode::MISDIRECTED_REQUEST, text),
            None => {
                let text = format!("no workflow {name:?} is tuned here; GET /api/workflows lists them\n");
                (StatusCode::NOT_FOUND, text)
            }
        },
        Some(workflow) if workflow.give() => (StatusCode::ACCEPTED, "approved\n".to_owned()),
        // It does not count later: nobody has seen what it would approve of.
        Some(_) => (StatusCode::CONFLICT, format!("workflow {name:?} has nothing to approve of now\n")),
    }
}

/// Who else tunes the workflow `name`, if anybody does.
async fn elsewhere(shared: &Shared, name: String) -> Option<String> {
    let elsewhere = shared.elsewhere.clone()?;
    tokio::task::spawn_blocking(move || elsewhere.who(&name)).await.ok()?
}

/// Equality that takes the same time wherever the texts differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

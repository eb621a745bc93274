//! As much of a platform as several instances talk to: it remembers what it is told, and lists records of runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::load::Run;

/// A controller, a CouchDB and the list of activations, on loopback.
pub(crate) struct Told {
    address: std::net::SocketAddr,
    heard: Shared,
    /// Whether records are listed; until then whoever asks for them waits.
    open: watch::Sender<bool>,
    _runtime: tokio::runtime::Runtime,
}

type Shared = Arc<Mutex<Heard>>;

#[derive(Default)]
struct Heard {
    subjects: Vec<String>,
    runs: Vec<Run>,
    /// The runtimes manifests that were posted.
    manifests: Vec<Value>,
    /// Keep counts, as they were set.
    counts: Vec<(String, u32)>,
}

impl Told {
    pub(crate) fn start(subjects: Vec<String>, runs: Vec<Run>) -> Self {
        let heard: Shared = Arc::new(Mutex::new(Heard { subjects, runs, ..Heard::default() }));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (open, opened) = watch::channel(true);
        let router = Router::new().fallback(answer).with_state((heard.clone(), opened));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, heard, open, _runtime: runtime }
    }

    /// Whether records are listed from now on.
    pub(crate) fn list(&self, open: bool) {
        self.open.send_replace(open);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stem cells of every kind in the manifest that was posted last, in the order of the kinds.
    pub(crate) fn stem_cells(&self) -> Vec<u32> {
        let heard = self.lock();
        let runtimes = heard.manifests.last().and_then(|manifest| manifest["runtimes"].as_object());
        let kinds: BTreeMap<&String, &Value> = runtimes.into_iter().flatten().collect();
        kinds
            .values()
            .map(|kind| kind[0]["stemCells"][0]["initialCount"].as_u64().unwrap_or(0) as u32)
            .collect()
    }

    /// The keep count of every namespace that has one, in the order of the namespaces.
    pub(crate) fn keep_counts(&self) -> Vec<u32> {
        let last: BTreeMap<String, u32> = self.lock().counts.iter().cloned().collect();
        last.into_values().collect()
    }

    /// Calls that changed something since they were forgotten.
    pub(crate) fn count(&self) -> u64 {
        let heard = self.lock();
        (heard.manifests.len() + heard.counts.len()) as u64
    }

    /// Forget them.
    pub(crate) fn clear(&self) {
        let mut heard = self.lock();
        heard.manifests.clear();
        heard.counts.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }
}

async fn answer(
    State((heard, mut open)): State<(Shared, watch::Receiver<bool>)>,
    Query(query): Query<HashMap<String, String>>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path().replace("%2F", "/");
    if path.ends_with("/activations") {
        // An error: the test is over.
        let _ = open.wait_for(|open| *open).await;
    }
    let mut heard = heard.lock().unwrap();
    match (parts.method, path.strip_prefix("/subjects/")) {
        (Method::POST, None) if path == "/config/runtime" => {
            heard.manifests.push(serde_json::from_slice(&body).unwrap());
            StatusCode::ACCEPTED.into_response()
        }
        (Method::GET, Some(subject)) if heard.subjects.iter().any(|known| known == subject) => {
            json!({"_id": subject, "_rev": "1"}).to_string().into_response()
        }
        (Method::PUT, Some(document)) => {
            let namespace = document.strip_suffix("/limits").unwrap();
            let limits: Value = serde_json::from_slice(&body).unwrap();
            let count = limits["warmedContainerKeepingCount"].as_u64().unwrap() as u32;
            heard.counts.push((namespace.to_owned(), count));
            (StatusCode::CREATED, json!({"ok": true}).to_string()).into_response()
        }
        (Method::GET, None) if path.ends_with("/activations") => {
            heard.records(&query).to_string().into_response()
        }
        _ => (StatusCode::NOT_FOUND, json!({"error": "not_found"}).to_string()).into_response(),
    }
}

impl Heard {
    /// A page of records, the newest first.
    fn records(&self, query: &HashMap<String, String>) -> Value {
        let number = |name: &str| query.get(name).map(|text| text.parse::<u64>().unwrap());
        let (since, upto) = (number("since").unwrap_or(0), number("upto").unwrap_or(u64::MAX));
        let mut runs: Vec<&Run> =
            self.runs.iter().filter(|run| (since..=upto).contains(&run.start())).collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.start()));
        let skipped = runs.into_iter().skip(number("skip").unwrap_or(0) as usize);
        skipped.take(number("limit").unwrap_or(30) as usize).map(Run::record).collect()
    }
}

//! The back-end `keep-count` (function-pulling engine): `warmedContainerKeepingCount` in the limits document of a
//! namespace, which says how many idle containers of each of its functions outlive `idle-container`.
//!
//! It keeps what exists and creates nothing, and one number serves all functions of a namespace: the largest target. A
//! namespace per function makes it one per function. The platform caches the document for five minutes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aquatope_openwhisk::subjects::Subjects;
use aquatope_workflow::fault::Fault;

use super::{Applied, Wants, too_soon};
use crate::config::{Config, Secrets};
use crate::platform;

pub(crate) struct KeepCount {
    database: Subjects,
    /// What was set last, by namespace.
    set: BTreeMap<String, Set>,
    min_interval: Duration,
}

#[derive(Clone, Copy)]
struct Set {
    count: u32,
    at: Instant,
    /// Whether nobody else can have changed it.
    known: bool,
}

/// Others may write the document too: what was set is set again after this long.
const REFRESH: Duration = Duration::from_secs(600);

impl KeepCount {
    pub(super) fn new(config: &Config, secrets: &Secrets) -> Result<Self, Fault> {
        let min_interval = Duration::from_secs_f64(config.actuator.min_interval_s);
        Ok(Self { database: platform::subjects(config, secrets)?, set: BTreeMap::new(), min_interval })
    }

    /// A namespace that fails does not keep the others from being set; it is tried again whatever the interval.
    pub(super) async fn apply(&mut self, wants: &Wants) -> Applied {
        let (mut applied, mut failures) = (Applied::default(), Vec::new());
        for (namespace, count) in largest(wants, &self.set) {
            let set = self.set.get(&namespace);
            let known = set.is_some_and(|set| set.known && set.count == count && set.at.elapsed() < REFRESH);
            if known || too_soon(set.map(|set| set.at), self.min_interval) {
                continue;
            }
            match self.database.set_limit(&namespace, "warmedContainerKeepingCount", count).await {
                Ok(true) => {
                    applied.calls += 1;
                    self.set.insert(namespace, Set { count, at: Instant::now(), known: true });
                }
                Ok(false) => applied
                    .remarks
                    .push(format!("CouchDB has no subject {namespace}; its keep count is not set")),
                Err(error) => failures.push(error.to_string()),
            }
        }
        applied.with_failures(&failures)
    }

    pub(super) fn forget(&mut self) {
        self.set.values_mut().for_each(|set| set.known = false);
    }
}

/// The largest target in every invoking namespace; 0 where there was one and is none any more.
fn largest(wants: &Wants, before: &BTreeMap<String, Set>) -> BTreeMap<String, u32> {
    let mut largest: BTreeMap<String, u32> = before.keys().map(|namespace| (namespace.clone(), 0)).collect();
    for function in &wants.functions {
        let most = largest.entry(function.namespace.clone()).or_insert(0);
        *most = function.containers.max(*most);
    }
    largest
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aquatope_openwhisk::credentials::Secret;
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::extract::{Request, State};
    use axum::http::{Method, StatusCode, header};
    use axum::response::{IntoResponse, Response};
    use serde_json::{Value, json};

    use super::*;
    use crate::actuate::Wanted;

    /// As much of CouchDB as is needed: documents with revisions.
    #[derive(Default)]
    struct Couch {
        documents: BTreeMap<String, Value>,
        /// Writers that are quicker than we are.
        rivals: u32,
        /// A document that cannot be written.
        broken: Option<String>,
        puts: Vec<String>,
    }

    impl Couch {
        fn answer(&mut self, method: &Method, id: &str, body: &[u8]) -> Response {
            if *method == Method::GET {
                let missing = || (StatusCode::NOT_FOUND, json!({"error": "not_found"}).to_string());
                let found = self.documents.get(id).map(Value::to_string);
                return found.map_or_else(|| missing().into_response(), IntoResponse::into_response);
            }
            self.puts.push(id.to_owned());
            if self.broken.as_deref() == Some(id) {
                return (StatusCode::INTERNAL_SERVER_ERROR, "{}").into_response();
            }
            let rev = |couch: &Self| {
                couch.documents.get(id).map_or(Value::Null, |document| document["_rev"].clone())
            };
            let mut document: Value = serde_json::from_slice(body).unwrap();
            if self.rivals > 0 {
                self.rivals -= 1;
                let rival = self.documents.entry(id.to_owned()).or_insert_with(|| json!({"_id": id}));
                rival["_rev"] = json!(format!("{}-rival", self.rivals));
            }
            if document["_rev"] != rev(self) {
                return (StatusCode::CONFLICT, json!({"error": "conflict"}).to_string()).into_response();
            }
            document["_rev"] = json!(format!("{}-ours", self.puts.len()));
            self.documents.insert(id.to_owned(), document);
            (StatusCode::CREATED, json!({"ok": true}).to_string()).into_response()
        }

        fn count(&self, namespace: &str) -> &Value {
            &self.documents[&format!("{namespace}/limits")]["warmedContainerKeepingCount"]
        }
    }

    async fn answer(State(couch): State<Arc<Mutex<Couch>>>, request: Request<Body>) -> Response {
        // "us:secret"
        assert_eq!(request.headers()[header::AUTHORIZATION], "Basic dXM6c2VjcmV0");
        let id = request.uri().path().strip_prefix("/subjects/").unwrap().replace("%2F", "/");
        let (method, body) =
            (request.method().clone(), to_bytes(request.into_body(), 1 << 20).await.unwrap());
        couch.lock().unwrap().answer(&method, &id, &body)
    }

    async fn start(min_interval_s: f64, subjects: &[&str]) -> (Arc<Mutex<Couch>>, KeepCount) {
        let subject = |name: &&str| ((*name).to_owned(), json!({"_id": name, "_rev": "1"}));
        let documents = subjects.iter().map(subject).collect();
        let couch = Arc::new(Mutex::new(Couch { documents, ..Couch::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::default();
        config.actuator.couchdb_url = format!("http://{}", listener.local_addr().unwrap());
        config.actuator.subjects_database = "subjects".into();
        config.actuator.min_interval_s = min_interval_s;
        let router = Router::new().fallback(answer).with_state(couch.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let secrets = Secrets { couchdb: Some(Secret::new("us:secret")), ..Secrets::default() };
        (couch, KeepCount::new(&config, &secrets).unwrap())
    }

    fn wants(targets: &[(&str, u32)]) -> Wants {
        let wanted = |&(namespace, containers): &(&str, u32)| Wanted {
            name: format!("{namespace}/f"),
            namespace: namespace.to_owned(),
            kind: "python:3".into(),
            memory_mb: 256,
            containers,
            busy: 0,
            warm: 0,
            cold_start_ms: 0,
        };
        Wants { minute: 1, functions: targets.iter().map(wanted).collect(), share: None }
    }

    #[tokio::test]
    async fn the_largest_target_of_a_namespace_is_set_and_the_rest_of_its_limits_stays() {
        let (couch, mut keep) = start(0.0, &["a", "b"]).await;
        let limits = json!({"_id": "a/limits", "_rev": "7", "invocationsPerMinute": 600});
        couch.lock().unwrap().documents.insert("a/limits".into(), limits);
        // Twice somebody else is quicker.
        couch.lock().unwrap().rivals = 2;
        let applied = keep.apply(&wants(&[("a", 2), ("a", 5), ("b", 1), ("nobody", 3)])).await;
        assert_eq!((applied.calls, applied.failure), (2, None));
        assert_eq!(applied.remarks, ["CouchDB has no subject nobody; its keep count is not set"]);
        {
            let couch = couch.lock().unwrap();
            assert_eq!((couch.count("a"), couch.count("b")), (&json!(5), &json!(1)));
            assert_eq!(couch.documents["a/limits"]["invocationsPerMinute"], 600);
        }
        // What is set is not set again; where no function is left, nothing is kept.
        assert_eq!(keep.apply(&wants(&[("a", 5)])).await.calls, 1);
        assert_eq!(couch.lock().unwrap().count("b"), &json!(0));
        assert_eq!(keep.apply(&wants(&[("a", 5)])).await.calls, 0);
        keep.forget();
        assert_eq!(keep.apply(&wants(&[("a", 5)])).await.calls, 2);
        // Somebody who is always quicker.
        couch.lock().unwrap().rivals = 3;
        let failure = keep.apply(&wants(&[("a", 6)])).await.failure.unwrap();
        assert!(failure.contains("/subjects/a%2Flimits: refused with 409"), "{failure}");
    }

    #[tokio::test]
    async fn a_namespace_that_fails_is_tried_again_and_holds_up_no_other() {
        let (couch, mut keep) = start(3600.0, &["a", "b"]).await;
        couch.lock().unwrap().broken = Some("a/limits".into());
        let both = wants(&[("a", 2), ("b", 3)]);
        for calls in [1, 0] {
            let applied = keep.apply(&both).await;
            assert_eq!(applied.calls, calls);
            assert!(applied.failure.unwrap().contains("/subjects/a%2Flimits: refused with 500"));
        }
        assert_eq!(couch.lock().unwrap().puts, ["a/limits", "b/limits", "a/limits"]);
        couch.lock().unwrap().broken = None;
        let applied = keep.apply(&both).await;
        assert_eq!((applied.calls, applied.failure), (1, None));
        // A change within the interval waits.
        assert_eq!(keep.apply(&wants(&[("a", 4), ("b", 4)])).await, Applied::default());
    }
}

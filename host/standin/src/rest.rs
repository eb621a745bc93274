//! The HTTP side: paths, authentication, statuses. What happens is [`crate::platform::Platform`]'s matter.

use std::time::Duration;

use aquatope_openwhisk::credentials::Credentials;
use aquatope_openwhisk::event::Status;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::config::Engine;
use crate::platform::records::Run;
use crate::platform::{Range, Refusal};
use crate::server::Shared;

/// All that is served.
pub(crate) fn router(shared: Shared) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

/// A request taken apart.
struct Asked {
    method: Method,
    /// Segments of the path, decoded.
    path: Vec<String>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Vec<u8>,
}

type Answer = Result<Response, Refusal>;

async fn answer(State(shared): State<Shared>, request: Request<Body>) -> Response {
    let faults = shared.lock().platform.faults().clone();
    tokio::time::sleep(faults.delay).await;
    if faults.down {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::CONNECTION, "close")]).into_response();
    }
    if faults.errors {
        return refused(Refusal::new(500, "There was an internal server error."));
    }
    let (parts, body) = request.into_parts();
    if let Some(status) = faults.refusal(parts.method.as_str(), &segments(&parts.uri).join("/")) {
        return refused(Refusal::new(status, "It was to be refused."));
    }
    let payload = shared.lock().platform.config().payload;
    let Ok(body) = to_bytes(body, payload).await else {
        return refused(Refusal::new(413, format!("The request entity is larger than {payload} bytes.")));
    };
    let asked = Asked {
        method: parts.method,
        path: segments(&parts.uri),
        query: pairs(parts.uri.query().unwrap_or_default()),
        headers: parts.headers,
        body: body.to_vec(),
    };
    asked.route(&shared).await.unwrap_or_else(refused)
}

impl Asked {
    async fn route(&self, shared: &Shared) -> Answer {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [] => Ok(ok(&system(shared))),
            ["invokers"] => Ok(ok(&invokers(shared))),
            ["config", "runtime"] if self.method == Method::POST => self.post_runtimes(shared),
            [invoker, rest @ ..] if invoker.strip_prefix("invoker").is_some_and(is_number) => {
                self.invoker(shared, invoker, rest)
            }
            ["api", "v1", "namespaces"] if self.method == Method::GET => {
                let config = shared.lock().platform.config().clone();
                self.authorise(&config.subject)?;
                Ok(ok(&json!([config.namespace])))
            }
            ["api", "v1", "namespaces", namespace, rest @ ..] => {
                self.namespace(shared, namespace, rest).await
            }
            _ => Err(missing()),
        }
    }

    async fn namespace(&self, shared: &Shared, namespace: &str, rest: &[&str]) -> Answer {
        let config = shared.lock().platform.config().clone();
        self.authorise(&config.subject)?;
        if namespace != "_" && namespace != config.namespace {
            return Err(Refusal::new(
                403,
                "The supplied authentication is not authorized to access this resource.",
            ));
        }
        match (&self.method, rest) {
            (&Method::GET, ["limits"]) => Ok(ok(&json!({
                "invocationsPerMinute": config.per_minute,
                "concurrentInvocations": config.concurrent,
                "firesPerMinute": config.per_minute,
                "storeActivations": true,
                "minActionMemory": format!("{} MB", config.memory_mb.0),
                "maxActionMemory": format!("{} MB", config.memory_mb.1),
            }))),
            (&Method::GET, ["activations"]) => self.list(shared),
            (&Method::GET, ["activations", id]) => {
                let record = shared.lock().platform.run(id).map(Run::record);
                Ok(ok(&record.ok_or_else(missing)?))
            }
            (&Method::GET, ["actions"]) => {
                let rows = shared.lock().platform.actions();
                let (skip, limit) = (self.number("skip")?.unwrap_or(0), self.limit("actions")?);
                Ok(ok(&rows.into_iter().skip(skip).take(limit).collect::<Value>()))
            }
            (&Method::GET, ["actions", name @ ..]) => {
                let code = self.parameter("code") != Some("false");
                Ok(ok(&shared.lock().platform.action(&name.join("/"), code).ok_or_else(missing)?))
            }
            (&Method::PUT, ["actions", name @ ..]) => {
                let overwrite = self.parameter("overwrite") == Some("true");
                let body = self.json()?;
                Ok(ok(&shared.act(|platform| platform.put_action(&name.join("/"), &body, overwrite))?))
            }
            (&Method::DELETE, ["actions", name @ ..]) => {
                Ok(ok(&shared.act(|platform| platform.delete_action(&name.join("/")))?))
            }
            (&Method::POST, ["actions", name @ ..]) => self.invoke(shared, &name.join("/")).await,
            _ => Err(missing()),
        }
    }

    async fn invoke(&self, shared: &Shared, name: &str) -> Answer {
        let parameters = if self.body.is_empty() { json!({}) } else { self.json()? };
        if !parameters.is_object() {
            return Err(Refusal::new(400, "The request content was malformed: Object expected"));
        }
        let blocking = self.parameter("blocking") == Some("true");
        let timeout_ms: u64 = self.number("timeout")?.unwrap_or(60_000);
        if !(1..=60_000).contains(&timeout_ms) {
            return Err(Refusal::new(400, "The timeout is not within 1 and 60000 milliseconds."));
        }
        let (id, ended) = shared.invoke(name, parameters, blocking)?;
        let accepted = |id: &str| reply(StatusCode::ACCEPTED, &json!({"activationId": id}), id);
        let Some(mut ended) = ended else { return Ok(accepted(&id)) };
        let patience = shared.real(Duration::from_millis(timeout_ms));
        let run = match tokio::time::timeout(patience, &mut ended).await {
            Ok(run) => run.ok(),
            Err(_) => {
                // What ended by now counts, though nobody has looked yet.
                shared.act(|_| ());
                ended.try_recv().ok()
            }
        };
        let Some(run) = run else { return Ok(accepted(&id)) };
        let status = match run.status {
            Status::Success => StatusCode::OK,
            Status::SystemError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_GATEWAY,
        };
        let result_only = self.parameter("result") == Some("true");
        let body = if result_only { run.result.clone() } else { run.record() };
        Ok(reply(status, &body, &id))
    }

    fn list(&self, shared: &Shared) -> Answer {
        let range = Range {
            since_ms: self.number("since")?.unwrap_or(i64::MIN),
            upto_ms: self.number("upto")?.unwrap_or(i64::MAX),
            name: self.parameter("name"),
            skip: self.number("skip")?.unwrap_or(0),
            limit: self.limit("activations")?,
        };
        let mut standin = shared.lock();
        let full = self.parameter("docs") == Some("true");
        let rows = standin.platform.list(&range);
        let rows: Vec<Value> =
            rows.into_iter().map(|run| if full { run.record() } else { run.row() }).collect();
        Ok(ok(&if self.parameter("count") == Some("true") {
            json!({"activations": rows.len()})
        } else {
            json!(rows)
        }))
    }

    /// How many rows of `collection` are asked for.
    fn limit(&self, collection: &str) -> Result<usize, Refusal> {
        match self.number::<usize>("limit")?.unwrap_or(30) {
            0 => Ok(200),
            limit if limit <= 200 => Ok(limit),
            limit => Err(Refusal::new(
                400,
                format!("The value '{limit}' is not in the range of 0 to 200 for {collection}."),
            )),
        }
    }

    fn post_runtimes(&self, shared: &Shared) -> Answer {
        let config = shared.lock().platform.config().clone();
        self.authorise(&config.controller)?;
        let bad = |what: &str| Refusal::new(400, what);
        let (first, last) = match self.parameter("limit") {
            None => (0, usize::MAX),
            Some(range) => {
                // The pattern has one digit for the upper bound.
                let (first, last) =
                    range.split_once(':').filter(|(_, last)| last.len() == 1).ok_or(bad("bad limit"))?;
                let number = |text: &str| text.parse::<usize>().map_err(|_| bad("bad limit"));
                (number(first)?, number(last)?)
            }
        };
        if last < first {
            return Err(bad("end of the limit is less than its begin"));
        }
        let text = String::from_utf8(self.body.clone()).map_err(|_| bad("not UTF-8"))?;
        shared.act(|platform| platform.post_runtimes(&text, first, last))?;
        Ok(StatusCode::ACCEPTED.into_response())
    }

    /// An invoker's own endpoints; all invokers share one port here, and each has its number in the path.
    fn invoker(&self, shared: &Shared, name: &str, rest: &[&str]) -> Answer {
        let standin = shared.lock();
        let config = standin.platform.config();
        self.authorise(&config.invoker)?;
        let invoker = name.trim_start_matches("invoker").parse().unwrap_or(usize::MAX);
        if invoker >= config.invokers_mb.len() || self.method != Method::GET {
            return Err(missing());
        }
        let stems = standin.platform.stem_cells(invoker);
        match (rest, config.engine) {
            (["getRuntime"], _) => {
                let stem =
                    |((kind, memory), number)| json!({"kind": kind, "memory": memory, "number": number});
                Ok(ok(&json!(stems.into_iter().map(stem).collect::<Vec<Value>>())))
            }
            (["pool"], Engine::Push) => Ok("not supported".into_response()),
            (["pool"], Engine::FunctionPulling) => {
                let holders = standin.platform.holders(invoker);
                let pool = |busy: bool| {
                    let holders = holders.iter().filter(|holder| holder.busy == busy);
                    let containers: Vec<Value> = holders
                        .map(|holder| {
                            let action = holder.path.rsplit('/').next();
                            json!({"containerId": "0", "namespace": config.namespace, "action": action, "kind": holder.kind})
                        })
                        .collect();
                    json!({"total": containers.len(), "containers": containers})
                };
                let mut kinds = serde_json::Map::new();
                for ((kind, _), number) in &stems {
                    let before = kinds.get(kind).and_then(Value::as_u64).unwrap_or(0);
                    kinds.insert(kind.clone(), json!(before + u64::from(*number)));
                }
                let idle_stems: u32 = stems.iter().map(|(_, number)| number).sum();
                Ok(ok(&json!({
                    "totalContainers": holders.len() as u32 + idle_stems,
                    "inProgressCount": standin.platform.stem_cells_in_creation(invoker),
                    "prewarmedPool": {"total": idle_stems, "countsByKind": kinds},
                    "busyPool": pool(true),
                    "pausedPool": pool(false),
                })))
            }
            _ => Err(missing()),
        }
    }

    fn authorise(&self, expected: &Credentials) -> Result<(), Refusal> {
        let plain = format!("{}:{}", expected.user, expected.secret.reveal());
        let expected = format!("Basic {}", BASE64.encode(plain));
        let given = self.headers.get(header::AUTHORIZATION);
        if given.is_some_and(|given| given.as_bytes() == expected.as_bytes()) {
            return Ok(());
        }
        Err(Refusal::new(401, "The supplied authentication is invalid."))
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let malformed = |_| Refusal::new(400, format!("The query parameter '{name}' was malformed."));
        self.parameter(name).map(str::parse).transpose().map_err(malformed)
    }

    fn json(&self) -> Result<Value, Refusal> {
        let malformed = |error| Refusal::new(400, format!("The request content was malformed: {error}"));
        serde_json::from_slice(&self.body).map_err(malformed)
    }
}

fn system(shared: &Shared) -> Value {
    let standin = shared.lock();
    let config = standin.platform.config();
    let mut runtimes = serde_json::Map::new();
    for kind in config.manifest.kinds() {
        let family = kind.split(':').next().unwrap_or(kind);
        let kinds = runtimes.entry(family).or_insert_with(|| json!([]));
        if let Some(kinds) = kinds.as_array_mut() {
            kinds.push(json!({"kind": kind, "deprecated": false}));
        }
    }
    let bytes = |mb: u32| u64::from(mb) << 20;
    json!({
        "description": "OpenWhisk",
        "api_paths": ["/api/v1"],
        "limits": {
            "actions_per_minute": config.per_minute,
            "concurrent_actions": config.concurrent,
            "min_action_memory": bytes(config.memory_mb.0),
            "max_action_memory": bytes(config.memory_mb.1),
            "max_action_duration": 300_000,
            "sequence_length": 50,
        },
        "runtimes": runtimes,
    })
}

fn invokers(shared: &Shared) -> Value {
    let invokers = shared.lock().platform.config().invokers_mb.len();
    (0..invokers).map(|i| (format!("invoker{i}"), json!("up"))).collect::<serde_json::Map<_, _>>().into()
}

fn ok(body: &Value) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn reply(status: StatusCode, body: &Value, id: &str) -> Response {
    let headers = [("content-type", "application/json"), ("x-openwhisk-activation-id", id)];
    (status, headers, body.to_string()).into_response()
}

fn refused(refusal: Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"error": refusal.message, "code": "standin"});
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn missing() -> Refusal {
    Refusal::new(404, "The requested resource does not exist.")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn segments(uri: &Uri) -> Vec<String> {
    uri.path().split('/').filter(|segment| !segment.is_empty()).map(decoded).collect()
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(&key.replace('+', " ")), decoded(&value.replace('+', " ")))
        })
        .collect()
}

/// Percent signs resolved; what is not UTF-8 then becomes replacement characters.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escape =
            tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match escape.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

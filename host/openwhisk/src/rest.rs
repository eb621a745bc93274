//! The public REST interface (`/api/v1`, basic authentication with a subject's key).
//!
//! Traps of the interface, where they bite: lists are read from a view that is brought up to date *after* it is read, so
//! the newest rows may be missing ([`Client::activations`]); every PUT of limits bumps the version and so makes every warm
//! container useless ([`Client::put_limits`]); a blocking call that lasts longer than a minute answers with an id only
//! ([`Client::invoke`]).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::credentials::Credentials;
use crate::error::{Cause, RestError};
use crate::http::{Body, Http, Reply, Request};
use crate::records::{Action, Limits, NamespaceLimits, Record, System};

/// The most rows a list has.
pub const PAGE: usize = 200;

/// How to reach a server.
#[derive(Clone, Debug)]
pub struct Transport {
    /// For a whole exchange; a blocking invocation may wait that much longer.
    pub timeout: Duration,
    /// The longest answer read, bytes. Code of actions comes inside of answers.
    pub max_response: usize,
    /// Certificate authorities trusted beside the system's, PEM. Certificates are always verified.
    pub ca_file: Option<PathBuf>,
}

impl Default for Transport {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), max_response: 64 << 20, ca_file: None }
    }
}

/// A client for one namespace. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: Http,
    namespace: String,
}

/// Which activations to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Started at or after this, milliseconds since the epoch.
    pub since_ms: Option<i64>,
    /// Started at or before this.
    pub upto_ms: Option<i64>,
    /// Of this action only, `[package/]action`.
    pub name: Option<String>,
}

/// Whether to wait for the result of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Return as soon as the platform has taken the invocation.
    No,
    /// Wait for the record, at most this long (the platform allows 1 ms to 60 s).
    UpTo(Duration),
}

/// What became of an invocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Invoked {
    /// 202: taken, and runs or will run. Also after [`Wait::UpTo`], when the run takes longer; ask for the record later.
    Accepted {
        /// The activation.
        id: String,
    },
    /// It ran; [`Record::status`] says whether it succeeded (200) or failed (502; 500 when the platform is to blame).
    Finished(Box<Record>),
}

impl Client {
    /// A client of the platform at `base` (`https://host[:port]`) for `namespace` (`_` for the credentials' own).
    pub fn new(
        base: &str,
        namespace: &str,
        credentials: Credentials,
        transport: &Transport,
    ) -> Result<Self, RestError> {
        Ok(Self { http: Http::new(base, credentials, transport)?, namespace: namespace.to_owned() })
    }

    /// A client for another namespace of the same platform, with the same credentials.
    pub fn with_namespace(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    /// The first page ([`PAGE`] rows) of the activations selected, newest first, without results and logs.
    ///
    /// Rows of the last seconds may be missing: the platform reads a view that is brought up to date after it is read.
    pub async fn activations(&self, selection: &Selection) -> Result<Vec<Record>, RestError> {
        self.page(selection, 0).await
    }

    /// All activations selected, page by page.
    pub fn pages(&self, selection: Selection) -> Pages<'_> {
        Pages { client: self, selection, skip: 0, newest: HashSet::new(), done: false }
    }

    async fn page(&self, selection: &Selection, skip: usize) -> Result<Vec<Record>, RestError> {
        let mut query = vec![("limit", PAGE.to_string()), ("skip", skip.to_string())];
        query.extend(selection.since_ms.map(|ms| ("since", ms.to_string())));
        query.extend(selection.upto_ms.map(|ms| ("upto", ms.to_string())));
        query.extend(selection.name.clone().map(|name| ("name", name)));
        self.get(&["activations"], &query).await?.json()
    }

    /// The record of an activation; nothing when there is none, or not yet: records are stored a while after the run.
    pub async fn activation(&self, id: &str) -> Result<Option<Record>, RestError> {
        self.get(&["activations", id], &[]).await?.json_if_found()
    }

    /// An action (`[package/]action`), with its code or without; nothing when there is none.
    pub async fn action(&self, name: &str, code: bool) -> Result<Option<Action>, RestError> {
        self.get(&path("actions", name), &[("code", code.to_string())]).await?.json_if_found()
    }

    /// The names (`[package/]action`) of all actions of the namespace. While any is made or deleted, any may be missing: pages
    /// begin at a number of rows.
    pub async fn action_names(&self) -> Result<BTreeSet<String>, RestError> {
        #[derive(Deserialize)]
        struct Row {
            namespace: String,
            name: String,
        }
        let (mut names, mut read) = (BTreeSet::new(), 0);
        loop {
            let query = [("limit", PAGE.to_string()), ("skip", read.to_string())];
            let rows: Vec<Row> = self.get(&["actions"], &query).await?.json()?;
            read += rows.len();
            let (is_last, known) = (rows.len() < PAGE, names.len());
            names.extend(rows.into_iter().map(|Row { namespace, name }| match namespace.split_once('/') {
                Some((_, package)) => format!("{package}/{name}"),
                None => name,
            }));
            // A proxy that passes no query on answers the same page again and again.
            if is_last || names.len() == known {
                return Ok(names);
            }
        }
    }

    /// Changes limits of an existing action. What `limits` leaves out keeps its value.
    ///
    /// The platform bumps the action's version, whatever changed: **every warm container of the action is lost**, and with
    /// the function-pulling engine its queue is drained. Memory must lie within the platform's bounds.
    pub async fn put_limits(&self, name: &str, limits: &Limits) -> Result<Action, RestError> {
        self.put(name, json!({ "limits": limits }), true).await
    }

    /// Creates an action, or replaces it when `overwrite`, with code, kind, parameters, annotations and limits of `action`
    /// (its name and version do not count).
    pub async fn put_action(
        &self,
        name: &str,
        action: &Action,
        overwrite: bool,
    ) -> Result<Action, RestError> {
        let Action { exec, parameters, limits, annotations, .. } = action;
        let body = json!({
            "exec": exec,
            "parameters": list_or_empty(parameters),
            "limits": limits,
            "annotations": list_or_empty(annotations),
        });
        self.put(name, body, overwrite).await
    }

    async fn put(&self, name: &str, body: Value, overwrite: bool) -> Result<Action, RestError> {
        let query = [("overwrite", overwrite.to_string())];
        let request = Request { query: &query, body: Some(Body::Json(body)), ..Request::default() };
        self.send(Method::PUT, &path("actions", name), request).await?.json()
    }

    /// Deletes an action; false when there was none.
    pub async fn delete_action(&self, name: &str) -> Result<bool, RestError> {
        let reply = self.send(Method::DELETE, &path("actions", name), Request::default()).await?;
        Ok(reply.json_if_found::<Value>()?.is_some())
    }

    /// Invokes an action with `parameters` (an object).
    pub async fn invoke(&self, name: &str, parameters: &Value, wait: Wait) -> Result<Invoked, RestError> {
        let mut query = vec![("blocking", (wait != Wait::No).to_string())];
        let mut patience = Duration::ZERO;
        if let Wait::UpTo(time) = wait {
            patience = time.clamp(Duration::from_millis(1), Duration::from_secs(60));
            query.push(("timeout", patience.as_millis().to_string()));
        }
        let body = Some(Body::Json(parameters.clone()));
        let request = Request { query: &query, body, patience, ..Request::default() };
        invoked(self.send(Method::POST, &path("actions", name), request).await?)
    }

    /// The namespaces the credentials are for; `_` stands for the first.
    pub async fn namespaces(&self) -> Result<Vec<String>, RestError> {
        let path = ["api", "v1", "namespaces"];
        self.http.send(Method::GET, Request { path: &path, ..Request::default() }).await?.json()
    }

    /// What the namespace may do.
    pub async fn limits(&self) -> Result<NamespaceLimits, RestError> {
        self.get(&["limits"], &[]).await?.json()
    }

    /// What the platform says of itself (the controller's root; gateways in front of it may not pass it on).
    pub async fn system(&self) -> Result<System, RestError> {
        self.http.send(Method::GET, Request::default()).await?.json()
    }

    /// The invokers and their states (`up`, `down`, `unhealthy`, `unresponsive`). Answered on the controller's own port.
    pub async fn invokers(&self) -> Result<BTreeMap<String, String>, RestError> {
        self.http.send(Method::GET, Request { path: &["invokers"], ..Request::default() }).await?.json()
    }

    async fn get(&self, below: &[&str], query: &[(&str, String)]) -> Result<Reply, RestError> {
        self.send(Method::GET, below, Request { query, ..Request::default() }).await
    }

    /// A call below the namespace.
    async fn send(&self, method: Method, below: &[&str], request: Request<'_>) -> Result<Reply, RestError> {
        let path = [&["api", "v1", "namespaces", self.namespace.as_str()], below].concat();
        self.http.send(method, Request { path: &path, ..request }).await
    }
}

/// Activations page by page, newest first, each once. See [`Client::pages`].
///
/// Goes back in time by the oldest start seen, not by a count of rows: new activations do not shift what is still to come.
#[derive(Debug)]
pub struct Pages<'c> {
    client: &'c Client,
    selection: Selection,
    /// Rows to pass over, when a whole page started in one millisecond.
    skip: usize,
    /// The rows of the last page that the next one, which ends at the same millisecond, has again.
    newest: HashSet<String>,
    done: bool,
}

impl Pages<'_> {
    /// The next rows; empty at the end.
    pub async fn next(&mut self) -> Result<Vec<Record>, RestError> {
        while !self.done {
            let mut rows = self.client.page(&self.selection, self.skip).await?;
            self.done = rows.len() < PAGE;
            let oldest = rows.iter().map(|row| row.start).min();
            if oldest == self.selection.upto_ms {
                self.skip += rows.len();
            } else {
                self.skip = 0;
            }
            let known = std::mem::take(&mut self.newest);
            let at_oldest = rows.iter().filter(|row| Some(row.start) == oldest);
            self.newest = at_oldest.map(|row| row.activation_id.clone()).collect();
            rows.retain(|row| !known.contains(&row.activation_id));
            if oldest.is_some() && oldest == self.selection.upto_ms {
                self.newest.extend(known);
            }
            self.selection.upto_ms = oldest;
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    }
}

/// What an answer to an invocation means.
fn invoked(reply: Reply) -> Result<Invoked, RestError> {
    let unexpected = |at: &str, why: String| RestError { at: at.to_owned(), cause: Cause::Unexpected(why) };
    match reply.status {
        200 => {
            let record = serde_json::from_slice(&reply.body)
                .map_err(|error| unexpected(&reply.at, error.to_string()))?;
            Ok(Invoked::Finished(record))
        }
        202 => {
            let answer: Value = serde_json::from_slice(&reply.body)
                .map_err(|error| unexpected(&reply.at, error.to_string()))?;
            let id = answer.get("activationId").and_then(Value::as_str);
            let id = id.ok_or_else(|| unexpected(&reply.at, "`activationId` is missing".into()))?;
            Ok(Invoked::Accepted { id: id.to_owned() })
        }
        // An action, or the platform while it ran one, failed; a proxy's 502 and a controller's 500 have no record in them.
        500 | 502 => match serde_json::from_slice(&reply.body) {
            Ok(record) => Ok(Invoked::Finished(record)),
            Err(_) => Err(reply.refusal()),
        },
        _ => Err(reply.refusal()),
    }
}

/// The segments of `[package/]action` below `collection`.
fn path<'n>(collection: &'n str, name: &'n str) -> Vec<&'n str> {
    std::iter::once(collection).chain(name.split('/')).collect()
}

/// The platform refuses null where it expects a list.
fn list_or_empty(value: &Value) -> Value {
    if value.is_array() { value.clone() } else { json!([]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { at: "POST http://localhost/a".into(), status, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn an_accepted_invocation_has_an_id() {
        let accepted = invoked(reply(202, r#"{"activationId":"0f"}"#)).unwrap();
        assert_eq!(accepted, Invoked::Accepted { id: "0f".into() });
        let error = invoked(reply(202, "{}")).unwrap_err();
        assert!(matches!(error.cause, Cause::Unexpected(_)));
    }

    #[test]
    fn a_failed_action_is_a_record_and_a_failed_gateway_is_not() {
        let body = r#"{"activationId":"0f","name":"a","start":1,"response":{"status":"application error"}}"#;
        let Invoked::Finished(record) = invoked(reply(502, body)).unwrap() else { panic!("a record") };
        assert_eq!(record.status(), crate::event::Status::ApplicationError);
        assert!(matches!(invoked(reply(500, body)).unwrap(), Invoked::Finished(_)));
        assert!(invoked(reply(500, r#"{"error":"Internal","code":"x"}"#)).unwrap_err().is_transient());
        let error = invoked(reply(502, "<html>Bad Gateway</html>")).unwrap_err();
        assert!(error.is_transient());
        assert_eq!(
            error.to_string(),
            "POST http://localhost/a: refused with 502: <html>Bad Gateway</html>; check the controller's log"
        );
    }

    #[test]
    fn refusals_have_their_own_types() {
        let message =
            r#"{"error":"Too many requests in the last minute (count: 61, allowed: 60).","code":"x"}"#;
        let error = invoked(reply(429, message)).unwrap_err();
        assert!(error.is_throttled() && error.is_beyond_rate() && error.is_transient());
        assert!(error.to_string().contains("count: 61, allowed: 60"));
        for other in
            ["Too many concurrent requests in flight (count: 31, allowed: 30).", "Too many requests", ""]
        {
            let error = invoked(reply(429, &json!({ "error": other }).to_string())).unwrap_err();
            assert!(error.is_throttled() && !error.is_beyond_rate(), "{other}");
        }
        assert!(matches!(invoked(reply(413, "{}")).unwrap_err().cause, Cause::TooLarge(_)));
        assert!(matches!(invoked(reply(401, "")).unwrap_err().cause, Cause::Unauthorized));
        assert!(!invoked(reply(400, "{}")).unwrap_err().is_transient());
    }
}

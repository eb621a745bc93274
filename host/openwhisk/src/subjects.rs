//! The limits documents of subjects, in CouchDB: there is no REST call for them. Everything else is read and changed
//! through [`crate::rest`]: the platform caches what CouchDB has.

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::credentials::Credentials;
use crate::error::{Cause, RestError};
use crate::http::{Body, Http, Request};
use crate::rest::Transport;

/// Somebody else may write a document at the same time; then it is read again, this often.
const ATTEMPTS: usize = 3;

/// A database of subjects.
#[derive(Clone, Debug)]
pub struct Subjects {
    http: Http,
    database: String,
}

impl Subjects {
    /// `database` of the CouchDB at `base`.
    pub fn new(
        base: &str,
        database: &str,
        credentials: Credentials,
        transport: &Transport,
    ) -> Result<Self, RestError> {
        Ok(Self { http: Http::new(base, credentials, transport)?, database: database.to_owned() })
    }

    /// Sets `key` in the limits of `namespace`; everything else in the document stays. False when there is no such subject.
    /// The platform notices within five minutes.
    pub async fn set_limit(&self, namespace: &str, key: &str, value: u32) -> Result<bool, RestError> {
        // A subject of the same name as the namespace, as OpenWhisk's own tools make them.
        if self.document(namespace).await?.is_none() {
            return Ok(false);
        }
        let id = format!("{namespace}/limits");
        let mut attempts = 1;
        loop {
            let mut document = self.document(&id).await?.unwrap_or_default();
            document.insert("_id".into(), json!(id));
            document.insert(key.into(), json!(value));
            match self.put(&id, document).await {
                Err(error) if matches!(error.cause, Cause::Conflict(_)) && attempts < ATTEMPTS => {
                    attempts += 1;
                }
                answer => return answer.map(|()| true),
            }
        }
    }

    async fn document(&self, id: &str) -> Result<Option<Map<String, Value>>, RestError> {
        let request = Request { path: &[&self.database, id], ..Request::default() };
        self.http.send(Method::GET, request).await?.json_if_found()
    }

    async fn put(&self, id: &str, document: Map<String, Value>) -> Result<(), RestError> {
        let body = Some(Body::Json(document.into()));
        let request = Request { path: &[&self.database, id], body, ..Request::default() };
        self.http.send(Method::PUT, request).await?.json::<Value>().map(|_| ())
    }
}

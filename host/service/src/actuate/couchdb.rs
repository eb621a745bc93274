//! The limits documents of subjects, in CouchDB: there is no REST call for them.

use std::time::Duration;

use aquatope_openwhisk::credentials::Credentials;
use aquatope_workflow::fault::Fault;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::{Map, Value, json};

use crate::config::{Config, Secrets};
use crate::platform;

/// Somebody else may write a document at the same time; then it is read again, this often.
const ATTEMPTS: usize = 3;
/// The longest answer read, bytes.
const ANSWER: usize = 1 << 20;

pub(super) struct CouchDb {
    http: Client,
    database: Url,
    credentials: Credentials,
}

impl CouchDb {
    pub(super) fn new(config: &Config, secrets: &Secrets) -> Result<Self, Fault> {
        let actuator = &config.actuator;
        let wrong = |error: &dyn std::fmt::Display| {
            platform::fault("actuator.couchdb_url", error, "set an address such as https://couchdb:6984")
        };
        let mut database = Url::parse(&actuator.couchdb_url).map_err(|error| wrong(&error))?;
        if !database.username().is_empty() || database.password().is_some() {
            let mend = "take the password out of the address and set AQUATOPE_COUCHDB_AUTH=user:password";
            return Err(platform::fault("actuator.couchdb_url", "holds credentials", mend));
        }
        database
            .path_segments_mut()
            .map_err(|()| wrong(&"not an address of a server"))?
            .pop_if_empty()
            .push(&actuator.subjects_database);
        let mut http = Client::builder()
            .timeout(Duration::from_secs_f64(config.openwhisk.timeout_s))
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &config.openwhisk.ca_file {
            let at = format!("openwhisk.ca_file = {}", path.display());
            let mend = "name a PEM file";
            let pem = std::fs::read(path).map_err(|error| platform::fault(&at, error, mend))?;
            let certificate =
                reqwest::Certificate::from_pem(&pem).map_err(|error| platform::fault(&at, error, mend))?;
            http = http.add_root_certificate(certificate);
        }
        let http = http.build().map_err(|error| wrong(&error))?;
        let credentials = platform::credentials(
            secrets.couchdb.as_ref(),
            "AQUATOPE_COUCHDB_AUTH",
            "actuator.couchdb_auth_file",
        )?;
        Ok(Self { http, database, credentials })
    }

    /// Set `key` in the limits of `namespace`; everything else in the document stays. False when there is no such subject.
    pub(super) async fn set_limit(&self, namespace: &str, key: &str, value: u32) -> Result<bool, String> {
        // A subject of the same name as the namespace, as OpenWhisk's own tools make them.
        if self.document(namespace).await?.is_none() {
            return Ok(false);
        }
        let id = format!("{namespace}/limits");
        for _ in 0..ATTEMPTS {
            let mut document = self.document(&id).await?.unwrap_or_default();
            document.insert("_id".into(), json!(id));
            document.insert(key.into(), json!(value));
            let response = self.send(self.http.put(self.url(&id)).json(&document)).await?;
            match response.status() {
                StatusCode::CONFLICT => {}
                status if status.is_success() => return Ok(true),
                status => return Err(self.refused(&id, status)),
            }
        }
        Err(format!("{}: somebody else keeps changing it", self.url(&id)))
    }

    async fn document(&self, id: &str) -> Result<Option<Map<String, Value>>, String> {
        let response = self.send(self.http.get(self.url(id))).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => self.json(id, response).await.map(Some),
            status => Err(self.refused(id, status)),
        }
    }

    async fn json(&self, id: &str, mut response: Response) -> Result<Map<String, Value>, String> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER {
                return Err(format!("{}: the answer is longer than {ANSWER} bytes", self.url(id)));
            }
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| format!("{}: not a document of CouchDB: {error}", self.url(id)))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, String> {
        let request = request.basic_auth(&self.credentials.user, Some(self.credentials.secret.reveal()));
        request.send().await.map_err(|error| format!("CouchDB: {error}; check actuator.couchdb_url"))
    }

    fn url(&self, id: &str) -> Url {
        let mut url = self.database.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(id);
        }
        url
    }

    fn refused(&self, id: &str, status: StatusCode) -> String {
        let mend = if status == StatusCode::UNAUTHORIZED {
            "check AQUATOPE_COUCHDB_AUTH"
        } else {
            "see CouchDB's log"
        };
        format!("{}: {status}; {mend}", self.url(id))
    }
}

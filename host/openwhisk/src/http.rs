//! One HTTP exchange: authenticated, bounded in time and size, errors without secrets.

use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Method, Url, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::credentials::Credentials;
use crate::error::{Cause, RestError};
use crate::rest::Transport;

/// A server and how to speak to it.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    base: Url,
    credentials: Credentials,
    timeout: Duration,
    max_response: usize,
}

/// What to ask.
#[derive(Default)]
pub(crate) struct Request<'r> {
    /// Path segments below the base address, not yet encoded.
    pub path: &'r [&'r str],
    pub query: &'r [(&'r str, String)],
    pub body: Option<Body>,
    /// Added to the usual time limit.
    pub patience: Duration,
}

pub(crate) enum Body {
    Json(Value),
    Text(String),
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Method and address, for errors.
    pub at: String,
    pub status: u16,
    pub body: Vec<u8>,
}

impl Http {
    pub(crate) fn new(
        base: &str,
        credentials: Credentials,
        transport: &Transport,
    ) -> Result<Self, RestError> {
        let base = checked_base(base)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("aquatope/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(transport.timeout.min(Duration::from_secs(10)))
            // A redirect would send the credentials somewhere else.
            .redirect(redirect::Policy::none());
        if let Some(path) = &transport.ca_file {
            builder = builder.tls_certs_merge(certificates(path)?);
        }
        let client = builder.build().map_err(|error| {
            RestError::setup(base.as_str(), reason(error), "check the system's TLS library")
        })?;
        Ok(Self {
            client,
            base,
            credentials,
            timeout: transport.timeout,
            max_response: transport.max_response,
        })
    }

    pub(crate) async fn send(&self, method: Method, request: Request<'_>) -> Result<Reply, RestError> {
        let url = self.address(request.path)?;
        let at = format!("{method} {url}");
        let fail = |cause| RestError { at: at.clone(), cause };
        let mut builder = self
            .client
            .request(method, url)
            .query(request.query)
            .basic_auth(&self.credentials.user, Some(self.credentials.secret.reveal()))
            .timeout(self.timeout + request.patience);
        builder = match request.body {
            Some(Body::Json(value)) => builder.json(&value),
            Some(Body::Text(text)) => builder.body(text),
            None => builder,
        };
        let mut response = builder.send().await.map_err(|error| fail(cause_of(error)))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| fail(cause_of(error)))? {
            if body.len() + chunk.len() > self.max_response {
                return Err(fail(Cause::Oversize(self.max_response)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { at, status, body })
    }

    fn address(&self, path: &[&str]) -> Result<Url, RestError> {
        let mut url = self.base.clone();
        // An URL drops the segments . and .., and an empty one changes what is asked for.
        if let Some(segment) = path.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            return Err(RestError::setup(
                url,
                format!("{segment:?} is not a name"),
                "check the names of actions and packages",
            ));
        }
        // checked_base refused addresses that cannot have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Ok(url)
    }
}

impl Reply {
    /// The answer as JSON when its status is 2xx.
    pub(crate) fn json<T: DeserializeOwned>(self) -> Result<T, RestError> {
        if !(200..300).contains(&self.status) {
            return Err(self.refusal());
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| RestError { at: self.at, cause: Cause::Unexpected(error.to_string()) })
    }

    /// As [`Self::json`], but nothing when the answer is 404.
    pub(crate) fn json_if_found<T: DeserializeOwned>(self) -> Result<Option<T>, RestError> {
        match self.json() {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The error an answer that is not 2xx stands for.
    pub(crate) fn refusal(self) -> RestError {
        let message = self.message();
        let cause = match self.status {
            401 => Cause::Unauthorized,
            403 => Cause::Forbidden(message),
            404 => Cause::NotFound(message),
            409 => Cause::Conflict(message),
            413 => Cause::TooLarge(message),
            429 => Cause::Throttled(message),
            status => Cause::Refused { status, message },
        };
        RestError { at: self.at, cause }
    }

    /// What the platform says: the member `error`, or the begin of the text.
    fn message(&self) -> String {
        let json = serde_json::from_slice::<Value>(&self.body).ok();
        let said = json.as_ref().and_then(|value| value.get("error")?.as_str().map(str::to_owned));
        let said = said.unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned());
        // One line of a log; enough for every message of OpenWhisk.
        said.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

fn checked_base(base: &str) -> Result<Url, RestError> {
    // The text itself is not repeated: it may hold a password.
    let wrong =
        |what: String| RestError::setup("the address of OpenWhisk", what, "write it as https://host[:port]");
    let url = Url::parse(base).map_err(|error| wrong(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it holds credentials".into()));
    }
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it is not a plain http or https address".into()));
    }
    Ok(url)
}

/// All certificates of a PEM file.
fn certificates(path: &Path) -> Result<Vec<Certificate>, RestError> {
    const END: &str = "-----END CERTIFICATE-----";
    let text =
        std::fs::read_to_string(path).map_err(|error| RestError::unreadable_file(path.into(), &error))?;
    let certificates: Result<Vec<_>, _> = text
        .split_inclusive(END)
        .filter(|block| block.trim_end().ends_with(END))
        .map(|block| Certificate::from_pem(block.as_bytes()))
        .collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(RestError::unreadable_file(path.into(), &"no certificate in it")),
        Err(error) => Err(RestError::unreadable_file(path.into(), &reason(error))),
    }
}

fn cause_of(error: reqwest::Error) -> Cause {
    if error.is_timeout() { Cause::TimedOut } else { Cause::Unreachable(reason(error)) }
}

/// The whole chain of reasons; the address is named elsewhere.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

//! Clients of the platform, from the configuration.

use std::time::Duration;

use aquatope_openwhisk::controller::Controller;
use aquatope_openwhisk::credentials::Credentials;
use aquatope_openwhisk::invoker::Invoker;
use aquatope_openwhisk::rest::{Client, Transport};
use aquatope_openwhisk::subjects::Subjects;
use aquatope_workflow::fault::Fault;

use crate::config::secrets::{CONTROLLER, COUCHDB, INVOKER, Named, OPENWHISK};
use crate::config::{Config, Secrets};

pub(crate) fn fault(at: &str, what: impl ToString, mend: impl Into<String>) -> Fault {
    Fault { at: at.to_owned(), what: what.to_string(), mend: mend.into() }
}

/// A client of the REST API for `namespace`.
pub(crate) fn client(config: &Config, secrets: &Secrets, namespace: &str) -> Result<Client, Fault> {
    let url = address(&config.openwhisk.url, "openwhisk.url")?;
    let credentials = credentials(secrets, &OPENWHISK)?;
    Client::new(url, namespace, credentials, &transport(config))
        .map_err(|error| setup("openwhisk.url", &error))
}

/// A client of a controller's own port, for what needs no credentials there.
pub(crate) fn controller_client(config: &Config, secrets: &Secrets) -> Result<Client, Fault> {
    let url = controller_url(config)?;
    let credentials = credentials(secrets, &OPENWHISK)?;
    Client::new(url, "_", credentials, &transport(config))
        .map_err(|error| setup("openwhisk.controller_url", &error))
}

/// The endpoint of pull request 4790.
pub(crate) fn controller(config: &Config, secrets: &Secrets) -> Result<Controller, Fault> {
    let credentials = credentials(secrets, &CONTROLLER)?;
    Controller::new(controller_url(config)?, credentials, &transport(config))
        .map_err(|error| setup("openwhisk.controller_url", &error))
}

/// The subjects in CouchDB.
pub(crate) fn subjects(config: &Config, secrets: &Secrets) -> Result<Subjects, Fault> {
    let actuator = &config.actuator;
    let credentials = credentials(secrets, &COUCHDB)?;
    Subjects::new(&actuator.couchdb_url, &actuator.subjects_database, credentials, &transport(config))
        .map_err(|error| setup("actuator.couchdb_url", &error))
}

/// The invokers' own servers.
pub(crate) fn invokers(config: &Config, secrets: &Secrets) -> Result<Vec<(String, Invoker)>, Fault> {
    let urls = &config.openwhisk.invoker_urls;
    if urls.is_empty() {
        return Ok(Vec::new());
    }
    let credentials = credentials(secrets, &INVOKER)?;
    urls.iter()
        .map(|url| {
            Invoker::new(url, credentials.clone(), &transport(config))
                .map(|invoker| (url.clone(), invoker))
                .map_err(|error| setup("openwhisk.invoker_urls", &error))
        })
        .collect()
}

/// `user:password` out of a secret.
pub(crate) fn credentials(secrets: &Secrets, named: &Named) -> Result<Credentials, Fault> {
    let Named { variable, key, .. } = named;
    let Some(secret) = named.of(secrets) else {
        return Err(fault(key, "missing", format!("set {variable} or name a file here")));
    };
    Credentials::parse(secret.reveal())
        .map_err(|error| fault(variable, error, format!("check it, or the file of {key}")))
}

pub(crate) fn transport(config: &Config) -> Transport {
    let timeout = Duration::from_secs_f64(config.openwhisk.timeout_s);
    Transport { timeout, ca_file: config.openwhisk.ca_file.clone(), ..Transport::default() }
}

fn controller_url(config: &Config) -> Result<&str, Fault> {
    match config.openwhisk.controller_url.as_str() {
        "" => address(&config.openwhisk.url, "openwhisk.controller_url"),
        url => Ok(url),
    }
}

fn address<'c>(url: &'c str, key: &str) -> Result<&'c str, Fault> {
    if url.is_empty() {
        Err(fault(key, "missing", "set the address of the platform, such as https://host"))
    } else {
        Ok(url)
    }
}

fn setup(key: &str, error: &aquatope_openwhisk::error::RestError) -> Fault {
    fault(key, error, "correct it in the configuration")
}

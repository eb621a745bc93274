//! The secrets: read once, from the environment or from files, and never printed.

use std::path::Path;

use aquatope_openwhisk::credentials::Secret;
use aquatope_workflow::fault::Fault;

use super::Config;
use crate::platform::fault;

/// What authenticates us; each is `user:password` but for Kafka's password and our own token.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// `AQUATOPE_OPENWHISK_AUTH`
    pub openwhisk: Option<Secret>,
    /// `AQUATOPE_CONTROLLER_AUTH`
    pub controller: Option<Secret>,
    /// `AQUATOPE_INVOKER_AUTH`
    pub invoker: Option<Secret>,
    /// `AQUATOPE_COUCHDB_AUTH`
    pub couchdb: Option<Secret>,
    /// `AQUATOPE_KAFKA_PASSWORD`
    pub kafka: Option<Secret>,
    /// `AQUATOPE_HTTP_TOKEN`
    pub http: Option<Secret>,
}

impl Secrets {
    /// Take the secrets out of the variables; what is left overrides keys.
    pub(super) fn split(environment: Vec<(String, String)>) -> (Self, Vec<(String, String)>) {
        let mut secrets = Self::default();
        let mut rest = Vec::new();
        for (name, value) in environment {
            let place = match name.as_str() {
                "AQUATOPE_OPENWHISK_AUTH" => &mut secrets.openwhisk,
                "AQUATOPE_CONTROLLER_AUTH" => &mut secrets.controller,
                "AQUATOPE_INVOKER_AUTH" => &mut secrets.invoker,
                "AQUATOPE_COUCHDB_AUTH" => &mut secrets.couchdb,
                "AQUATOPE_KAFKA_PASSWORD" => &mut secrets.kafka,
                "AQUATOPE_HTTP_TOKEN" => &mut secrets.http,
                _ => {
                    rest.push((name, value));
                    continue;
                }
            };
            // An empty variable is as one that is not set: its file counts.
            *place = Some(value.trim()).filter(|secret| !secret.is_empty()).map(Secret::new);
        }
        (secrets, rest)
    }

    /// Read the files of the secrets that the environment does not give; and what is wrong with them, or with certificates.
    pub(super) fn with_files(mut self, config: &Config) -> (Self, Vec<Fault>) {
        let mut faults = Vec::new();
        let secrets = [
            &mut self.openwhisk,
            &mut self.controller,
            &mut self.invoker,
            &mut self.couchdb,
            &mut self.kafka,
            &mut self.http,
        ];
        for (secret, (key, path)) in secrets.into_iter().zip(files(config)) {
            if let (None, Some(path)) = (&secret, path) {
                match from_file(key, path) {
                    Ok(read) => *secret = Some(read),
                    Err(fault) => faults.push(fault),
                }
            }
        }
        let certificates =
            [("openwhisk.ca_file", &config.openwhisk.ca_file), ("kafka.ca_file", &config.kafka.ca_file)];
        for (key, path) in certificates {
            if let Some(path) = path
                && let Err(error) = std::fs::read(path)
            {
                let mend = "name a file with certificates in PEM form, which the service may read";
                faults.push(fault(&format!("{key} = {}", path.display()), error, mend));
            }
        }
        (self, faults)
    }
}

/// The files of the secrets, in the order of the fields of [`Secrets`], by key.
pub(crate) fn files(config: &Config) -> [(&'static str, Option<&Path>); 6] {
    let whisk = &config.openwhisk;
    [
        ("openwhisk.auth_file", whisk.auth_file.as_deref()),
        ("openwhisk.controller_auth_file", whisk.controller_auth_file.as_deref()),
        ("openwhisk.invoker_auth_file", whisk.invoker_auth_file.as_deref()),
        ("actuator.couchdb_auth_file", config.actuator.couchdb_auth_file.as_deref()),
        ("kafka.password_file", config.kafka.password_file.as_deref()),
        ("http.token_file", config.http.token_file.as_deref()),
    ]
}

fn from_file(key: &str, path: &Path) -> Result<Secret, Fault> {
    let at = format!("{key} = {}", path.display());
    let text = std::fs::read_to_string(path)
        .map_err(|error| fault(&at, error, "put the secret there, in a file the service may read"))?;
    match text.trim() {
        "" => Err(fault(&at, "the file is empty", "put the secret into it, in one line")),
        secret => Ok(Secret::new(secret)),
    }
}

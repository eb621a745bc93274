//! The secrets: read once, from the environment or from files, and never printed.

use std::path::{Path, PathBuf};

use aquatope_openwhisk::credentials::Secret;
use aquatope_workflow::fault::Fault;

use super::Config;
use super::source::Source;
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

/// What a secret is called, and where it comes from.
pub(crate) struct Named {
    /// The variable that may hold it.
    pub(crate) variable: &'static str,
    /// The key that may name its file.
    pub(crate) key: &'static str,
    file: fn(&Config) -> Option<&PathBuf>,
    of: fn(&Secrets) -> Option<&Secret>,
    place: fn(&mut Secrets) -> &mut Option<Secret>,
}

impl Named {
    /// The file that may hold it.
    pub(crate) fn file<'c>(&self, config: &'c Config) -> Option<&'c PathBuf> {
        (self.file)(config)
    }

    /// It, if it is given.
    pub(crate) fn of<'s>(&self, secrets: &'s Secrets) -> Option<&'s Secret> {
        (self.of)(secrets)
    }
}

pub(crate) const OPENWHISK: Named = Named {
    variable: "AQUATOPE_OPENWHISK_AUTH",
    key: "openwhisk.auth_file",
    file: |config| config.openwhisk.auth_file.as_ref(),
    of: |secrets| secrets.openwhisk.as_ref(),
    place: |secrets| &mut secrets.openwhisk,
};
pub(crate) const CONTROLLER: Named = Named {
    variable: "AQUATOPE_CONTROLLER_AUTH",
    key: "openwhisk.controller_auth_file",
    file: |config| config.openwhisk.controller_auth_file.as_ref(),
    of: |secrets| secrets.controller.as_ref(),
    place: |secrets| &mut secrets.controller,
};
pub(crate) const INVOKER: Named = Named {
    variable: "AQUATOPE_INVOKER_AUTH",
    key: "openwhisk.invoker_auth_file",
    file: |config| config.openwhisk.invoker_auth_file.as_ref(),
    of: |secrets| secrets.invoker.as_ref(),
    place: |secrets| &mut secrets.invoker,
};
pub(crate) const COUCHDB: Named = Named {
    variable: "AQUATOPE_COUCHDB_AUTH",
    key: "actuator.couchdb_auth_file",
    file: |config| config.actuator.couchdb_auth_file.as_ref(),
    of: |secrets| secrets.couchdb.as_ref(),
    place: |secrets| &mut secrets.couchdb,
};
pub(crate) const KAFKA: Named = Named {
    variable: "AQUATOPE_KAFKA_PASSWORD",
    key: "kafka.password_file",
    file: |config| config.kafka.password_file.as_ref(),
    of: |secrets| secrets.kafka.as_ref(),
    place: |secrets| &mut secrets.kafka,
};
const HTTP: Named = Named {
    variable: "AQUATOPE_HTTP_TOKEN",
    key: "http.token_file",
    file: |config| config.http.token_file.as_ref(),
    of: |secrets| secrets.http.as_ref(),
    place: |secrets| &mut secrets.http,
};
/// All of them.
pub(crate) const NAMED: [Named; 6] = [OPENWHISK, CONTROLLER, INVOKER, COUCHDB, KAFKA, HTTP];

impl Secrets {
    /// Take the secrets out of the variables; what is left overrides keys.
    pub(super) fn split(environment: Vec<(String, String)>) -> (Self, Vec<(String, String)>) {
        let mut secrets = Self::default();
        let mut rest = Vec::new();
        for (name, value) in environment {
            let Some(named) = NAMED.iter().find(|named| named.variable == name) else {
                rest.push((name, value));
                continue;
            };
            // An empty variable is as one that is not set: its file counts.
            *(named.place)(&mut secrets) =
                Some(value.trim()).filter(|secret| !secret.is_empty()).map(Secret::new);
        }
        (secrets, rest)
    }

    /// Read the files of the secrets that the environment does not give; and what is wrong with them, or with certificates.
    pub(super) fn with_files(mut self, config: &Config, source: &Source<'_>) -> (Self, Vec<Fault>) {
        let mut faults = Vec::new();
        let place = |key: &str, path: &Path| format!("{} = {}", source.place(key, 0), path.display());
        for named in NAMED {
            let secret = (named.place)(&mut self);
            if let (None, Some(path)) = (&secret, named.file(config)) {
                match from_file(&place(named.key, path), path) {
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
                faults.push(fault(&place(key, path), error, mend));
            }
        }
        (self, faults)
    }
}

fn from_file(at: &str, path: &Path) -> Result<Secret, Fault> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| fault(at, error, "put the secret there, in a file the service may read"))?;
    match text.trim() {
        "" => Err(fault(at, "the file is empty", "put the secret into it, in one line")),
        secret => Ok(Secret::new(secret)),
    }
}

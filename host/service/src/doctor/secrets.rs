//! Whether secrets have the form they need, and whether others can read their files.

use std::os::unix::fs::PermissionsExt;

use aquatope_workflow::fault::Fault;

use super::Report;
use crate::config::{Config, Secrets, Security, files};
use crate::platform::credentials;

impl Report {
    /// `faults`: files that could not be read.
    pub(super) fn secrets(&mut self, config: &Config, secrets: &Secrets, faults: Vec<Fault>) {
        let before = self.findings.len();
        faults.into_iter().for_each(|fault| self.fault(fault));
        let pairs = [
            (&secrets.openwhisk, "AQUATOPE_OPENWHISK_AUTH", "openwhisk.auth_file"),
            (&secrets.controller, "AQUATOPE_CONTROLLER_AUTH", "openwhisk.controller_auth_file"),
            (&secrets.invoker, "AQUATOPE_INVOKER_AUTH", "openwhisk.invoker_auth_file"),
            (&secrets.couchdb, "AQUATOPE_COUCHDB_AUTH", "actuator.couchdb_auth_file"),
        ];
        for (secret, variable, key) in pairs {
            if secret.is_some()
                && let Err(fault) = credentials(secret.as_ref(), variable, key)
            {
                self.fault(fault);
            }
        }
        let sasl = matches!(config.kafka.security, Security::SaslPlaintext | Security::SaslSsl);
        if sasl && config.kafka.username.is_empty() {
            self.broken("secrets: kafka.security is SASL, and kafka.username is not set", "set it");
        }
        if sasl && secrets.kafka.is_none() {
            self.broken(
                "secrets: kafka.security is SASL, and there is no password",
                "set AQUATOPE_KAFKA_PASSWORD or kafka.password_file",
            );
        }
        for (key, path) in files(config) {
            let Some(path) = path else { continue };
            let Ok(about) = path.metadata() else { continue };
            if about.is_file() && about.permissions().mode() & OTHERS_READ != 0 {
                let path = path.display();
                self.doubtful(
                    format!("secrets: {key} = {path}: everybody on this machine can read it"),
                    format!("chmod o-rwx {path}"),
                );
            }
        }
        if self.findings.len() == before {
            self.well("secrets: those that are set have the form they need");
        }
    }
}

/// The bit of a file's mode.
const OTHERS_READ: u32 = 0o004;

//! Whether secrets have the form they need, and whether others can read their files.

use std::os::unix::fs::PermissionsExt;

use aquatope_workflow::fault::Fault;

use super::Report;
use crate::config::secrets::{CONTROLLER, COUCHDB, INVOKER, KAFKA, NAMED, OPENWHISK};
use crate::config::{Config, Secrets, Security};
use crate::platform::credentials;

impl Report {
    /// `faults`: files that could not be read.
    pub(super) fn secrets(&mut self, config: &Config, secrets: &Secrets, faults: Vec<Fault>) {
        let before = self.findings.len();
        faults.into_iter().for_each(|fault| self.fault(fault));
        for named in [OPENWHISK, CONTROLLER, INVOKER, COUCHDB] {
            if named.of(secrets).is_some()
                && let Err(fault) = credentials(secrets, &named)
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
                format!("set {} or {}", KAFKA.variable, KAFKA.key),
            );
        }
        for named in NAMED {
            let Some(path) = named.file(config) else { continue };
            let Ok(about) = path.metadata() else { continue };
            if about.is_file() && about.permissions().mode() & OTHERS_READ != 0 {
                let path = path.display();
                self.doubtful(
                    format!("secrets: {} = {path}: everybody on this machine can read it", named.key),
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

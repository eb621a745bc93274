//! `aquatope doctor`: whether everything the service needs is there, and what to change if it is not.
//!
//! Nothing is changed, but for one thing: with `[cluster]` a transactional id of its own, the topic's name and `-doctor`, is
//! registered with the brokers, because they tell in no other way whether they allow transactions. They forget it again
//! (`transactional.id.expiration.ms`, a week by default).

mod kafka;
mod secrets;
#[cfg(test)]
mod tests;
mod workflows;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use aquatope_openwhisk::error::{Cause, RestError};
use aquatope_openwhisk::rest::Selection;
use aquatope_workflow::fault::Fault;

use crate::actuate::{BackEnd, OwnActivations};
use crate::clock::Clock;
use crate::config::{ActuatorKind, Config, Secrets};
use crate::platform;
use crate::store::{Store, StoreError};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub level: Level,
    /// What was looked at, and what was found.
    pub what: String,
    /// What to change; empty when it is well.
    pub mend: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Well,
    /// The service runs, but not as well as it could.
    Doubtful,
    /// The service cannot work.
    Broken,
}

/// Which of OpenWhisk's two ways of placing containers a platform uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    /// Controllers push to invokers.
    Push,
    /// Invokers pull from scheduler queues.
    FunctionPulling,
}

/// Look at everything; nothing is changed but what the module's header says. `faults` are those of files of secrets
/// ([`crate::config::read_all`]).
pub async fn examine(config: &Config, secrets: &Secrets, faults: Vec<Fault>, clock: Clock) -> Vec<Finding> {
    let mut report = Report::default();
    report.state(config);
    report.listen(config.http.listen);
    report.secrets(config, secrets, faults);
    let recent = report.rest(config, secrets, clock).await;
    let kafka = {
        let (config, secrets) = (config.clone(), secrets.clone());
        tokio::task::spawn_blocking(move || {
            let mut report = Report::default();
            report.kafka(&config, &secrets, recent);
            report
        })
    };
    match kafka.await {
        Ok(kafka) => report.findings.extend(kafka.findings),
        Err(_) => report.broken("Kafka: the check itself failed", "report this as a fault of aquatope"),
    }
    let engine = report.engine(config, secrets).await;
    report.actuator(config, secrets, engine);
    report.workflows(config, secrets, clock).await;
    report.findings
}

#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
    /// How often something was not well, told before or not.
    troubles: usize,
}

impl Report {
    /// What several checks come upon is told once.
    fn add(&mut self, level: Level, what: impl Into<String>, mend: impl Into<String>) {
        self.troubles += usize::from(level > Level::Well);
        let finding = Finding { level, what: what.into(), mend: mend.into() };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn well(&mut self, what: impl Into<String>) {
        self.add(Level::Well, what, "");
    }

    fn doubtful(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.add(Level::Doubtful, what, mend);
    }

    fn broken(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.add(Level::Broken, what, mend);
    }

    fn fault(&mut self, fault: Fault) {
        self.broken(format!("{}: {}", fault.at, fault.what), fault.mend);
    }

    /// A call that failed; and what to do about a right that is missing.
    fn call(&mut self, error: &RestError, forbidden: &'static str) {
        let (what, mend) = error.cause.explain();
        let mend = match error.cause {
            Cause::Unauthorized => "check AQUATOPE_OPENWHISK_AUTH (`wsk property get --auth` prints it)",
            Cause::Forbidden(_) => forbidden,
            Cause::Unreachable(_) | Cause::TimedOut => {
                "check openwhisk.url, and that this machine may reach it"
            }
            _ => mend,
        };
        self.broken(format!("OpenWhisk: {}: {what}", error.at), mend);
    }

    fn state(&mut self, config: &Config) {
        let directory = &config.state.directory;
        // What is missing is made at the start, in the first folder above it that is there.
        let existing = directory.ancestors().find(|folder| folder.exists());
        let existing = existing.unwrap_or_else(|| Path::new("."));
        match tempfile::tempfile_in(existing) {
            Ok(_) if existing == directory => self.stores(directory),
            Ok(_) => self.well(format!("state: {} will be made at the start", directory.display())),
            Err(error) => self.broken(
                format!("state: {}: {error}", directory.display()),
                "set state.directory to a folder the service may write to",
            ),
        }
    }

    /// Whether a service could have the files in a folder that it may write to.
    fn stores(&mut self, directory: &Path) {
        let files = directory.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
        let mut stores = files.filter(|file| file.extension().is_some_and(|extension| extension == "redb"));
        match stores.find(|store| Store::is_in_use(store)) {
            None => self.well(format!("state: {} is writable", directory.display())),
            Some(path) => {
                let Fault { at, what, mend } = StoreError::InUse { path }.fault();
                self.doubtful(
                    format!("state: {at}: {what}: another service would not start"),
                    format!("if it is not this service that runs already, {mend}"),
                );
            }
        }
    }

    fn listen(&mut self, address: SocketAddr) {
        match TcpListener::bind(address) {
            Ok(_) => self.well(format!("http: {address} is free")),
            Err(error) if error.kind() == ErrorKind::AddrInUse => self.doubtful(
                format!("http: {address} is in use"),
                "if it is not this service that runs already, choose another http.listen",
            ),
            Err(error) => self.broken(
                format!("http: {address}: {error}"),
                "set http.listen to an address of this machine, and a port the service may use",
            ),
        }
    }

    /// Whether there were activations lately, if that is known.
    async fn rest(&mut self, config: &Config, secrets: &Secrets, clock: Clock) -> Option<bool> {
        if config.openwhisk.url.is_empty() {
            self.doubtful(
                "OpenWhisk: openwhisk.url is not set: no back-fill of gaps, no warm-up, no tuning",
                "set it, unless Kafka is all that is wanted",
            );
            return None;
        }
        let client = match platform::client(config, secrets, "_") {
            Ok(client) => client,
            Err(fault) => {
                self.fault(fault);
                return None;
            }
        };
        let limits = match client.limits().await {
            Ok(limits) => limits,
            Err(error) => {
                self.call(&error, "take the key of a subject with this right");
                return None;
            }
        };
        self.well(format!("OpenWhisk: {} answers, the credentials are good", config.openwhisk.url));
        if let Some(per_minute) = limits.invocations_per_minute {
            let warm = if config.actuator.kind == ActuatorKind::WarmUp {
                config.actuator.warm_up_per_minute
            } else {
                0
            };
            let tuned = config.workflow.iter().filter(|workflow| workflow.tune);
            let ours = u64::from(warm) + tuned.map(|workflow| u64::from(workflow.per_minute)).sum::<u64>();
            let what = format!("limits: {per_minute} invocations a minute, {ours} of them may be ours");
            if 2 * ours > per_minute {
                self.doubtful(
                    what,
                    "raise invocationsPerMinute of the namespace, or lower actuator.warm_up_per_minute and workflow.per_minute",
                );
            } else {
                self.well(what);
            }
        }
        let since_ms = i64::try_from(clock.now().0).unwrap_or(i64::MAX).saturating_sub(3_600_000);
        let selection = Selection { since_ms: Some(since_ms), ..Selection::default() };
        match client.activations(&selection).await {
            // Firings of triggers are listed too, and have no kind.
            Ok(records) => Some(records.iter().any(|record| record.annotation("kind").is_some())),
            Err(error) => {
                self.doubtful(format!("OpenWhisk: {error}"), "without records, gaps cannot be filled");
                None
            }
        }
    }

    async fn engine(&mut self, config: &Config, secrets: &Secrets) -> Option<Engine> {
        let invokers = match platform::invokers(config, secrets) {
            Ok(invokers) => invokers,
            Err(fault) => {
                self.fault(fault);
                return None;
            }
        };
        let mut engine = None;
        for (url, invoker) in invokers {
            match invoker.pool().await {
                Ok(pool) => {
                    engine = Some(if pool.is_some() { Engine::FunctionPulling } else { Engine::Push });
                }
                Err(error) => self.doubtful(
                    format!("invoker {url}: {error}"),
                    "check openwhisk.invoker_urls and AQUATOPE_INVOKER_AUTH",
                ),
            }
        }
        match engine {
            Some(Engine::Push) => self.well("engine: push (sharding or lean balancer)"),
            Some(Engine::FunctionPulling) => self.well("engine: function pulling (schedulers)"),
            None => self.doubtful("engine: not known", "set openwhisk.invoker_urls (port 12001)"),
        }
        engine
    }

    fn actuator(&mut self, config: &Config, secrets: &Secrets, engine: Option<Engine>) {
        let back_end = match BackEnd::new(config, secrets, OwnActivations::default()) {
            Ok(back_end) => back_end,
            Err(fault) => return self.fault(fault),
        };
        let what = format!("actuator: {}: {}", back_end.name(), back_end.capabilities());
        match (config.actuator.kind, engine) {
            (ActuatorKind::DryRun, _) => {
                self.doubtful(what, "choose another actuator.kind when you trust the plans");
            }
            (ActuatorKind::Runtimes, Some(Engine::FunctionPulling)) => self.broken(
                what,
                "this engine answers 202 to /config/runtime and does nothing: use warm-up or keep-count",
            ),
            (ActuatorKind::KeepCount, Some(Engine::Push)) => {
                self.broken(
                    what,
                    "the push engine knows no keep count: use warm-up, runtimes or manifest-file",
                );
            }
            _ => self.well(what),
        }
    }
}

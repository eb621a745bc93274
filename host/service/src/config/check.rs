//! What a type and bounds do not show: the form of texts, and keys that need or exclude each other.

use aquatope_workflow::fault::Fault;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::source::Source;
use super::{ActuatorKind, Config, Security};
use crate::platform::fault;

/// Groups that OpenWhisk's own components consume in: joining one would take their only partition away.
const OPENWHISK_GROUPS: [&str; 7] =
    ["kamon", "completed", "health", "cacheInvalidation", "invoker", "scheduler", "creationAck"];

/// The mechanisms of `kafka.sasl_mechanism`.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// The words of `log.filter`.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The first thing that is wrong with `config`, placed by `source`.
pub(super) fn check(config: &Config, source: &Source<'_>) -> Result<(), Fault> {
    let check = Check { config, source };
    check.addresses()?;
    check.kafka()?;
    check.cluster()?;
    check.actuator()?;
    check.log()?;
    check.workflows()
}

struct Check<'c> {
    config: &'c Config,
    source: &'c Source<'c>,
}

impl Check<'_> {
    fn wrong(&self, key: &str, what: impl Into<String>, mend: &str) -> Result<(), Fault> {
        Err(fault(&self.source.place(key, 0), what.into(), mend))
    }

    fn addresses(&self) -> Result<(), Fault> {
        let whisk = &self.config.openwhisk;
        let mut addresses = vec![
            ("openwhisk.url", &whisk.url),
            ("openwhisk.controller_url", &whisk.controller_url),
            ("actuator.couchdb_url", &self.config.actuator.couchdb_url),
        ];
        addresses.retain(|(_, url)| !url.is_empty());
        addresses.extend(whisk.invoker_urls.iter().map(|url| ("openwhisk.invoker_urls", url)));
        for (key, url) in addresses {
            if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
                return self.wrong(key, format!("has {url:?}"), "begin it with https:// or http://");
            }
        }
        Ok(())
    }

    fn kafka(&self) -> Result<(), Fault> {
        let kafka = &self.config.kafka;
        let mut brokers =
            kafka.brokers.split(',').map(str::trim).filter(|broker| !broker.is_empty()).peekable();
        let usable = |broker: &str| match broker.rsplit_once(':') {
            Some((host, port)) => !host.is_empty() && (port.ends_with(']') || port.parse::<u16>().is_ok()),
            None => true,
        };
        if brokers.peek().is_none() || !brokers.all(usable) {
            let mend = "set host:port, several separated by commas, as \"kafka0:9092,kafka1:9092\"";
            return self.wrong("kafka.brokers", format!("is {:?}", kafka.brokers), mend);
        }
        if kafka.topic.is_empty() {
            return self.wrong("kafka.topic", "empty", "name the topic of user events, such as events");
        }
        if kafka.group.is_empty() {
            return self.wrong("kafka.group", "empty", "use a name of your own, such as aquatope");
        }
        if is_openwhisk_group(&kafka.group) {
            let what =
                format!("is {:?}, a group of OpenWhisk's own, which would lose its partition", kafka.group);
            return self.wrong("kafka.group", what, "use a name of your own, such as aquatope");
        }
        let sasl = matches!(kafka.security, Security::SaslPlaintext | Security::SaslSsl);
        if sasl && !MECHANISMS.contains(&kafka.sasl_mechanism.as_str()) {
            let mend = format!("set one of {}", listed(MECHANISMS));
            return self.wrong("kafka.sasl_mechanism", format!("is {:?}", kafka.sasl_mechanism), &mend);
        }
        Ok(())
    }

    fn cluster(&self) -> Result<(), Fault> {
        let cluster = &self.config.cluster;
        let legal = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
        let usable = !cluster.topic.is_empty()
            && cluster.topic.chars().all(legal)
            && cluster.topic != self.config.kafka.topic;
        if cluster.enabled && !usable {
            let mend = "name a topic of its own, such as aquatope-state";
            return self.wrong("cluster.topic", format!("is {:?}", cluster.topic), mend);
        }
        Ok(())
    }

    fn actuator(&self) -> Result<(), Fault> {
        let (actuator, whisk) = (&self.config.actuator, &self.config.openwhisk);
        let needs = |missing: bool, key: &str, kind: &str| match missing {
            true => self.wrong(key, "missing", &format!("set it: actuator.kind = \"{kind}\" needs it")),
            false => Ok(()),
        };
        match actuator.kind {
            ActuatorKind::DryRun => {}
            ActuatorKind::ManifestFile => {
                needs(actuator.manifest.is_none(), "actuator.manifest", "manifest-file")?;
                needs(actuator.output.is_none(), "actuator.output", "manifest-file")?;
            }
            ActuatorKind::Runtimes => {
                needs(actuator.manifest.is_none(), "actuator.manifest", "runtimes")?;
                let no_controller = whisk.controller_url.is_empty() && whisk.url.is_empty();
                needs(no_controller, "openwhisk.controller_url", "runtimes")?;
            }
            ActuatorKind::WarmUp => {
                needs(whisk.url.is_empty(), "openwhisk.url", "warm-up")?;
                needs(actuator.warm_up_parameter.is_empty(), "actuator.warm_up_parameter", "warm-up")?;
            }
            ActuatorKind::KeepCount => {
                needs(actuator.couchdb_url.is_empty(), "actuator.couchdb_url", "keep-count")?;
            }
        }
        Ok(())
    }

    fn log(&self) -> Result<(), Fault> {
        let filter = &self.config.log.filter;
        // Any other word would be taken for the only module to be heard of.
        let known = |directive: &str| directive.contains('=') || directive.parse::<LevelFilter>().is_ok();
        // And without any, only errors would be heard of.
        let is_empty = filter.split(',').all(str::is_empty);
        if is_empty || EnvFilter::try_new(filter).is_err() || !filter.split(',').all(known) {
            let mend =
                format!("set one of {}, or a filter as \"warn,aquatope_service=debug\"", listed(LEVELS));
            return self.wrong("log.filter", format!("is {filter:?}"), &mend);
        }
        Ok(())
    }

    fn workflows(&self) -> Result<(), Fault> {
        let is_tuned = self.config.workflow.iter().any(|workflow| workflow.tune);
        if is_tuned && self.config.openwhisk.url.is_empty() {
            return self.wrong("openwhisk.url", "missing", "set it: workflow.tune = true needs it");
        }
        Ok(())
    }
}

fn listed<const N: usize>(words: [&str; N]) -> String {
    words.map(|word| format!("{word:?}")).join(", ")
}

/// Whether `group` is one that OpenWhisk's components consume in: a bare name, or one followed by an instance.
fn is_openwhisk_group(group: &str) -> bool {
    OPENWHISK_GROUPS.iter().any(|own| {
        group.strip_prefix(own).is_some_and(|rest| {
            rest.is_empty()
                || rest.bytes().all(|b| b.is_ascii_digit())
                || rest.starts_with("controller")
                || rest == "standalone"
        })
    })
}

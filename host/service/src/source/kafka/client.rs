//! What librdkafka needs to know to reach the brokers, and what it has to say.

use std::sync::{Mutex, PoisonError};

use aquatope_openwhisk::credentials::Secret;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use crate::config::{Kafka, Security};

/// What librdkafka needs to know to reach the brokers; for the checks of `doctor` too.
pub fn client_config(config: &Kafka, password: Option<&Secret>) -> ClientConfig {
    let mut client = ClientConfig::new();
    let protocol = match config.security {
        Security::Plaintext => "plaintext",
        Security::Ssl => "ssl",
        Security::SaslPlaintext => "sasl_plaintext",
        Security::SaslSsl => "sasl_ssl",
    };
    client
        .set("bootstrap.servers", &config.brokers)
        .set("security.protocol", protocol)
        .set("group.id", &config.group)
        .set("client.id", "aquatope")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Where to go on when messages are gone is ours to say, since the gap has to be told.
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("reconnect.backoff.max.ms", "2000")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "200")
        // What is fetched ahead: bounds the memory of a backlog.
        .set("queued.max.messages.kbytes", "32768")
        // When that is full, librdkafka would rest for a second, and we drain it in a fraction of one.
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.message.max.bytes", "4194304")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set_log_level(RDKafkaLogLevel::Warning);
    if matches!(config.security, Security::SaslPlaintext | Security::SaslSsl) {
        client.set("sasl.mechanisms", &config.sasl_mechanism).set("sasl.username", &config.username);
        client.set("sasl.password", password.map_or("", Secret::reveal));
    }
    if let Some(file) = &config.ca_file {
        client.set("ssl.ca.location", file.to_string_lossy());
    }
    client
}

/// librdkafka's log lines, which hold no secrets, to ours; and why a broker was not reached, until one answers.
#[derive(Debug, Default)]
pub(crate) struct Log {
    reason: Mutex<Option<String>>,
}

impl Log {
    /// Why a broker was not reached last, if that has been told.
    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One has answered.
    pub(crate) fn reached(&self) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl ClientContext for Log {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
        // "All brokers are down" tells less than what came before it.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Log {}

impl ProducerContext for Log {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {}
}

pub(in crate::source) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
            tracing::debug!(facility, "{message}");
        }
        _ => tracing::warn!(facility, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_broker_was_not_reached_is_told_until_one_answers() {
        let log = Log::default();
        let error = |code| KafkaError::Global(code);
        log.error(error(RDKafkaErrorCode::SSL), "the handshake failed");
        log.error(error(RDKafkaErrorCode::AllBrokersDown), "all brokers are down");
        for _ in 0..2 {
            assert_eq!(log.reason().as_deref(), Some("the handshake failed"));
        }
        log.reached();
        assert_eq!(log.reason(), None);
    }
}

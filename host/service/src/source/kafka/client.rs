//! What librdkafka needs to know to reach the brokers, and what it has to say.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aquatope_openwhisk::credentials::Secret;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::Metadata;
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

/// librdkafka's log lines, which hold no secrets, to ours; and why a broker is not reached.
#[derive(Debug, Default)]
pub(crate) struct Log {
    reason: Mutex<Option<String>>,
}

impl Log {
    /// Why a call failed with `error`: where no broker was reached, what was told of that last. The client has to be polled
    /// to be told.
    pub(crate) fn why(&self, error: &KafkaError) -> String {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        reason.filter(|_| is_unreached(error)).unwrap_or_else(|| error.to_string())
    }

    /// All that were asked have answered.
    pub(crate) fn reached(&self) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The brokers' answer, from a client that nobody polls; or why there is none.
pub(crate) fn metadata(
    consumer: &BaseConsumer<Log>,
    topic: Option<&str>,
    patience: Duration,
) -> Result<Metadata, String> {
    consumer.fetch_metadata(topic, patience).map_err(|error| {
        // Why comes as an event of its own.
        let _ = consumer.poll(EVENT);
        consumer.context().why(&error)
    })
}

/// What to do where a broker is not reached, for the reason that librdkafka gives. It gives one for all that can be wrong with
/// a certificate.
pub(crate) fn mend(why: &str) -> &'static str {
    const MENDS: [(&str, &str); 6] = [
        ("mechanism handshake failed", "set kafka.sasl_mechanism to one that the brokers have"),
        (
            "SASL authentication error",
            "check kafka.username, and AQUATOPE_KAFKA_PASSWORD or the file of kafka.password_file",
        ),
        (
            "certificate verify failed",
            "set kafka.ca_file to the authority of the brokers' certificates, which must be of the hosts in kafka.brokers, \
             and not have expired",
        ),
        ("SSL handshake failed", "check kafka.security, and that the ports in kafka.brokers are for TLS"),
        (
            "require SASL",
            "set kafka.security to sasl-ssl or sasl-plaintext, as these ports have it, with kafka.username and a password",
        ),
        ("security.protocol", "check kafka.security, and that the ports in kafka.brokers are without TLS"),
    ];
    let known = MENDS.into_iter().find(|(words, _)| why.contains(words));
    known.map_or(
        "check kafka.brokers and kafka.security, and that this machine may reach the brokers",
        |(_, mend)| mend,
    )
}

/// An event that is there may take so long to be handed out.
const EVENT: Duration = Duration::from_millis(500);

/// Whether this says that a broker was not reached: then none has answered.
fn is_unreached(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::Authentication
        )
    )
}

/// What went wrong, without the broker and address it went wrong with.
fn cause(reason: &str) -> &str {
    reason.rsplit(": ").next().unwrap_or(reason)
}

impl ClientContext for Log {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
        // "All brokers are down" tells less than what came before it.
        let is_all = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if !is_unreached(&error) || is_all {
            return;
        }
        // How long it took is news every time.
        let reason = reason.split(" (after ").next().unwrap_or(reason);
        let mut last = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        // The same at another address of the broker, or at another broker, is no news.
        if last.as_deref().map(cause) != Some(cause(reason)) {
            *last = Some(reason.to_owned());
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

    const REFUSED: &str = "k1:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused";

    #[test]
    fn why_a_broker_is_not_reached_is_told_until_all_answer() {
        let log = Log::default();
        let error = |code| KafkaError::Global(code);
        log.error(error(RDKafkaErrorCode::SSL), "k1:9092/1: the handshake failed (after 3ms in state SSL)");
        log.error(error(RDKafkaErrorCode::AllBrokersDown), "all brokers are down");
        let timed_out = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        for _ in 0..2 {
            assert_eq!(log.why(&timed_out), "k1:9092/1: the handshake failed");
        }
        log.reached();
        assert_eq!(log.why(&timed_out), timed_out.to_string());
    }

    #[test]
    fn where_a_broker_answered_no_other_one_is_to_blame() {
        let log = Log::default();
        log.error(KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), REFUSED);
        let denied = KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert_eq!(log.why(&denied), denied.to_string());
        // Of a fetch: it says nothing of who cannot be reached.
        log.error(KafkaError::Global(RDKafkaErrorCode::TopicAuthorizationFailed), "the fetch failed");
        log.error(KafkaError::Global(RDKafkaErrorCode::PartitionEOF), "no more messages");
        assert_eq!(log.why(&KafkaError::OffsetFetch(RDKafkaErrorCode::OperationTimedOut)), REFUSED);
    }

    #[test]
    fn one_cause_at_several_addresses_is_told_once() {
        let log = Log::default();
        let failed = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
        for again in ["", "1 identical error(s) suppressed"] {
            for address in ["ipv4#10.0.0.1:9092", "ipv6#[::1]:9092"] {
                let reason = format!(
                    "k1:9092/1: Connect to {address} failed: Connection refused (after 0ms in state CONNECT{again})"
                );
                log.error(failed.clone(), &reason);
                assert_eq!(log.why(&failed), REFUSED);
            }
        }
        log.error(failed.clone(), "k1:9092/1: Disconnected: the broker may want TLS (after 2ms in state UP)");
        assert_eq!(log.why(&failed), "k1:9092/1: Disconnected: the broker may want TLS");
    }

    #[test]
    fn what_librdkafka_says_leads_to_a_key() {
        for (why, key) in [
            // Of PLAIN and of SCRAM.
            (
                "SASL authentication error: Authentication failed: Invalid username or password",
                "kafka.username",
            ),
            (
                "SASL authentication error: Authentication failed during authentication due to invalid credentials with \
                 SASL mechanism SCRAM-SHA-512",
                "kafka.username",
            ),
            (
                "SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported \
                 mechanisms: PLAIN",
                "kafka.sasl_mechanism",
            ),
            (
                "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could \
                 not be verified",
                "kafka.ca_file",
            ),
            ("SSL handshake failed: error:0A00010B:SSL routines::wrong version number", "are for TLS"),
            (
                "Disconnected: verify that security.protocol is correctly configured, broker might require SASL \
                 authentication",
                "sasl-ssl",
            ),
            (REFUSED, "kafka.brokers"),
        ] {
            assert!(mend(why).contains(key), "{why}: {}", mend(why));
        }
    }
}

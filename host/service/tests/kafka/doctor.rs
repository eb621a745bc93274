//! What `aquatope doctor` says of brokers and topics.

use aquatope_openwhisk::credentials::Secret;
use aquatope_service::clock::Clock;
use aquatope_service::config::{Config, Secrets};
use aquatope_service::doctor::{Finding, examine};

use crate::broker::{Cluster, PASSWORD, USER};
use crate::load::{past_runs, send};
use crate::tests::cluster;

/// What is said of Kafka and the topics of a cluster, in lines.
pub(crate) fn said(config: &Config, password: Option<&str>) -> String {
    let secrets = Secrets { kafka: password.map(Secret::new), ..Secrets::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let findings = runtime.block_on(examine(config, &secrets, Vec::new(), Clock::system()));
    let line = |Finding { level, what, mend }: Finding| format!("{level:?} {what} -> {mend}\n");
    let lines = findings.into_iter().map(line);
    lines.filter(|line| line.contains(" Kafka: ") || line.contains(" cluster: ")).collect()
}

pub(crate) fn the_doctor_tells_what_is_wrong_with_topics_and_credentials() {
    let shared = cluster();
    let cluster: &Cluster = shared.as_ref().unwrap();
    let mut config = Config::default();
    config.kafka.brokers = cluster.brokers();
    config.kafka.topic = "examined".into();
    config.cluster.topic = "examined-state".into();
    let expect = |said: String, expected: &[&str]| {
        for expected in expected {
            assert!(said.contains(expected), "{expected:?} is not in\n{said}");
        }
    };
    expect(
        said(&config, None),
        &["Well Kafka: 1 brokers answer", "Broken Kafka: there is no topic \"examined\""],
    );
    cluster.create_topic("examined-events", 1, &[]);
    expect(said(&config, None), &["did you mean ", "examined-events"]);
    config.kafka.topic = "examined-events".into();
    expect(said(&config, None), &["Doubtful Kafka: \"examined-events\" has 1 partitions and 0 messages"]);
    send(&cluster.brokers(), "examined-events", 1, &past_runs(2, 20, 5, 11));
    expect(said(&config, None), &["and 20 messages; the last ones are activations -> \n"]);

    config.cluster.enabled = true;
    expect(
        said(&config, None),
        &[
            "Well cluster: \"examined-state\" will be made",
            "Well cluster: \"examined-state-plans\" will be made",
            "Well cluster: transactions of \"examined-state-*\" are allowed",
        ],
    );
    cluster.create_topic("examined-state", 8, &[("cleanup.policy", "delete")]);
    let settings = [("cleanup.policy", "compact"), ("max.message.bytes", "8388608")];
    cluster.create_topic("examined-state-plans", 1, &settings);
    expect(
        said(&config, None),
        &[
            "Broken cluster: the topic \"examined-state\" has cleanup.policy = delete",
            "--entity-name examined-state --alter --add-config cleanup.policy=compact\n",
            "Well cluster: \"examined-state-plans\" has 1 partitions and is compacted",
        ],
    );

    config.cluster.enabled = false;
    config.kafka = cluster.kafka_as(USER, "examined-events");
    expect(said(&config, Some(PASSWORD)), &["the last ones are activations"]);
}

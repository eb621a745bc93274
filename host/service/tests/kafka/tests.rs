//! The tests.

use std::fs;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use aquatope_core::time::Timestamp;
use aquatope_openwhisk::credentials::Secret;
use aquatope_openwhisk::records::Record;
use aquatope_service::clock::Clock;
use aquatope_service::config::{Config, Kafka, Security};
use aquatope_service::observe::Counters;
use aquatope_service::source::{IngestStatus, RecordError, Records};

use crate::SHARED;
use crate::broker::{Cluster, PASSWORD, USER};
use crate::doctor;
use crate::kills::kill_readers;
use crate::load::{Run, Sender, after, past_runs, send, send_slowly, truth};
use crate::members;
use crate::reader::{Reader, assert_same, kafka};

/// The shared broker, running.
pub(crate) fn cluster() -> MutexGuard<'static, Option<Cluster>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.get_or_insert_with(|| Cluster::start(1));
    shared
}

/// A clock that shows the time when the last of `runs` ended, so that those of the last minutes are not final yet.
fn clock_after(runs: &[Run]) -> Clock {
    Clock::fast(Timestamp(runs.iter().map(|run| run.ended).max().unwrap()), 1.0)
}

pub(crate) fn state() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    (folder, path)
}

pub(crate) fn starts_before_the_broker_and_the_topic() {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(shared.is_none(), "the first test");
    let mut cluster = Cluster::prepare(1);
    let (_folder, path) = state();
    let runs = past_runs(3, 100, 5, 1);
    let mut reader = Reader::with(&kafka(&cluster.brokers(), "early"), &path, clock_after(&runs), None);
    let status = reader.wait("the broker is missed", |status| status.error.is_some());
    assert!(!status.connected && status.error.unwrap().contains("brokers do not answer"));
    cluster.spawn(0);
    cluster.wait(1);
    let missing = |status: &IngestStatus| {
        status.error.as_ref().is_some_and(|error| error.contains("the topic \"early\" does not exist"))
    };
    reader.wait("the topic is missed", missing);
    cluster.create_topic("early", 1, &[]);
    send(&cluster.brokers(), "early", 1, &runs);
    reader.wait("all is read", |status| status.counters.activations == 100);
    drop(reader);
    assert_same(&Reader::start(&cluster.brokers(), "early", &path).finish(after(&runs)), &truth(&runs));
    *shared = Some(cluster);
}

/// An hour of backlog, in three partitions, with every fiftieth message twice.
pub(crate) fn windows_are_those_of_the_load() {
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    cluster.create_topic("load", 3, &[]);
    let runs = past_runs(200, 100_000, 60, 2);
    let doubled: Vec<Run> = runs
        .iter()
        .enumerate()
        .flat_map(|(at, run)| std::iter::repeat_n(*run, if at % 50 == 0 { 2 } else { 1 }))
        .collect();
    send(&cluster.brokers(), "load", 3, &doubled);
    let (_folder, path) = state();
    let mut reader = Reader::start(&cluster.brokers(), "load", &path);
    // The partitions are not read in step, and one of them has no duplicate.
    let read = |status: &IngestStatus| status.counters.activations + status.counters.duplicates >= 102_000;
    let Counters { activations, duplicates, late, .. } = reader.wait("all is read", read).counters;
    assert_eq!((activations, duplicates, late), (100_000, 2_000, 0));
    assert_same(&reader.finish(after(&runs)), &truth(&runs));
}

pub(crate) fn a_wrong_protocol_is_told() {
    let shared = cluster();
    let kafka =
        Kafka { brokers: shared.as_ref().unwrap().brokers(), security: Security::Ssl, ..Kafka::default() };
    let (_folder, path) = state();
    let mut reader = Reader::with(&kafka, &path, Clock::system(), None);
    let told = |status: &IngestStatus| {
        status.error.as_ref().is_some_and(|error| error.contains("SSL handshake failed"))
    };
    assert!(!reader.wait("the handshake fails", told).connected);
}

/// Over TLS and with a password, events are read. A password that is wrong and an authority that is not known are told, with
/// the setting to be mended, by the service and by its doctor; and no password is in the log.
pub(crate) fn tls_and_a_password_let_in_and_keep_out() {
    const WRONG: &str = "open-barley";
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    cluster.create_topic("secret", 1, &[]);
    let runs = past_runs(2, 20, 5, 10);
    send(&cluster.brokers(), "secret", 1, &runs);
    let (folder, path) = state();
    let log = folder.path().join("log");
    let writer = Arc::new(fs::File::create(&log).unwrap());
    let filter = "aquatope_service=trace";
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(writer).init();
    let right = cluster.kafka_as(USER, "secret");
    let start = |kafka: &Kafka, password: &str| {
        Reader::with_password(kafka, Some(&Secret::new(password)), &path, Clock::system(), None)
    };
    for (kafka, password, expected) in [
        (right.clone(), WRONG, ["Authentication failed", "AQUATOPE_KAFKA_PASSWORD"]),
        (Kafka { ca_file: None, ..right.clone() }, PASSWORD, ["certificate verify failed", "kafka.ca_file"]),
    ] {
        let is_told = |text: &str| expected.iter().all(|words| text.contains(words));
        let mut reader = start(&kafka, password);
        let status = reader.wait("it is refused", |status| status.error.as_deref().is_some_and(is_told));
        assert!(!status.connected && status.counters == Counters::default());
        let config = Config { kafka, ..Config::default() };
        let said = doctor::said(&config, Some(password));
        assert!(said.contains("Broken Kafka: ") && is_told(&said), "{said}");
        assert!(!said.contains(password), "{said}");
    }
    assert_same(&start(&right, PASSWORD).finish(after(&runs)), &truth(&runs));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("Authentication failed") && log.contains("the brokers answer"), "{log}");
    assert!(!log.contains(PASSWORD) && !log.contains(WRONG), "{log}");
}

pub(crate) fn unreadable_messages_are_kept_aside() {
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    cluster.create_topic("poison", 1, &[]);
    let runs = past_runs(2, 50, 5, 3);
    let mut sender = Sender::new(&cluster.brokers(), "poison", 1);
    for (at, run) in runs.iter().enumerate() {
        if at % 10 == 0 {
            sender.send_bytes(b"\x00\xffnot an event");
        }
        sender.send(run);
    }
    sender.send_bytes(&vec![b'['; 500_000]);
    sender.send_bytes(
        br#"{"source":"controller0","eventType":"Metric","namespace":"guest","timestamp":1,"subject":"g",
        "userId":"u","body":{"metricName":"ConcurrentInvocations","metricValue":1}}"#,
    );
    sender.flush();
    let (_folder, path) = state();
    let mut reader = Reader::start(&cluster.brokers(), "poison", &path);
    let status = reader.wait("all is read", |status| status.counters.other == 1);
    assert_eq!(status.counters.unreadable, 6);
    let store = reader.store.clone();
    assert_same(&reader.finish(after(&runs)), &truth(&runs));
    let kept = store.unreadable().unwrap();
    assert_eq!(kept.iter().map(|kept| kept.offset).collect::<Vec<_>>(), [0, 11, 22, 33, 44, 55]);
    assert_eq!((kept[0].message.as_slice(), kept[5].message.len()), (&b"\x00\xffnot an event"[..], 4_096));
    assert!(kept[0].reason.contains("not an event of OpenWhisk"), "{}", kept[0].reason);
}

pub(crate) fn kills_lose_nothing_and_double_nothing() {
    let shared = cluster();
    let runs = past_runs(500, 300_000, 60, 4);
    let in_the_middle = kill_readers(shared.as_ref().unwrap(), "kills", &runs, 24, 5);
    // Otherwise the kills came before anything was stored, or after everything was.
    assert!(in_the_middle > 0);
}

/// The broker is killed while messages are written and read, and comes back.
pub(crate) fn a_broker_that_dies_closes_nothing() {
    let mut shared = cluster();
    let cluster = shared.as_mut().unwrap();
    cluster.create_topic("death", 2, &[]);
    let runs = past_runs(50, 60_000, 5, 6);
    let sending = send_slowly(&cluster.brokers(), "death", 2, &runs, Duration::from_micros(500));
    let (_folder, path) = state();
    let mut reader = Reader::with(&kafka(&cluster.brokers(), "death"), &path, clock_after(&runs), None);
    reader.wait("it is in the middle", |status| status.counters.activations > 5_000);
    cluster.kill(0);
    reader.wait("the death is seen", |status| !status.connected);
    let before = reader.handle.status();
    thread::sleep(Duration::from_millis(600));
    let after_a_while = reader.handle.status();
    assert_eq!((before.watermark, before.open), (after_a_while.watermark, after_a_while.open));
    cluster.spawn(0);
    cluster.wait(1);
    sending.join().unwrap();
    let status = reader.wait("all is read", |status| status.counters.activations == 60_000);
    assert_eq!((status.gaps, status.counters.late), (0, 0));
    drop(reader);
    assert_same(&Reader::start(&cluster.brokers(), "death", &path).finish(after(&runs)), &truth(&runs));
}

/// An hour without a broker, by a clock that is fast: nothing is closed meanwhile, and afterwards nothing is missing.
pub(crate) fn an_hour_without_a_broker_closes_nothing() {
    const HOUR: u64 = 3_600_000;
    let mut shared = cluster();
    let cluster = shared.as_mut().unwrap();
    cluster.create_topic("hour", 1, &[]);
    let runs = past_runs(20, 4_000, 110, 19);
    // Some before it, and some after it: what ends meanwhile finds no broker.
    let gone = runs[0].ended + HOUR / 2;
    let first: Vec<Run> = runs.iter().copied().filter(|run| run.ended < gone).collect();
    let back = gone + HOUR..gone + HOUR + 9 * 60_000;
    let second: Vec<Run> = runs.iter().copied().filter(|run| back.contains(&run.ended)).collect();
    let both = [first.clone(), second.clone()].concat();
    send(&cluster.brokers(), "hour", 1, &first);
    let (_folder, path) = state();
    let clock = Clock::fast(Timestamp(gone), 720.0);
    let config = kafka(&cluster.brokers(), "hour");
    // However long messages take to the broker, none comes too late by this clock.
    let patience = Duration::from_secs(30 * 86_400);
    let mut reader = Reader::with_patience(&config, None, &path, clock, None, patience);
    reader.wait("the first part is read", |status| status.counters.activations == first.len() as u64);
    cluster.kill(0);
    reader.wait("the broker is missed", |status| !status.connected);
    let before = reader.handle.status();
    let until = clock.now().0 + HOUR;
    let after_an_hour = reader.wait("an hour passes", |_| clock.now().0 > until);
    // When the broker was asked last is told to a millisecond or so by a clock that is fast.
    let moved_ms = after_an_hour.watermark.unwrap().0 - before.watermark.unwrap().0;
    assert!(moved_ms < 1_000 && before.open == after_an_hour.open, "{moved_ms} ms, {:?}", after_an_hour.open);
    cluster.spawn(0);
    cluster.wait(1);
    send(&cluster.brokers(), "hour", 1, &second);
    let status = reader.wait("all is read", |status| status.counters.activations == both.len() as u64);
    assert_eq!((status.gaps, status.counters.late), (0, 0));
    drop(reader);
    assert_same(&Reader::start(&cluster.brokers(), "hour", &path).finish(after(&both)), &truth(&both));
}

/// The records of all runs, as the platform's REST interface would list them.
struct All(Vec<Run>);

impl Records for All {
    fn between(
        &self,
        since: Timestamp,
        upto: Timestamp,
        each: &mut dyn FnMut(&Record) -> bool,
    ) -> Result<(), RecordError> {
        for run in &self.0 {
            if !(since.0..=upto.0).contains(&run.start()) {
                continue;
            }
            if !each(&serde_json::from_value(run.record()).unwrap()) {
                break;
            }
        }
        Ok(())
    }
}

/// Messages are deleted that were never read.
pub(crate) fn a_gap_is_told_and_filled() {
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    cluster.create_topic("gap", 1, &[]);
    let runs = past_runs(10, 30_000, 60, 7);
    let (first, second) = runs.split_at(10_000);
    send(&cluster.brokers(), "gap", 1, first);
    let (_folder, path) = state();
    let mut reader = Reader::with(&kafka(&cluster.brokers(), "gap"), &path, clock_after(first), None);
    reader.wait("the first part is read", |status| status.counters.activations == 10_000);
    drop(reader);
    send(&cluster.brokers(), "gap", 1, second);
    cluster.delete_records("gap", 20_000);
    // What became final in between is not counted again; the rest comes from messages and records.
    let records: Arc<dyn Records> = Arc::new(All(runs.clone()));
    let mut reader = Reader::with(&kafka(&cluster.brokers(), "gap"), &path, Clock::system(), Some(records));
    reader.wait("the gap is filled", |status| status.gaps_filled == 1);
    assert_same(&reader.finish(after(&runs)), &truth(&runs));
}

pub(crate) fn a_topic_made_anew_is_read_from_its_begin() {
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    cluster.create_topic("anew", 1, &[]);
    let runs = past_runs(10, 3_000, 20, 8);
    let (first, second) = runs.split_at(2_000);
    send(&cluster.brokers(), "anew", 1, first);
    let (_folder, path) = state();
    let mut reader = Reader::with(&kafka(&cluster.brokers(), "anew"), &path, clock_after(first), None);
    reader.wait("the first part is read", |status| status.counters.activations == 2_000);
    drop(reader);
    cluster.delete_topic("anew");
    cluster.create_topic("anew", 1, &[]);
    send(&cluster.brokers(), "anew", 1, second);
    let mut reader = Reader::start(&cluster.brokers(), "anew", &path);
    let status = reader.wait("the rest is read", |status| status.counters.activations == 1_000);
    assert_eq!((status.gaps, status.counters.late), (1, 0));
}

pub(crate) fn three_nodes_change_their_leader() {
    // Two clusters at once are too much for a small machine.
    drop(SHARED.lock().unwrap_or_else(PoisonError::into_inner).take());
    let mut cluster = Cluster::start(3);
    cluster.create_topic("events", 1, &[("min.insync.replicas", "2")]);
    let runs = past_runs(50, 40_000, 5, 9);
    let sending = send_slowly(&cluster.brokers(), "events", 1, &runs, Duration::from_millis(1));
    let (_folder, path) = state();
    let mut reader = Reader::with(&kafka(&cluster.brokers(), "events"), &path, clock_after(&runs), None);
    reader.wait("it is in the middle", |status| status.counters.activations > 5_000);
    let leader = cluster.leader("events");
    cluster.kill(leader);
    sending.join().unwrap();
    assert_ne!(cluster.leader("events"), leader);
    let status = reader.wait("all is read", |status| status.counters.activations == 40_000);
    assert_eq!((status.gaps, status.counters.late), (0, 0));
    drop(reader);
    assert_same(&Reader::start(&cluster.brokers(), "events", &path).finish(after(&runs)), &truth(&runs));
    cluster.spawn(leader);
    cluster.wait(3);
    members::instances_outlive_a_leader(&mut cluster);
}

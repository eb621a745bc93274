//! How fast events become windows: Apache Kafka itself, one core for the service.
//!
//! `make bench-ingest`, or `cargo run --release -p aquatope-service --example bench_ingest -- [events] [functions]` after
//! `make kafka`. A broker is started and filled; then a process of its own, bound to one core, reads the topic from
//! its beginning, decodes, counts, closes and stores minutes. It is timed from its first message to the last window.

#[path = "../tests/kafka/broker.rs"]
#[allow(dead_code)]
mod broker;
#[path = "../tests/kafka/load.rs"]
#[allow(dead_code)]
mod load;

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatope_core::time::{Minute, Timestamp};
use aquatope_service::clock::Clock;
use aquatope_service::config::Kafka;
use aquatope_service::observe::ObserverConfig;
use aquatope_service::source::{Ingest, IngestConfig, kafka};
use aquatope_service::store::Store;

use broker::Cluster;
use load::{Load, Sender, now};

const TOPIC: &str = "events";

/// Of event time.
const MINUTES: u32 = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, brokers, events, last] = arguments.as_slice()
        && mode == "read"
    {
        return read(brokers, events.parse().unwrap(), Minute(last.parse().unwrap()));
    }
    let number = |at: usize, default: u32| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let (events, functions) = (number(0, 1_500_000), number(1, 10_000));

    let cluster = Cluster::start(1);
    cluster.create_topic(TOPIC, 1, &[]);
    let start = Timestamp(now().0 - u64::from(MINUTES + 20) * 60_000);
    let gap_ms = f64::from(MINUTES) * 60_000.0 / f64::from(events);
    let mut load = Load::new(functions, start, gap_ms, 1);
    let mut sender = Sender::new(&cluster.brokers(), TOPIC, 1);
    (0..events).for_each(|_| sender.send(&load.next()));
    sender.flush();
    drop(sender);

    let last = Timestamp(load.now_ms as u64).minute().0 + 1;
    let itself = std::env::current_exe().unwrap();
    let status = Command::new("taskset")
        .args(["-c", "0"])
        .arg(itself)
        .args(["read", &cluster.brokers(), &events.to_string(), &last.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Read everything and say how long it took.
fn read(brokers: &str, events: u64, last: Minute) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path().join("state"), 15).unwrap());
    let observer = ObserverConfig::default();
    let config = IngestConfig { topic: TOPIC.into(), observer, event_delay: Duration::ZERO };
    let (sender, mut reports) = tokio::sync::mpsc::channel(4);
    let ingest = Ingest::new(config, store.clone(), sender, Clock::system()).unwrap();
    let kafka = Kafka { brokers: brokers.into(), topic: TOPIC.into(), ..Kafka::default() };
    let handle = kafka::spawn(&kafka, None, ingest, None).unwrap();
    let mut first = None;
    let status = loop {
        while reports.try_recv().is_ok() {}
        let status = handle.status();
        if first.is_none() && status.counters.activations > 0 {
            first = Some((Instant::now(), cpu_seconds(), status.counters.activations));
        }
        if status.open >= Some(last) {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (since, cpu, before) = first.expect("the last window comes after the first message");
    assert_eq!(status.counters.activations, events);
    let (wall, cpu) = (since.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let counted = (events - before) as f64;
    println!(
        "{events} events of {} functions, {} sampled, {} commits",
        status.functions, status.sampled, status.commits
    );
    println!("{:.0} events/s of wall time, {:.0} events/s of processor time", counted / wall, counted / cpu);
    println!("{} of memory at most", status_line("VmHWM:"));
}

/// User and system time of this process, all threads.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Linux counts hundredths of a second there.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn status_line(key: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("?").trim().to_owned()
}

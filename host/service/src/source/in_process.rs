//! Events from within the process, for demonstrations and tests: no broker, nothing to read again.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::ingest::Ticked;
use super::shards::{Shard, Shards};
use super::{Command, Ingest, IngestHandle};
use crate::observe::Place;

/// Start the thread. Messages are those of the topic `events`.
pub fn spawn(ingest: Ingest) -> (Sender<Vec<u8>>, IngestHandle) {
    let (sender, messages) = mpsc::channel();
    let (commands, received) = mpsc::channel();
    let status = ingest.status().clone();
    let thread =
        thread::Builder::new().name("ingest".into()).spawn(move || run(ingest, &messages, &received));
    let thread = Some(thread.expect("the system has room for one more thread"));
    (sender, IngestHandle { commands, status, thread })
}

fn run(mut ingest: Ingest, messages: &mpsc::Receiver<Vec<u8>>, commands: &mpsc::Receiver<Command>) {
    // Offsets go on from run to run, without asking where the last one ended.
    let mut offset = ingest.clock().now().0 as i64;
    ingest.handle_assigned(0, offset);
    ingest.status().update(|status| status.connected = true);
    let mut shards = Shards::new(1, vec![Shard::new(0, ingest)]);
    loop {
        while let Ok(command) = commands.try_recv() {
            if !shards.handle_command(command) {
                return;
            }
        }
        let asked = Instant::now();
        let mut next = messages.recv_timeout(Duration::from_millis(20));
        for _ in 0..10_000 {
            let Ok(message) = next else { break };
            shards.handle_message(Place { partition: 0, offset }, &message);
            offset += 1;
            next = messages.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        }
        if next.is_err() {
            shards.handle_caught_up(0, asked);
        }
        if shards.tick() == Ticked::Closed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aquatope_core::activation::FunctionId;
    use aquatope_core::time::{Minute, Timestamp};

    use super::super::IngestConfig;
    use super::*;
    use crate::clock::Clock;
    use crate::observe::ObserverConfig;
    use crate::store::Store;

    /// The first 64 bits of an id tell activations apart.
    fn id(number: u128) -> String {
        format!("{:032x}", number << 64)
    }

    fn event(ended: u64, number: u128) -> Vec<u8> {
        let message = serde_json::json!({
            "source": "invoker0", "eventType": "Activation", "timestamp": ended, "namespace": "guest",
            "body": {"name": "guest/f", "kind": "nodejs:20", "duration": 1_000, "activationId": id(number),
                "waitTime": 0, "initTime": 0, "memory": 256, "statusCode": 0, "conductor": false},
        });
        message.to_string().into_bytes()
    }

    #[test]
    fn messages_become_reports_and_durable_windows() {
        let start = Minute(29_000_000).start().0;
        // It is final after four seconds: time enough for the messages on a busy machine.
        let clock = Clock::fast(Timestamp(start + 30_000), 100.0);
        let store = Arc::new(Store::in_memory().unwrap());
        let config = IngestConfig {
            topic: "in-process".into(),
            observer: ObserverConfig::default(),
            event_delay: Duration::ZERO,
        };
        let (sender, mut reports) = tokio::sync::mpsc::channel(64);
        let ingest = Ingest::new(config, store.clone(), sender, clock).unwrap();
        let (events, handle) = spawn(ingest);
        handle.exclude("guest/f", &id(2));
        for number in 1..=3 {
            events.send(event(start + 10_000, number)).unwrap();
        }
        events.send(b"nothing".to_vec()).unwrap();
        // Until the minute is final there are about eight reports.
        let window = loop {
            let report = reports.blocking_recv().expect("the thread runs on");
            if let Some(&(id, window)) = report.finals.first() {
                assert_eq!(id, FunctionId(0));
                break window;
            }
            assert!(report.open <= Minute(29_000_000), "the minute is final without a window");
        };
        assert_eq!((window.minute, window.invocations, window.peak), (Minute(29_000_000), 2, 2));
        drop(handle);
        assert_eq!(store.unreadable().unwrap().len(), 1);
        assert_eq!(store.restored("in-process").unwrap().functions[0].name, "guest/f");
    }

    #[test]
    fn ends_when_nobody_takes_reports() {
        let config = IngestConfig {
            topic: "in-process".into(),
            observer: ObserverConfig::default(),
            event_delay: Duration::ZERO,
        };
        let (sender, reports) = tokio::sync::mpsc::channel(1);
        let store = Arc::new(Store::in_memory().unwrap());
        let (_events, handle) = spawn(Ingest::new(config, store, sender, Clock::system()).unwrap());
        drop(reports);
        while !handle.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

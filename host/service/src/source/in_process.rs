//! Events from within the process, for demonstrations and tests: no broker, nothing to read again.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::ingest::Ticked;
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
    loop {
        while let Ok(command) = commands.try_recv() {
            if !ingest.handle_command(command) {
                return;
            }
        }
        let asked = Instant::now();
        let mut next = messages.recv_timeout(Duration::from_millis(20));
        for _ in 0..10_000 {
            let Ok(message) = next else { break };
            ingest.handle_message(Place { partition: 0, offset }, &message);
            offset += 1;
            next = messages.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        }
        if next.is_err() {
            ingest.handle_caught_up(0, asked);
        }
        if ingest.tick() == Ticked::Closed {
            return;
        }
    }
}

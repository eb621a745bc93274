//! The ingest under test: in this process, or in one of its own that can be killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatope_core::time::Minute;
use aquatope_openwhisk::credentials::Secret;
use aquatope_service::clock::Clock;
use aquatope_service::config::Kafka;
use aquatope_service::observe::{MinuteReport, ObserverConfig};
use aquatope_service::source::{self, Ingest, IngestConfig, IngestHandle, IngestStatus, Records};
use aquatope_service::store::Store;
use tokio::sync::mpsc::{Receiver, channel};

use crate::load::Windows;

/// Long, for machines that do many things at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

/// An ingest with its store.
pub(crate) struct Reader {
    pub(crate) handle: IngestHandle,
    pub(crate) store: Arc<Store>,
    pub(crate) reports: Receiver<MinuteReport>,
}

impl Reader {
    pub(crate) fn start(brokers: &str, topic: &str, state: &Path) -> Self {
        Self::with(&kafka(brokers, topic), state, Clock::system(), None)
    }

    pub(crate) fn with(
        config: &Kafka,
        state: &Path,
        clock: Clock,
        records: Option<Arc<dyn Records>>,
    ) -> Self {
        Self::with_password(config, None, state, clock, records)
    }

    pub(crate) fn with_password(
        config: &Kafka,
        password: Option<&Secret>,
        state: &Path,
        clock: Clock,
        records: Option<Arc<dyn Records>>,
    ) -> Self {
        let final_after = ObserverConfig::default().final_after;
        Self::with_patience(config, password, state, clock, records, final_after)
    }

    /// The same, with minutes final so long after their end.
    pub(crate) fn with_patience(
        config: &Kafka,
        password: Option<&Secret>,
        state: &Path,
        clock: Clock,
        records: Option<Arc<dyn Records>>,
        final_after: Duration,
    ) -> Self {
        let store = Arc::new(Store::open(state, 15).unwrap());
        let ingest = IngestConfig {
            topic: config.topic.clone(),
            // Every run is kept, so that the peaks are exact.
            observer: ObserverConfig { exact_runs: 1 << 20, final_after, ..ObserverConfig::default() },
            event_delay: Duration::ZERO,
        };
        let (sender, reports) = channel(4);
        let ingest = Ingest::new(ingest, store.clone(), sender, clock).unwrap();
        let handle = source::kafka::spawn(config, password, ingest, records).unwrap();
        Self { handle, store, reports }
    }

    /// Wait until `condition` holds of the status.
    pub(crate) fn wait(&mut self, what: &str, condition: impl Fn(&IngestStatus) -> bool) -> IngestStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while self.reports.try_recv().is_ok() {}
            let status = self.handle.status();
            if condition(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{what}: not in {PATIENCE:?}; {status:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Wait until every minute before `open` is final, then stop; its windows.
    pub(crate) fn finish(mut self, open: Minute) -> Windows {
        self.wait("the minutes become final", |status| status.open >= Some(open));
        drop(self.handle);
        windows(&self.store)
    }
}

/// How to reach a broker of the tests.
pub(crate) fn kafka(brokers: &str, topic: &str) -> Kafka {
    Kafka { brokers: brokers.into(), topic: topic.into(), ..Kafka::default() }
}

/// The final windows in `store`, idle ones left out.
pub(crate) fn windows(store: &Store) -> Windows {
    let functions = store.restored("").unwrap().functions;
    let mut windows = Windows::new();
    store
        .for_each_window(Minute(0)..Minute(u32::MAX), |id, window| {
            let name = functions[id.0 as usize].name.clone();
            assert_eq!(windows.insert((name, window.minute), window), None, "stored once");
        })
        .unwrap();
    windows
}

/// Whether there are any.
pub(crate) fn has_windows(store: &Store) -> bool {
    let mut any = false;
    store.for_each_window(Minute(0)..Minute(u32::MAX), |_, _| any = true).unwrap();
    any
}

/// The first difference, for a message that can be read.
pub(crate) fn assert_same(found: &Windows, expected: &Windows) {
    let missing = expected.iter().find(|(key, window)| found.get(key) != Some(window));
    assert!(missing.is_none(), "expected {missing:?}, found {:?}", missing.map(|(key, _)| found.get(key)));
    let extra = found.iter().find(|(key, _)| !expected.contains_key(key));
    assert!(extra.is_none(), "not expected: {extra:?}");
}

/// The argument that makes the test program a reader.
const CHILD: &str = "read-until-killed";

/// Start this program again as a reader that ends when the minutes before `open` are final. It writes a line when the
/// first window is stored.
pub(crate) fn spawn_child(brokers: &str, topic: &str, state: &Path, open: Minute) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([CHILD, brokers, topic, state.to_str().unwrap(), &open.0.to_string()]);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Wait until the reader has stored a window, or has ended.
pub(crate) fn wait_for_windows(child: &mut Child) {
    let output = child.stdout.as_mut().unwrap();
    BufReader::new(output).read_line(&mut String::new()).unwrap();
}

/// If this process is such a reader, be it and end.
pub(crate) fn run_child() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [child, brokers, topic, state, open] = arguments.as_slice() else { return };
    if child == CHILD {
        let reader = Reader::start(brokers, topic, Path::new(state));
        let store = reader.store.clone();
        std::thread::spawn(move || {
            while !has_windows(&store) {
                std::thread::sleep(Duration::from_millis(2));
            }
            println!("stored");
        });
        reader.finish(Minute(open.parse().unwrap()));
        std::process::exit(0);
    }
}

//! The whole service at the size it is made for: what it holds in memory, and how soon it shows what happens.
//!
//! `make bench-service`, or `cargo run --release -p aquatope-service --example bench_service -- PROGRAM [functions] [minutes]`
//! after `make kafka`; PROGRAM is `aquatope`. It is started as `aquatope serve`, with a day of history, beside Apache Kafka and
//! a stand-in of the platform whose functions are all busy now and then. First it trains its model. Then a load runs, and
//! `/metrics` is read all the while: the n-th event has taken effect when `/metrics` has counted n of them.

#[path = "../tests/kafka/broker.rs"]
#[allow(dead_code)]
mod broker;
#[path = "../tests/kafka/load.rs"]
#[allow(dead_code)]
mod load;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use aquatope_core::activation::FunctionId;
use aquatope_core::time::Minute;
use aquatope_core::window::Window;
use aquatope_service::observe::{Commit, FunctionInfo};
use aquatope_service::serve::STORE;
use aquatope_service::store::Store;
use aquatope_standin::config::{Action, Config, Model};
use aquatope_standin::{Arrival, Standin};

use broker::Cluster;
use load::Sender;

const TOPIC: &str = "events";
/// Minutes of history.
const PAST: u32 = 1_440;
/// What the platform was started with.
const MANIFEST: &str = r#"{"runtimes":{"python":[{"kind":"python:3","default":true,"stemCells":[{"initialCount":1,"memory":"256 MB"}]}]}}"#;
/// Invocations in a second, of all functions alike.
const RATE: i64 = 300;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u32| arguments.get(at).map_or(default, |text| text.parse().unwrap());
    let program = arguments.first().expect("the program to run: target/release/aquatope");
    let (functions, minutes) = (number(1, 10_000), number(2, 5));
    let folder = tempfile::tempdir().unwrap();
    remember(&folder.path().join(STORE), functions);
    let cluster = Cluster::start(1);
    cluster.create_topic(TOPIC, 1, &[]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(program, functions, minutes, &cluster.brokers(), folder.path()));
}

/// A day in which one function in ten was busy in any minute.
fn remember(path: &Path, functions: u32) {
    let store = Store::open(path, 15).unwrap();
    let end = load::now().minute().0 - 8;
    let first = end - PAST;
    let info = |id: u32| FunctionInfo {
        name: format!("guest/{}", name(id)),
        kind: "python:3".into(),
        namespace: "guest".into(),
        memory_mb: 256,
        first: Minute(first),
        ..FunctionInfo::default()
    };
    let windows = |minute: u32| {
        let busy = (0..functions).filter(move |id| (id * 7 + minute * 3).is_multiple_of(10));
        busy.map(move |id| {
            let peak = 1 + (id + minute / 10) % 3;
            (
                FunctionId(id),
                Window { minute: Minute(minute), invocations: 2 * peak, peak, ..Window::default() },
            )
        })
    };
    for minute in (first..end).step_by(60) {
        let commit = Commit {
            open: Some(Minute(minute + 60)),
            windows: (minute..minute + 60).flat_map(windows).collect(),
            functions: (0..if minute == first { functions } else { 0 })
                .map(|id| (FunctionId(id), info(id)))
                .collect(),
            offsets: Vec::new(),
            exclusions: None,
        };
        store.commit(TOPIC, &commit, &[]).unwrap();
    }
}

fn name(id: u32) -> String {
    format!("function-{id:05}")
}

async fn measure(program: &str, functions: u32, minutes: u32, brokers: &str, folder: &Path) {
    // When each run of the platform was told of.
    let told: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let (events, written) = mpsc::channel::<Vec<u8>>();
    let mut sender = Sender::new(brokers, TOPIC, 1);
    thread::spawn(move || written.iter().for_each(|event| sender.send_bytes(&event)));
    let telling = told.clone();
    let tell = move |event: Vec<u8>| {
        if String::from_utf8_lossy(&event).contains("\"Activation\"") {
            telling.lock().unwrap().push(Instant::now());
        }
        let _ = events.send(event);
    };
    let model = Model { fixed_ms: 200.0, noise: 0.5, ..Model::default() };
    let config = Config {
        actions: (0..functions).map(|id| Action::new(&name(id), "python:3", model)).collect(),
        invokers_mb: vec![2_000_000; 4],
        per_minute: 1_000_000,
        concurrent: 100_000,
        ..Config::default()
    };
    let standin = Standin::start(config, 1.0, 0, tell).await.unwrap();
    let mut service = Served::start(program, folder, brokers, &standin);
    let began = Instant::now();
    let address = service.address().await;
    while !get(&address, "/api/status").await.contains("\"kind\":\"light\"") {
        service.expect_within(began, Duration::from_secs(600));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!(
        "{functions} functions; started and trained after {:.0} s, memory {}",
        began.elapsed().as_secs_f64(),
        service.memory()
    );

    let arrivals = (0..i64::from(minutes) * 60 * RATE).map(move |at| {
        // Multiples of an odd number, in another order every time around.
        let id = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        Arrival { at_ms: at * 1_000 / RATE, action: name((id % u64::from(functions)) as u32), run_ms: None }
    });
    let driven = tokio::spawn(async move {
        let taken = standin.drive(arrivals).await;
        // Until the last run has ended.
        tokio::time::sleep(Duration::from_secs(20)).await;
        (taken, standin)
    });
    let (mut delays, mut ticks) = (Vec::new(), BTreeMap::new());
    let began = Instant::now();
    let mut last = false;
    loop {
        last |= driven.is_finished();
        let text = get(&address, "/metrics").await;
        let seen = value(&text, "aquatope_events_total{kind=\"activation\"}");
        let shown = Instant::now();
        let all = {
            let told = told.lock().unwrap();
            delays.extend(
                told[delays.len()..told.len().min(seen as usize)].iter().map(|&at| shown.duration_since(at)),
            );
            delays.len() == told.len()
        };
        let minute = value(&text, "aquatope_planned_minute") as u64;
        ticks.insert(minute, value(&text, "aquatope_plan_seconds"));
        if last && all {
            break;
        }
        service.expect_within(began, Duration::from_secs(u64::from(minutes) * 60 + 120));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (taken, standin) = driven.await.unwrap();
    delays.sort();
    let quantile = |level: f64| delays[((delays.len() - 1) as f64 * level) as usize].as_secs_f64();
    println!(
        "{} events: on /metrics after {:.2} s (median), {:.2} s (99 %), {:.2} s at most",
        delays.len(),
        quantile(0.5),
        quantile(0.99),
        quantile(1.0),
    );
    let ticks: Vec<f64> = ticks.into_values().collect();
    let most = ticks.iter().copied().fold(0.0, f64::max);
    println!("{} minutes planned, each in {most:.3} s at most; memory {}", ticks.len(), service.memory());
    println!("{} cold starts of {taken}", standin.with(|platform| platform.counts().cold));
}

/// `aquatope serve` in a process of its own.
struct Served {
    process: Child,
    address: String,
    log: PathBuf,
}

impl Served {
    fn start(program: &str, folder: &Path, brokers: &str, standin: &Standin) -> Self {
        // Free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (manifest, output) = (folder.join("runtimes.json"), folder.join("ours.json"));
        fs::write(&manifest, MANIFEST).unwrap();
        let text = format!(
            "[state]\ndirectory = {folder:?}\n[kafka]\nbrokers = {brokers:?}\n[http]\nlisten = {address:?}\n\
             [openwhisk]\nurl = {:?}\n[train]\nfirst_after_h = 12.0\n\
             [actuator]\nkind = \"manifest-file\"\nmanifest = {manifest:?}\noutput = {output:?}\ninvokers = 4\n",
            standin.url(),
        );
        let config = folder.join("aquatope.toml");
        fs::write(&config, text).unwrap();
        let subject = standin.subject();
        let log = folder.join("log");
        let process = Command::new(program)
            .args(["serve", "--config"])
            .arg(config)
            .env("AQUATOPE_OPENWHISK_AUTH", format!("{}:{}", subject.user, subject.secret.reveal()))
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { process, address, log }
    }

    /// Where it answers, once it does.
    async fn address(&mut self) -> String {
        let began = Instant::now();
        while reqwest::get(format!("http://{}/healthz", self.address)).await.is_err() {
            self.expect_within(began, Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.address.clone()
    }

    /// Ends with what the service said last if it ended, or if this takes longer since `began` than it may.
    fn expect_within(&mut self, began: Instant, longest: Duration) {
        let ended = self.process.try_wait().unwrap();
        if ended.is_some() || began.elapsed() > longest {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(20)..].join("\n");
            panic!(
                "after {:?} the service has not come this far (ended: {ended:?}); it said\n{tail}",
                began.elapsed()
            );
        }
    }

    fn memory(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("0");
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
        };
        format!("{} MB (at most {} MB)", line("VmRSS:"), line("VmHWM:"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn get(address: &str, path: &str) -> String {
    reqwest::get(format!("http://{address}{path}")).await.unwrap().text().await.unwrap()
}

fn value(text: &str, name: &str) -> f64 {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0.0)
}

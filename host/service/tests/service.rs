//! The whole service against a platform that runs: events in, containers out, and everything it shows of itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use aquatope_core::activation::FunctionId;
use aquatope_core::forecast::LEVELS;
use aquatope_core::forecast::features::Profile;
use aquatope_core::forecast::light::{GAINS, OUTPUTS, header, network_len};
use aquatope_core::time::{Minute, Timestamp};
use aquatope_core::window::Window;
use aquatope_service::clock::Clock;
use aquatope_service::config::{self, Config, Secrets};
use aquatope_service::observe::{Commit, FunctionInfo};
use aquatope_service::serve::{Events, STORE, Service};
use aquatope_service::store::Store;
use aquatope_service::train::{self, MODEL, Series, Trainer};
use aquatope_standin::config::{Action, Model};
use aquatope_standin::{Arrival, Standin};
use tempfile::TempDir;

/// Virtual seconds in a real one.
const SPEED: f64 = 300.0;

/// Trains nothing of use, at once: what is tested is that it is asked, and that the model is used and kept.
struct Constant;

impl Trainer for Constant {
    fn train(&self, series: &[Series], _: &AtomicBool) -> Result<Vec<u32>, String> {
        if series.is_empty() {
            return Err("no series".into());
        }
        Ok(words(&vec![0.01; network_len(8)]))
    }

    fn profile(&self, _: &[u32]) -> Profile {
        Profile::UNKNOWN
    }
}

/// A function that was first seen two hours before `now`.
fn known(name: &str, now: Minute) -> FunctionInfo {
    FunctionInfo {
        name: name.into(),
        kind: "python:3".into(),
        namespace: "guest".into(),
        memory_mb: 256,
        first: Minute(now.0 - 120),
        ..FunctionInfo::default()
    }
}

/// The weight file of one network, eight wide.
fn words(values: &[f32]) -> Vec<u32> {
    let head = header(8, 1).to_bytes(values).unwrap();
    let head = head.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    head.chain(values.iter().map(|value| value.to_bits())).collect()
}

/// A platform and a service beside it that hears its events.
struct Both {
    standin: Standin,
    service: Service,
    _folder: TempDir,
}

type Sink = Arc<Mutex<Option<mpsc::Sender<Vec<u8>>>>>;

impl Both {
    async fn start(actions: Vec<Action>, text: &str) -> Self {
        let config =
            aquatope_standin::config::Config { idle_timeout_ms: 120_000, actions, ..Default::default() };
        Self::beside(config, SPEED, text).await
    }

    async fn beside(config: aquatope_standin::config::Config, speed: f64, text: &str) -> Self {
        let sink = Sink::default();
        let heard = Arc::clone(&sink);
        let config = aquatope_standin::config::Config { per_minute: 100_000, concurrent: 1000, ..config };
        let standin = Standin::start(config, speed, 0, move |event| {
            if let Some(sink) = heard.lock().unwrap().as_ref() {
                let _ = sink.send(event);
            }
        })
        .await
        .unwrap();
        let folder = TempDir::new().unwrap();
        let (config, secrets) = configure(&folder, &standin, text);
        let service = start(&config, &secrets, &standin, speed).await;
        *sink.lock().unwrap() = service.events();
        Self { standin, service, _folder: folder }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        get(self.service.address(), path).await
    }
}

fn configure(folder: &TempDir, standin: &Standin, text: &str) -> (Config, Secrets) {
    let path = folder.path().join("aquatope.toml");
    let state = folder.path().join("state");
    let common = format!(
        "[state]\ndirectory = {:?}\n[http]\nlisten = \"127.0.0.1:0\"\n[openwhisk]\nurl = {:?}\ncontroller_url = {:?}\n",
        state.display().to_string(),
        standin.url(),
        standin.url(),
    );
    std::fs::write(&path, format!("{common}{text}")).unwrap();
    let subject = standin.subject();
    let auth = format!("{}:{}", subject.user, subject.secret.reveal());
    let environment = [
        ("AQUATOPE_OPENWHISK_AUTH", auth.as_str()),
        ("AQUATOPE_CONTROLLER_AUTH", "controller.user:controller.pass"),
        ("AQUATOPE_HTTP_TOKEN", "open sesame"),
    ];
    config::read(Some(&path), environment.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_damaged_is_told_once() {
    let standin = Standin::start(Default::default(), SPEED, 0, |_| {}).await.unwrap();
    let folder = TempDir::new().unwrap();
    let (config, secrets) = configure(&folder, &standin, "");
    std::fs::create_dir_all(&config.state.directory).unwrap();
    let path = config.state.directory.join(STORE);
    drop(Store::open(&path, 15).unwrap());
    let database = redb::Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    let about = redb::TableDefinition::<&str, &[u8]>::new("about");
    write.open_table(about).unwrap().insert("open", &[0xff; 9][..]).unwrap();
    write.commit().unwrap();
    drop(database);
    let clock = Clock::system();
    let started = Service::start(&config, &secrets, Arc::new(Constant), clock, Events::InProcess).await;
    let told = started.err().unwrap().to_string();
    for once in [path.to_str().unwrap(), "a record does not decode", "move it away"] {
        assert_eq!(told.matches(once).count(), 1, "{once} in {told}");
    }
}

async fn start(config: &Config, secrets: &Secrets, standin: &Standin, speed: f64) -> Service {
    let clock = Clock::fast(Timestamp(standin.now_ms() as u64), speed);
    Service::start(config, secrets, Arc::new(Constant), clock, Events::InProcess).await.unwrap()
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let response = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Six invocations at the same time, every three minutes.
fn bursts(minutes: i64) -> Vec<Arrival> {
    let of = |minute: i64| {
        (0..6).map(move |_| Arrival { at_ms: minute * 60_000 + 30_000, action: "burst".into(), run_ms: None })
    };
    (0..minutes).step_by(3).flat_map(of).collect()
}

fn burst_action() -> Vec<Action> {
    vec![Action::new(
        "burst",
        "python:3",
        Model { fixed_ms: 300.0, init_ms: 1000, create_ms: 1000, ..Model::default() },
    )]
}

/// A platform with one action and a service beside it. Time goes on when everybody has done what there was to do: however
/// slow the machine is, the outcome is the same.
struct Stepped {
    standin: Standin,
    service: Service,
    sent: Arc<AtomicU64>,
    now: &'static AtomicU64,
    ahead_ms: u64,
    folder: TempDir,
}

/// The minute before which the tests begin.
const BEGIN: Minute = Minute(29_000_000);

impl Stepped {
    /// It is `before_ms` before [`BEGIN`]; `stored` is what the service knows.
    async fn start(action: Action, text: &str, before_ms: u64, stored: impl FnOnce(&Config)) -> Self {
        let begin_ms = BEGIN.start().0 - before_ms;
        let config = aquatope_standin::config::Config {
            begin_ms: Some(begin_ms as i64),
            idle_timeout_ms: 120_000,
            per_minute: 100_000,
            concurrent: 1000,
            actions: vec![action],
            ..Default::default()
        };
        // The first plan is carried out before the service is handed over: its events wait.
        let (heard, waiting) = mpsc::channel();
        let sent = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&sent);
        let standin = Standin::start(config, 0.0, 0, move |event| {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = heard.send(event);
        })
        .await
        .unwrap();
        let folder = TempDir::new().unwrap();
        let (config, secrets) = configure(&folder, &standin, text);
        stored(&config);
        let now: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(begin_ms)));
        let clock = Clock::stepped(now);
        let service = Service::start(&config, &secrets, Arc::new(Constant), clock, Events::InProcess).await;
        let service = service.unwrap();
        let events = service.events().unwrap();
        std::thread::spawn(move || waiting.into_iter().try_for_each(|event| events.send(event)));
        let ahead_ms = (config.windows.ahead_s * 1e3) as u64;
        let stepped = Self { standin, service, sent, now, ahead_ms, folder };
        stepped.acted().await;
        stepped
    }

    /// Until what should have been planned a second ago is carried out: what was read lies a moment behind the clock.
    async fn acted(&self) {
        let minute = Timestamp(self.now.load(Ordering::Relaxed) + self.ahead_ms - 1_000).minute();
        until(|| self.service.board().read().unwrap().actuator.applied >= Some(minute.0)).await;
    }

    /// Time goes on by `ms`, and then `calls` invocations come at the same time.
    async fn go_on(&self, ms: u64, action: &str, calls: u32) {
        self.standin.step(ms as i64);
        self.standin.with(|platform| (0..calls).for_each(|_| drop(platform.load(action, None).unwrap())));
        let sent = self.sent.load(Ordering::Relaxed);
        let read = async {
            while read(&self.service).await < sent {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("all is read");
        self.now.fetch_add(ms, Ordering::Relaxed);
        self.acted().await;
    }

    /// Invocations and cold starts in the final minutes from `first` on.
    async fn counted(self, first: Minute) -> (u32, u32) {
        self.service.stop().await;
        let store = Store::open(self.folder.path().join("state/aquatope.redb"), 15).unwrap();
        let (mut invocations, mut cold) = (0, 0);
        store
            .for_each_window(first..Minute(u32::MAX), |_, window| {
                invocations += window.invocations;
                cold += window.cold_starts;
            })
            .unwrap();
        (invocations, cold)
    }
}

/// Cold starts of five bursts of six, after three to learn from.
async fn cold_starts(actuator: &str) -> u32 {
    let model = Model { fixed_ms: 300.0, init_ms: 4000, create_ms: 5000, ..Model::default() };
    let text = format!("[pool]\ncold_start_cost = 30.0\n[actuator]\n{actuator}");
    let action = Action::new("burst", "python:3", model);
    let stepped = Stepped::start(action, &text, 4_000, |_| {}).await;
    for minute in 0..40 {
        stepped.go_on(34_000, "burst", if minute < 24 && minute % 3 == 0 { 6 } else { 0 }).await;
        stepped.go_on(26_000, "burst", 0).await;
    }
    let (invocations, cold) = stepped.counted(Minute(BEGIN.0 + 8)).await;
    assert_eq!(invocations, 30);
    cold
}

/// How many messages the service has read.
async fn read(service: &Service) -> u64 {
    let (_, text) = get(service.address(), "/api/status").await;
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    let counters = status["events"]["counters"].as_object().unwrap();
    // Those that were partly late are among the others.
    counters.iter().filter(|(kind, _)| *kind != "partly").map(|(_, count)| count.as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn warm_up_calls_spare_users_the_cold_starts() {
    let warm_up = "kind = \"warm-up\"\nwarm_up_per_minute = 600\nidle_container_min = 2.0";
    let (without, with) = tokio::join!(cold_starts("kind = \"dry-run\""), cold_starts(warm_up));
    assert_eq!(without, 30, "the platform evicts after two minutes, and a burst comes every three");
    assert!(with <= 10, "{with} of 30 invocations started cold in spite of warm-up calls");
}

/// A network that forecasts what the last repeats ten minutes apart were, and is sure of it.
fn every_ten_minutes() -> Vec<u32> {
    /// Of the simple forecasts.
    const TEN_MINUTES: usize = 6;
    let mut values = vec![0.0; network_len(8)];
    values[GAINS].fill(1.0);
    let outputs = values.len() - OUTPUTS;
    // No steps from a quantile to the next one, and no weight but on the one forecast.
    values[outputs + 1..outputs + LEVELS.len()].fill(-200.0);
    values[outputs + LEVELS.len() + TEN_MINUTES] = 200.0;
    words(&values)
}

/// Cold starts of four runs of a timer's job, ten minutes apart, and the calls that were made for them.
async fn cold_starts_of_a_timer(ahead_s: f64) -> (u32, u64) {
    let job = FunctionInfo { cold_start_ms: 2_500.0, ..known("guest/job", BEGIN) };
    let window = |minute| {
        let minute = Minute(minute);
        (FunctionId(0), Window { minute, invocations: 1, peak: 1, busy_ms: 300, ..Window::default() })
    };
    let stored = |config: &Config| {
        std::fs::create_dir_all(&config.state.directory).unwrap();
        let store = Store::open(config.state.directory.join(STORE), 15).unwrap();
        let commit = Commit {
            open: Some(Minute(BEGIN.0 - 2)),
            windows: (BEGIN.0 - 120..BEGIN.0 - 2).step_by(10).map(window).collect(),
            functions: vec![(FunctionId(0), job)],
            ..Commit::default()
        };
        store.commit(&config.kafka.topic, &commit, &[]).unwrap();
        let model = train::Model { weights: every_ten_minutes(), trained: BEGIN.start() };
        store.put(MODEL, &postcard::to_stdvec(&model).unwrap()).unwrap();
    };
    let model = Model { fixed_ms: 300.0, init_ms: 1500, create_ms: 1000, ..Model::default() };
    let text = format!(
        "[windows]\nahead_s = {ahead_s:.1}\n[train]\nenabled = false\n[actuator]\nkind = \"warm-up\"\nidle_container_min = 2.0"
    );
    let action = Action::new("job", "python:3", model);
    let stepped = Stepped::start(action, &text, 4_000, stored).await;
    for minute in 0..40 {
        // It runs at second 0.
        stepped.go_on(4_000, "job", u32::from(minute % 10 == 0)).await;
        stepped.go_on(2_000, "job", 0).await;
        stepped.go_on(54_000, "job", 0).await;
    }
    let calls = stepped.service.board().read().unwrap().actuator.calls;
    let (invocations, cold) = stepped.counted(BEGIN).await;
    assert_eq!(invocations, 4, "warm-up calls are nobody's runs");
    (cold, calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timers_job_finds_its_container_warm_at_second_0() {
    let (at_once, ahead) = tokio::join!(cold_starts_of_a_timer(0.0), cold_starts_of_a_timer(5.0));
    // The last plan of those made ahead is for the minute after the last one.
    assert_eq!(at_once, (4, 4), "the call comes with the run");
    assert_eq!(ahead, (0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_what_is_planned() {
    let both = Both::start(burst_action(), "").await;
    assert_eq!(both.get("/healthz").await, (200, "ok\n".into()));
    both.standin.drive(bursts(10)).await;
    until(|| {
        both.service.board().read().unwrap().functions().any(|f| f.target.is_some_and(|t| t.containers > 0))
    })
    .await;
    // At this speed five minutes are one second: on a busy machine it may be not ready for a moment.
    let ready = async {
        while both.get("/readyz").await != (200, "ready\n".into()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("it is ready");

    let (status, page) = both.get("/").await;
    assert!(status == 200 && page.contains("<title>Aquatope</title>"));
    let (_, text) = both.get("/api/functions?limit=5").await;
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&list["total"], &list["functions"][0]["name"]), (&1.into(), &"guest/burst".into()));
    let (_, text) = both.get("/api/function?name=guest/burst").await;
    let one: serde_json::Value = serde_json::from_str(&text).unwrap();
    let peaks: Vec<u64> =
        one["minutes"].as_array().unwrap().iter().filter_map(|m| m["peak"].as_u64()).collect();
    assert!(peaks.contains(&6) && peaks.contains(&0), "{peaks:?}");
    let (_, text) = both.get("/api/status").await;
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["actuator"]["kind"], "dry-run");
    assert!(status["events"]["counters"]["activations"].as_u64().unwrap() >= 18);

    let (status, metrics) = both.get("/metrics").await;
    assert!(status == 200 && metrics.ends_with("# EOF\n"));
    assert!(
        metrics.contains("aquatope_function_target_containers{function=\"guest/burst\",kind=\"python:3\"}"),
        "{metrics}"
    );
    // Every metric that the Grafana dashboard shows is there.
    let grafana = include_str!("../deploy/grafana.json");
    let names = grafana.split("aquatope_").skip(1);
    for name in names.map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap())
    {
        let of_cluster = name.starts_with("shards_") || name.starts_with("cluster_");
        let optional = name == "forecast_above_q95_share" || of_cluster;
        assert!(optional || metrics.contains(&format!("\naquatope_{name}")), "no metric aquatope_{name}");
    }

    assert_eq!(both.get("/api/function?name=nobody").await.0, 404);
    assert_eq!(both.get("/api/functions?limit=many").await.0, 400);
    assert_eq!(both.get("/api/functions?colour=red").await.0, 400);
    assert_eq!(both.get("/nowhere").await.0, 404);
    both.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_misbehave_disturb_nobody() {
    let both = Both::start(burst_action(), "").await;
    let address = both.service.address();
    // Nothing can be written.
    let client = reqwest::Client::new();
    for path in ["/metrics", "/api/functions", "/"] {
        let response = client.post(format!("http://{address}{path}")).body(vec![0; 1 << 20]).send().await;
        // The connection may be closed before all of the body was sent.
        assert!(response.is_err() || response.is_ok_and(|response| response.status() == 405));
    }
    // Endless headers, and many slow clients: others are served all the while.
    let slow: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n").unwrap();
            stream
        })
        .collect();
    assert_eq!(both.get("/healthz").await.0, 200);
    let answered = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let line = format!("X-Long: {}\r\n", "a".repeat(1000));
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n");
        for _ in 0..2000 {
            if stream.write_all(line.as_bytes()).is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let _ = stream.take(4096).read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
    .unwrap();
    assert!(answered.is_empty() || answered.starts_with("HTTP/1.1 431"), "{answered}");
    drop(slow);
    // As many as are served at a time, that say nothing at all.
    let silent: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
    let served = tokio::time::timeout(PATIENCE, both.get("/healthz")).await;
    assert_eq!(served.expect("silent clients give way").0, 200);
    drop(silent);
    both.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_nothing_and_the_model_stays() {
    let sink = Sink::default();
    let heard = Arc::clone(&sink);
    let config = aquatope_standin::config::Config { actions: burst_action(), ..Default::default() };
    let standin = Standin::start(config, SPEED, 0, move |event| {
        if let Some(sink) = heard.lock().unwrap().as_ref() {
            let _ = sink.send(event);
        }
    })
    .await
    .unwrap();
    let folder = TempDir::new().unwrap();
    let text = "[windows]\nfinal_after_s = 30.0\n[train]\nfirst_after_h = 0.25\n";
    let (config, secrets) = configure(&folder, &standin, text);
    let service = start(&config, &secrets, &standin, SPEED).await;
    *sink.lock().unwrap() = service.events();
    let ten = Arrival { at_ms: 0, action: "burst".into(), run_ms: None };
    standin.drive((0..40).map(|minute| Arrival { at_ms: minute * 60_000, ..ten.clone() })).await;
    until(|| service.board().read().unwrap().model().trainings > 0).await;
    assert_eq!(service.board().read().unwrap().model().kind, "light");
    *sink.lock().unwrap() = None;
    service.stop().await;

    let service = start(&config, &secrets, &standin, SPEED).await;
    {
        let board = service.board().read().unwrap();
        assert_eq!(board.functions().next().unwrap().info.name, "guest/burst");
        assert_eq!((board.model().kind, board.model().trainings), ("light", 0), "the stored one");
    }
    service.stop().await;
}

/// The file in `folder` that stem cells are written to, and the settings for that.
fn stem_cells(folder: &TempDir) -> (PathBuf, String) {
    let manifest = folder.path().join("runtimes.json");
    let text = r#"{"runtimes":{"python":[{"kind":"python:3","default":true,"stemCells":[{"initialCount":1,"memory":"256 MB"}]}]}}"#;
    std::fs::write(&manifest, text).unwrap();
    let output = folder.path().join("ours.json");
    let text = format!(
        "[actuator]\nkind = \"manifest-file\"\nmanifest = {manifest:?}\noutput = {output:?}\ninvokers = 2\nidle_container_min = 2.0\nmin_interval_s = 0.0\n"
    );
    (output, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_the_platform_what_it_has() {
    let folder = TempDir::new().unwrap();
    let (output, text) = stem_cells(&folder);
    let standin = Standin::start(Default::default(), 1.0, 0, |_| {}).await.unwrap();
    let (config, secrets) = configure(&folder, &standin, &text);
    // Two hours of bursts are known, and the clock runs as every clock does: nothing changes for an hour to come.
    let now = Minute(29_000_000);
    let window = |minute| {
        let window =
            Window { minute: Minute(minute), invocations: 6, peak: 6, busy_ms: 6_000, ..Window::default() };
        (FunctionId(0), window)
    };
    let burst = known("guest/burst", now);
    let commit = Commit {
        open: Some(Minute(now.0 - 1)),
        windows: (now.0 - 120..now.0 - 1).step_by(3).map(window).collect(),
        functions: vec![(FunctionId(0), burst)],
        offsets: Vec::new(),
        exclusions: None,
    };
    std::fs::create_dir_all(&config.state.directory).unwrap();
    let store = Store::open(config.state.directory.join(STORE), 15).unwrap();
    store.commit(&config.kafka.topic, &commit, &[]).unwrap();
    drop(store);
    let clock = Clock::fast(Timestamp(now.start().0 + 10_000), 1.0);
    let service =
        Service::start(&config, &secrets, Arc::new(Constant), clock, Events::InProcess).await.unwrap();
    let spares = || std::fs::read_to_string(&output).is_ok_and(|text| text.contains("\"initialCount\":3"));
    until(spares).await;
    service.stop().await;
    assert!(spares(), "{}", std::fs::read_to_string(&output).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn stem_cells_follow_the_targets() {
    let folder = TempDir::new().unwrap();
    let (output, text) = stem_cells(&folder);
    let both = Both::start(burst_action(), &text).await;
    both.standin.drive(bursts(12)).await;
    // Six containers on two invokers, when none is warm any more.
    until(|| std::fs::read_to_string(&output).is_ok_and(|text| text.contains("\"initialCount\":3"))).await;
    both.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_tuned_and_applied_when_somebody_approves() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pair.json");
    let text = r#"{"schema":"aquatope-workflow/1","name":"pair","functions":[{"name":"a"},{"name":"b"}],"edges":[[0,1]],
        "edge_overhead_s":0.01,"prices":{"cpu_per_core_s":0.2,"mem_per_gb_s":0.05},"qos_s":3.0,
        "space":{"cpu":{"min":0.5,"max":4,"step":0.5},"mem_mb":{"min":256,"max":2048,"step":256}}}"#;
    std::fs::write(&file, text).unwrap();
    let model = Model { fixed_ms: 100.0, work_ms: 500.0, ..Model::default() };
    let action = |name: &str| Action { memory_mb: 2048, ..Action::new(name, "python:3", model) };
    let actions = vec![action("a"), action("b"), Action::sequence("pair", &["a", "b"])];
    let config = aquatope_standin::config::Config {
        actions,
        invokers_mb: vec![16_384; 2],
        // What a search thinks takes minutes of this clock, and must not cool the containers.
        idle_timeout_ms: i64::MAX / 4,
        ..Default::default()
    };
    let both = Both::beside(
        config,
        SPEED,
        &format!("[[workflow]]\nfile = {file:?}\ntune = true\nsamples = 1\ntrials = 12\n"),
    )
    .await;
    let state = || both.service.board().read().unwrap().workflows["pair"].clone();
    let approve = async |token: &str, name: &str| {
        let url = format!("http://{}/api/workflows/{name}/approve", both.service.address());
        reqwest::Client::new().post(url).bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    assert_eq!(approve("open sesame", "pair").await, 409, "there is nothing to approve of yet");
    until(|| state().state == "waiting for approval" || state().error.is_some()).await;
    assert_eq!(state().error, None);
    assert_eq!(state().trials, 12);
    let memory = |name: &str| {
        both.standin.with(|platform| {
            platform.action(name, false).and_then(|action| action["limits"]["memory"].as_u64())
        })
    };
    assert_eq!((memory("a"), memory("b")), (Some(2048), Some(2048)), "production is as it was");
    assert_eq!(approve("wrong", "pair").await, 401);
    assert_eq!(approve("open sesame", "other").await, 404);
    assert_eq!(approve("open sesame", "pair").await, 202);
    until(|| state().state == "applied, being watched").await;
    assert!(memory("a") < Some(2048) || memory("b") < Some(2048));
    // The clones of the trials are no functions of anybody's.
    let clones = both
        .service
        .board()
        .read()
        .unwrap()
        .functions()
        .any(|f| f.info.name.contains("__aquatope_") && f.target.is_some());
    assert!(!clones);
    both.service.stop().await;
}

/// Long, for machines that do many things at once.
const PATIENCE: Duration = Duration::from_secs(100);

/// Wait for `condition`.
async fn until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! Several instances in one consumer group: one acts, or they share the functions. These are whole services, in processes
//! of their own that can be killed and stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aquatope_core::forecast::features::Profile;
use aquatope_core::time::Timestamp;
use aquatope_service::clock::Clock;
use aquatope_service::cluster::log::KafkaLog;
use aquatope_service::config::{self, Cluster, Kafka, Secrets};
use aquatope_service::serve::{Events, Service};
use aquatope_service::source::Duty;
use aquatope_service::store::{Change, Changelog, LogError, Row, Store};
use aquatope_service::train::{Series, Trainer};
use serde_json::{Value, json};

use crate::load::{Load, Run, Sender, Windows, now, past_runs, send, truth};
use crate::reader::{PATIENCE, Reader, assert_same, kafka};
use crate::tests::{cluster, state};

/// The second instance of a group stands by, and acts when the first one is gone.
pub(crate) fn one_instance_of_a_group_acts() {
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    cluster.create_topic("duty", 2, &[]);
    send(&cluster.brokers(), "duty", 2, &past_runs(3, 100, 5, 11));
    let ((_folder, path), (_other_folder, other_path)) = (state(), state());
    let config = Kafka { group: "on-duty".into(), ..kafka(&cluster.brokers(), "duty") };
    let start = |path| Reader::with(&config, path, Clock::system(), None);
    let mut first = start(&path);
    first.wait("it is alone", |status| status.duty == Duty::Ours);
    let mut second = start(&other_path);
    second.wait("it sees the first", |status| status.duty == Duty::Another);
    second.wait("it reads nevertheless", |status| status.counters.activations == 100);
    assert_eq!(first.wait("the group agrees", |status| status.duty != Duty::Unknown).duty, Duty::Ours);
    drop(first);
    second.wait("it takes over", |status| status.duty == Duty::Ours);
}

/// A minute in a second. Minutes are final 20 of them later: the most that an event may take to the broker.
const SPEED: f64 = 60.0;
const FINAL_AFTER_S: u32 = 1_200;
const SHARDS: i32 = 5;

/// Three instances under load. One is killed, one joins, one is stopped and comes back after others have taken over, one
/// leaves: every function is planned again, and in the end every window is there, once. One of them acts for all, and one
/// tunes the workflow.
pub(crate) fn instances_share_the_functions() {
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    cluster.create_topic("shared", 2, &[]);
    let mut many = Many::new(&cluster.brokers());
    let load = Loading::start(&cluster.brokers(), "shared", many.time);
    (0..3).for_each(|_| many.start());
    many.wait("three share the shards", |all| all.whole() && all.statuses.len() == 3);
    many.wait("a minute is planned", |all| all.whole() && all.planned(1) && all.acts());

    let killed = many.kill();
    let asked = Instant::now();
    let minute = many.time.minute();
    many.wait("the others took over", |all| all.whole() && all.planned(minute) && all.acts());
    println!("instance {killed} killed; all is planned again after {:.1} s", asked.elapsed().as_secs_f64());
    many.start();
    many.wait("a new one has a share", |all| all.whole() && all.statuses.len() == 3);

    let stopped = many.signal(1, "-STOP");
    let minute = many.time.minute();
    many.wait("the others took over again", |all| {
        all.statuses.len() == 2 && all.whole() && all.planned(minute)
    });
    many.signal(1, "-CONT");
    many.wait("it is back", |all| all.statuses.len() == 3 && all.whole());
    println!("instance {stopped} stopped, taken over, and continued");
    let minute = many.time.minute();
    many.wait("all goes on", |all| all.whole() && all.planned(minute) && all.acts());

    let runs = load.stop();
    // No function is left without windows that were closed while shards changed hands.
    let last = Timestamp(runs.iter().map(|run| run.ended).max().unwrap()).minute();
    many.wait("all is final", |all| all.whole() && all.open() > last.0);
    many.stop();
    let (found, records) = many.logged();
    assert_same(&found, &truth(&runs));
    assert!(records > 100, "minutes were closed under way: {records}");
}

/// A write that was given up because the broker did not answer keeps no later one from being written.
pub(crate) fn a_log_goes_on_after_the_broker_hung() {
    let shared = cluster();
    let brokers = shared.as_ref().unwrap();
    brokers.create_topic("hung-state", 1, &[]);
    let config = Cluster { enabled: true, topic: "hung-state".into(), shards: 1, session_timeout_s: 6.0 };
    let kafka = kafka(&brokers.brokers(), "hung");
    let change = |name: &str| Change { row: Row::Other(name.into()), value: Some(vec![7; 100]) };
    let deadline = Instant::now() + PATIENCE;
    let open = || loop {
        match KafkaLog::open(&kafka, None, &config, 0) {
            Ok(log) => return log,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let write = |log: &mut KafkaLog, change: Change| {
        while let Err(error) = log.write(std::slice::from_ref(&change)) {
            assert!(Instant::now() < deadline, "{error}");
        }
    };
    let mut log = open();
    write(&mut log, change("before"));
    brokers.signal(0, "-STOP");
    let meanwhile = log.write(&[change("meanwhile"), change("too")]);
    brokers.signal(0, "-CONT");
    assert!(matches!(meanwhile, Err(LogError::Unavailable(_))), "{meanwhile:?}");
    write(&mut log, change("after"));
    let mut read = Vec::new();
    let take = &mut |change| {
        read.push(change);
        Ok(())
    };
    open().read(take).unwrap();
    // On a busy machine an answer may be missed, and the same is written again.
    read.dedup();
    assert_eq!(read, [change("before"), change("after")]);
}

/// Whole services that share one state topic.
struct Many {
    folder: tempfile::TempDir,
    kafka: Kafka,
    cluster: Cluster,
    time: Time,
    processes: Vec<Process>,
    started: usize,
}

struct Process {
    child: Child,
    name: String,
    stopped: bool,
}

/// What the instances that answer say.
struct All {
    /// How many processes ought to answer.
    statuses: Vec<Value>,
}

impl All {
    fn held(&self) -> impl Iterator<Item = i64> {
        let held =
            |status: &Value| status["events"]["cluster"]["held"].as_array().cloned().unwrap_or_default();
        self.statuses.iter().flat_map(held).filter_map(|shard| shard.as_i64())
    }

    /// Every shard is with one instance.
    fn whole(&self) -> bool {
        let held: Vec<i64> = self.held().collect();
        let different: BTreeSet<i64> = held.iter().copied().collect();
        held.len() == SHARDS as usize && different.len() == held.len()
    }

    /// Whoever holds shards has planned this minute for all of them.
    fn planned(&self, minute: u32) -> bool {
        let holds =
            |status: &&Value| status["events"]["cluster"]["held"].as_array().is_some_and(|of| !of.is_empty());
        self.statuses.iter().filter(holds).all(|status| {
            status["planned"]["minute"].as_u64().is_some_and(|planned| planned >= u64::from(minute))
                && status["events"]["cluster"]["held"].as_array().map(Vec::len)
                    == status["shards_planned"].as_u64().map(|planned| planned as usize)
        })
    }

    /// Whoever has shard 0 has written a manifest, and one instance tunes the workflow.
    fn acts(&self) -> bool {
        let has_0 = |status: &&Value| {
            status["events"]["cluster"]["held"].as_array().is_some_and(|of| of.contains(&0.into()))
        };
        let tuning =
            self.statuses.iter().filter(|status| !status["workflows"].as_object().unwrap().is_empty());
        self.statuses.iter().find(has_0).is_some_and(|status| status["actuator"]["calls"].as_u64() > Some(0))
            && tuning.count() == 1
    }

    /// The first minute that is not final everywhere.
    fn open(&self) -> u32 {
        let holds =
            |status: &&Value| status["events"]["cluster"]["held"].as_array().is_some_and(|of| !of.is_empty());
        let open = |status: &Value| status["events"]["open"].as_u64().unwrap_or(0) as u32;
        self.statuses.iter().filter(holds).map(open).min().unwrap_or(0)
    }
}

impl Many {
    fn new(brokers: &str) -> Self {
        let group = "share".to_owned();
        let kafka = Kafka { group, ..kafka(brokers, "shared") };
        let cluster =
            Cluster { enabled: true, topic: "shared-state".into(), shards: SHARDS, session_timeout_s: 6.0 };
        let folder = tempfile::tempdir().unwrap();
        let manifest = json!({"runtimes": {"nodejs": [{
            "kind": "nodejs:20", "default": true, "image": {"prefix": "openwhisk", "name": "action-nodejs-v20", "tag": "1"},
            "stemCells": [{"initialCount": 7, "memory": "256 MB"}],
        }]}});
        let workflow = json!({
            "schema": "aquatope-workflow/1", "name": "pair", "edge_overhead_s": 0.01, "functions": [{"name": "one"}, {"name": "two"}], "edges": [[0, 1]],
            "prices": {"cpu_per_core_s": 0.2, "mem_per_gb_s": 0.05}, "qos_s": 2.2,
            "space": {"cpu": {"min": 0.5, "max": 4, "step": 0.5}, "mem_mb": {"min": 256, "max": 2048, "step": 256}},
        });
        fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
        fs::write(folder.path().join("workflow.json"), workflow.to_string()).unwrap();
        Self { folder, kafka, cluster, time: Time::start(), processes: Vec::new(), started: 0 }
    }

    fn start(&mut self) {
        let name = format!("instance-{}", self.started);
        self.started += 1;
        let folder = self.folder.path().join(&name);
        fs::create_dir(&folder).unwrap();
        let file = |name: &str| self.folder.path().join(name);
        let text = format!(
            "[state]\ndirectory = {:?}\n[http]\nlisten = \"127.0.0.1:0\"\n[kafka]\nbrokers = {:?}\ntopic = {:?}\ngroup = {:?}\n\
             [cluster]\nenabled = true\ntopic = {:?}\nshards = {SHARDS}\nsession_timeout_s = {:?}\n\
             [windows]\nfinal_after_s = {FINAL_AFTER_S}\n[pool]\nstale_after_s = 3600\n[train]\nenabled = false\n\
             [actuator]\nkind = \"manifest-file\"\nmanifest = {:?}\noutput = {:?}\ninvokers = 1\nmin_interval_s = 0\n\
             [openwhisk]\nurl = \"http://127.0.0.1:9\"\n[[workflow]]\nfile = {:?}\ntune = true\n",
            folder.display().to_string(),
            self.kafka.brokers,
            self.kafka.topic,
            self.kafka.group,
            self.cluster.topic,
            self.cluster.session_timeout_s,
            file("manifest.json").display().to_string(),
            folder.join("manifest.json").display().to_string(),
            file("workflow.json").display().to_string(),
        );
        fs::write(folder.join("aquatope.toml"), text).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(CHILD).arg(&folder).args([self.time.began.to_string(), self.time.origin.to_string()]);
        self.processes.push(Process { child: command.spawn().unwrap(), name, stopped: false });
    }

    /// End the first one with SIGKILL.
    fn kill(&mut self) -> String {
        let mut process = self.processes.remove(0);
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        process.name
    }

    fn signal(&mut self, at: usize, signal: &str) -> String {
        let process = &mut self.processes[at];
        let sent = Command::new("kill").args([signal, &process.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        process.stopped = signal == "-STOP";
        process.name.clone()
    }

    /// End all of them in order.
    fn stop(&mut self) {
        for process in &self.processes {
            fs::write(self.folder.path().join(&process.name).join("stop"), "").unwrap();
        }
        for process in &mut self.processes {
            assert!(process.child.wait().unwrap().success(), "{}", process.name);
        }
        self.processes.clear();
    }

    fn wait(&mut self, what: &str, condition: impl Fn(&All) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let running = self.processes.iter().filter(|process| !process.stopped);
            let answers: Vec<Option<Value>> = running.map(|process| self.status(&process.name)).collect();
            let all = All { statuses: answers.iter().flatten().cloned().collect() };
            if all.statuses.len() == answers.len() && condition(&all) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: not in {PATIENCE:?}; {answers:#?}");
            for process in &mut self.processes {
                let ended = process.child.try_wait().unwrap();
                assert!(ended.is_none(), "{what}: {} ended: {ended:?}", process.name);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn status(&self, name: &str) -> Option<Value> {
        let address = fs::read_to_string(self.folder.path().join(name).join("address")).ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let get = async |path: &str| -> Option<Value> {
            reqwest::get(format!("http://{address}/api/{path}")).await.ok()?.json().await.ok()
        };
        runtime.block_on(async {
            let mut status = get("status").await?;
            status["workflows"] = get("workflows").await?;
            Some(status)
        })
    }

    /// The windows of all shards, and how many records of closed minutes there were. No minute was closed twice, none was
    /// claimed twice, no function is of two shards.
    fn logged(&self) -> (Windows, usize) {
        let (mut all, mut records) = (Windows::new(), 0);
        for shard in 0..SHARDS {
            let log = KafkaLog::open(&self.kafka, None, &self.cluster, shard).unwrap();
            let seen = Arc::new(Mutex::new(Vec::new()));
            let log = Box::new(Seen { log, seen: seen.clone() });
            let store = Store::from_log(self.folder.path().join(format!("copy-{shard}")), 15, log).unwrap();
            let mut times: BTreeMap<String, usize> = BTreeMap::new();
            let mut claimed = Vec::new();
            for change in seen.lock().unwrap().iter() {
                match &change.row {
                    Row::Minute(_) => *times.entry(change.row.to_string()).or_default() += 1,
                    Row::Other(name) if name == "claimed" => {
                        claimed.push(postcard::from_bytes::<u32>(change.value.as_ref().unwrap()).unwrap());
                    }
                    _ => {}
                }
            }
            records += times.len();
            assert!(times.values().all(|&times| times == 1), "shard {shard}: {times:?}");
            assert!(claimed.is_sorted_by(|a, b| a < b), "shard {shard}: {claimed:?}");
            for (key, window) in crate::reader::windows(&store) {
                assert!(all.insert(key.clone(), window).is_none(), "{key:?} is of two shards");
            }
        }
        (all, records)
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

/// Notes what is read of a log.
struct Seen {
    log: KafkaLog,
    seen: Arc<Mutex<Vec<Change>>>,
}

impl Changelog for Seen {
    fn read(&mut self, each: &mut dyn FnMut(Change) -> Result<(), LogError>) -> Result<(), LogError> {
        self.log.read(&mut |change| {
            self.seen.lock().unwrap().push(change.clone());
            each(change)
        })
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), LogError> {
        self.log.write(changes)
    }
}

/// The time of the load and of all instances.
#[derive(Clone, Copy)]
struct Time {
    /// When it began, by the system's clock, ms.
    began: u64,
    /// What it showed then, ms.
    origin: u64,
}

impl Time {
    fn start() -> Self {
        let began = now().0;
        Self { began, origin: Timestamp(began).minute().start().0 }
    }

    fn now(self) -> Timestamp {
        Timestamp(self.origin + ((now().0 - self.began) as f64 * SPEED) as u64)
    }

    fn minute(self) -> u32 {
        self.now().minute().0
    }
}

/// Runs that end now, written as they end.
struct Loading {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<Run>>,
}

impl Loading {
    fn start(brokers: &str, topic: &str, time: Time) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, mut sender) = (stop.clone(), Sender::new(brokers, topic, 2));
        let work = move || {
            let mut runs = Vec::new();
            // Two hundred in a second of the system's clock.
            let mut load = Load::new(60, time.now(), 300.0, 12);
            while !stopped.load(Ordering::Relaxed) {
                let now_ms = time.now().0 as f64;
                // After a pause of this thread runs would come late, which is not what is tested.
                load.now_ms = load.now_ms.max(now_ms - 60_000.0);
                while load.now_ms < now_ms {
                    let run = load.next();
                    sender.send(&run);
                    runs.push(run);
                }
                sender.flush();
                thread::sleep(Duration::from_millis(10));
            }
            runs
        };
        Self { stop, thread: thread::spawn(work) }
    }

    fn stop(self) -> Vec<Run> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The argument that makes the test program an instance.
const CHILD: &str = "serve-until-killed";

/// If this process is such an instance, be it and end.
pub(crate) fn run_child() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [child, folder, began, origin] = arguments.as_slice() else { return };
    if child != CHILD {
        return;
    }
    let time = Time { began: began.parse().unwrap(), origin: origin.parse().unwrap() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve(Path::new(folder), time));
    std::process::exit(0);
}

async fn serve(folder: &Path, time: Time) {
    let auth = ("AQUATOPE_OPENWHISK_AUTH".to_owned(), "user:key".to_owned());
    let (config, secrets): (_, Secrets) = config::read(Some(&folder.join("aquatope.toml")), [auth]).unwrap();
    let clock = Clock::fast(time.now(), SPEED);
    let service = Service::start(&config, &secrets, Arc::new(Nobody), clock, Events::Kafka).await.unwrap();
    let part: PathBuf = folder.join("address.part");
    fs::write(&part, service.address().to_string()).unwrap();
    fs::rename(part, folder.join("address")).unwrap();
    while !folder.join("stop").exists() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    service.stop().await;
}

/// Trains nothing.
struct Nobody;

impl Trainer for Nobody {
    fn train(&self, _: &[Series], _: &AtomicBool) -> Result<Vec<u32>, String> {
        Err("not in this test".into())
    }

    fn profile(&self, _: &[u32]) -> Profile {
        Profile::UNKNOWN
    }
}

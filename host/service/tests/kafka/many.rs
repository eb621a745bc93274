//! Whole services that share the functions, in processes of their own that can be killed and stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aquatope_core::forecast::features::Profile;
use aquatope_core::time::Timestamp;
use aquatope_service::clock::Clock;
use aquatope_service::cluster::log::KafkaLog;
use aquatope_service::config::{self, Cluster, Kafka, Secrets};
use aquatope_service::serve::{Events, Service};
use aquatope_service::source::SharedStatus;
use aquatope_service::store::{Change, Changelog, LogError, Row, Store};
use aquatope_service::train::{Series, Trainer};
use serde_json::Value;

use crate::broker::PASSWORD;
use crate::load::{Windows, now};
use crate::reader::{PATIENCE, kafka};

pub(crate) const SHARDS: i32 = 5;

/// What every instance may know.
const SECRETS: [(&str, &str); 5] = [
    ("AQUATOPE_OPENWHISK_AUTH", "23bc46b1-0000-4000-8000-000000000000:standin"),
    ("AQUATOPE_CONTROLLER_AUTH", "controller.user:controller.pass"),
    ("AQUATOPE_COUCHDB_AUTH", "us:secret"),
    ("AQUATOPE_HTTP_TOKEN", TOKEN),
    ("AQUATOPE_KAFKA_PASSWORD", PASSWORD),
];
pub(crate) const TOKEN: &str = "open-sesame";

/// Whole services that share one state topic.
pub(crate) struct Many {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) kafka: Kafka,
    pub(crate) cluster: Cluster,
    /// That of the instances that are started next.
    pub(crate) time: Time,
    /// What the configuration says beside where its brokers are; INSTANCE stands for the instance's folder.
    text: String,
    processes: Vec<Process>,
    started: usize,
}

struct Process {
    child: Child,
    name: String,
    stopped: bool,
}

/// What the instances that answer say.
pub(crate) struct All {
    /// How many processes ought to answer.
    pub(crate) statuses: Vec<Value>,
}

impl All {
    fn held(&self) -> impl Iterator<Item = i64> {
        self.statuses.iter().flat_map(shards)
    }

    /// Every shard is with one instance.
    pub(crate) fn whole(&self) -> bool {
        let held: Vec<i64> = self.held().collect();
        let different: BTreeSet<i64> = held.iter().copied().collect();
        held.len() == SHARDS as usize && different.len() == held.len()
    }

    /// Those that have work.
    fn holders(&self) -> impl Iterator<Item = &Value> {
        self.statuses.iter().filter(|status| !shards(status).is_empty())
    }

    /// Whoever holds shards has planned this minute for all of them.
    pub(crate) fn planned(&self, minute: u32) -> bool {
        self.holders().all(|status| {
            status["planned"]["minute"].as_u64().is_some_and(|planned| planned >= u64::from(minute))
                && status["shards_planned"] == shards(status).len()
        })
    }

    /// The place of whoever has `shard` among those that answer.
    pub(crate) fn holder(&self, shard: i64) -> Option<usize> {
        self.statuses.iter().position(|status| shards(status).contains(&shard))
    }

    /// How many instances have work.
    pub(crate) fn working(&self) -> usize {
        self.holders().count()
    }

    /// Calls that the instances made to the platform.
    pub(crate) fn calls(&self) -> Vec<u64> {
        self.statuses.iter().map(|status| status["actuator"]["calls"].as_u64().unwrap_or(0)).collect()
    }

    /// The instance that tunes the workflow `name`, and what it shows of it.
    pub(crate) fn tuner(&self, name: &str) -> Option<(usize, &Value)> {
        let shown = self.statuses.iter().map(|status| &status["workflows"][name]).enumerate();
        let mut here = shown.filter(|(_, shown)| shown["here"] == true);
        let first = here.next()?;
        here.next().is_none().then_some(first)
    }

    /// The sum of a number that every instance shows of its events.
    pub(crate) fn events(&self, key: &str) -> u64 {
        self.statuses.iter().map(|status| status["events"][key].as_u64().unwrap_or(0)).sum()
    }

    /// How many messages of one kind all of them have counted.
    pub(crate) fn counted(&self, kind: &str) -> u64 {
        self.statuses.iter().map(|status| status["events"]["counters"][kind].as_u64().unwrap()).sum()
    }

    /// The first minute that is not final everywhere.
    pub(crate) fn open(&self) -> u32 {
        let open = |status: &Value| status["events"]["open"].as_u64().unwrap_or(0) as u32;
        self.holders().map(open).min().unwrap_or(0)
    }
}

fn shards(status: &Value) -> Vec<i64> {
    let held = status["events"]["cluster"]["held"].as_array();
    held.into_iter().flatten().filter_map(Value::as_i64).collect()
}

impl Many {
    /// None yet. Group and state are named after the topic of events.
    pub(crate) fn new(brokers: &str, topic: &str, time: Time, text: &str) -> Self {
        let kafka = Kafka { group: format!("{topic}-group"), ..kafka(brokers, topic) };
        let topic = format!("{topic}-state");
        let cluster = Cluster { enabled: true, topic, shards: SHARDS, session_timeout_s: 6.0 };
        let folder = tempfile::tempdir().unwrap();
        Self { folder, kafka, cluster, time, text: text.to_owned(), processes: Vec::new(), started: 0 }
    }

    pub(crate) fn start(&mut self) {
        let name = format!("instance-{}", self.started);
        self.started += 1;
        let folder = self.folder.path().join(&name);
        fs::create_dir(&folder).unwrap();
        let text = format!(
            "[state]\ndirectory = \"INSTANCE\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
             [kafka]\nbrokers = {:?}\ntopic = {:?}\ngroup = {:?}\n{}\
             [cluster]\nenabled = true\ntopic = {:?}\nshards = {SHARDS}\nsession_timeout_s = {:?}\n{}",
            self.kafka.brokers,
            self.kafka.topic,
            self.kafka.group,
            self.kafka.ca_file.as_ref().map_or(String::new(), |file| format!(
                "security = \"sasl-ssl\"\nsasl_mechanism = \"PLAIN\"\nusername = {:?}\nca_file = {file:?}\n",
                self.kafka.username
            )),
            self.cluster.topic,
            self.cluster.session_timeout_s,
            self.text,
        );
        let text = text.replace("INSTANCE", folder.to_str().unwrap());
        fs::write(folder.join("aquatope.toml"), text).unwrap();
        let Time { began, origin, speed } = self.time;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(CHILD).arg(&folder).args([began.to_string(), origin.to_string(), speed.to_string()]);
        self.processes.push(Process { child: command.spawn().unwrap(), name, stopped: false });
    }

    /// End one with SIGKILL.
    pub(crate) fn kill(&mut self, at: usize) -> String {
        let mut process = self.processes.remove(at);
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        process.name
    }

    pub(crate) fn signal(&mut self, at: usize, signal: &str) -> String {
        let process = &mut self.processes[at];
        let sent = Command::new("kill").args([signal, &process.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        process.stopped = signal == "-STOP";
        process.name.clone()
    }

    /// End all of them in order.
    pub(crate) fn stop(&mut self) {
        for process in &self.processes {
            fs::write(self.folder.path().join(&process.name).join("stop"), "").unwrap();
        }
        for process in &mut self.processes {
            assert!(process.child.wait().unwrap().success(), "{}", process.name);
        }
        self.processes.clear();
    }

    /// Where an instance listens, once it does.
    pub(crate) fn address(&self, at: usize) -> Option<String> {
        self.address_of(&self.processes[at].name)
    }

    fn address_of(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.path().join(name).join("address")).ok()
    }

    /// Until `condition` holds of what all instances say that are not stopped.
    pub(crate) fn wait(&mut self, what: &str, condition: impl Fn(&All) -> bool) -> All {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let running = self.processes.iter().filter(|process| !process.stopped);
            let answers: Vec<Option<Value>> = running.map(|process| self.status(&process.name)).collect();
            let all = All { statuses: answers.iter().flatten().cloned().collect() };
            if all.statuses.len() == answers.len() && condition(&all) {
                return all;
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
        let address = self.address_of(name)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let get = async |path: &str| -> Option<Value> {
            reqwest::get(format!("http://{address}/api/{path}")).await.ok()?.json().await.ok()
        };
        runtime.block_on(async {
            let mut status = get("status").await?;
            status["workflows"] = get("workflows").await?;
            status["address"] = address.as_str().into();
            Some(status)
        })
    }

    /// The log of a shard, from whoever had it.
    pub(crate) fn log(&self, shard: i32) -> KafkaLog {
        KafkaLog::open(&self.kafka, None, &self.cluster, shard, SharedStatus::default()).unwrap()
    }

    /// The windows of all shards, and how many records of closed minutes there were. No minute was closed twice, none was
    /// claimed twice, no function is of two shards.
    pub(crate) fn logged(&self) -> (Windows, usize) {
        let (mut all, mut records) = (Windows::new(), 0);
        for shard in 0..SHARDS {
            let log = self.log(shard);
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
pub(crate) struct Time {
    /// When it began, by the system's clock, ms.
    began: u64,
    /// What it showed then, ms.
    origin: u64,
    speed: f64,
}

impl Time {
    /// From `origin` on.
    pub(crate) fn start(origin: Timestamp, speed: f64) -> Self {
        Self { began: now().0, origin: origin.0, speed }
    }

    pub(crate) fn now(self) -> Timestamp {
        Timestamp(self.origin + ((now().0 - self.began) as f64 * self.speed) as u64)
    }

    pub(crate) fn minute(self) -> u32 {
        self.now().minute().0
    }

    /// When that began, ms.
    pub(crate) fn minute_start(self) -> u64 {
        self.now().minute().start().0
    }
}

/// The argument that makes the test program an instance.
const CHILD: &str = "serve-until-killed";

/// If this process is such an instance, be it and end.
pub(crate) fn run_child() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [child, folder, began, origin, speed] = arguments.as_slice() else { return };
    if child != CHILD {
        return;
    }
    let [began, origin] = [began, origin].map(|ms| ms.parse().unwrap());
    let time = Time { began, origin, speed: speed.parse().unwrap() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve(Path::new(folder), time));
    std::process::exit(0);
}

async fn serve(folder: &Path, time: Time) {
    let secrets = SECRETS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (config, secrets): (_, Secrets) = config::read(Some(&folder.join("aquatope.toml")), secrets).unwrap();
    let clock = Clock::fast(time.now(), time.speed);
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

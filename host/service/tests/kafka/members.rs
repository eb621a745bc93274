//! Several instances in one consumer group: one acts, or they share the functions.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aquatope_core::time::Timestamp;
use aquatope_openwhisk::credentials::Secret;
use aquatope_service::clock::Clock;
use aquatope_service::cluster::log::KafkaLog;
use aquatope_service::cluster::plans::Follower;
use aquatope_service::cluster::topic::prepare;
use aquatope_service::config::{self, Config, Kafka, Secrets};
use aquatope_service::doctor::{Level, examine};
use aquatope_service::source::{Duty, SharedStatus};
use aquatope_service::store::{Change, Changelog, LogError, Row};
use aquatope_standin::Standin;
use aquatope_standin::config::{Action, Model};
use serde_json::json;

use crate::broker::{Cluster, DEAF, PASSWORD};
use crate::load::{Load, Run, Sender, after, now, past_runs, send, send_slowly, truth};
use crate::many::{All, Many, TOKEN, Time};
use crate::reader::{PATIENCE, Reader, assert_same, kafka};
use crate::tests::{cluster, state};
use crate::told::Told;

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

const MANIFEST: &str = r#"{"runtimes":{"nodejs":[{"kind":"nodejs:20","default":true,
    "image":{"prefix":"openwhisk","name":"action-nodejs-v20","tag":"1"},
    "stemCells":[{"initialCount":7,"memory":"256 MB"}]}]}}"#;

/// Into a file, of the manifest `MANIFEST`.
fn manifest_file(folder: &std::path::Path) -> String {
    let manifest = folder.join("manifest.json");
    fs::write(&manifest, MANIFEST).unwrap();
    format!(
        "[train]\nenabled = false\n[pool]\nstale_after_s = 3600\n[actuator]\nkind = \"manifest-file\"\n\
         manifest = {manifest:?}\noutput = \"INSTANCE/manifest.json\"\ninvokers = 1\nmin_interval_s = 0\n"
    )
}

/// The workflow `pair`: `a`, then `b`.
fn pair(folder: &std::path::Path, url: &str, trials: u32) -> String {
    let file = folder.join("workflow.json");
    let workflow = json!({
        "schema": "aquatope-workflow/1", "name": "pair", "edge_overhead_s": 0.01,
        "functions": [{"name": "a"}, {"name": "b"}], "edges": [[0, 1]],
        "prices": {"cpu_per_core_s": 0.2, "mem_per_gb_s": 0.05}, "qos_s": 3.0,
        "space": {"cpu": {"min": 0.5, "max": 4, "step": 0.5}, "mem_mb": {"min": 256, "max": 2048, "step": 256}},
    });
    fs::write(&file, workflow.to_string()).unwrap();
    format!(
        "[openwhisk]\nurl = {url:?}\n[[workflow]]\nfile = {file:?}\ntune = true\nsamples = 1\ntrials = {trials}\n"
    )
}

/// Three instances under load. One is killed, one joins, one is stopped and comes back after others have taken over, one
/// leaves: every function is planned again, and in the end every window is there, once. One of them acts for all, one
/// tunes the workflow, and the one that comes back can write nothing any more.
pub(crate) fn instances_share_the_functions() {
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    cluster.create_topic("shared", 2, &[]);
    let inputs = tempfile::tempdir().unwrap();
    // A minute in a second. Minutes are final 20 of them later: the most that an event may take to the broker.
    let time = Time::start(now().minute().start(), 60.0);
    let text = manifest_file(inputs.path())
        + "[windows]\nfinal_after_s = 1200\n"
        + &pair(inputs.path(), "http://127.0.0.1:9", 40);
    let mut many = Many::new(&cluster.brokers(), "shared", time, &text);
    let load = Loading::start(&cluster.brokers(), "shared", time);
    // Whoever has shard 0 has written a manifest.
    let acts = |all: &All| all.holder(0).is_some_and(|at| all.calls()[at] > 0) && all.tuner("pair").is_some();
    (0..3).for_each(|_| many.start());
    many.wait("three share the shards", |all| all.whole() && all.statuses.len() == 3);
    many.wait("a minute is planned", |all| all.whole() && all.planned(1) && acts(all));

    let killed = many.kill(0);
    let asked = Instant::now();
    let minute = time.minute();
    many.wait("the others took over", |all| all.whole() && all.planned(minute) && acts(all));
    println!("instance {killed} killed; all is planned again after {:.1} s", asked.elapsed().as_secs_f64());
    many.start();
    many.wait("a new one has a share", |all| all.whole() && all.working() == 3);

    let stopped = many.signal(1, "-STOP");
    let minute = time.minute();
    many.wait("the others took over again", |all| {
        all.statuses.len() == 2 && all.whole() && all.planned(minute)
    });
    many.signal(1, "-CONT");
    many.wait("it is back", |all| all.statuses.len() == 3 && all.whole());
    println!("instance {stopped} stopped, taken over, and continued");
    let minute = time.minute();
    many.wait("all goes on", |all| all.whole() && all.planned(minute) && acts(all));

    let runs = load.stop();
    // No function is left without windows that were closed while shards changed hands.
    let last = Timestamp(runs.iter().map(|run| run.ended).max().unwrap()).minute();
    many.wait("all is final", |all| all.whole() && all.open() > last.0);
    many.stop();
    let (found, records) = many.logged();
    assert_same(&found, &truth(&runs));
    assert!(records > 100, "minutes were closed under way: {records}");
    whoever_is_shut_out_writes_nothing(&many);
}

/// A write that was given up because the broker did not answer keeps no later one from being written, by the same log; nor
/// does whoever follows the plans have to begin anew.
pub(crate) fn a_log_goes_on_after_the_broker_hung() {
    let shared = cluster();
    let brokers = shared.as_ref().unwrap();
    let topic = "hung-state".into();
    let config = config::Cluster { enabled: true, topic, shards: 1, session_timeout_s: 6.0 };
    let kafka = kafka(&brokers.brokers(), "hung");
    let deadline = Instant::now() + PATIENCE;
    // A topic that was just made may be missing for a moment.
    while let Err(error) = prepare(&kafka, None, &config) {
        assert!(Instant::now() < deadline, "{error}");
    }
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let hear = move |told: Option<(u32, &[u8])>| {
        hears.lock().unwrap().extend(told.map(|(_, text)| String::from_utf8(text.to_vec()).unwrap()));
    };
    let _follower = Follower::start(&kafka, None, &config, SharedStatus::default(), hear).unwrap();
    let hears_of = |text: &String| {
        while !heard.lock().unwrap().contains(text) {
            assert!(Instant::now() < deadline, "{text}: not in {PATIENCE:?}");
            thread::sleep(Duration::from_millis(20));
        }
    };
    // The same for those who read the log and those who follow the plans.
    let both = |text: &String| {
        let rows = [Row::Other("said".into()), Row::Plan(0)];
        rows.map(|row| Change { row, value: Some(text.clone().into_bytes()) })
    };
    // Until it is known: false, it hung for longer than a transaction may take, and the coordinator has ended it.
    let write = |log: &mut KafkaLog, text: &String| loop {
        match log.write(&both(text)) {
            Ok(()) => return true,
            Err(LogError::Lost) => return false,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let mut log = loop {
        let open = KafkaLog::open(&kafka, None, &config, 0, SharedStatus::default());
        let mut log = match open {
            Ok(log) => log,
            Err(error) => {
                assert!(Instant::now() < deadline, "{error}");
                continue;
            }
        };
        let before = format!("before {:?}", Instant::now());
        if !write(&mut log, &before) {
            continue;
        }
        hears_of(&before);
        brokers.signal(0, "-STOP");
        let meanwhile = log.write(&both(&"meanwhile".into()));
        brokers.signal(0, "-CONT");
        assert!(matches!(meanwhile, Err(LogError::Unavailable(_))), "{meanwhile:?}");
        // Nobody could have written that before.
        let after = format!("after {:?}", Instant::now());
        if write(&mut log, &after) {
            hears_of(&after);
            break log;
        }
    };
    let mut read = Vec::new();
    let take = &mut |change: Change| {
        read.push(String::from_utf8(change.value.unwrap()).unwrap());
        Ok(())
    };
    log.read(take).unwrap();
    read.dedup();
    let mut heard = heard.lock().unwrap().clone();
    heard.dedup();
    assert_eq!(read, heard, "one of them has read what the other has not");
    assert!(read.last().unwrap().starts_with("after") && !read.contains(&"meanwhile".into()), "{read:?}");
}

/// Of two that have opened a log, the second has it.
fn whoever_is_shut_out_writes_nothing(many: &Many) {
    let change = |name: &str| Change { row: Row::Other(name.into()), value: Some(b"is here".to_vec()) };
    let (mut first, mut second) = (many.log(0), many.log(0));
    // A broker that is busy may not answer in time; then nobody knows, and it is asked again.
    let answer = |log: &mut KafkaLog, name: &str| {
        let mut answers = (0..20).map(|_| log.write(&[change(name)]));
        answers.find(|answer| !matches!(answer, Err(LogError::Unavailable(_))))
    };
    assert_eq!(answer(&mut first, "first"), Some(Err(LogError::Lost)));
    assert_eq!(answer(&mut second, "second"), Some(Ok(())));
    assert_eq!(answer(&mut first, "first"), Some(Err(LogError::Lost)));
    let mut names = Vec::new();
    let mut note = |Change { row, .. }| -> Result<(), LogError> {
        if let Row::Other(name) = row {
            names.push(name);
        }
        Ok(())
    };
    second.read(&mut note).unwrap();
    assert!(names.contains(&"second".to_owned()) && !names.contains(&"first".to_owned()), "{names:?}");
}

/// Functions that are told apart by kind and namespace.
const APART: u32 = 12;

/// How many containers of a function were busy at the same time, in every minute.
fn busy(function: u32) -> u32 {
    1 + function % 5
}

/// Namespace, kind, and how many containers were busy, of each.
fn functions() -> impl Iterator<Item = (String, String, u32)> {
    (0..APART).map(|id| (format!("ns-{id:02}"), format!("fn-{id:02}"), busy(id)))
}

/// An hour of load that ended a minute before `start`, and then nothing, so that nothing is warm for long. It is what
/// forecasts for forty minutes: longer, at ten times the speed, than anything here is waited for.
fn send_an_hour(brokers: &str, topic: &str, start: u64) {
    let mut sender = Sender::new(brokers, topic, 1);
    for minute in (2..62).rev() {
        for ((namespace, kind, busy), id) in functions().zip(0_u64..) {
            for run in 0..busy {
                let ended = start - minute * 60_000 + 30_000;
                let unique = (id << 40) + (minute << 20) + u64::from(run);
                let event = json!({
                    "source": "invoker0", "eventType": "Activation", "timestamp": ended, "subject": namespace,
                    "namespace": namespace, "userId": "u", "body": {
                        "name": format!("{namespace}/f"), "activationId": format!("{unique:016x}{unique:016x}"), "statusCode": 0,
                        "duration": 20_000, "waitTime": 1, "initTime": 0, "kind": format!("{kind}:1"),
                        "conductor": false, "memory": 256, "causedBy": false, "size": 1,
                    },
                });
                sender.send_bytes(event.to_string().as_bytes());
            }
        }
    }
    sender.flush();
}

/// Two instances. What is set for all functions together is set by one of them, for all, and once; when it is gone, by the
/// other. What there is to be set comes when both share the shards already: if both acted, both would.
pub(crate) fn one_instance_acts_for_all_functions() {
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    let inputs = tempfile::tempdir().unwrap();
    let kinds: serde_json::Map<_, _> = functions()
        .map(|(_, kind, _)| {
            let stem_cells = json!([{"initialCount": 9, "memory": "256 MB"}]);
            let entry = json!({"kind": format!("{kind}:1"), "default": true, "stemCells": stem_cells});
            (kind, json!([entry]))
        })
        .collect();
    let manifest = inputs.path().join("manifest.json");
    fs::write(&manifest, json!({ "runtimes": kinds }).to_string()).unwrap();
    let told = Told::start(functions().map(|(namespace, ..)| namespace).collect(), Vec::new());
    let url = told.url();
    // Runs of an hour ago still count when they come.
    let common = "[train]\nenabled = false\n[pool]\nstale_after_s = 3600\n[windows]\nfinal_after_s = 7200\n";
    for (topic, actuator) in [
        ("runtimes", format!("kind = \"runtimes\"\nmanifest = {manifest:?}\ninvokers = 1\n")),
        ("keep", format!("kind = \"keep-count\"\ncouchdb_url = {url:?}\nsubjects_database = \"subjects\"\n")),
    ] {
        cluster.create_topic(topic, 1, &[]);
        let openwhisk = format!("[openwhisk]\nurl = {url:?}\ncontroller_url = {url:?}\n");
        let actuator = format!("[actuator]\nmin_interval_s = 0\nidle_container_min = 2\n{actuator}");
        let text = format!("{common}{openwhisk}{actuator}");
        let start = now().minute().start();
        let mut many = Many::new(&cluster.brokers(), topic, Time::start(start, 10.0), &text);
        (0..2).for_each(|_| many.start());
        many.wait("both share the shards", |all| all.whole() && all.working() == 2);
        let minute = many.time.minute();
        let all = many.wait("a minute is planned", |all| all.whole() && all.planned(minute + 1));
        // Whoever had shard 0 before they shared may have begun.
        let (zero, begun) = (all.holder(0).unwrap(), all.calls());
        send_an_hour(&cluster.brokers(), topic, many.time.minute_start());
        // What every function is to have; all of it is told by one, who counts each call.
        let expected: Vec<u32> = functions().map(|(.., busy)| busy).collect();
        let last = || if topic == "runtimes" { told.stem_cells() } else { told.keep_counts() };
        let complete =
            |all: &All| all.whole() && last() == expected && all.calls().iter().sum::<u64>() == told.count();
        many.wait("all targets arrive", complete);
        let (minute, count) = (many.time.minute(), told.count());
        let all = many.wait("further minutes are planned", |all| all.whole() && all.planned(minute + 2));
        assert_eq!((told.count(), last()), (count, expected.clone()), "nothing is told twice");
        let calls = all.calls();
        assert_eq!((all.holder(0), calls[1 - zero]), (Some(zero), begun[1 - zero]), "the other one acts too");
        assert!(calls[zero] > begun[zero], "{calls:?} after {begun:?}");

        many.kill(zero);
        many.wait("the other acts for all", |all| {
            let (now, before) = (all.calls()[0], calls[1 - zero]);
            all.whole() && last() == expected && now > before && told.count() - count == now - before
        });
        many.stop();
        told.clear();
    }
}

/// The memory of all functions is limited, and divided by what the functions of each shard want: an equal part each would let
/// much of it lie idle. It stays so when an instance is gone. One that may tell what it wants and may not read what the others
/// tell takes nothing beyond what is busy, so that the others have what they want, and says so; the doctor finds it too.
pub(crate) fn limited_memory_is_divided_by_demand() {
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    cluster.create_topic("limited", 1, &[]);
    let start = now().minute().start().0;
    send_an_hour(&cluster.brokers(), "limited", start);
    // 33 containers are wanted, by shard 9, 0, 11, 11 and 2, and there is room for 24: 6, 0, 8, 8 and 1 of them, where it
    // would be 4, 0, 4, 4 and 2 if every shard had as much.
    let text = "[train]\nenabled = false\n[pool]\nstale_after_s = 3600\ncapacity_mb = 6144\n";
    let mut many = Many::new(&cluster.brokers(), "limited", Time::start(Timestamp(start), 10.0), text);
    let sum = |all: &All, key: &str| -> f64 {
        all.statuses.iter().map(|status| status["planned"][key].as_f64().unwrap_or(0.0)).sum()
    };
    let divided = |all: &All| {
        (sum(all, "wanted_mb"), sum(all, "granted_mb")) == (33.0 * 256.0, (6 + 8 + 8 + 1) as f64 * 256.0)
    };
    (0..2).for_each(|_| many.start());
    many.wait("both share the shards", |all| all.whole() && all.working() == 2);
    many.wait("the memory is divided", |all| all.whole() && divided(all));
    let minute = many.time.minute();
    many.wait("it stays so", |all| all.whole() && all.planned(minute + 2) && divided(all));
    many.kill(0);
    let minute = many.time.minute();
    many.wait("so does the other alone", |all| all.whole() && all.planned(minute + 1) && divided(all));

    let plans = format!("{}-plans", many.cluster.topic);
    cluster.let_only_write(DEAF, &plans);
    let hearing = std::mem::replace(&mut many.kafka, cluster.kafka_as(DEAF, "limited"));
    many.kafka.group = hearing.group.clone();
    many.start();
    many.wait("one that hears nothing has a share", |all| all.whole() && all.working() == 2);
    let minute = many.time.minute();
    // Or all that there is, less what is no whole container of one of its shards.
    let hearing_has_all = |planned: &serde_json::Value| {
        let [wanted, granted] = ["wanted_mb", "granted_mb"].map(|key| planned[key].as_f64().unwrap_or(0.0));
        granted >= wanted.min((24 - 4) as f64 * 256.0)
    };
    many.wait("it takes nothing", |all| {
        let deaf = &all.statuses[1];
        let [wanted, granted] = ["wanted_mb", "granted_mb"].map(|key| deaf["planned"][key].as_f64());
        let told = deaf["events"]["cluster"]["plans_error"].as_str();
        all.whole()
            && all.planned(minute + 2)
            && (granted, told.is_some()) == (Some(0.0), true)
            && wanted > Some(0.0)
            && hearing_has_all(&all.statuses[0]["planned"])
            && sum(all, "granted_mb") <= 6144.0
    });
    let examine = |kafka: &Kafka| {
        let cluster = many.cluster.clone();
        let mut config = Config { kafka: kafka.clone(), cluster, ..Config::default() };
        config.state.directory = many.folder.path().to_owned();
        let secrets = Secrets { kafka: Some(Secret::new(PASSWORD)), ..Secrets::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let findings = runtime.block_on(examine(&config, &secrets, Vec::new(), Clock::system()));
        let found = findings.iter().find(|of| of.what.starts_with(&format!("cluster: {plans:?} can")));
        found.unwrap_or_else(|| panic!("{findings:?}")).clone()
    };
    assert_eq!(examine(&hearing).level, Level::Well);
    let deaf = examine(&many.kafka);
    assert!(deaf.level == Level::Broken && deaf.what.contains("cannot be read: "), "{deaf:?}");
    many.stop();
}

/// Messages are deleted that no instance has read, and while the gap is being filled one of the instances is killed. The
/// records go to the shards of their functions: every window is there, once.
pub(crate) fn a_gap_is_filled_where_functions_are_shared() {
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    cluster.create_topic("shared-gap", 1, &[]);
    // Few enough a function that every run is kept, and peaks are exact.
    let runs = past_runs(100, 12_000, 60, 17);
    let (first, second) = runs.split_at(5_000);
    send(&cluster.brokers(), "shared-gap", 1, first);
    let told = Told::start(Vec::new(), runs.clone());
    // Whoever asks for records waits until they are listed.
    let text = format!("[train]\nenabled = false\n[openwhisk]\nurl = {:?}\ntimeout_s = 600\n", told.url());
    let ended = Timestamp(first.iter().map(|run| run.ended).max().unwrap());
    let mut many = Many::new(&cluster.brokers(), "shared-gap", Time::start(ended, 1.0), &text);
    (0..2).for_each(|_| many.start());
    // Those of the last six minutes are not final yet.
    let closed = ended.minute().0 - 6;
    many.wait("minutes of the first part are closed", |all| all.whole() && all.open() >= closed);
    many.stop();
    send(&cluster.brokers(), "shared-gap", 1, second);
    cluster.delete_records("shared-gap", 9_000);
    told.list(false);
    many.time = Time::start(now(), 1.0);
    (0..2).for_each(|_| many.start());
    let found = |all: &All| all.whole() && all.statuses.iter().all(|status| status["events"]["gaps"] != 0);
    many.wait("both have found a gap", |all| all.working() == 2 && found(all));
    many.kill(0);
    let all = many.wait("the other took over", found);
    assert!(all.open() <= closed + 6, "nothing is closed before the gap is filled: {}", all.open());
    told.list(true);
    let open = after(&runs).0;
    many.wait("all is final", |all| all.whole() && all.open() >= open);
    many.stop();
    assert_same(&many.logged().0, &truth(&runs));
}

/// The instance that tunes a workflow is killed in the middle of the search: another one goes on, and runs no trial again
/// that was finished. Who is asked to approve and does not tune the workflow says who does.
pub(crate) fn a_search_outlives_its_instance() {
    const TRIALS: u64 = 12;
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    cluster.create_topic("search", 1, &[]);
    let model = Model { fixed_ms: 100.0, work_ms: 500.0, ..Model::default() };
    let action = |name: &str| Action { memory_mb: 2048, ..Action::new(name, "python:3", model) };
    let config = aquatope_standin::config::Config {
        actions: vec![action("a"), action("b"), Action::sequence("pair", &["a", "b"])],
        invokers_mb: vec![32_768; 2],
        per_minute: 1 << 40,
        concurrent: 1 << 40,
        idle_timeout_ms: i64::MAX / 4,
        ..Default::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let speed = 60.0;
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let count = move |event: Vec<u8>| {
        let of_clone = String::from_utf8_lossy(&event).contains("guest/a__aquatope_pair");
        counted.fetch_add(u64::from(of_clone), Ordering::Relaxed);
    };
    let standin = runtime.block_on(Standin::start(config, speed, 0, count)).unwrap();
    let time = Time::start(Timestamp(standin.now_ms() as u64), speed);
    let inputs = tempfile::tempdir().unwrap();
    let text = "[train]\nenabled = false\n".to_owned() + &pair(inputs.path(), &standin.url(), TRIALS as u32);
    let mut many = Many::new(&cluster.brokers(), "search", time, &text);
    let trials = |all: &All| all.tuner("pair").map_or(0, |(_, shown)| shown["trials"].as_u64().unwrap());
    (0..2).for_each(|_| many.start());
    let all = many.wait("some trials are finished", |all| all.whole() && trials(all) >= 4);
    let (finished, (tuner, shown)) = (trials(&all), all.tuner("pair").unwrap());
    assert_eq!(shown["state"], "searching", "it is in the middle");
    many.kill(tuner);
    let begun = runs.load(Ordering::Relaxed);
    let all = many.wait("the other one finishes the search", |all| {
        let trials = trials(all);
        // Nothing is shown before the first step.
        assert!(trials == 0 || trials >= finished, "{trials} after {finished}");
        all.whole() && all.tuner("pair").is_some_and(|(_, shown)| shown["state"] == "waiting for approval")
    });
    assert_eq!(trials(&all), TRIALS);
    // A trial takes at most a cold run and two warm ones. Those of the one that was under way are run again.
    let (left, rest) = (TRIALS - finished, runs.load(Ordering::Relaxed) - begun);
    assert!(rest <= 3 * (left + 1), "{rest} runs for {left} trials");

    many.start();
    let ready = |all: &All| {
        let waits = |shown: &serde_json::Value| shown["state"] == "waiting for approval";
        all.whole() && all.working() == 2 && all.tuner("pair").is_some_and(|(_, shown)| waits(shown))
    };
    let told = |all: &All| {
        let Some((tuner, _)) = all.tuner("pair").filter(|_| ready(all)) else { return false };
        let shown = &all.statuses[1 - tuner]["workflows"]["pair"];
        let by = shown["told"]["by"].as_str().unwrap_or_default();
        let address = all.statuses[tuner]["address"].as_str().unwrap();
        shown["state"] == "waiting for approval" && shown["trials"] == TRIALS && by.ends_with(address)
    };
    let all = many.wait("two share the shards, and both show the workflow", told);
    let (tuner, _) = all.tuner("pair").unwrap();
    let approve = |at: usize, name: &str| {
        let url = format!("http://{}/api/workflows/{name}/approve", many.address(at).unwrap());
        runtime.block_on(async {
            let answer = reqwest::Client::new().post(url).bearer_auth(TOKEN).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    };
    let (status, text) = approve(1 - tuner, "pair");
    let place = many.address(tuner).unwrap();
    assert!(status == 421 && text.contains(&format!("http.listen = {place}")), "{status} {text}");
    assert_eq!(approve(1 - tuner, "other").0, 404);
    assert_eq!(approve(tuner, "pair").0, 202);
    many.wait("it is applied", |all| {
        all.tuner("pair").is_some_and(|(_, shown)| shown["state"] == "applied, being watched")
    });
    many.stop();
}

/// The leader of the events and of much of the state is killed while two instances share the functions.
pub(crate) fn instances_outlive_a_leader(cluster: &mut Cluster) {
    cluster.create_topic("led", 1, &[("min.insync.replicas", "2")]);
    let inputs = tempfile::tempdir().unwrap();
    let runs = past_runs(50, 20_000, 5, 18);
    let ended = Timestamp(runs.iter().map(|run| run.ended).max().unwrap());
    // Nothing is final while it runs, however long a message takes to the brokers.
    let text = manifest_file(inputs.path()) + "[windows]\nfinal_after_s = 7200\n";
    let mut many = Many::new(&cluster.brokers(), "led", Time::start(ended, 20.0), &text);
    (0..2).for_each(|_| many.start());
    many.wait("two share the shards", |all| all.whole() && all.working() == 2);
    let sending = send_slowly(&cluster.brokers(), "led", 1, &runs, Duration::from_millis(1));
    many.wait("it is in the middle", |all| all.counted("activations") > 2_000);
    let leader = cluster.leader("led-state");
    cluster.kill(leader);
    sending.join().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while cluster.leader("led-state") == leader {
        assert!(Instant::now() < deadline, "the state has no other leader");
        thread::sleep(Duration::from_millis(100));
    }
    let minute = many.time.minute();
    // A shard that changes hands before its last reading is stored is read, and counted, once more.
    many.wait("all goes on", |all| {
        all.whole() && all.planned(minute) && all.counted("activations") >= 20_000
    });
    many.stop();
    many.time = Time::start(Timestamp(now().0 + 4 * 3_600_000), 1.0);
    (0..2).for_each(|_| many.start());
    let open = after(&runs).0;
    let all = many.wait("all is final", |all| all.whole() && all.open() >= open);
    assert_eq!(all.events("gaps"), 0);
    many.stop();
    assert_same(&many.logged().0, &truth(&runs));
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

//! What is said of workflows and secrets. Brokers are looked at in the tests on Kafka.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use aquatope_core::time::Timestamp;
use aquatope_openwhisk::credentials::Secret;
use aquatope_standin::Standin;
use aquatope_standin::config::{Action, Model};
use aquatope_standin::faults::{Faults, Refused};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::cluster::topic::{Checked, TopicError};
use crate::config::read_all;
use crate::serve::STORE;

fn words(report: Report) -> Vec<(Level, String)> {
    let words = |of: Finding| (of.level, format!("{} -> {}", of.what, of.mend));
    report.findings.into_iter().map(words).collect()
}

/// What is said of a workflow, by the words it must contain.
async fn said(folder: &TempDir, standin: &Standin, keys: &str, token: bool) -> Vec<(Level, String)> {
    let path = folder.path().join("aquatope.toml");
    let text = format!("[openwhisk]\nurl = {:?}\n[[workflow]]\n{keys}", standin.url());
    fs::write(&path, text).unwrap();
    let subject = standin.subject();
    let auth = format!("{}:{}", subject.user, subject.secret.reveal());
    let mut environment = vec![("AQUATOPE_OPENWHISK_AUTH".to_owned(), auth)];
    if token {
        environment.push(("AQUATOPE_HTTP_TOKEN".to_owned(), "open sesame".to_owned()));
    }
    let (config, secrets, _) = read_all(Some(&path), environment).unwrap();
    let mut report = Report::default();
    report.workflows(&config, &secrets, Clock::fast(Timestamp(standin.now_ms() as u64), 1.0)).await;
    words(report)
}

fn write(path: &Path, workflow: &serde_json::Value) -> String {
    fs::write(path, workflow.to_string()).unwrap();
    format!("file = {path:?}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_are_held_against_the_platform() {
    let model = Model { fixed_ms: 2_000.0, ..Model::default() };
    let config = aquatope_standin::config::Config {
        actions: vec![
            Action::new("a", "python:3", model),
            Action::new("b", "python:3", model),
            Action::sequence("pair", &["a", "b"]),
        ],
        per_minute: 1_000,
        ..Default::default()
    };
    let standin = Standin::start(config, 1000.0, 0, |_| {}).await.unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("workflow.json");
    let good = json!({
        "schema": "aquatope-workflow/1", "name": "pair", "edge_overhead_s": 0.5,
        "functions": [{"name": "a"}, {"name": "b"}], "edges": [[0, 1]],
        "prices": {"cpu_per_core_s": 0.2, "mem_per_gb_s": 0.05}, "qos_s": 9.0,
        "space": {"cpu": {"min": 1, "max": 2, "step": 1}, "mem_mb": {"min": 256, "max": 2048, "step": 256}},
    });
    let with = |key: &str, value: serde_json::Value| {
        let mut changed = good.clone();
        changed[key] = value;
        changed
    };
    let file = write(&path, &good);
    let tuned = format!("{file}tune = true\n");
    assert_eq!(
        said(&folder, &standin, &tuned, true).await,
        [(Level::Well, "workflow pair: its 2 actions are there, its QoS is 9 s -> ".to_owned())]
    );
    let missing = format!("file = {:?}\n", folder.path().join("none.json"));
    let space =
        json!({"cpu": {"min": 1, "max": 2, "step": 1}, "mem_mb": {"min": 256, "max": 4096, "step": 256}});
    for (workflow, keys, token, level, expected) in [
        (&good, missing.clone(), true, Level::Broken, "No such file"),
        (&with("qos_s", json!("fast")), tuned.clone(), true, Level::Broken, "qos_s: is \"fast\""),
        (&good, format!("{tuned}input = '[1]'\n"), true, Level::Broken, "actions take objects"),
        (&good, format!("{tuned}input = 'size=3'\n"), true, Level::Broken, "write a JSON object"),
        (
            &with("qos_s", json!(0.5)),
            tuned.clone(),
            true,
            Level::Broken,
            "no more than the 0.5 s that lie between",
        ),
        (&with("qos_s", json!(500.0)), tuned.clone(), true, Level::Doubtful, "end every run after 120.5 s"),
        (
            &good,
            format!("{tuned}namespace = \"other\"\n"),
            true,
            Level::Broken,
            "refused with 403: The supplied authentication is not authorized to access this resource. -> \
             set workflow.namespace to the key's own",
        ),
        (
            &with("functions", json!([{"name": "a"}, {"name": "c"}])),
            tuned.clone(),
            true,
            Level::Broken,
            "there is no action /guest/c -> name functions in its file as `wsk action list` does",
        ),
        (
            &with("functions", json!([{"name": "a"}, {"name": "pair"}])),
            file.clone(),
            true,
            Level::Broken,
            "/guest/pair is a sequence -> name its components",
        ),
        (
            &with("space", space),
            tuned.clone(),
            true,
            Level::Broken,
            "the platform allows 128 to 2048 -> narrow",
        ),
        (
            &with("name", json!("other")),
            tuned.clone(),
            true,
            Level::Doubtful,
            "a change could not be watched",
        ),
        (&good, tuned.clone(), false, Level::Doubtful, "nobody can give one -> set AQUATOPE_HTTP_TOKEN"),
        (
            &good,
            format!("{file}apply = true\n"),
            true,
            Level::Doubtful,
            "nothing is searched for -> set tune",
        ),
        (
            &good,
            format!("{tuned}[[workflow]]\n{tuned}"),
            true,
            Level::Broken,
            "registered twice -> remove one",
        ),
    ] {
        write(&path, workflow);
        let said = said(&folder, &standin, &keys, token).await;
        let worst = said.iter().max_by_key(|(level, _)| *level).unwrap();
        assert!(worst.0 == level && worst.1.contains(expected), "{keys} {workflow}: {said:?}");
    }
    let [one, two] = ["my album", "my-album"]
        .map(|name| format!("{}tune = true\n", write(&folder.path().join(name), &with("name", json!(name)))));
    let said_twice = said(&folder, &standin, &format!("{one}[[workflow]]\n{two}"), true).await;
    assert!(said_twice.iter().any(|(_, what)| what.contains("my-album: registered twice")), "{said_twice:?}");
    write(&path, &good);
    let clone = json!({"exec": {"kind": "python:3", "code": ""}});
    for name in ["a__aquatope_pair", "img__aquatope_of-old"] {
        standin.with(|platform| platform.put_action(name, &clone, false)).unwrap();
    }
    let left = |said: Vec<(Level, String)>| {
        let told = said.into_iter().find(|(_, what)| what.contains("searches left clones"));
        told.map(|(level, what)| (level, what.split(" -> ").next().unwrap().to_owned()))
    };
    // Renamed or removed; not tuned any more; and not known by which name, so that it is not told.
    let clones = |names: &str| Some((Level::Doubtful, format!("OpenWhisk: searches left clones: {names}")));
    assert_eq!(left(said(&folder, &standin, &tuned, true).await), clones("img__aquatope_of-old"));
    let both = clones("a__aquatope_pair, img__aquatope_of-old");
    assert_eq!(left(said(&folder, &standin, &file, true).await), both);
    assert_eq!(left(said(&folder, &standin, &missing, true).await), None);
    let (mut config, mut report) = (Config::default(), Report::default());
    config.openwhisk.url = standin.url();
    let subject = standin.subject();
    let key = Secret::new(format!("{}:{}", subject.user, subject.secret.reveal()));
    let secrets = Secrets { openwhisk: Some(key), ..Secrets::default() };
    report.workflows(&config, &secrets, Clock::system()).await;
    assert_eq!(left(words(report)), both, "none is registered");
    // Runs of two stages take four seconds and more.
    write(&path, &with("qos_s", json!(2.0)));
    standin
        .drive((0..10).map(|at| aquatope_standin::Arrival {
            at_ms: at * 10_000,
            action: "pair".into(),
            run_ms: None,
        }))
        .await;
    let slow = |said: &[(Level, String)]| {
        said.iter().any(|(level, what)| *level == Level::Doubtful && what.contains("half of its runs took"))
    };
    let began = Instant::now();
    // A list is brought up to date after it is read.
    while !slow(&said(&folder, &standin, &tuned, true).await) {
        assert!(began.elapsed() < Duration::from_secs(100), "it never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_rights_is_told_where_no_workflow_is_registered() {
    let standin =
        Standin::start(aquatope_standin::config::Config::default(), 1000.0, 0, |_| {}).await.unwrap();
    let refused = vec![Refused { method: "GET", path: "limits".into(), status: 403 }];
    standin.set_faults(Faults { refused, ..Faults::default() });
    let mut config = Config::default();
    config.openwhisk.url = standin.url();
    let secrets = Secrets { openwhisk: Some(Secret::new("user:secret")), ..Secrets::default() };
    let mut report = Report::default();
    report.rest(&config, &secrets, Clock::system()).await;
    let said = words(report);
    assert!(said[0].1.ends_with(" -> take the key of a subject with this right"), "{said:?}");
}

#[test]
fn a_state_that_another_process_has_is_told() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.state.directory = folder.path().to_owned();
    let said = || {
        let mut report = Report::default();
        report.state(&config);
        words(report).remove(0)
    };
    let path = folder.path().join(STORE);
    let store = Store::open(&path, 15).unwrap();
    let (level, words) = said();
    assert!(
        level == Level::Doubtful && words.contains("aquatope.redb: in use by another process"),
        "{words}"
    );
    drop(store);
    let before = fs::read(&path).unwrap();
    let (level, words) = said();
    assert!(level == Level::Well && words.contains("is writable"), "{words}");
    assert!(fs::read(&path).unwrap() == before, "looking changes nothing");
}

#[test]
fn an_address_that_is_taken_or_of_another_machine_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let said = |address: SocketAddr| {
        let mut report = Report::default();
        report.listen(address);
        words(report).remove(0)
    };
    let (level, words) = said(taken.local_addr().unwrap());
    assert!(level == Level::Doubtful && words.contains("choose another http.listen"), "{words}");
    // An address for documentation.
    let (level, words) = said("192.0.2.1:9180".parse().unwrap());
    assert!(level == Level::Broken && words.contains("an address of this machine"), "{words}");
    assert_eq!(said("127.0.0.1:0".parse().unwrap()).0, Level::Well);
}

#[test]
fn a_topic_is_called_compacted_only_when_that_was_seen() {
    let error = |key, found: &str, expected| {
        Err(TopicError::Setting { topic: "t".into(), key, found: found.into(), expected })
    };
    for (checked, level, expected) in [
        (Ok(Checked::Well), Level::Well, "cluster: \"t\" has 8 partitions and is compacted -> "),
        (
            Ok(Checked::SettingsHidden),
            Level::Doubtful,
            "cluster: \"t\" has 8 partitions; whether it is compacted could not be checked: the brokers do not show us its \
             settings -> allow DESCRIBE_CONFIGS on it and ask again, or look with `kafka-configs --bootstrap-server k:1 \
             --entity-type topics --entity-name t --describe --all`: cleanup.policy must be compact, max.message.bytes must \
             be 8388608 or more",
        ),
        (
            error("cleanup.policy", "delete", "compact"),
            Level::Broken,
            "--entity-name t --alter --add-config cleanup.policy=compact",
        ),
        (
            Err(TopicError::Shards { topic: "t".into(), found: 3, expected: 8 }),
            Level::Broken,
            "set cluster.shards to 3",
        ),
        (Err(TopicError::Missing("t".into())), Level::Well, "will be made at the start"),
        (
            Err(TopicError::Denied("t".into())),
            Level::Broken,
            "access is denied -> allow DESCRIBE, READ and WRITE on it",
        ),
        (
            Err(TopicError::Unavailable("t".into(), "timed out".into())),
            Level::Broken,
            "timed out -> ask again; if it stays so, see the brokers' logs",
        ),
    ] {
        let mut report = Report::default();
        report.cluster_topic("k:1", "t", 8, checked);
        let said = words(report);
        assert!(said.len() == 1 && said[0].0 == level && said[0].1.contains(expected), "{said:?}");
    }
}

#[test]
fn secrets_of_a_wrong_form_and_files_that_others_can_read_are_told() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let secret = |name: &str, text: &str, mode: u32| {
        fs::write(path(name), text).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    secret("openwhisk.auth", "hunter2\n", 0o640);
    secret("couchdb.auth", "whisk:hunter2\n", 0o644);
    secret("http.token", "\n", 0o600);
    let text = format!(
        "[openwhisk]\nauth_file = {:?}\ncontroller_auth_file = {:?}\n[actuator]\ncouchdb_auth_file = {:?}\n\
         [http]\ntoken_file = {:?}\n[kafka]\nsecurity = \"sasl-ssl\"\n",
        path("openwhisk.auth"),
        path("none"),
        path("couchdb.auth"),
        path("http.token"),
    );
    fs::write(path("aquatope.toml"), text).unwrap();
    let (config, secrets, faults) = read_all(Some(&path("aquatope.toml")), []).unwrap();
    let mut report = Report::default();
    report.secrets(&config, &secrets, faults);
    let said = words(report);
    let expected = [
        (Level::Broken, "openwhisk.controller_auth_file = "),
        (Level::Broken, "http.token: the file is empty -> put the secret into it"),
        (Level::Broken, "not of the form user:secret"),
        (Level::Broken, "kafka.username is not set"),
        (Level::Broken, "there is no password -> set AQUATOPE_KAFKA_PASSWORD"),
        (Level::Doubtful, "couchdb.auth: everybody on this machine can read it -> chmod o-rwx "),
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for ((level, words), (expected_level, expected)) in said.iter().zip(expected) {
        assert!(*level == expected_level && words.contains(expected), "{words}");
    }
    assert!(!format!("{said:?}").contains("hunter2"));

    let mut report = Report::default();
    report.secrets(&Config::default(), &Secrets::default(), Vec::new());
    assert_eq!(words(report)[0].0, Level::Well);
}

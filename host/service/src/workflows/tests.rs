//! Every phase against a platform that runs.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use aquatope_core::time::Timestamp;
use aquatope_openwhisk::credentials::{Credentials, Secret};
use aquatope_openwhisk::records::Limits;
use aquatope_openwhisk::rest::{Client, Transport};
use aquatope_standin::Standin;
use aquatope_standin::config::{Action, Model};
use aquatope_standin::faults::{Faults, Refused};
use tempfile::TempDir;

use super::*;
use crate::config::{Config, Secrets};
use crate::read;
use crate::store::{self, Changelog, LogError};
use crate::tune::{ActionChange, remove_clones};

/// Virtual seconds in a real one.
const SPEED: f64 = 1000.0;

/// A platform with the sequence `pair` of `a` and `b`, and who tunes it.
struct Both {
    standin: Standin,
    tuning: Tuning,
    folder: TempDir,
}

impl Both {
    async fn start(qos_s: f64) -> Self {
        Self::with(qos_s, 0.0).await
    }

    /// This share of the runs fails.
    async fn with(qos_s: f64, failures: f64) -> Self {
        let model = Model { fixed_ms: 100.0, work_ms: 500.0, failures, ..Model::default() };
        let action = |name: &str| Action { memory_mb: 2048, ..Action::new(name, "python:3", model) };
        let config = aquatope_standin::config::Config {
            actions: vec![action("a"), action("b"), Action::sequence("pair", &["a", "b"])],
            invokers_mb: vec![16_384; 2],
            per_minute: 1 << 40,
            concurrent: 1 << 40,
            idle_timeout_ms: i64::MAX / 4,
            ..Default::default()
        };
        let standin = Standin::start(config, SPEED, 0, |_| {}).await.unwrap();
        let folder = TempDir::new().unwrap();
        let mut config = Config::default();
        config.openwhisk.url = standin.url();
        config.workflow = vec![registered(&folder, "pair", "guest", qos_s)];
        let subject = standin.subject();
        let key = Secret::new(format!("{}:{}", subject.user, subject.secret.reveal()));
        let secrets = Secrets { openwhisk: Some(key), ..Secrets::default() };
        let store = Arc::new(Store::open(folder.path().join("store.redb"), 15).unwrap());
        let clock = Clock::fast(Timestamp(standin.now_ms() as u64), SPEED);
        let tuning = Tuning::all(&config, &secrets, &store, &Arc::default(), clock).unwrap().remove(0);
        Self { standin, tuning, folder }
    }

    fn clones(&self) -> Vec<&str> {
        let exists = |name: &&str| self.standin.with(|platform| platform.action(name, false).is_some());
        ["a__aquatope_pair", "b__aquatope_pair"].into_iter().filter(exists).collect()
    }

    fn memory(&self) -> [u64; 2] {
        let of = |name| self.standin.with(|platform| platform.action(name, false).unwrap());
        ["a", "b"].map(|name| of(name)["limits"]["memory"].as_u64().unwrap())
    }

    async fn set_memory(&self, memory_mb: [u32; 2]) {
        for (name, memory_mb) in ["a", "b"].into_iter().zip(memory_mb) {
            let limits = Limits::memory(memory_mb);
            self.tuning.platform.client.put_limits(name, &limits).await.unwrap();
        }
    }

    fn shown(&self) -> Shown {
        read(&self.tuning.board).workflows.get("pair").cloned().unwrap_or_default()
    }

    /// Until it is over, while users run the workflow.
    async fn over(&self) -> String {
        tokio::select! {
            () = self.tuning.run() => {}
            () = self.load() => {}
        }
        let Shown { state, error, .. } = self.shown();
        assert_eq!(error, None);
        state
    }

    async fn load(&self) {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.shown());
            self.standin.with(|platform| platform.load("pair", None)).unwrap();
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Runs it until `condition`.
    async fn until(&self, condition: impl Fn(Shown) -> bool) {
        let wait = async {
            let began = Instant::now();
            while !condition(self.shown()) {
                assert!(began.elapsed() < PATIENCE, "{:?}", self.shown());
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            // What was shown before it ran does not count.
            biased;
            () = self.tuning.run() => assert!(condition(self.shown()), "{:?}", self.shown()),
            () = wait => {}
        }
    }
}

/// A workflow of `a` and `b`.
fn registered(folder: &TempDir, name: &str, namespace: &str, qos_s: f64) -> Registered {
    let file = folder.path().join(format!("{name}.json"));
    let text = format!(
        r#"{{"schema":"aquatope-workflow/1","name":"{name}","functions":[{{"name":"a"}},{{"name":"b"}}],"edges":[[0,1]],
        "edge_overhead_s":0.01,"prices":{{"cpu_per_core_s":0.2,"mem_per_gb_s":0.05}},"qos_s":{qos_s},
        "space":{{"cpu":{{"min":1,"max":1,"step":1}},"mem_mb":{{"min":256,"max":2048,"step":256}}}}}}"#
    );
    std::fs::write(&file, text).unwrap();
    Registered {
        file,
        namespace: namespace.into(),
        tune: true,
        apply: false,
        input: "{}".into(),
        samples: 1,
        trials: 4,
        per_minute: 1000,
        cpu_limits: false,
    }
}

/// A client of a server that answers requests, told by their first lines, with a status and a body, or never.
fn client_of(mut answer: impl FnMut(&str) -> Option<(u16, &'static str)> + Send + 'static) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut unanswered = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let Some((status, body)) = answer(head.first().map_or("", String::as_str)) else {
                unanswered.push(stream);
                continue;
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {status} \r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    let transport = Transport { timeout: 10 * PATIENCE, ..Transport::default() };
    Client::new(&url, "guest", Credentials::parse("user:secret").unwrap(), &transport).unwrap()
}

/// Longer than anything takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// From 2048 MB both to 1024 and 512.
fn change() -> Change {
    let (from, to) = (Limits::memory(2048), [Limits::memory(1024), Limits::memory(512)]);
    let action = |(name, to): (&str, Limits)| ActionChange { name: name.into(), from: from.clone(), to };
    Change { actions: ["a", "b"].into_iter().zip(to).map(action).collect() }
}

fn refuse(method: &'static str, path: &str, status: u16) -> Faults {
    Faults { refused: vec![Refused { method, path: path.into(), status }], ..Faults::default() }
}

/// A log whose second write waits until somebody lets it.
struct Waiting {
    writes: u32,
    free: mpsc::Receiver<()>,
}

impl Changelog for Waiting {
    fn read(&mut self, _: &mut dyn FnMut(store::Change) -> Result<(), LogError>) -> Result<(), LogError> {
        Ok(())
    }

    fn write(&mut self, _: &[store::Change]) -> Result<(), LogError> {
        self.writes += 1;
        match self.writes {
            2 => self.free.recv_timeout(PATIENCE).map_err(|error| LogError::Unavailable(error.to_string())),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_store_that_keeps_waiting_keeps_no_other_task_waiting() {
    let mut both = Both::start(10.0).await;
    let (freed, free) = mpsc::channel();
    let path = both.folder.path().join("copy.redb");
    let store = Store::from_log(path, 15, Box::new(Waiting { writes: 0, free })).unwrap();
    both.tuning.store = Arc::new(store);
    let over = Phase::Over("found".into());
    {
        let keep = both.tuning.keep(&over);
        tokio::pin!(keep);
        // The only thread there is for tasks comes back, and the phase is let go of half-way.
        tokio::select! {
            biased;
            _ = &mut keep => panic!("it is still being written"),
            () = tokio::task::yield_now() => {}
        }
    }
    freed.send(()).unwrap();
    assert_eq!(
        both.tuning.stored().await.map(|stored| stored.phase),
        Some(over),
        "what follows waits its turn"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_refused_half_way_is_taken_back() {
    let both = Both::start(60.0).await;
    both.standin.set_faults(refuse("PUT", "actions/b", 403));
    both.tuning.keep(&Phase::Applying(change())).await.unwrap();
    let state = both.over().await;
    assert!(state.starts_with("taken back: it could not be applied: ") && state.contains("403"), "{state}");
    assert_eq!(both.memory(), [2048, 2048]);
    let version = both.standin.with(|platform| platform.action("a", false).unwrap()["version"].clone());
    assert_eq!(version, "0.0.3", "it was changed, and changed back");
}

/// The phase that is stored, what production has then, and the state in the end.
type Case = (fn(&Both) -> Phase, [u32; 2], &'static str);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_with_the_phase_it_was_in() {
    // No run takes less than the QoS: whatever is applied is taken back in the end.
    let missed = "taken back: it missed its QoS";
    let cases: [Case; 4] = [
        (|_| Phase::Applying(change()), [1024, 2048], missed),
        (|both| Phase::Watching(change(), both.standin.now_ms() as u64), [1024, 512], missed),
        (|_| Phase::TakingBack(change(), "it was slow".into()), [2048, 512], "taken back: it was slow"),
        (|_| Phase::Over("as it was".into()), [2048, 2048], "as it was"),
    ];
    for (phase, memory_mb, state) in cases {
        let both = Both::start(0.1).await;
        both.set_memory(memory_mb).await;
        both.tuning.keep(&phase(&both)).await.unwrap();
        assert_eq!(both.over().await, state);
        assert_eq!(both.memory(), [2048, 2048], "{state}");
        // That is kept too.
        let stored = both.tuning.stored().await.unwrap();
        assert_eq!(stored.phase, Phase::Over(state.into()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_half_applied_before_an_edit_is_taken_back_before_the_search() {
    let both = Both::start(3.0).await;
    both.set_memory([1024, 2048]).await;
    both.tuning.keep_of("another problem".into(), &Phase::Applying(change())).await.unwrap();
    both.until(|shown| shown.state == "searching").await;
    assert_eq!(both.memory(), [2048, 2048]);
    let stored = both.tuning.stored().await.unwrap();
    assert_eq!(stored.phase, Phase::Over("taken back: the workflow was edited meanwhile".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_shown_and_tried_again() {
    let both = Both::start(3.0).await;
    both.standin.set_faults(refuse("", "", 401));
    both.until(|shown| shown.error.is_some_and(|error| error.contains("401"))).await;
    assert_eq!(both.shown().state, "searching");
    both.standin.set_faults(Faults::default());
    both.until(|shown| shown.trials == 4 && shown.state != "searching").await;
    let shown = both.shown();
    assert_eq!((shown.error, shown.today.as_deref()), (None, Some("2048 MB; 2048 MB")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_duty_a_workflow_is_left_alone() {
    let Both { standin, tuning, folder: _folder } = Both::start(3.0).await;
    // So that the search does not end.
    standin.set_faults(refuse("", "", 401));
    let (board, status) = (tuning.board.clone(), SharedStatus::default());
    let watched = status.clone();
    let task = tokio::spawn(async move { tuning.run_on_duty(&watched).await });
    for (duty, state) in [
        (Duty::Another, "another instance is on duty"),
        (Duty::Ours, "searching"),
        (Duty::Unknown, "not on duty yet"),
        (Duty::NotKnowable, "searching"),
    ] {
        status.update(|status| status.duty = duty);
        let began = Instant::now();
        while read(&board).workflows.get("pair").is_none_or(|shown| shown.state != state) {
            assert!(began.elapsed() < PATIENCE, "{duty:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_panics_is_shown_and_begun_again() {
    let Both { standin, mut tuning, folder: _folder } = Both::start(3.0).await;
    // No clock goes so far.
    tuning.platform.pace.invocation = Duration::MAX;
    let board = tuning.board.clone();
    let task = tokio::spawn(tuning.run_steadily(SharedStatus::default()));
    let version = || {
        standin.with(|platform| platform.action("a__aquatope_pair", false).map(|it| it["version"].clone()))
    };
    let shown =
        || read(&board).workflows.get("pair").and_then(|shown| shown.error.clone()).unwrap_or_default();
    let (began, mut told) = (Instant::now(), false);
    // The clone is made anew at every beginning.
    while !told || version().is_none_or(|version| version == "0.0.1" || version == "0.0.2") {
        told |= shown().contains("a fault of the service");
        assert!(began.elapsed() < PATIENCE && !task.is_finished(), "{} {:?}", shown(), version());
        sleep(Duration::from_millis(1)).await;
    }
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clones_that_are_left_behind_keep_nothing_waiting_and_go_as_soon_as_they_can() {
    let both = Both::start(3.0).await;
    let clone = "a__aquatope_pair";
    let exists = |name: &str| both.standin.with(|platform| platform.action(name, false).is_some());
    both.standin.set_faults(refuse("DELETE", clone, 403));
    let waiting = |shown: &Shown| shown.state == "waiting for approval";
    let left = |shown: &Shown| shown.clones_left.as_ref().is_some_and(|error| error.contains(clone));
    both.until(|shown| waiting(&shown) && left(&shown)).await;
    assert!(exists(clone) && !exists("b__aquatope_pair"));
    // After a restart, though the platform is down now, what was found is shown.
    both.standin.set_faults(Faults { down: true, ..Faults::default() });
    both.until(|shown| waiting(&shown) && shown.clones_left.is_some()).await;
    both.standin.set_faults(Faults::default());
    both.until(|shown| waiting(&shown) && !exists(clone)).await;

    // It is over, and a function is no longer in the workflow.
    let client = &both.tuning.platform.client;
    let action = client.action("a", true).await.unwrap().unwrap();
    client.put_action("old__aquatope_pair", &action, true).await.unwrap();
    both.tuning.keep(&Phase::Over("as it was".into())).await.unwrap();
    both.standin.set_faults(refuse("GET", "actions", 403));
    both.until(|shown| shown.state == "as it was" && shown.clones_left.is_some()).await;
    both.standin.set_faults(Faults::default());
    both.tuning.run().await;
    assert!(!exists("old__aquatope_pair"));
    assert_eq!((both.shown().state.as_str(), both.shown().clones_left), ("as it was", None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_that_fails_today_is_not_tuned_and_leaves_no_clone() {
    let both = Both::with(3.0, 1.0).await;
    both.tuning.run().await;
    let shown = both.shown();
    assert_eq!(shown.state, "stopped");
    let error = shown.error.unwrap();
    assert!(error.contains("the configuration of today cannot be measured"), "{error}");
    assert!(both.clones().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clones_of_a_search_that_is_refused_are_deleted_as_far_as_they_can_be() {
    let mut both = Both::start(3.0).await;
    let pause = Duration::from_secs(2);
    (both.tuning.platform.pace.retry, both.tuning.platform.pace.longest_retry) = (pause, pause);
    let [mut refused, deletions] = [("POST", "a"), ("DELETE", "b")]
        .map(|(method, name)| refuse(method, &format!("{name}__aquatope_pair"), 403));
    refused.refused.extend(deletions.refused);
    both.standin.set_faults(refused);
    both.until(|shown| {
        let told =
            |error: Option<String>, name| error.is_some_and(|it| it.contains(name) && it.contains("403"));
        told(shown.error, "a__aquatope_pair") && told(shown.clones_left, "b__aquatope_pair")
    })
    .await;
    assert_eq!(both.clones(), ["b__aquatope_pair"]);
    both.standin.set_faults(Faults::default());
    both.until(|shown| shown.state == "waiting for approval" && both.clones().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clones_are_shown_as_left_until_they_are_known_to_be_gone() {
    let mut both = Both::start(3.0).await;
    both.tuning.platform.pace.retry = Duration::from_millis(50);
    both.tuning.platform.pace.longest_retry = Duration::from_secs(5);
    let (board, searches) = (both.tuning.board.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = searches.clone();
    both.tuning.platform.client = client_of(move |request| {
        let is_shown = read(&board).workflows["pair"].clones_left.is_some();
        counted.fetch_add(usize::from(is_shown && request.contains("/actions/a?")), Ordering::Relaxed);
        Some((403, "{}"))
    });
    both.until(|_| searches.load(Ordering::Relaxed) > 0).await;
    // Nor are they forgotten when it is begun anew.
    both.tuning.platform.client = client_of(|_| None);
    both.until(|shown| shown.state == "searching" && shown.clones_left.is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_does_not_wait_for_clones_to_go() {
    let mut both = Both::start(3.0).await;
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    // It never tells which clones there are.
    both.tuning.platform.client = client_of(move |request| {
        counted.fetch_add(usize::from(request.contains("/actions/a?")), Ordering::Relaxed);
        (!request.contains("/actions?")).then_some((401, "{}"))
    });
    both.until(|_| tries.load(Ordering::Relaxed) >= 3).await;
}

#[tokio::test]
async fn clones_are_deleted_until_a_list_has_none() {
    let (deleted, names) = mpsc::channel();
    // As when somebody else deletes an action while the first list is read page by page.
    let mut lists = [
        r#"[{"namespace":"guest","name":"a__aquatope_pair"}]"#,
        r#"[{"namespace":"guest","name":"b__aquatope_pair"}]"#,
        "[]",
    ]
    .into_iter();
    let client = client_of(move |request| {
        if request.starts_with("GET") {
            return Some((200, lists.next().unwrap()));
        }
        deleted.send(request.to_owned()).unwrap();
        Some((200, "{}"))
    });
    remove_clones(&client, "pair").await.unwrap();
    for name in ["a", "b"] {
        let request = names.recv().unwrap();
        assert!(
            request.starts_with("DELETE") && request.contains(&format!("{name}__aquatope_pair")),
            "{request}"
        );
    }

    let listed = r#"[{"namespace":"guest","name":"a__aquatope_pair"}]"#;
    let client = client_of(move |request| Some((if request.starts_with("GET") { 200 } else { 404 }, listed)));
    let error = remove_clones(&client, "pair").await.unwrap_err().to_string();
    assert!(error.contains("a__aquatope_pair were deleted and are listed all the same"), "{error}");
}

#[test]
fn workflows_of_a_namespace_have_clones_of_their_own() {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    config.openwhisk.url = "http://localhost".into();
    let secrets = Secrets { openwhisk: Some(Secret::new("user:secret")), ..Secrets::default() };
    let mut names = |both: [(&str, &str); 2]| {
        config.workflow = both.map(|(name, namespace)| registered(&folder, name, namespace, 3.0)).into();
        let store = Arc::new(Store::in_memory().unwrap());
        let tunings = Tuning::all(&config, &secrets, &store, &Arc::default(), Clock::system());
        tunings.map(|tunings| tunings.iter().map(|tuning| tuning.name().to_owned()).collect::<Vec<_>>())
    };
    for two in [[("pair", "guest"); 2], [("my album", "guest"), ("my-album", "guest")]] {
        let fault = names(two).unwrap_err();
        assert!(fault.what.contains("is registered twice for guest"), "{fault}");
    }
    assert_eq!(names([("pair", "guest"), ("pair", "other")]).unwrap(), ["guest/pair", "other/pair"]);
    assert_eq!(names([("my album", "guest"), ("my-album", "other")]).unwrap(), ["my album", "my-album"]);
}

#[tokio::test]
async fn an_approval_counts_only_while_it_is_waited_for() {
    let approval = Approval::default();
    assert!(!approval.give());
    tokio::select! {
        biased;
        () = approval.wait() => panic!("nobody approved"),
        () = std::future::ready(()) => {}
    }
    assert!(!approval.give(), "whoever waited has gone");
    let give = async {
        while !approval.give() {
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(approval.wait(), give);
    assert!(!approval.give(), "once");
}

//! The stand-in behind HTTP, asked by the client that asks the real OpenWhisk.

use std::collections::HashSet;
use std::sync::mpsc;
use std::time::Duration;

use aquatope_openwhisk::controller::{Controller, InvokerRange};
use aquatope_openwhisk::credentials::Credentials;
use aquatope_openwhisk::error::Cause;
use aquatope_openwhisk::event::{Event, Status, decode};
use aquatope_openwhisk::invoker::{Invoker, StemCells};
use aquatope_openwhisk::manifest::Manifest;
use aquatope_openwhisk::records::Limits;
use aquatope_openwhisk::rest::{Client, Invoked, Selection, Transport, Wait};
use aquatope_standin::config::{Action, Config, Engine, Model};
use aquatope_standin::faults::Faults;
use aquatope_standin::{Arrival, Standin};
use serde_json::json;

const MANIFEST: &str = r#"{"runtimes":{"fn":[{"kind":"fn:1","stemCells":[{"initialCount":1,"memory":"256 MB"}]}]},"blackboxes":[]}"#;
const LONG: Wait = Wait::UpTo(Duration::from_secs(60));

fn config() -> Config {
    let model = Model { fixed_ms: 100.0, ..Model::default() };
    Config {
        actions: vec![
            Action::new("quick", "fn:1", model),
            Action::new("pkg/slow", "fn:1", Model { fixed_ms: 20_000.0, ..model }),
            Action::new("failing", "fn:1", Model { failures: 1.0, ..model }),
            Action::sequence("both", &["quick", "pkg/slow"]),
        ],
        manifest: Manifest::parse(MANIFEST).unwrap(),
        per_minute: 100_000,
        concurrent: 10_000,
        ..Config::default()
    }
}

/// A hundred times as fast as real time.
async fn standin(config: Config) -> (Standin, Client, mpsc::Receiver<Vec<u8>>) {
    let (sender, events) = mpsc::channel();
    let sink = move |event| {
        let _ = sender.send(event);
    };
    let standin = Standin::start(config, 100.0, 0, sink).await.unwrap();
    let client = Client::new(&standin.url(), "_", standin.subject(), &Transport::default()).unwrap();
    (standin, client, events)
}

/// The outcome of `probe` once there is one; fails after half a minute.
async fn eventually<T, F: Future<Output = Option<T>>>(mut probe: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_blocking_call_brings_the_record_and_the_sink_the_event() {
    let (standin, client, events) = standin(config()).await;
    let Invoked::Finished(record) = client.invoke("quick", &json!({"x": 1}), LONG).await.unwrap() else {
        panic!("a record")
    };
    assert_eq!(
        (record.status(), record.path().as_str(), record.kind()),
        (Status::Success, "guest/quick", "fn:1")
    );
    assert_eq!((record.execution_ms(), record.init_ms(), record.memory_mb()), (100, 200, Some(256)));
    assert_eq!(record.response.as_ref().unwrap().result, json!({"x": 1}));
    // Among the events the metric of the admitted request.
    let activation = std::iter::from_fn(|| events.recv_timeout(Duration::from_secs(30)).ok())
        .find(|event| matches!(decode(event), Ok(Event::Activation(_))))
        .unwrap();
    let Ok(Event::Activation(event)) = decode(&activation) else { panic!("an activation") };
    assert_eq!(event.activation_id.as_deref(), Some(&*record.activation_id));
    assert_eq!(event.start_ms(5), record.start);
    assert_eq!(client.activation(&record.activation_id).await.unwrap(), Some(*record));
    standin.stop();
}

#[tokio::test]
async fn a_long_blocking_call_is_accepted_and_its_record_comes_later() {
    let (_standin, client, _events) = standin(config()).await;
    let wait = Wait::UpTo(Duration::from_millis(1));
    let id = eventually(|| async {
        match client.invoke("pkg/slow", &json!({}), wait).await.unwrap() {
            Invoked::Accepted { id } => Some(id),
            Invoked::Finished(_) => None,
        }
    })
    .await;
    let record = eventually(|| async { client.activation(&id).await.unwrap() }).await;
    assert_eq!((record.path().as_str(), record.execution_ms()), ("guest/pkg/slow", 20_000));
    let Invoked::Accepted { id } = client.invoke("both", &json!({}), Wait::No).await.unwrap() else {
        panic!("accepted only")
    };
    let record = eventually(|| async { client.activation(&id).await.unwrap() }).await;
    assert_eq!((record.kind(), record.logs.len()), ("sequence", 2));
    let part = client.activation(&record.logs[1]).await.unwrap().unwrap();
    assert_eq!(part.cause, Some(id));
}

#[tokio::test]
async fn refusals_are_what_the_client_expects() {
    let limits = Config { per_minute: 2, payload: 1000, ..config() };
    let (standin, client, _events) = standin(limits).await;
    let Invoked::Finished(record) = client.invoke("failing", &json!({}), LONG).await.unwrap() else {
        panic!("a record")
    };
    assert_eq!(record.status(), Status::ApplicationError);
    let error = client.invoke("quick", &json!({"x": "y".repeat(2000)}), LONG).await.unwrap_err();
    assert!(matches!(error.cause, Cause::TooLarge(_)), "{error}");
    assert!(client.invoke("nowhere", &json!({}), LONG).await.unwrap_err().is_not_found());
    let throttled = async || {
        for _ in 0..100 {
            if let Err(error) = client.invoke("quick", &json!({}), Wait::No).await {
                return error;
            }
        }
        panic!("not throttled")
    };
    assert!(throttled().await.is_throttled());
    let stranger =
        Client::new(&standin.url(), "_", Credentials::new("a", "b"), &Transport::default()).unwrap();
    assert_eq!(stranger.limits().await.unwrap_err().cause, Cause::Unauthorized);
    let elsewhere = Client::new(&standin.url(), "other", standin.subject(), &Transport::default()).unwrap();
    assert!(matches!(elsewhere.limits().await.unwrap_err().cause, Cause::Forbidden(_)));
}

#[tokio::test]
async fn actions_are_read_changed_copied_and_deleted() {
    let (_standin, client, _events) = standin(config()).await;
    let action = client.action("pkg/slow", true).await.unwrap().unwrap();
    assert_eq!(
        (action.namespace.as_str(), action.name.as_str(), action.kind()),
        ("guest/pkg", "slow", "fn:1")
    );
    let changed = client.put_limits("pkg/slow", &Limits::memory(512)).await.unwrap();
    assert_eq!((changed.limits.memory, changed.limits.timeout), (Some(512), Some(60_000)));
    assert_ne!(changed.version, action.version);
    let copy = client.put_action("copy", &changed, false).await.unwrap();
    assert_eq!((copy.exec.clone(), copy.limits.memory), (action.exec.clone(), Some(512)));
    let conflict = client.put_action("copy", &changed, false).await.unwrap_err();
    assert!(matches!(conflict.cause, Cause::Conflict(_)), "{conflict}");
    let Invoked::Finished(record) = client.invoke("copy", &json!({}), LONG).await.unwrap() else {
        panic!("a record")
    };
    assert_eq!(record.execution_ms(), 20_000);
    assert!(client.delete_action("copy").await.unwrap());
    assert!(!client.delete_action("copy").await.unwrap());
    assert_eq!(client.action("copy", false).await.unwrap(), None);
    let error = client.put_limits("quick", &Limits::memory(64)).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Refused { status: 400, .. }), "{error}");
    let sequence = client.action("both", false).await.unwrap().unwrap();
    assert_eq!(sequence.components(), ["guest/quick", "guest/pkg/slow"]);
}

#[tokio::test]
async fn lists_are_paged_without_a_loss_and_their_newest_rows_come_late() {
    let (standin, client, _events) = standin(config()).await;
    let count = 450;
    let arrivals = (0..count).map(|i| Arrival { at_ms: i / 3, action: "quick".into(), run_ms: Some(1.0) });
    assert_eq!(standin.drive(arrivals).await, count as u64);
    eventually(|| async {
        (standin.with(|platform| platform.counts().events) == count as u64).then_some(())
    })
    .await;
    // The view is brought up to date after it is read.
    assert_eq!(client.activations(&Selection::default()).await.unwrap(), []);
    let mut pages = client.pages(Selection::default());
    let mut ids = HashSet::new();
    let mut last = i64::MAX;
    loop {
        let rows = pages.next().await.unwrap();
        if rows.is_empty() {
            break;
        }
        for row in rows {
            assert!(row.start <= last && row.response.is_none() && row.status() == Status::Success);
            last = row.start;
            assert!(ids.insert(row.activation_id));
        }
    }
    assert_eq!(ids.len(), count as usize);
    let none = Selection { name: Some("nowhere".into()), ..Selection::default() };
    assert_eq!(client.activations(&none).await.unwrap(), []);
    let late = Selection { since_ms: Some(last + 1), ..Selection::default() };
    assert_eq!(client.activations(&late).await.unwrap().len(), 200);
}

#[tokio::test]
async fn firings_of_triggers_are_listed_without_a_kind() {
    let (standin, client, _events) = standin(config()).await;
    standin.with(|platform| platform.fire("every-hour"));
    // The view is brought up to date after it is read.
    assert_eq!(client.activations(&Selection::default()).await.unwrap(), []);
    let rows = client.activations(&Selection::default()).await.unwrap();
    let [fired] = &rows[..] else { panic!("one row: {rows:?}") };
    assert_eq!((fired.path().as_str(), fired.end, fired.duration), ("guest/every-hour", 0, 0));
    assert_eq!(fired.annotation("kind"), None);
}

#[tokio::test]
async fn more_rows_than_a_page_in_one_millisecond_are_all_listed() {
    let (standin, client, _events) = standin(Config { invokers_mb: vec![1 << 20], ..config() }).await;
    standin.with(|platform| (0..500).for_each(|_| assert!(platform.load("quick", Some(1.0)).is_ok())));
    eventually(|| async { (standin.with(|platform| platform.counts().events) == 500).then_some(()) }).await;
    client.activations(&Selection::default()).await.unwrap();
    let mut pages = client.pages(Selection::default());
    let mut ids = HashSet::new();
    while let Ok(rows) = pages.next().await
        && !rows.is_empty()
    {
        ids.extend(rows.into_iter().map(|row| row.activation_id));
    }
    assert_eq!(ids.len(), 500);
}

#[tokio::test]
async fn the_operators_side_shows_and_changes_stem_cells() {
    let (standin, client, _events) = standin(config()).await;
    assert_eq!(client.invokers().await.unwrap().len(), 2);
    let system = client.system().await.unwrap();
    assert_eq!((system.limit("max_action_memory"), system.runtimes.len()), (Some(2048.0 * 1048576.0), 1));
    let limits = client.limits().await.unwrap();
    assert_eq!(
        (limits.invocations_per_minute, limits.action_memory_mb()),
        (Some(100_000), (Some(128), Some(2048)))
    );

    let transport = Transport::default();
    let credentials = Credentials::new("invoker.user", "invoker.pass");
    let invoker = Invoker::new(&standin.invoker_url(1), credentials, &transport).unwrap();
    let cells = |number| vec![StemCells { kind: "fn:1".into(), memory_mb: 256, number }];
    eventually(|| async { (invoker.stem_cells().await.unwrap() == Some(cells(1))).then_some(()) }).await;
    assert_eq!(invoker.pool().await.unwrap(), None);

    let mut manifest = Manifest::parse(MANIFEST).unwrap();
    manifest.set_stem_cells("fn:1", 256, 4).unwrap();
    // Not a subject's key.
    let wrong = Controller::new(&standin.url(), standin.subject(), &transport).unwrap();
    assert_eq!(wrong.post_runtimes(&manifest, None).await.unwrap_err().cause, Cause::Unauthorized);
    let credentials = Credentials::new("controller.user", "controller.pass");
    let controller = Controller::new(&standin.url(), credentials, &transport).unwrap();
    controller.post_runtimes(&manifest, InvokerRange::new(1, 1)).await.unwrap();
    eventually(|| async { (invoker.stem_cells().await.unwrap() == Some(cells(4))).then_some(()) }).await;
    assert_eq!(standin.with(|platform| platform.stem_cells(0)), [(("fn:1".into(), 256), 1)]);
}

#[tokio::test]
async fn the_function_pulling_engine_shows_its_containers() {
    let (standin, client, _events) = standin(Config {
        engine: Engine::FunctionPulling,
        invokers_mb: vec![4096],
        idle_timeout_ms: i64::MAX / 4,
        ..config()
    })
    .await;
    let credentials = Credentials::new("invoker.user", "invoker.pass");
    let invoker = Invoker::new(&standin.invoker_url(0), credentials, &Transport::default()).unwrap();
    client.invoke("quick", &json!({}), LONG).await.unwrap();
    let pool = eventually(|| async {
        client.invoke("pkg/slow", &json!({}), Wait::No).await.unwrap();
        Some(invoker.pool().await.unwrap().unwrap()).filter(|pool| pool.busy_pool.total > 0)
    })
    .await;
    assert_eq!(pool.busy_pool.containers[0].action, "slow");
    let paused = pool.paused_pool.containers.iter().find(|holder| holder.action == "quick").unwrap();
    assert_eq!((paused.namespace.as_str(), paused.kind.as_str()), ("guest", "fn:1"));
}

#[tokio::test]
async fn faults_are_felt_and_end() {
    let (standin, client, _events) = standin(config()).await;
    standin.set_faults(Faults { errors: true, ..Faults::default() });
    let error = client.limits().await.unwrap_err();
    assert!(matches!(error.cause, Cause::Refused { status: 500, .. }) && error.is_transient(), "{error}");
    standin.set_faults(Faults { down: true, ..Faults::default() });
    for _ in 0..3 {
        let error = client.limits().await.unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
    standin.set_faults(Faults { delay: Duration::from_secs(3600), ..Faults::default() });
    let hasty = Transport { timeout: Duration::from_millis(50), ..Transport::default() };
    let hasty = Client::new(&standin.url(), "_", standin.subject(), &hasty).unwrap();
    assert_eq!(hasty.limits().await.unwrap_err().cause, Cause::TimedOut);
    standin.set_faults(Faults::default());
    client.limits().await.unwrap();
}

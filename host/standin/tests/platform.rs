//! The platform under a clock of our own, worked by hand.

use aquatope_openwhisk::event::{Activation, Event, Metric, Status, decode};
use aquatope_openwhisk::manifest::Manifest;
use aquatope_standin::config::{Action, Config, Engine, Model};
use aquatope_standin::faults::Faults;
use aquatope_standin::platform::{Counts, Output, Platform};
use serde_json::json;

/// Begins on a full minute.
const T0: i64 = 1_700_000_040_000;

const MANIFEST: &str =
    r#"{"runtimes":{"fn":[{"kind":"fn:1","stemCells":[{"initialCount":1,"memory":"256 MB"}]}]}}"#;

fn model() -> Model {
    Model { fixed_ms: 100.0, init_ms: 200, create_ms: 500, ..Model::default() }
}

fn config(actions: Vec<Action>) -> Config {
    Config { actions, overhead_ms: 3, lag_ms: 5, invokers_mb: vec![1024], ..Config::default() }
}

/// Messages so far, decoded and owned by the caller's buffer.
fn messages(platform: &mut Platform) -> Vec<Vec<u8>> {
    let events = platform.take_outputs().into_iter();
    events
        .filter_map(|output| if let Output::Event(message) = output { Some(message) } else { None })
        .collect()
}

fn activations(messages: &[Vec<u8>]) -> Vec<Activation<'_>> {
    let decoded = messages.iter().map(|message| decode(message).unwrap());
    decoded.filter_map(|event| if let Event::Activation(a) = event { Some(a) } else { None }).collect()
}

fn metrics(messages: &[Vec<u8>]) -> Vec<Metric<'_>> {
    let decoded = messages.iter().map(|message| decode(message).unwrap());
    decoded.filter_map(|event| if let Event::Metric(m) = event { Some(m) } else { None }).collect()
}

#[test]
fn a_cold_then_a_warm_run_say_when_they_came_and_what_they_waited_for() {
    let mut platform = Platform::new(config(vec![Action::new("a", "python:3", model())]), T0);
    platform.load("a", None).unwrap();
    platform.advance(T0 + 10_000);
    platform.load("a", None).unwrap();
    platform.advance(T0 + 20_000);
    let messages = messages(&mut platform);
    let [cold, warm] = &activations(&messages)[..] else { panic!("two events") };
    // 500 to create and 3 on the way, 200 to initialise, 100 to run; the message comes 5 later.
    assert_eq!((cold.wait_ms, cold.init_ms, cold.duration_ms, cold.timestamp_ms), (503, 200, 300, T0 + 808));
    assert_eq!(cold.arrival_ms(5), T0);
    assert_eq!((warm.wait_ms, warm.init_ms, warm.duration_ms, warm.timestamp_ms), (3, 0, 100, T0 + 10_108));
    assert_eq!(
        (&*cold.name, &*cold.kind, cold.memory_mb, &*cold.source),
        ("guest/a", "python:3", 256, "invoker0")
    );
    assert_eq!(platform.counts(), Counts { cold: 1, warm: 1, events: 2, ..Counts::default() });
}

#[test]
fn a_stem_cell_saves_the_creation_and_not_the_initialisation() {
    let config = Config {
        manifest: Manifest::parse(MANIFEST).unwrap(),
        ..config(vec![Action::new("a", "fn:1", model())])
    };
    let mut platform = Platform::new(config, T0);
    assert_eq!((platform.stem_cells(0).len(), platform.stem_cells_in_creation(0)), (0, 1));
    platform.advance(T0 + 1_000);
    assert_eq!(platform.stem_cells(0), [(("fn:1".into(), 256), 1)]);
    platform.load("a", None).unwrap();
    // Taken and being replaced.
    assert_eq!((platform.stem_cells(0).len(), platform.stem_cells_in_creation(0)), (0, 1));
    platform.advance(T0 + 5_000);
    let messages = messages(&mut platform);
    let run = &activations(&messages)[0];
    assert_eq!((run.wait_ms, run.init_ms, run.duration_ms), (3, 200, 300));
    assert_eq!(platform.counts().prewarmed, 1);
    assert_eq!(platform.stem_cells(0), [(("fn:1".into(), 256), 1)]);
}

#[test]
fn runs_wait_for_memory_in_order() {
    let config = Config { invokers_mb: vec![256], ..config(vec![Action::new("a", "python:3", model())]) };
    let mut platform = Platform::new(config, T0);
    for _ in 0..3 {
        platform.load("a", None).unwrap();
    }
    assert_eq!(platform.waiting(), 2);
    platform.advance(T0 + 10_000);
    let messages = messages(&mut platform);
    let waits: Vec<_> = activations(&messages).iter().map(|run| (run.wait_ms, run.init_ms)).collect();
    // The first ends after 503 + 300, each of the others after 3 + 100 more.
    assert_eq!(waits, [(503, 200), (806, 0), (909, 0)]);
}

#[test]
fn a_put_makes_warm_containers_useless_whatever_it_changes() {
    for (engine, left) in [(Engine::Push, 1), (Engine::FunctionPulling, 0)] {
        let mut platform =
            Platform::new(Config { engine, ..config(vec![Action::new("a", "python:3", model())]) }, T0);
        platform.load("a", None).unwrap();
        platform.advance(T0 + 1_000);
        // Upstream ignores cpu and takes the version up all the same.
        let document = platform.put_action("a", &json!({"limits": {"cpu": 2}}), true).unwrap();
        assert_eq!((&document["version"], &document["limits"]["cpu"]), (&json!("0.0.2"), &json!(null)));
        assert_eq!(platform.holders(0).len(), left);
        platform.load("a", None).unwrap();
        platform.advance(T0 + 2_000);
        assert_eq!(platform.counts().cold, 2);
    }
}

#[test]
fn idle_containers_go_after_their_time() {
    let config = Config { idle_timeout_ms: 60_000, ..config(vec![Action::new("a", "python:3", model())]) };
    let mut platform = Platform::new(config, T0);
    platform.load("a", None).unwrap();
    platform.advance(T0 + 803 + 59_999);
    assert_eq!(platform.holders(0).len(), 1);
    platform.advance(T0 + 803 + 120_000);
    assert_eq!(platform.holders(0).len(), 0);
    assert_eq!(platform.held_mb_ms(), 256 * 60_803);
}

#[test]
fn the_runtimes_endpoint_needs_the_whole_manifest_and_acts_on_known_pairs() {
    let config = Config {
        manifest: Manifest::parse(MANIFEST).unwrap(),
        ..config(vec![Action::new("a", "fn:1", model())])
    };
    let mut platform = Platform::new(config.clone(), T0);
    platform.advance(T0 + 1_000);
    let mut manifest = Manifest::parse(MANIFEST).unwrap();
    manifest.set_stem_cells("fn:1", 256, 3).unwrap();
    manifest.set_stem_cells("fn:1", 128, 3).unwrap();
    platform.post_runtimes(&manifest.to_json(), 0, usize::MAX).unwrap();
    assert_eq!((platform.stem_cells(0).len(), platform.stem_cells_in_creation(0)), (0, 3));
    platform.advance(T0 + 2_000);
    assert_eq!(platform.stem_cells(0), [(("fn:1".into(), 256), 3)]);
    assert_eq!(platform.post_runtimes("{}", 0, 9).unwrap_err().status, 400);
    // Without the kind there are no stem cells of it any more.
    platform.post_runtimes(r#"{"runtimes":{}}"#, 0, 9).unwrap();
    platform.advance(T0 + 3_000);
    assert_eq!(platform.stem_cells(0), []);

    let mut pulling = Platform::new(Config { engine: Engine::FunctionPulling, ..config }, T0);
    pulling.post_runtimes(&manifest.to_json(), 0, usize::MAX).unwrap();
    pulling.advance(T0 + 2_000);
    assert_eq!(pulling.stem_cells(0), [(("fn:1".into(), 256), 1)]);
}

#[test]
fn a_sequence_is_the_sum_of_its_parts_and_its_parts_name_it() {
    let actions = vec![
        Action::new("a", "python:3", model()),
        Action { memory_mb: 512, ..Action::new("b", "python:3", model()) },
        Action::sequence("s", &["a", "b"]),
    ];
    let mut platform = Platform::new(config(actions), T0);
    let id = platform.invoke("s", json!({"x": 1})).unwrap();
    platform.advance(T0 + 10_000);
    let messages = messages(&mut platform);
    let events = activations(&messages);
    let parts: Vec<_> = events.iter().filter(|event| event.in_sequence).collect();
    let whole = events.iter().find(|event| event.is_workflow()).unwrap();
    assert_eq!((parts.len(), whole.duration_ms, whole.memory_mb), (2, 600, 512));
    assert_eq!((&*whole.source, &*whole.name), ("controller0", "guest/s"));
    let run = platform.run(&id).unwrap();
    assert_eq!((run.end_ms - run.start_ms, &run.result), (2 * 803, &json!({"x": 1})));
    let causes: Vec<_> = run.logs.iter().map(|part| platform.run(part).unwrap().cause.clone()).collect();
    assert_eq!(causes, [Some(id.clone()), Some(id)]);
}

#[test]
fn a_failed_component_ends_its_sequence() {
    let failing = Model { failures: 1.0, ..model() };
    let actions = vec![
        Action::new("a", "python:3", failing),
        Action::new("b", "python:3", model()),
        Action::sequence("s", &["a", "b"]),
        Action::sequence("gone", &["nowhere"]),
    ];
    let mut platform = Platform::new(config(actions), T0);
    let (failed, gone) = (platform.load("s", None).unwrap(), platform.load("gone", None).unwrap());
    platform.advance(T0 + 10_000);
    for id in [failed, gone] {
        assert_eq!(platform.run(&id).unwrap().status, Status::ApplicationError);
    }
    assert_eq!(platform.counts().cold, 1);
}

#[test]
fn limits_turn_requests_away_and_say_so() {
    let config =
        Config { per_minute: 2, concurrent: 1, ..config(vec![Action::new("a", "python:3", model())]) };
    let mut platform = Platform::new(config, T0);
    platform.invoke("a", json!({})).unwrap();
    assert_eq!(platform.invoke("a", json!({})).unwrap_err().status, 429);
    platform.advance(T0 + 1_000);
    let error = platform.invoke("a", json!({})).unwrap_err();
    assert_eq!(error.message, "Too many requests in the last minute (count: 3, allowed: 2).");
    platform.advance(T0 + 60_000);
    platform.invoke("a", json!({})).unwrap();
    let messages = messages(&mut platform);
    let names: Vec<_> =
        metrics(&messages).iter().map(|metric| (metric.name.to_string(), metric.value)).collect();
    let expected =
        ["ConcurrentInvocations", "ConcurrentRateLimit", "TimedRateLimit", "ConcurrentInvocations"];
    assert_eq!(names, expected.map(|name| (name.to_string(), 1)));
    assert_eq!(platform.counts().throttled, 2);
}

#[test]
fn memory_brings_cores_up_to_what_the_action_can_use() {
    let model = Model { fixed_ms: 100.0, work_ms: 1000.0, parallelism: 1.5, needs_mb: 200, ..model() };
    let mut run_times = Vec::new();
    for memory_mb in [128, 256, 512, 1024, 2048] {
        let config = Config {
            invokers_mb: vec![4096],
            ..config(vec![Action { memory_mb, ..Action::new("a", "python:3", model) }])
        };
        let mut platform = Platform::new(config, T0);
        let id = platform.load("a", None).unwrap();
        platform.advance(T0 + 60_000);
        let run = platform.run(&id).unwrap();
        run_times.push((run.status, run.duration_ms - run.init_ms));
    }
    // A quarter of a core, a half, one, and 1.5 of two; less than it needs is the end of it.
    assert_eq!(run_times[0].0, Status::DeveloperError);
    let succeeded =
        run_times[1..].iter().map(|&(status, ms)| (status == Status::Success, ms)).collect::<Vec<_>>();
    assert_eq!(succeeded, [(true, 4100), (true, 2100), (true, 1100), (true, 767)]);
}

#[test]
fn events_are_lost_doubled_and_late_as_told() {
    let mut platform = Platform::new(config(vec![Action::new("a", "python:3", model())]), T0);
    let mut events_with = |faults: Faults, until_ms: i64| {
        platform.set_faults(faults);
        platform.load("a", None).unwrap();
        platform.advance(until_ms);
        messages(&mut platform).len()
    };
    assert_eq!(events_with(Faults { lost_events: 1.0, ..Faults::default() }, T0 + 1_000), 0);
    assert_eq!(events_with(Faults { duplicate_events: 1.0, ..Faults::default() }, T0 + 2_000), 2);
    let late = Faults { late_events: (1.0, 10_000), ..Faults::default() };
    assert_eq!(events_with(late.clone(), T0 + 3_000), 0);
    assert_eq!(events_with(late, T0 + 12_500), 1);
}

#[test]
fn a_warm_up_call_sleeps_as_long_as_it_is_told() {
    let mut platform = Platform::new(config(vec![Action::new("a", "python:3", model())]), T0);
    let told = platform.invoke("a", json!({"aquatope_warm_up": 1500})).unwrap();
    let usual = platform.invoke("a", json!({"aquatope_warm_up": true})).unwrap();
    platform.advance(T0 + 5_000);
    assert_eq!(platform.run(&told).unwrap().duration_ms, 1700);
    assert_eq!(platform.run(&usual).unwrap().duration_ms, 2200);
}

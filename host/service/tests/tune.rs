//! Tuning against the stand-in: what is found, what troubles do, what production sees of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aquatope_openwhisk::records::{Limits, Record};
use aquatope_openwhisk::rest::{Client, Selection, Transport};
use aquatope_service::tune::{
    ActionChange, Change, Finished, Guard, Keep, Pace, Patient, Problem, Promise, Resources, Settings,
    TrialState, TuneError, Verdict, WARM_UP, remove_clones, tune,
};
use aquatope_standin::Standin;
use aquatope_standin::config::{Action, Config, Model};
use aquatope_standin::faults::{Faults, Refused};
use aquatope_workflow::space::Point;
use aquatope_workflow::workflow_file::WorkflowFile;
use serde_json::json;
use tokio::sync::Notify;

const FUNCTIONS: [&str; 3] = ["split", "img/left", "img/right"];

/// `split` with much work, two branches with little and with work that one core does best.
fn models() -> [Model; 3] {
    let model = |fixed_ms, work_ms, parallelism| Model { fixed_ms, work_ms, parallelism, ..Model::default() };
    [model(100.0, 600.0, 2.0), model(400.0, 100.0, 1.0), model(50.0, 500.0, 1.0)]
}

fn config(models: [Model; 3]) -> Config {
    let action =
        |(name, model): (&&str, Model)| Action { memory_mb: 1024, ..Action::new(name, "python:3", model) };
    let mut actions: Vec<Action> = FUNCTIONS.iter().zip(models).map(action).collect();
    actions.push(Action::sequence("album", &FUNCTIONS));
    Config {
        actions,
        invokers_mb: vec![16_384; 2],
        per_minute: 1 << 40,
        concurrent: 1 << 40,
        // Minutes pass in milliseconds here; what a search thinks meanwhile must not cool the containers.
        idle_timeout_ms: i64::MAX / 4,
        ..Config::default()
    }
}

/// Eight levels of memory for each of three functions, the second and third side by side.
fn workflow() -> serde_json::Value {
    json!({
        "schema": "aquatope-workflow/1", "name": "album",
        "functions": FUNCTIONS.map(|name| json!({"name": name, "concurrency": {"min": 1, "max": 4, "step": 1}})),
        "edges": [[0, 1], [0, 2]], "edge_overhead_s": 0.01,
        "prices": {"cpu_per_core_s": 0.2, "mem_per_gb_s": 0.05}, "qos_s": 2.2,
        "space": {"cpu": {"min": 0.5, "max": 4, "step": 0.5}, "mem_mb": {"min": 256, "max": 2048, "step": 256}},
    })
}

fn problem(settings: Settings) -> Arc<Problem> {
    let file = WorkflowFile::parse("album.json", &workflow().to_string()).unwrap();
    Arc::new(Problem::new(&file, json!({"picture": 7}), settings).unwrap())
}

/// A thousand times as fast as real time.
async fn start(config: Config) -> (Standin, Patient) {
    let standin = Standin::start(config, 1000.0, 0, |_| {}).await.unwrap();
    let client = Client::new(&standin.url(), "_", standin.subject(), &Transport::default()).unwrap();
    let wait = Duration::from_millis(10);
    let pace = Pace {
        throttled: wait,
        retry: wait,
        longest_retry: wait,
        poll: wait,
        record: Duration::from_secs(60),
        invocation: Duration::ZERO,
        watch: wait,
    };
    (standin, Patient { client, pace })
}

/// Keeps all that was ever saved.
#[derive(Default)]
struct Memory(Mutex<Vec<Vec<u8>>>);

impl Keep for Memory {
    fn save(&self, bytes: &[u8]) -> Result<(), String> {
        self.0.lock().unwrap().push(bytes.to_vec());
        Ok(())
    }
}

/// Keeps so many states and refuses all further ones, of which it tells.
struct Mortal {
    kept: Arc<Memory>,
    left: AtomicUsize,
    dead: Notify,
}

impl Keep for Mortal {
    fn save(&self, bytes: &[u8]) -> Result<(), String> {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() {
            return self.kept.save(bytes);
        }
        self.dead.notify_one();
        Err("killed".into())
    }
}

/// Longer than anything takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// Waits for `condition`.
async fn until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "it never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn tuned(platform: &Patient, problem: &Arc<Problem>) -> Result<Finished, TuneError> {
    let keep: Arc<dyn Keep> = Arc::new(Memory::default());
    tune(platform, problem, None, &keep, |_| {}).await
}

/// Cost and latency without noise when the functions have so many MB.
fn truth(problem: &Problem, point: &Point) -> (f64, f64) {
    let resources = problem.resources(point);
    let run_s = |(model, resources): (Model, &Resources)| {
        model.run_ms(f64::from(resources.memory_mb) / 1024.0) / 1000.0
    };
    let durations: Vec<f64> = models().into_iter().zip(&resources).map(run_s).collect();
    problem.workflow.compose(point, &durations)
}

/// The cheapest configuration that meets the QoS, and its cost.
fn optimum(problem: &Problem) -> f64 {
    let levels = problem.workflow.memory_mb.levels();
    let all = (0..levels).flat_map(|a| (0..levels).flat_map(move |b| (0..levels).map(move |c| [a, b, c])));
    let points = all.map(|[a, b, c]| Point(vec![0, a, 0, b, 0, c]));
    let costs = points.filter_map(|point| {
        let (cost, latency_s) = truth(problem, &point);
        (latency_s <= problem.qos_s).then_some(cost)
    });
    costs.fold(f64::INFINITY, f64::min)
}

fn point_of(problem: &Problem, resources: &[Resources]) -> Point {
    let levels = |r: &Resources| [0, (r.memory_mb / 256 - 1) as u16];
    let point = Point(resources.iter().flat_map(levels).collect());
    assert_eq!(problem.resources(&point), resources);
    point
}

/// Names of all actions that ever ran.
async fn names_run(platform: &Patient) -> BTreeSet<String> {
    platform.client.activations(&Selection::default()).await.unwrap();
    let mut pages = platform.client.pages(Selection::default());
    let mut names = BTreeSet::new();
    loop {
        let page = pages.next().await.unwrap();
        if page.is_empty() {
            return names;
        }
        names.extend(page.iter().map(Record::path));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cheapest_good_configuration_is_found_and_production_is_never_touched() {
    let noisy = models().map(|model| Model { noise: 0.03, ..model });
    let (standin, platform) = start(config(noisy)).await;
    let problem = problem(Settings { trials: 24, samples: 2, ..Settings::default() });
    let finished = tuned(&platform, &problem).await.unwrap();

    assert_eq!(finished.trials.len(), 24);
    assert!(finished.trials.iter().all(|trial| matches!(trial.state, TrialState::Complete { .. })));
    assert_eq!(finished.today, [Resources { memory_mb: 1024, cpu: None }; 3]);
    let (cost_today, _) = finished.baseline.unwrap();
    let (cost, latency_s) = truth(&problem, &point_of(&problem, &finished.recommended.resources));
    println!("cost {cost} (optimum {}, today {cost_today}), latency {latency_s}", optimum(&problem));
    assert!(finished.recommended.qualified && finished.is_improvement(&problem));
    assert!(latency_s <= problem.qos_s, "{latency_s}");
    assert!(cost <= 1.05 * optimum(&problem) && cost < 0.9 * cost_today, "{cost}");

    let clones = FUNCTIONS.map(|name| format!("guest/{name}__aquatope_album"));
    assert_eq!(names_run(&platform).await, BTreeSet::from(clones));
    for name in FUNCTIONS {
        let action = platform.client.action(name, true).await.unwrap().unwrap();
        assert_eq!((action.version.as_str(), action.limits.memory), ("0.0.1", Some(1024)));
    }
    standin.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_is_killed_goes_on_as_it_would_have() {
    // Without noise an outcome depends on the configuration alone, whatever ran before.
    let problem = problem(Settings { trials: 14, samples: 1, ..Settings::default() });
    let (_standin, platform) = start(config(models())).await;
    let keep = Arc::new(Memory::default());
    let whole = tune(&platform, &problem, None, &(keep.clone() as Arc<dyn Keep>), |_| {}).await.unwrap();
    let saved = std::mem::take(&mut *keep.0.lock().unwrap());
    // In the profile, between ask and tell, between tell and ask, within the model's part, before the last outcome.
    for at in [3, 12, 13, 34, saved.len() - 3] {
        let (_standin, platform) = start(config(models())).await;
        let keep: Arc<dyn Keep> = Arc::new(Memory::default());
        let resumed = tune(&platform, &problem, Some(saved[at].clone()), &keep, |_| {}).await.unwrap();
        assert_eq!(resumed, whole, "killed after save {at}");
    }
    // Trials that were finished are not run again: after the last one nothing is, and no platform is needed.
    let (standin, platform) = start(config(models())).await;
    standin.stop();
    let keep: Arc<dyn Keep> = Arc::new(Memory::default());
    let ended = tune(&platform, &problem, saved.last().cloned(), &keep, |_| {}).await.unwrap();
    assert_eq!(ended, whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_dropped_anywhere_loses_no_finished_trial() {
    let problem = problem(Settings { trials: 6, samples: 1, profile: 0, ..Settings::default() });
    let (_standin, platform) = start(config(models())).await;
    let whole = tuned(&platform, &problem).await.unwrap();
    let kept = Arc::new(Memory::default());
    let mut finished = 0;
    for saves in [1, 2, 3, 4, 5, usize::MAX] {
        let saved = kept.0.lock().unwrap().last().cloned();
        let mortal = Arc::new(Mortal { kept: kept.clone(), left: saves.into(), dead: Notify::new() });
        let keep: Arc<dyn Keep> = mortal.clone();
        let see = |progress: &aquatope_service::tune::Progress| {
            assert_eq!(progress.finished, finished + 1, "a finished trial was lost, or measured again");
            finished = progress.finished;
        };
        tokio::select! {
            biased;
            () = mortal.dead.notified() => {}
            result = tune(&platform, &problem, saved, &keep, see) => assert_eq!(result.unwrap(), whole),
        }
        // One is kept before a trial is run, and one after it.
        assert!(kept.0.lock().unwrap().len() >= 2 * finished);
    }
    assert_eq!(finished, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_not_taken_for_a_failed_trial() {
    let problem = problem(Settings { trials: 6, samples: 1, profile: 0, ..Settings::default() });
    let (_standin, platform) = start(config(models())).await;
    let whole = tuned(&platform, &problem).await.unwrap();
    let refuse = |method, path: &str, status| Refused { method, path: path.into(), status };
    // A key that is revoked, rights that are taken away, a clone that somebody deletes.
    for refused in [
        refuse("", "", 401),
        refuse("PUT", "split__aquatope_album", 403),
        refuse("POST", "img/left__aquatope_album", 404),
    ] {
        let (standin, platform) = start(config(models())).await;
        let keep = Arc::new(Memory::default());
        let as_keep: Arc<dyn Keep> = keep.clone();
        let refusing = Faults { refused: vec![refused], ..Faults::default() };
        let see = |progress: &aquatope_service::tune::Progress| {
            if progress.finished == 3 {
                standin.set_faults(refusing.clone());
            }
        };
        let error = tune(&platform, &problem, None, &as_keep, see).await.unwrap_err();
        assert!(matches!(error, TuneError::Rest(_)), "{error}");
        standin.set_faults(Faults::default());
        let saved = keep.0.lock().unwrap().last().cloned();
        let resumed = tune(&platform, &problem, saved, &as_keep, |_| {}).await.unwrap();
        assert_eq!(resumed, whole);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clones_of_a_workflow_are_deleted_whatever_functions_it_had() {
    let (standin, platform) = start(config(models())).await;
    let client = &platform.client;
    let action = client.action("img/left", true).await.unwrap().unwrap();
    // More than a list has on one page.
    let old = (0..250).map(|number| format!("old/{number:03}__aquatope_album"));
    let others = ["split__aquatope_albums", "split__aquatope_", "split__aquatope_album__aquatope_an"];
    for name in old.chain(others.map(str::to_owned)) {
        client.put_action(&name, &action, false).await.unwrap();
    }
    let count = async || client.action_names().await.unwrap().len();
    assert_eq!(count().await, FUNCTIONS.len() + 1 + 250 + others.len());
    let refused = vec![Refused { method: "DELETE", path: "old/100__aquatope_album".into(), status: 403 }];
    standin.set_faults(Faults { refused, ..Faults::default() });
    let error = remove_clones(client, "album").await.unwrap_err().to_string();
    assert!(error.contains("old/100__aquatope_album") && error.contains("403"), "{error}");
    assert_eq!(count().await, FUNCTIONS.len() + 1 + 1 + others.len(), "the others are deleted all the same");
    standin.set_faults(Faults::default());
    remove_clones(client, "album").await.unwrap();
    let left = client.action_names().await.unwrap();
    let expected = FUNCTIONS.into_iter().chain(others).chain(["album"]);
    assert_eq!(left, expected.map(str::to_owned).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_costs_time_and_no_trials() {
    let limited = Config { per_minute: 10, concurrent: 2, ..config(models()) };
    let (standin, platform) = start(limited).await;
    standin.set_faults(Faults { throttled: true, ..Faults::default() });
    let problem = problem(Settings { trials: 5, samples: 1, profile: 0, ..Settings::default() });
    let throttled = async {
        until(|| standin.with(|platform| platform.counts().throttled >= 3)).await;
        standin.set_faults(Faults::default());
    };
    let (finished, ()) = tokio::join!(tuned(&platform, &problem), throttled);
    let finished = finished.unwrap();
    assert_eq!(finished.trials.len(), 5);
    assert!(
        finished.trials.iter().all(|trial| matches!(trial.state, TrialState::Complete { .. })),
        "{finished:?}"
    );
    assert!(standin.with(|platform| platform.counts().throttled) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_that_is_down_is_waited_for() {
    let (standin, platform) = start(config(models())).await;
    let problem = problem(Settings { trials: 4, samples: 1, profile: 0, ..Settings::default() });
    standin.set_faults(Faults { down: true, ..Faults::default() });
    let standin = Arc::new(standin);
    let (up, down) = (standin.clone(), standin.clone());
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        up.set_faults(Faults::default());
    });
    let keep: Arc<dyn Keep> = Arc::new(Memory::default());
    let mut outages = 0;
    let finished = tune(&platform, &problem, None, &keep, |progress| {
        if progress.finished == 2 {
            outages += 1;
            down.set_faults(Faults { errors: true, ..Faults::default() });
            let up = down.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                up.set_faults(Faults::default());
            });
        }
    })
    .await
    .unwrap();
    assert_eq!((outages, finished.trials.len()), (1, 4));
    assert!(finished.trials.iter().all(|trial| matches!(trial.state, TrialState::Complete { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_for_want_of_memory_is_not_tried_again() {
    let hungry = models().map(|model| Model { needs_mb: 1024, ..model });
    let (_standin, platform) = start(config(hungry)).await;
    let problem = problem(Settings { trials: 20, samples: 1, ..Settings::default() });
    let finished = tuned(&platform, &problem).await.unwrap();
    let mut least = [0; 3];
    let mut measured = 0;
    for trial in &finished.trials {
        let memory = trial.resources.iter().map(|resources| resources.memory_mb);
        match &trial.state {
            TrialState::Failed(reason) => {
                assert!(reason.contains("action developer error: activation "), "{reason}");
                let function = FUNCTIONS.iter().position(|name| reason.starts_with(name)).unwrap();
                let given = trial.resources[function].memory_mb;
                assert!(given < 1024 && given > least[function], "as little was tried before");
                least[function] = given;
            }
            state => {
                assert!(memory.min() >= Some(1024) && *state != TrialState::Running);
                measured += 1;
            }
        }
    }
    assert!(measured > finished.trials.len() / 2 && least.iter().sum::<u32>() > 0, "{measured} measured");
    assert!(finished.recommended.resources.iter().all(|resources| resources.memory_mb >= 1024));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_longer_than_a_blocking_call_are_waited_for() {
    let slow = models().map(|model| Model { fixed_ms: 70_000.0, ..model });
    let (_standin, platform) = start(config(slow)).await;
    for name in FUNCTIONS {
        let limits = Limits { timeout: Some(300_000), ..Limits::default() };
        platform.client.put_limits(name, &limits).await.unwrap();
    }
    let problem = problem(Settings { trials: 1, samples: 1, profile: 0, ..Settings::default() });
    let mut trials = Vec::new();
    let keep: Arc<dyn Keep> = Arc::new(Memory::default());
    // One outcome is too few to recommend anything by; what was measured is seen on the way.
    let _ = tune(&platform, &problem, None, &keep, |progress| trials.clone_from(&progress.trials)).await;
    assert!(
        matches!(trials[0].state, TrialState::Complete { latency_s, .. } if latency_s > 140.0),
        "{trials:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_platform_does_not_have_is_said_before_anything_is_run() {
    let (standin, platform) = start(Config { memory_mb: (128, 512), ..config(models()) }).await;
    let error = tuned(&platform, &problem(Settings::default())).await.unwrap_err().to_string();
    assert!(
        error.starts_with(
            "workflow album: space.mem_mb: goes from 256 to 2048 MB, the platform allows 128 to 512;"
        ),
        "{error}"
    );
    let (other, platform) = start(Config { actions: Vec::new(), ..config(models()) }).await;
    let error = tuned(&platform, &problem(Settings::default())).await.unwrap_err().to_string();
    assert!(error.starts_with("workflow album: function split: is no action of the namespace;"), "{error}");
    for standin in [standin, other] {
        assert_eq!(standin.with(|platform| platform.counts().events), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_that_fails_today_is_not_tuned() {
    let failing = models().map(|model| Model { failures: 1.0, ..model });
    let (_standin, platform) = start(config(failing)).await;
    let error = tuned(&platform, &problem(Settings::default())).await.unwrap_err();
    assert!(matches!(error, TuneError::Baseline { .. }), "{error}");
    assert!(error.to_string().contains("split__aquatope_album: application error: activation "), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cores_are_searched_for_where_the_platform_has_such_a_limit() {
    let (_standin, platform) = start(Config { cpu_limits: true, ..config(models()) }).await;
    let problem = problem(Settings { trials: 8, samples: 1, cpu_limits: true, ..Settings::default() });
    let finished = tuned(&platform, &problem).await.unwrap();
    assert_eq!(finished.today, [Resources { memory_mb: 1024, cpu: Some(1.0) }; 3]);
    let mut cores: Vec<f64> = Vec::new();
    for trial in &finished.trials {
        let TrialState::Complete { latency_s, .. } = trial.state else { panic!("{trial:?}") };
        let run_s = |(model, r): (Model, &Resources)| model.run_ms(r.cpu.unwrap()) / 1000.0;
        let durations: Vec<f64> = models().into_iter().zip(&trial.resources).map(run_s).collect();
        // The 3 ms on the way to each of two stages, and what rounding to milliseconds makes.
        let expected = problem.workflow.latency(&durations) + 0.006;
        assert!((latency_s - expected).abs() < 0.002, "{latency_s} {expected}");
        cores.extend(trial.resources.iter().filter_map(|r| r.cpu));
    }
    assert!(cores.iter().any(|&cpu| cpu < 1.0) && cores.iter().any(|&cpu| cpu > 2.0), "{cores:?}");
    let change = Change::plan(&platform, &problem, &finished.recommended.resources).await.unwrap();
    change.apply(&platform).await.unwrap();
    let action = platform.client.action("split", false).await.unwrap().unwrap();
    assert_eq!(action.limits.cpu, finished.recommended.resources[0].cpu);
    assert_eq!(change.roll_back(&platform).await.unwrap().left, Vec::<String>::new());
    assert_eq!(platform.client.action("split", false).await.unwrap().unwrap().limits.cpu, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_that_keeps_no_cores_is_found_out_and_its_changes_are_taken_back() {
    let (_standin, platform) = start(config(models())).await;
    let problem = problem(Settings { cpu_limits: true, ..Settings::default() });
    let error = tuned(&platform, &problem).await.unwrap_err().to_string();
    assert!(
        error.starts_with("workflow album: cpu_limits: the platform does not keep limits.cpu;"),
        "{error}"
    );
    let wanted = [Resources { memory_mb: 512, cpu: Some(2.0) }; 3];
    let error = Change::plan(&platform, &problem, &wanted).await.unwrap_err().to_string();
    assert!(error.contains("function split: has no limits.cpu"), "{error}");
    // A change that was planned when the platform had them.
    let limits = |memory_mb, cpu| Limits { cpu: Some(cpu), ..Limits::memory(memory_mb) };
    let (name, from, to) = ("split".into(), limits(1024, 1.0), limits(512, 2.0));
    let change = Change { actions: vec![ActionChange { name, from, to }] };
    let error = change.apply(&platform).await.unwrap_err().to_string();
    assert!(error.starts_with("action split: was to get "), "{error}");
    assert_eq!(memory_of_production(&platform).await, [512, 1024, 1024]);
    assert_eq!(change.roll_back(&platform).await.unwrap().left, Vec::<String>::new());
    assert_eq!(memory_of_production(&platform).await, [1024; 3]);
}

#[test]
fn problems_that_cannot_be_measured_are_refused() {
    let wrong = |change: fn(&mut serde_json::Value), settings: Settings, input: serde_json::Value| {
        let mut text = workflow();
        change(&mut text);
        let file = WorkflowFile::parse("album.json", &text.to_string()).unwrap();
        Problem::new(&file, input, settings).unwrap_err().to_string()
    };
    let text = wrong(|_| {}, Settings { samples: 0, ..Settings::default() }, json!({}));
    assert_eq!(text, "workflow album: samples: is 0; set a whole number from 1 to 100");
    let text = wrong(|_| {}, Settings::default(), json!([1]));
    assert_eq!(text, "workflow album: input: is not a JSON object; actions take objects");
    let text = wrong(|file| file["name"] = json!("an__aquatope_album"), Settings::default(), json!({}));
    assert!(text.contains("an__aquatope_album: name: has the mark of clones in it"), "{text}");
    let text = wrong(|file| file["space"]["mem_mb"]["step"] = json!(0.5), Settings::default(), json!({}));
    assert!(text.contains("space.mem_mb: has levels that are no whole MB"), "{text}");
    let text = wrong(|file| file["prices"]["mem_per_gb_s"] = json!(0), Settings::default(), json!({}));
    assert!(text.contains("prices.mem_per_gb_s: is 0; give memory a price"), "{text}");
}

async fn memory_of_production(platform: &Patient) -> Vec<u32> {
    let mut memory = Vec::new();
    for name in FUNCTIONS {
        memory.push(platform.client.action(name, false).await.unwrap().unwrap().limits.memory.unwrap());
    }
    memory
}

/// Puts runs through the workflow until there is a verdict.
async fn judged(standin: &Standin, platform: &Patient, qos_s: f64) -> Verdict {
    let promise = Promise { runs: 32, ..Promise::new(qos_s) };
    let mut guard = Guard::new("album", standin.now_ms(), promise);
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "{:?}", guard.counts());
        standin.with(|platform| platform.load("album", None)).unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        match guard.look(platform, standin.now_ms()).await.unwrap() {
            Verdict::Watching => {}
            verdict => return verdict,
        }
    }
}

/// Runs of the whole workflow, a millisecond between them; returns when their records can be read and are listed.
async fn run_albums(standin: &Standin, platform: &Patient, runs: usize) {
    let mut ids = Vec::new();
    for _ in 0..runs {
        ids.push(standin.with(|platform| platform.load("album", None)).unwrap());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    until(|| standin.with(|platform| ids.iter().all(|id| platform.run(id).is_some()))).await;
    // A list is brought up to date after it is read.
    platform.client.activations(&Selection::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_applied_and_kept_or_taken_back() {
    let (standin, platform) = start(config(models())).await;
    let problem = problem(Settings::default());
    let wanted = [512, 1024, 512].map(|memory_mb| Resources { memory_mb, cpu: None });
    let change = Change::plan(&platform, &problem, &wanted).await.unwrap();
    let changed: Vec<&str> = change.actions.iter().map(|action| action.name.as_str()).collect();
    assert_eq!(changed, ["split", "img/right"], "an action that has it already is left alone");
    change.apply(&platform).await.unwrap();
    change.apply(&platform).await.unwrap();
    assert_eq!(memory_of_production(&platform).await, [512, 1024, 512]);
    let version = platform.client.action("split", false).await.unwrap().unwrap().version;
    assert_eq!(version, "0.0.2", "applied once");

    assert_eq!(judged(&standin, &platform, 60.0).await, Verdict::Kept);

    // Somebody else changes one of them; it is not ours to take back.
    platform.client.put_limits("img/right", &Limits::memory(768)).await.unwrap();
    assert_eq!(judged(&standin, &platform, 0.5).await, Verdict::Broken);
    let back = change.roll_back(&platform).await.unwrap();
    assert_eq!((back.restored, back.left), (vec!["split".to_string()], vec!["img/right".to_string()]));
    assert_eq!(memory_of_production(&platform).await, [1024, 1024, 768]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_before_the_containers_are_warm_again_do_not_count_and_the_rest_counts_once() {
    let (standin, platform) = start(config(models())).await;
    let promise = Promise { runs: 1 << 20, ..Promise::new(60.0) };
    run_albums(&standin, &platform, 20).await;
    // All of these began within the warm-up.
    let changed_ms = standin.now_ms() - WARM_UP.as_millis() as i64;
    let mut guard = Guard::new("album", changed_ms, promise);
    until(|| standin.now_ms() > changed_ms + WARM_UP.as_millis() as i64).await;
    assert_eq!(guard.look(&platform, standin.now_ms()).await.unwrap(), Verdict::Watching);
    assert_eq!(guard.counts(), (0, 0));
    // More than two pages of the list.
    run_albums(&standin, &platform, 450).await;
    for _ in 0..2 {
        assert_eq!(guard.look(&platform, standin.now_ms()).await.unwrap(), Verdict::Watching);
        assert_eq!(guard.counts().0, 450);
    }
    // It stops where it has seen enough, and at the oldest: later runs do not matter.
    let mut enough = Guard::new("album", changed_ms, Promise { runs: 16, ..promise });
    assert_eq!(enough.look(&platform, standin.now_ms()).await.unwrap(), Verdict::Kept);
    assert_eq!(enough.counts().0, 16);
}

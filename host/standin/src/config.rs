//! What a stand-in is like: its engine, its invokers, its limits, and how its actions behave.

use aquatope_openwhisk::credentials::Credentials;
use aquatope_openwhisk::manifest::Manifest;

/// Which of OpenWhisk's two container engines is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The sharding balancer, with pull request 4790: the runtimes endpoint acts, `/pool` is not supported, and every
    /// admitted request is followed by a metric.
    Push,
    /// The function-pulling scheduler: the runtimes endpoint accepts and does nothing, `/pool` shows the containers, and a
    /// PUT removes idle containers of the old version at once.
    FunctionPulling,
}

/// A whole platform. All times are virtual.
#[derive(Clone, Debug)]
pub struct Config {
    /// The engine.
    pub engine: Engine,
    /// The one namespace there is; its subject has the same name.
    pub namespace: String,
    /// The subject's key.
    pub subject: Credentials,
    /// For `/config/runtime`.
    pub controller: Credentials,
    /// For `/getRuntime` and `/pool`.
    pub invoker: Credentials,
    /// Memory for containers on every invoker, MB.
    pub invokers_mb: Vec<u32>,
    /// The runtimes manifest the invokers start with.
    pub manifest: Manifest,
    /// From creating a stem cell to when it is usable.
    pub stem_create_ms: i64,
    /// How long an idle container is kept.
    pub idle_timeout_ms: i64,
    /// The way of a request from controller to container.
    pub overhead_ms: i64,
    /// From the end of a run to its event and its record.
    pub lag_ms: i64,
    /// Memory limits allowed, MB.
    pub memory_mb: (u32, u32),
    /// Memory that comes with one core: CPU is derived from memory, as upstream does.
    pub core_mb: f64,
    /// Whether `limits.cpu` is kept and obeyed, as on patched platforms.
    pub cpu_limits: bool,
    /// Invocations a minute.
    pub per_minute: u64,
    /// Invocations at a time.
    pub concurrent: u64,
    /// The longest body of a request, bytes.
    pub payload: usize,
    /// Records kept; older ones are forgotten.
    pub records: usize,
    /// With this parameter in its arguments an action does nothing but sleep: a warm-up call. As many milliseconds as the
    /// parameter says, or `warm_up_ms` when it is no number.
    pub warm_up_parameter: String,
    /// Milliseconds a warm-up call sleeps.
    pub warm_up_ms: i64,
    /// When virtual time begins, milliseconds since the epoch; at the present when there is none.
    pub begin_ms: Option<i64>,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Actions there are from the beginning.
    pub actions: Vec<Action>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: Engine::Push,
            namespace: "guest".into(),
            subject: Credentials::new("23bc46b1-0000-4000-8000-000000000000", "standin"),
            controller: Credentials::new("controller.user", "controller.pass"),
            invoker: Credentials::new("invoker.user", "invoker.pass"),
            invokers_mb: vec![4096; 2],
            manifest: Manifest::parse(RUNTIMES)
                .unwrap_or_else(|error| unreachable!("our own manifest: {error}")),
            stem_create_ms: 700,
            idle_timeout_ms: 600_000,
            overhead_ms: 3,
            lag_ms: 5,
            memory_mb: (128, 2048),
            core_mb: 1024.0,
            cpu_limits: false,
            per_minute: 60,
            concurrent: 30,
            payload: 1 << 20,
            records: 100_000,
            warm_up_parameter: "aquatope_warm_up".into(),
            warm_up_ms: 2_000,
            begin_ms: None,
            seed: 0,
            actions: Vec::new(),
        }
    }
}

/// Kinds without stem cells.
const RUNTIMES: &str = r#"{"runtimes":{"python":[{"kind":"python:3","default":true}],"nodejs":[{"kind":"nodejs:20","default":true}]},"blackboxes":[]}"#;

/// An action.
#[derive(Clone, Debug)]
pub struct Action {
    /// `[package/]action`.
    pub name: String,
    /// A kind of the manifest; `blackbox` is one too.
    pub kind: String,
    /// Memory limit, MB.
    pub memory_mb: u32,
    /// How it behaves.
    pub model: Model,
    /// For a sequence: its components, `[package/]action` each; then kind, memory and model do not count.
    pub components: Vec<String>,
}

impl Action {
    /// An action of one kind with 256 MB.
    pub fn new(name: &str, kind: &str, model: Model) -> Self {
        Self { name: name.into(), kind: kind.into(), memory_mb: 256, model, components: Vec::new() }
    }

    /// A sequence of other actions.
    pub fn sequence(name: &str, components: &[&str]) -> Self {
        let components = components.iter().map(ToString::to_string).collect();
        Self { components, ..Self::new(name, "sequence", Model::default()) }
    }
}

/// How long an action takes and whether it succeeds.
///
/// With `c` cores and `m` MB it runs `(fixed_ms + work_ms / min(c, parallelism)) * e^(noise * z)` milliseconds, `z` standard
/// normal; below `needs_mb` it fails as a container that is out of memory does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// Time that no core shortens.
    pub fixed_ms: f64,
    /// Work for one core.
    pub work_ms: f64,
    /// Cores it can use.
    pub parallelism: f64,
    /// Memory without which it fails.
    pub needs_mb: u32,
    /// Standard deviation of the logarithm of the run time.
    pub noise: f64,
    /// The call of `/init`.
    pub init_ms: i64,
    /// Creating a container for it.
    pub create_ms: i64,
    /// Share of runs that end with an application error.
    pub failures: f64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            fixed_ms: 50.0,
            work_ms: 0.0,
            parallelism: 1.0,
            needs_mb: 0,
            noise: 0.0,
            init_ms: 200,
            create_ms: 500,
            failures: 0.0,
        }
    }
}

impl Model {
    /// Milliseconds of a run with `cores`, without noise.
    pub fn run_ms(&self, cores: f64) -> f64 {
        self.fixed_ms + self.work_ms / cores.min(self.parallelism)
    }
}

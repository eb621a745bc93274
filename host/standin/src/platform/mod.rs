//! The platform as a state machine: it is told what is asked and what time it is, and says what happened. No clock, no I/O.
//!
//! [`Platform::advance`] brings it to an instant, [`Platform::next_due_ms`] says when something will happen by itself,
//! [`Platform::take_outputs`] hands out events and finished runs. Times are milliseconds since the epoch and do not go
//! backwards.

mod actions;
pub(crate) mod fleet;
pub mod records;
mod throttle;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::f64::consts::TAU;

use aquatope_openwhisk::event::Status;
use aquatope_openwhisk::fnv::fnv1a_64;
use aquatope_openwhisk::manifest::Manifest;
use rand_core::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use serde_json::{Value, json};

use crate::config::{Config, Engine};
use crate::events::{self, CONTROLLER};
use crate::faults::Faults;
use actions::{Action, Registry};
use fleet::{ContainerId, Fleet, Need};
pub use fleet::{Holder, Start};
pub(crate) use records::Range;
use records::{Records, Run};
use throttle::Throttle;

/// All of a platform's state.
#[derive(Debug)]
pub struct Platform {
    config: Config,
    now_ms: i64,
    rng: Xoshiro256PlusPlus,
    faults: Faults,
    registry: Registry,
    throttle: Throttle,
    fleet: Fleet,
    /// Runs that wait for a container, in the order of their arrival.
    queue: VecDeque<Pending>,
    /// What is due, by its instant and then in the order of notes.
    agenda: BTreeMap<(i64, u64), Due>,
    notes: u64,
    sequences: HashMap<String, Sequence>,
    /// Runs begun, by path.
    runs: HashMap<String, u64>,
    records: Records,
    outputs: Vec<Output>,
    counts: Counts,
    held_mb_ms: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A message for the topic `events`.
    Event(Vec<u8>),
    /// A run ended, and its record can be read.
    Finished(String),
}

/// A request the platform refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// What the platform says.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// What was counted since the beginning: the truth for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs in a container of their action.
    pub warm: u64,
    /// Runs in what was a stem cell.
    pub prewarmed: u64,
    /// Runs in a new container.
    pub cold: u64,
    /// Requests turned away by a limit.
    pub throttled: u64,
    /// Events, before faults.
    pub events: u64,
}

/// An invocation that was admitted and did not end.
#[derive(Debug)]
struct Pending {
    run: Run,
    need: Need,
    parameters: Value,
    /// Milliseconds of the run, when the caller decides.
    run_ms: Option<f64>,
}

#[derive(Debug)]
enum Due {
    Finish { run: Box<Run>, container: ContainerId },
    StemReady(ContainerId),
    Expire { container: ContainerId, since_ms: i64 },
    Report { run: Box<Run>, source: String },
    Send(Vec<u8>),
}

/// A sequence that runs.
#[derive(Debug)]
struct Sequence {
    run: Run,
    /// Components still to come, the next one last.
    rest: Vec<String>,
}

impl Platform {
    /// A platform that begins at `now_ms`; its stem cells are being created.
    pub fn new(config: Config, now_ms: i64) -> Self {
        let mut platform = Self {
            now_ms,
            rng: Xoshiro256PlusPlus::seed_from_u64(config.seed),
            faults: Faults::default(),
            registry: Registry::new(&config, now_ms),
            throttle: Throttle::new(config.per_minute, config.concurrent),
            fleet: Fleet::new(&config.invokers_mb),
            queue: VecDeque::new(),
            agenda: BTreeMap::new(),
            notes: 0,
            sequences: HashMap::new(),
            runs: HashMap::new(),
            records: Records::new(config.records),
            outputs: Vec::new(),
            counts: Counts::default(),
            held_mb_ms: 0,
            config,
        };
        for invoker in 0..platform.config.invokers_mb.len() {
            platform.set_stem_cells(invoker, &platform.config.manifest.clone());
        }
        platform
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Memory of all containers, stem cells too, over the time since the beginning, MB ms.
    pub fn held_mb_ms(&self) -> u64 {
        self.held_mb_ms
    }

    /// Changes what goes wrong.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// When something happens by itself next.
    pub fn next_due_ms(&self) -> Option<i64> {
        self.agenda.first_key_value().map(|(&(at_ms, _), _)| at_ms)
    }

    /// Lets everything happen that is due up to `now_ms`.
    pub fn advance(&mut self, now_ms: i64) {
        while let Some(entry) = self.agenda.first_entry()
            && entry.key().0 <= now_ms
        {
            let ((at_ms, _), due) = entry.remove_entry();
            self.pass(at_ms);
            self.settle(due);
        }
        self.pass(now_ms);
    }

    /// Nothing happens until `now_ms`.
    fn pass(&mut self, now_ms: i64) {
        let passed_ms = now_ms.saturating_sub(self.now_ms).max(0) as u64;
        let free_mb = self.fleet.free_mb();
        let total_mb: u64 = self.config.invokers_mb.iter().map(|&mb| u64::from(mb)).sum();
        self.held_mb_ms += passed_ms * (total_mb - free_mb);
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// What happened since the last call, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// A request of the namespace's subject: `[package/]action` with `parameters`. Gives the id of the activation.
    ///
    /// # Errors
    /// 404 for an unknown action, 429 beyond a limit, 503 when no invoker is large enough.
    pub fn invoke(&mut self, name: &str, parameters: Value) -> Result<String, Refusal> {
        let path = self.path(name);
        self.known(&path)?;
        if let Err(exceeded) = self.throttle.admit(self.now_ms, self.faults.throttled) {
            self.counts.throttled += 1;
            self.send_metric(exceeded.metric, 1);
            return Err(Refusal::new(429, exceeded.message));
        }
        if self.config.engine == Engine::Push {
            self.send_metric("ConcurrentInvocations", self.throttle.in_flight + 1);
        }
        self.start(&path, parameters, None, None)
    }

    /// Load from elsewhere: as [`Self::invoke`], but no limit counts it. `run_ms` replaces the model's run time.
    ///
    /// # Errors
    /// 404 and 503 as [`Self::invoke`].
    pub fn load(&mut self, name: &str, run_ms: Option<f64>) -> Result<String, Refusal> {
        let path = self.path(name);
        self.known(&path)?;
        self.start(&path, json!({}), run_ms, None)
    }

    /// A trigger without rules fires. It leaves a record among those of actions, and no event.
    pub fn fire(&mut self, trigger: &str) {
        let id = format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64());
        let (namespace, path) = (self.config.namespace.clone(), self.path(trigger));
        self.records.push(Run { id, namespace, path, start_ms: self.now_ms, ..Run::default() });
    }

    /// A run that ended and whose record is still kept.
    pub fn run(&self, id: &str) -> Option<&Run> {
        self.records.get(id)
    }

    pub(crate) fn list(&mut self, range: &Range<'_>) -> Vec<&Run> {
        self.records.list(range)
    }

    /// The document of `[package/]action`.
    pub fn action(&self, name: &str, code: bool) -> Option<Value> {
        Some(self.registry.get(&self.path(name))?.document(code))
    }

    /// What a list shows of all actions, those changed last first.
    pub(crate) fn actions(&self) -> Vec<Value> {
        self.registry.rows()
    }

    /// Creates or changes `[package/]action`, as the body of a PUT says; gives its document.
    ///
    /// # Errors
    /// 400 for what is malformed or out of bounds, 409 for an existing action without `overwrite`.
    pub fn put_action(&mut self, name: &str, body: &Value, overwrite: bool) -> Result<Value, Refusal> {
        let path = self.path(name);
        let action = self.registry.put(&path, body, overwrite, self.now_ms)?;
        let (document, version) = (action.document(true), action.version);
        if self.config.engine == Engine::FunctionPulling {
            self.fleet.drop_outdated(&path, version);
        }
        Ok(document)
    }

    /// Deletes `[package/]action`; gives its last document.
    ///
    /// # Errors
    /// 404 for an unknown action.
    pub fn delete_action(&mut self, name: &str) -> Result<Value, Refusal> {
        let action = self.registry.remove(&self.path(name));
        action.map(|action| action.document(true)).ok_or_else(not_found)
    }

    /// `POST /config/runtime`: the whole manifest for the invokers `first..=last`. The function-pulling engine takes it and
    /// does nothing.
    ///
    /// # Errors
    /// 400 for a manifest no invoker would take.
    pub fn post_runtimes(&mut self, text: &str, first: usize, last: usize) -> Result<(), Refusal> {
        let manifest = Manifest::parse(text).map_err(|error| Refusal::new(400, error.to_string()))?;
        if self.config.engine == Engine::Push {
            for invoker in first..last.saturating_add(1).min(self.config.invokers_mb.len()) {
                self.set_stem_cells(invoker, &manifest);
            }
        }
        Ok(())
    }

    /// Idle stem cells of an invoker: kind, MB and number.
    pub fn stem_cells(&self, invoker: usize) -> Vec<((String, u32), u32)> {
        self.fleet.stem_cells(invoker)
    }

    /// Stem cells of an invoker that are not usable yet.
    pub fn stem_cells_in_creation(&self, invoker: usize) -> u32 {
        self.fleet.creating(invoker)
    }

    /// Containers of an invoker that hold an action.
    pub fn holders(&self, invoker: usize) -> Vec<Holder> {
        self.fleet.holders(invoker)
    }

    /// Runs that wait for memory.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.config.namespace)
    }

    fn known(&self, path: &str) -> Result<&Action, Refusal> {
        let action = self.registry.get(path).ok_or_else(not_found)?;
        if action.components().is_none() && !Fleet::could_hold(&self.config.invokers_mb, action.memory_mb) {
            return Err(Refusal::new(503, "No invokers available"));
        }
        Ok(action)
    }

    /// An invocation that was admitted, of an action or a sequence, for itself or as a part of `cause`.
    fn start(
        &mut self,
        path: &str,
        parameters: Value,
        run_ms: Option<f64>,
        cause: Option<String>,
    ) -> Result<String, Refusal> {
        let action = self.known(path)?.clone();
        let id = format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64());
        let run = Run {
            id: id.clone(),
            namespace: self.config.namespace.clone(),
            path: path.to_owned(),
            version: action.version_text(),
            kind: action.kind().to_owned(),
            memory_mb: action.memory_mb,
            timeout_ms: action.timeout_ms,
            arrival_ms: self.now_ms,
            start_ms: self.now_ms,
            end_ms: self.now_ms,
            cause,
            ..Run::default()
        };
        self.throttle.in_flight += u64::from(run.cause.is_none());
        if let Some(mut rest) = action.components() {
            rest.reverse();
            let run = Run { memory_mb: 0, result: parameters, ..run };
            self.next_component(Sequence { run, rest });
        } else {
            let need = Need {
                path: path.to_owned(),
                version: action.version,
                kind: run.kind.clone(),
                memory_mb: action.memory_mb,
            };
            self.queue.push_back(Pending { run, need, parameters, run_ms });
            self.serve_queue();
        }
        Ok(id)
    }

    /// Gives containers to those who wait, in order, until there is none.
    fn serve_queue(&mut self) {
        while let Some(pending) = self.queue.front() {
            let mut created = Vec::new();
            let acquired = self.fleet.acquire(&pending.need, &mut created);
            self.await_stem_cells(created);
            let Some((container, how)) = acquired else { return };
            if let Some(pending) = self.queue.pop_front() {
                self.execute(pending, container, how);
            }
        }
    }

    fn execute(&mut self, pending: Pending, container: ContainerId, how: Start) {
        let Pending { mut run, parameters, run_ms, .. } = pending;
        // An action that was deleted meanwhile runs as it was, with the default model.
        let (model, cpu) =
            self.registry.get(&run.path).map(|action| (action.model, action.cpu)).unwrap_or_default();
        match how {
            Start::Warm => self.counts.warm += 1,
            Start::Prewarmed => self.counts.prewarmed += 1,
            Start::Cold => self.counts.cold += 1,
        }
        let cores = cpu.unwrap_or(f64::from(run.memory_mb) / self.config.core_mb);
        let created_ms = if how == Start::Cold { model.create_ms } else { 0 };
        let warm_up = parameters.get(&self.config.warm_up_parameter);
        let sleep_ms = warm_up.map(|asked| asked.as_f64().unwrap_or(self.config.warm_up_ms as f64));
        let mut dice = self.dice(&run.path);
        let noise = (model.noise * normal(&mut dice)).exp();
        let executed_ms = sleep_ms.or(run_ms).unwrap_or_else(|| model.run_ms(cores) * noise);
        let failed = uniform(&mut dice) < model.failures && sleep_ms.is_none();
        run.start_ms = self.now_ms + self.config.overhead_ms + created_ms;
        run.wait_ms = run.start_ms - run.arrival_ms;
        run.init_ms = if how == Start::Warm { 0 } else { model.init_ms.max(1) };
        let timeout_ms = run.timeout_ms as f64;
        let said = |error: &str| json!({ "error": error });
        (run.status, run.result) = if run.memory_mb < model.needs_mb {
            (Status::DeveloperError, said("The action did not return a response; it ran out of memory."))
        } else if executed_ms > timeout_ms {
            (Status::DeveloperError, said("The action exceeded its time limits."))
        } else if failed {
            (Status::ApplicationError, said("This run was to fail."))
        } else {
            (Status::Success, parameters)
        };
        run.duration_ms = run.init_ms + executed_ms.clamp(0.0, timeout_ms).round() as i64;
        run.end_ms = run.start_ms + run.duration_ms;
        self.note(run.end_ms, Due::Finish { run: Box::new(run), container });
    }

    fn settle(&mut self, due: Due) {
        match due {
            Due::Finish { run, container } => self.finish(run, container),
            Due::Report { run, source } => self.report(*run, &source),
            Due::Send(message) => self.outputs.push(Output::Event(message)),
            Due::StemReady(container) => {
                self.fleet.stem_ready(container);
                self.serve_queue();
            }
            Due::Expire { container, since_ms } => {
                let mut created = Vec::new();
                self.fleet.expire(container, since_ms, &mut created);
                self.await_stem_cells(created);
                self.serve_queue();
            }
        }
    }

    fn finish(&mut self, run: Box<Run>, container: ContainerId) {
        // Containers are thrown away after errors of the developer, as the platform does.
        let usable = run.status != Status::DeveloperError;
        let source = format!("invoker{}", self.fleet.invoker_of(container));
        let (now_ms, mut created) = (self.now_ms, Vec::new());
        self.fleet.release(container, usable, now_ms, &mut created);
        self.await_stem_cells(created);
        if usable {
            self.note(now_ms + self.config.idle_timeout_ms, Due::Expire { container, since_ms: now_ms });
        }
        self.ended(*run, source);
        self.serve_queue();
    }

    /// A run or a whole sequence ended: its sequence goes on, its record and its event come a little later.
    fn ended(&mut self, run: Run, source: String) {
        self.throttle.in_flight -= u64::from(run.cause.is_none());
        let parent = run.cause.as_ref().and_then(|cause| self.sequences.remove(cause));
        if let Some(Sequence { run: mut whole, rest }) = parent {
            whole.duration_ms += run.duration_ms;
            whole.memory_mb = whole.memory_mb.max(run.memory_mb);
            whole.logs.push(run.id.clone());
            whole.result = run.result.clone();
            whole.status = run.status;
            let rest = if run.status == Status::Success { rest } else { Vec::new() };
            self.next_component(Sequence { run: whole, rest });
        }
        self.note(self.now_ms + self.config.lag_ms, Due::Report { run: Box::new(run), source });
    }

    /// Starts the next component of a sequence, or ends it.
    fn next_component(&mut self, mut sequence: Sequence) {
        let Some(path) = sequence.rest.pop() else {
            let run = Run { end_ms: self.now_ms, ..sequence.run };
            return self.ended(run, CONTROLLER.to_owned());
        };
        let (id, parameters) = (sequence.run.id.clone(), sequence.run.result.clone());
        self.sequences.insert(id.clone(), sequence);
        if let Err(refusal) = self.start(&path, parameters, None, Some(id.clone()))
            && let Some(mut sequence) = self.sequences.remove(&id)
        {
            sequence.run.status = Status::ApplicationError;
            sequence.run.result = json!({"error": refusal.message});
            sequence.run.end_ms = self.now_ms;
            self.ended(sequence.run, CONTROLLER.to_owned());
        }
    }

    fn report(&mut self, run: Run, source: &str) {
        let message = events::activation(&run, source, self.now_ms, &mut self.rng);
        let id = run.id.clone();
        self.records.push(run);
        self.outputs.push(Output::Finished(id));
        self.send(message);
    }

    fn send_metric(&mut self, name: &str, value: u64) {
        let message = events::metric(name, value, &self.config.namespace, self.now_ms, &mut self.rng);
        self.send(message);
    }

    /// Sends an event, or what the faults make of it.
    fn send(&mut self, message: Vec<u8>) {
        self.counts.events += 1;
        let Faults { duplicate_events, lost_events, late_events: (late, late_ms), .. } = self.faults;
        if self.uniform() < lost_events {
            return;
        }
        if self.uniform() < duplicate_events {
            self.outputs.push(Output::Event(message.clone()));
        }
        if self.uniform() < late {
            self.note(self.now_ms + late_ms, Due::Send(message));
        } else {
            self.outputs.push(Output::Event(message));
        }
    }

    /// The counts of `manifest` for the pairs of kind and memory the invokers started with; others do not count.
    fn set_stem_cells(&mut self, invoker: usize, manifest: &Manifest) {
        let known = self.config.manifest.stem_cells();
        let counts = manifest.stem_cells().into_iter();
        let counts = counts
            .filter(|new| known.iter().any(|old| (&old.kind, old.memory_mb) == (&new.kind, new.memory_mb)));
        let wanted = counts.map(|spares| ((spares.kind, spares.memory_mb), spares.count)).collect();
        let mut created = Vec::new();
        self.fleet.set_stem_cells(invoker, wanted, &mut created);
        self.await_stem_cells(created);
    }

    fn await_stem_cells(&mut self, created: Vec<ContainerId>) {
        for container in created {
            self.note(self.now_ms + self.config.stem_create_ms, Due::StemReady(container));
        }
    }

    fn note(&mut self, at_ms: i64, due: Due) {
        self.notes += 1;
        self.agenda.insert((at_ms, self.notes), due);
    }

    fn uniform(&mut self) -> f64 {
        uniform(&mut self.rng)
    }

    /// What chance does to the next run of an action: the same for its n-th run, whatever runs beside it.
    fn dice(&mut self, path: &str) -> Xoshiro256PlusPlus {
        let run = self.runs.entry(path.to_owned()).or_default();
        *run += 1;
        let hash = fnv1a_64(path.bytes().chain(run.to_le_bytes()));
        Xoshiro256PlusPlus::seed_from_u64(self.config.seed ^ hash)
    }
}

/// Uniform in (0, 1).
fn uniform(rng: &mut Xoshiro256PlusPlus) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// Standard normal (Box and Muller).
fn normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
    (-2.0 * uniform(rng).ln()).sqrt() * (TAU * uniform(rng)).cos()
}

fn not_found() -> Refusal {
    Refusal::new(404, "The requested resource does not exist.")
}

//! The planning thread of a shard: reports in, plans and training out, and the workflows that belong to the shard.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use aquatope_core::activation::FunctionId;
use aquatope_core::pool::{Hysteresis, Prices};
use aquatope_core::time::{Minute, Timestamp};
use aquatope_workflow::fault::Fault;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::shards::Shards;
use crate::actuate::{Wanted, Wants};
use crate::board::Board;
use crate::clock::Clock;
use crate::cluster::told::{Demand, Told};
use crate::config::Config;
use crate::observe::{FunctionInfo, MinuteReport};
use crate::plan::{Managed, PlanConfig, Planner, PoolPlan};
use crate::share::{Shard, Term};
use crate::source::SharedStatus;
use crate::store::{Store, StoreError};
use crate::train::{self, MODEL, Model, Schedule, Trainer, select};
use crate::tune::is_clone;
use crate::workflows::{Tuning, read_file};
use crate::{read, write};

/// The name of the minute that was claimed last, in the store of a shard.
const CLAIMED: &str = "claimed";
/// The name of the last minute that was claimed with held targets and then planned after all.
const REPLACED: &str = "replaced";
/// Without a report for this long, the last targets are asked for again.
const SILENCE: Duration = Duration::from_secs(75);
/// What a shard tells has come back to it by then, where the topic is read at all.
const COMES_BACK: Duration = Duration::from_secs(2);

/// What a planning thread owns.
pub(super) struct Planning {
    planner: Planner,
    trainer: Arc<dyn Trainer>,
    store: Arc<Store>,
    board: Arc<RwLock<Board>>,
    clock: Clock,
    shard: Shard,
    term: Term,
    /// The minute of the last plan, and when it was made.
    planned: Option<(u32, Instant)>,
    /// Minutes for which containers stay warm without a user.
    idle_minutes: u32,
    /// Where others could take the shard over.
    claims: Claims,
    clustered: bool,
    /// Whether whoever has shard 0 acts for all.
    for_all: bool,
    /// The memory of all shards' functions, MB, where it is to be divided.
    divided_mb: Option<f64>,
    /// What the functions of this shard asked for in the last plan.
    demand: Demand,
    /// What of that the others leave to this shard whatever they want themselves: what was busy by its own last word.
    certain_mb: f64,
    /// Shows when the others are not heard.
    status: SharedStatus,
    /// This instance, for people at another one.
    place: String,
    /// The workflows of this shard.
    tunings: Vec<Tuning>,
    /// Their names.
    workflows: Vec<String>,
    ingest: SharedStatus,
    stopping: Arc<AtomicBool>,
    /// None: never.
    schedule: Option<Schedule>,
    training: Option<std::thread::JoinHandle<Result<Vec<u32>, String>>>,
    may_train: Arc<Semaphore>,
    /// When the last training ended, well or not.
    last: Option<Timestamp>,
    /// The first minute there are windows of.
    first: Option<Minute>,
    upstream: HashMap<String, String>,
    /// Days that windows are kept.
    history_days: u32,
}

/// The minutes of a shard that were acted for, by us or whoever had it before.
#[derive(Debug, Default)]
struct Claims {
    last: Option<u32>,
    /// Whether that was done by us, with targets held from an earlier minute: a plan that comes after all replaces them.
    held: bool,
}

impl Claims {
    fn may(&self, minute: u32, held: bool) -> bool {
        self.last.is_none_or(|last| last < minute || (last == minute && self.held && !held))
    }
}

impl Planning {
    /// A planner that knows what the store knows.
    pub(super) fn new(
        shards: &Shards,
        shard: Shard,
        store: Arc<Store>,
        tunings: Vec<Tuning>,
        ingest: SharedStatus,
    ) -> Result<Self, Fault> {
        let config = &shards.config;
        let upstream = upstream(config)?;
        let train = &config.train;
        let schedule = train.enabled.then(|| Schedule {
            first_after_min: (train.first_after_h * 60.0) as u32,
            every: Duration::from_secs_f64(train.every_h * 3600.0),
        });
        let planner =
            Planner::new(plan_config(config), Managed::new(config.pool.functions.clone()), upstream.clone());
        let approvals = tunings.iter().map(|of| (of.name().to_owned(), Arc::clone(&of.approval)));
        Ok(Self {
            planner,
            trainer: Arc::clone(&shards.trainer),
            term: shards.share.begin(shard, Arc::clone(&store), approvals.collect()),
            workflows: tunings.iter().map(|tuning| tuning.name().to_owned()).collect(),
            tunings,
            ingest,
            for_all: config.actuator.kind.is_for_all(),
            divided_mb: config.pool.capacity_mb.filter(|_| config.cluster.enabled),
            demand: Demand::default(),
            certain_mb: 0.0,
            status: shards.status.clone(),
            place: shards.place.clone(),
            store,
            board: Arc::clone(&shards.board),
            clock: shards.clock,
            shard,
            planned: None,
            idle_minutes: idle_minutes(config) as u32,
            claims: Claims::default(),
            clustered: config.cluster.enabled,
            stopping: Arc::clone(&shards.stopping),
            schedule,
            training: None,
            may_train: Arc::clone(&shards.training),
            last: None,
            first: None,
            upstream,
            history_days: config.state.history_days,
        })
    }

    pub(super) fn restore(&mut self, topic: &str) -> Result<(), StoreError> {
        let began = Instant::now();
        let restored = self.store.restored(topic)?;
        let functions = restored.functions.len();
        write(&self.board).forget(self.shard);
        for (id, info) in (0..).map(FunctionId).zip(restored.functions) {
            self.saw(&info);
            self.planner.add(id, info.clone());
            let mut board = write(&self.board);
            let shown = board.function(self.shard, id);
            (shown.info, shown.busy) = (info, restored.open.unwrap_or_default());
        }
        let claimed = self.store.get(CLAIMED)?;
        self.claims.last = claimed.and_then(|bytes| postcard::from_bytes(&bytes).ok());
        let Some(open) = restored.open else { return Ok(()) };
        let reach = aquatope_core::forecast::features::FULL_HISTORY as u32;
        let minutes = Minute(open.0.saturating_sub(reach))..open;
        let mut read = 0_usize;
        let planner = &mut self.planner;
        self.store.for_each_window(minutes, |id, window| {
            planner.finals(&[(id, window)]);
            read += 1;
        })?;
        self.planner.close(open);
        if let Some(bytes) = self.store.get(MODEL)? {
            let model: Option<Model> = postcard::from_bytes(&bytes).ok();
            match model.map(|model| (model.trained, self.adopt(model))) {
                Some((trained, Ok(()))) => self.last = Some(trained),
                // Recent peaks forecast until it has been trained again.
                Some((_, Err(error))) => tracing::warn!("the stored model is not of this version: {error}"),
                None => tracing::warn!("the stored model is not of this version"),
            }
        }
        tracing::info!(functions, windows = read, seconds = began.elapsed().as_secs_f64(), "state restored");
        Ok(())
    }

    fn saw(&mut self, info: &FunctionInfo) {
        self.first = Some(self.first.map_or(info.first, |first| first.min(info.first)));
    }

    fn adopt(&mut self, model: Model) -> Result<(), String> {
        let trainer = Arc::clone(&self.trainer);
        self.planner
            .set_model(model.weights, |peaks| trainer.profile(peaks))
            .map_err(|error| error.to_string())?;
        let mut board = write(&self.board);
        let shown = board.model_of(self.shard);
        (shown.kind, shown.trained_ms) = ("light", Some(model.trained.0));
        Ok(())
    }

    /// Until the source is gone, or the shard is given up.
    pub(super) fn run(mut self, mut reports: mpsc::Receiver<MinuteReport>) {
        if !self.planner.has_model() {
            write(&self.board).model_of(self.shard).kind = "recent peaks";
        }
        let runtime = tokio::runtime::Handle::current();
        let mut workflows = JoinSet::new();
        for tuning in self.tunings.drain(..) {
            workflows.spawn_on(tuning.run_steadily(self.ingest.clone()), &runtime);
        }
        loop {
            let wait = self.clock.real(SILENCE);
            let Ok(report) = runtime.block_on(async { tokio::time::timeout(wait, reports.recv()).await })
            else {
                self.silence();
                continue;
            };
            let Some(report) = report else { break };
            for (_, info) in &report.functions {
                self.saw(info);
            }
            let mut deaf = false;
            if let Some(mb) = self.divided_mb {
                let minute = report.minute.0.saturating_add(1);
                let part = self.term.part_mb(mb, minute, self.claims.last, COMES_BACK);
                self.status.handle_heard(self.shard.number, part.as_ref().err());
                deaf = part.is_err();
                self.planner.set_capacity(part.unwrap_or(self.certain_mb));
            }
            let began = Instant::now();
            let plan = self.planner.plan(&report);
            // What it may not use is left to the others.
            let wanted_mb = if deaf { plan.busy_mb } else { plan.fit.wanted_mb };
            self.demand = Demand { wanted_mb, busy_mb: plan.busy_mb };
            let took_ms = began.elapsed().as_secs_f64() * 1e3;
            self.planned = Some((plan.minute.0, Instant::now()));
            let wants = self.wants(&plan);
            if self.claim(&wants, false) {
                self.term.want(wants);
            }
            write(&self.board).minute(self.shard, &report, &plan, self.clock.now().0, took_ms);
            self.train(report.open);
        }
        // A search has kept every step it finished.
        runtime.block_on(workflows.shutdown());
        self.end();
    }

    pub(super) fn end(self) {
        if self.term.end() {
            let mut board = write(&self.board);
            board.forget(self.shard);
            if self.clustered {
                self.status.handle_heard(self.shard.number, None);
                self.workflows.iter().for_each(|name| drop(board.workflows.remove(name)));
            }
        }
    }

    /// Whether to act for the minute of `wants`, which are `held` from an earlier one or new. Where others could have taken
    /// the shard over, that is so if the log takes the claim: then nobody else has or will.
    fn claim(&mut self, wants: &Wants, held: bool) -> bool {
        if self.stopping.load(Ordering::Relaxed) {
            // Nobody carries it out any more: the minute is left to whoever comes next.
            return false;
        }
        let minute = wants.minute;
        if !self.clustered {
            return true;
        }
        if !self.claims.may(minute, held) {
            tracing::info!(shard = self.shard.number, minute, last = self.claims.last, "acted for before");
            return false;
        }
        let claim = postcard::to_stdvec(&minute).expect("plain data is written to memory");
        let name = if self.claims.last == Some(minute) { REPLACED } else { CLAIMED };
        let told = self.told(wants).to_bytes();
        // Where the log does not answer, nobody knows whether the others hear it.
        let before_mb = std::mem::replace(&mut self.certain_mb, self.demand.busy_mb);
        match self.store.put_with_plan(name, &claim, self.shard.number, told) {
            Ok(()) => {
                self.claims = Claims { last: Some(minute), held };
                true
            }
            Err(error) => {
                self.certain_mb = self.certain_mb.min(before_mb);
                tracing::warn!(shard = self.shard.number, minute, "nothing is done for this minute: {error}");
                false
            }
        }
    }

    /// What the other instances are to know of this shard.
    fn told(&self, wants: &Wants) -> Told {
        let board = read(&self.board);
        let shown = |name: &String| Some((name.clone(), board.workflows.get(name)?.clone()));
        let workflows = self.workflows.iter().filter_map(shown).collect();
        let wants =
            if self.for_all { wants.clone() } else { Wants { minute: wants.minute, ..Wants::default() } };
        Told { by: self.place.clone(), at: self.clock.now(), demand: self.demand, wants, workflows }
    }

    /// Nothing closes a minute: the broker is gone, or a gap is being filled. The last targets are asked for again, so
    /// that what keeps containers warm goes on. Minutes are counted on from the last plan: a claim stays, and the system's
    /// clock may be wrong.
    fn silence(&mut self) {
        let Some((planned, at)) = self.planned else { return };
        let passed = self.clock.passed(at);
        let Some(wants) = self.term.wanted().held(planned, passed, self.idle_minutes) else { return };
        if !self.claim(&wants, true) {
            return;
        }
        self.term.want(wants);
        if let Some(planned) = write(&self.board).planned.get_mut(&self.shard.number) {
            planned.stale = true;
        }
    }

    fn wants(&self, plan: &PoolPlan) -> Wants {
        let mut functions = Vec::with_capacity(plan.targets.len());
        for (_, info, target) in self.planner.functions() {
            let Some(target) = target else { continue };
            functions.push(Wanted {
                name: info.name.clone(),
                namespace: info.namespace.clone(),
                kind: info.kind.clone(),
                memory_mb: info.memory_mb,
                containers: target.containers,
                busy: target.busy,
                warm: target.warm,
                cold_start_ms: info.cold_start_ms as u32,
            });
        }
        Wants { minute: plan.minute.0, functions, share: None }
    }

    /// Take a finished training in, and begin one when it is time.
    fn train(&mut self, open: Minute) {
        if self.training.as_ref().is_some_and(std::thread::JoinHandle::is_finished)
            && let Some(training) = self.training.take()
        {
            let result = training.join().unwrap_or_else(|_| Err("the training thread panicked".to_owned()));
            self.trained(result);
        }
        let now = self.clock.now();
        let history_min = self.first.map_or(0, |first| open.0.saturating_sub(first.0));
        let (trained, drifted) = (self.planner.has_model(), self.planner.drift().drifted());
        let due = self.schedule.is_some_and(|s| s.is_due(now, history_min, self.last, trained, drifted));
        if due
            && self.training.is_none()
            && let Ok(permit) = Arc::clone(&self.may_train).try_acquire_owned()
        {
            tracing::info!(history_min, drifted, "training");
            let (store, trainer, stop) =
                (Arc::clone(&self.store), Arc::clone(&self.trainer), Arc::clone(&self.stopping));
            let first = train::first(open, history_min, self.history_days);
            let upstream = self.upstream_ids();
            let clones = self.clones();
            self.training = Some(std::thread::spawn(move || {
                let _permit = permit;
                let series =
                    select(first, open, &upstream, &clones, |take| store.for_each_window(first..open, take))
                        .map_err(|error| error.to_string())?;
                trainer.train(&series, &stop)
            }));
        }
        let mut board = write(&self.board);
        let shown = board.model_of(self.shard);
        shown.training = self.training.is_some();
        shown.above_q95 = self.planner.drift().share();
    }

    fn trained(&mut self, result: Result<Vec<u32>, String>) {
        let now = self.clock.now();
        self.last = Some(now);
        let model = result.map(|weights| Model { weights, trained: now });
        let adopted = model.and_then(|model| {
            let bytes = postcard::to_stdvec(&model).map_err(|error| error.to_string())?;
            self.adopt(model).map(|()| bytes)
        });
        let stored = match &adopted {
            Ok(bytes) => self.store.put(MODEL, bytes).map_err(|error| {
                let error = format!(
                    "the model that forecasts is not stored, a restart goes back to the one before: {error}"
                );
                tracing::error!("{error}");
                error
            }),
            Err(_) => Ok(()),
        };
        let mut board = write(&self.board);
        let shown = board.model_of(self.shard);
        match adopted {
            Ok(_) => {
                shown.trainings += 1;
                shown.error = stored.err();
                tracing::info!("a new model forecasts");
            }
            Err(error) => {
                tracing::error!("training: {error}; the old forecasts go on");
                shown.failures += 1;
                shown.error = Some(error);
            }
        }
    }

    /// The clones that trials of a workflow run on: they are no functions of anybody's.
    fn clones(&self) -> HashSet<FunctionId> {
        self.planner.functions().filter(|(_, info, _)| is_clone(&info.name)).map(|(id, ..)| id).collect()
    }

    fn upstream_ids(&self) -> HashMap<FunctionId, FunctionId> {
        let ids: HashMap<&str, FunctionId> =
            self.planner.functions().map(|(id, info, _)| (info.name.as_str(), id)).collect();
        let of = |name: &String| ids.get(name.as_str()).copied();
        self.upstream.iter().filter_map(|(stage, before)| Some((of(stage)?, of(before)?))).collect()
    }
}

fn plan_config(config: &Config) -> PlanConfig {
    let pool = &config.pool;
    let cold_start = pool.cold_start_cost as f32;
    PlanConfig {
        prices: Prices {
            first_cold_start: pool.first_cold_start_cost.map_or(cold_start, |cost| cost as f32),
            ..Prices::ratio(cold_start)
        },
        most: pool.most,
        capacity_mb: pool.capacity_mb.unwrap_or(f64::INFINITY),
        hysteresis: Hysteresis { patience: pool.patience, step: pool.step.unwrap_or(u32::MAX) },
        stale_after: Duration::from_secs_f64(pool.stale_after_s),
        idle_minutes: idle_minutes(config),
    }
}

/// What was used a minute longer ago is evicted before the planned minute ends.
fn idle_minutes(config: &Config) -> usize {
    (config.actuator.idle_container_min as usize).saturating_sub(1).max(1)
}

/// The stage before every stage of the registered workflows, by full names.
pub(super) fn upstream(config: &Config) -> Result<HashMap<String, String>, Fault> {
    let mut upstream = HashMap::new();
    for registered in &config.workflow {
        let workflow = read_file(registered)?.workflow;
        let full = |name: &str| format!("{}/{name}", registered.namespace);
        for &(from, to) in &workflow.edges {
            let (from, to) = (&workflow.functions[from], &workflow.functions[to]);
            upstream.entry(full(&to.name)).or_insert_with(|| full(&from.name));
        }
    }
    Ok(upstream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_acted_for_once_and_a_late_plan_replaces_what_was_held() {
        assert!(Claims::default().may(7, true));
        let planned = Claims { last: Some(7), held: false };
        assert_eq!([planned.may(6, false), planned.may(7, false), planned.may(7, true)], [false; 3]);
        assert_eq!([planned.may(8, false), planned.may(8, true)], [true; 2]);
        let held = Claims { last: Some(7), held: true };
        assert_eq!([held.may(6, false), held.may(7, true), held.may(7, false)], [false, false, true]);
    }
}

//! What the service shows of itself: the state behind `/metrics`, `/api` and the dashboard.
//!
//! The loops write it, HTTP reads it; nothing is decided from it.
//! Memory: 5 KB a function that did something within the last two hours, 0.4 KB for another, and its name; of the shards
//! that are held.

use std::collections::{BTreeMap, VecDeque};

use aquatope_core::activation::FunctionId;
use aquatope_core::time::Minute;
use aquatope_core::window::Window;
use serde::{Deserialize, Serialize};

use crate::observe::{FunctionInfo, MinuteReport, SequenceRuns, of_name};
use crate::plan::{PoolPlan, Target};
use crate::share::Shard;

/// Minutes of history shown.
pub const SHOWN: usize = 120;

/// Everything that is shown.
#[derive(Debug, Default)]
pub struct Board {
    /// When the service started, ms since the epoch.
    pub started_ms: u64,
    /// The last minute planned, by shard.
    pub planned: BTreeMap<u32, Planned>,
    /// By shard, then by id.
    pub(crate) functions: BTreeMap<u32, Vec<Function>>,
    /// Functions that were idle for longer, minutes, are left out of lists and metrics.
    pub idle_min: u32,
    /// Training and forecasting, by shard; of a shard that is no longer held the counts stay.
    pub(crate) models: BTreeMap<u32, Model>,
    /// Carrying targets out.
    pub actuator: Actuator,
    /// The workflows by name.
    pub workflows: BTreeMap<String, Workflow>,
    /// Sequences and compositions by name, since the start.
    pub sequences: BTreeMap<String, SequenceRuns>,
    /// Requests that the platform refused, by namespace, since the start.
    pub throttled: BTreeMap<String, u64>,
}

/// The last plan.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Planned {
    /// The minute planned for, since the epoch.
    pub minute: u32,
    /// When that was done, ms since the epoch.
    pub at_ms: u64,
    /// Milliseconds it took.
    pub took_ms: f64,
    /// How far the observation was behind, s.
    pub behind_s: f64,
    /// Whether targets only grew for that.
    pub stale: bool,
    /// Memory of all targets, MB.
    pub granted_mb: f64,
    /// Memory of what was wanted, MB.
    pub wanted_mb: f64,
}

/// One function.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// What is known of it.
    pub info: FunctionInfo,
    /// Invocations in the final minutes since the service started.
    pub invocations: u64,
    /// Cold starts in them.
    pub cold_starts: u64,
    /// The minute it was last busy in, or that of the restart after it.
    pub busy: Minute,
    /// Its last target.
    pub target: Option<Target>,
    /// The last [`SHOWN`] minutes, oldest first.
    pub minutes: VecDeque<Shown>,
}

/// One minute of one function.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// Since the epoch.
    pub minute: u32,
    /// Peak busy containers as far as known; absent until the next minute is planned.
    pub peak: Option<u32>,
    /// Invocations.
    pub invocations: u32,
    /// Cold starts.
    pub cold_starts: u32,
    /// 5 % quantile of the forecast.
    pub low: f32,
    /// Median.
    pub median: f32,
    /// 95 % quantile.
    pub high: f32,
    /// Containers planned.
    pub target: u32,
}

/// The model that forecasts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Model {
    /// What forecasts: `recent peaks` or `light`.
    pub kind: &'static str,
    /// When it was trained, ms since the epoch.
    pub trained_ms: Option<u64>,
    /// Trainings finished.
    pub trainings: u64,
    /// Trainings that failed.
    pub failures: u64,
    /// Why the last one failed.
    pub error: Option<String>,
    /// Whether one runs now.
    pub training: bool,
    /// Share of peaks above the 95 % quantile.
    pub above_q95: Option<f64>,
}

/// The back-end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Actuator {
    /// Its name.
    pub kind: &'static str,
    /// What it can do, in words.
    pub capabilities: String,
    /// Calls that went well.
    pub calls: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Failures since the last call that went well.
    pub failing: u32,
    /// Why the last one failed; cleared by one that goes well.
    pub error: Option<String>,
    /// When something was last changed, ms since the epoch.
    pub changed_ms: Option<u64>,
    /// The minute of the plan that was carried out last, well or not.
    pub applied: Option<u32>,
}

/// One registered workflow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Workflow {
    /// What it is doing, in a word or two.
    pub state: String,
    /// Largest good latency, s.
    pub qos_s: f64,
    /// Trials finished.
    pub trials: usize,
    /// Trials in all.
    pub budget: usize,
    /// What production had when the search began, in words, once it ended.
    pub today: Option<String>,
    /// What was measured in its stead, which differs where the space does not have it.
    pub measured: Option<String>,
    /// The recommended configuration in words, once there is one.
    pub recommendation: Option<String>,
    /// Its expected cost and latency (s).
    pub expected: Option<[f64; 2]>,
    /// Why it is stuck, if it is.
    pub error: Option<String>,
    /// Why clones of its actions could not be deleted the last time; it is tried again.
    pub clones_left: Option<String>,
}

impl Board {
    /// Take in a report of a shard and the plan that followed.
    pub fn minute(&mut self, shard: Shard, report: &MinuteReport, plan: &PoolPlan, at_ms: u64, took_ms: f64) {
        for (id, info) in &report.functions {
            let function = self.function(shard, *id);
            function.info = info.clone();
            function.busy = function.busy.max(info.first);
        }
        for (id, window) in &report.finals {
            let function = self.function(shard, *id);
            function.invocations += u64::from(window.invocations);
            function.cold_starts += u64::from(window.cold_starts);
            function.observed(window);
        }
        for (id, window) in &report.provisional {
            self.function(shard, *id).observed(window);
        }
        for (name, new) in &report.sequences {
            let sequence = of_name(&mut self.sequences, name);
            sequence.runs += new.runs;
            sequence.failed += new.failed;
        }
        for (namespace, requests) in &report.throttled {
            *of_name(&mut self.throttled, namespace) += requests;
        }
        for target in &plan.targets {
            self.function(shard, target.function).planned(plan.minute, target);
        }
        let planned = Planned {
            minute: plan.minute.0,
            at_ms,
            took_ms,
            behind_s: report.behind.as_secs_f64(),
            stale: plan.stale,
            granted_mb: plan.fit.granted_mb,
            wanted_mb: plan.fit.wanted_mb,
        };
        self.planned.insert(shard.number, planned);
    }

    /// The last plans of all shards, in one.
    pub fn planned(&self) -> Option<Planned> {
        self.planned.values().copied().reduce(|a, b| Planned {
            minute: a.minute.min(b.minute),
            at_ms: a.at_ms.max(b.at_ms),
            took_ms: a.took_ms + b.took_ms,
            behind_s: a.behind_s.max(b.behind_s),
            stale: a.stale || b.stale,
            granted_mb: a.granted_mb + b.granted_mb,
            wanted_mb: a.wanted_mb + b.wanted_mb,
        })
    }

    /// Another instance shows this shard now.
    pub fn forget(&mut self, shard: Shard) {
        self.planned.remove(&shard.number);
        self.functions.remove(&shard.number);
        if let Some(model) = self.models.get_mut(&shard.number) {
            let Model { trainings, failures, .. } = *model;
            *model = Model { trainings, failures, ..Model::default() };
        }
    }

    /// All functions known.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.values().flatten().filter(|function| !function.info.name.is_empty())
    }

    /// Of all shards, in one: the best kind of forecasts, the oldest model, the worst share.
    pub fn model(&self) -> Model {
        let all = self.models.values();
        let best = all.clone().find(|model| model.trained_ms.is_some());
        Model {
            kind: best
                .or_else(|| all.clone().find(|model| !model.kind.is_empty()))
                .map_or("", |model| model.kind),
            trained_ms: all.clone().filter_map(|model| model.trained_ms).min(),
            trainings: all.clone().map(|model| model.trainings).sum(),
            failures: all.clone().map(|model| model.failures).sum(),
            error: all.clone().find_map(|model| model.error.clone()),
            training: all.clone().any(|model| model.training),
            above_q95: all.filter_map(|model| model.above_q95).max_by(f64::total_cmp),
        }
    }

    /// That of one shard.
    pub(crate) fn model_of(&mut self, shard: Shard) -> &mut Model {
        self.models.entry(shard.number).or_default()
    }

    /// The functions known but for those long idle.
    pub fn listed(&self) -> impl Iterator<Item = &Function> {
        let now = self.planned().map_or(0, |planned| planned.minute);
        let since = now.saturating_sub(self.idle_min);
        self.functions().filter(move |f| f.busy.0 >= since)
    }

    pub(crate) fn function(&mut self, shard: Shard, id: FunctionId) -> &mut Function {
        let (functions, index) = (self.functions.entry(shard.number).or_default(), id.0 as usize);
        if index >= functions.len() {
            functions.resize_with(index + 1, Function::default);
        }
        &mut functions[index]
    }
}

impl Function {
    fn observed(&mut self, window: &Window) {
        let &Window { minute, peak, invocations, cold_starts, .. } = window;
        self.busy = self.busy.max(minute);
        if let Some(shown) = self.minutes.iter_mut().rev().find(|shown| shown.minute == minute.0) {
            *shown = Shown { peak: Some(peak), invocations, cold_starts, ..*shown };
        }
    }

    /// Minutes before the planned one that nothing was heard of were idle.
    fn planned(&mut self, minute: Minute, target: &Target) {
        self.target = Some(*target);
        let idle = |shown: &Shown| shown.peak.unwrap_or(0) == 0 && shown.target == 0;
        if target.containers == 0 && self.minutes.iter().all(idle) {
            // Most functions of most platforms do nothing for hours.
            self.minutes = VecDeque::new();
            return;
        }
        for shown in self.minutes.iter_mut().rev().take_while(|shown| shown.peak.is_none()) {
            shown.peak = Some(0);
        }
        if self.minutes.back().is_some_and(|shown| shown.minute >= minute.0) {
            return;
        }
        if self.minutes.len() == SHOWN {
            self.minutes.pop_front();
        }
        let quantile = |level| target.forecast.quantile(level);
        self.minutes.push_back(Shown {
            minute: minute.0,
            peak: None,
            invocations: 0,
            cold_starts: 0,
            low: quantile(0.05),
            median: quantile(0.5),
            high: quantile(0.95),
            target: target.containers,
        });
    }
}

#[cfg(test)]
mod tests {
    use aquatope_core::pool::Fit;

    use super::*;

    fn report(minute: u32, busy: u32) -> MinuteReport {
        let window = Window { minute: Minute(minute), invocations: 1, peak: 1, ..Window::default() };
        let info = |id: u32| FunctionInfo { name: format!("guest/f{id}"), ..FunctionInfo::default() };
        MinuteReport {
            minute: Minute(minute),
            provisional: vec![(FunctionId(busy), window)],
            functions: (0..2).map(|id| (FunctionId(id), info(id))).collect(),
            ..MinuteReport::default()
        }
    }

    #[test]
    fn a_minute_told_twice_is_shown_as_told_last_and_counted_once() {
        let mut board = Board::default();
        let target = |function| Target {
            function,
            containers: 1,
            busy: 0,
            warm: 0,
            forecast: aquatope_core::forecast::Forecast::default(),
        };
        let planned = |minute| PoolPlan { targets: vec![target(FunctionId(0))], ..plan(minute) };
        let of = |minute: u32, invocations: u32| {
            let window =
                Window { minute: Minute(minute), invocations, peak: invocations, ..Window::default() };
            (FunctionId(0), window)
        };
        let told = |minute: u32, provisional: &[(FunctionId, Window)]| MinuteReport {
            provisional: provisional.to_vec(),
            ..report(minute, 0)
        };
        board.minute(Shard::ALL, &told(9, &[]), &planned(10), 0, 0.0);
        board.minute(Shard::ALL, &told(10, &[of(10, 2)]), &planned(11), 0, 0.0);
        board.minute(Shard::ALL, &told(11, &[of(10, 3)]), &planned(12), 0, 0.0);
        let finals = vec![of(10, 3)];
        board.minute(Shard::ALL, &MinuteReport { finals, ..told(12, &[]) }, &planned(13), 0, 0.0);
        let function = board.functions().next().unwrap();
        let shown: Vec<_> = function.minutes.iter().map(|s| (s.minute, s.peak, s.invocations)).collect();
        let idle = |minute| (minute, Some(0), 0);
        assert_eq!(shown, [(10, Some(3), 3), idle(11), idle(12), (13, None, 0)]);
        assert_eq!(function.invocations, 3);
    }

    fn plan(minute: u32) -> PoolPlan {
        let fit = Fit { wanted_mb: 0.0, granted_mb: 0.0, shadow_price: 0.0 };
        PoolPlan { minute: Minute(minute), targets: Vec::new(), fit, busy_mb: 0.0, stale: false }
    }

    #[test]
    fn memory_is_as_stated() {
        let idle = size_of::<Function>();
        let busy = idle + SHOWN.next_power_of_two() * size_of::<Shown>();
        assert!(idle <= 400 && busy <= 5_000, "{idle}, {busy}");
    }

    #[test]
    fn what_was_idle_for_long_is_not_listed() {
        let mut board = Board { idle_min: 1440, ..Board::default() };
        let listed = |board: &Board| board.listed().map(|f| f.info.name.clone()).collect::<Vec<_>>();
        board.minute(Shard::ALL, &report(5_000, 0), &plan(5_001), 0, 0.0);
        board.minute(Shard::ALL, &report(6_000, 1), &plan(6_001), 0, 0.0);
        assert_eq!(listed(&board), ["guest/f0", "guest/f1"]);
        board.minute(Shard::ALL, &report(7_000, 1), &plan(7_001), 0, 0.0);
        assert_eq!(listed(&board), ["guest/f1"]);
        board.minute(Shard::ALL, &report(7_001, 0), &plan(7_002), 0, 0.0);
        assert_eq!(listed(&board).len(), 2, "it is back");
    }

    #[test]
    fn shards_take_no_room_for_each_other() {
        let mut board = Board { idle_min: 1440, ..Board::default() };
        let shard = Shard { number: 200, of: 256 };
        board.minute(shard, &report(5_000, 0), &plan(5_001), 0, 0.0);
        board.minute(Shard { number: 3, of: 256 }, &report(5_000, 1), &plan(5_001), 0, 0.0);
        assert_eq!((board.functions().count(), board.listed().count()), (4, 2), "the others were not busy");
        assert_eq!(board.functions.values().map(Vec::len).sum::<usize>(), 4);
        board.forget(shard);
        assert_eq!((board.functions().count(), board.planned.len()), (2, 1));
    }

    #[test]
    fn models_of_shards_in_one() {
        let mut board = Board::default();
        let [a, b] = [0, 1].map(|number| Shard { number, of: 2 });
        *board.model_of(a) = Model {
            kind: "light",
            trained_ms: Some(9),
            trainings: 2,
            above_q95: Some(0.1),
            ..Model::default()
        };
        *board.model_of(b) = Model {
            kind: "recent peaks",
            failures: 1,
            error: Some("no series".into()),
            training: true,
            above_q95: Some(0.2),
            ..Model::default()
        };
        let all = board.model();
        assert_eq!((all.kind, all.trained_ms, all.trainings, all.failures), ("light", Some(9), 2, 1));
        assert_eq!((all.error.as_deref(), all.training, all.above_q95), (Some("no series"), true, Some(0.2)));
        // Counts do not fall when a shard is given up.
        [a, b].into_iter().for_each(|shard| board.forget(shard));
        let all = board.model();
        assert_eq!((all.kind, all.trained_ms, all.trainings, all.failures), ("", None, 2, 1));
        assert_eq!((all.error, all.above_q95), (None, None));
    }
}

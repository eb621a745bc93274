//! From minutes to container targets, for every function of the platform: a state machine without I/O.
//!
//! ```text
//! MinuteReport -> histories -> forecast of the minute to come -> newsvendor -> damping -> memory limit -> PoolPlan
//! ```
//! A forecast sees the final minutes and, behind them, the provisional ones, on a copy: what changes until they are
//! final is not lost. The last of these still runs when the next one is planned: what it has shown so far stands for it.
//! Without a trained model, and for functions without history, recent peaks forecast (`recent.rs`).
//! Memory: 9 KB a function that was busy within the last three days, 0.3 KB for another, and its name. Work a minute: one
//! forecast of each of the former.

mod drift;
mod managed;
mod recent;
#[cfg(test)]
mod tests;

use drift::Bound;
pub use drift::Drift;
pub use managed::Managed;

use std::collections::HashMap;
use std::time::Duration;

use aquatope_core::activation::FunctionId;
use aquatope_core::forecast::Forecast;
use aquatope_core::forecast::features::{FULL_HISTORY, FunctionState, Profile, Upstream};
use aquatope_core::forecast::light::LightModel;
use aquatope_core::nn::weights::{Weights, WeightsError};
use aquatope_core::pool::{Candidate, Damper, Fit, Hysteresis, Prices, Rule, containers, fit};
use aquatope_core::time::Minute;
use aquatope_core::window::Window;

use crate::observe::{FunctionInfo, MinuteReport};

/// How targets are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanConfig {
    /// Prices of cold starts and idle memory.
    pub prices: Prices,
    /// Most containers of one function.
    pub most: u32,
    /// Memory of all, MB; infinite: no limit.
    pub capacity_mb: f64,
    /// How targets shrink.
    pub hysteresis: Hysteresis,
    /// Behind by more than this, targets only grow.
    pub stale_after: Duration,
    /// Containers used within so many minutes stay warm until the planned one ends.
    pub idle_minutes: usize,
}

/// What the containers should be in one minute.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolPlan {
    /// The minute planned for.
    pub minute: Minute,
    /// One target a managed function.
    pub targets: Vec<Target>,
    /// What the memory limit did.
    pub fit: Fit,
    /// Memory of what is busy, MB: no limit takes it away.
    pub busy_mb: f64,
    /// Whether the observation was so far behind that targets only grew.
    pub stale: bool,
}

/// What one function should have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The function.
    pub function: FunctionId,
    /// Containers, busy ones included.
    pub containers: u32,
    /// Peak busy containers of the minute before the one planned, as far as it has passed and is known: no target is below.
    pub busy: u32,
    /// Containers that are warm if the platform keeps idle ones as configured: the largest recent peak.
    pub warm: u32,
    /// The forecast behind it.
    pub forecast: Forecast,
}

/// One function.
struct Member {
    info: FunctionInfo,
    /// Nothing when it was not busy within the reach of any feature: most functions of most platforms.
    state: Option<Box<FunctionState<FULL_HISTORY>>>,
    profile: Profile,
    managed: bool,
    parent: Option<usize>,
    damper: Damper,
    /// The last plan of it.
    planned: Option<Target>,
    /// What was forecast by the plan before that, whose minute still ran at the last one.
    before: Option<Bound>,
}

/// Plans the pool of every function it is told of.
pub struct Planner {
    config: PlanConfig,
    managed: Managed,
    /// Upstream stage by name, from the registered workflows.
    upstream: HashMap<String, String>,
    model: Option<Vec<u32>>,
    members: Vec<Member>,
    drift: Drift,
    /// The minute last planned for.
    next: Option<Minute>,
    /// The minute planned for before that.
    before: Option<Minute>,
    /// Whether every stage knows the stage before it.
    relinked: bool,
}

impl Planner {
    /// A planner that knows no function. `upstream` names the stage before a stage.
    pub fn new(config: PlanConfig, managed: Managed, upstream: HashMap<String, String>) -> Self {
        Self {
            config,
            managed,
            upstream,
            model: None,
            members: Vec::new(),
            drift: Drift::default(),
            next: None,
            before: None,
            relinked: false,
        }
    }

    /// Use the light model in `weights` from now on, and the profiles its features are to be read with.
    ///
    /// # Errors
    /// What is wrong with the weight file; the old model stays then.
    pub fn set_model(
        &mut self,
        weights: Vec<u32>,
        profile: impl Fn(&[u32]) -> Profile,
    ) -> Result<(), WeightsError> {
        LightModel::new(&Weights::parse(bytemuck::cast_slice(&weights))?)?;
        for member in &mut self.members {
            let Some(state) = &mut member.state else {
                member.profile = profile(&[]);
                continue;
            };
            let history = state.history();
            let seen = (history.seen() as usize).min(FULL_HISTORY);
            let peaks: Vec<u32> =
                (1..=seen).rev().map(|lag| history.peak(lag).map_or(0, u32::from)).collect();
            member.profile = profile(&peaks);
            state.set_profile(member.profile);
        }
        self.model = Some(weights);
        self.drift = Drift::default();
        // What the model before it said of minutes that have not ended is not scored.
        (self.next, self.before) = (None, None);
        Ok(())
    }

    /// The memory of all from now on, MB.
    pub fn set_capacity(&mut self, capacity_mb: f64) {
        self.config.capacity_mb = capacity_mb;
    }

    /// Whether a trained model forecasts.
    pub fn has_model(&self) -> bool {
        self.model.is_some()
    }

    /// How well the forecasts have met what came.
    pub fn drift(&self) -> &Drift {
        &self.drift
    }

    /// Learn of a function, or of its changes. Ids are dense: a function that was left out is an idle one.
    pub fn add(&mut self, id: FunctionId, info: FunctionInfo) {
        let index = id.0 as usize;
        while self.members.len() <= index {
            let nobody = FunctionInfo { first: info.first, ..FunctionInfo::default() };
            self.members.push(Member {
                info: nobody,
                state: None,
                profile: Profile::UNKNOWN,
                managed: false,
                parent: None,
                damper: Damper::default(),
                planned: None,
                before: None,
            });
        }
        let member = &mut self.members[index];
        member.managed = self.managed.contains(&info.name);
        self.relinked &= member.info.name == info.name;
        member.info = info;
    }

    /// Find the stage before every stage, where functions are new.
    fn relink(&mut self) {
        if self.relinked || self.upstream.is_empty() {
            return;
        }
        let members = self.members.iter().enumerate();
        let index: HashMap<String, usize> =
            members.map(|(index, member)| (member.info.name.clone(), index)).collect();
        for member in &mut self.members {
            let before = self.upstream.get(&member.info.name);
            member.parent = before.and_then(|name| index.get(name)).copied();
        }
        self.relinked = true;
    }

    /// Take in final windows; the minutes of a function come in order, quiet ones may be left out.
    pub fn finals(&mut self, windows: &[(FunctionId, Window)]) {
        for (id, window) in windows {
            if let Some(member) = self.members.get_mut(id.0 as usize) {
                let begun = member.begun(window.minute);
                let state = member.state.get_or_insert_with(|| Box::new(begun));
                // The only error is a minute that is final already.
                let _ = state.observe(window.minute, window.invocations, window.peak);
            }
        }
    }

    /// All minutes before `open` are final: those not told of were quiet. Work: a step a function and minute.
    pub fn close(&mut self, open: Minute) {
        let Some(last) = open.0.checked_sub(1) else { return };
        for member in &mut self.members {
            let Some(state) = &mut member.state else { continue };
            if state.history().next().0 <= last {
                let _ = state.observe(Minute(last), 0, 0);
            }
            if state.history().since_busy().is_none_or(|since| since as usize > FULL_HISTORY) {
                member.state = None;
            }
        }
    }

    /// Take in what a minute has brought so far and plan the one after it.
    pub fn plan(&mut self, report: &MinuteReport) -> PoolPlan {
        for (id, info) in &report.functions {
            self.add(*id, info.clone());
        }
        self.relink();
        self.finals(&report.finals);
        self.close(report.open);
        let present = self.present(report);
        self.score(report.minute, &present);
        let forecasts = self.forecast(&present);
        self.targets(report, &present, forecasts)
    }

    /// Every function's history with the provisional minutes behind it.
    fn present(&self, report: &MinuteReport) -> Vec<Present> {
        let mut provisional: Vec<&(FunctionId, Window)> = report.provisional.iter().collect();
        provisional.sort_by_key(|(id, window)| (id.0, window.minute));
        let mut of = provisional.chunk_by(|a, b| a.0 == b.0).peekable();
        let end = report.minute.0.saturating_add(1);
        let shown = Minute(report.open.0.max(end.saturating_sub(SHOWN)).min(end));
        let mut present = Vec::with_capacity(self.members.len());
        for (index, member) in self.members.iter().enumerate() {
            while of.next_if(|windows| (windows[0].0.0 as usize) < index).is_some() {}
            let windows = of.next_if(|windows| windows[0].0.0 as usize == index).unwrap_or_default();
            let quiet = windows.is_empty() && member.state.is_none();
            let mut peaks = vec![0; if quiet { 0 } else { (report.minute.0 + 1 - shown.0) as usize }];
            for (_, window) in windows {
                let at = window.minute.0.checked_sub(shown.0).and_then(|at| peaks.get_mut(at as usize));
                if let Some(place) = at {
                    *place = window.peak;
                }
            }
            let windows = windows.iter().map(|(_, window)| *window).collect();
            present.push(Present { quiet, windows, peaks, end: Minute(end) });
        }
        present
    }

    /// Compare what was forecast for the minute before `running`, which has ended, with what it brought.
    fn score(&mut self, running: Minute, present: &[Present]) {
        if self.before.is_none_or(|before| before.0.saturating_add(1) != running.0) {
            return;
        }
        for (member, present) in self.members.iter().zip(present) {
            if let Some(bound) = member.before
                && let Some(peak) = present.recent(member.state.as_deref()).nth(1)
            {
                self.drift.score(bound, peak);
            }
        }
    }

    fn forecast(&self, present: &[Present]) -> Vec<Forecast> {
        let words = self.model.as_deref();
        // `set_model` checked the file.
        let weights = words.and_then(|words| Weights::parse(bytemuck::cast_slice(words)).ok());
        let model = weights.as_ref().and_then(|weights| LightModel::new(weights).ok());
        let mut states: HashMap<usize, FunctionState<FULL_HISTORY>> = HashMap::new();
        for parent in self.members.iter().filter_map(|member| member.parent) {
            states.entry(parent).or_insert_with(|| self.now(parent, &present[parent]));
        }
        let one = |index: usize| -> Forecast {
            let (member, present) = (&self.members[index], &present[index]);
            if !member.managed || present.quiet {
                return Forecast::default();
            }
            let now = self.now(index, present);
            let upstream = member.parent.and_then(|parent| {
                let grandparent = self.members[parent].parent.and_then(|id| states.get(&id));
                let grandparent = grandparent.map(FunctionState::history);
                states.get(&parent).map(|state| Upstream::of(state.history(), grandparent))
            });
            match &model {
                Some(model) if now.history().seen() >= ENOUGH => model.forecast(&now.read(upstream.as_ref())),
                _ => recent::forecast(now.history()),
            }
        };
        let functions = self.members.len();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(functions / 1000 + 1);
        let share = functions.div_ceil(threads).max(1);
        let mut forecasts = vec![Forecast::default(); functions];
        std::thread::scope(|scope| {
            for (part, out) in forecasts.chunks_mut(share).enumerate() {
                let one = &one;
                scope.spawn(move || {
                    for (offset, forecast) in out.iter_mut().enumerate() {
                        *forecast = one(part * share + offset);
                    }
                });
            }
        });
        forecasts
    }

    /// The history of a function with its provisional minutes.
    fn now(&self, index: usize, present: &Present) -> FunctionState<FULL_HISTORY> {
        let member = &self.members[index];
        let first = present.windows.first().map_or(present.end, |window| window.minute);
        let mut state = member.state.as_ref().map_or_else(|| member.begun(first), |state| (**state).clone());
        for window in &present.windows {
            let _ = state.observe(window.minute, window.invocations, window.peak);
        }
        if state.history().next() < present.end {
            let _ = state.observe(Minute(present.end.0 - 1), 0, 0);
        }
        state
    }

    /// How many times what ran was asked for in the minute that runs, so far, by namespace. Requests beyond the rate limit
    /// leave no run that a forecast could learn from, and come again when the next minute begins. Of which functions they
    /// were is not told: of all alike, as far as they ran.
    fn asked(report: &MinuteReport) -> HashMap<&str, f32> {
        let asked = report.beyond_rate.iter().filter(|(_, asked)| asked.ran > 0).map(|(namespace, asked)| {
            let times = 1.0 + asked.refused as f32 / asked.ran as f32;
            (namespace.as_str(), times.min(MOST_ASKED))
        });
        asked.collect()
    }

    fn targets(&mut self, report: &MinuteReport, present: &[Present], forecasts: Vec<Forecast>) -> PoolPlan {
        let asked = Self::asked(report);
        let Self { config, members, .. } = self;
        let stale = report.behind > config.stale_after;
        let rule = Rule::Newsvendor(config.prices);
        let mut candidates = Vec::with_capacity(members.len());
        for ((member, present), forecast) in members.iter_mut().zip(present).zip(forecasts) {
            let memory_mb = member.info.memory_mb as f32;
            let busy = present.peaks.last().copied().unwrap_or(0);
            let mut wanted = if member.managed {
                let wanted = containers(&forecast, &rule, memory_mb, config.most);
                let asked = asked.get(member.info.namespace.as_str()).map_or(0, |asked| {
                    // As many as were busy, and those that the refused would have needed.
                    (busy as f32 * asked).ceil() as u32
                });
                member.damper.next(wanted, config.hysteresis).max(asked.min(config.most)).max(busy)
            } else {
                0
            };
            if stale {
                wanted = wanted.max(member.planned.map_or(0, |planned| planned.containers));
            }
            let cold_start = config.prices.cold_start;
            candidates.push(Candidate { forecast, wanted, busy, memory_mb, cold_start });
        }
        let mut granted = vec![0; candidates.len()];
        let fit = fit(|index| candidates[index], config.capacity_mb, &mut granted);
        let busy_mb = candidates.iter().map(|of| f64::from(of.busy) * f64::from(of.memory_mb)).sum();
        let mut targets = Vec::new();
        for (index, (member, &containers)) in members.iter_mut().zip(&granted).enumerate() {
            if !member.managed {
                continue;
            }
            let Candidate { forecast, busy, .. } = candidates[index];
            let warm =
                present[index].recent(member.state.as_deref()).take(config.idle_minutes).max().unwrap_or(0);
            let function = FunctionId(index as u32);
            let target = Target { function, containers, busy, warm, forecast };
            member.before = member.planned.map(|planned| Bound::of(&planned.forecast));
            member.planned = Some(target);
            targets.push(target);
        }
        let minute = Minute(report.minute.0.saturating_add(1));
        self.before = self.next.replace(minute);
        PoolPlan { minute, targets, fit, busy_mb, stale }
    }

    /// Every function and its last target.
    pub fn functions(&self) -> impl Iterator<Item = (FunctionId, &FunctionInfo, Option<Target>)> {
        let members = (0..).map(FunctionId).zip(&self.members);
        members.filter(|(_, member)| !member.info.name.is_empty()).map(|(id, m)| (id, &m.info, m.planned))
    }
}

/// What is known of a function beyond its final minutes.
struct Present {
    /// Not busy within the reach of any feature.
    quiet: bool,
    /// Provisional windows in order, quiet minutes left out.
    windows: Vec<Window>,
    /// Peaks of the last provisional minutes.
    peaks: Vec<u32>,
    /// The minute to be planned.
    end: Minute,
}

/// Provisional minutes whose peaks are kept apart; there are six of them, but after an outage.
const SHOWN: u32 = 60;

impl Member {
    /// The history of a function that was idle for long, or is new, up to `minute`.
    fn begun(&self, minute: Minute) -> FunctionState<FULL_HISTORY> {
        let reach = minute.0.saturating_sub(FULL_HISTORY as u32);
        FunctionState::new(self.info.first.min(minute).max(Minute(reach)), self.profile)
    }
}

impl Present {
    /// The peaks, the last minute's first.
    fn recent<'a>(
        &'a self,
        state: Option<&'a FunctionState<FULL_HISTORY>>,
    ) -> impl Iterator<Item = u32> + 'a {
        let before = (1..).map_while(move |lag| state?.history().peak(lag)).map(u32::from);
        self.peaks.iter().rev().copied().chain(before)
    }
}

/// However many requests were refused: at most twice what ran is prepared for.
const MOST_ASKED: f32 = 2.0;

/// Minutes of history from which the network forecasts.
const ENOUGH: u32 = 60;

//! A day of load through the pool controller itself, in virtual time: activations in as they end, targets out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::time::Duration;

use aquatope::forecast::light::LightForecaster;
use aquatope::forecast::{Forecaster as _, Observation};
use aquatope::generate;
use aquatope::replay::policies;
use aquatope::sim::{KeepAlive, Outcome, Policy, Pool, Simulation};
use aquatope::trace::{Event, Function, Trace};
use aquatope::train::light::{Options, Outcome as Training, Series, Trained, train};
use aquatope_core::activation::{Activation, ActivationId, FunctionId};
use aquatope_core::forecast::features::FULL_HISTORY;
use aquatope_core::forecast::light::LightModel;
use aquatope_core::forecast::{Forecast, LEVELS};
use aquatope_core::nn::weights::Weights;
use aquatope_core::pool::{
    Forecaster, Hysteresis, LightFleet, PoolConfig, PoolController, Prices, Rule, SoFar,
};
use aquatope_core::random::SplitMix64;
use aquatope_core::time::{Minute, Timestamp};
use aquatope_core::window::Window;
use rand_core::Rng;

const DAY: usize = 1440;
/// Two days to learn from, one to act in.
const TRAINED: usize = 2 * DAY;
const FUNCTIONS: [&str; 8] = [
    "diurnal-1",
    "timer-2",
    "timer-3",
    "timer-and-users-1",
    "bursty-3",
    "workflow-3-stage-1",
    "workflow-3-stage-2",
    "workflow-3-stage-3",
];
/// A cold start costs so many times what 1 GB costs in an idle minute.
const COLD_COST: f64 = 5.0;
const MOST: u32 = 1000;
/// A little longer than containers take to get warm.
const WARM_WITHIN: Duration = Duration::from_secs(3);

type Fleet<'w> = LightFleet<'w, { FUNCTIONS.len() }, FULL_HISTORY>;
type Controller<M> = PoolController<M, { FUNCTIONS.len() }, 2048>;

/// Eight functions of the demonstration load. Times are whole eighths of a second, so that seconds and the
/// controller's milliseconds are both exact.
fn load() -> Trace {
    let whole = generate::trace(1, 3);
    let place = |index: usize| FUNCTIONS.iter().position(|&name| name == whole.functions[index].name);
    let eighths = |seconds: f64| (seconds * 8.0).floor() / 8.0;
    let event = |event: &Event| {
        Some(Event {
            function: place(event.function as usize)? as u32,
            start_s: eighths(event.start_s),
            duration_s: eighths(event.duration_s).max(0.125),
        })
    };
    let functions = FUNCTIONS.map(|name| {
        let function = whole.functions.iter().find(|function| function.name == name);
        let mut function = function.expect("a function of the load").clone();
        function.parent = function.parent.and_then(place);
        function
    });
    let mut events: Vec<Event> = whole.events.iter().filter_map(event).collect();
    events.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    let mut trace = Trace { functions: functions.into(), events, ..Trace::default() };
    trace.extend_to(whole.minutes);
    trace.measure_events();
    trace
}

fn trained(trace: &Trace) -> Trained {
    let options = Options { hidden: 32, networks: 1, rows: 1 << 17, batch: 256, rate: 4e-3, seed: 1 };
    match train(&Series::of(trace), TRAINED, &options, None, |_| ControlFlow::Continue(()), |_| {}) {
        Ok(Training::Finished(model)) => model,
        _ => panic!("training did not finish"),
    }
}

/// When the platform tells of an activation.
#[derive(Clone, Copy, PartialEq)]
enum Report {
    AtItsStart,
    AtItsEnd,
}

/// The controller as the simulated platform's policy.
struct Controlled<'a, M> {
    controller: Box<Controller<M>>,
    report: Report,
    /// What arrives, in the order it arrives.
    events: std::slice::Iter<'a, Event>,
    arrived: Vec<Activation>,
    /// When the activations that were not reported will be, and which of `arrived` they are.
    reports: BinaryHeap<Reverse<(Timestamp, usize)>>,
    targets: Vec<u32>,
    /// Every minute's targets `[minute][function]`, from minute 1 on.
    history: Vec<Vec<u32>>,
}

fn fleet<'a>(trace: &Trace, trained: &'a Trained) -> Fleet<'a> {
    let weights = Weights::parse(trained.weight_file()).expect("a sound weight file");
    let mut fleet = LightFleet::new(LightModel::new(&weights).expect("a light model"));
    for (function, &profile) in trace.functions.iter().zip(&trained.profiles) {
        let parent = function.parent.map(|index| FunctionId(index as u32));
        fleet.add_function(Minute(0), profile, parent).expect("room");
    }
    fleet
}

impl<'a, M: Forecaster> Controlled<'a, M> {
    fn new(trace: &'a Trace, forecaster: M, ahead: Duration, report: Report) -> Self {
        let config = PoolConfig {
            rule: Rule::Newsvendor(Prices::ratio(COLD_COST as f32)),
            hysteresis: Hysteresis::NONE,
            capacity_mb: f64::INFINITY,
            most: MOST,
            ahead,
            lateness: Duration::from_secs(2),
        };
        let mut controller = Box::new(PoolController::new(forecaster, config, Minute(0)));
        for function in &trace.functions {
            controller.add_function(function.memory_mb as f32).expect("room");
        }
        Self {
            controller,
            report,
            events: trace.events.iter(),
            arrived: Vec::new(),
            reports: BinaryHeap::new(),
            targets: vec![0; trace.functions.len()],
            history: Vec::new(),
        }
    }

    /// Let the simulator call back when the next minute is to be planned.
    fn sleep(&self, pool: &mut Pool<'_>) {
        pool.wake_at(0, self.controller.poll_timeout().0 as f64 / 1e3);
    }
}

impl<M: Forecaster> Policy for Controlled<'_, M> {
    /// From the start of the trace: the controller has to see what it forecasts from.
    fn warm_up_s(&self) -> f64 {
        f64::INFINITY
    }

    fn begin(&mut self, pool: &mut Pool<'_>) {
        self.sleep(pool);
    }

    fn arrival(&mut self, function: usize, cold: bool, pool: &mut Pool<'_>) {
        let event = self.events.next().expect("the simulator knows no other arrivals");
        assert_eq!(event.function as usize, function);
        let init_s = if cold { pool.functions()[function].cold_start_s } else { 0.0 };
        let activation = Activation {
            function: FunctionId(event.function),
            id: ActivationId(self.arrived.len() as u64),
            start: Timestamp((event.start_s * 1e3) as u64),
            duration: Duration::from_secs_f64(init_s + event.duration_s),
            wait: Duration::ZERO,
            init: Duration::from_secs_f64(init_s),
        };
        let reported = match self.report {
            Report::AtItsStart => activation.start,
            Report::AtItsEnd => activation.end(),
        };
        self.reports.push(Reverse((reported, self.arrived.len())));
        self.arrived.push(activation);
    }

    fn woke(&mut self, _: usize, pool: &mut Pool<'_>) {
        let now = Timestamp((pool.now_s() * 1e3).round() as u64);
        while let Some(&Reverse((reported, index))) = self.reports.peek()
            && reported <= now
        {
            self.reports.pop();
            // One that started before the first open minute is counted in part, or not at all when it is too late.
            let _ = self.controller.handle_activation(&self.arrived[index]);
        }
        self.controller.handle_timeout(now, &mut SplitMix64(1)).expect("it was due");
        while let Some(target) = self.controller.poll_target() {
            assert_eq!(target.minute.0 as usize, self.history.len() + 1);
            self.targets[target.function.0 as usize] = target.containers;
        }
        self.history.push(self.targets.clone());
        for (function, &target) in self.targets.iter().enumerate() {
            pool.evict_surplus(function, target);
            while pool.alive(function) < target {
                pool.launch(function);
            }
        }
        self.sleep(pool);
    }
}

/// A load of timers, queues and bursts favours forecasts; the margins leave room for another training run.
#[test]
fn fewer_cold_starts_than_keep_alive_at_less_memory() {
    let trace = load();
    let model = trained(&trace);
    let day = Simulation::new(&trace, TRAINED..TRAINED + DAY);
    let cold_and_memory = |outcome: Outcome| (outcome.cold_percent(), outcome.memory_gb_s());
    let mut controlled = Controlled::new(&trace, fleet(&trace, &model), WARM_WITHIN, Report::AtItsEnd);
    let (cold, memory) = cold_and_memory(day.run(&mut controlled));
    // 2.2 % cold in 320 thousand GB s, against 13.7 % in 495 and 9.8 % in 748 thousand.
    for minutes in [5.0, 10.0] {
        let (cold_kept, memory_kept) = cold_and_memory(day.run(&mut KeepAlive::new(60.0 * minutes)));
        let figures = format!(
            "{cold:.1} % cold in {memory:.0} GB s, keep-alive {minutes} min {cold_kept:.1} % in {memory_kept:.0}"
        );
        assert!(cold < 0.5 * cold_kept && memory < 0.8 * memory_kept, "{figures}");
    }
}

/// Told of activations as they start and planning when a minute begins, the controller sees what the trace counts, and
/// plans what a replay plans.
#[test]
fn targets_are_those_of_a_replay() {
    let trace = load();
    let model = trained(&trace);
    let mut controlled = Controlled::new(&trace, fleet(&trace, &model), Duration::ZERO, Report::AtItsStart);
    Simulation::new(&trace, TRAINED..TRAINED + DAY).run(&mut controlled);

    let series = Series::of(&trace);
    let parents = series.iter().map(|series| series.parent).collect();
    let mut forecaster = LightForecaster::new(model.clone(), parents).expect("a light model");
    forecaster.replay(&series, TRAINED);
    let plans = policies::plans(COLD_COST, 256.0);
    let plan = plans.last().expect("the plan for the price");
    let planned = &controlled.history[TRAINED - 1..];
    assert_eq!(planned.len(), DAY);
    for (minute, targets) in (TRAINED..).zip(planned) {
        let forecasts = forecaster.forecast();
        let of_replay = forecasts.iter().zip(&trace.functions);
        let of_replay: Vec<u32> = of_replay.map(|(f, g)| plan.containers(f, g.memory_mb, MOST)).collect();
        assert_eq!(targets, &of_replay, "minute {minute}");
        let observed = |function: usize| Observation {
            count: trace.counts[function][minute],
            peak: trace.peaks[function][minute],
        };
        forecaster.observe(&(0..FUNCTIONS.len()).map(observed).collect::<Vec<_>>());
    }
    assert!(planned.iter().flatten().any(|&target| target > 5), "there is something to compare");
}

/// The peak of `PERIOD` minutes before, for certain.
struct Periodic(Vec<u32>);

const PERIOD: usize = 10;

impl Forecaster for Periodic {
    fn observe(&mut self, _: FunctionId, window: &Window) {
        self.0.push(window.peak);
    }

    fn forecast<R: Rng + ?Sized>(&mut self, id: FunctionId, so_far: &impl SoFar, _: &mut R) -> Forecast {
        let peaks: Vec<u32> = self.0.iter().copied().chain(so_far.of(id).map(|window| window.peak)).collect();
        let peak = peaks.len().checked_sub(PERIOD).map_or(0.0, |at| peaks[at] as f32);
        Forecast { mean: peak, quantiles: [peak; LEVELS.len()], epistemic: 0.0 }
    }
}

/// A container takes 2 s to get warm: one asked for when the minute begins is late for what runs at second 0.
#[test]
fn what_runs_at_second_0_is_warm_when_planned_ahead() {
    let cron = Function {
        name: "cron".into(),
        trigger: "timer".into(),
        workflow: None,
        parent: None,
        cold_start_s: 2.0,
        memory_mb: 256.0,
        mean_duration_s: 1.0,
        concurrency: 1,
    };
    let run = |minute: usize| Event { function: 0, start_s: 60.0 * minute as f64, duration_s: 1.0 };
    let events = (0..2 * DAY).step_by(PERIOD).map(run).collect();
    let mut trace = Trace { functions: vec![cron], events, ..Trace::default() };
    trace.extend_to(2 * DAY);
    trace.measure_events();
    let day = Simulation::new(&trace, DAY..2 * DAY);
    for (ahead, cold) in [(WARM_WITHIN, 0), (Duration::ZERO, DAY / PERIOD)] {
        let mut controlled = Controlled::new(&trace, Periodic(Vec::new()), ahead, Report::AtItsEnd);
        let outcome = day.run(&mut controlled).functions[0];
        let runs = (DAY / PERIOD) as u64;
        assert_eq!((outcome.invocations, outcome.cold_starts), (runs, cold as u64), "{ahead:?} ahead");
    }
}

//! Any operations on a pool's controller, with a forecaster that says anything: memory is never overspent, what is busy
//! stays, and only what changed is told.

use crate::input::{Operations, read};
use crate::number::Number;
use aquatope_core::activation::{Activation, ActivationId, FunctionId};
use aquatope_core::forecast::{Forecast, LEVELS};
use aquatope_core::pool::{
    Fit, Forecaster, Hysteresis, PROVISIONAL, PoolConfig, PoolController, PoolError, Prices, Rule, SoFar,
    Upstream,
};
use aquatope_core::random::SplitMix64;
use aquatope_core::time::{Minute, Timestamp};
use aquatope_core::window::Window;
use arbitrary::Arbitrary;
use core::cell::RefCell;
use core::time::Duration;
use rand_core::Rng;

const F: usize = 6;

#[derive(Arbitrary, Debug)]
struct Setup {
    first: u32,
    ahead_ms: u16,
    lateness_ms: u32,
    rule: RuleSetup,
    patience: u8,
    step: Option<u8>,
    capacity_mb: Option<Number>,
    most: u16,
    memory_mb: [Number; 3],
}

#[derive(Arbitrary, Debug)]
enum RuleSetup {
    Newsvendor(Number, Number, Number),
    Ratio(u8),
    Deviations(Number),
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Function(Number),
    Edge(u8, u8, Number, Number),
    Activation {
        function: u8,
        id: u8,
        ms: u32,
        duration_ms: u32,
        wait_ms: u16,
        init_ms: u16,
    },
    Busy(u8, u8),
    /// What will be forecast of a function: rising from here by these steps.
    Expect(u8, Number, [u8; LEVELS.len()]),
    /// The same, in any order.
    Strange(u8, Number, [Number; 3]),
    Due,
    /// So long after the next time-out, ms; or at any time.
    Later(u32),
    At(u64),
}

/// Forecasts what it was told to, and checks the order of what it is told.
struct Told<'a> {
    forecasts: &'a RefCell<[Forecast; F]>,
    last: [Option<Minute>; F],
}

impl Forecaster for Told<'_> {
    fn observe(&mut self, function: FunctionId, window: &Window) {
        let last = &mut self.last[function.0 as usize];
        assert!(*last < Some(window.minute), "a minute is told twice");
        *last = Some(window.minute);
    }

    fn forecast<R: Rng + ?Sized>(
        &mut self,
        function: FunctionId,
        so_far: &impl SoFar,
        _: &mut R,
    ) -> Forecast {
        for (id, mut last) in (0..).map(FunctionId).zip(self.last) {
            let mut provisional = 0;
            for window in so_far.of(id) {
                assert!(
                    last.is_none_or(|last| last.0 + 1 == window.minute.0),
                    "a minute is left out or told again"
                );
                last = Some(window.minute);
                provisional += 1;
            }
            assert!(provisional <= PROVISIONAL, "{provisional}");
        }
        self.forecasts.borrow()[function.0 as usize]
    }
}

/// What the test knows of a function.
#[derive(Clone, Copy)]
struct Known {
    memory_mb: f32,
    busy: u32,
    target: u32,
}

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Some((setup, Operations(operations))) = read::<(Setup, Operations<Operation>)>(bytes) else { return };
    let single = |number: Number| number.get() as f32;
    let rule = match setup.rule {
        RuleSetup::Newsvendor(cold, first, idle) => Rule::Newsvendor(Prices {
            cold_start: single(cold),
            first_cold_start: single(first),
            idle_gb_minute: single(idle),
        }),
        RuleSetup::Ratio(ratio) => Rule::Newsvendor(Prices::ratio(f32::from(ratio))),
        RuleSetup::Deviations(k) => Rule::MeanPlusDeviations { k: single(k) },
    };
    let config = PoolConfig {
        rule,
        hysteresis: Hysteresis {
            patience: u16::from(setup.patience % 8),
            step: setup.step.map_or(u32::MAX, u32::from),
        },
        capacity_mb: setup.capacity_mb.map_or(f64::INFINITY, Number::get),
        most: u32::from(setup.most),
        ahead: Duration::from_millis(u64::from(setup.ahead_ms)),
        // Half an hour at most, which is beyond the limit.
        lateness: Duration::from_millis(u64::from(setup.lateness_ms % 1_800_000)),
    };
    let forecasts = RefCell::new([Forecast::default(); F]);
    let told = Told { forecasts: &forecasts, last: [None; F] };
    let mut pool = Box::new(PoolController::new(told, config, Minute(setup.first)));
    let mut known: Vec<Known> = Vec::new();
    let functions = setup.memory_mb.map(Operation::Function);
    let mut rng = SplitMix64(1);
    for operation in functions.into_iter().chain(operations) {
        let of = |function: u8| FunctionId(u32::from(function % 8));
        match operation {
            Operation::Function(memory_mb) => {
                let memory_mb = single(memory_mb);
                let added = pool.add_function(memory_mb);
                assert_eq!(added.is_ok(), known.len() < F);
                if added.is_ok() {
                    known.push(Known { memory_mb, busy: 0, target: 0 });
                }
            }
            Operation::Edge(from, to, fan_out, delay_s) => {
                let edge = Upstream { fan_out: single(fan_out), delay_s: single(delay_s) };
                let (from, to) = (of(from), of(to));
                let added = pool.add_edge(from, to, edge);
                assert!(added.is_err() || from < to && (to.0 as usize) < known.len());
            }
            Operation::Activation { function, id, ms, duration_ms, wait_ms, init_ms } => {
                let activation = Activation {
                    function: of(function),
                    id: ActivationId(u64::from(id)),
                    start: Timestamp(
                        pool.poll_timeout().0.saturating_sub(180_000).saturating_add(u64::from(ms >> 14)),
                    ),
                    duration: Duration::from_millis(u64::from(duration_ms >> 8)),
                    wait: Duration::from_millis(u64::from(wait_ms)),
                    init: Duration::from_millis(u64::from(init_ms)),
                };
                let unknown =
                    pool.handle_activation(&activation) == Err(PoolError::UnknownFunction(of(function)));
                assert_eq!(unknown, of(function).0 as usize >= known.len());
            }
            Operation::Busy(function, busy) => {
                let taken = pool.handle_busy(of(function), u32::from(busy));
                match known.get_mut(of(function).0 as usize) {
                    Some(known) => known.busy = u32::from(busy),
                    None => assert!(taken.is_err()),
                }
            }
            Operation::Expect(function, mean, steps) => {
                let mut level = 0.0;
                let quantiles = steps.map(|step| {
                    level += f32::from(step) / 16.0;
                    level
                });
                let forecast = Forecast { mean: single(mean), quantiles, epistemic: 0.0 };
                forecasts.borrow_mut()[usize::from(function) % F] = forecast;
            }
            Operation::Strange(function, mean, numbers) => {
                let quantiles = core::array::from_fn(|at| single(numbers[at % 3]));
                let epistemic = single(numbers[0]);
                let forecast = Forecast { mean: single(mean), quantiles, epistemic };
                forecasts.borrow_mut()[usize::from(function) % F] = forecast;
            }
            Operation::Due => {
                let now = pool.poll_timeout();
                tick(&mut pool, now, &config, &mut known, &mut rng);
            }
            Operation::Later(ms) => {
                // Mostly minutes, at times days.
                let ms = if ms % 8 == 0 { ms } else { ms >> 12 };
                let now = Timestamp(pool.poll_timeout().0.saturating_add(u64::from(ms)));
                tick(&mut pool, now, &config, &mut known, &mut rng);
            }
            Operation::At(ms) => tick(&mut pool, Timestamp(ms), &config, &mut known, &mut rng),
        }
    }
}

type Pool<'a> = PoolController<Told<'a>, F, 8>;

fn tick(pool: &mut Pool<'_>, now: Timestamp, config: &PoolConfig, known: &mut [Known], rng: &mut SplitMix64) {
    let due = pool.poll_timeout();
    let Some(fit) = pool.handle_timeout(now, rng) else {
        assert!(now < due);
        return;
    };
    assert!(now >= due && pool.poll_timeout() >= due);
    while let Some(target) = pool.poll_target() {
        let known = &mut known[target.function.0 as usize];
        assert_ne!(known.target, target.containers, "told without a change");
        known.target = target.containers;
    }
    assert_eq!(pool.poll_target(), None);
    for known in known.iter() {
        assert!(
            known.busy <= known.target && known.target <= known.busy.max(config.most),
            "{} {}",
            known.busy,
            known.target
        );
    }
    check_memory(fit, config.capacity_mb, known);
}

fn check_memory(fit: Fit, capacity_mb: f64, known: &[Known]) {
    let megabytes = |count: fn(&Known) -> u32| -> f64 {
        let sane = |mb: f32| if mb.is_nan() { 0.0 } else { f64::from(mb.clamp(0.0, f32::MAX)) };
        known.iter().map(|known| sane(known.memory_mb) * f64::from(count(known))).sum()
    };
    let (granted_mb, busy_mb) = (megabytes(|known| known.target), megabytes(|known| known.busy));
    assert!((granted_mb - fit.granted_mb).abs() <= 1e-9 * granted_mb, "{granted_mb} {fit:?}");
    assert!(fit.granted_mb <= fit.wanted_mb * (1.0 + 1e-9), "{fit:?}");
    if !capacity_mb.is_nan() {
        assert!(
            granted_mb <= capacity_mb.max(busy_mb) * (1.0 + 1e-9),
            "{granted_mb} of {capacity_mb} MB, {busy_mb} busy"
        );
    }
}

//! Cases worked by hand, and what must hold for any load.

use super::*;
use crate::trace::Function;

/// One function: cold start 2 s, 1,024 MB (so that GB s are container-seconds).
fn function(concurrency: u32) -> Function {
    Function {
        name: "f".into(),
        trigger: String::new(),
        workflow: None,
        parent: None,
        cold_start_s: 2.0,
        memory_mb: 1024.0,
        mean_duration_s: 10.0,
        concurrency,
    }
}

/// `minutes` minutes of one function invoked at `(start_s, duration_s)`.
fn trace(minutes: usize, concurrency: u32, invocations: &[(f64, f64)]) -> Trace {
    let mut trace = Trace { functions: vec![function(concurrency)], ..Trace::default() };
    trace.events =
        invocations.iter().map(|&(start_s, duration_s)| Event { function: 0, start_s, duration_s }).collect();
    trace.extend_to(minutes);
    trace.measure_events();
    trace
}

/// Nothing is ever evicted or pre-warmed.
struct Never;

impl Policy for Never {}

#[test]
fn a_keep_alive_evicts_after_its_time_and_restarts_at_every_use() {
    // Cold at 10: busy 10..22 (2 s start, 10 s work); idle until reused at 50 (within 30 s): busy 50..60, idle
    // 60..90, evicted; 100 is cold again: busy 100..112, idle to the end at 120.
    let trace = trace(2, 1, &[(10.0, 10.0), (50.0, 10.0), (100.0, 10.0)]);
    let outcome = Simulation::new(&trace, 0..2).run(&mut KeepAlive::new(30.0));
    let expected = FunctionOutcome {
        invocations: 3,
        cold_starts: 2,
        launches: 2,
        alive_s: (90.0 - 10.0) + (120.0 - 100.0),
        busy_s: 30.0,
        memory_mb: 1024.0,
    };
    assert_eq!(outcome.functions, [expected]);
    assert_eq!(outcome.memory_gb_s(), 100.0);
}

#[test]
fn an_arrival_takes_the_most_recently_idled_container() {
    // Two overlapping cold starts, idle at 12 (first) and 15 (second). The arrival at 20 takes the second, so with
    // a keep-alive of 10 s the first goes at 22 and the second lives to 31 + 10.
    let trace = trace(1, 1, &[(0.0, 10.0), (3.0, 10.0), (20.0, 11.0)]);
    let outcome = Simulation::new(&trace, 0..1).run(&mut KeepAlive::new(10.0));
    assert_eq!(outcome.functions[0].cold_starts, 2);
    assert_eq!(outcome.functions[0].alive_s, (22.0 - 0.0) + (41.0 - 3.0));
}

#[test]
fn targets_launch_at_the_boundary_and_are_usable_after_the_cold_start_time() {
    // Two containers for minute 1, launched at 60, usable at 62: the arrival at 61 is cold (a third container),
    // those at 63 and 64 are warm. At 120 the target is 1: of three idle containers two are evicted.
    let trace = trace(3, 1, &[(61.0, 1.0), (63.0, 5.0), (64.0, 5.0)]);
    let targets = [vec![0, 2, 1]];
    let outcome = Simulation::new(&trace, 0..3).record_provisioned().run(&mut Targets::new(0, &targets));
    assert_eq!(outcome.functions[0].cold_starts, 1);
    assert_eq!(outcome.functions[0].launches, 3);
    assert_eq!(outcome.functions[0].alive_s, 2.0 * 60.0 + 59.0 + 60.0);
    assert_eq!(outcome.provisioned, [vec![0, 2, 1]]);
}

#[test]
fn the_oracle_keeps_exactly_the_peak_of_every_minute() {
    let trace = trace(3, 1, &[(5.0, 70.0), (10.0, 3.0), (70.0, 4.0), (130.0, 1.0)]);
    assert_eq!(trace.peaks[0], [2, 2, 1]);
    let outcome =
        Simulation::new(&trace, 0..3).run(&mut Targets::new(0, &trace.peaks.clone()).ready_at_once());
    assert_eq!(outcome.cold_percent(), 0.0);
    assert_eq!(outcome.memory_gb_s(), 60.0 * (2.0 + 2.0 + 1.0));
}

#[test]
fn busy_containers_outlive_a_lower_target() {
    // At 60 the target is 0: the first container is busy until 70 and stays, the second has been idle for 55 s.
    let trace = trace(2, 1, &[(0.0, 68.0), (1.0, 2.0)]);
    let targets = [vec![0, 0]];
    let outcome = Simulation::new(&trace, 0..2).run(&mut Targets::new(0, &targets));
    assert_eq!(outcome.functions[0].alive_s, 120.0 + 59.0);
}

#[test]
fn concurrent_invocations_share_a_container_once_it_is_warm() {
    // Concurrency 2. Cold at 0, warm at 2; the arrival at 1 cannot share it yet: a second cold start, warm at 3.
    // At 4 and 5 both have a free slot; a third at 6 finds none.
    let trace = trace(1, 2, &[(0.0, 20.0), (1.0, 20.0), (4.0, 2.0), (5.0, 2.0), (5.5, 1.0), (7.0, 1.0)]);
    let outcome = Simulation::new(&trace, 0..1).run(&mut Never);
    assert_eq!(outcome.functions[0].cold_starts, 3);
    assert_eq!(outcome.functions[0].alive_s, 60.0 + 59.0 + 54.5);
}

#[test]
fn only_the_scored_minutes_count_but_the_pool_is_warm_before_them() {
    let trace = trace(3, 1, &[(0.0, 5.0), (70.0, 5.0)]);
    let outcome = Simulation::new(&trace, 1..2).run(&mut Never);
    let expected = FunctionOutcome {
        invocations: 1,
        cold_starts: 0,
        launches: 0,
        alive_s: 60.0,
        busy_s: 5.0,
        memory_mb: 1024.0,
    };
    assert_eq!(outcome.functions, [expected]);
}

/// Pre-warms one container 30 s after every finish, by a wake-up.
struct Prewarm;

impl Policy for Prewarm {
    fn finished(&mut self, function: usize, pool: &mut Pool<'_>) {
        pool.evict_oldest(function);
        pool.wake_at(function, pool.now_s() + 30.0);
    }

    fn woke(&mut self, function: usize, pool: &mut Pool<'_>) {
        pool.launch(function);
    }
}

#[test]
fn wake_ups_prewarm_and_a_later_one_replaces_the_earlier() {
    // Cold 0..12 and 5..17, both evicted when done; the wake-up of 42 is replaced by 47: ready at 49, so 50 is warm.
    let trace = trace(1, 1, &[(0.0, 10.0), (5.0, 10.0), (50.0, 1.0)]);
    let outcome = Simulation::new(&trace, 0..1).run(&mut Prewarm);
    assert_eq!(outcome.functions[0].cold_starts, 2);
    assert_eq!(outcome.functions[0].launches, 3);
    assert_eq!(outcome.functions[0].alive_s, 12.0 + 12.0 + (51.0 - 47.0));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// Up to 60 invocations over ten minutes.
    fn invocations() -> impl Strategy<Value = Vec<(f64, f64)>> {
        let sorted = |mut all: Vec<(f64, f64)>| {
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            all
        };
        prop::collection::vec((0.0..600.0f64, 0.0..90.0f64), 0..60).prop_map(sorted)
    }

    /// What holds for any policy over the whole trace.
    fn check(trace: &Trace, outcome: &Outcome) -> Result<(), TestCaseError> {
        let function = outcome.functions[0];
        let until_s = trace.minutes as f64 * MINUTE_S;
        prop_assert_eq!(function.invocations, trace.events.len() as u64, "invocations in = out");
        prop_assert!(function.cold_starts <= function.invocations);
        prop_assert!(function.launches >= function.cold_starts);
        let concurrency = f64::from(trace.functions[0].concurrency);
        let busy_s: f64 = trace.events.iter().map(|e| e.duration_s.min(until_s - e.start_s)).sum();
        prop_assert!(function.alive_s * concurrency >= busy_s - 1e-6, "memory covers what is busy");
        prop_assert!(function.alive_s <= function.launches as f64 * until_s + 1e-6);
        Ok(())
    }

    proptest! {
        #[test]
        fn a_keep_alive_conserves_invocations(
            load in invocations(), keep_s in 0.0..300.0f64, concurrency in 1..4u32
        ) {
            let trace = trace(10, concurrency, &load);
            let outcome = Simulation::new(&trace, 0..10).run(&mut KeepAlive::new(keep_s));
            check(&trace, &outcome)?;
            prop_assert_eq!(&outcome, &Simulation::new(&trace, 0..10).run(&mut KeepAlive::new(keep_s)));
        }

        #[test]
        fn targets_conserve_invocations(
            load in invocations(),
            targets in prop::collection::vec(0..6u32, 10),
            concurrency in 1..4u32,
        ) {
            let trace = trace(10, concurrency, &load);
            let targets = [targets];
            let policy = || Targets::new(0, &targets);
            let outcome = Simulation::new(&trace, 0..10).record_provisioned().run(&mut policy());
            check(&trace, &outcome)?;
            for (alive, target) in outcome.provisioned[0].iter().zip(&targets[0]) {
                prop_assert!(alive >= target, "the boundary launches what is missing");
            }
        }

        #[test]
        fn parts_of_a_trace_add_up(load in invocations(), keep_s in 0.0..300.0f64, cut in 1..9usize) {
            let trace = trace(10, 1, &load);
            let of = |minutes| Simulation::new(&trace, minutes).run(&mut KeepAlive::new(keep_s)).functions[0];
            let (whole, before, after) = (of(0..10), of(0..cut), of(cut..10));
            prop_assert_eq!(whole.cold_starts, before.cold_starts + after.cold_starts);
            prop_assert!((whole.alive_s - before.alive_s - after.alive_s).abs() < 1e-6);
        }
    }
}

#[test]
fn what_is_launched_ahead_is_warm_when_its_minute_begins() {
    // A cron job: half a second into every second minute, 1 s long.
    let trace = trace(6, 1, &[(60.5, 1.0), (180.5, 1.0), (300.5, 1.0)]);
    let targets = vec![vec![0, 1, 0, 1, 0, 1]];
    let simulation = Simulation::new(&trace, 0..6);
    let at_the_minute = simulation.run(&mut Targets::new(0, &targets));
    assert_eq!(
        at_the_minute.functions[0].cold_starts, 3,
        "the container launched with the minute is not ready"
    );
    let ahead = simulation.run(&mut Targets::new(0, &targets).ahead());
    // Alive from 2 s before each minute to its end, where the next target is 0.
    let outcome = &ahead.functions[0];
    assert_eq!((outcome.cold_starts, outcome.launches, outcome.alive_s), (0, 3, 3.0 * 62.0));
}

#[test]
fn a_cold_start_longer_than_a_minute_is_launched_as_early_as_can_be() {
    let mut trace = trace(3, 1, &[(125.0, 1.0)]);
    trace.functions[0].cold_start_s = 64.0;
    let targets = vec![vec![0, 0, 1]];
    let outcome = Simulation::new(&trace, 0..3).run(&mut Targets::new(0, &targets).ahead());
    assert_eq!(outcome.functions[0].cold_starts, 0, "launched at 60, ready at 124");
}

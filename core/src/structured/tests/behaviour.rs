//! Whole studies of a workflow that changes, and of one that does not.

use super::*;

/// Total deviation of ln duration, half of its variance common to all functions, and share of slowed invocations.
type Scenario = (f64, f64);

/// The trial before which the behaviour changes.
const CHANGE_AT: usize = 40;

struct Run {
    /// Trials told when a change was first seen.
    noticed: Option<usize>,
    /// Trials told when a recommendation after the change first met the QoS within 15 % of the least cost.
    converged: Option<usize>,
}

/// Trials in batches of three, with `work` times as long durations after the change.
fn run((noise, outliers): Scenario, work: [f64; F], trials: usize, seed: u64) -> Run {
    let deviation = noise * float::sqrt(0.5);
    let mut world = World::new(deviation, deviation, false);
    world.rng = SplitMix64(1000 + seed);
    let invoke = |world: &mut World, point: &Point<D>| {
        let disturbed = uniform(&mut world.rng) < outliers;
        let slow = if disturbed { 1.5 + 2.5 * uniform(&mut world.rng) } else { 1.0 };
        world.invoke(point, slow)
    };
    let top = world.top();
    let profile: StdVec<_> = (0..50).map(|_| invoke(&mut world, &top)).collect();
    assert!(world.model.learn_baseline(&world.space, &top, &profile));
    let (mut study, mut scratch, mut rng) = (world.study(seed), scratch(), SplitMix64(seed));
    let mut run = Run { noticed: None, converged: None };
    for told in (3..=trials).step_by(3) {
        if told > CHANGE_AT {
            world.work = work;
        }
        for id in study.ask(3, &mut rng, &mut scratch).unwrap() {
            let point = study.trial(id).unwrap().point.clone();
            study.tell(id, invoke(&mut world, &point)).unwrap();
        }
        assert_eq!(study.model().status(&study.evidence(), &mut scratch), Status::Structured);
        let seen = study.window_start() > TrialId(0) || scratch.observations.changed_at != [0; F];
        run.noticed = run.noticed.or(seen.then_some(told));
        if told > CHANGE_AT && run.converged.is_none() {
            let mean = float::exp(deviation * deviation);
            let best = study.recommendation(&mut scratch).unwrap();
            let outcome = world.outcome(&best.point, &world.durations(&best.point).map(|d| d * mean));
            let close = outcome.cost() <= 1.15 * mean * world.optimum(3.0 / mean);
            run.converged = (outcome.latency() <= 3.0 && close).then_some(told);
        }
    }
    run
}

#[test]
fn no_change_is_seen_where_there_is_none() {
    for scenario in [(0.05, 0.0), (0.2, 0.1), (0.4, 0.25)] {
        for seed in 0..5 {
            let run = run(scenario, [1.0; F], 70, seed);
            assert_eq!(run.noticed, None, "{scenario:?}, seed {seed}");
        }
    }
}

#[test]
fn a_change_is_noticed_and_answered_within_twenty_trials() {
    for work in [[1.6; F], [1.0, 2.0, 1.0]] {
        for (scenario, within) in [((0.05, 0.0), 8), ((0.2, 0.1), 20)] {
            for seed in 0..4 {
                let Run { noticed, converged } = run(scenario, work, CHANGE_AT + 20, seed);
                let name = std::format!("{work:?}, {scenario:?}, seed {seed}: {noticed:?}, {converged:?}");
                assert!(noticed.is_some_and(|t| t > CHANGE_AT && t <= CHANGE_AT + within), "{name}");
                assert!(converged.is_some_and(|t| t <= CHANGE_AT + 20), "{name}");
            }
        }
    }
}

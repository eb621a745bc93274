use aquatope_core::anomaly::{AnomalyTest, Verdict};
use aquatope_core::bo::acquisition::Improvement;
use aquatope_core::bo::acquisition::maximise::Search;
use aquatope_core::bo::blackbox::{BlackBox, BlackBoxConfig};
use aquatope_core::bo::model::{Objective, Posterior};
use aquatope_core::bo::profile::Profile;
use aquatope_core::bo::snapshot::TaskPart;
use aquatope_core::bo::space::{Axis, Point, SearchSpace};
use aquatope_core::bo::study::{AskError, ConfigError, PosteriorError, Study, StudyConfig};
use aquatope_core::bo::surrogates::{Sampling, Surrogates};
use aquatope_core::bo::trial::{Outcome, TrialId};
use aquatope_core::checksum::crc32;
use aquatope_core::gp::{Noise, Prior};
use aquatope_core::random::{SplitMix64, standard_normal, uniform};
use aquatope_core::snapshot::SnapshotError;
use heapless::Vec;

const D: usize = 4;
const N: usize = 48;
const S: usize = 32;

type Paper = Study<BlackBox<D, N, S>, D, N, 2>;

/// CPU 0.1..4.0 and memory 1..8 of one function, and an axis that cannot move.
fn space() -> SearchSpace<D> {
    let cpu = Axis::new(0.1, 4.0, 0.1).unwrap().log_scaled().unwrap();
    let memory = Axis::new(1.0, 8.0, 1.0).unwrap().log_scaled().unwrap();
    SearchSpace::new(&[cpu, memory, Axis::fixed(2.0).unwrap()]).unwrap()
}

/// Latency falls with CPU and memory, cost is price times latency: (cost, latency).
fn truth(cpu: f64, memory: f64) -> (f64, f64) {
    let latency = 1.0 / cpu + 2.0 / memory + 0.2;
    ((cpu + 0.3 * memory) * latency, latency)
}

fn study(latency_limit: f64, config: BlackBoxConfig) -> Box<Paper> {
    let objective = Objective { latency_limit, confidence: 0.9 };
    let config_of_study = StudyConfig { objective, initial: 8, seed: 3 };
    Box::new(Study::new(space(), config_of_study, BlackBox::new(config)).unwrap())
}

fn scratch() -> Box<Surrogates<N, D, S>> {
    Box::new(Surrogates::new())
}

fn config(improvement: Improvement, joint: bool) -> BlackBoxConfig {
    let search = Search { raw: 64, restarts: 6, evaluations: 100 };
    let sampling = Sampling { improvement, samples: 32, search, joint };
    BlackBoxConfig { sampling, anomalies: Some(AnomalyTest::default()), ..BlackBoxConfig::default() }
}

/// Evaluates a trial with 2 % noise.
fn evaluate(study: &mut Paper, id: TrialId, rng: &mut SplitMix64) {
    evaluate_slowed(study, id, 1.0, rng);
}

/// Evaluates a trial with 2 % noise, everything taking `slowdown` times as long.
fn evaluate_slowed(study: &mut Paper, id: TrialId, slowdown: f64, rng: &mut SplitMix64) {
    let (cost, latency) = truth_at(study, &study.trial(id).unwrap().point);
    let factor = (0.02 * standard_normal(rng)).exp() * slowdown;
    study.tell(id, Outcome::new(cost * factor, latency * factor).unwrap()).unwrap();
}

fn truth_at(study: &Paper, point: &Point<D>) -> (f64, f64) {
    let values: Vec<f64, D> = study.space().values(point).collect();
    truth(values[0], values[1])
}

/// The least cost on the grid under a limit.
fn least_cost(limit: f64) -> f64 {
    let grid = (1..=40).flat_map(|i| (1..=8).map(move |m| truth(f64::from(i) * 0.1, f64::from(m))));
    grid.filter(|&(_, latency)| latency <= limit).map(|(cost, _)| cost).fold(f64::INFINITY, f64::min)
}

/// Runs a study for `steps` batches of 3 and returns the true cost and latency of its recommendation.
fn run(limit: f64, config: BlackBoxConfig, steps: usize) -> (f64, f64, bool) {
    let (mut study, mut scratch, mut rng) = (study(limit, config), scratch(), SplitMix64(11));
    for id in study.ask(8, &mut rng, &mut scratch).unwrap() {
        evaluate(&mut study, id, &mut rng);
    }
    for _ in 0..steps {
        for id in study.ask(3, &mut rng, &mut scratch).unwrap() {
            evaluate(&mut study, id, &mut rng);
        }
    }
    let recommendation = study.recommendation(&mut scratch).unwrap();
    let (cost, latency) = truth_at(&study, &recommendation.point);
    (cost, latency, recommendation.qualified)
}

#[test]
fn every_sampler_comes_close_to_the_optimum() {
    for improvement in [Improvement::LogNei, Improvement::Nei] {
        for joint in [true, false] {
            for limit in [0.9, 1.6] {
                let (cost, latency, qualified) = run(limit, config(improvement, joint), 8);
                let what =
                    format!("{improvement:?} joint {joint} limit {limit}: cost {cost} latency {latency}");
                assert!(qualified && latency <= 1.01 * limit, "{what}");
                assert!(cost <= 1.1 * least_cost(limit), "{what}, optimum {}", least_cost(limit));
            }
        }
    }
}

/// Everything meets the limit: the cheapest configuration of all is wanted.
#[test]
fn all_feasible() {
    let (cost, _, qualified) = run(1e3, config(Improvement::LogNei, true), 8);
    assert!(qualified && cost <= 1.1 * least_cost(1e3), "{cost}");
}

/// Nothing meets the limit: the recommendation is not qualified and near the fastest configuration.
#[test]
fn nothing_feasible() {
    let (_, latency, qualified) = run(0.5, config(Improvement::LogNei, true), 8);
    let fastest = truth(4.0, 8.0).1;
    assert!(!qualified && latency <= 1.1 * fastest, "{latency}, fastest {fastest}");
}

/// At a measured configuration the posterior is that of the recommendation; anywhere it is near the truth.
#[test]
fn the_posterior_agrees_with_the_recommendation_and_the_truth() {
    let (mut study, mut scratch, mut rng) =
        (study(1.6, config(Improvement::LogNei, true)), scratch(), SplitMix64(11));
    for _ in 0..3 {
        for id in study.ask(8, &mut rng, &mut scratch).unwrap() {
            evaluate(&mut study, id, &mut rng);
        }
    }
    let best = study.recommendation(&mut scratch).unwrap();
    let before = study.clone();
    let points = [best.point.clone(), study.space().point(&[20, 4, 0]).unwrap()];
    let mut posteriors = [Posterior::default(); 2];
    study.posterior(&points, &mut posteriors, &mut scratch).unwrap();
    assert_eq!((posteriors[0].ln_cost, posteriors[0].ln_latency), (best.ln_cost, best.ln_latency));
    let (cost, latency) = truth_at(&study, &points[1]);
    assert!((posteriors[1].ln_cost.mean - cost.ln()).abs() < 0.1, "{posteriors:?}");
    assert!((posteriors[1].ln_latency.mean - latency.ln()).abs() < 0.1, "{posteriors:?}");
    assert_eq!(study, before);

    let few = study.posterior(&points, &mut posteriors[1..], &mut scratch);
    assert_eq!(few, Err(PosteriorError::Length { points: 2, posteriors: 1 }));
    let foreign = [best.point, SearchSpace::new(&[Axis::fixed(2.0).unwrap()]).unwrap().point(&[0]).unwrap()];
    let foreign = study.posterior(&foreign, &mut posteriors, &mut scratch);
    assert_eq!(foreign, Err(PosteriorError::Point { index: 1 }));
}

/// Restoring a snapshot and asking gives what asking gives; a recommendation in between changes nothing.
#[test]
fn a_restored_study_asks_the_same() {
    let (mut study, mut scratch, mut rng) =
        (study(1.0, config(Improvement::LogNei, true)), scratch(), SplitMix64(1));
    for _ in 0..4 {
        for id in study.ask(3, &mut rng, &mut scratch).unwrap() {
            evaluate(&mut study, id, &mut rng);
        }
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut restored: Box<Paper> = Box::new(Study::restore(study.snapshot(&mut buffer).unwrap()).unwrap());
    assert_eq!(study, restored);
    let recommended = restored.recommendation(&mut scratch).unwrap();
    assert_eq!(study.recommendation(&mut scratch), Ok(recommended));
    let mut rng_of_restored = rng;
    // With trials pending and told out of order.
    for _ in 0..3 {
        let ids = study.ask(2, &mut rng, &mut scratch).unwrap();
        assert_eq!(ids, restored.ask(2, &mut rng_of_restored, &mut Box::new(Surrogates::new())).unwrap());
        let mut noise = [rng, rng];
        evaluate(&mut study, ids[1], &mut noise[0]);
        evaluate(&mut restored, ids[1], &mut noise[1]);
        assert_eq!(study, restored);
    }
}

/// While there is something to gain, no proposal is a configuration that was measured or is pending.
#[test]
fn proposals_are_new_at_first() {
    let (mut study, mut scratch, mut rng) =
        (study(1.0, config(Improvement::LogNei, true)), scratch(), SplitMix64(2));
    for id in study.ask(8, &mut rng, &mut scratch).unwrap() {
        evaluate(&mut study, id, &mut rng);
    }
    for _ in 0..3 {
        for id in study.ask(4, &mut rng, &mut scratch).unwrap() {
            let point = &study.trial(id).unwrap().point;
            assert_eq!(study.trials().iter().filter(|t| t.point == *point).count(), 1, "{point:?}");
            if id.0 % 3 > 0 {
                evaluate(&mut study, id, &mut rng);
            }
        }
    }
}

/// When nothing is left to gain, what will be recommended is measured again instead of what cannot be.
#[test]
fn the_best_is_measured_again_in_the_end() {
    let (mut study, mut scratch, mut rng) =
        (study(1.0, config(Improvement::LogNei, true)), scratch(), SplitMix64(2));
    while study.trials().len() < 44 {
        for id in study.ask(3, &mut rng, &mut scratch).unwrap() {
            evaluate(&mut study, id, &mut rng);
        }
    }
    let measured = |point: &Point<D>| study.trials().iter().filter(|t| t.point == *point).count();
    let best = study.recommendation(&mut scratch).unwrap().point;
    let repeats = study.trials().iter().filter(|t| measured(&t.point) > 1).count();
    assert!(measured(&best) > 1 && repeats >= 4, "{} {repeats}", measured(&best));
}

/// With noise of 10 % and a tenth of the trials slowed threefold, hardly any measured configuration is safe beyond
/// doubt; the baseline is, and so is what is recommended at every step, which becomes cheaper than the baseline.
#[test]
fn recommendations_are_safe_from_the_first_on() {
    let limit = 1.0;
    let (mut unsafe_recommendations, mut saved) = (0, 0.0);
    for seed in 0..4 {
        let (mut study, mut scratch, mut rng) =
            (study(limit, config(Improvement::LogNei, true)), scratch(), SplitMix64(seed));
        let outcome = |study: &Paper, point: &Point<D>, rng: &mut SplitMix64| {
            let (cost, latency) = truth_at(study, point);
            let slow = if uniform(rng) < 0.1 { 3.0 } else { 1.0 };
            let factor = (0.1 * standard_normal(rng)).exp() * slow;
            Outcome::new(cost * factor, latency * factor).unwrap()
        };
        let top = study.space().point(&[39, 7, 0]).unwrap();
        let outcomes: std::vec::Vec<_> = (0..30).map(|_| outcome(&study, &top, &mut rng)).collect();
        study.set_baseline(top.clone(), Profile::measure(&outcomes).unwrap()).unwrap();
        let dear = truth_at(&study, &top).0;
        let mut cost_of_last = dear;
        while study.trials().len() < 32 {
            for id in study.ask(4, &mut rng, &mut scratch).unwrap() {
                let point = study.trial(id).unwrap().point.clone();
                let outcome = outcome(&study, &point, &mut rng);
                study.tell(id, outcome).unwrap();
            }
            let point = study.recommendation(&mut scratch).unwrap().point;
            let (cost, latency) = truth_at(&study, &point);
            unsafe_recommendations += usize::from(latency > limit);
            cost_of_last = cost;
        }
        saved += (1.0 - cost_of_last / dear) / 4.0;
    }
    // The cheapest configuration of all that meet the limit saves 11 %.
    assert!(saved > 0.05, "{saved}");
    assert!(unsafe_recommendations <= 1, "{unsafe_recommendations} of 32");
}

/// Two samples slowed threefold among thirty are found, and nothing else is; screening agrees.
#[test]
fn slow_outliers_are_found_together() {
    let (mut study, mut scratch, mut rng) =
        (study(1.0, config(Improvement::LogNei, true)), scratch(), SplitMix64(5));
    for i in 0..30u16 {
        let point = study.space().point(&[(i * 7) % 40, (i * 3) % 8, 0]).unwrap();
        let (cost, latency) = truth_at(&study, &point);
        let slow = if i == 11 || i == 20 { 3.0 } else { 1.0 };
        let noise = (0.02 * standard_normal(&mut rng)).exp() * slow;
        study.record(point, Outcome::new(cost * noise, latency * noise).unwrap()).unwrap();
    }
    let verdicts = study.verdicts(&mut scratch).unwrap();
    let anomalous: std::vec::Vec<usize> = (0..30).filter(|&i| verdicts[i].is_anomalous()).collect();
    assert_eq!(anomalous, [11, 20], "{verdicts:?}");

    let id = study.ask(1, &mut rng, &mut scratch).unwrap()[0];
    let (cost, latency) = truth_at(&study, &study.trial(id).unwrap().point);
    let mut screen = |factor: f64| {
        let outcome = Outcome::new(cost * factor, latency * factor).unwrap();
        study.screen(id, &outcome, &mut scratch).unwrap()
    };
    assert!(screen(4.0).is_anomalous());
    assert!(matches!(screen(1.0), Verdict::Consistent { .. }));
}

/// Everything takes 1.6 times as long from one trial on, so that what was best misses the limit: the study leaves the
/// trials before it behind and comes close to the new optimum.
#[test]
fn a_study_converges_again_after_a_change_of_behaviour() {
    let (limit, slowdown) = (1.6, 1.6);
    let (mut study, mut scratch, mut rng) =
        (study(limit, config(Improvement::LogNei, true)), scratch(), SplitMix64(11));
    let mut search = |study: &mut Paper, scratch: &mut Surrogates<N, D, S>, slowdown: f64, batches: usize| {
        for _ in 0..batches {
            for id in study.ask(3, &mut rng, scratch).unwrap() {
                evaluate_slowed(study, id, slowdown, &mut rng);
            }
        }
        truth_at(study, &study.recommendation(scratch).unwrap().point)
    };
    let (cost, latency) = search(&mut study, &mut scratch, 1.0, 9);
    assert!(latency <= 1.01 * limit && cost <= 1.1 * least_cost(limit), "{cost} {latency}");
    assert!(latency * slowdown > 1.2 * limit, "what was best misses the limit");
    let first_slow = study.trials().len() as u32;
    assert_eq!(study.window_start(), TrialId(0));

    let (cost, latency) = search(&mut study, &mut scratch, slowdown, 10);
    assert_eq!(study.window_start(), TrialId(first_slow));
    let optimum = least_cost(limit / slowdown);
    assert!(
        latency * slowdown <= 1.01 * limit && cost <= 1.1 * optimum,
        "{cost} {latency}, optimum {optimum}"
    );
}

/// A snapshot goes on only in a study of the same task, with the paths and joint candidates that its answers depend on;
/// room for more trials changes nothing.
#[test]
fn a_snapshot_of_another_task_is_refused() {
    let usual = config(Improvement::LogNei, true);
    let mut buffer = vec![0; 64 * 1024];
    let bytes = study(1.0, usual).snapshot(&mut buffer).unwrap();
    let part = |mut other: Box<Paper>| other.resume(bytes).err();
    let other_part = |part| Some(SnapshotError::OtherTask(part));
    assert_eq!(part(study(1.0, usual)), None);
    assert_eq!(part(study(1.1, usual)), other_part(TaskPart::Objective));
    let mut harder = usual;
    harder.sampling.search.raw += 1;
    assert_eq!(part(study(1.0, harder)), other_part(TaskPart::Model));
    let made = study(1.0, usual);
    let with = |space, config| Box::new(Study::new(space, config, made.model().clone()).unwrap());
    let more_quasi_random = StudyConfig { initial: 9, ..*made.config() };
    assert_eq!(part(with(space(), more_quasi_random)), other_part(TaskPart::Design));
    let one_axis = SearchSpace::new(&[Axis::fixed(2.0).unwrap()]).unwrap();
    assert_eq!(part(with(one_axis, *made.config())), other_part(TaskPart::Space));

    assert!(Study::<BlackBox<D, 64, S>, D, 64, 2>::restore(bytes).is_ok());
    assert_eq!(Study::<BlackBox<D, N, S, 1>, D, N, 2>::restore(bytes).err(), Some(SnapshotError::Body));
    assert_eq!(Study::<BlackBox<D, N, 8>, D, N, 2>::restore(bytes).err(), Some(SnapshotError::Body));
    assert_eq!(Study::<BlackBox<D, 16, S>, D, N, 2>::restore(bytes).err(), Some(SnapshotError::Body));
}

#[test]
fn numbers_that_no_measurement_gives_are_refused() {
    let mut study = study(1.0, config(Improvement::LogNei, true));
    let point = study.space().point(&[9, 3, 0]).unwrap();
    let measured = Profile::measure(&vec![Outcome::new(3.0, 1.0).unwrap(); 5]).unwrap();
    study.set_baseline(point.clone(), measured.clone()).unwrap();
    for deviation in [f64::NAN, f64::INFINITY, 0.0] {
        let mut profile = measured.clone();
        profile.cost.deviation = deviation;
        assert_eq!(study.set_baseline(point.clone(), profile), Err(AskError::Profile));
    }
    for level in [f64::NAN, -0.1, 1.1] {
        let anomalies = Some(AnomalyTest { level, ..AnomalyTest::default() });
        let model = BlackBox::new(BlackBoxConfig { anomalies, ..BlackBoxConfig::default() });
        assert_eq!(Paper::new(space(), *study.config(), model).err(), Some(ConfigError::Model));
    }
}

/// Bytes that were altered, checksum included: whatever is read back holds no NaN, which would differ from itself.
#[test]
fn no_number_of_a_snapshot_may_be_nan() {
    let (mut study, mut scratch, mut rng) =
        (study(1.0, config(Improvement::LogNei, true)), scratch(), SplitMix64(1));
    let outcomes = [1.0, 1.1, 0.9, 1.05, 1.0].map(|x| {
        let outcome = Outcome::new(3.0 * x, x).unwrap();
        outcome.with_variances(0.1, 0.1).unwrap().with_durations(&[0.5 * x, 0.5]).unwrap()
    });
    let baseline = study.space().point(&[9, 3, 0]).unwrap();
    study.set_baseline(baseline.clone(), Profile::measure(&outcomes).unwrap()).unwrap();
    study.record(baseline, outcomes[0].clone()).unwrap();
    for _ in 0..4 {
        for id in study.ask(3, &mut rng, &mut scratch).unwrap() {
            evaluate(&mut study, id, &mut rng);
        }
    }
    study.ask(1, &mut rng, &mut scratch).unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let bytes = study.snapshot(&mut buffer).unwrap();
    let mut taken = 0;
    for at in 14..bytes.len() - 8 {
        let mut altered = bytes.to_vec();
        altered[at..at + 8].copy_from_slice(&f64::NAN.to_le_bytes());
        let checksum = crc32(&[&altered[14..]]).to_le_bytes();
        altered[10..14].copy_from_slice(&checksum);
        let restored = Paper::restore(&altered);
        assert!(restored.is_err() || restored.clone() == restored, "byte {at}");
        taken += usize::from(restored.is_ok());
    }
    assert!(taken > 0, "no checksum was right");
}

/// There is room for as many raw samples as the square of the trials.
#[test]
fn raw_samples_end_at_the_square_of_the_trials() {
    let found = |raw| {
        let mut surrogates: Box<Surrogates<8, 2, 8>> = Box::default();
        surrogates.reset(2).unwrap();
        for (x, cost) in [([0.1, 0.2], 1.0), ([0.9, 0.4], 2.0), ([0.5, 0.8], 1.5)] {
            surrogates.push(&x, cost, 0.5 * cost, 0.01, 0.01).unwrap();
        }
        surrogates.fit(Prior::default(), Noise::Known, [None; 2]).unwrap();
        let (mut x, mut rng) = ([[0.0; 2]], SplitMix64(1));
        let search = Search { raw, restarts: 1, evaluations: 2 };
        let sampling = Sampling { search, samples: 8, ..Sampling::default() };
        let made = surrogates.search(&sampling, &[], &[0.0; 2], &[1.0; 2], &mut x, |_, _| (), &mut rng);
        (x, made.unwrap())
    };
    assert_eq!(found(512), found(64));
    assert!(found(64).1 > found(32).1, "the others are drawn");
}

/// Capacity for real studies, as stated in the documentation of the types.
#[test]
fn sizes() {
    let sizes =
        [size_of::<Study<BlackBox<32, 128, 64>, 32, 128, 16>>(), size_of::<Surrogates<128, 32, 64>>()];
    assert_eq!(sizes.map(|bytes| bytes / 1000), [41, 964]);
}

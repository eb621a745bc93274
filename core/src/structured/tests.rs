//! The model against dense algebra, against known answers, and against inputs that mean it harm.

use super::*;
use crate::bo::acquisition::maximise::Search;
use crate::bo::blackbox::{BlackBox, BlackBoxConfig};
use crate::bo::model::Objective;
use crate::bo::space::Axis;
use crate::bo::study::{AskError, ConfigError, Study, StudyConfig};
use crate::bo::surrogates::{Sampling, Surrogates};
use crate::bo::trial::{Outcome, Trial, TrialId, TrialState};
use crate::math::normal::Normal;
use crate::random::{SplitMix64, standard_normal, uniform};
use crate::workflow::{StageId, WorkflowBuilder};
use proptest::prelude::*;
use std::boxed::Box;
use std::vec::Vec as StdVec;

mod behaviour;
mod misfit;

const D: usize = 9;
const F: usize = 3;
const N: usize = 72;
const L: usize = 180;
type Scratch = StructuredScratch<(), F, N, L>;

/// A black box that only says it was called.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Called;

const CALLED: ModelError = ModelError::TooFewTrials { complete: 77, needed: 77 };

impl Model<D, F> for Called {
    type Scratch = ();
    fn has_task_of(&self, _: &Self) -> bool {
        true
    }
    fn is_consistent(&self, _: &SearchSpace<D>) -> bool {
        true
    }
    fn needed(&self) -> usize {
        0
    }
    fn propose<R: Rng + ?Sized>(
        &mut self,
        _: &Evidence<'_, D, F>,
        _: usize,
        _: &mut Vec<Proposal<D>, MAX_BATCH>,
        _: &mut R,
        (): &mut (),
    ) -> Result<(), ModelError> {
        Err(CALLED)
    }
    fn verdicts(&self, _: &Evidence<'_, D, F>, _: &mut [Verdict], (): &mut ()) -> Result<(), ModelError> {
        Err(CALLED)
    }
    fn recommend(&self, _: &Evidence<'_, D, F>, (): &mut ()) -> Result<Recommendation<D>, ModelError> {
        Err(CALLED)
    }
    fn posterior(
        &self,
        _: &Evidence<'_, D, F>,
        _: &[Point<D>],
        _: &mut [Posterior],
        (): &mut (),
    ) -> Result<(), ModelError> {
        Err(CALLED)
    }
}

type Structured = StructuredModel<Called, F, N, L>;

/// 0 -> 1, 0 -> 2; 12 CPU levels, 15 memory levels, concurrency fixed or of 3 levels.
struct World {
    space: SearchSpace<D>,
    model: Structured,
    rng: SplitMix64,
    own: f64,
    common: f64,
    /// Factor on every function's durations.
    work: [f64; F],
}

impl World {
    fn new(own: f64, common: f64, with_concurrency: bool) -> Self {
        let mut builder = WorkflowBuilder::<F>::new();
        let stages = [(); F].map(|()| builder.stage().unwrap());
        builder.edge(stages[0], stages[1]).unwrap();
        builder.edge(stages[0], stages[2]).unwrap();
        builder.edge_overhead(0.01).unwrap();
        let mut axes = StdVec::new();
        for _ in 0..F {
            axes.push(Axis::new(0.25, 3.0, 0.25).unwrap().log_scaled().unwrap());
            axes.push(Axis::new(128.0, 1024.0, 64.0).unwrap().log_scaled().unwrap());
            if with_concurrency {
                axes.push(Axis::new(1.0, 3.0, 1.0).unwrap());
            }
        }
        let space = SearchSpace::new(&axes).unwrap();
        let per = if with_concurrency { 3 } else { 2 };
        let resources: StdVec<Resources> = (0..F as u16)
            .map(|i| Resources {
                cpu: Resource::Axis(per * i),
                memory_mb: Resource::Axis(per * i + 1),
                concurrency: if with_concurrency {
                    Resource::Axis(per * i + 2)
                } else {
                    Resource::Fixed(1.0)
                },
            })
            .collect();
        let prices = Prices::new(0.2, 0.05).unwrap();
        let model =
            StructuredModel::new(builder.build().unwrap(), prices, &resources, &space, Called).unwrap();
        Self { space, model, rng: SplitMix64(11), own, common, work: [1.0; F] }
    }

    fn top(&self) -> Point<D> {
        let top: StdVec<u16> = self.space.axes().iter().map(|a| a.levels() - 1).collect();
        self.space.point(&top).unwrap()
    }

    fn any(&mut self) -> Point<D> {
        let unit: StdVec<f64> = self.space.axes().iter().map(|_| uniform(&mut self.rng)).collect();
        self.space.decode(&unit).unwrap()
    }

    fn configurations(&self, point: &Point<D>) -> [Configuration; F] {
        let per = self.space.dimensions() / F;
        core::array::from_fn(|i| {
            let levels = core::array::from_fn(|a| {
                point.indices().get(per * i + a).copied().filter(|_| a < per).unwrap_or(0)
            });
            self.model.configuration(&self.space, i, levels)
        })
    }

    /// Amdahl's law and a steep price for too little memory.
    fn durations(&self, point: &Point<D>) -> [f64; F] {
        let configurations = self.configurations(point);
        core::array::from_fn(|i| {
            let Configuration { cpu, memory_mb, concurrency } = configurations[i];
            let (serial, parallel, needed) = [(0.3, 0.6, 250.0), (0.4, 2.0, 500.0), (0.2, 1.0, 350.0)][i];
            let short = (needed / memory_mb - 1.0_f64).max(0.0);
            let alone = (serial / cpu.min(1.0) + parallel / cpu) * (1.0 + 2.0 * short);
            self.work[i] * alone * (0.8 + 0.2 * concurrency)
        })
    }

    fn outcome(&self, point: &Point<D>, durations: &[f64; F]) -> Outcome<F> {
        let configurations = self.configurations(point);
        let cost = (0..F).map(|i| durations[i] * self.model.prices.per_second(&configurations[i])).sum();
        let latency = self.model.workflow.latency(durations).unwrap();
        Outcome::new(cost, latency).unwrap().with_durations(durations).unwrap()
    }

    /// One invocation, slowed by `slow`.
    fn invoke(&mut self, point: &Point<D>, slow: f64) -> Outcome<F> {
        let factor = slow * float::exp(self.common * standard_normal(&mut self.rng));
        let noisy =
            self.durations(point).map(|d| d * factor * float::exp(self.own * standard_normal(&mut self.rng)));
        self.outcome(point, &noisy)
    }

    fn learn_baseline(&mut self) {
        let top = self.top();
        let outcomes: StdVec<_> = (0..50).map(|_| self.invoke(&top, 1.0)).collect();
        assert!(self.model.learn_baseline(&self.space, &top, &outcomes));
    }

    fn trials(&mut self, count: usize, slow: impl Fn(usize) -> f64) -> StdVec<Trial<D, F>> {
        (0..count)
            .map(|i| {
                let point = self.any();
                let state = TrialState::Complete(self.invoke(&point, slow(i)));
                Trial { id: TrialId(i as u32), point, state, expected: None }
            })
            .collect()
    }

    fn evidence<'a>(&'a self, trials: &'a [Trial<D, F>]) -> Evidence<'a, D, F> {
        let objective = Objective { latency_limit: 3.0, confidence: 0.95 };
        Evidence { space: &self.space, objective, trials, baseline: None, changed: false }
    }

    fn study(&self, seed: u64) -> Study<Structured, D, N, F> {
        let objective = Objective { latency_limit: 3.0, confidence: 0.95 };
        let config = StudyConfig { objective, initial: 8, seed };
        Study::new(self.space.clone(), config, self.model.clone()).unwrap()
    }

    /// Least cost under the limit, by search over all configurations of the three functions.
    fn optimum(&self, limit: f64) -> f64 {
        let per_function: StdVec<StdVec<(f64, f64)>> = (0..F)
            .map(|i| {
                let mut points = StdVec::new();
                for cpu in 0..12 {
                    for memory in 0..15 {
                        let mut indices = [0u16; 2 * F];
                        (indices[2 * i], indices[2 * i + 1]) = (cpu, memory);
                        let point = self.space.point(&indices).unwrap();
                        let duration = self.durations(&point)[i];
                        let rate = self.model.prices.per_second(&self.configurations(&point)[i]);
                        points.push((duration, duration * rate));
                    }
                }
                points
            })
            .collect();
        let cheapest = |i: usize, limit: f64| {
            per_function[i].iter().filter(|p| p.0 <= limit).map(|p| p.1).fold(f64::INFINITY, f64::min)
        };
        let with = |&(duration, cost): &(f64, f64)| {
            let rest = limit - duration - 0.01;
            cost + cheapest(1, rest) + cheapest(2, rest)
        };
        per_function[0].iter().map(with).fold(f64::INFINITY, f64::min)
    }
}

fn scratch() -> Box<Scratch> {
    Box::new(StructuredScratch::new(()))
}

/// Posterior of the stacked system by one dense solve: all functions' residuals at once, with the common factors as
/// correlated noise.
#[test]
fn the_joint_posterior_is_that_of_one_dense_system() {
    let mut world = World::new(0.05, 0.1, true);
    let trials = world.trials(5, |_| 1.0);
    let mut scratch = scratch();
    let (model, evidence) = (&world.model, world.evidence(&trials));
    // Without interference the system is linear and Gaussian.
    let mut noise = model.noise.clone();
    (noise.outliers, noise.common) = (0.0, 0.02);
    assert_eq!(model.observe(&evidence, &model.kernel, &noise, &mut scratch), Status::Structured);
    let (data, joint) = (&scratch.observations, &scratch.joint);
    let n = data.len();
    let effects = model.kernel.effects();
    let row = |i: usize, s: usize| i * n + s;
    let size = F * n;
    let mut dense = std::vec![0.0; size * size];
    for i in 0..F {
        for j in 0..F {
            for s in 0..n {
                for t in 0..n {
                    let mut k =
                        if i == j { effects.between(&data.place(i, s), &data.place(i, t)) } else { 0.0 };
                    k += if s == t { noise.common } else { 0.0 };
                    k += if i == j && s == t { noise.own[i] } else { 0.0 };
                    dense[row(i, s) * size + row(j, t)] = k;
                }
            }
        }
    }
    let solve = |right: &[f64]| {
        let (mut u, mut x) = (dense.clone(), right.to_vec());
        crate::math::cholesky::factor(&mut u, size, size).unwrap();
        crate::math::cholesky::solve_forward(&u, size, size, &mut x);
        crate::math::cholesky::solve_backward(&u, size, size, &mut x);
        x
    };
    let residuals: StdVec<f64> = (0..size).map(|k| data.residuals[k / n][k % n]).collect();
    let solved = solve(&residuals);
    for s in 0..n {
        let factor: f64 = (0..F).map(|i| noise.common * solved[row(i, s)]).sum();
        assert!((factor - joint.common_mean[s]).abs() < 1e-9, "{factor} {}", joint.common_mean[s]);
    }
    let places: [Place; F] = [[-0.3, -0.2, -0.4], [-1.0, -0.5, 0.0], [0.0, -1.5, -0.1]];
    let (mut mean, mut covariance) = ([0.0; F], [[0.0; F]; F]);
    joint.posterior(data, &model.kernel, &places, &mut mean, &mut covariance);
    let cross = |i: usize| {
        let mut k = std::vec![0.0; size];
        for s in 0..n {
            k[row(i, s)] = effects.between(&places[i], &data.place(i, s));
        }
        k
    };
    for i in 0..F {
        let k = cross(i);
        let expected: f64 = k.iter().zip(&solved).map(|(a, b)| a * b).sum();
        assert!((expected + data.level[i] + kernel::trend(&places[i]) - mean[i]).abs() < 1e-8);
        for j in 0..F {
            let answer = solve(&cross(j));
            let prior = if i == j { effects.between(&places[i], &places[i]) } else { 0.0 };
            let expected = prior - k.iter().zip(&answer).map(|(a, b)| a * b).sum::<f64>();
            assert!((expected - covariance[i][j]).abs() < 1e-8, "{expected} {}", covariance[i][j]);
        }
    }
}

#[test]
fn surfaces_and_draws_agree_with_the_posterior() {
    let mut world = World::new(0.1, 0.1, false);
    world.learn_baseline();
    let trials = world.trials(12, |_| 1.0);
    let mut scratch = scratch();
    let (model, evidence) = (&world.model, world.evidence(&trials));
    assert_eq!(model.observe(&evidence, &model.kernel, &model.noise, &mut scratch), Status::Structured);
    let StructuredScratch { observations, joint, .. } = &*scratch;
    let axes = [Some(&world.space.axes()[0]), Some(&world.space.axes()[1]), None];
    let mut grid = surface::Grid::new();
    grid.fill(axes, L);
    assert_eq!(grid.len(), 180);
    let mut surfaces = surface::Surfaces::new();
    let mut means = [[0.0; L]; F];
    for i in 0..F {
        surfaces.mean(observations, &model.kernel, joint, &grid, i, &mut means[i]);
    }
    let chosen = [17, 100, 170];
    let places = chosen.map(|candidate| grid.place(candidate));
    let (mut mean, mut covariance) = ([0.0; F], [[0.0; F]; F]);
    joint.posterior(observations, &model.kernel, &places, &mut mean, &mut covariance);
    for i in 0..F {
        assert!((means[i][chosen[i]] - mean[i]).abs() < 1e-10);
    }
    let (mut sum, mut products) = ([0.0; F], [[0.0; F]; F]);
    let (mut out, mut residuals) = ([[0.0; L]; F], [[0.0; N]; F]);
    let draws = 3000;
    let mut rng = SplitMix64(3);
    for _ in 0..draws {
        let (kernel, noise) = (&model.kernel, &model.noise);
        surfaces.draw(observations, kernel, noise, joint, &[grid; F], &mut out, &mut residuals, &mut rng);
        let deviation: [f64; F] = core::array::from_fn(|i| out[i][chosen[i]] - mean[i]);
        for i in 0..F {
            sum[i] += deviation[i] / f64::from(draws);
            for j in 0..F {
                products[i][j] += deviation[i] * deviation[j] / f64::from(draws);
            }
        }
    }
    for i in 0..F {
        assert!(sum[i].abs() < 4.0 * float::sqrt(covariance[i][i] / f64::from(draws)));
        for j in 0..F {
            let scale = float::sqrt(covariance[i][i] * covariance[j][j]);
            assert!((products[i][j] - covariance[i][j]).abs() < 0.1 * scale, "{products:?} {covariance:?}");
        }
    }
}

#[test]
fn interference_is_found_and_taken_out() {
    let mut world = World::new(0.05, 0.05, false);
    world.learn_baseline();
    let slow = |i: usize| if i % 5 == 2 { 2.5 } else { 1.0 };
    let trials = world.trials(30, slow);
    let mut scratch = scratch();
    let evidence = world.evidence(&trials);
    let mut verdicts = [Verdict::Untested; 30];
    world.model.verdicts(&evidence, &mut verdicts, &mut scratch).unwrap();
    for (i, verdict) in verdicts.iter().enumerate() {
        assert_eq!(verdict.is_anomalous(), slow(i) > 1.0, "trial {i}: {verdict:?}");
        let estimate = scratch.joint.common_mean[i];
        assert!((estimate - float::ln(slow(i))).abs() < 0.25, "{estimate}");
    }
}

#[test]
fn an_updated_function_is_found_and_the_others_keep_what_is_known_of_them() {
    let mut world = World::new(0.05, 0.05, false);
    world.learn_baseline();
    let mut trials = world.trials(36, |_| 1.0);
    let mut scratch = scratch();
    assert_eq!(world.model.status(&world.evidence(&trials), &mut scratch), Status::Structured);
    assert_eq!(scratch.observations.changed_at, [0; F]);
    for trial in &mut trials[30..] {
        let told = trial.outcome().unwrap().durations();
        let updated = [told[0], 1.6 * told[1], told[2]];
        trial.state = TrialState::Complete(world.outcome(&trial.point, &updated));
    }
    assert_eq!(world.model.status(&world.evidence(&trials), &mut scratch), Status::Structured);
    assert_eq!(scratch.observations.changed_at, [0, 30, 0]);
    let (mut mean, mut covariance) = ([0.0; F], [[0.0; F]; F]);
    let (data, joint) = (&scratch.observations, &scratch.joint);
    let top = [[0.0; AXES]; F];
    joint.posterior(data, &world.model.kernel, &top, &mut mean, &mut covariance);
    let before = world.durations(&world.top());
    for (i, factor) in [1.0, 1.6, 1.0].into_iter().enumerate() {
        assert!((mean[i] - float::ln(factor * before[i])).abs() < 0.1, "{i}: {mean:?} {before:?}");
    }
}

#[test]
fn a_study_finds_the_cheapest_configuration_that_meets_the_qos() {
    let mut regrets = StdVec::new();
    for (seed, with_baseline) in [(1, true), (2, true), (3, false)] {
        let mut world = World::new(0.1, 0.1, false);
        if with_baseline {
            world.learn_baseline();
        }
        let (mut study, mut scratch, mut rng) = (world.study(seed), scratch(), SplitMix64(seed));
        for _ in 0..12 {
            for id in study.ask(3, &mut rng, &mut scratch).unwrap() {
                let point = study.trial(id).unwrap().point.clone();
                let slow = if uniform(&mut world.rng) < 0.1 { 3.0 } else { 1.0 };
                study.tell(id, world.invoke(&point, slow)).unwrap();
            }
        }
        let best = study.recommendation(&mut scratch).unwrap();
        assert_eq!(study.model().status(&study.evidence(), &mut scratch), Status::Structured);
        // Durations include the mean of log-normal noise of 0.1 and 0.1.
        let durations = world.durations(&best.point).map(|d| d * float::exp(0.01));
        let outcome = world.outcome(&best.point, &durations);
        assert!(best.qualified && outcome.latency() <= 3.0, "{} {best:?}", outcome.latency());
        regrets.push(outcome.cost() / (world.optimum(3.0 / float::exp(0.01)) * float::exp(0.01)) - 1.0);
    }
    assert!(regrets.iter().all(|r| (-1e-9..0.15).contains(r)), "{regrets:?}");
    assert!(regrets.iter().filter(|r| **r < 0.07).count() >= 2, "{regrets:?}");
}

#[test]
fn concurrency_is_a_third_axis_when_it_is_free() {
    let mut world = World::new(0.02, 0.02, true);
    world.learn_baseline();
    let trials = world.trials(40, |_| 1.0);
    let mut scratch = scratch();
    let best = world.model.recommend(&world.evidence(&trials), &mut scratch).unwrap();
    assert!(best.qualified);
    // Three requests share a container for 1.4 times the duration: always worth it here.
    let concurrency: StdVec<u16> = (0..F).map(|i| best.point.indices()[3 * i + 2]).collect();
    assert_eq!(concurrency, [2, 2, 2]);
}

#[test]
fn the_posterior_is_that_of_the_recommendation_and_holds_the_truth() {
    let mut world = World::new(0.02, 0.02, false);
    world.learn_baseline();
    let trials = world.trials(40, |_| 1.0);
    let mut scratch = scratch();
    let best = world.model.recommend(&world.evidence(&trials), &mut scratch).unwrap();
    let mut points: StdVec<Point<D>> = (0..100).map(|_| world.any()).collect();
    points.insert(0, best.point);
    let mut posteriors = [Posterior::default(); 101];
    world.model.posterior(&world.evidence(&trials), &points, &mut posteriors, &mut scratch).unwrap();
    assert_eq!((posteriors[0].ln_cost, posteriors[0].ln_latency), (best.ln_cost, best.ln_latency));
    let truths = points.iter().map(|point| world.outcome(point, &world.durations(point)));
    let within = |p: &Normal, truth: f64| (truth.ln() - p.mean).abs() < 4.0 * p.standard_deviation();
    let held = truths.zip(&posteriors).filter(|(truth, posterior)| {
        within(&posterior.ln_cost, truth.cost()) && within(&posterior.ln_latency, truth.latency())
    });
    assert!(held.count() > 85);
}

#[test]
fn what_the_structure_cannot_explain_goes_to_the_black_box() {
    let mut scratch = scratch();
    let mut world = World::new(0.05, 0.05, false);
    world.learn_baseline();
    let trials = world.trials(20, |_| 1.0);
    let told = |change: &dyn Fn(&World, &Trial<D, F>, &Outcome<F>) -> Outcome<F>| -> StdVec<Trial<D, F>> {
        let changed = |t: &Trial<D, F>| {
            let outcome = change(&world, t, t.outcome().unwrap());
            Trial { state: TrialState::Complete(outcome), ..t.clone() }
        };
        trials.iter().map(changed).collect()
    };
    let mut status = |trials: &[Trial<D, F>]| {
        let evidence = world.evidence(trials);
        let status = world.model.status(&evidence, &mut scratch);
        let called = world.model.recommend(&evidence, &mut scratch) == Err(CALLED);
        assert_eq!(called, status != Status::Structured);
        status
    };
    assert_eq!(status(&trials), Status::Structured);
    let missing = told(&|_, _, o| Outcome::new(o.cost(), o.latency()).unwrap());
    assert_eq!(status(&missing), Status::MissingDurations);
    let queued = told(&|_, _, o| {
        Outcome::new(o.cost(), 1.3 * o.latency()).unwrap().with_durations(o.durations()).unwrap()
    });
    assert!(matches!(status(&queued), Status::Latency { ratio } if (ratio - 1.3).abs() < 1e-9));
    let dear = told(&|_, _, o| {
        Outcome::new(2.0 * o.cost(), o.latency()).unwrap().with_durations(o.durations()).unwrap()
    });
    assert!(matches!(status(&dear), Status::Cost { ratio } if (ratio - 2.0).abs() < 1e-9));
    // The last function takes longer the less CPU the first one has.
    let upstream = told(&|world, t, o| {
        let mut durations = [0, 1, 2].map(|i| o.durations()[i]);
        durations[2] *= float::pow(world.configurations(&t.point)[0].cpu, -1.5);
        world.outcome(&t.point, &durations)
    });
    let found = status(&upstream);
    assert!(matches!(found, Status::Unexplained { .. }), "{found:?}");
}

#[test]
fn the_same_seed_asks_the_same_trials() {
    let run = || {
        let mut world = World::new(0.1, 0.1, false);
        let (mut study, mut scratch, mut rng) = (world.study(5), scratch(), SplitMix64(5));
        for _ in 0..5 {
            for id in study.ask(4, &mut rng, &mut scratch).unwrap() {
                let point = study.trial(id).unwrap().point.clone();
                study.tell(id, world.invoke(&point, 1.0)).unwrap();
            }
        }
        // Recommending in between changes nothing.
        study.recommendation(&mut scratch).unwrap();
        study.ask(4, &mut rng, &mut scratch).unwrap();
        study.trials().iter().map(|t| t.point.indices().to_vec()).collect::<StdVec<_>>()
    };
    assert_eq!(run(), run());
}

/// A study with a baseline and 16 trials told.
#[cfg(feature = "serde")]
fn after_16_trials() -> Study<Structured, D, N, F> {
    let mut world = World::new(0.1, 0.1, false);
    world.learn_baseline();
    let (mut study, mut scratch, mut rng) = (world.study(9), scratch(), SplitMix64(9));
    for _ in 0..4 {
        for id in study.ask(4, &mut rng, &mut scratch).unwrap() {
            let point = study.trial(id).unwrap().point.clone();
            study.tell(id, world.invoke(&point, 1.0)).unwrap();
        }
    }
    study
}

#[cfg(feature = "serde")]
#[test]
fn a_restored_study_asks_what_the_first_would_have() {
    let (mut study, mut scratch) = (after_16_trials(), scratch());
    let mut buffer = std::vec![0; 1 << 16];
    let bytes = study.snapshot(&mut buffer).unwrap();
    let mut restored = Study::<Structured, D, N, F>::restore(bytes).unwrap();
    assert_eq!(restored, study);
    let (mut first, mut second) = (SplitMix64(1), SplitMix64(1));
    let ids = study.ask(3, &mut first, &mut scratch).unwrap();
    restored.ask(3, &mut second, &mut scratch).unwrap();
    assert!(ids.iter().all(|id| study.trial(*id) == restored.trial(*id)));
}

/// Bytes that were altered, checksum included: whatever is read back holds no NaN, which would differ from itself.
#[cfg(feature = "serde")]
#[test]
fn no_number_of_a_snapshot_may_be_nan() {
    let study = after_16_trials();
    let mut buffer = std::vec![0; 1 << 16];
    let bytes = study.snapshot(&mut buffer).unwrap();
    let mut taken = 0;
    for at in 14..bytes.len() - 8 {
        let mut altered = bytes.to_vec();
        altered[at..at + 8].copy_from_slice(&f64::NAN.to_le_bytes());
        let checksum = crate::checksum::crc32(&[&altered[14..]]).to_le_bytes();
        altered[10..14].copy_from_slice(&checksum);
        let restored = Study::<Structured, D, N, F>::restore(&altered);
        assert!(restored.is_err() || restored.clone() == restored, "byte {at}");
        taken += usize::from(restored.is_ok());
    }
    assert!(taken > 0, "no checksum was right");
}

/// A snapshot goes on only with the workflow, prices, resources, space and objective it was made with.
#[cfg(feature = "serde")]
#[test]
fn a_snapshot_of_another_workflow_is_refused() {
    use crate::bo::snapshot::TaskPart;
    use crate::snapshot::SnapshotError;

    let mut world = World::new(0.1, 0.1, false);
    world.learn_baseline();
    let (mut study, mut scratch, mut rng) = (world.study(9), scratch(), SplitMix64(9));
    for id in study.ask(4, &mut rng, &mut scratch).unwrap() {
        let point = study.trial(id).unwrap().point.clone();
        study.tell(id, world.invoke(&point, 1.0)).unwrap();
    }
    let mut buffer = std::vec![0; 1 << 16];
    let bytes = study.snapshot(&mut buffer).unwrap();
    let mut resumed = world.study(9);
    assert_eq!(resumed.resume(bytes), Ok(()));
    assert_eq!(resumed, study);

    let mut builder = WorkflowBuilder::<F>::new();
    let stages = [(); F].map(|()| builder.stage().unwrap());
    builder.edge(stages[0], stages[2]).unwrap();
    let other_graph = builder.build().unwrap();
    let other_prices = Prices::new(7.0, 1.0).unwrap();
    let mut other_resources = world.model.resources.clone();
    other_resources.swap(0, 1);
    let same = World::new(0.1, 0.1, false).model;
    for model in [
        Structured { workflow: other_graph, ..same.clone() },
        Structured { prices: other_prices, ..same.clone() },
        Structured { resources: other_resources, ..same },
    ] {
        let world = World { model, ..World::new(0.1, 0.1, false) };
        let (mut other, before) = (world.study(9), world.study(9));
        assert_eq!(other.resume(bytes), Err(SnapshotError::OtherTask(TaskPart::Model)));
        assert_eq!(other, before);
    }
    let mut other_seed = world.study(10);
    assert_eq!(other_seed.resume(bytes), Err(SnapshotError::OtherTask(TaskPart::Design)));
}

/// A model whose axes are not those of the space, as altered bytes could make one.
#[test]
fn a_model_of_another_space_is_refused() {
    let world = World::new(0.1, 0.1, false);
    assert!(world.model.is_consistent(&world.space));
    let smaller = SearchSpace::<D>::new(&world.space.axes()[1..]).unwrap();
    assert!(!world.model.is_consistent(&smaller));
    let config = *world.study(1).config();
    assert_eq!(
        Study::<_, D, N, F>::new(smaller, config, world.model.clone()).err(),
        Some(ConfigError::Model)
    );
    let broken: [fn(&mut Structured); 4] = [
        |model| model.resources.truncate(2),
        |model| model.noise.own.truncate(2),
        |model| model.base_noise.samples = f64::NAN,
        |model| model.kernel.ln[0] = f64::INFINITY,
    ];
    for breaks in broken {
        let mut model = world.model.clone();
        breaks(&mut model);
        assert!(!model.is_consistent(&world.space));
    }
}

#[test]
fn what_does_not_fit_together_is_an_error() {
    let world = World::new(0.1, 0.1, false);
    let make = |resources: &[Resources]| {
        let prices = Prices::new(1.0, 1.0).unwrap();
        Structured::new(world.model.workflow.clone(), prices, resources, &world.space, Called).err()
    };
    let good = world.model.resources[0];
    assert_eq!(make(&[good; 3]), None);
    assert_eq!(make(&[good; 2]), Some(StructureError::Count { stages: 3, resources: 2 }));
    let beyond = Resources { cpu: Resource::Axis(6), ..good };
    assert_eq!(make(&[good, beyond, good]), Some(StructureError::Axis { stage: 1, axes: 6 }));
    for value in [0.0, -1.0, f64::INFINITY] {
        let bad = Resources { concurrency: Resource::Fixed(value), ..good };
        assert_eq!(make(&[good, good, bad]), Some(StructureError::Value { stage: 2, value }));
    }
    assert_eq!(world.model.workflow().topological_order()[0], StageId::new(0));
}

#[test]
fn sizes() {
    const KB: usize = 1024;
    type Model16 = StructuredModel<(), 16, 128, 1240>;
    type Scratch16 = StructuredScratch<(), 16, 128, 1240>;
    assert!(size_of::<Model16>() <= 5 * KB / 2, "{}", size_of::<Model16>());
    assert!(size_of::<Scratch16>() <= 4 * KB * KB, "{}", size_of::<Scratch16>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever positive numbers are told, at whatever points: an answer or an error, no panic.
    #[test]
    fn no_outcome_makes_it_panic(
        told in proptest::collection::vec((0.0f64..1.0, -300.0f64..300.0, -300.0f64..300.0, 0u8..6), 0..40),
        limit in -300.0f64..300.0,
        seed: u64,
    ) {
        let world = World::new(0.1, 0.1, false);
        let mut trials = StdVec::new();
        for (i, (unit, a, b, kind)) in told.into_iter().enumerate() {
            let point = world.space.round(&[unit, 1.0 - unit, unit, unit, 0.5, unit]).unwrap();
            let durations = match kind {
                // Wild values, and a few trials of exactly the same duration.
                0 | 1 => [a, b, a].map(|x| float::pow(10.0, x)),
                2 => [1.0; F],
                _ => world.durations(&point),
            };
            let outcome = if kind == 0 {
                Outcome::new(float::pow(10.0, a), float::pow(10.0, b)).unwrap().with_durations(&durations).unwrap()
            } else {
                let latency = world.model.workflow.latency(&durations).unwrap();
                let configurations = world.configurations(&point);
                let wild = (0..F).map(|i| world.model.prices.per_second(&configurations[i]) * durations[i]);
                Outcome::new(wild.sum::<f64>(), latency).unwrap().with_durations(&durations).unwrap()
            };
            trials.push(Trial { id: TrialId(i as u32), point, state: TrialState::Complete(outcome), expected: None });
        }
        let objective = Objective { latency_limit: float::pow(10.0, limit), confidence: 0.99 };
        let evidence = Evidence { space: &world.space, objective, trials: &trials, baseline: None, changed: false };
        let (mut scratch, mut model, mut batch) = (scratch(), world.model.clone(), Vec::new());
        let mut verdicts = std::vec![Verdict::Untested; trials.len()];
        let _ = model.verdicts(&evidence, &mut verdicts, &mut scratch);
        let _ = model.recommend(&evidence, &mut scratch);
        if model.propose(&evidence, 3, &mut batch, &mut SplitMix64(seed), &mut scratch).is_ok() {
            prop_assert_eq!(batch.len(), 3);
            prop_assert!(batch.iter().all(|p| world.space.contains(&p.point)));
        }
        if let Ok(best) = model.recommend(&evidence, &mut scratch) {
            prop_assert!(world.space.contains(&best.point));
        }
    }
}

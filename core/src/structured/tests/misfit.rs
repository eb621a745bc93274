//! Worlds that are not as the model assumes, and those that are: what is given up, and why.

use super::*;

/// Studies of a world whose durations are bent: noise of this much, with or without a measured baseline.
#[derive(Clone, Copy)]
struct Bent {
    noise: f64,
    /// A tenth of the invocations is slowed.
    disturbed: bool,
    baseline: bool,
    /// The baseline was measured with one function at a time, where nothing bends durations.
    apart: bool,
    batch: usize,
}

impl Bent {
    const fn new(noise: f64, disturbed: bool) -> Self {
        Self { noise, disturbed, baseline: true, apart: false, batch: 3 }
    }

    fn world(&self, seed: u64, bend: impl Fn(&[Configuration; F]) -> [f64; F] + Copy) -> World {
        let mut world = World::new(self.noise, self.noise, false);
        world.rng = SplitMix64(seed);
        if self.baseline {
            let top = world.top();
            let undisturbed = Self { disturbed: false, ..*self };
            let bend = |c: &[Configuration; F]| if self.apart { [1.0; F] } else { bend(c) };
            let outcomes: StdVec<_> = (0..50).map(|_| undisturbed.invoke(&mut world, &top, bend)).collect();
            assert!(world.model.learn_baseline(&world.space, &top, &outcomes));
        }
        world
    }

    /// What an invocation shows; `bend` are further factors of the durations.
    fn invoke(
        &self,
        world: &mut World,
        point: &Point<D>,
        bend: impl Fn(&[Configuration; F]) -> [f64; F],
    ) -> Outcome<F> {
        let slow = if self.disturbed && uniform(&mut world.rng) < 0.1 { 2.5 } else { 1.0 };
        let outcome = world.invoke(point, slow);
        let factors = bend(&world.configurations(point));
        let durations = core::array::from_fn(|i| outcome.durations()[i] * factors[i]);
        world.outcome(point, &durations)
    }

    /// Why the live studies of seeds 0 to 9 have given up the structure after at most this many trials.
    fn given_up_within(
        &self,
        most: usize,
        bend: impl Fn(&[Configuration; F]) -> [f64; F] + Copy,
    ) -> StdVec<Status> {
        let why = |seed: u64| {
            let mut world = self.world(seed, bend);
            let (mut study, mut scratch, mut rng) = (world.study(seed), scratch(), SplitMix64(seed));
            while study.trials().len() < most {
                let ids = match study.ask(self.batch, &mut rng, &mut scratch) {
                    Ok(ids) => ids,
                    Err(error) => {
                        assert_eq!(error, AskError::Model(CALLED));
                        return Some(study.model().status(&study.evidence(), &mut scratch));
                    }
                };
                for id in ids {
                    let point = study.trial(id).unwrap().point.clone();
                    study.tell(id, self.invoke(&mut world, &point, bend)).unwrap();
                }
            }
            None
        };
        (0..10).filter_map(why).collect()
    }
}

/// Durations of the last function that follow the CPU of the first one to the power of `-exponent`.
fn follow(exponent: f64) -> impl Fn(&[Configuration; F]) -> [f64; F] + Copy {
    move |c| [1.0, 1.0, float::pow(c[0].cpu, -exponent)]
}

/// Durations that grow by up to `by` with the CPU that the other functions hold, at most 6 cores.
fn compete(by: f64) -> impl Fn(&[Configuration; F]) -> [f64; F] + Copy {
    move |c| {
        let held: f64 = c.iter().map(|c| c.cpu).sum();
        core::array::from_fn(|i| 1.0 + by * (held - c[i].cpu) / 6.0)
    }
}

#[test]
fn independent_functions_are_never_given_up() {
    for (noise, disturbed) in [(0.05, false), (0.05, true), (0.2, true)] {
        let found = Bent::new(noise, disturbed).given_up_within(60, |_| [1.0; F]);
        assert_eq!(found, [], "{noise}");
    }
    for (noise, batch) in [(0.05, 3), (0.2, 6), (0.4, 16)] {
        let blind = Bent { baseline: false, batch, ..Bent::new(noise, true) };
        assert_eq!(blind.given_up_within(56, |_| [1.0; F]), [], "{noise}, {batch}");
    }
}

#[test]
fn durations_that_follow_the_resources_upstream_are_noticed() {
    let noticed = |studies: Bent, most, exponent| {
        let found = studies.given_up_within(most, follow(exponent));
        let right = |status: &Status| {
            matches!(status, Status::Unexplained { stage: 2, .. } | Status::Dependent { stage: 2, on: 0, .. })
        };
        assert!(found.iter().all(right), "{found:?}");
        found.len()
    };
    assert_eq!(noticed(Bent::new(0.05, false), 24, 0.5), 10);
    assert_eq!(noticed(Bent::new(0.2, true), 36, 1.5), 10);
    let (strong, weak) = (noticed(Bent::new(0.15, false), 48, 0.5), noticed(Bent::new(0.2, true), 48, 0.5));
    assert!(strong >= 7 && weak >= 5, "{strong} {weak}");
    for batch in [3, 6, 16] {
        let blind = noticed(Bent { baseline: false, batch, ..Bent::new(0.05, false) }, 60, 0.5);
        assert!(blind >= 8, "{batch}: {blind}");
    }
}

#[test]
fn functions_that_compete_are_noticed() {
    let noticed = |apart, disturbed, by| {
        let studies = Bent { apart, ..Bent::new(0.05, disturbed) };
        let found = studies.given_up_within(48, compete(by));
        let tested = |status: &Status| matches!(status, Status::Contention { .. } | Status::Dependent { .. });
        assert!(found.iter().all(tested), "{found:?}");
        found.len()
    };
    let half = [false, true].map(|disturbed| noticed(true, disturbed, 0.5));
    let triple = noticed(true, false, 2.0);
    let [together, much] = [0.5, 2.0].map(|by| noticed(false, false, by));
    assert!(half[0] >= 8 && half[1] >= 7 && triple >= 6, "{half:?} {triple} {together} {much}");
    assert!(together >= 4 && much >= 9, "{together} {much}");
}

/// From the hand-over on, everything comes from the black box.
#[test]
fn what_was_handed_over_stays_with_the_black_box() {
    const PATHS: usize = 16;
    type Real = StructuredModel<BlackBox<D, N, PATHS>, F, N, L>;
    let search = Search { raw: 16, restarts: 2, evaluations: 20 };
    let sampling = Sampling { samples: PATHS as u16, search, ..Sampling::default() };
    let config = BlackBoxConfig { sampling, ..BlackBoxConfig::default() };
    let mut scratch: Box<StructuredScratch<_, F, N, L>> =
        Box::new(StructuredScratch::new(Surrogates::<N, D, PATHS>::new()));
    for (baseline, batch) in [(true, 3), (false, 6), (true, 6), (false, 16)] {
        let studies = Bent { baseline, batch, ..Bent::new(0.05, false) };
        let mut world = studies.world(1, follow(0.5));
        let World { space, model, .. } = &world;
        let (graph, black_box) = (model.workflow.clone(), BlackBox::new(config));
        let mut real = Real::new(graph, model.prices, &model.resources, space, black_box).unwrap();
        real.baseline = model.baseline.clone();
        (real.base_noise, real.noise) = (model.base_noise.clone(), model.noise.clone());
        let objective = Objective { latency_limit: 3.0, confidence: 0.95 };
        let study = StudyConfig { objective, initial: 8, seed: 1 };
        let mut study = Study::<Real, D, N, F>::new(space.clone(), study, real).unwrap();
        let (mut rng, mut handed_over) = (SplitMix64(1), 0);
        while study.trials().len() < 56.max(8 + 4 * batch) {
            let status = study.model().status(&study.evidence(), &mut scratch);
            let before = study.model().fallback().clone();
            let ids = study.ask(batch, &mut rng, &mut scratch).unwrap();
            let by_black_box = *study.model().fallback() != before;
            assert_eq!(by_black_box, status != Status::Structured);
            assert!(by_black_box || handed_over == 0, "{baseline} {batch}: {:?}", study.trials().len());
            handed_over += usize::from(by_black_box);
            for id in ids {
                let point = study.trial(id).unwrap().point.clone();
                study.tell(id, studies.invoke(&mut world, &point, follow(0.5))).unwrap();
            }
        }
        assert!(handed_over >= 2, "{baseline} {batch}: {handed_over}");
        let best = study.recommendation(&mut scratch);
        assert_eq!(best, study.model().fallback().recommend(&study.evidence(), &mut scratch.fallback));
    }
}

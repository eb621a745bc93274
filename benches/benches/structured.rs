//! One step of the structured model: posterior, kernel, noise and a batch of three, for 10 functions of 40 by 31
//! configurations after 30 and after 70 trials; and one recommendation.

use aquatope_core::anomaly::Verdict;
use aquatope_core::bo::MAX_BATCH;
use aquatope_core::bo::model::{Evidence, Model, ModelError, Objective, Posterior, Proposal, Recommendation};
use aquatope_core::bo::space::{Axis, Point, SearchSpace};
use aquatope_core::bo::study::{Study, StudyConfig};
use aquatope_core::bo::trial::Outcome;
use aquatope_core::math::float;
use aquatope_core::random::{SplitMix64, standard_normal};
use aquatope_core::structured::{Resource, Resources, StructuredModel, StructuredScratch};
use aquatope_core::workflow::{Configuration, Prices, StageId, WorkflowBuilder};
use criterion::{Criterion, criterion_group, criterion_main};
use heapless::Vec;
use rand_core::Rng;

const FUNCTIONS: usize = 10;
const D: usize = 20;
const N: usize = 72;

/// No black box: the trials agree with the structure.
#[derive(Clone)]
struct Never;

impl Model<D, FUNCTIONS> for Never {
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
        evidence: &Evidence<'_, D, FUNCTIONS>,
        _: usize,
        _: &mut Vec<Proposal<D>, MAX_BATCH>,
        _: &mut R,
        (): &mut (),
    ) -> Result<(), ModelError> {
        Err(refusal(evidence))
    }
    fn verdicts(
        &self,
        evidence: &Evidence<'_, D, FUNCTIONS>,
        _: &mut [Verdict],
        (): &mut (),
    ) -> Result<(), ModelError> {
        Err(refusal(evidence))
    }
    fn recommend(
        &self,
        evidence: &Evidence<'_, D, FUNCTIONS>,
        (): &mut (),
    ) -> Result<Recommendation<D>, ModelError> {
        Err(refusal(evidence))
    }
    fn posterior(
        &self,
        evidence: &Evidence<'_, D, FUNCTIONS>,
        _: &[Point<D>],
        _: &mut [Posterior],
        (): &mut (),
    ) -> Result<(), ModelError> {
        Err(refusal(evidence))
    }
}

fn refusal(evidence: &Evidence<'_, D, FUNCTIONS>) -> ModelError {
    ModelError::Capacity { capacity: evidence.trials.len() }
}

type Structured = StructuredModel<Never, FUNCTIONS, N, 1240>;

/// A chain after `trials` random trials with noise of 0.1 each.
fn study(trials: usize) -> Study<Structured, D, 96, FUNCTIONS> {
    let mut builder = WorkflowBuilder::new();
    for _ in 0..FUNCTIONS {
        builder.stage().expect("room for all");
    }
    for i in 1..FUNCTIONS {
        builder.edge(StageId::new(i - 1), StageId::new(i)).expect("both exist");
    }
    let workflow = builder.build().expect("acyclic");
    let cpu = Axis::new(0.1, 4.0, 0.1).and_then(Axis::log_scaled).expect("a grid");
    let memory = Axis::new(128.0, 2048.0, 64.0).and_then(Axis::log_scaled).expect("a grid");
    let space = SearchSpace::new(&[cpu, memory].repeat(FUNCTIONS)).expect("20 axes");
    let resources: [Resources; FUNCTIONS] = std::array::from_fn(|i| Resources {
        cpu: Resource::Axis(2 * i as u16),
        memory_mb: Resource::Axis(2 * i as u16 + 1),
        concurrency: Resource::Fixed(1.0),
    });
    let prices = Prices::new(0.173, 0.05).expect("prices");
    let model = StructuredModel::new(workflow.clone(), prices, &resources, &space, Never).expect("it fits");
    let objective = Objective { latency_limit: 12.0, confidence: 0.95 };
    let config = StudyConfig { objective, initial: 0, seed: 1 };
    let mut study = Study::new(space.clone(), config, model).expect("a study");
    let mut rng = SplitMix64(1);
    for _ in 0..trials {
        let unit: [f64; D] = std::array::from_fn(|_| aquatope_core::random::uniform(&mut rng));
        let point = space.decode(&unit).expect("20 coordinates");
        let values: std::vec::Vec<f64> = space.values(&point).collect();
        let common = 0.1 * standard_normal(&mut rng);
        let durations: [f64; FUNCTIONS] = std::array::from_fn(|i| {
            let thrash = 1.0 + (400.0 / values[2 * i + 1] - 1.0).max(0.0);
            (0.3 + 0.6 / values[2 * i]) * thrash * float::exp(common + 0.1 * standard_normal(&mut rng))
        });
        let cost = |i: usize| {
            let (cpu, memory_mb) = (values[2 * i], values[2 * i + 1]);
            prices.per_second(&Configuration { cpu, memory_mb, concurrency: 1.0 }) * durations[i]
        };
        let latency = workflow.latency(&durations).expect("positive");
        let outcome = Outcome::new((0..FUNCTIONS).map(cost).sum(), latency).expect("positive");
        study.record(point, outcome.with_durations(&durations).expect("10 of them")).expect("room");
    }
    study
}

fn step(c: &mut Criterion) {
    let mut scratch = Box::new(StructuredScratch::new(()));
    for trials in [30, 70] {
        let study = study(trials);
        c.bench_function(&format!("structured/ask_3/n{trials}_d20"), |b| {
            b.iter(|| study.clone().ask(3, &mut SplitMix64(2), &mut scratch).expect("a batch"));
        });
        c.bench_function(&format!("structured/recommend/n{trials}_d20"), |b| {
            b.iter(|| study.recommendation(&mut scratch).expect("a recommendation"));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = step
}
criterion_main!(benches);

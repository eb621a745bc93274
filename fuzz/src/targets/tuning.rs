//! Any operations on a study, with the models that are shipped: the black box, and the structured one on top of it.

use crate::input::{Operations, read};
use crate::study::{Measured, Operation, Setup, drive, point_at};
use aquatope_core::bo::blackbox::{BlackBox, BlackBoxConfig};
use aquatope_core::bo::snapshot::TaskPart;
use aquatope_core::bo::space::{Point, SearchSpace};
use aquatope_core::bo::study::Study;
use aquatope_core::bo::surrogates::Surrogates;
use aquatope_core::bo::trial::Outcome;
use aquatope_core::snapshot::SnapshotError;
use aquatope_core::structured::{Resource, Resources, Status, StructuredModel, StructuredScratch};
use aquatope_core::workflow::{Configuration, Prices, Workflow, WorkflowBuilder};
use arbitrary::Arbitrary;
use std::cell::RefCell;

const D: usize = 3;
const N: usize = 32;
const S: usize = 8;
const F: usize = 2;
const L: usize = 64;

type Scratch = StructuredScratch<Surrogates<N, D, S>, F, N, L>;
type Structured = StructuredModel<BlackBox<D, N, S>, F, N, L>;

thread_local! {
    /// Cleared once: what a call leaves behind must not matter to the next.
    static SCRATCH: RefCell<Box<Scratch>> = RefCell::new(Box::new(StructuredScratch::new(Surrogates::new())));
}

#[derive(Arbitrary, Debug)]
struct Input {
    kind: Kind,
    setup: Setup,
    baseline: bool,
    /// How much of the history there is: in half of the cases, all.
    recorded: u8,
    /// Levels, and what was measured there before the operations: the structured model tests its posterior with 16 trials.
    history: [([u16; D], [u8; F]); N - 4],
    operations: Operations<Operation>,
}

#[derive(Arbitrary, Debug, PartialEq)]
enum Kind {
    BlackBox,
    /// The structured model, told what its durations make together.
    Structured,
    /// The structured model, told anything: mostly its fallback acts.
    Misfit,
}

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Some(input) = read::<Input>(bytes) else { return };
    let operations = input.operations.0.iter().take(40);
    SCRATCH.with_borrow_mut(|scratch| {
        if input.kind == Kind::BlackBox {
            let black_box: BlackBox<D, N, S> = BlackBox::new(BlackBoxConfig::default());
            if let Some(study) = input.setup.study::<_, D, N, F>(black_box) {
                drive(study, operations, &mut scratch.fallback, |measured, _| measured.outcome());
            }
        } else if let Some((app, study)) = input.structured() {
            refuses_another_task(&app, &study);
            drive(study, operations, scratch, |measured, point| match input.kind {
                Kind::Misfit => measured.outcome(),
                _ => app.outcome(measured.durations(), point),
            });
        }
    });
}

/// A study of the same space whose functions run in another order, or cost something else, must not go on with what this
/// one knows.
fn refuses_another_task(app: &App, study: &Study<Structured, D, N, F>) {
    let mut buffer = vec![0; 65_536];
    let bytes = study.snapshot(&mut buffer).expect("room for the snapshot");
    let [first, second] = app.resources;
    let dearer = Prices::new(0.4, 0.05).expect("prices");
    for (prices, resources) in [(dearer, [first, second]), (app.prices, [second, first])] {
        let (workflow, black_box) = (app.workflow.clone(), BlackBox::new(BlackBoxConfig::default()));
        let model = Structured::new(workflow, prices, &resources, &app.space, black_box).expect("as before");
        let mut other: Study<Structured, D, N, F> =
            Study::new(app.space.clone(), *study.config(), model).expect("as before");
        let same = prices == app.prices && first == second;
        let expected = if same { Ok(()) } else { Err(SnapshotError::OtherTask(TaskPart::Model)) };
        assert_eq!(other.resume(bytes), expected);
    }
}

/// Whether these bytes make a study whose history the structured model believes, and has enough of to doubt it.
pub fn is_structured(bytes: &[u8]) -> bool {
    let Some((_, study)) = read::<Input>(bytes).and_then(|input| input.structured()) else { return false };
    let status = SCRATCH.with_borrow_mut(|scratch| study.model().status(&study.evidence(), scratch));
    study.trials().len() >= 16 && status == Status::Structured
}

impl Input {
    /// A study with a history, if the numbers make one.
    fn structured(&self) -> Option<(App, Study<Structured, D, N, F>)> {
        let app = App::new(self.setup.space::<D>()?);
        let black_box = BlackBox::new(BlackBoxConfig::default());
        let (workflow, space) = (app.workflow.clone(), &app.space);
        let mut model = Structured::new(workflow, app.prices, &app.resources, space, black_box).ok()?;
        if self.baseline {
            let point = point_at(space, [0; D]);
            let outcomes = self.history[..6].iter().map(|(_, durations)| Measured::eighths(*durations));
            let outcomes: Option<Vec<_>> = outcomes.map(|durations| app.outcome(durations, &point)).collect();
            assert!(model.learn_baseline(space, &point, &outcomes?));
        }
        let mut study = self.setup.study::<_, D, N, F>(model)?;
        for (levels, durations) in self.history.iter().take(usize::from(self.recorded % 64)) {
            let point = point_at(&app.space, *levels);
            let outcome = app.outcome(Measured::eighths(*durations), &point)?;
            study.record(point, outcome).expect("room for the history");
        }
        Some((app, study))
    }
}

/// Two functions in a row.
struct App {
    workflow: Workflow<F>,
    prices: Prices,
    space: SearchSpace<D>,
    /// Cores of the first on the first axis, of the second on the last.
    resources: [Resources; F],
}

impl App {
    const MEMORY_MB: f64 = 256.0;

    fn new(space: SearchSpace<D>) -> Self {
        let mut builder = WorkflowBuilder::<F>::new();
        let (first, second) = (builder.stage().expect("room"), builder.stage().expect("room"));
        builder.edge(first, second).expect("no cycle");
        let on = |axis| Resources {
            cpu: Resource::Axis(axis as u16),
            memory_mb: Resource::Fixed(Self::MEMORY_MB),
            concurrency: Resource::Fixed(1.0),
        };
        let workflow = builder.build().expect("a workflow");
        let prices = Prices::new(0.2, 0.05).expect("prices");
        let resources = [on(0), on(space.dimensions() - 1)];
        Self { workflow, prices, space, resources }
    }

    /// What functions that take so long make together, if that is a number.
    fn outcome(&self, durations: [f64; F], point: &Point<D>) -> Option<Outcome<F>> {
        let values: Vec<f64> = self.space.values(point).collect();
        let cores = [values.first(), values.last()].map(|cores| *cores.expect("at least one axis"));
        let costs = cores.iter().zip(durations).map(|(&cpu, seconds)| {
            let configuration = Configuration { cpu, memory_mb: Self::MEMORY_MB, concurrency: 1.0 };
            self.prices.per_second(&configuration) * seconds
        });
        let latency = self.workflow.latency(&durations).ok()?;
        Outcome::new(costs.sum(), latency).ok()?.with_durations(&durations).ok()
    }
}

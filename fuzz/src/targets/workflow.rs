//! Any stages and edges into the workflow builder, any durations into the critical path.

use crate::input::{Operations, read};
use crate::number::Number;
use aquatope_core::workflow::{
    Configuration, Prices, Qos, StageId, Workflow, WorkflowBuilder, WorkflowError,
};
use arbitrary::Arbitrary;

#[derive(Arbitrary, Debug)]
struct Setup {
    stages: u8,
    /// In a quarter of the cases edges go anywhere, else from lower ranks to higher ones.
    cyclic: u8,
    ranks: [u8; STAGES],
    overhead: Number,
    prices: (Number, Number),
    configuration: [Number; 3],
    qos: Number,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Edge(u8, u8),
    Duration(Number),
}

/// What may be asked for, and what there is room for.
const STAGES: usize = 16;
const F: usize = 12;

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Some((setup, Operations(operations))) = read::<(Setup, Operations<Operation>)>(bytes) else { return };
    if let Ok(workflow) = build(&setup, &operations) {
        let durations = operations.iter().filter_map(|operation| match operation {
            Operation::Duration(seconds) => Some(seconds.get()),
            Operation::Edge(..) => None,
        });
        check(&workflow, durations.collect());
    }
    let [cpu, memory_mb, concurrency] = setup.configuration.map(Number::positive);
    if let Ok(prices) = Prices::new(setup.prices.0.get(), setup.prices.1.get()) {
        assert!(prices.per_second(&Configuration { cpu, memory_mb, concurrency }) >= 0.0);
    }
    if let Ok(qos) = Qos::new(setup.qos.get()) {
        assert!(qos.seconds() > 0.0);
    }
}

/// Whether these bytes make a graph of three edges or more.
pub fn is_graph(bytes: &[u8]) -> bool {
    let Some((setup, Operations(operations))) = read::<(Setup, Operations<Operation>)>(bytes) else {
        return false;
    };
    let edges = |workflow: &Workflow<F>| -> usize {
        workflow.topological_order().iter().map(|&stage| workflow.successors(stage).len()).sum()
    };
    build(&setup, &operations).is_ok_and(|workflow| edges(&workflow) >= 3)
}

fn build(setup: &Setup, operations: &[Operation]) -> Result<Workflow<F>, WorkflowError> {
    let mut builder = WorkflowBuilder::<F>::new();
    let stages = usize::from(setup.stages) % STAGES;
    for added in 0..stages {
        assert_eq!(builder.stage().is_ok(), added < F);
    }
    for operation in operations {
        let &Operation::Edge(from, to) = operation else { continue };
        let mut ends = [from, to].map(|end| usize::from(end) % STAGES);
        if setup.cyclic >= 64 {
            ends.sort_by_key(|&end| (setup.ranks[end], end));
        }
        let known = ends[0] != ends[1] && ends.iter().all(|&end| end < stages.min(F));
        assert_eq!(builder.edge(StageId::new(ends[0]), StageId::new(ends[1])).is_ok(), known);
    }
    let _ = builder.edge_overhead(setup.overhead.get());
    builder.build()
}

fn check(workflow: &Workflow<F>, mut durations: Vec<f64>) {
    let place = |stage| workflow.topological_order().iter().position(|&s| s == stage);
    for &stage in workflow.topological_order() {
        assert!(workflow.predecessors(stage).iter().all(|before| place(before) < place(stage)));
        assert!(workflow.successors(stage).iter().all(|after| place(stage) < place(after)));
    }
    let _ = workflow.latency(&durations);
    durations.resize(workflow.len(), 1.0);
    if let Ok(path) = workflow.critical_path(&durations) {
        assert_eq!(workflow.latency(&durations), Ok(path.latency()));
        assert!(!path.stages().is_empty() && path.latency() >= 0.0);
        for pair in path.stages().windows(2) {
            assert!(workflow.predecessors(pair[1]).contains(pair[0]));
        }
        let along: f64 = path.stages().iter().map(|s| durations[s.index()]).sum();
        let edges = (path.stages().len() - 1) as f64 * workflow.edge_overhead();
        let difference = (path.latency() - (along + edges)).abs();
        assert!(difference <= 1e-9 * path.latency() || path.latency() == f64::INFINITY);
    }
}

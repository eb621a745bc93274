//! Any stages and edges into the workflow builder, any durations into the critical path.

use crate::input::read;
use crate::number::Number;
use aquatope_core::workflow::{Configuration, Prices, Qos, StageId, WorkflowBuilder};
use arbitrary::Arbitrary;

#[derive(Arbitrary, Debug)]
struct Input {
    stages: u8,
    edges: Vec<(u8, u8)>,
    overhead: Number,
    durations: Vec<Number>,
    prices: (Number, Number),
    configuration: [Number; 3],
    qos: Number,
}

const F: usize = 12;

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Some(input) = read::<Input>(bytes) else { return };
    let mut builder = WorkflowBuilder::<F>::new();
    for added in 0..input.stages % 16 {
        assert_eq!(builder.stage().is_ok(), usize::from(added) < F);
    }
    for &(from, to) in &input.edges {
        let _ = builder.edge(StageId::new(usize::from(from)), StageId::new(usize::from(to)));
    }
    let _ = builder.edge_overhead(input.overhead.get());
    let mut durations: Vec<f64> = input.durations.iter().map(|d| d.get()).collect();
    if let Ok(workflow) = builder.build() {
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
    let [cpu, memory_mb, concurrency] = input.configuration.map(Number::positive);
    if let Ok(prices) = Prices::new(input.prices.0.get(), input.prices.1.get()) {
        assert!(prices.per_second(&Configuration { cpu, memory_mb, concurrency }) >= 0.0);
    }
    if let Ok(qos) = Qos::new(input.qos.get()) {
        assert!(qos.seconds() > 0.0);
    }
}

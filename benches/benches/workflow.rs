//! The critical path of a workflow of ten functions.

use aquatope_core::workflow::{StageId, WorkflowBuilder};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn critical_path(c: &mut Criterion) {
    let edges =
        [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (4, 5), (4, 6), (6, 7), (5, 8), (7, 8), (8, 9)];
    let mut builder = WorkflowBuilder::<16>::new();
    for _ in 0..10 {
        builder.stage().expect("room for 16");
    }
    for (from, to) in edges {
        builder.edge(StageId::new(from), StageId::new(to)).expect("both exist");
    }
    let workflow = builder.build().expect("acyclic");
    let durations: [f64; 10] = std::array::from_fn(|i| 0.1 + 0.05 * i as f64);
    c.bench_function("workflow/latency/10", |b| {
        b.iter(|| workflow.latency(black_box(&durations)));
    });
    c.bench_function("workflow/critical_path/10", |b| {
        b.iter(|| workflow.critical_path(black_box(&durations)));
    });
}

criterion_group!(benches, critical_path);
criterion_main!(benches);

//! Invocations simulated per second, over two generated days of thirty functions.

use aquatope::generate;
use aquatope::sim::{KeepAlive, Simulation, Targets};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn simulator(criterion: &mut Criterion) {
    let trace = generate::trace(1, 2);
    let simulation = Simulation::new(&trace, 0..trace.minutes);
    let mut group = criterion.benchmark_group("simulator");
    group.throughput(Throughput::Elements(trace.events.len() as u64)).sample_size(20);
    group.bench_function("keep-alive", |bencher| {
        bencher.iter(|| simulation.run(&mut KeepAlive::new(600.0)));
    });
    group.bench_function("targets", |bencher| {
        bencher.iter(|| simulation.run(&mut Targets::new(0, &trace.peaks)));
    });
    group.finish();
}

criterion_group!(benches, simulator);
criterion_main!(benches);

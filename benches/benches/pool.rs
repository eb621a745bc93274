//! The pool plan of 70,000 functions: targets by the newsvendor quantile, and sharing half the memory they want.

use aquatope_core::forecast::Forecast;
use aquatope_core::pool::{Candidate, Prices, Rule, containers, fit};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const FUNCTIONS: usize = 70_000;

fn candidates() -> Vec<Candidate> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut uniform = || (rng.next_u64() >> 40) as f32 / (1_u64 << 24) as f32;
    (0..FUNCTIONS)
        .map(|_| {
            let scale = 0.1 / (0.01 + uniform());
            let mut level = 0.0;
            let quantiles = core::array::from_fn(|_| {
                level += scale * uniform();
                level
            });
            let memory_mb = [128.0, 256.0, 512.0, 1024.0][(4.0 * uniform()) as usize];
            let forecast = Forecast { mean: quantiles[4], quantiles, epistemic: 0.0 };
            Candidate { forecast, wanted: 0, busy: 0, memory_mb, cold_start: 19.0 }
        })
        .collect()
}

fn pool(criterion: &mut Criterion) {
    let rule = Rule::Newsvendor(Prices::ratio(19.0));
    let mut functions = candidates();
    let mut group = criterion.benchmark_group("pool");
    group.throughput(Throughput::Elements(FUNCTIONS as u64)).sample_size(10);
    group.bench_function("targets", |bencher| {
        bencher.iter(|| {
            functions
                .iter()
                .map(|f| u64::from(containers(&f.forecast, &rule, f.memory_mb, 1000)))
                .sum::<u64>()
        });
    });
    for function in &mut functions {
        function.wanted = containers(&function.forecast, &rule, function.memory_mb, 1000);
    }
    let mut granted = vec![0; FUNCTIONS];
    let wanted_mb = fit(|index| functions[index], f64::INFINITY, &mut granted).wanted_mb;
    group.bench_function("half the memory", |bencher| {
        bencher.iter(|| fit(|index| functions[index], wanted_mb / 2.0, &mut granted));
    });
    group.finish();
}

criterion_group!(benches, pool);
criterion_main!(benches);

//! Scrambled Sobol points and normals.

use aquatope_core::random::SplitMix64;
use aquatope_core::sobol;
use criterion::{Criterion, criterion_group, criterion_main};

fn benches(c: &mut Criterion) {
    let mut rng = SplitMix64(1);
    c.bench_function("256 points of one freshly scrambled dimension", |b| {
        b.iter(|| {
            let dimension = sobol::scrambled(57, &mut rng);
            (0..256).map(|i| dimension.uniform(i)).sum::<f64>()
        });
    });
    c.bench_function("256 normals of one freshly scrambled dimension", |b| {
        b.iter(|| {
            let dimension = sobol::scrambled(57, &mut rng);
            (0..256).map(|i| dimension.normal(i)).sum::<f64>()
        });
    });
}

criterion_group!(sobol, benches);
criterion_main!(sobol);

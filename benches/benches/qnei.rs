//! One step of the search for a batch of 3, as the candidate-generation benchmark has it: both fits from a cold start
//! and the search with 32 paths and 10 restarts out of 32 raw samples; and single evaluations.

use aquatope_benches::observed_surrogates;
use aquatope_core::bo::acquisition::maximise::Search;
use aquatope_core::bo::acquisition::{Acquisition, Improvement};
use aquatope_core::bo::surrogates::Sampling;
use aquatope_core::gp::{GpScratch, Noise, Prior};
use aquatope_core::random::SplitMix64;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn benches(c: &mut Criterion) {
    let search = Search { raw: 32, restarts: 10, evaluations: 200 };
    for (n, d) in [(30, 8), (70, 20)] {
        let mut surrogates = observed_surrogates(n, d);
        for (name, joint) in [("joint", true), ("greedy", false)] {
            let sampling = Sampling { improvement: Improvement::LogNei, samples: 32, search, joint };
            let mut seed = 0;
            c.bench_function(&format!("step: fit and batch of 3, {name}, n={n} d={d}"), |b| {
                b.iter(|| {
                    seed += 1;
                    let mut x = [[0.0; 32]; 3];
                    surrogates.fit(Prior::Gamma, Noise::Known, [None, None])?;
                    let (lower, upper, mut rng) = ([0.0; 32], [1.0; 32], SplitMix64(seed));
                    surrogates.search(&sampling, &[], &lower, &upper, &mut x, |_, _| (), &mut rng)
                });
            });
        }
        let (objective, constraint) = surrogates.processes();
        let mut scratch = Box::new(GpScratch::new());
        let mut acquisition = Box::new(Acquisition::<128, 32, 64>::new());
        let [to_objective, to_constraint] = acquisition.processes_mut().expect("nothing to factor yet");
        to_objective.clone_from(objective);
        to_constraint.clone_from(constraint);
        let mut begin = |acquisition: &mut Acquisition<128, 32, 64>| {
            let mut rng = SplitMix64(1);
            acquisition.begin(Improvement::LogNei, 32, &mut rng, &mut scratch)
        };
        c.bench_function(&format!("prune the baseline, draw 32 paths and factor again, n={n} d={d}"), |b| {
            b.iter(|| begin(&mut acquisition));
        });
        let x: Vec<f64> = (0..3 * d).map(|i| (i as f64 * 0.618).fract()).collect();
        let mut gradient = vec![0.0; 3 * d];
        c.bench_function(&format!("qLogNEI value, q=3, n={n} d={d}"), |b| {
            b.iter(|| acquisition.value(black_box(&x)));
        });
        c.bench_function(&format!("qLogNEI value and gradient, q=3, n={n} d={d}"), |b| {
            b.iter(|| acquisition.value_and_gradient(black_box(&x), &mut gradient));
        });
    }
}

criterion_group! { name = qnei; config = Criterion::default().sample_size(20); targets = benches }
criterion_main!(qnei);

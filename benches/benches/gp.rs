//! Fits, posteriors and the anomaly pass, at the sizes of the shipped workflows.

use aquatope_benches::observed_surrogates;
use aquatope_core::anomaly::leave_one_out::judge;
use aquatope_core::anomaly::{AnomalyTest, Verdict};
use aquatope_core::gp::{GpScratch, Noise, Prior};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn benches(c: &mut Criterion) {
    for (n, d) in [(30, 8), (70, 20)] {
        let mut surrogates = observed_surrogates(n, d);
        c.bench_function(&format!("fit both processes, cold, n={n} d={d}"), |b| {
            b.iter(|| surrogates.fit(Prior::Gamma, Noise::Known, [None, None]));
        });
        let mut scratch = Box::new(GpScratch::new());
        let (objective, constraint) = surrogates.processes();
        let x = vec![0.4; d];
        c.bench_function(&format!("posterior, n={n} d={d}"), |b| {
            b.iter(|| objective.posterior(black_box(&x)));
        });
        let mut gradient = vec![0.0; d + 3];
        let mut slopes = Box::new([[0.0; 128]; 128]);
        c.bench_function(&format!("log marginal likelihood and gradient, n={n} d={d}"), |b| {
            b.iter(|| {
                objective.log_marginal_likelihood(
                    Some(Prior::Gamma),
                    Noise::Known,
                    &mut gradient,
                    &mut scratch,
                    &mut slopes,
                )
            });
        });
        let mut verdicts = vec![Verdict::Untested; n];
        let mut judged = Box::new(constraint.clone());
        for (name, test) in [("default", AnomalyTest::default()), ("paper's", AnomalyTest::PAPER)] {
            c.bench_function(&format!("anomaly pass, {name} test, n={n} d={d}"), |b| {
                b.iter(|| judge(objective, &mut judged, &test, &mut verdicts, &mut scratch));
            });
        }
        let mut grown = Box::new(objective.clone());
        c.bench_function(&format!("condition on one more observation and remove it, n={n} d={d}"), |b| {
            b.iter(|| grown.condition(&x, 0.3, 0.01).and_then(|()| grown.remove(n)));
        });
    }
}

criterion_group! { name = gp; config = Criterion::default().sample_size(20); targets = benches }
criterion_main!(gp);

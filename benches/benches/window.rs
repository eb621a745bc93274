//! Activations recorded and minutes closed, for a busy function: 110 invocations a minute of about 6 s each.

use std::time::Duration;

use aquatope_core::activation::{Activation, ActivationId, FunctionId};
use aquatope_core::time::{Minute, Timestamp};
use aquatope_core::window::WindowSeries;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const PER_MINUTE: usize = 110;
const MINUTES: u32 = 60;

/// An hour of activations in the order they end, as a platform reports them.
fn hour() -> Vec<Activation> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut uniform = |below: u64| rng.next_u64() % below;
    let mut activations: Vec<Activation> = (0..PER_MINUTE as u64 * u64::from(MINUTES))
        .map(|id| Activation {
            function: FunctionId(0),
            id: ActivationId(id),
            start: Timestamp(uniform(u64::from(MINUTES) * 60_000)),
            duration: Duration::from_millis(1_000 + uniform(10_000)),
            wait: Duration::from_millis(uniform(100)),
            init: Duration::ZERO,
        })
        .collect();
    activations.sort_by_key(Activation::end);
    activations
}

fn window(criterion: &mut Criterion) {
    let hour = hour();
    let mut group = criterion.benchmark_group("window");
    group.throughput(Throughput::Elements(hour.len() as u64));
    group.bench_function("hour of activations", |bencher| {
        bencher.iter(|| {
            let mut series = WindowSeries::<512>::new(Minute(0), Duration::from_secs(20));
            let mut peaks = 0;
            for activation in &hour {
                let _ = series.record(activation);
                series.close_until(activation.end());
                while let Some(window) = series.poll_window() {
                    peaks += window.peak;
                }
            }
            assert_eq!(series.dropped().full, 0);
            peaks
        });
    });
    group.finish();
}

criterion_group!(benches, window);
criterion_main!(benches);

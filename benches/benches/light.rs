//! The light quantile model: one forecast with its features, and a minute of 70,000 functions.

use std::hint::black_box;

use aquatope_core::forecast::features::{FULL_HISTORY, FunctionState, Profile};
use aquatope_core::forecast::light::{GAINS, LightModel, header, network_len};
use aquatope_core::nn::weights::Weights;
use aquatope_core::time::Minute;
use criterion::{Criterion, criterion_group, criterion_main};

const HIDDEN: usize = 64;

/// A weight file with small weights of both signs.
fn weight_file() -> Vec<u32> {
    let mut values: Vec<f32> =
        (0..network_len(HIDDEN)).map(|k| ((k * 37 % 101) as f32 - 50.0) / 500.0).collect();
    values[GAINS].fill(0.1);
    let head = header(HIDDEN, 1).to_bytes(&values).expect("finite values");
    let head = head.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    head.chain(values.iter().map(|value| value.to_bits())).collect()
}

/// A function with `minutes` of history, busy in a rhythm of its own.
fn function<const N: usize>(number: u32, minutes: u32) -> FunctionState<N> {
    let period = 5 + number % 55;
    let profile = Profile { mean: 1.0, period: period as u16, period_correlation: 0.8 };
    let mut state = FunctionState::new(Minute(0), profile);
    for minute in 0..minutes {
        let peak = if (minute + number) % period < 3 { 1 + (minute * 7 + number) % 5 } else { 0 };
        state.push(2 * peak, peak);
    }
    state
}

fn light(c: &mut Criterion) {
    let file = weight_file();
    let weights = Weights::parse(bytemuck::cast_slice(&file)).expect("our own file");
    let model = LightModel::new(&weights).expect("our own shape");

    let mut state: FunctionState<FULL_HISTORY> = function(7, 5000);
    c.bench_function("light/forecast_with_features", |b| {
        b.iter(|| model.forecast(&black_box(&state).read(None)));
    });
    c.bench_function("light/push_minute", |b| b.iter(|| state.push(black_box(3), black_box(2))));

    // Half a day of history each: 70,000 states of 1.8 KB.
    let mut fleet: Vec<FunctionState<800>> = (0..70_000).map(|number| function(number, 800)).collect();
    let mut group = c.benchmark_group("light/fleet");
    group.sample_size(10);
    group.bench_function("one_minute_of_70000_functions", |b| {
        b.iter(|| {
            let mut containers = 0.0;
            for state in &mut fleet {
                containers += model.forecast(&state.read(None)).quantile(0.95);
                state.push(1, 1);
            }
            containers
        });
    });
    group.finish();
}

criterion_group!(benches, light);
criterion_main!(benches);

//! The hybrid network's forecast, and its parts. The same forecast in PyTorch: `peers/hybrid_forecast.py`.

use std::hint::black_box;

use aquatope_core::forecast::features::{EXPERTS, FEATURES};
use aquatope_core::forecast::head;
use aquatope_core::forecast::hybrid::{HybridInput, HybridModel, HybridShape, Recipe, SEQUENCE};
use aquatope_core::nn::lstm::Variational;
use aquatope_core::nn::weights::HEADER_BYTES;
use aquatope_core::nn::{Lstm, Weights};
use aquatope_core::random;
use aquatope_core::time::Minute;
use criterion::{Criterion, criterion_group, criterion_main};
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

const SHAPE: HybridShape =
    HybridShape { recipe: Recipe::Repaired, window: 48, encoder: [64, 16], predictor: [64, 64] };

fn hybrid(criterion: &mut Criterion) {
    let file = file();
    let weights = Weights::parse(file).expect("a valid file");
    let model = HybridModel::new(&weights).expect("a valid model");
    let sequence: [[f32; SEQUENCE]; 48] =
        std::array::from_fn(|k| SHAPE.recipe.step(k as u32 * 7 % 5, k as u32 * 3 % 11, 2, Minute(k as u32)));
    let external = [0.5; FEATURES];
    let input = HybridInput { sequence: &sequence, external: &external, experts: &[2.0; EXPERTS], unit: 1.5 };
    let mut scratch = vec![0.0; model.scratch_len()];
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for passes in [0, 1, 32, 128] {
        criterion.bench_function(&format!("hybrid forecast, T = {passes}"), |bench| {
            bench.iter(|| model.forecast(black_box(&input), passes, &mut rng, &mut scratch));
        });
    }
}

fn layer(criterion: &mut Criterion) {
    let values = uniform(4 * 64 * (SEQUENCE + 64 + 1));
    let (input, rest) = values.split_at(4 * 64 * SEQUENCE);
    let (recurrent, bias) = rest.split_at(4 * 64 * 64);
    let layer = Lstm::new(input, recurrent, bias).expect("matching shapes");
    let (x, mut out) = (uniform(48 * SEQUENCE), vec![0.0; 48 * 64]);
    let mut scratch = vec![0.0; layer.scratch_len()];
    criterion.bench_function("LSTM 5 -> 64, 48 steps", |bench| {
        bench.iter(|| layer.forward(black_box(&x), &Variational::NONE, &mut out, &mut scratch));
    });
}

/// A weight file of small pseudo-random weights; bytes of a `u32` buffer are aligned.
fn file() -> &'static [u8] {
    let lstm = |inputs: usize, hidden: usize| 4 * hidden * (inputs + hidden + 1);
    let layers = lstm(SEQUENCE, 64) + lstm(64, 16) + (16 + FEATURES + 1) * 64 + 65 * 64 + 65 * head::OUTPUTS;
    let mut values = vec![0.1, 0.1, 0.0, 0.1, 0.1, 1.0, 1.0];
    for columns in [SEQUENCE, FEATURES] {
        values.extend(vec![0.0; columns]);
        values.extend(vec![1.0; columns]);
    }
    values.extend(uniform(layers));
    let mut words = vec![0u32; HEADER_BYTES / 4];
    let header = SHAPE.header().to_bytes(&values).expect("finite values");
    bytemuck::cast_slice_mut(&mut words).copy_from_slice(&header);
    words.extend(values.iter().map(|v| v.to_bits()));
    bytemuck::cast_slice(words.leak())
}

fn uniform(count: usize) -> Vec<f32> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    (0..count).map(|_| (random::uniform(&mut rng) - 0.5) as f32 * 0.4).collect()
}

criterion_group!(benches, hybrid, layer);
criterion_main!(benches);

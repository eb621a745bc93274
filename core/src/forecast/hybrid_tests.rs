//! The hybrid model on made-up weights: bounds, batching, refusals.

use super::*;
use crate::nn::weights::HEADER_BYTES;
use proptest::prelude::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use std::vec::Vec;

const SHAPE: HybridShape =
    HybridShape { recipe: Recipe::Repaired, window: 48, encoder: [64, 16], predictor: [64, 16] };
const RELEASE: HybridShape = HybridShape { recipe: Recipe::Release, encoder: [64, 1], ..SHAPE };

const EXPERT: [f32; EXPERTS] = [2.0; EXPERTS];

/// A weight file of pseudo-random values.
fn file(shape: &HybridShape, rate: f32) -> Vec<u32> {
    let [h1, h2] = shape.encoder;
    let [w1, w2] = shape.predictor;
    let externals = shape.recipe.externals();
    let latents = if shape.recipe == Recipe::Release { shape.window * h2 } else { h2 };
    let lstm = |inputs: usize, hidden: usize| 4 * hidden * (inputs + hidden + 1);
    let layers = lstm(SEQUENCE, h1)
        + lstm(h1, h2)
        + (latents + externals + 1) * w1
        + (w1 + 1) * w2
        + (w2 + 1) * shape.outputs();
    let mut values: Vec<f32> = std::vec![rate; 5];
    values.extend([1.0; 2]);
    for columns in [SEQUENCE, externals] {
        values.extend(core::iter::repeat_n(0.0, columns));
        values.extend(core::iter::repeat_n(1.0, columns));
    }
    values.extend((0..layers).map(|k| ((k * 7919 % 2003) as f32 / 2003.0 - 0.5) * 0.6));
    words(&shape.header(), &values)
}

fn words(header: &Header, values: &[f32]) -> Vec<u32> {
    let mut words: Vec<u32> = std::vec![0; HEADER_BYTES / 4];
    bytemuck::cast_slice_mut(&mut words).copy_from_slice(&header.to_bytes(values).unwrap());
    words.extend(values.iter().map(|v| v.to_bits()));
    words
}

fn model(words: &[u32]) -> Result<HybridModel<'_>, WeightsError> {
    HybridModel::new(&Weights::parse(bytemuck::cast_slice(words))?)
}

fn window(recipe: Recipe) -> [[f32; SEQUENCE]; 48] {
    core::array::from_fn(|k| recipe.step((k * k % 7) as u32, 3 * k as u32 % 11, 2, Minute(k as u32)))
}

fn forecast(words: &[u32], passes: usize, seed: u64) -> Forecast {
    let model = model(words).unwrap();
    let recipe = model.shape().recipe;
    let externals: Vec<f32> = (0..recipe.externals()).map(|k| (k as f32 * 0.7).sin()).collect();
    let input = HybridInput { sequence: &window(recipe), external: &externals, experts: &EXPERT, unit: 1.5 };
    let mut scratch = std::vec![f32::NAN; model.scratch_len()];
    model.forecast(&input, passes, &mut Xoshiro256PlusPlus::seed_from_u64(seed), &mut scratch).unwrap()
}

#[test]
fn without_dropout_every_pass_is_the_same() {
    for shape in [SHAPE, RELEASE] {
        let words = file(&shape, 0.0);
        let (one, many) = (forecast(&words, 0, 1), forecast(&words, 70, 2));
        assert!((one.mean - many.mean).abs() < 1e-4 * one.mean.max(1.0), "{one:?} {many:?}");
        assert!(many.epistemic < 1e-3);
    }
}

#[test]
fn dropout_spreads_the_passes_and_the_seed_fixes_them() {
    for shape in [SHAPE, RELEASE] {
        let words = file(&shape, 0.2);
        let (a, b, c) = (forecast(&words, 128, 1), forecast(&words, 128, 1), forecast(&words, 128, 2));
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert!(a.epistemic > 0.0);
        assert!(a.quantiles.windows(2).all(|pair| pair[0] <= pair[1]) && a.quantiles[0] >= 0.0);
    }
}

/// Native, WebAssembly and microcontroller builds give the same bits: pinned here, for one model and seed.
#[test]
fn value_stability() {
    let forecast = forecast(&file(&SHAPE, 0.1), 32, 7);
    let pinned = [forecast.mean, forecast.quantiles[0], forecast.quantiles[10], forecast.epistemic];
    assert_eq!(pinned.map(f32::to_bits), [1080299008, 0, 1102185774, 1063400348]);
}

#[test]
fn wrong_sizes_and_rates_are_refused() {
    let good = file(&SHAPE, 0.1);
    assert_eq!(*model(&good).unwrap().shape(), SHAPE);
    let values: Vec<f32> = good[16..].iter().map(|&w| f32::from_bits(w)).collect();
    let refused = |header: &Header, values: &[f32]| model(&words(header, values)).unwrap_err();
    assert!(matches!(refused(&SHAPE.header(), &values[..values.len() - 1]), WeightsError::Shape { .. }));
    let wide = HybridShape { encoder: [65, 16], ..SHAPE };
    assert!(matches!(refused(&wide.header(), &values), WeightsError::Shape { .. }));
    let timeless = HybridShape { window: 0, ..SHAPE };
    assert!(matches!(refused(&timeless.header(), &values), WeightsError::Shape { .. }));
    // A rate, the noise and the doubt of the calibration, gains of both inputs.
    let external_gain = 7 + 2 * SEQUENCE + Recipe::Repaired.externals();
    let impossible: [(usize, &[f32]); 5] = [
        (2, &[1.0, -0.1]),
        (5, &[0.0, -1.0, 1e-3, 11.0, f32::MAX]),
        (6, &[-0.5, 101.0, f32::MAX]),
        (7 + SEQUENCE, &[0.0, -1.0]),
        (external_gain + 3, &[0.0, -1.0]),
    ];
    for (index, numbers) in impossible {
        for &number in numbers {
            let mut values = values.clone();
            values[index] = number;
            assert_eq!(refused(&SHAPE.header(), &values), WeightsError::OutOfRange { index }, "{number}");
        }
    }
    let mut sure = values;
    sure[6] = 0.0;
    assert_eq!(model(&words(&SHAPE.header(), &sure)).unwrap().calibration().doubt, 0.0);
}

#[test]
fn wrong_inputs_are_errors() {
    let words = file(&SHAPE, 0.1);
    let model = model(&words).unwrap();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut scratch = std::vec![0.0; model.scratch_len()];
    let (sequence, external) = (window(Recipe::Repaired), std::vec![0.0; Recipe::Repaired.externals()]);
    let input = HybridInput { sequence: &sequence, external: &external, experts: &EXPERT, unit: 1.0 };
    let short = HybridInput { sequence: &sequence[1..], ..input };
    assert!(matches!(model.forecast(&short, 1, &mut rng, &mut scratch), Err(HybridError::Shape(_))));
    let few = HybridInput { external: &external[1..], ..input };
    assert!(matches!(model.forecast(&few, 1, &mut rng, &mut scratch), Err(HybridError::Shape(_))));
    assert!(matches!(model.forecast(&input, 1, &mut rng, &mut scratch[1..]), Err(HybridError::Shape(_))));
    let mut broken = sequence;
    broken[3][1] = f32::NAN;
    let broken = HybridInput { sequence: &broken, ..input };
    assert_eq!(model.forecast(&broken, 1, &mut rng, &mut scratch), Err(HybridError::NotFinite));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_finite_window_gives_an_ordered_forecast(
        raw in proptest::collection::vec(-1e30f32..1e30, 48 * SEQUENCE), passes in 0usize..70,
    ) {
        let words = file(&SHAPE, 0.3);
        let model = model(&words).unwrap();
        let mut sequence = [[0.0; SEQUENCE]; 48];
        sequence.as_flattened_mut().copy_from_slice(&raw);
        let external: Vec<f32> = raw.iter().copied().cycle().take(Recipe::Repaired.externals()).collect();
        let input = HybridInput { sequence: &sequence, external: &external, experts: &EXPERT, unit: 1.0 };
        let mut scratch = std::vec![0.0; model.scratch_len()];
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let forecast = model.forecast(&input, passes, &mut rng, &mut scratch).unwrap();
        prop_assert!(forecast.quantiles.windows(2).all(|pair| pair[0] <= pair[1]));
        prop_assert!(forecast.quantiles[0] >= 0.0 && forecast.mean.is_finite());
    }
}

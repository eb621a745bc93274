//! Weight files whose header and sizes are right and whose values are anything, after any history: the forecast is a
//! distribution, or there is none.

use crate::input::{Operations, read};
use crate::number::Number;
use aquatope_core::forecast::features::{FULL_HISTORY, FunctionState, Profile, Upstream};
use aquatope_core::forecast::hybrid::{HybridInput, HybridModel, HybridShape, Recipe, SEQUENCE};
use aquatope_core::forecast::light::{self, LightModel};
use aquatope_core::forecast::mc_dropout::Calibration;
use aquatope_core::forecast::{Forecast, LEVELS};
use aquatope_core::nn::Weights;
use aquatope_core::nn::weights::Header;
use aquatope_core::random::{self, SplitMix64};
use aquatope_core::time::Minute;
use arbitrary::Arbitrary;

#[derive(Arbitrary, Debug)]
struct Setup {
    hybrid: bool,
    release: bool,
    sizes: [u8; 4],
    window: u8,
    seed: u64,
    scale: Number,
    /// Values that are not as the rest.
    strange: [(u16, Number); 4],
    profile: (Number, u16, Number),
    first: u32,
    passes: u8,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Push(u16, u16),
    Any(u32, u32),
    Idle(u8),
    Forecast { parent_counts: [u16; 4], parent_peak: u16 },
}

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Some((setup, Operations(operations))) = read::<(Setup, Operations<Operation>)>(bytes) else { return };
    let (mean, period, correlation) = setup.profile;
    let profile = Profile { mean: mean.get() as f32, period, period_correlation: correlation.get() as f32 };
    let mut state: Box<FunctionState<FULL_HISTORY>> =
        Box::new(FunctionState::new(Minute(setup.first), profile));
    let Some(model) = (if setup.hybrid { hybrid(&setup) } else { light(&setup) }) else { return };
    let weights = Weights::parse(bytemuck::cast_slice(&model)).expect("what was written is read back");
    for operation in operations.into_iter().take(32) {
        match operation {
            Operation::Push(count, peak) => state.push(u32::from(count), u32::from(peak)),
            Operation::Any(count, peak) => state.push(count, peak),
            Operation::Idle(minutes) => (0..=minutes).for_each(|_| state.push(0, 0)),
            Operation::Forecast { parent_counts, parent_peak } => {
                let upstream = Upstream { parent_counts, parent_peak, grandparent_counts: [1, 0, 2] };
                let reading = state.read(Some(&upstream));
                let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
                assert!(
                    finite(&reading.features) && finite(&reading.experts) && reading.unit > 0.0,
                    "{reading:?}"
                );
                if setup.hybrid {
                    forecast_hybrid(&weights, &setup, &state);
                } else {
                    check(&LightModel::new(&weights).expect("sizes that fit").forecast(&reading));
                }
            }
        }
    }
}

fn check(forecast: &Forecast) {
    assert!(forecast.mean.is_finite() && forecast.mean >= 0.0, "{forecast:?}");
    assert!(forecast.epistemic >= 0.0 && forecast.epistemic.is_finite(), "{forecast:?}");
    assert!(forecast.quantiles.is_sorted(), "{forecast:?}");
    assert!(
        forecast.quantiles.iter().all(|quantile| quantile.is_finite() && *quantile >= 0.0),
        "{forecast:?}"
    );
    assert!(LEVELS.iter().all(|&level| forecast.quantiles.contains(&forecast.quantile(level))));
}

/// A weight file of these values, the strange ones among them, as words.
fn file(header: &Header, mut values: Vec<f32>, setup: &Setup) -> Vec<u32> {
    for (at, number) in &setup.strange {
        let at = usize::from(*at) % values.len();
        let strange = number.get() as f32;
        // Those that are not finite are refused by the weight file itself (target `weights`).
        values[at] = if strange.is_finite() { strange } else { f32::MAX };
    }
    let head = header.to_bytes(&values).expect("finite values");
    let words = head.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    words.chain(values.iter().map(|value| value.to_bits())).collect()
}

fn values(count: usize, setup: &Setup) -> Vec<f32> {
    let mut rng = SplitMix64(setup.seed);
    let scale = (setup.scale.positive() as f32).clamp(1e-30, 1e30);
    (0..count).map(|_| (2.0 * random::uniform(&mut rng) as f32 - 1.0) * scale).collect()
}

/// `None` when a strange value is a gain that is refused, as it must be.
fn light(setup: &Setup) -> Option<Vec<u32>> {
    let (hidden, networks) = (1 + usize::from(setup.sizes[0] % 8), 1 + usize::from(setup.sizes[1] % 3));
    let length = light::network_len(hidden);
    let mut values = values(networks * length, setup);
    let mut gains = (0..values.len()).filter(|at| light::GAINS.contains(&(at % length)));
    gains.clone().for_each(|at| values[at] = values[at].abs().max(1e-3));
    let words = file(&light::header(hidden, networks), values, setup);
    let value = |at: usize| f32::from_bits(words[words.len() - networks * length + at]);
    let in_range = gains.all(|at| value(at) > 0.0);
    let weights = Weights::parse(bytemuck::cast_slice(&words)).expect("what was written is read back");
    assert_eq!(LightModel::new(&weights).is_ok(), in_range);
    in_range.then_some(words)
}

fn shape(setup: &Setup) -> HybridShape {
    let [h1, h2, w1, w2] = setup.sizes.map(|size| 1 + usize::from(size % 6));
    HybridShape {
        recipe: if setup.release { Recipe::Release } else { Recipe::Repaired },
        window: 1 + usize::from(setup.window % 12),
        encoder: [h1, h2],
        predictor: [w1, w2],
    }
}

/// `None` when a strange value is a rate, a gain or a calibration that is refused, as it must be.
fn hybrid(setup: &Setup) -> Option<Vec<u32>> {
    let shape = shape(setup);
    let (recipe, [h1, h2], [w1, w2]) = (shape.recipe, shape.encoder, shape.predictor);
    let lstm = |inputs: usize, hidden: usize| 4 * hidden * (inputs + hidden + 1);
    let latents = if setup.release { shape.window * h2 } else { h2 };
    let (externals, outputs) = (recipe.externals(), shape.outputs());
    let scales = 7 + 2 * SEQUENCE + 2 * externals;
    let layers = lstm(SEQUENCE, h1) + lstm(h1, h2);
    let predictor = (latents + externals + 1) * w1 + (w1 + 1) * w2 + (w2 + 1) * outputs;
    let count = scales + layers + predictor;
    let mut values = values(count, setup);
    // Rates below 1, gains above 0, and the calibration in its ranges.
    for value in &mut values[..scales] {
        *value = value.abs().clamp(1e-3, 0.9);
    }
    values[5] = values[5].max(*Calibration::NOISE.start());
    let words = file(&shape.header(), values, setup);
    let value = |at: usize| f32::from_bits(words[words.len() - count + at]);
    let mut gains = (7 + SEQUENCE..7 + 2 * SEQUENCE).chain(scales - externals..scales);
    let in_range = (0..5).all(|at| (0.0..1.0).contains(&value(at)))
        && Calibration::NOISE.contains(&value(5))
        && Calibration::DOUBT.contains(&value(6))
        && gains.all(|at| value(at) > 0.0);
    let weights = Weights::parse(bytemuck::cast_slice(&words)).expect("what was written is read back");
    assert_eq!(HybridModel::new(&weights).is_ok(), in_range);
    in_range.then_some(words)
}

fn forecast_hybrid(weights: &Weights<'_>, setup: &Setup, state: &FunctionState<FULL_HISTORY>) {
    let model = HybridModel::new(weights).expect("sizes that fit");
    let shape = *model.shape();
    let history = state.history();
    let step = |lag: usize| {
        let (peak, count) = (history.peak(lag).unwrap_or(0), history.count(lag));
        shape.recipe.step(
            u32::from(peak),
            u32::from(count),
            0,
            Minute(history.next().0.saturating_sub(lag as u32)),
        )
    };
    let sequence: Vec<[f32; SEQUENCE]> = (1..=shape.window).rev().map(step).collect();
    let reading = state.read(None);
    let external = &reading.features[..shape.recipe.externals()];
    let input = HybridInput { sequence: &sequence, external, experts: &reading.experts, unit: reading.unit };
    let mut scratch = vec![0.0; model.scratch_len()];
    let mut rng = SplitMix64(setup.seed);
    let forecast = model.forecast(&input, usize::from(setup.passes % 70), &mut rng, &mut scratch);
    check(&forecast.expect("finite inputs of the right length"));
}

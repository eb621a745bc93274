//! [`Forecaster`]: one function's minutes in, the distribution of its next minute out.

use std::collections::VecDeque;

use aquatope_core::forecast::features::{FULL_HISTORY, FunctionState, PERIOD_WINDOW, Profile};
use aquatope_core::forecast::hybrid::{HybridInput, HybridModel, Recipe, SEQUENCE};
use aquatope_core::forecast::light::LightModel;
use aquatope_core::forecast::{self, LEVELS};
use aquatope_core::nn::weights::{ModelKind, Weights, WeightsError};
use aquatope_core::time;
use aquatope_core::window::calendar;
use aquatope_workflow::models;
use serde::{Deserialize, Serialize};
use tsify::Tsify;
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};

use crate::plain;

/// Forecasts the most containers one function has busy at once in its next minute, from its minutes so far.
#[wasm_bindgen]
pub struct Forecaster {
    /// The weight file, aligned.
    weights: Vec<u32>,
    state: Box<FunctionState<FULL_HISTORY>>,
    /// The hybrid model's last minutes, oldest first; empty for the light model.
    window: VecDeque<[f32; SEQUENCE]>,
    /// Of the hybrid model; that of the light model does not matter.
    recipe: Recipe,
    passes: usize,
    seed: u64,
}

#[wasm_bindgen]
impl Forecaster {
    /// A forecaster that has observed nothing. `model` is a file written by `aquatope train`, or the weight file in it.
    ///
    /// # Errors
    /// Bytes that are no model, or options that are wrong, naming the place.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "Uint8Array | ArrayBuffer")] model: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "ForecasterOptions")] options: &JsValue,
    ) -> Result<Self, JsError> {
        let bytes = plain::bytes("model", model)?;
        let file = weight_file(&bytes)?;
        let weights = aligned(file);
        let named = |error: WeightsError| JsError::new(&format!("model: {error}"));
        // As long as it is, not as it was padded.
        let whole = bytemuck::cast_slice::<u32, u8>(&weights).get(..file.len()).unwrap_or_default();
        let (minutes, recipe) = Weights::parse(whole).and_then(|weights| shape(&weights)).map_err(named)?;
        let options = plain::read::<Option<ForecasterOptions>>("options", options)?.unwrap_or_default();
        let passes = options.passes.unwrap_or(PASSES);
        if passes > MAX_PASSES {
            return Err(JsError::new(&format!("options.passes: is {passes}; use at most {MAX_PASSES}")));
        }
        let profile = options.profile.map_or(Ok(Profile::UNKNOWN), FunctionProfile::checked)?;
        let first = time::Minute(options.first_minute.unwrap_or(0));
        Ok(Self {
            weights,
            state: Box::new(FunctionState::new(first, profile)),
            window: VecDeque::from(vec![[0.0; SEQUENCE]; minutes]),
            recipe,
            passes: usize::from(passes),
            seed: options.seed.unwrap_or(0),
        })
    }

    /// What training would learn about a function with these peaks, the most containers busy in every minute so far: a
    /// profile for the options of a forecaster.
    ///
    /// # Errors
    /// Peaks that are wrong, naming the place.
    #[wasm_bindgen(unchecked_return_type = "FunctionProfile")]
    pub fn profile(
        #[wasm_bindgen(unchecked_param_type = "ArrayLike<number>")] peaks: &JsValue,
    ) -> Result<JsValue, JsError> {
        let peaks: Vec<u32> = plain::read("peaks", peaks)?;
        if peaks.is_empty() {
            return Err(JsError::new(
                "peaks: is empty; give the peak of every minute so far, best of some days",
            ));
        }
        let mut centred = vec![0.0; peaks.len().min(PERIOD_WINDOW)];
        plain::show(&FunctionProfile::from(Profile::of(&peaks, &mut centred)))
    }

    /// Takes in the minutes that followed, in order.
    ///
    /// # Errors
    /// Minutes that are wrong, naming the place; nothing is taken in then.
    pub fn push(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Minute | Minute[]")] minutes: &JsValue,
    ) -> Result<(), JsError> {
        let minutes: Vec<Minute> = if plain::is_list(minutes).unwrap_or(false) {
            plain::read("minutes", minutes)?
        } else {
            vec![plain::read("minute", minutes)?]
        };
        for minute in minutes {
            let Minute { invocations, peak, upstream } = minute;
            if self.window.pop_front().is_some() {
                let next = self.state.history().next();
                self.window.push_back(self.recipe.step(peak, invocations, upstream.unwrap_or(0), next));
            }
            self.state.push(invocations, peak);
        }
        Ok(())
    }

    /// The distribution of the next minute. Changes nothing: equal minutes and seeds give equal forecasts.
    ///
    /// # Errors
    /// None in practice: the model was checked when it was loaded.
    #[wasm_bindgen(unchecked_return_type = "Forecast")]
    pub fn forecast(&mut self) -> Result<JsValue, JsError> {
        plain::show(&Forecast::from(self.next()?))
    }

    /// The minute that the next forecast is of, counted from the start of the Unix epoch, or from `firstMinute`.
    #[wasm_bindgen(getter)]
    pub fn minute(&self) -> u32 {
        self.state.history().next().0
    }
}

impl Forecaster {
    fn next(&mut self) -> Result<forecast::Forecast, JsError> {
        let weights = view(&self.weights)?;
        let reading = self.state.read(None);
        if weights.header().kind == ModelKind::Light {
            return Ok(LightModel::new(&weights)?.forecast(&reading));
        }
        let model = HybridModel::new(&weights)?;
        let minute = self.state.history().next();
        let calendar = calendar(minute);
        let external: &[f32] = match self.recipe {
            Recipe::Release => &calendar,
            Recipe::Repaired => &reading.features,
        };
        let input = HybridInput {
            sequence: self.window.make_contiguous(),
            external,
            experts: &reading.experts,
            unit: reading.unit,
        };
        plain::room(size_of::<f32>() * model.scratch_len())?;
        let mut scratch = vec![0.0; model.scratch_len()];
        let mut rng = models::stream(self.seed, u64::from(minute.0));
        Ok(model.forecast(&input, self.passes, &mut rng, &mut scratch)?)
    }
}

/// Stochastic passes of the hybrid model, unless given: those of the command line.
const PASSES: u16 = 16;
const MAX_PASSES: u16 = 4096;

/// Minutes of history that the model reads as a sequence, and its recipe.
fn shape(weights: &Weights<'_>) -> Result<(usize, Recipe), WeightsError> {
    if weights.header().kind == ModelKind::Light {
        LightModel::new(weights)?;
        return Ok((0, Recipe::Repaired));
    }
    let shape = *HybridModel::new(weights)?.shape();
    Ok((shape.window, shape.recipe))
}

fn view(weights: &[u32]) -> Result<Weights<'_>, WeightsError> {
    Weights::parse(bytemuck::cast_slice(weights))
}

/// The weight file in a model file: after its header of 16 bytes, as long as the number at 8 says.
fn weight_file(bytes: &[u8]) -> Result<&[u8], JsError> {
    let Some(length) = bytes.strip_prefix(b"AQLM").and_then(|rest| rest.get(4..8)) else { return Ok(bytes) };
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    let file = bytes.get(16..).and_then(|body| body.get(..length));
    file.ok_or_else(|| JsError::new("model: the file is cut short; copy it again"))
}

/// The bytes at an address divisible by 4, the last ones padded with zeros.
fn aligned(bytes: &[u8]) -> Vec<u32> {
    let word = |word: &[u8]| {
        let mut padded = [0; 4];
        padded[..word.len()].copy_from_slice(word);
        u32::from_le_bytes(padded)
    };
    bytes.chunks(4).map(word).collect()
}

/// How a forecaster works.
#[derive(Deserialize, Tsify, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ForecasterOptions {
    /// What training learned about the function.
    #[serde(default)]
    #[tsify(optional)]
    profile: Option<FunctionProfile>,
    /// The minute of the first observation, since the start of the Unix epoch; 0, unless given. Models use the time of
    /// day and the day of the week.
    #[serde(default)]
    #[tsify(optional)]
    first_minute: Option<u32>,
    /// Hybrid model: stochastic passes of a forecast, 0 for a deterministic one; 16, unless given.
    #[serde(default)]
    #[tsify(optional)]
    passes: Option<u16>,
    /// Hybrid model: seed of the passes; 0, unless given.
    #[serde(default)]
    #[tsify(optional)]
    seed: Option<u64>,
}

/// What training learned about one function.
#[derive(Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FunctionProfile {
    /// Mean peak per minute, containers.
    mean: f32,
    /// The lag, minutes, at which the series correlates most with itself.
    period: u16,
    /// That correlation.
    period_correlation: f32,
}

impl From<Profile> for FunctionProfile {
    fn from(Profile { mean, period, period_correlation }: Profile) -> Self {
        Self { mean, period, period_correlation }
    }
}

impl FunctionProfile {
    fn checked(self) -> Result<Profile, JsError> {
        let Self { mean, period, period_correlation } = self;
        if mean < 0.0 {
            let what = format!("options.profile.mean: is {mean}; must not be negative");
            return Err(JsError::new(&what));
        }
        if !(-1.0..=1.0).contains(&period_correlation) {
            return Err(JsError::new(&format!(
                "options.profile.periodCorrelation: is {period_correlation}; must lie in -1..1"
            )));
        }
        Ok(Profile { mean, period, period_correlation })
    }
}

/// What one function did in one minute.
#[derive(Deserialize, Tsify)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Minute {
    /// Requests that arrived.
    invocations: u32,
    /// The most containers busy at the same instant.
    peak: u32,
    /// Requests of the stage before it in its workflow; 0, unless given. Only the hybrid model looks at it.
    #[serde(default)]
    #[tsify(optional)]
    upstream: Option<u32>,
}

/// The distribution of the most containers busy at once in one minute.
#[derive(Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Forecast {
    /// Mean, containers.
    pub mean: f32,
    /// Levels of the quantiles.
    pub levels: Vec<f64>,
    /// Quantiles, containers.
    pub quantiles: Vec<f32>,
    /// Standard deviation of what the model does not know, containers; 0 where it is not told apart.
    pub epistemic: f32,
}

impl From<forecast::Forecast> for Forecast {
    fn from(forecast: forecast::Forecast) -> Self {
        let forecast::Forecast { mean, quantiles, epistemic } = forecast;
        let levels = LEVELS.iter().map(|&level| (f64::from(level) * 1e6).round() / 1e6).collect();
        Self { mean, levels, quantiles: quantiles.to_vec(), epistemic }
    }
}

impl TryFrom<Forecast> for forecast::Forecast {
    type Error = JsError;

    fn try_from(forecast: Forecast) -> Result<Self, JsError> {
        let refused =
            || JsError::new(&format!("forecast.quantiles: give the {} of the levels", LEVELS.len()));
        if !forecast.levels.iter().map(|&level| level as f32).eq(LEVELS) {
            return Err(JsError::new("forecast.levels: give a forecast that a Forecaster made"));
        }
        let quantiles = forecast.quantiles.try_into().map_err(|_| refused())?;
        Ok(Self { mean: forecast.mean, quantiles, epistemic: forecast.epistemic })
    }
}

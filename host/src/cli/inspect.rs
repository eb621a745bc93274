//! `aquatope inspect`: what is in a model file.

use std::path::{Path, PathBuf};

use aquatope_core::forecast::features::FEATURES;
use aquatope_core::forecast::hybrid::{HybridModel, Recipe, SEQUENCE};
use aquatope_core::forecast::light::{LightModel, OUTPUTS};
use aquatope_core::forecast::mc_dropout::Calibration;
use aquatope_core::nn::weights::{ModelKind, Weights, WeightsError};
use clap::Args;
use serde::Serialize;

use super::print;
use crate::error::{Error, Result};
use crate::report::grouped;
use crate::train::model_file::{self, ModelFile, Origin};

/// Check a model file and explain what it holds.
#[derive(Args)]
pub(super) struct Arguments {
    /// The model file
    file: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What is said about a file.
#[derive(Serialize)]
struct Description {
    kind: String,
    window_minutes: u32,
    shape: Vec<u32>,
    parameters: usize,
    bytes: usize,
    smallest: f32,
    largest: f32,
    root_mean_square: f64,
    explanation: String,
    /// Widths of the layers, from the input to the output.
    layers: String,
    /// Of the hybrid model: factors fitted on the end of the training part.
    #[serde(skip_serializing_if = "Option::is_none")]
    calibration: Option<Calibration>,
    /// Of a file written by `aquatope train`.
    #[serde(skip_serializing_if = "Option::is_none")]
    trained: Option<Training>,
}

/// What is said about the training.
#[derive(Serialize)]
struct Training {
    functions: usize,
    minutes: usize,
    /// Functions that had less than a day of history.
    new_functions: Vec<String>,
}

/// Run the command.
///
/// # Errors
/// A file that cannot be read or is not a whole, sound model.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let path = &arguments.file;
    let (words, length, origin) = read(path)?;
    let bytes = &bytemuck::cast_slice(&words)[..length];
    let mut description = describe(bytes).map_err(|error| refused(path, error))?;
    description.trained = origin.map(Training::of);
    if arguments.json {
        let json = serde_json::to_string_pretty(&description).map_err(|e| Error::Failed(e.to_string()))?;
        return print(&format!("{json}\n"));
    }
    let Description { kind, window_minutes, parameters, bytes, .. } = &description;
    let Description { smallest, largest, explanation, layers, .. } = &description;
    let calibration = description.calibration.map_or_else(String::new, |Calibration { noise, doubt }| {
        format!(
            "calibrated  on minutes kept from training: spread of the counts x {noise}, variance by the model's own \
             doubt x {doubt}\n"
        )
    });
    print(&format!(
        "{}: a sound model file\n\
         kind        {kind}: {explanation}\n\
         reads       the last {window_minutes} minutes\n\
         layers      {layers}\n\
         size        {} trained numbers, {} bytes\n\
         checked     checksum right, all numbers finite, from {smallest} to {largest}\n\
         {calibration}{}",
        path.display(),
        grouped(*parameters as u64),
        grouped(*bytes as u64),
        description.trained.as_ref().map_or_else(String::new, Training::explained)
    ))
}

impl Training {
    fn of(origin: Origin) -> Self {
        let functions = origin.functions.len();
        let named = origin.functions.into_iter().zip(origin.new);
        let new_functions = named.filter_map(|(name, new)| new.then_some(name)).collect();
        Self { functions, minutes: origin.seen_until, new_functions }
    }

    fn explained(&self) -> String {
        let Self { functions, minutes, new_functions } = self;
        let new = if new_functions.is_empty() {
            String::new()
        } else {
            format!(
                "short       {}: with less than a day of history, forecast by the last value, Holt-Winters or \
                 NLinear, whichever did best on it\n",
                new_functions.join(", ")
            )
        };
        format!("trained     on {functions} functions, the first {minutes} minutes of their trace\n{new}")
    }
}

/// The weight file in `path` at an address it can be viewed at, its bytes, and what it was trained on, if that is said.
fn read(path: &Path) -> Result<(Vec<u32>, usize, Option<Origin>)> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e, "check the path and its permissions"))?;
    if bytes.starts_with(&model_file::MAGIC) {
        let ModelFile { model, origin } = ModelFile::read(path)?;
        let length = model.weight_file().len();
        return Ok((model.weights, length, Some(origin)));
    }
    let mut words = vec![0u32; bytes.len().div_ceil(4)];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(&bytes);
    Ok((words, bytes.len(), None))
}

fn describe(bytes: &[u8]) -> std::result::Result<Description, WeightsError> {
    let weights = Weights::parse(bytes)?;
    let header = weights.header();
    let mut calibration = None;
    let (explanation, layers) = match header.kind {
        ModelKind::Light => {
            LightModel::new(&weights)?;
            let explanation = "one network for all functions that states quantiles of the containers busy in the next minute";
            let [_, hidden, _, networks, ..] = header.shape;
            let layers =
                format!("{FEATURES} features -> {hidden} -> {hidden} -> {OUTPUTS}, networks: {networks}");
            (explanation.to_owned(), layers)
        }
        ModelKind::Hybrid => {
            let model = HybridModel::new(&weights)?;
            let shape = *model.shape();
            let [lower, latent] = shape.encoder;
            let [first, second] = shape.predictor;
            let recipe = match shape.recipe {
                Recipe::Repaired => {
                    calibration = Some(model.calibration());
                    "quantiles of the containers busy in the next minute"
                }
                Recipe::Release => {
                    "the containers busy in the next minute as the paper's published code does"
                }
            };
            (
                format!(
                    "one LSTM network for all functions that states {recipe}; passes with some of its units left out \
                     at random (Monte-Carlo dropout) show how sure it is"
                ),
                format!(
                    "{SEQUENCE} numbers a minute -> LSTM {lower} -> LSTM {latent}, with {} features -> {first} -> \
                     {second} -> {}",
                    shape.recipe.externals(),
                    shape.outputs()
                ),
            )
        }
        _ => ("a kind this program knows nothing more about".into(), "unknown".into()),
    };
    let values = weights.values();
    let squares: f64 = values.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    Ok(Description {
        kind: header.kind.to_string(),
        window_minutes: header.window,
        shape: header.shape.iter().copied().take_while(|&size| size > 0).collect(),
        parameters: values.len(),
        bytes: bytes.len(),
        smallest: values.iter().copied().reduce(f32::min).unwrap_or(0.0),
        largest: values.iter().copied().reduce(f32::max).unwrap_or(0.0),
        root_mean_square: (squares / values.len().max(1) as f64).sqrt(),
        explanation,
        layers,
        calibration,
        trained: None,
    })
}

/// The error of a file that is no sound model; what mends it is in the second half of the reason.
fn refused(path: &Path, error: WeightsError) -> Error {
    if error == WeightsError::Foreign {
        let mend = "give a file written by `aquatope train`";
        return Error::input(path.display().to_string(), "not a model file", mend);
    }
    let reason = error.to_string();
    let (what, mend) = reason.split_once("; ").unwrap_or((&reason, "train the model again"));
    Error::input(path.display().to_string(), what, mend)
}

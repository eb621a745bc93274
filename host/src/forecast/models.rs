//! The trained models of a trace: read from a folder, or trained when first asked for.

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use aquatope_core::nn::weights::WeightsError;

use super::Forecaster;
use super::hybrid::HybridForecaster;
use super::light::LightForecaster;
use super::selection::Selection;
use crate::baselines::Classical;
use crate::error::{Error, Result};
use crate::replay::progress::Progress;
use crate::trace::{Split, Trace};
use crate::train::hybrid::{Parts, TrainError};
use crate::train::light::{Series, Trained};
use crate::train::{self, hybrid, model_file};

/// Stochastic passes of a forecast of the hybrid model: the spread of 16 is known to about 18 %, and it is added to a
/// larger count noise.
const PASSES: usize = 16;

/// The file of the light model in a folder of models.
pub const LIGHT_FILE: &str = "light.aqlm";
/// The file of the hybrid model in a folder of models.
pub const HYBRID_FILE: &str = "hybrid.aqlm";

/// The models of one trace, trained on its training part; the hybrid one stops early by the validation part.
pub struct Models<'a> {
    trace: &'a Trace,
    split: Split,
    seed: u64,
    folder: Option<PathBuf>,
    progress: Progress,
    light: OnceCell<Trained>,
    hybrid: OnceCell<Trained>,
}

impl<'a> Models<'a> {
    /// Nothing is trained yet. With a `folder`, models are read from there instead.
    pub fn new(
        trace: &'a Trace,
        split: Split,
        seed: u64,
        folder: Option<PathBuf>,
        progress: Progress,
    ) -> Self {
        Self { trace, split, seed, folder, progress, light: OnceCell::new(), hybrid: OnceCell::new() }
    }

    /// The light model, having observed the minutes before `minute`.
    ///
    /// # Errors
    /// A model file that cannot be read or is of other functions, and training that diverged.
    pub fn light(&self, minute: usize) -> Result<LightForecaster> {
        let model = cached(&self.light, || self.read(LIGHT_FILE).unwrap_or_else(|| self.train_light()))?;
        let mut forecaster =
            LightForecaster::new(model, self.parents()).map_err(|why| self.unfit(LIGHT_FILE, why))?;
        forecaster.replay(&Series::of(self.trace), minute);
        Ok(forecaster)
    }

    /// The hybrid Bayesian model, having observed the minutes before `minute`.
    ///
    /// # Errors
    /// As [`Self::light`], and parts too short to train on.
    pub fn hybrid(&self, minute: usize) -> Result<HybridForecaster> {
        let forecaster = HybridForecaster::new(self.hybrid_model()?, self.parents(), PASSES, self.seed);
        self.ready(forecaster, minute)
    }

    /// The hybrid model without uncertainty, having observed the minutes before `minute`.
    ///
    /// # Errors
    /// As [`Self::hybrid`].
    pub fn aqualite(&self, minute: usize) -> Result<HybridForecaster> {
        self.ready(HybridForecaster::aqualite(self.hybrid_model()?, self.parents()), minute)
    }

    /// Per function what validates best of the light model, the hybrid one, Holt-Winters and NLinear, or a pair; at
    /// the first minute of the test. The last two are calibrated on the end of the training part, so that no candidate
    /// has seen what it is validated on; the hybrid model is left out where there is too little to train it on.
    ///
    /// # Errors
    /// As [`Self::hybrid`].
    pub fn selection(&self) -> Result<Selection> {
        let Split { train_end, valid_end, .. } = self.split;
        let earlier = train_end.saturating_sub(valid_end - train_end);
        let inner = Split { train_end: earlier, valid_end: train_end, end: valid_end };
        let mut candidates: Vec<Box<dyn Forecaster>> = vec![Box::new(self.light(train_end)?)];
        if self.hybrid_at_hand() {
            candidates.push(Box::new(self.hybrid(train_end)?));
        }
        for model in [Classical::HoltWinters, Classical::Linear] {
            candidates.push(Box::new(model.forecaster(self.trace, inner)));
        }
        Ok(Selection::by_validation(candidates, self.trace, self.split))
    }

    /// Whether the parts are long enough for the hybrid model, or a trained one is at hand.
    pub fn hybrid_at_hand(&self) -> bool {
        self.folder
            .as_ref()
            .map_or_else(|| self.parts().check().is_ok(), |folder| folder.join(HYBRID_FILE).exists())
    }

    fn parts(&self) -> Parts {
        Parts { train_end: self.split.train_end, valid_end: self.split.valid_end }
    }

    fn parents(&self) -> Vec<Option<usize>> {
        self.trace.functions.iter().map(|function| function.parent).collect()
    }

    fn ready(
        &self,
        forecaster: std::result::Result<HybridForecaster, WeightsError>,
        minute: usize,
    ) -> Result<HybridForecaster> {
        let mut forecaster = forecaster.map_err(|why| self.unfit(HYBRID_FILE, why))?;
        forecaster.replay(&Series::of(self.trace), minute);
        Ok(forecaster)
    }

    fn hybrid_model(&self) -> Result<Trained> {
        cached(&self.hybrid, || self.read(HYBRID_FILE).unwrap_or_else(|| self.train_hybrid()))
    }

    /// The model of the folder, if there is a folder.
    fn read(&self, file: &str) -> Option<Result<Trained>> {
        let path = self.folder.as_ref()?.join(file);
        Some(model_file::read(&path).and_then(|(model, names)| {
            self.same_functions(&path, &names)?;
            Ok(model)
        }))
    }

    fn same_functions(&self, path: &Path, names: &[String]) -> Result<()> {
        let functions = &self.trace.functions;
        let other = names.iter().zip(functions).find(|(name, function)| **name != function.name);
        let what = match other {
            Some((name, function)) => {
                format!("was trained for function `{name}` where the trace has `{}`", function.name)
            }
            None if names.len() != functions.len() => {
                format!("was trained for {} functions and the trace has {}", names.len(), functions.len())
            }
            None => return Ok(()),
        };
        Err(Error::input(path.display().to_string(), what, "train the model on this trace"))
    }

    /// A weight file of another kind of model, or training that left no sound one.
    fn unfit(&self, file: &str, why: WeightsError) -> Error {
        match &self.folder {
            Some(folder) => Error::input(
                folder.join(file).display().to_string(),
                why.to_string(),
                "train the model again with `aquatope train`",
            ),
            None => Error::Failed(format!("training diverged: {why}")),
        }
    }

    fn train_light(&self) -> Result<Trained> {
        let series = Series::of(self.trace);
        let options = train::light::Options { seed: self.seed, ..Default::default() };
        let bar = self.progress.bar(0, "light: training".into(), "rounds");
        let outcome = train::light::train(&series, self.split.train_end, &options, None, |progress| {
            bar.set_length(progress.rounds as u64);
            bar.set_position(progress.round as u64);
            ControlFlow::Continue(())
        });
        bar.finish_and_clear();
        match outcome.map_err(|why| Error::Failed(format!("training diverged: {why}")))? {
            train::light::Outcome::Finished(model) => Ok(model),
            train::light::Outcome::Stopped(_) => Err(Error::Failed("training was stopped".into())),
        }
    }

    fn train_hybrid(&self) -> Result<Trained> {
        let series = Series::of(self.trace);
        let options = hybrid::Options { seed: self.seed, ..hybrid::Options::BRIEF };
        let bar = self.progress.bar(0, "hybrid: training".into(), "rounds");
        let never = AtomicBool::new(false);
        let outcome = hybrid::train(&series, self.parts(), &options, None, &never, |progress| {
            bar.set_length(progress.rounds as u64);
            bar.set_position(progress.round as u64);
        });
        bar.finish_and_clear();
        match outcome.map_err(refused)? {
            hybrid::Outcome::Finished(model) => Ok(model),
            hybrid::Outcome::Stopped(_) => Err(Error::Failed("training was stopped".into())),
        }
    }
}

/// What the trainer of the hybrid model refused, and how to mend it.
pub fn refused(why: TrainError) -> Error {
    match why {
        TrainError::TooShort { .. } => Error::input(
            "hybrid model",
            why.to_string(),
            "give a longer trace or another split, or leave the hybrid model out",
        ),
        other => Error::Failed(other.to_string()),
    }
}

fn cached(cell: &OnceCell<Trained>, make: impl FnOnce() -> Result<Trained>) -> Result<Trained> {
    if let Some(model) = cell.get() {
        return Ok(model.clone());
    }
    let model = make()?;
    Ok(cell.get_or_init(|| model).clone())
}

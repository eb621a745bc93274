//! The trained models of a trace: read from a folder, or trained when first asked for.

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::path::PathBuf;

use aquatope_core::nn::weights::WeightsError;

use super::Forecaster;
use super::hybrid::HybridForecaster;
use super::light::LightForecaster;
use super::selection::Selection;
use super::short_history::ShortHistory;
use crate::baselines::Classical;
use crate::error::{Error, Result, note};
use crate::progress::Progress;
use crate::trace::{Split, Trace};
use crate::train::hybrid::Parts;
use crate::train::light::{Series, Trained};
use crate::train::model_file::ModelFile;
use crate::train::{TrainError, hybrid, light};

/// Stochastic passes of a forecast of the hybrid model: the spread of 16 is known to about 18 %, and it is added to a
/// larger count noise.
pub(crate) const PASSES: usize = 16;

/// The file of the light model in a folder of models.
pub const LIGHT_FILE: &str = "light.aqlm";
/// The file of the hybrid model in a folder of models.
pub const HYBRID_FILE: &str = "hybrid.aqlm";

/// The models of one trace, trained on its training part, of which the hybrid one keeps some to validate on.
pub struct Models<'a> {
    trace: &'a Trace,
    split: Split,
    seed: u64,
    folder: Option<PathBuf>,
    progress: Progress,
    light: OnceCell<Known>,
    hybrid: OnceCell<Known>,
}

/// A model, and the first minute of the trace that it was not trained on.
type Known = (Trained, usize);

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

    /// The light model, having observed the minutes before `minute`; new functions are forecast by other means.
    ///
    /// # Errors
    /// A model file that cannot be read or is of other functions, and training that diverged.
    pub fn light(&self, minute: usize) -> Result<ShortHistory<LightForecaster>> {
        let mut forecaster = LightForecaster::new(self.light_model()?.0, self.parents())
            .map_err(|why| self.unfit(LIGHT_FILE, why))?;
        forecaster.replay(&Series::of(self.trace), minute);
        Ok(ShortHistory::new(forecaster, self.trace, minute))
    }

    /// Read the models of the folder that will be needed, so that one that does not fit is refused before anything runs.
    ///
    /// # Errors
    /// As [`Self::light`] and [`Self::hybrid`].
    pub fn check(&self, light: bool, hybrid: bool) -> Result<()> {
        if self.folder.is_some() && light {
            LightForecaster::new(self.light_model()?.0, self.parents())
                .map_err(|why| self.unfit(LIGHT_FILE, why))?;
        }
        if self.folder.is_some() && hybrid {
            HybridForecaster::aqualite(self.hybrid_model()?.0, self.parents())
                .map_err(|why| self.unfit(HYBRID_FILE, why))?;
        }
        Ok(())
    }

    /// The light model, if it was asked for.
    pub fn into_light(self) -> Option<Trained> {
        self.light.into_inner().map(|(model, _)| model)
    }

    /// The hybrid Bayesian model, having observed the minutes before `minute`.
    ///
    /// # Errors
    /// As [`Self::light`], and parts too short to train on.
    pub fn hybrid(&self, minute: usize) -> Result<HybridForecaster> {
        let forecaster = HybridForecaster::new(self.hybrid_model()?.0, self.parents(), PASSES, self.seed);
        self.ready(forecaster, minute)
    }

    /// The hybrid model without uncertainty, having observed the minutes before `minute`.
    ///
    /// # Errors
    /// As [`Self::hybrid`].
    pub fn aqualite(&self, minute: usize) -> Result<HybridForecaster> {
        self.ready(HybridForecaster::aqualite(self.hybrid_model()?.0, self.parents()), minute)
    }

    /// Per function what validates best of the light model, the hybrid one, Holt-Winters and NLinear, or a pair; at
    /// the first minute of the test. All are calibrated on the end of the training part, and models of a folder may have
    /// seen some of what comes after it: no candidate has seen what it is validated on. The hybrid model is left out where
    /// there is too little to train it on.
    ///
    /// # Errors
    /// As [`Self::hybrid`].
    pub fn selection(&self) -> Result<Selection> {
        let Split { train_end, valid_end, .. } = self.split;
        let mut from = train_end.max(self.light_model()?.1);
        if self.hybrid_at_hand() {
            from = from.max(self.hybrid_model()?.1);
        }
        if from >= valid_end {
            note(
                "the models have seen all that comes before the test: aquatope is the light one for want of evidence",
            );
        }
        let mut candidates: Vec<Box<dyn Forecaster>> = vec![Box::new(self.light(from)?)];
        if self.hybrid_at_hand() {
            candidates.push(Box::new(self.hybrid(from)?));
        }
        let earlier = train_end.saturating_sub(valid_end - train_end);
        let inner = Split { train_end: earlier, valid_end: from, end: valid_end };
        for model in [Classical::HoltWinters, Classical::Linear] {
            candidates.push(Box::new(model.forecaster(self.trace, inner)));
        }
        Ok(Selection::by_validation(candidates, self.trace, from..valid_end))
    }

    /// Whether the parts are long enough for the hybrid model, or a trained one is at hand.
    pub fn hybrid_at_hand(&self) -> bool {
        self.without_hybrid().is_none()
    }

    /// Why there is no hybrid model, if there is none.
    pub fn without_hybrid(&self) -> Option<String> {
        match &self.folder {
            Some(folder) if folder.join(HYBRID_FILE).exists() => None,
            Some(folder) => {
                let mend = "`aquatope train --model both` writes one";
                Some(format!("{} has no {HYBRID_FILE} ({mend})", folder.display()))
            }
            None => self.parts().check().err().map(|why| format!("{HYBRID}: {why}")),
        }
    }

    fn parts(&self) -> Parts {
        Parts::of(self.split.train_end)
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

    fn light_model(&self) -> Result<Known> {
        cached(&self.light, || self.read(LIGHT_FILE).unwrap_or_else(|| self.fresh(self.train_light())))
    }

    fn hybrid_model(&self) -> Result<Known> {
        cached(&self.hybrid, || self.read(HYBRID_FILE).unwrap_or_else(|| self.fresh(self.train_hybrid())))
    }

    fn fresh(&self, model: Result<Trained>) -> Result<Known> {
        Ok((model?, self.split.train_end))
    }

    /// The model of the folder, if there is a folder.
    fn read(&self, file: &str) -> Option<Result<Known>> {
        let path = self.folder.as_ref()?.join(file);
        Some(ModelFile::read(&path).and_then(|ModelFile { model, origin }| {
            let unfit = |(what, mend)| Error::input(path.display().to_string(), what, mend);
            origin.suits(self.trace, self.split.valid_end).map_err(unfit)?;
            let unseen = origin.first_unseen(self.trace);
            Ok((model, unseen))
        }))
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
        let options = light::Options { seed: self.seed, ..Default::default() };
        let bar = self.progress.bar(0, "light: training".into(), "rounds");
        let watch = |_: &_| ControlFlow::Continue(());
        let outcome = light::train(&series, self.split.train_end, &options, None, watch, |progress| {
            bar.at(progress.round, progress.rounds);
        });
        drop(bar);
        match outcome.map_err(|why| refused(LIGHT, why))? {
            light::Outcome::Finished(model) => Ok(model),
            light::Outcome::Stopped(_) => Err(Error::Failed("training was stopped".into())),
        }
    }

    fn train_hybrid(&self) -> Result<Trained> {
        let series = Series::of(self.trace);
        let options = hybrid::Options { seed: self.seed, ..hybrid::Options::BRIEF };
        let bar = self.progress.bar(0, "hybrid: training".into(), "rounds");
        let watch = |_: &_| ControlFlow::Continue(());
        let outcome = hybrid::train(&series, self.parts(), &options, None, watch, |progress| {
            bar.at(progress.round, progress.rounds);
        });
        drop(bar);
        match outcome.map_err(|why| refused(HYBRID, why))? {
            hybrid::Outcome::Finished(model) => Ok(model),
            hybrid::Outcome::Stopped(_) => Err(Error::Failed("training was stopped".into())),
        }
    }
}

/// The light model, in messages.
pub const LIGHT: &str = "light model";
/// The hybrid model, in messages.
pub const HYBRID: &str = "hybrid model";

/// What the trainer of `model` refused, and how to mend it.
pub fn refused(model: &str, why: TrainError) -> Error {
    match why {
        TrainError::TooShort { .. } => {
            let mend = format!("give a longer trace or another split, or leave the {model} out");
            Error::input(model, why.to_string(), mend)
        }
        other => Error::Failed(format!("{model}: {other}")),
    }
}

fn cached(cell: &OnceCell<Known>, make: impl FnOnce() -> Result<Known>) -> Result<Known> {
    if let Some(model) = cell.get() {
        return Ok(model.clone());
    }
    let model = make()?;
    Ok(cell.get_or_init(|| model).clone())
}

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

/// Minutes on which a choice between models is made at least. The score of a function that is busy now and then follows
/// chance on fewer, and timers up to an hourly one fire in them.
const LEAST_EVIDENCE: usize = 60;

/// What a choice is made between.
struct Candidates {
    /// They stand at `from`; the first one is used unless another is clearly better.
    forecasters: Vec<Box<dyn Forecaster>>,
    /// The first minute that none of them has seen.
    from: usize,
    /// What the user should know of those that were left out.
    said: Vec<String>,
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
    /// seen some of what comes after it: no candidate has seen what it is validated on, and one that has seen too much of
    /// it is left out. The hybrid model is left out where there is too little to train it on. Without evidence it is the
    /// light model. Says what it left out, and why.
    ///
    /// # Errors
    /// As [`Self::hybrid`].
    pub fn selection(&self) -> Result<Selection> {
        let Candidates { forecasters, from, said } = self.candidates()?;
        said.iter().for_each(note);
        Ok(Selection::by_validation(forecasters, self.trace, from..self.split.valid_end))
    }

    fn candidates(&self) -> Result<Candidates> {
        let Split { train_end, valid_end, .. } = self.split;
        let light_alone = |said| -> Result<Candidates> {
            Ok(Candidates { forecasters: vec![Box::new(self.light(valid_end)?)], from: valid_end, said })
        };
        let validated = valid_end - train_end;
        if validated < LEAST_EVIDENCE {
            return light_alone(vec![format!(
                "{validated} minutes validate, and a choice between models needs {LEAST_EVIDENCE}: aquatope is the light \
                 model; give more minutes between training and test (--split)"
            )]);
        }
        let mut known = vec![(LIGHT_FILE, self.light_model()?.1)];
        if self.hybrid_at_hand() {
            known.push((HYBRID_FILE, self.hybrid_model()?.1));
        }
        let (judged, seen): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|&(_, unseen)| unseen + LEAST_EVIDENCE <= valid_end);
        let then = match judged[..] {
            [] => "for want of evidence aquatope is the light model",
            _ => "aquatope chooses without it",
        };
        let left_out = |(file, unseen): (&str, usize)| {
            let path = self.folder.clone().unwrap_or_default().join(file);
            format!(
                "{}: has seen all but {} of the minutes before the test, and a choice needs {LEAST_EVIDENCE}: {then}; train \
                 it on fewer days (--train-days)",
                path.display(),
                valid_end - unseen,
            )
        };
        let said = seen.into_iter().map(left_out).collect();
        let Some(from) = judged.iter().map(|&(_, unseen)| unseen.max(train_end)).max() else {
            return light_alone(said);
        };
        let mut forecasters: Vec<Box<dyn Forecaster>> = Vec::new();
        let is_judged = |model: &str| judged.iter().any(|&(file, _)| file == model);
        if is_judged(LIGHT_FILE) {
            forecasters.push(Box::new(self.light(from)?));
        }
        if is_judged(HYBRID_FILE) {
            forecasters.push(Box::new(self.hybrid(from)?));
        }
        let earlier = train_end.saturating_sub(validated);
        let inner = Split { train_end: earlier, valid_end: from, end: valid_end };
        for model in [Classical::HoltWinters, Classical::Linear] {
            forecasters.push(Box::new(model.forecaster(self.trace, inner)));
        }
        Ok(Candidates { forecasters, from, said })
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
        warn_if_short(self.split.train_end);
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

const MORE: &str = "give a longer trace, or more of it to train on";

/// What the trainer of `model` refused, and how to mend it.
pub fn refused(model: &str, why: TrainError) -> Error {
    match why {
        TrainError::TooShort { .. } => {
            let mend = format!("{MORE}, or leave the {model} out");
            Error::input(model, why.to_string(), mend)
        }
        other => Error::Failed(format!("{model}: {other}")),
    }
}

/// Two hours: in fewer minutes not even an hourly rhythm is seen twice.
const FEW: usize = 120;

/// Say so when the light model is to learn from fewer `minutes` than that.
pub fn warn_if_short(minutes: usize) {
    if minutes < FEW {
        note(format_args!("warning: the {LIGHT} has only {minutes} minutes to learn from; {MORE}"));
    }
}

fn cached(cell: &OnceCell<Known>, make: impl FnOnce() -> Result<Known>) -> Result<Known> {
    if let Some(model) = cell.get() {
        return Ok(model.clone());
    }
    let model = make()?;
    Ok(cell.get_or_init(|| model).clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::model_file::Origin;
    use std::ops::Range;

    const SPLIT: Split = Split { train_end: 300, valid_end: 400, end: 500 };

    fn load() -> Trace {
        let mut trace = crate::generate::trace(1, 1).before(SPLIT.end);
        trace.functions.truncate(2);
        trace.counts.truncate(2);
        trace.peaks.truncate(2);
        trace
    }

    fn models(trace: &Trace, split: Split, folder: Option<PathBuf>) -> Models<'_> {
        Models::new(trace, split, 1, folder, Progress::hidden())
    }

    fn names(candidates: &Candidates) -> Vec<&str> {
        candidates.forecasters.iter().map(|candidate| candidate.name()).collect()
    }

    /// Neither by training nor by early stopping nor by calibration.
    #[test]
    fn no_candidate_has_seen_what_it_is_judged_on() {
        let trace = load();
        let changed = |minutes: Range<usize>| {
            let mut trace = trace.clone();
            for row in trace.counts.iter_mut().chain(&mut trace.peaks) {
                row[minutes.clone()].iter_mut().for_each(|number| *number += 5);
            }
            trace
        };
        let at_first_judged = |trace: &Trace| {
            let models = models(trace, SPLIT, None);
            let mut candidates = models.candidates().expect("a load to train on");
            assert_eq!(names(&candidates), ["light", "hybrid", "Holt-Winters", "NLinear"]);
            assert_eq!((candidates.from, candidates.said.len()), (SPLIT.train_end, 0));
            let forecasts: Vec<_> = candidates.forecasters.iter_mut().map(|c| c.forecast()).collect();
            let trained =
                [models.light_model(), models.hybrid_model()].map(|known| known.expect("trained").0);
            (forecasts, trained)
        };
        let (forecasts, trained) = at_first_judged(&trace);
        let judged_on = at_first_judged(&changed(SPLIT.train_end..SPLIT.valid_end));
        assert!((&forecasts, &trained) == (&judged_on.0, &judged_on.1));
        // The last tenth of what comes before is the hybrid model's to stop and to calibrate on.
        let learnt_from = at_first_judged(&changed(SPLIT.train_end - 30..SPLIT.train_end));
        assert!(forecasts.iter().zip(&learnt_from.0).all(|(one, other)| one != other));
        assert!(trained.iter().zip(&learnt_from.1).all(|(one, other)| one != other));
    }

    /// What the light and the hybrid model have seen; the candidates, where they stand, and what is said.
    type Case<'a> = (usize, usize, &'a [&'a str], usize, &'a [&'a str]);

    #[test]
    fn a_model_that_has_seen_too_much_is_left_out_of_the_choice() {
        let trace = load();
        let fresh = models(&trace, SPLIT, None);
        let [light, hybrid] =
            [fresh.light_model(), fresh.hybrid_model()].map(|known| known.expect("trained").0);
        let folder = std::env::temp_dir().join(format!("aquatope-choice-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a writable temporary folder");
        let all = ["light", "hybrid", "Holt-Winters", "NLinear"];
        let without_light = &all[1..];
        let cases: [Case<'_>; 6] = [
            (300, 300, &all, 300, &[]),
            (200, 340, &all, 340, &[]),
            (
                341,
                300,
                without_light,
                300,
                &["light.aqlm: has seen all but 59 of the minutes before the test"],
            ),
            (
                400,
                340,
                without_light,
                340,
                &["light.aqlm: has seen all but 0 of the minutes before the test"],
            ),
            (320, 400, &["light", "Holt-Winters", "NLinear"], 320, &["hybrid.aqlm: has seen all but 0"]),
            (
                400,
                350,
                &["light"],
                400,
                &["light.aqlm: has seen all but 0", "hybrid.aqlm: has seen all but 50"],
            ),
        ];
        for (light_seen, hybrid_seen, expected, from, said) in cases {
            for (file, model, seen) in [(LIGHT_FILE, &light, light_seen), (HYBRID_FILE, &hybrid, hybrid_seen)]
            {
                let file_of_model = ModelFile { model: model.clone(), origin: Origin::of(&trace, seen) };
                file_of_model.write(&folder.join(file)).expect("a writable temporary folder");
            }
            let models = models(&trace, SPLIT, Some(folder.clone()));
            let candidates = models.candidates().expect("models that fit");
            assert_eq!(names(&candidates), expected, "seen until {light_seen} and {hybrid_seen}");
            assert_eq!(candidates.from, from);
            assert_eq!(candidates.said.len(), said.len(), "{:?}", candidates.said);
            for (line, part) in candidates.said.iter().zip(said) {
                assert!(line.contains(part) && line.contains("train it on fewer days"), "{line}");
            }
            assert_eq!(models.selection().expect("the same").record().len(), 2);
        }
        std::fs::remove_dir_all(&folder).expect("our own folder");
    }

    #[test]
    fn on_less_than_an_hour_nothing_is_chosen() {
        let trace = load();
        for (valid_end, chosen) in [(359, false), (360, true)] {
            let models = models(&trace, Split { valid_end, ..SPLIT }, None);
            let candidates = models.candidates().expect("a load to train on");
            assert_eq!((candidates.forecasters.len() > 1, candidates.said.is_empty()), (chosen, chosen));
        }
    }
}

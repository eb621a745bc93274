//! Each function forecast by what validated best on it, or by the average of two.
//!
//! Each candidate is driven, minute by whole minute, through minutes that none of them was trained, stopped or calibrated on, and
//! scored by the continuous ranked probability score (from its quantiles); a function leaves the first candidate, the one
//! to trust without other evidence, only for a clearly better one: validation parts are short.

use std::ops::Range;

use aquatope_core::forecast::Forecast;

use super::score::crps;
use super::{Forecaster, Observation};
use crate::trace::Trace;

/// A candidate must have a score below this share of the first one's to be chosen instead of it.
const CLEARLY_BETTER: f64 = 0.95;

/// What forecasts one function: one candidate, or two averaged quantile by quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Index of a candidate.
    pub first: usize,
    /// Index of the candidate averaged with it.
    pub second: Option<usize>,
}

/// Several forecasters of which each function uses what validated best.
pub struct Selection {
    candidates: Vec<Box<dyn Forecaster>>,
    choices: Vec<Choice>,
}

impl Selection {
    /// Drive `candidates`, which stand at the first of `minutes` of `trace`, through them and choose for every function.
    /// The selection stands at the end of them.
    pub fn by_validation(
        mut candidates: Vec<Box<dyn Forecaster>>,
        trace: &Trace,
        minutes: Range<usize>,
    ) -> Self {
        let options = options(candidates.len());
        let mut scores = vec![vec![0.0; options.len()]; trace.functions.len()];
        for minute in minutes {
            let forecasts: Vec<Vec<Forecast>> = candidates.iter_mut().map(|c| c.forecast()).collect();
            for (function, scores) in scores.iter_mut().enumerate() {
                let peak = trace.peaks[function][minute];
                for (score, choice) in scores.iter_mut().zip(&options) {
                    *score += crps(&choice.apply(&forecasts, function), peak);
                }
            }
            let observed: Vec<Observation> = (0..trace.functions.len())
                .map(|f| Observation { count: trace.counts[f][minute], peak: trace.peaks[f][minute] })
                .collect();
            candidates.iter_mut().for_each(|c| c.observe(&observed));
        }
        let choices = scores.iter().map(|scores| best(scores, &options)).collect();
        Self { candidates, choices }
    }

    /// Of all candidates' forecasts, `[candidate][function]`, each function's own.
    fn chosen(&self, forecasts: &[Vec<Forecast>]) -> Vec<Forecast> {
        let choices = self.choices.iter().enumerate();
        choices.map(|(function, choice)| choice.apply(forecasts, function)).collect()
    }

    /// What each function uses, as the names of the candidates.
    pub fn record(&self) -> Vec<String> {
        let name = |index: usize| self.candidates[index].name();
        self.choices
            .iter()
            .map(|choice| match choice.second {
                None => name(choice.first).to_owned(),
                Some(second) => format!("{} + {}", name(choice.first), name(second)),
            })
            .collect()
    }
}

impl Forecaster for Selection {
    fn name(&self) -> &str {
        "selection"
    }

    fn forecast(&mut self) -> Vec<Forecast> {
        let forecasts: Vec<Vec<Forecast>> = self.candidates.iter_mut().map(|c| c.forecast()).collect();
        self.chosen(&forecasts)
    }

    fn forecast_ahead(&mut self, so_far: &[Observation]) -> Vec<Forecast> {
        let ahead = self.candidates.iter_mut().map(|candidate| candidate.forecast_ahead(so_far));
        let forecasts: Vec<Vec<Forecast>> = ahead.collect();
        self.chosen(&forecasts)
    }

    fn observe(&mut self, minute: &[Observation]) {
        self.candidates.iter_mut().for_each(|c| c.observe(minute));
    }
}

impl Choice {
    fn apply(&self, forecasts: &[Vec<Forecast>], function: usize) -> Forecast {
        let first = forecasts[self.first][function];
        let Some(second) = self.second else { return first };
        let second = forecasts[second][function];
        Forecast {
            mean: (first.mean + second.mean) / 2.0,
            quantiles: std::array::from_fn(|k| (first.quantiles[k] + second.quantiles[k]) / 2.0),
            epistemic: (first.epistemic + second.epistemic) / 2.0,
        }
    }
}

/// Every candidate alone, then every pair.
fn options(candidates: usize) -> Vec<Choice> {
    let alone = (0..candidates).map(|first| Choice { first, second: None });
    let pairs = (0..candidates)
        .flat_map(|first| (first + 1..candidates).map(move |second| Choice { first, second: Some(second) }));
    alone.chain(pairs).collect()
}

fn best(scores: &[f64], options: &[Choice]) -> Choice {
    let (mut bar, mut choice) = (scores[0] * CLEARLY_BETTER, options[0]);
    for (&score, &option) in scores.iter().zip(options).skip(1) {
        if score < bar {
            (bar, choice) = (score, option);
        }
    }
    choice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Function;
    use aquatope_core::forecast::LEVELS;

    /// Says the same every minute.
    struct Constant(&'static str, f32);

    impl Forecaster for Constant {
        fn name(&self) -> &str {
            self.0
        }

        fn forecast(&mut self) -> Vec<Forecast> {
            vec![Forecast { mean: self.1, quantiles: [self.1; LEVELS.len()], epistemic: 0.0 }; 3]
        }

        fn forecast_ahead(&mut self, _: &[Observation]) -> Vec<Forecast> {
            self.forecast()
        }

        fn observe(&mut self, _: &[Observation]) {}
    }

    fn named(name: &str) -> Function {
        Function {
            name: name.into(),
            trigger: String::new(),
            workflow: None,
            parent: None,
            cold_start_s: 2.0,
            memory_mb: 256.0,
            mean_duration_s: 1.0,
            concurrency: 1,
        }
    }

    #[test]
    fn every_function_uses_what_validated_best() {
        let levels = [2, 10, 6];
        let functions = ["a", "b", "c"].map(named).into();
        let mut trace = Trace { functions, ..Trace::default() };
        trace.extend_to(20);
        trace.peaks = levels.map(|level| vec![level; 20]).into();
        let candidates: Vec<Box<dyn Forecaster>> =
            vec![Box::new(Constant("low", 2.0)), Box::new(Constant("high", 10.0))];
        let mut selection = Selection::by_validation(candidates, &trace, 5..15);
        assert_eq!(selection.record(), ["low", "high", "low + high"]);
        let means: Vec<f32> = selection.forecast().iter().map(|f| f.mean).collect();
        assert_eq!(means, [2.0, 10.0, 6.0]);
    }

    #[test]
    fn the_first_candidate_is_left_only_for_a_clearly_better_one() {
        let options = options(2);
        assert_eq!(best(&[1.0, 0.96, 0.97], &options).first, 0);
        assert_eq!(best(&[1.0, 0.90, 0.97], &options).first, 1);
        assert_eq!(best(&[1.0, 0.90, 0.80], &options).second, Some(1));
    }
}

//! The light quantile model at work: one trained network, one history a function.

use aquatope_core::forecast::Forecast;
use aquatope_core::forecast::features::{self, FEATURES};
use aquatope_core::forecast::light::LightModel;
use aquatope_core::nn::weights::{Weights, WeightsError};
use aquatope_core::time::Minute;

use super::{Forecaster, Observation};
use crate::train::light::{FullHistory, Series, Trained, upstream};

/// Forecasts all functions of a trace with one trained light model.
pub struct LightForecaster {
    model: Trained,
    parents: Vec<Option<usize>>,
    histories: Vec<FullHistory>,
}

impl LightForecaster {
    /// A forecaster that has observed nothing; `parents` are the functions' upstream stages.
    ///
    /// # Errors
    /// What is wrong with the model's weight file.
    pub fn new(model: Trained, parents: Vec<Option<usize>>) -> Result<Self, WeightsError> {
        LightModel::new(&Weights::parse(model.weight_file())?)?;
        let histories = vec![FullHistory::new(Minute(0)); parents.len()];
        Ok(Self { model, parents, histories })
    }

    /// Take in the first `minutes` of every series.
    pub fn replay(&mut self, series: &[Series<'_>], minutes: usize) {
        for (history, series) in self.histories.iter_mut().zip(series) {
            for (&count, &peak) in series.counts.iter().zip(series.peaks).take(minutes) {
                history.push(count, peak);
            }
        }
    }
}

impl Forecaster for LightForecaster {
    fn name(&self) -> &str {
        "light"
    }

    fn forecast(&mut self) -> Vec<Forecast> {
        // `new` checked the file.
        let Ok(model) = Weights::parse(self.model.weight_file()).and_then(|w| LightModel::new(&w)) else {
            return vec![Forecast::default(); self.histories.len()];
        };
        let mut row = [0.0; FEATURES];
        (0..self.histories.len())
            .map(|function| {
                let profile = &self.model.profiles[function];
                let upstream = upstream(&self.parents, &self.histories, function);
                features::write(&self.histories[function], profile, upstream.as_ref(), &mut row);
                model.forecast(&row, profile)
            })
            .collect()
    }

    fn observe(&mut self, minute: &[Observation]) {
        for (history, observed) in self.histories.iter_mut().zip(minute) {
            history.push(observed.count, observed.peak);
        }
    }
}

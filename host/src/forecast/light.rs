//! The light quantile model at work: one trained network, one history a function.

use aquatope_core::forecast::Forecast;
use aquatope_core::forecast::light::LightModel;
use aquatope_core::nn::weights::{Weights, WeightsError};
use aquatope_core::time::Minute;

use super::{Forecaster, Observation};
use crate::train::light::{Series, State, Trained, upstream};

/// Forecasts all functions of a trace with one trained light model.
pub struct LightForecaster {
    model: Trained,
    parents: Vec<Option<usize>>,
    states: Vec<State>,
}

impl LightForecaster {
    /// A forecaster that has observed nothing; `parents` are the functions' upstream stages.
    ///
    /// # Errors
    /// What is wrong with the model's weight file.
    pub fn new(model: Trained, parents: Vec<Option<usize>>) -> Result<Self, WeightsError> {
        LightModel::new(&Weights::parse(model.weight_file())?)?;
        let states = model.profiles.iter().map(|&profile| State::new(Minute(0), profile)).collect();
        Ok(Self { model, parents, states })
    }

    /// Take in the first `minutes` of every series.
    pub fn replay(&mut self, series: &[Series<'_>], minutes: usize) {
        for (state, series) in self.states.iter_mut().zip(series) {
            for (&count, &peak) in series.counts.iter().zip(series.peaks).take(minutes) {
                state.push(count, peak);
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
            return vec![Forecast::default(); self.states.len()];
        };
        (0..self.states.len())
            .map(|function| {
                let upstream = upstream(&self.parents, &self.states, function);
                model.forecast(&self.states[function].read(upstream.as_ref()))
            })
            .collect()
    }

    fn forecast_ahead(&mut self, so_far: &[Observation]) -> Vec<Forecast> {
        let before = self.states.clone();
        self.observe(so_far);
        let forecasts = self.forecast();
        self.states = before;
        forecasts
    }

    fn observe(&mut self, minute: &[Observation]) {
        for (state, observed) in self.states.iter_mut().zip(minute) {
            state.push(observed.count, observed.peak);
        }
    }
}

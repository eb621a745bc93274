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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::light::{Options, Outcome, train};
    use std::ops::ControlFlow;

    #[test]
    fn a_forecast_ahead_is_what_it_would_be_and_takes_nothing_in() {
        let peaks: [Vec<u32>; 2] = [4, 6].map(|n| (0..600u32).map(|minute| minute * minute % n).collect());
        let of = |peaks, parent| Series { counts: peaks, peaks, parent };
        let series = [of(&peaks[0], None), of(&peaks[1], Some(0))];
        let options = Options { hidden: 8, rows: 1 << 10, batch: 64, ..Options::default() };
        let outcome = train(&series, 500, &options, None, |_| ControlFlow::Continue(()), |_| {}).unwrap();
        let Outcome::Finished(model) = outcome else { panic!("nobody stopped it") };
        let mut ahead = LightForecaster::new(model.clone(), vec![None, Some(0)]).unwrap();
        let mut twin = LightForecaster::new(model, vec![None, Some(0)]).unwrap();
        for forecaster in [&mut ahead, &mut twin] {
            forecaster.replay(&series, 500);
        }
        let before = ahead.forecast();
        let seen = [Observation { count: 9, peak: 7 }, Observation { count: 2, peak: 1 }];
        let found = ahead.forecast_ahead(&seen);
        assert_eq!(ahead.forecast(), before);
        twin.observe(&seen);
        assert_eq!(found, twin.forecast());
        assert!(found.iter().zip(&before).all(|(found, before)| found != before));
    }
}

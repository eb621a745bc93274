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
    use aquatope_core::forecast::MEDIAN;
    use aquatope_core::random;
    use rand_core::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use std::ops::ControlFlow;

    /// A network that knows noisy loads only forecasts what never changes, and what repeats, without a fault.
    #[test]
    fn a_load_without_chance_is_forecast_as_it_is() {
        const MINUTES: usize = 900;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let noisy = |level: u32| -> Vec<u32> {
            (0..MINUTES).map(|_| level / 2 + random::below(&mut rng, level)).collect()
        };
        let mut peaks: Vec<Vec<u32>> = [2, 5, 10, 20, 40, 80].map(noisy).into();
        peaks.push(vec![50; MINUTES]);
        peaks.push((0..MINUTES as u32).map(|minute| 8 * u32::from(minute % 12 == 5)).collect());
        peaks.push((0..MINUTES as u32).map(|minute| 30 + 3 * (minute % 17)).collect());
        let series: Vec<_> = peaks.iter().map(|p| Series { counts: p, peaks: p, parent: None }).collect();
        let options = Options { hidden: 16, rows: 1 << 17, ..Options::default() };
        let outcome =
            train(&series[..6], 800, &options, None, |_| ControlFlow::Continue(()), |_| {}).unwrap();
        let Outcome::Finished(mut model) = outcome else { panic!("nobody stopped it") };
        model.profiles.extend(peaks[6..].iter().map(|peaks| crate::train::profile::fit(&peaks[..800])));
        let mut forecaster = LightForecaster::new(model, vec![None; peaks.len()]).unwrap();
        forecaster.replay(&series, 800);
        for minute in 800..MINUTES {
            let forecasts = forecaster.forecast();
            for (forecast, peaks) in forecasts[6..].iter().zip(&peaks[6..]) {
                let off = (forecast.quantiles[MEDIAN] - peaks[minute] as f32).abs();
                assert!(off < 0.6, "minute {minute}: {forecast:?} for {}", peaks[minute]);
            }
            let now = |peaks: &Vec<u32>| Observation { count: peaks[minute], peak: peaks[minute] };
            forecaster.observe(&peaks.iter().map(now).collect::<Vec<_>>());
        }
    }
}

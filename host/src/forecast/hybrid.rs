//! The hybrid Bayesian model at work: one trained network, one history and one window a function.

use std::collections::VecDeque;

use aquatope_core::forecast::features::Reading;
use aquatope_core::forecast::hybrid::{HybridInput, HybridModel, Recipe, SEQUENCE};
use aquatope_core::forecast::{Forecast, LEVELS};
use aquatope_core::nn::weights::{Weights, WeightsError};
use aquatope_core::time::Minute;
use aquatope_core::window::calendar;
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Forecaster, Observation};
use crate::train::light::{Series, State, Trained, upstream};

/// Forecasts all functions of a trace with one trained hybrid model.
pub struct HybridForecaster {
    model: Trained,
    parents: Vec<Option<usize>>,
    states: Vec<State>,
    windows: Vec<VecDeque<[f32; SEQUENCE]>>,
    recipe: Recipe,
    passes: usize,
    point: bool,
    rngs: Vec<Xoshiro256PlusPlus>,
}

impl HybridForecaster {
    /// A forecaster that has observed nothing; `parents` are the functions' upstream stages, `passes` the stochastic
    /// passes of a forecast (0: one deterministic pass).
    ///
    /// # Errors
    /// What is wrong with the model's weight file.
    pub fn new(
        model: Trained,
        parents: Vec<Option<usize>>,
        passes: usize,
        seed: u64,
    ) -> Result<Self, WeightsError> {
        let shape = *HybridModel::new(&Weights::parse(model.weight_file())?)?.shape();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let rngs = parents.iter().map(|_| Xoshiro256PlusPlus::from_rng(&mut rng)).collect();
        let empty = VecDeque::from(vec![[0.0; SEQUENCE]; shape.window]);
        Ok(Self {
            states: model.profiles.iter().map(|&profile| State::new(Minute(0), profile)).collect(),
            windows: vec![empty; parents.len()],
            model,
            parents,
            recipe: shape.recipe,
            passes,
            point: false,
            rngs,
        })
    }

    /// The same model without uncertainty, as the paper's AquaLite: one deterministic pass, and every quantile is its
    /// median.
    pub fn aqualite(model: Trained, parents: Vec<Option<usize>>) -> Result<Self, WeightsError> {
        Ok(Self { point: true, ..Self::new(model, parents, 0, 0)? })
    }

    /// Take in the first `minutes` of every series.
    pub fn replay(&mut self, series: &[Series<'_>], minutes: usize) {
        let mut observed = vec![Observation::default(); series.len()];
        for minute in 0..minutes {
            for (observed, series) in observed.iter_mut().zip(series) {
                let at = |values: &[u32]| values.get(minute).copied().unwrap_or(0);
                *observed = Observation { count: at(series.counts), peak: at(series.peaks) };
            }
            self.observe(&observed);
        }
    }

    /// Forecast the functions from `start` on, each with its own `rngs`, into `forecasts`.
    fn forecast_from(&self, start: usize, rngs: &mut [Xoshiro256PlusPlus], forecasts: &mut [Forecast]) {
        // `new` checked the file.
        let Ok(weights) = Weights::parse(self.model.weight_file()) else { return };
        let Ok(model) = HybridModel::new(&weights) else { return };
        let mut scratch = vec![0.0; model.scratch_len()];
        for ((function, rng), slot) in (start..).zip(rngs).zip(forecasts) {
            let upstream = upstream(&self.parents, &self.states, function);
            let Reading { features, experts, unit } = self.states[function].read(upstream.as_ref());
            let calendar = calendar(self.states[function].history().next());
            let external = if self.recipe == Recipe::Release { &calendar[..] } else { &features[..] };
            let sequence: Vec<_> = self.windows[function].iter().copied().collect();
            let input = HybridInput { sequence: &sequence, external, experts: &experts, unit };
            // Lengths fit and counts are finite, so there is always a forecast.
            let forecast = model.forecast(&input, self.passes, rng, &mut scratch).unwrap_or_default();
            *slot = if self.point {
                let median = forecast.quantile(0.5);
                Forecast { mean: median, quantiles: [median; LEVELS.len()], epistemic: 0.0 }
            } else {
                forecast
            };
        }
    }
}

impl Forecaster for HybridForecaster {
    fn name(&self) -> &str {
        if self.point { "aqualite" } else { "hybrid" }
    }

    /// Half of the functions on another thread; every function draws from its own stream, so the result does not
    /// depend on the division.
    fn forecast(&mut self) -> Vec<Forecast> {
        let count = self.states.len();
        let mut forecasts = vec![Forecast::default(); count];
        let mut rngs = std::mem::take(&mut self.rngs);
        let half = count.div_ceil(2);
        let (first_rngs, second_rngs) = rngs.split_at_mut(half);
        let (first, second) = forecasts.split_at_mut(half);
        std::thread::scope(|scope| {
            if !second.is_empty() {
                scope.spawn(|| self.forecast_from(half, second_rngs, second));
            }
            self.forecast_from(0, first_rngs, first);
        });
        self.rngs = rngs;
        forecasts
    }

    fn forecast_ahead(&mut self, so_far: &[Observation]) -> Vec<Forecast> {
        let before = (self.states.clone(), self.windows.clone());
        self.observe(so_far);
        let forecasts = self.forecast();
        (self.states, self.windows) = before;
        forecasts
    }

    fn observe(&mut self, minute: &[Observation]) {
        for (function, observed) in minute.iter().enumerate().take(self.states.len()) {
            let parent = self.parents[function].and_then(|p| minute.get(p)).map_or(0, |p| p.count);
            let step = self.recipe.step(
                observed.peak,
                observed.count,
                parent,
                self.states[function].history().next(),
            );
            self.windows[function].pop_front();
            self.windows[function].push_back(step);
            self.states[function].push(observed.count, observed.peak);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::hybrid::{Options, Outcome, Parts, Phase, train};
    use std::ops::ControlFlow;

    #[test]
    fn a_trained_model_forecasts_a_timer() {
        let peaks: Vec<u32> = (0..900u32).map(|m| if m % 6 == 2 { 4 } else { 0 }).collect();
        let series = [Series { counts: &peaks, peaks: &peaks, parent: None }];
        let mut options = Options { samples: 1 << 9, ..Options::REPAIRED };
        for (phase, rounds) in options.phases.iter_mut().zip([0, 8, 8]) {
            *phase = Phase { rounds, samples: 1 << 9, batch: 16, ..*phase };
        }
        let parts = Parts { train_end: 700, valid_end: 800 };
        let outcome = train(&series, parts, &options, None, |_| ControlFlow::Continue(()), |_| {}).unwrap();
        let Outcome::Finished(model) = outcome else { panic!("nobody stopped it") };
        let mut forecaster = HybridForecaster::new(model.clone(), vec![None], 16, 1).unwrap();
        let mut lite = HybridForecaster::aqualite(model, vec![None]).unwrap();
        forecaster.replay(&series, parts.valid_end);
        lite.replay(&series, parts.valid_end);
        let mut ahead = None;
        for &peak in &peaks[parts.valid_end..] {
            let forecast = forecaster.forecast()[0];
            assert!((forecast.quantile(0.5) - peak as f32).abs() < 1.0, "{forecast:?} for {peak}");
            assert!(forecast.epistemic > 0.0);
            let point = lite.forecast()[0];
            assert!(point.epistemic == 0.0 && (point.mean - peak as f32).abs() < 1.0);
            assert!(
                ahead.is_none_or(|ahead| ahead == point),
                "{ahead:?} was said of the minute of {point:?}"
            );
            let seen = [Observation { count: peak, peak }];
            ahead = Some(lite.forecast_ahead(&seen)[0]);
            assert_eq!(lite.forecast()[0], point, "what is said ahead takes nothing in");
            for forecaster in [&mut forecaster, &mut lite] {
                forecaster.observe(&seen);
            }
        }
    }
}

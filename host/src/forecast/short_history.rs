//! Functions in their first day: a classical forecaster each, instead of the network for all.
//!
//! The network learns from functions with days behind them. Of a function that is new where the others are not it has
//! a mean, a period and features that stand for hours which were not observed. Such a function is forecast by the last
//! value, Holt-Winters or NLinear (an autoregression, on so little), whichever forecast the last third of its own
//! history best when fitted and calibrated on the rest; and so until the network is trained again.
//!
//! Where no function has more than a day of history the network has learnt from just such histories, and stays: it
//! forecasts them better. It also stays for a function that was never invoked: there is nothing to fit.

use aquatope_core::forecast::Forecast;

use super::score::crps;
use super::{Forecaster, Observation};
use crate::baselines::Classical;
use crate::baselines::conformal::Conformal;
use crate::trace::Trace;

/// Minutes of history with which a function is no longer new.
pub const ENOUGH: usize = 1440;

const CANDIDATES: [Classical; 3] =
    [Classical::MovingMax { minutes: 1 }, Classical::HoltWinters, Classical::Linear];

/// The index of the first minute with an invocation, of a function that has less than [`ENOUGH`] minutes of history
/// at `minute` although the trace has more.
pub fn first_minute(counts: &[u32], minute: usize) -> Option<usize> {
    let first = counts[..minute].iter().position(|&count| count > 0)?;
    (minute > ENOUGH && minute - first < ENOUGH).then_some(first)
}

/// A network, and the functions that something else forecasts.
pub struct ShortHistory<F> {
    network: F,
    new: Vec<New>,
}

struct New {
    function: usize,
    series: Conformal,
}

impl<F: Forecaster> ShortHistory<F> {
    /// `network` has observed the minutes of `trace` before `minute`.
    pub fn new(network: F, trace: &Trace, minute: usize) -> Self {
        let functions = trace.counts.iter().zip(&trace.peaks).enumerate();
        let new = functions.filter_map(|(function, (counts, peaks))| {
            let first = first_minute(counts, minute)?;
            Some(New { function, series: best(&peaks[first..minute]) })
        });
        Self { new: new.collect(), network }
    }
}

impl<F: Forecaster> Forecaster for ShortHistory<F> {
    fn name(&self) -> &str {
        self.network.name()
    }

    fn forecast(&mut self) -> Vec<Forecast> {
        let mut forecasts = self.network.forecast();
        for New { function, series } in &mut self.new {
            forecasts[*function] = series.forecast();
        }
        forecasts
    }

    fn forecast_ahead(&mut self, so_far: &[Observation]) -> Vec<Forecast> {
        let mut forecasts = self.network.forecast_ahead(so_far);
        for New { function, series } in &mut self.new {
            forecasts[*function] = series.forecast_ahead(so_far[*function].peak);
        }
        forecasts
    }

    fn observe(&mut self, minute: &[Observation]) {
        self.network.observe(minute);
        for New { function, series } in &mut self.new {
            series.observe(minute[*function].peak);
        }
    }
}

/// The candidate that forecasts the last third of `peaks` best, having taken in all of them.
fn best(peaks: &[u32]) -> Conformal {
    let third = peaks.len() / 3;
    let (before, last) = peaks.split_at(peaks.len() - third);
    let score = |model: Classical| -> f64 {
        let (fitted_on, calibrated_on) = before.split_at(before.len() - third);
        let mut series = model.of_series(fitted_on, calibrated_on);
        let errors = last.iter().map(|&peak| {
            let error = crps(&series.forecast(), peak);
            series.observe(peak);
            error
        });
        errors.sum()
    };
    let scores = CANDIDATES.map(|model| (score(model), model));
    let chosen = scores.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    chosen.map_or(CANDIDATES[0], |(_, model)| model).of_series(before, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aquatope_core::forecast::{LEVELS, MEDIAN};

    /// A network that has learnt nothing.
    struct Silent(usize);

    impl Forecaster for Silent {
        fn name(&self) -> &str {
            "silent"
        }

        fn forecast(&mut self) -> Vec<Forecast> {
            vec![Forecast { mean: -1.0, quantiles: [-1.0; LEVELS.len()], epistemic: 0.0 }; self.0]
        }

        fn forecast_ahead(&mut self, _: &[Observation]) -> Vec<Forecast> {
            self.forecast()
        }

        fn observe(&mut self, _: &[Observation]) {}
    }

    fn medians(forecaster: &mut dyn Forecaster) -> Vec<f32> {
        forecaster.forecast().iter().map(|forecast| forecast.quantiles[MEDIAN]).collect()
    }

    #[test]
    fn only_new_functions_are_taken_from_the_network() {
        const NOW: usize = 3000;
        // Always there; a step that is ten hours old; never invoked; every third minute since yesterday noon.
        let step = |minute: usize| if minute >= NOW - 600 { 4 } else { 0 };
        let beat = |minute: usize| if minute >= NOW - 1200 && minute.is_multiple_of(3) { 6 } else { 0 };
        let row = |peak: &dyn Fn(usize) -> u32| (0..NOW).map(peak).collect::<Vec<u32>>();
        let counts = vec![row(&|_| 1), row(&step), row(&|_| 0), row(&beat)];
        let trace = Trace { minutes: NOW, peaks: counts.clone(), counts, ..Trace::default() };
        let mut forecaster = ShortHistory::new(Silent(4), &trace, NOW);
        // Minute 3,000 is a beat; the one after is not. The last value would say the opposite of both.
        let now = medians(&mut forecaster);
        assert_eq!((now[0], now[1], now[2]), (-1.0, 4.0, -1.0));
        assert!(now[3] > 5.0, "{now:?}");
        let observed = [1, 4, 0, 6].map(|peak| Observation { count: peak, peak });
        forecaster.observe(&observed);
        let next = medians(&mut forecaster);
        assert!(next[1] == 4.0 && next[3] < 1.0, "{next:?}");
    }

    #[test]
    fn in_a_short_trace_every_function_is_left_to_the_network() {
        let peaks = vec![vec![2; 900], (0..900).map(|minute| u32::from(minute > 700)).collect()];
        let trace = Trace { minutes: 900, counts: peaks.clone(), peaks, ..Trace::default() };
        assert_eq!(medians(&mut ShortHistory::new(Silent(2), &trace, 900)), [-1.0, -1.0]);
    }

    #[test]
    fn the_shortest_histories_do() {
        for minutes in 1..60 {
            let forecast = best(&vec![3; minutes]).forecast();
            assert!(forecast.quantiles[MEDIAN] > 2.5, "{minutes} minutes: {forecast:?}");
        }
    }
}

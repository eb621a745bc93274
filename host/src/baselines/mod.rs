//! What Aquatope is compared with, each as its source states it.
//!
//! Two kinds: point forecasters of one series (this trait, made into distributions by [`conformal`]) and pool policies
//! that keep containers without forecasting counts.

pub mod arima;
pub mod autoscale;
pub mod conformal;
pub mod faascache;
pub mod harmonics;
pub mod holt_winters;
pub mod hybrid_histogram;
pub mod linear;
pub mod lstm;
pub mod openwhisk;
pub mod recent;

use std::fmt;

use realfft::RealFftPlanner;

use crate::trace::{Split, Trace};
use arima::Arima;
use conformal::{Conformal, ConformalForecaster};
use harmonics::Harmonics;
use holt_winters::HoltWinters;
use linear::Linear;
use recent::MovingMax;

/// Forecasts one series a step ahead.
pub trait PointForecaster: Send {
    /// The value expected for the minute after the last observed; may be negative.
    fn predict(&mut self) -> f64;

    /// Take in the value of the minute just predicted.
    fn observe(&mut self, value: u32);

    /// Another one that has observed the same.
    fn boxed_clone(&self) -> Box<dyn PointForecaster>;
}

/// The classical forecasters, each of one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classical {
    /// The largest of the last so many minutes; of one minute: the last value.
    MovingMax {
        /// Minutes looked back on.
        minutes: usize,
    },
    /// [`HoltWinters`].
    HoltWinters,
    /// [`Linear::fit`]: NLinear, an autoregression on short histories.
    Linear,
    /// [`Harmonics`], IceBreaker's forecast.
    Harmonics {
        /// Minutes looked back on.
        window: usize,
        /// Harmonics kept.
        harmonics: usize,
    },
    /// [`Arima`].
    Arima,
}

impl Classical {
    /// Fit a model for every function of `trace` on the training part and calibrate it on the validation part; the
    /// forecaster stands at the first minute of the test.
    pub fn forecaster(self, trace: &Trace, split: Split) -> ConformalForecaster {
        let mut planner = RealFftPlanner::new();
        let functions = trace.peaks.iter().map(|peaks| {
            let valid_end = split.valid_end.min(peaks.len());
            let (train, valid) = peaks[..valid_end].split_at(split.train_end.min(valid_end));
            (self.fit(train, valid, &mut planner), valid)
        });
        ConformalForecaster::new(self.to_string(), functions)
    }

    /// The model of one series, fitted on `train` and calibrated on `valid`, at whose end it stands.
    pub fn of_series(self, train: &[u32], valid: &[u32]) -> Conformal {
        Conformal::calibrate(self.fit(train, valid, &mut RealFftPlanner::new()), valid)
    }

    fn fit(
        self,
        train: &[u32],
        valid: &[u32],
        planner: &mut RealFftPlanner<f64>,
    ) -> Box<dyn PointForecaster> {
        match self {
            Self::MovingMax { minutes } => Box::new(MovingMax::new(minutes, train)),
            Self::HoltWinters => Box::new(HoltWinters::fit(train, valid)),
            Self::Linear => Box::new(Linear::fit(train)),
            Self::Harmonics { window, harmonics } => {
                Box::new(Harmonics::new(window, harmonics, train, planner))
            }
            Self::Arima => Box::new(Arima::fit(train)),
        }
    }
}

impl fmt::Display for Classical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MovingMax { minutes: 1 } => f.write_str("last value"),
            Self::MovingMax { minutes } => write!(f, "moving max {minutes} min"),
            Self::HoltWinters => f.write_str("Holt-Winters"),
            Self::Linear => f.write_str("NLinear"),
            Self::Harmonics { window, harmonics } => write!(f, "FFT {harmonics} of {window} min"),
            Self::Arima => f.write_str("ARIMA"),
        }
    }
}

/// Minutes in a day.
const DAY: usize = 1440;

/// Small loads for the policies' tests: cold start 2 s, 1,024 MB (so that GB s are container-seconds).
#[cfg(test)]
mod testing {
    use crate::sim::{FunctionOutcome, Outcome, Policy, Simulation};
    use crate::trace::{Event, Function, Trace};

    pub(super) fn function() -> Function {
        Function {
            name: "f".into(),
            trigger: String::new(),
            workflow: None,
            parent: None,
            cold_start_s: 2.0,
            memory_mb: 1024.0,
            mean_duration_s: 1.0,
            concurrency: 1,
        }
    }

    /// `minutes` minutes of one function invoked at `(start_s, duration_s)`.
    pub(super) fn one_function(minutes: usize, invocations: &[(f64, f64)]) -> Trace {
        let mut trace = Trace { functions: vec![function()], ..Trace::default() };
        let events = invocations.iter();
        trace.events =
            events.map(|&(start_s, duration_s)| Event { function: 0, start_s, duration_s }).collect();
        trace.extend_to(minutes);
        trace.measure_events();
        trace
    }

    /// Simulate the whole of `trace`.
    pub(super) fn simulate_all(trace: &Trace, policy: &mut dyn Policy) -> Outcome {
        Simulation::new(trace, 0..trace.minutes).run(policy)
    }

    /// The outcome of the only function.
    pub(super) fn simulate(trace: &Trace, policy: &mut dyn Policy) -> FunctionOutcome {
        simulate_all(trace, policy).functions[0]
    }
}

/// Root of the mean squared error of the one-step predictions over `values`, which the model takes in.
#[cfg(test)]
fn rmse(model: &mut dyn PointForecaster, values: &[u32]) -> f64 {
    let squares = values.iter().map(|&value| {
        let error = f64::from(value) - model.predict();
        model.observe(value);
        error * error
    });
    (squares.sum::<f64>() / values.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::{Forecaster, Observation};

    /// No forecast may use a value of the test before it was observed.
    #[test]
    fn forecasts_do_not_leak() {
        let peaks = |late: u32| -> Vec<u32> {
            (0..3000_u32).map(|minute| minute * minute % 7 + if minute < 2900 { 0 } else { late }).collect()
        };
        let split = Split { train_end: 2000, valid_end: 2800, end: 3000 };
        for model in [
            Classical::MovingMax { minutes: 5 },
            Classical::HoltWinters,
            Classical::Linear,
            Classical::Harmonics { window: 120, harmonics: 10 },
            Classical::Arima,
        ] {
            let run = |late: u32| -> Vec<_> {
                let trace = Trace { minutes: 3000, peaks: vec![peaks(late)], ..Trace::default() };
                let mut forecaster = model.forecaster(&trace, split);
                let test = &trace.peaks[0][split.valid_end..];
                test.iter()
                    .map(|&peak| {
                        let forecast = forecaster.forecast()[0];
                        forecaster.observe(&[Observation { count: peak, peak }]);
                        forecast
                    })
                    .collect()
            };
            let (quiet, shifted) = (run(0), run(50));
            assert_eq!(quiet[..=100], shifted[..=100], "{model}");
            assert_ne!(quiet[101..], shifted[101..], "{model}");
            assert!(quiet.iter().all(|f| f.quantiles.is_sorted() && f.quantiles[0] >= 0.0), "{model}");
        }
    }
}

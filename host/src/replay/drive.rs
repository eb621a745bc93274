//! Drives a forecaster minute by minute: each minute is forecast before it is shown.

use std::ops::Range;
use std::time::Instant;

use aquatope_core::forecast::Forecast;

use super::errors::Errors;
use crate::forecast::{Forecaster, Observation};
use crate::progress::Bar;
use crate::trace::{Split, Trace};

/// The forecasts of some minutes.
pub(super) struct Forecasts {
    /// `[function][minute]`.
    pub(super) rows: Vec<Vec<Forecast>>,
    /// Median milliseconds for one minute of all functions.
    pub(super) ms: f64,
}

/// Let `forecaster`, which has observed everything before, forecast `minutes`; where there is `so_far`
/// (`[minute][function]`, of all but the last), each but the first from what that says of the minute before it.
pub(super) fn drive(
    forecaster: &mut dyn Forecaster,
    trace: &Trace,
    so_far: Option<&[Vec<Observation>]>,
    minutes: Range<usize>,
    bar: Bar,
) -> Forecasts {
    let mut rows = vec![Vec::with_capacity(minutes.len()); trace.functions.len()];
    let mut milliseconds = Vec::with_capacity(minutes.len());
    let mut timed = |forecast: &mut dyn FnMut() -> Vec<Forecast>| {
        let started = Instant::now();
        let forecasts = forecast();
        milliseconds.push(started.elapsed().as_secs_f64() * 1e3);
        forecasts
    };
    let mut observations = vec![Observation::default(); rows.len()];
    let mut ahead = None;
    for (index, minute) in minutes.enumerate() {
        // Of the minute before the first all is known.
        let forecasts = ahead.take().unwrap_or_else(|| timed(&mut || forecaster.forecast()));
        for (row, forecast) in rows.iter_mut().zip(forecasts) {
            row.push(forecast);
        }
        if let Some(seen) = so_far.and_then(|so_far| so_far.get(index)) {
            ahead = Some(timed(&mut || forecaster.forecast_ahead(seen)));
        }
        for (function, observation) in observations.iter_mut().enumerate() {
            let (count, peak) = (trace.counts[function][minute], trace.peaks[function][minute]);
            *observation = Observation { count, peak };
        }
        forecaster.observe(&observations);
        bar.step();
    }
    milliseconds.sort_by(f64::total_cmp);
    Forecasts { rows, ms: milliseconds.get(milliseconds.len() / 2).copied().unwrap_or(0.0) }
}

impl Forecasts {
    /// The errors of every function, the forecast minutes being the test part of `split`.
    pub(super) fn errors(&self, trace: &Trace, split: Split) -> Vec<Errors> {
        let Split { train_end, valid_end, end } = split;
        let functions = self.rows.iter().zip(&trace.peaks);
        functions
            .map(|(row, peaks)| {
                let trained: u64 = peaks[..train_end].iter().map(|&peak| u64::from(peak)).sum();
                Errors::of(row, &peaks[valid_end..end], trained as f64 / train_end.max(1) as f64)
            })
            .collect()
    }
}

//! One light model for all functions or one for each: scores and memory on the demo load.
//!
//! ```text
//! cargo run --release -p aquatope-benches --example own_or_global [DAYS]
//! ```
//!
//! DAYS of training (10), one day between, three to test.

use std::env;
use std::ops::ControlFlow;
use std::time::Instant;

use aquatope::forecast::light::LightForecaster;
use aquatope::forecast::{Forecaster, Observation};
use aquatope::replay::errors::Errors;
use aquatope::replay::frontier::memory_at;
use aquatope::replay::policies::plans;
use aquatope::sim::{Simulation, Targets};
use aquatope::trace::Trace;
use aquatope::train::light::{Options, Outcome, Series, Trained, train};
use aquatope_core::forecast::Forecast;

const DAY: usize = 1440;

fn main() {
    let days: usize = env::args().nth(1).map_or(10, |text| text.parse().expect("a number of days"));
    let trace = aquatope::generate::trace(1, days + 4);
    let (train_end, test) = (days * DAY, (days + 1) * DAY);
    let series = Series::of(&trace);
    println!("trained  |     s | CRPS   | memory x oracle at 4 / 2 / 1 %");

    let started = Instant::now();
    let global = trained(&series, train_end);
    let seconds = started.elapsed().as_secs_f64();
    report("for all", seconds, &trace, train_end, test, &forecasts(&series, &global, test));

    let (mut seconds, mut rows) = (0.0, Vec::new());
    for function in 0..series.len() {
        let family = family(&series, function);
        let started = Instant::now();
        let model = trained(&family, train_end);
        seconds += started.elapsed().as_secs_f64();
        rows.push(forecasts(&family, &model, test).swap_remove(0));
    }
    report("for each", seconds, &trace, train_end, test, &rows);
}

fn trained(series: &[Series<'_>], train_end: usize) -> Trained {
    let options = Options::default();
    match train(series, train_end, &options, None, |_| ControlFlow::Continue(()), |_| {}) {
        Ok(Outcome::Finished(model)) => model,
        _ => panic!("nobody stopped it and it does not diverge"),
    }
}

/// A function and the stages before it, from which its own model learns too.
fn family<'a>(series: &[Series<'a>], function: usize) -> Vec<Series<'a>> {
    let mut family = Vec::new();
    let mut next = Some(function);
    while let Some(function) = next {
        next = series[function].parent;
        family.push(Series { parent: next.map(|_| family.len() + 1), ..series[function] });
    }
    family
}

/// What `model` says about each of `series` from minute `test` on.
fn forecasts(series: &[Series<'_>], model: &Trained, test: usize) -> Vec<Vec<Forecast>> {
    let parents = series.iter().map(|one| one.parent).collect();
    let mut forecaster = LightForecaster::new(model.clone(), parents).expect("our own model");
    forecaster.replay(series, test);
    let mut rows = vec![Vec::new(); series.len()];
    for minute in test..series[0].peaks.len() {
        for (row, forecast) in rows.iter_mut().zip(forecaster.forecast()) {
            row.push(forecast);
        }
        let at = |one: &Series<'_>| Observation { count: one.counts[minute], peak: one.peaks[minute] };
        forecaster.observe(&series.iter().map(at).collect::<Vec<_>>());
    }
    rows
}

fn report(
    name: &str,
    seconds: f64,
    trace: &Trace,
    train_end: usize,
    test: usize,
    forecasts: &[Vec<Forecast>],
) {
    let errors: Vec<Errors> = forecasts
        .iter()
        .zip(&trace.peaks)
        .map(|(row, peaks)| {
            let mean = peaks[..train_end].iter().map(|&peak| f64::from(peak)).sum::<f64>() / train_end as f64;
            Errors::of(row, &peaks[test..], mean)
        })
        .collect();
    let simulation = Simulation::new(trace, test..trace.minutes);
    let oracle = simulation.run(&mut Targets::new(0, &trace.peaks).ready_at_once()).memory_gb_s();
    let memory_mb = trace.functions.iter().map(|f| f.memory_mb).sum::<f64>() / trace.functions.len() as f64;
    let points: Vec<(f64, f64)> = plans(2.25, memory_mb)
        .iter()
        .filter(|plan| plan.sweep == 0)
        .map(|plan| {
            let containers = |row: &Vec<Forecast>, memory_mb: f64, peaks: &[u32]| -> Vec<u32> {
                let most = 4 * peaks[..test].iter().max().map_or(2, |&peak| peak.max(2));
                row.iter().map(|forecast| plan.containers(forecast, memory_mb, most)).collect()
            };
            let targets: Vec<Vec<u32>> = forecasts
                .iter()
                .zip(&trace.functions)
                .zip(&trace.peaks)
                .map(|((row, function), peaks)| containers(row, function.memory_mb, peaks))
                .collect();
            let outcome = simulation.run(&mut Targets::new(test, &targets));
            (outcome.memory_gb_s() / oracle, outcome.cold_percent())
        })
        .collect();
    let at = |percent: f64| memory_at(&points, percent).unwrap_or(f64::NAN);
    println!(
        "{name:8} | {seconds:5.1} | {:.4} | {:.3} / {:.3} / {:.3}",
        Errors::mean(&errors).crps_scaled,
        at(4.0),
        at(2.0),
        at(1.0)
    );
}

//! One step of the black box from given data: fit both processes, find the batch. For benchmarks; stateless.
//!
//! Coordinates are taken as they come, without grid or scaling; the model is the peers': Matérn-5/2 with Gamma
//! priors, known noise, cold start.

use std::time::Instant;

use aquatope_core::bo::acquisition::Improvement;
use aquatope_core::bo::acquisition::maximise::{MAX_RAW, MAX_RESTARTS, Search};
use aquatope_core::bo::surrogates::{Sampling, Surrogates};
use aquatope_core::gp::{GpError, Noise, Prior};
use aquatope_workflow::fault;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use serde_json::{Value, json};

use crate::error::{Error, Result};

use super::json::Field;
use super::problem::{MAX_AXES, MAX_BATCH, MAX_PATHS, MAX_TRIALS};

/// Answer a `candgen` request.
pub fn answer(request: &Field) -> Result<Value> {
    let inputs: Vec<Vec<f64>> =
        request.get("X").items()?.iter().map(Field::numbers).collect::<fault::Result<_>>()?;
    let positive = |name: &str| -> fault::Result<Vec<f64>> {
        request.get(name).items()?.iter().map(Field::positive).collect()
    };
    let (costs, latencies) = (positive("cost")?, positive("latency")?);
    let dimensions = inputs.first().map_or(0, Vec::len);
    if dimensions == 0 || inputs.iter().any(|x| x.len() != dimensions) {
        return Err(request
            .get("X")
            .fault("has rows of different lengths, or none", "give n rows of d numbers")
            .into());
    }
    if costs.len() != inputs.len() || latencies.len() != inputs.len() {
        return Err(request
            .get("X")
            .fault("differs in length from cost or latency", "give one of each an observation")
            .into());
    }
    let limited = |name: &str, most: usize| -> fault::Result<u16> {
        let field = request.get(name);
        let value = field.whole(1)?;
        if value > most as u64 {
            Err(field.fault(format!("is {value}"), format!("use at most {most}")))
        } else {
            Ok(value as u16)
        }
    };
    let qos = request.get("qos").positive()?;
    let noise = request.get("noise_var_log").non_negative()?;
    let sampling = Sampling {
        improvement: Improvement::LogNei,
        samples: limited("mc", MAX_PATHS)?,
        search: Search {
            raw: limited("raw", MAX_RAW)?,
            restarts: limited("restarts", MAX_RESTARTS)?,
            evaluations: limited("maxiter", usize::from(u16::MAX))?,
        },
        ..Sampling::default()
    };
    let batch = usize::from(limited("q", MAX_BATCH)?);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(request.get("seed").whole(0)?);
    let mut surrogates = Box::new(Surrogates::<MAX_TRIALS, MAX_AXES, MAX_PATHS>::new());

    let failed = |error: GpError| Error::input("candgen", error.to_string(), "change the data");
    let started = Instant::now();
    surrogates.reset(dimensions).map_err(failed)?;
    for ((x, cost), latency) in inputs.iter().zip(&costs).zip(&latencies) {
        surrogates.push(x, *cost, latency / qos, noise, noise).map_err(failed)?;
    }
    surrogates.fit(Prior::Gamma, Noise::Known, [None, None]).map_err(failed)?;
    let fitted = Instant::now();
    let mut x = vec![[0.0; MAX_AXES]; batch];
    let (lower, upper) = ([0.0; MAX_AXES], [1.0; MAX_AXES]);
    let evaluations =
        surrogates.search(&sampling, &[], &lower, &upper, &mut x, |_, _| (), &mut rng).map_err(failed)?;
    let found = Instant::now();
    let x: Vec<&[f64]> = x.iter().map(|x| &x[..dimensions]).collect();
    let seconds = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64();
    Ok(
        json!({ "x": x, "t": { "fit": seconds(started, fitted), "acq": seconds(fitted, found) }, "nev": evaluations }),
    )
}

//! A study of two functions in a row, with their CPU and memory as axes.

use crate::Failure;
use aquatope_core::bo::acquisition::maximise::Search;
use aquatope_core::bo::blackbox::{BlackBox, BlackBoxConfig};
use aquatope_core::bo::model::{Objective, Recommendation};
use aquatope_core::bo::space::{Axis, SearchSpace};
use aquatope_core::bo::study::{Study, StudyConfig};
use aquatope_core::bo::surrogates::{Sampling, Surrogates};
use aquatope_core::bo::trial::Outcome;
use aquatope_core::math::float;
use aquatope_core::random::{SplitMix64, standard_normal};

/// The scratch memory of the study: up to 32 trials in 4 dimensions, 8 paths, one candidate moved at a time.
pub type Memory = Surrogates<32, 4, 8, 1>;

/// Runs the study and returns what it recommends.
///
/// # Errors
/// The step that failed.
// Not inlined, so that its stack is free when it is done.
#[inline(never)]
pub fn study(memory: &mut Memory) -> Result<Recommendation<4>, Failure> {
    let cpu = Axis::new(0.1, 4.0, 0.1).and_then(Axis::log_scaled).map_err(|_| "the CPU axis")?;
    let memory_mb =
        Axis::new(128.0, 2048.0, 64.0).and_then(Axis::log_scaled).map_err(|_| "the memory axis")?;
    let space = SearchSpace::<4>::new(&[cpu, memory_mb, cpu, memory_mb]).map_err(|_| "the space")?;
    let objective = Objective { latency_limit: 2.4, confidence: 0.95 };
    let sampling = Sampling {
        samples: 8,
        search: Search { raw: 64, restarts: 4, evaluations: 40 },
        joint: false,
        ..Sampling::default()
    };
    let model = BlackBox::<4, 32, 8, 1>::new(BlackBoxConfig { sampling, ..BlackBoxConfig::default() });
    let config = StudyConfig { objective, initial: 8, seed: 1 };
    let mut study: Result<Study<_, 4, 32, 1>, _> = Study::new(space, config, model);
    let study = study.as_mut().map_err(|_| "the study")?;
    let (mut rng, mut noise) = (SplitMix64(2), SplitMix64(3));
    while study.trials().len() < 32 {
        for id in study.ask(3, &mut rng, memory).map_err(|_| "asking")? {
            let trial = study.trial(id).ok_or("a trial that was just asked")?;
            let (mut cost, mut latency) = (0.0, 0.0);
            let mut pair = [0.0; 2];
            for (axis, value) in study.space().values(&trial.point).enumerate() {
                pair[axis % 2] = value;
                if axis % 2 == 1 {
                    let (price, duration) = invoke(pair, &mut noise);
                    cost += price;
                    latency += duration;
                }
            }
            let outcome = Outcome::new(cost, latency).map_err(|_| "an outcome")?;
            study.tell(id, outcome).map_err(|_| "telling")?;
        }
    }
    study.recommendation(memory).map_err(|_| "recommending")
}

/// What one run of a function costs and how many seconds it takes, with 5 % of noise.
fn invoke([cpu, memory_mb]: [f64; 2], noise: &mut SplitMix64) -> (f64, f64) {
    let thrashing = (700.0 / memory_mb).max(1.0);
    let duration = (0.2 + 1.5 / cpu) * thrashing * float::exp(0.05 * standard_normal(noise));
    ((cpu * 0.173 + memory_mb / 1024.0 * 0.05) * duration, duration)
}

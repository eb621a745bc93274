//! Finds the cheapest CPU and memory for one function whose latency must stay below a limit: the whole life of a
//! study. `cargo run -p aquatope-core --example ask_tell`

use aquatope_core::bo::blackbox::{BlackBox, BlackBoxConfig};
use aquatope_core::bo::model::Objective;
use aquatope_core::bo::space::{Axis, SearchSpace};
use aquatope_core::bo::study::{Study, StudyConfig};
use aquatope_core::bo::surrogates::Surrogates;
use aquatope_core::bo::trial::Outcome;
use aquatope_core::random::{SplitMix64, standard_normal};
use std::error::Error;

/// What one invocation costs and how long it takes, with 5 % of noise.
fn invoke(cpu: f64, memory_mb: f64, noise: &mut SplitMix64) -> (f64, f64) {
    let thrashing = (700.0 / memory_mb).max(1.0);
    let latency = (0.2 + 1.5 / cpu) * thrashing * (0.05 * standard_normal(noise)).exp();
    ((cpu * 0.173 + memory_mb / 1024.0 * 0.05) * latency, latency)
}

fn main() -> Result<(), Box<dyn Error>> {
    let space = SearchSpace::new(&[
        Axis::new(0.1, 4.0, 0.1)?.log_scaled()?,
        Axis::new(128.0, 2048.0, 64.0)?.log_scaled()?,
    ])?;
    let objective = Objective { latency_limit: 1.2, confidence: 0.95 };
    let config = StudyConfig { objective, initial: 8, seed: 1 };
    // Capacities: 2 axes, 64 trials, 1 function; 64 trials and 64 paths in the scratch.
    let mut study: Study<_, 2, 64, 1> = Study::new(space, config, BlackBox::new(BlackBoxConfig::default()))?;
    let mut scratch: Box<Surrogates<64, 2, 64>> = Box::default();
    let (mut rng, mut noise) = (SplitMix64(2), SplitMix64(3));

    while study.trials().len() < 32 {
        for id in study.ask(3, &mut rng, &mut scratch)? {
            let Some(trial) = study.trial(id) else { continue };
            let values: Vec<f64> = study.space().values(&trial.point).collect();
            let (cost, latency) = invoke(values[0], values[1], &mut noise);
            println!(
                "trial {:2}: {:.1} CPUs {:4} MB  cost {cost:.3}  latency {latency:.3} s",
                id.0, values[0], values[1]
            );
            study.tell(id, Outcome::new(cost, latency)?)?;
        }
    }

    let best = study.recommendation(&mut scratch)?;
    let values: Vec<f64> = study.space().values(&best.point).collect();
    println!(
        "use {:.1} CPUs and {} MB: cost {:.3}, latency {:.3} s, meets the limit with probability {:.3}",
        values[0],
        values[1],
        best.ln_cost.mean.exp(),
        best.ln_latency.mean.exp(),
        best.feasible
    );
    Ok(())
}

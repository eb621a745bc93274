//! The native twin of `wasm/bench.mjs`: one ask of the black box (3 trials after 30, in 8 dimensions), milliseconds.
//! `cargo run --release -p aquatope-workflow --example ask`

use aquatope_core::bo::acquisition::Improvement;
use aquatope_core::bo::model::Objective;
use aquatope_core::bo::space::{Axis, SearchSpace};
use aquatope_core::bo::study::{Study, StudyConfig};
use aquatope_core::bo::trial::Outcome;
use aquatope_workflow::models::{
    self, BlackBoxModel, BlackBoxScratch, Effort, MAX_AXES, MAX_FUNCTIONS, MAX_TRIALS,
};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let space = SearchSpace::new(&[Axis::new(0.1, 4.0, 0.1)?.log_scaled()?; 8])?;
    let objective = Objective { latency_limit: 10.0, confidence: 0.95 };
    let config = StudyConfig { objective, initial: 10, seed: 1 };
    let model = models::black_box(Effort::default(), Improvement::LogNei);
    let mut study = Study::<BlackBoxModel, MAX_AXES, MAX_TRIALS, MAX_FUNCTIONS>::new(space, config, model)?;
    let mut scratch: Box<BlackBoxScratch> = Box::new(BlackBoxScratch::new());

    let mut asks = 0;
    while study.trials().len() < 30 {
        let count = if study.trials().len() < 10 { 10 } else { 3 };
        let mut rng = models::stream(1, asks);
        asks += 1;
        for id in study.ask(count, &mut rng, &mut scratch)? {
            let Some(trial) = study.trial(id) else { continue };
            let values: Vec<f64> = study.space().values(&trial.point).collect();
            let latency: f64 = values.iter().map(|value| 1.0 / value).sum();
            study.tell(id, Outcome::new(latency * (1.0 + values.iter().sum::<f64>()), latency)?)?;
        }
    }

    let mut times = Vec::new();
    for _ in 0..15 {
        let mut copy = study.clone();
        let start = Instant::now();
        copy.ask(3, &mut models::stream(1, asks), &mut scratch)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!("native: median {:.1} ms, best {:.1} ms", times[7], times[0]);
    Ok(())
}

//! Seeded inputs shared by the benches.

use aquatope_core::bo::surrogates::Surrogates;
use aquatope_core::gp::{Noise, Prior};
use aquatope_core::random::{SplitMix64, standard_normal, uniform};

/// Both black-box processes, fitted to `n` noisy observations of a workflow-like function of `d` inputs: every
/// function's duration falls with its CPU and memory, its price rises with them.
///
/// # Panics
/// For sizes that the processes do not hold.
pub fn observed_surrogates(n: usize, d: usize) -> Box<Surrogates<128, 32, 64>> {
    let mut rng = SplitMix64(42);
    let mut surrogates = Box::new(Surrogates::new());
    surrogates.reset(d).expect("at most 32 inputs");
    for _ in 0..n {
        let x: Vec<f64> = (0..d).map(|_| uniform(&mut rng)).collect();
        let (mut cost, mut latency) = (0.0, 0.0);
        for function in x.chunks(2) {
            let resources: f64 = function.iter().map(|x| 0.1 + x).sum();
            let duration = 0.3 + 1.0 / resources;
            latency += duration;
            cost += resources * duration;
        }
        let noise = (0.16 * standard_normal(&mut rng)).exp();
        let relative = latency * noise / (0.8 * d as f64);
        surrogates.push(&x, cost * noise, relative, 0.0256, 0.0256).expect("at most 128 finite observations");
    }
    surrogates.fit(Prior::Gamma, Noise::Known, [None, None]).expect("noisy observations can be fitted");
    surrogates
}

//! The built-in simulator: what a workflow costs and how long it takes under a configuration, with and without noise.
//!
//! One function with `cpu` cores, `mem` MB and `k` requests a container:
//! ```text
//! c      = cpu / (1 + contention (k - 1))
//! t_cpu  = serial_s / min(1, c) + parallel_s / min(c, max_parallelism)              Amdahl under a CPU quota
//! ws     = ws_base_mb + ws_per_req_mb k                                              working set
//! thrash = min(1 + thrash_a max(ws/mem - 1, 0)^thrash_b, thrash_cap)
//! t_io   = io_s (1 - cache_hit_max (1 - exp(-max(mem - ws, 0) / cache_tau_mb)))      page cache
//! dur    = (t_cpu + t_io) thrash
//! ```
//! A sample multiplies durations by mean-one lognormal noise, part of it common to the functions of an invocation,
//! and with some probability slows the whole sample (a noisy neighbour).

use aquatope_core::math::float;
use aquatope_core::workflow::Configuration;

use crate::counter_random::{normal, uniform};
use crate::outcome::Outcome;
use crate::space::Point;
use crate::workflow::Workflow;
use crate::workflow_file::{Noise, Performance};

/// How noisy a run is.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Scenario {
    /// Standard deviation of the log durations.
    pub noise: f64,
    /// Probability that a sample is an outlier.
    pub outliers: f64,
}

/// A simulated workflow.
#[derive(Clone, Debug)]
pub struct Simulator {
    /// Shape, prices and grid.
    pub workflow: Workflow,
    /// One a function.
    pub performance: Vec<Performance>,
    /// Shape of the noise.
    pub noise: Noise,
}

impl Simulator {
    /// Seconds function `i` takes without noise.
    pub fn duration(&self, point: &Point, i: usize) -> f64 {
        let Configuration { cpu, memory_mb: memory, concurrency } = self.workflow.configuration(point, i);
        let p = &self.performance[i];
        let share = cpu / (1.0 + p.contention * (concurrency - 1.0));
        let compute = p.serial_s / share.min(1.0) + p.parallel_s / share.min(p.max_parallelism);
        let working_set = p.ws_base_mb + p.ws_per_req_mb * concurrency;
        let shortage = (working_set / memory - 1.0).max(0.0);
        let thrash = (1.0 + p.thrash_a * float::pow(shortage, p.thrash_b)).min(p.thrash_cap);
        let free = (memory - working_set).max(0.0);
        let io = p.io_s * (1.0 - p.cache_hit_max * (1.0 - float::exp(-free / p.cache_tau_mb)));
        (compute + io) * thrash
    }

    /// Durations of all functions without noise.
    pub fn durations(&self, point: &Point) -> Vec<f64> {
        (0..self.performance.len()).map(|i| self.duration(point, i)).collect()
    }

    /// Cost and end-to-end latency (s) without noise.
    pub fn truth(&self, point: &Point) -> (f64, f64) {
        self.workflow.compose(point, &self.durations(point))
    }

    /// The noisy sample number `evaluation` of the run with this `seed`: the mean of the schema's invocations.
    pub fn sample(&self, point: &Point, scenario: Scenario, seed: u64, evaluation: u64) -> Outcome {
        let slow_down = if self.is_outlier(scenario, seed, evaluation) {
            let Noise { outlier_min, outlier_max, .. } = self.noise;
            outlier_min + (outlier_max - outlier_min) * uniform(seed, [evaluation, 0, 0, 101])
        } else {
            1.0
        };
        let base = self.durations(point);
        let invocations = u64::from(self.noise.invocations);
        let (common, own) = (float::sqrt(self.noise.rho_common), float::sqrt(1.0 - self.noise.rho_common));
        let sigma = scenario.noise;
        let mut costs = Vec::with_capacity(invocations as usize);
        let mut latencies = Vec::with_capacity(invocations as usize);
        let mut mean = vec![0.0; base.len()];
        for j in 1..=invocations {
            let shared = normal(seed, [evaluation, j, 0, 0]);
            let noisy = |(i, base): (usize, &f64)| {
                let z = common * shared + own * normal(seed, [evaluation, j, i as u64 + 1, 0]);
                base * slow_down * float::exp(sigma * z - 0.5 * sigma * sigma)
            };
            let durations: Vec<f64> = base.iter().enumerate().map(noisy).collect();
            let (cost, latency) = self.workflow.compose(point, &durations);
            costs.push(cost);
            latencies.push(latency);
            mean.iter_mut().zip(&durations).for_each(|(mean, d)| *mean += d / invocations as f64);
        }
        let (cost, cost_variance) = mean_and_its_variance(&costs);
        let (latency_s, latency_variance) = mean_and_its_variance(&latencies);
        Outcome { cost, latency_s, cost_variance, latency_variance, durations: mean }
    }

    /// Whether sample `evaluation` is slowed as a whole.
    pub fn is_outlier(&self, scenario: Scenario, seed: u64, evaluation: u64) -> bool {
        uniform(seed, [evaluation, 0, 0, 100]) < scenario.outliers
    }
}

/// The mean and the variance of that mean; the latter is unknown for one value.
fn mean_and_its_variance(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
    (mean, (values.len() > 1).then(|| squares / (count - 1.0) / count))
}

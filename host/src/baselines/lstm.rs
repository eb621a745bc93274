//! Vanilla LSTM (Hochreiter and Schmidhuber 1997): one layer on the last 48 minutes and a linear output, trained on the
//! squared error of the next minute. What the hybrid Bayesian model is compared with in the paper: it sees the series
//! alone and says one number, without dropout.
//!
//! In its favour: one network learns from all functions, each series in its own mean and deviation; the target is
//! relative to the last value; and like every point forecaster here it gets the quantiles of its residuals as margin
//! ([`super::conformal`]).

use std::collections::VecDeque;
use std::sync::Arc;

use aquatope_core::nn::lstm::Variational;
use aquatope_core::nn::{Linear, Lstm};
use aquatope_core::random;
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::PointForecaster;
use super::conformal::ConformalForecaster;
use crate::trace::{Split, Trace};
use crate::train::adam::{Adam, clip, one_cycle};
use crate::train::lstm_bptt::{LstmShape, LstmTape};
use crate::train::matrix::{linear, linear_gradient};

/// Minutes looked back on, as the hybrid model.
const WINDOW: usize = 48;
const SHAPE: LstmShape = LstmShape { inputs: 1, hidden: 32 };
/// Samples drawn from the training part, and how often each is learnt from.
const SAMPLES: usize = 1 << 15;
const ROUNDS: usize = 4;
const BATCH: usize = 128;
const RATE: f64 = 5e-3;

/// Train on the training part of `trace` and calibrate on the validation part; the forecaster stands at the first
/// minute of the test.
pub fn forecaster(trace: &Trace, split: Split, seed: u64) -> ConformalForecaster {
    let peaks: Vec<&[u32]> =
        trace.peaks.iter().map(|peaks| &peaks[..split.valid_end.min(peaks.len())]).collect();
    let train: Vec<&[u32]> = peaks.iter().map(|peaks| &peaks[..split.train_end.min(peaks.len())]).collect();
    let network = Arc::new(Network::train(&train, SAMPLES, seed));
    let functions = train.iter().zip(&peaks).map(|(train, peaks)| {
        let model: Box<dyn PointForecaster> = Box::new(LstmForecaster::new(Arc::clone(&network), train));
        (model, &peaks[train.len()..])
    });
    ConformalForecaster::new("LSTM", functions)
}

/// The trained numbers: those of the layer, then weight `[hidden]` and bias of the output.
struct Network {
    parameters: Vec<f32>,
}

impl Network {
    /// Adam with a one-cycle rate on `samples` (whole batches) drawn from all of `series`; none of them long enough leaves the network
    /// saying the last value.
    fn train(series: &[&[u32]], samples: usize, seed: u64) -> Self {
        let scaled: Vec<Vec<f32>> = series
            .iter()
            .map(|series| {
                let scale = Scale::of(series);
                series.iter().map(|&value| scale.apply(value)).collect()
            })
            .collect();
        let long: Vec<&[f32]> = scaled.iter().map(Vec::as_slice).filter(|s| s.len() > WINDOW).collect();
        if long.is_empty() {
            return Self { parameters: vec![0.0; LEN] };
        }
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let samples: Vec<&[f32]> = (0..samples)
            .map(|_| {
                let series = long[random::below(&mut rng, long.len() as u32) as usize];
                let from = random::below(&mut rng, (series.len() - WINDOW) as u32) as usize;
                &series[from..=from + WINDOW]
            })
            .collect();
        let mut parameters = initial(&mut rng);
        let mut adam = Adam::new(LEN);
        let mut workers = [Worker::default(), Worker::default()];
        let total = ROUNDS * samples.len() / BATCH;
        for step in 0..total {
            let batch = &samples[step * BATCH % samples.len()..][..BATCH];
            let (first, second) = batch.split_at(BATCH / 2);
            let [one, two] = &mut workers;
            std::thread::scope(|scope| {
                scope.spawn(|| two.gradient(&parameters, second));
                one.gradient(&parameters, first);
            });
            for (sum, other) in one.gradient.iter_mut().zip(&two.gradient) {
                *sum += other;
            }
            clip(&mut one.gradient, 1.0);
            adam.step(one_cycle(RATE, step, total), &mut parameters, &one.gradient);
        }
        Self { parameters }
    }

    /// The scaled change expected after the scaled values of `window`.
    fn predict(&self, window: &[f32]) -> f32 {
        let (layer, output) = self.parameters.split_at(SHAPE.len());
        let (weight, bias) = output.split_at(SHAPE.hidden);
        let [input, recurrent, gate_bias] = SHAPE.split(layer);
        let (mut states, mut change) = (vec![0.0; window.len() * SHAPE.hidden], [0.0]);
        let mut run = || {
            let layer = Lstm::new(input, recurrent, gate_bias)?;
            let mut scratch = vec![0.0; layer.scratch_len()];
            layer.forward(window, &Variational::NONE, &mut states, &mut scratch)?;
            Linear::new(weight, bias)?.forward(&states[states.len() - SHAPE.hidden..], &mut change)
        };
        // The shapes are constants that fit.
        run().map_or(0.0, |()| change[0])
    }
}

/// Number of parameters.
const LEN: usize = 4 * SHAPE.hidden * (SHAPE.inputs + SHAPE.hidden + 1) + SHAPE.hidden + 1;

/// Uniform within 1/sqrt(hidden), as PyTorch draws them, but forget gates open (Jozefowicz et al. 2015).
fn initial(rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    let bound = 1.0 / (SHAPE.hidden as f64).sqrt();
    let mut parameters: Vec<f32> =
        (0..LEN).map(|_| ((2.0 * random::uniform(rng) - 1.0) * bound) as f32).collect();
    let forget = SHAPE.len() - 3 * SHAPE.hidden;
    parameters[forget..forget + SHAPE.hidden].fill(1.0);
    parameters
}

/// Memory of half a batch.
#[derive(Default)]
struct Worker {
    tape: LstmTape<f32>,
    x: Vec<f32>,
    d_states: Vec<f32>,
    gradient: Vec<f32>,
}

impl Worker {
    /// The gradient of the batch's mean squared error, from these `samples` of it: a window and the value after it.
    fn gradient(&mut self, parameters: &[f32], samples: &[&[f32]]) {
        let rows = samples.len();
        self.x.clear();
        for step in 0..WINDOW {
            self.x.extend(samples.iter().map(|sample| sample[step]));
        }
        let (layer, output) = parameters.split_at(SHAPE.len());
        let (weight, bias) = output.split_at(SHAPE.hidden);
        self.tape.forward(SHAPE, layer, &self.x, rows);
        let states = self.tape.outputs(SHAPE, rows);
        let last = &states[states.len() - rows * SHAPE.hidden..];
        let mut change = vec![0.0; rows];
        linear(last, weight, bias, &mut change);
        for (change, sample) in change.iter_mut().zip(samples) {
            *change = 2.0 / BATCH as f32 * (*change - (sample[WINDOW] - sample[WINDOW - 1]));
        }
        self.gradient.clear();
        self.gradient.resize(LEN, 0.0);
        self.d_states.clear();
        self.d_states.resize(states.len(), 0.0);
        let d_last = &mut self.d_states[states.len() - rows * SHAPE.hidden..];
        let (d_layer, d_output) = self.gradient.split_at_mut(SHAPE.len());
        let (d_weight, d_bias) = d_output.split_at_mut(SHAPE.hidden);
        linear_gradient(last, weight, &change, d_weight, d_bias, Some(d_last));
        self.tape.backward(SHAPE, layer, &self.x, rows, &self.d_states, d_layer, None);
    }
}

/// Mean and deviation of a series.
#[derive(Clone, Copy)]
struct Scale {
    mean: f32,
    deviation: f32,
}

impl Scale {
    fn of(series: &[u32]) -> Self {
        let count = series.len().max(1) as f64;
        let mean = series.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = series.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        // A series that hardly moves must not count for more than one that does.
        Self { mean: mean as f32, deviation: variance.sqrt().max(0.05) as f32 }
    }

    fn apply(self, value: u32) -> f32 {
        (value as f32 - self.mean) / self.deviation
    }
}

/// One series.
#[derive(Clone)]
struct LstmForecaster {
    network: Arc<Network>,
    scale: Scale,
    /// The last minutes, scaled; before the first one, its mean.
    window: VecDeque<f32>,
}

impl LstmForecaster {
    /// A forecaster that has observed `train`.
    fn new(network: Arc<Network>, train: &[u32]) -> Self {
        let (scale, window) = (Scale::of(train), VecDeque::from([0.0; WINDOW]));
        let mut forecaster = Self { network, scale, window };
        train[train.len().saturating_sub(WINDOW)..].iter().for_each(|&value| forecaster.observe(value));
        forecaster
    }
}

impl PointForecaster for LstmForecaster {
    fn predict(&mut self) -> f64 {
        let change = self.network.predict(self.window.make_contiguous());
        let last = self.window.back().copied().unwrap_or(0.0);
        f64::from((last + change) * self.scale.deviation + self.scale.mean)
    }

    fn observe(&mut self, value: u32) {
        self.window.pop_front();
        self.window.push_back(self.scale.apply(value));
    }

    fn boxed_clone(&self) -> Box<dyn PointForecaster> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::rmse;

    #[test]
    fn the_gradient_is_that_of_the_squared_error() {
        let series: Vec<f32> = (0..80).map(|k| (k * k % 7) as f32 / 3.0 - 1.0).collect();
        let samples: Vec<&[f32]> = (0..4).map(|k| &series[8 * k..=8 * k + WINDOW]).collect();
        let parameters = initial(&mut Xoshiro256PlusPlus::seed_from_u64(1));
        let mut worker = Worker::default();
        worker.gradient(&parameters, &samples);
        let loss = |parameters: &[f32]| -> f64 {
            let network = Network { parameters: parameters.to_vec() };
            let errors = samples
                .iter()
                .map(|s| f64::from(network.predict(&s[..WINDOW]) - (s[WINDOW] - s[WINDOW - 1])));
            errors.map(|e| e * e).sum::<f64>() / BATCH as f64
        };
        for k in (0..LEN).step_by(331).chain([LEN - 1]) {
            let at = |delta: f32| {
                let mut moved = parameters.clone();
                moved[k] += delta;
                loss(&moved)
            };
            let difference = (at(1e-2) - at(-1e-2)) / 2e-2;
            let found = f64::from(worker.gradient[k]);
            assert!((difference - found).abs() < 2e-3 * found.abs().max(0.05), "{k}: {difference} {found}");
        }
    }

    #[test]
    fn a_pattern_is_learnt_and_repeated_bit_for_bit() {
        let values: Vec<u32> = (0..900).map(|minute| [0, 40, 10, 30, 20][minute % 5]).collect();
        let network = Network::train(&[&values[..600]], 1 << 13, 1);
        let again = Network::train(&[&values[..600]], 1 << 13, 1);
        assert_eq!(network.parameters, again.parameters);
        let mut model = LstmForecaster::new(Arc::new(network), &values[..600]);
        assert!(rmse(&mut model, &values[600..]) < 3.0);
    }

    #[test]
    fn without_a_window_it_says_the_last_value() {
        let network = Arc::new(Network::train(&[&[1; WINDOW]], 1 << 13, 1));
        assert!((LstmForecaster::new(network, &[3, 5]).predict() - 5.0).abs() < 1e-5);
    }
}

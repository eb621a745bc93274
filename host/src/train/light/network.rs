//! One light network in training: three layers forward and back, the pinball loss, Adam.

use aquatope_core::forecast::LEVELS;
use aquatope_core::forecast::features::FEATURES;
use aquatope_core::forecast::light::OUTPUTS;
use aquatope_core::random;
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::Options;
use super::rows::{Rows, Target};
use crate::train::adam::Adam;
use crate::train::matrix::{linear, linear_gradient};

/// What of a network changes in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// In the order of the model's numbers.
    pub(super) parameters: Vec<f32>,
    pub(super) adam: Adam<f32>,
}

/// One network in training: parameters in the model's order (weights `[input][output]`, bias, three layers).
pub(super) struct Network {
    shape: [usize; 4],
    state: State,
    gradient: Vec<f32>,
    input: Vec<f32>,
    target: Vec<Target>,
    hidden: [Vec<f32>; 2],
    hidden_gradient: [Vec<f32>; 2],
    output: Vec<f32>,
}

impl Network {
    /// Uniform weights within 1/sqrt(inputs), as PyTorch draws them.
    pub(super) fn new(options: &Options, number: usize) -> Self {
        let shape = [FEATURES, options.hidden, options.hidden, OUTPUTS];
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(options.seed ^ (number as u64 + 1) << 48);
        let mut parameters = Vec::new();
        for layer in shape.windows(2) {
            let bound = 1.0 / (layer[0] as f64).sqrt();
            let len = layer[0] * layer[1] + layer[1];
            parameters.extend((0..len).map(|_| ((2.0 * random::uniform(&mut rng) - 1.0) * bound) as f32));
        }
        let len = parameters.len();
        let wide = vec![0.0; options.batch * options.hidden];
        Self {
            shape,
            state: State { parameters, adam: Adam::new(len) },
            gradient: vec![0.0; len],
            input: vec![0.0; options.batch * FEATURES],
            target: vec![Target::default(); options.batch],
            hidden: [wide.clone(), wide.clone()],
            hidden_gradient: [wide.clone(), wide],
            output: vec![0.0; options.batch * OUTPUTS],
        }
    }

    /// What a run that goes on later needs.
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Go on from `state`.
    pub(super) fn restore(&mut self, state: State) {
        self.state = state;
    }

    /// One Adam step on the rows of `batch`; the mean pinball loss before it.
    pub(super) fn step(&mut self, rows: &Rows, batch: &[u32], rate: f64) -> f32 {
        for (&row, (input, target)) in
            batch.iter().zip(self.input.chunks_exact_mut(FEATURES).zip(&mut self.target))
        {
            input.copy_from_slice(&rows.features[row as usize]);
            *target = rows.targets[row as usize];
        }
        let loss = self.gradients();
        self.state.adam.step(rate, &mut self.state.parameters, &self.gradient);
        loss
    }

    /// Fill `gradient` for the batch in `input`; the mean pinball loss.
    fn gradients(&mut self) -> f32 {
        let [inputs, h1, h2, outputs] = self.shape;
        let (first, rest) = self.state.parameters.split_at(inputs * h1 + h1);
        let (second, third) = rest.split_at(h1 * h2 + h2);
        let (w1, b1) = first.split_at(inputs * h1);
        let (w2, b2) = second.split_at(h1 * h2);
        let (w3, b3) = third.split_at(h2 * outputs);
        let [a1, a2] = &mut self.hidden;
        linear(&self.input, w1, b1, a1);
        rectify(a1);
        linear(a1, w2, b2, a2);
        rectify(a2);
        linear(a2, w3, b3, &mut self.output);
        let loss = pinball(&mut self.output, &self.target);

        self.gradient.fill(0.0);
        let (g1, rest) = self.gradient.split_at_mut(inputs * h1 + h1);
        let (g2, g3) = rest.split_at_mut(h1 * h2 + h2);
        let ((dw1, db1), (dw2, db2), (dw3, db3)) =
            (g1.split_at_mut(inputs * h1), g2.split_at_mut(h1 * h2), g3.split_at_mut(h2 * outputs));
        let [d1, d2] = &mut self.hidden_gradient;
        linear_gradient(a2, w3, &self.output, dw3, db3, Some(d2));
        mask(d2, a2);
        linear_gradient(a1, w2, d2, dw2, db2, Some(d1));
        mask(d1, a1);
        linear_gradient(&self.input, w1, d1, dw1, db1, None);
        loss
    }
}

/// `outputs` in, their gradients out: mean pinball loss over rows and levels of cumulative softplus quantiles above
/// the experts' weighted mean.
fn pinball(outputs: &mut [f32], targets: &[Target]) -> f32 {
    let share = 1.0 / (targets.len() * LEVELS.len()) as f32;
    let mut loss = 0.0f64;
    for (row, target) in outputs.chunks_exact_mut(OUTPUTS).zip(targets) {
        let (row, weights) = row.split_at_mut(LEVELS.len());
        let largest = weights.iter().fold(f32::NEG_INFINITY, |m, &w| m.max(w));
        weights.iter_mut().for_each(|w| *w = (*w - largest).exp());
        let total: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
        let base: f32 = weights.iter().zip(&target.experts).map(|(w, e)| w * e).sum();

        let mut slopes = [target.unit; LEVELS.len()];
        let mut quantile = base + row[0] * target.unit;
        let mut gradients = [0.0; LEVELS.len()];
        for k in 0..LEVELS.len() {
            if k > 0 {
                let tail = (-row[k].abs()).exp();
                quantile += (row[k].max(0.0) + tail.ln_1p()) * target.unit;
                slopes[k] *= if row[k] > 0.0 { 1.0 / (1.0 + tail) } else { tail / (1.0 + tail) };
            }
            let error = target.peak - quantile;
            let slope = if error > 0.0 { -LEVELS[k] } else { 1.0 - LEVELS[k] };
            gradients[k] = slope * share;
            loss -= f64::from(slope * error * share);
        }
        let mut later = 0.0;
        for k in (0..LEVELS.len()).rev() {
            later += gradients[k];
            row[k] = later * slopes[k];
        }
        for (weight, expert) in weights.iter_mut().zip(&target.experts) {
            *weight *= later * (expert - base);
        }
    }
    loss as f32
}

fn rectify(values: &mut [f32]) {
    for value in values {
        *value = value.max(0.0);
    }
}

/// Gradients pass where the rectifier did.
fn mask(gradient: &mut [f32], value: &[f32]) {
    for (g, &v) in gradient.iter_mut().zip(value) {
        *g = if v > 0.0 { *g } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_agree_with_finite_differences() {
        let options = Options { hidden: 8, batch: 32, ..Options::default() };
        let mut network = Network::new(&options, 0);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        network.input.iter_mut().for_each(|x| *x = random::standard_normal(&mut rng) as f32);
        // Far outside the quantiles, so that no difference straddles a kink of the pinball loss.
        for (row, target) in network.target.iter_mut().enumerate() {
            let peak = if row % 3 == 0 { 20.0 } else { -5.0 };
            *target = Target { peak, unit: 0.8, experts: std::array::from_fn(|k| ((row + k) % 5) as f32) };
        }
        network.gradients();
        let analytic = network.gradient.clone();
        let (mut difference, mut size) = (0.0, 0.0);
        for at in (0..network.state.parameters.len()).step_by(7) {
            let value = network.state.parameters[at];
            let mut loss_at = |shift: f32| {
                network.state.parameters[at] = value + shift;
                let loss = network.gradients();
                network.state.parameters[at] = value;
                loss
            };
            let slope = (loss_at(5e-3) - loss_at(-5e-3)) / 1e-2;
            difference += (slope - analytic[at]).powi(2);
            size += analytic[at].powi(2);
        }
        // A difference may straddle the kink of a rectifier in a row or two, hence a bound on the whole.
        let error = (difference / size).sqrt();
        assert!(error < 0.1, "relative error {error}");
    }
}

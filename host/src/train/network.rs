//! The hybrid network in training: both phases forward and backward on one batch.
//!
//! ```text
//! phase 1   x -> LSTM -> drop -> LSTM -> drop = z;  [z; last values] -> LSTM -> drop -> LSTM -> drop
//!             -> linear -> linear = the next minutes
//! phase 2   [latent of z; external] -> prediction network -> outputs
//! ```
//!
//! Matched to PyTorch in `f64`: losses, every gradient and one Adam step (tests below).

use aquatope_core::forecast::encoder::Latent;
use aquatope_core::forecast::predictor::Nonlinearity;
use aquatope_core::nn::{Mask, Real};

use super::lstm_bptt::{LstmShape, LstmTape};
use super::matrix::{Number, linear, linear_gradient};

/// Every size of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Values of a step of input; the first one is the forecast quantity.
    pub features: usize,
    /// Steps of input.
    pub window: usize,
    /// Units of the encoder's layers.
    pub encoder: [usize; 2],
    /// What of the encoder goes into the prediction network.
    pub latent: Latent,
    /// External features.
    pub externals: usize,
    /// Widths of the prediction network's hidden layers.
    pub predictor: [usize; 2],
    /// Outputs of the prediction network.
    pub outputs: usize,
    /// Between the layers of the prediction network.
    pub nonlinearity: Nonlinearity,
    /// Units of the decoder's first layer; its second layer has one.
    pub decoder: usize,
    /// Width of the linear layer after the decoder.
    pub bridge: usize,
    /// Minutes the decoder forecasts.
    pub ahead: usize,
}

/// A linear layer's sizes; its parameters are the weight `[inputs][outputs]` and the bias.
#[derive(Clone, Copy)]
struct LinearShape {
    inputs: usize,
    outputs: usize,
}

impl LinearShape {
    fn len(self) -> usize {
        (self.inputs + 1) * self.outputs
    }

    fn forward<R: Number>(self, parameters: &[R], x: &[R], y: &mut Vec<R>) {
        let (weight, bias) = parameters.split_at(self.inputs * self.outputs);
        y.resize(x.len() / self.inputs * self.outputs, R::ZERO);
        linear(x, weight, bias, y);
    }

    fn backward<R: Number>(
        self,
        parameters: &[R],
        x: &[R],
        dy: &[R],
        gradient: &mut [R],
        dx: Option<&mut Vec<R>>,
    ) {
        let weight = &parameters[..self.inputs * self.outputs];
        let (d_weight, d_bias) = gradient.split_at_mut(weight.len());
        let dx = dx.map(|dx| {
            dx.resize(x.len(), R::ZERO);
            dx.as_mut_slice()
        });
        linear_gradient(x, weight, dy, d_weight, d_bias, dx);
    }
}

/// Where each layer's parameters lie: the model file's layers first, then the decoder's.
struct Layout {
    e1: LstmShape,
    e2: LstmShape,
    m: [LinearShape; 3],
    d1: LstmShape,
    d2: LstmShape,
    fc: [LinearShape; 2],
}

impl Architecture {
    /// Parameters of the forecasting model: encoder and prediction network.
    pub fn model_len(&self) -> usize {
        let layout = self.layout();
        layout.e1.len() + layout.e2.len() + layout.m.iter().map(|m| m.len()).sum::<usize>()
    }

    /// All parameters, the decoder's included.
    pub fn len(&self) -> usize {
        let layout = self.layout();
        self.model_len()
            + layout.d1.len()
            + layout.d2.len()
            + layout.fc.iter().map(|m| m.len()).sum::<usize>()
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of the encoder's parameters, which come first.
    pub fn encoder_len(&self) -> usize {
        self.layout().e1.len() + self.layout().e2.len()
    }

    /// Latent features of the prediction network.
    pub fn latents(&self) -> usize {
        match self.latent {
            Latent::LastStep => self.encoder[1],
            Latent::EveryStepRectified => self.window * self.encoder[1],
        }
    }

    fn layout(&self) -> Layout {
        let [h1, h2] = self.encoder;
        let [w1, w2] = self.predictor;
        let linear = |inputs, outputs| LinearShape { inputs, outputs };
        Layout {
            e1: LstmShape { inputs: self.features, hidden: h1 },
            e2: LstmShape { inputs: h1, hidden: h2 },
            m: [linear(self.latents() + self.externals, w1), linear(w1, w2), linear(w2, self.outputs)],
            d1: LstmShape { inputs: h2, hidden: self.decoder },
            d2: LstmShape { inputs: self.decoder, hidden: 1 },
            fc: [linear(self.window + self.ahead, self.bridge), linear(self.bridge, self.ahead)],
        }
    }

    /// Lengths of all layers in parameter order, with the values a row of their weights has and whether they are LSTMs.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let layout = self.layout();
        let lstm = |s: LstmShape| Layer { len: s.len(), inputs: s.inputs, lstm_hidden: Some(s.hidden) };
        let linear = |s: LinearShape| Layer { len: s.len(), inputs: s.inputs, lstm_hidden: None };
        let mut layers = vec![lstm(layout.e1), lstm(layout.e2)];
        layers.extend(layout.m.map(linear));
        layers.extend([lstm(layout.d1), lstm(layout.d2)]);
        layers.extend(layout.fc.map(linear));
        layers
    }
}

/// One layer among the parameters.
pub(super) struct Layer {
    pub(super) len: usize,
    pub(super) inputs: usize,
    pub(super) lstm_hidden: Option<usize>,
}

/// Dropout masks of one batch, one element a row; an empty list drops nothing.
#[derive(Default)]
pub struct BatchMasks {
    /// Outputs of the encoder's first layer.
    pub between: Vec<Mask>,
    /// Outputs of the encoder's second layer.
    pub latent: Vec<Mask>,
    /// Outputs of the decoder's first layer.
    pub decoder: Vec<Mask>,
    /// Outputs of the decoder's second layer.
    pub decoded: Vec<Mask>,
    /// Sums of the prediction network's first layer.
    pub before: Vec<Mask>,
    /// Outputs of the prediction network's first layer.
    pub first: Vec<Mask>,
    /// Outputs of the prediction network's second layer.
    pub second: Vec<Mask>,
}

/// What the prediction network reads beside the external features.
#[derive(Clone, Copy)]
pub enum Input<'a, R> {
    /// The latent features of windows `[window][rows][features]`.
    Window {
        /// The windows.
        x: &'a [R],
        /// Whether the encoder learns too.
        train: bool,
    },
    /// Latent features `[rows][latents]` formed before, with the encoder's masks applied.
    Latents(&'a [R]),
}

/// Memory of one batch, kept between steps.
#[derive(Default)]
pub struct Workspace<R> {
    e1: LstmTape<R>,
    e2: LstmTape<R>,
    d1: LstmTape<R>,
    d2: LstmTape<R>,
    /// First layer's outputs after dropout; then their gradient's counterpart.
    a1: Vec<R>,
    /// Latent states after dropout (and rectifier), `[steps][rows][hidden 2]`.
    z: Vec<R>,
    d_z: Vec<R>,
    d_a1: Vec<R>,
    decoder_in: Vec<R>,
    d_decoder_in: Vec<R>,
    a3: Vec<R>,
    d_a3: Vec<R>,
    flat: Vec<R>,
    d_flat: Vec<R>,
    d_steps: Vec<R>,
    bridge: Vec<R>,
    d_bridge: Vec<R>,
    joined: Vec<R>,
    d_joined: Vec<R>,
    hidden: [Vec<R>; 2],
    d_hidden: [Vec<R>; 2],
    /// Outputs of the last run, row-major.
    pub outputs: Vec<R>,
    d_outputs: Vec<R>,
}

impl Architecture {
    /// Phase 1 on `x` `[window][rows][features]`: the sum over rows of `loss`, which gets the row and its `ahead`
    /// outputs and fills in their gradient. `gradient` (all parameters) is added to when given.
    pub fn decode<R: Number>(
        &self,
        parameters: &[R],
        x: &[R],
        masks: &BatchMasks,
        work: &mut Workspace<R>,
        loss: impl Fn(usize, &[R], &mut [R]) -> f64,
        gradient: Option<&mut [R]>,
    ) -> f64 {
        let layout = self.layout();
        let rows = x.len() / (self.window * self.features);
        let [_, width] = self.encoder;
        let steps = self.window + self.ahead;
        self.encode(parameters, x, masks, work, rows);

        let [d1, d2, fc1, fc2] = self.decoder_parameters(parameters);
        work.decoder_in.clone_from(&work.z);
        for minute in self.window - self.ahead..self.window {
            for row in x[minute * rows * self.features..(minute + 1) * rows * self.features]
                .chunks_exact(self.features)
            {
                work.decoder_in.extend(std::iter::repeat_n(row[0], width));
            }
        }
        work.d1.forward(layout.d1, d1, &work.decoder_in, rows);
        copy(work.d1.outputs(layout.d1, rows), &mut work.a3);
        drop_units(&mut work.a3, self.decoder, &masks.decoder);
        work.d2.forward(layout.d2, d2, &work.a3, rows);
        // Time-major to row-major.
        work.flat.resize(rows * steps, R::ZERO);
        transpose(work.d2.outputs(layout.d2, rows), steps, &mut work.flat);
        drop_constant(&mut work.flat, steps, &masks.decoded);
        layout.fc[0].forward(fc1, &work.flat, &mut work.bridge);
        layout.fc[1].forward(fc2, &work.bridge, &mut work.outputs);

        let total = row_losses(&work.outputs, &mut work.d_outputs, self.ahead, loss);
        let Some(gradient) = gradient else { return total };
        let (model, decoder) = gradient.split_at_mut(self.model_len());
        let (g_d1, rest) = decoder.split_at_mut(layout.d1.len());
        let (g_d2, rest) = rest.split_at_mut(layout.d2.len());
        let (g_fc1, g_fc2) = rest.split_at_mut(layout.fc[0].len());
        layout.fc[1].backward(fc2, &work.bridge, &work.d_outputs, g_fc2, Some(&mut work.d_bridge));
        layout.fc[0].backward(fc1, &work.flat, &work.d_bridge, g_fc1, Some(&mut work.d_flat));
        drop_constant(&mut work.d_flat, steps, &masks.decoded);
        work.d_steps.resize(rows * steps, R::ZERO);
        transpose(&work.d_flat, rows, &mut work.d_steps);
        work.d_a3.resize(work.a3.len(), R::ZERO);
        work.d2.backward(layout.d2, d2, &work.a3, rows, &work.d_steps, g_d2, Some(&mut work.d_a3));
        drop_units(&mut work.d_a3, self.decoder, &masks.decoder);
        work.d_decoder_in.resize(work.decoder_in.len(), R::ZERO);
        let d_in = &mut work.d_decoder_in;
        work.d1.backward(layout.d1, d1, &work.decoder_in, rows, &work.d_a3, g_d1, Some(d_in));
        copy(&work.d_decoder_in[..work.z.len()], &mut work.d_z);
        self.encode_backward(parameters, x, masks, work, rows, &mut model[..self.encoder_len()]);
        total
    }

    /// Latent features `[rows][latents]` of `x` `[window][rows][features]`, appended to `latents`.
    pub fn latent_features<R: Number>(
        &self,
        parameters: &[R],
        x: &[R],
        masks: &BatchMasks,
        work: &mut Workspace<R>,
        latents: &mut Vec<R>,
    ) {
        let rows = x.len() / (self.window * self.features);
        self.encode(parameters, x, masks, work, rows);
        for row in 0..rows {
            self.gather(&work.z, rows, row, latents);
        }
    }

    /// Phase 2 on `input` and `external` `[rows][externals]`: as [`Self::decode`], with `outputs` outputs a row. The
    /// encoder's gradient is formed only for [`Input::Window`] with `train`.
    pub fn predict<R: Number>(
        &self,
        parameters: &[R],
        input: Input<'_, R>,
        external: &[R],
        masks: &BatchMasks,
        work: &mut Workspace<R>,
        loss: impl Fn(usize, &[R], &mut [R]) -> f64,
        gradient: Option<&mut [R]>,
    ) -> f64 {
        let layout = self.layout();
        let rows = external.len() / self.externals;
        if let Input::Window { x, .. } = input {
            self.encode(parameters, x, masks, work, rows);
        }

        let [m1, m2, m3] = self.predictor_parameters(parameters);
        self.join(&input, external, work, rows);
        layout.m[0].forward(m1, &work.joined, &mut work.hidden[0]);
        drop_units(&mut work.hidden[0], self.predictor[0], &masks.before);
        self.nonlinear(&mut work.hidden[0]);
        let mut dropped = work.hidden[0].clone();
        drop_units(&mut dropped, self.predictor[0], &masks.first);
        layout.m[1].forward(m2, &dropped, &mut work.hidden[1]);
        self.nonlinear(&mut work.hidden[1]);
        let mut dropped_second = work.hidden[1].clone();
        drop_units(&mut dropped_second, self.predictor[1], &masks.second);
        layout.m[2].forward(m3, &dropped_second, &mut work.outputs);

        let total = row_losses(&work.outputs, &mut work.d_outputs, self.outputs, loss);
        let Some(gradient) = gradient else { return total };
        let (g_encoder, g_rest) = gradient.split_at_mut(self.encoder_len());
        let (g_m1, rest) = g_rest.split_at_mut(layout.m[0].len());
        let (g_m2, rest) = rest.split_at_mut(layout.m[1].len());
        let g_m3 = &mut rest[..layout.m[2].len()];
        layout.m[2].backward(m3, &dropped_second, &work.d_outputs, g_m3, Some(&mut work.d_hidden[1]));
        drop_units(&mut work.d_hidden[1], self.predictor[1], &masks.second);
        self.nonlinear_backward(&mut work.d_hidden[1], &work.hidden[1]);
        let [d_first, d_second] = &mut work.d_hidden;
        layout.m[1].backward(m2, &dropped, d_second, g_m2, Some(d_first));
        drop_units(d_first, self.predictor[0], &masks.first);
        self.nonlinear_backward(d_first, &work.hidden[0]);
        drop_units(d_first, self.predictor[0], &masks.before);
        let trained = match input {
            Input::Window { x, train: true } => Some(x),
            _ => None,
        };
        let d_joined = trained.is_some().then_some(&mut work.d_joined);
        layout.m[0].backward(m1, &work.joined, d_first, g_m1, d_joined);
        if let Some(x) = trained {
            self.split(work, rows);
            self.encode_backward(parameters, x, masks, work, rows, g_encoder);
        }
        total
    }

    /// The encoder; leaves the latent states in `work.z`.
    fn encode<R: Number>(
        &self,
        parameters: &[R],
        x: &[R],
        masks: &BatchMasks,
        work: &mut Workspace<R>,
        rows: usize,
    ) {
        let layout = self.layout();
        let (e1, rest) = parameters.split_at(layout.e1.len());
        work.e1.forward(layout.e1, e1, x, rows);
        copy(work.e1.outputs(layout.e1, rows), &mut work.a1);
        drop_units(&mut work.a1, self.encoder[0], &masks.between);
        work.e2.forward(layout.e2, &rest[..layout.e2.len()], &work.a1, rows);
        copy(work.e2.outputs(layout.e2, rows), &mut work.z);
        drop_units(&mut work.z, self.encoder[1], &masks.latent);
        if self.latent == Latent::EveryStepRectified {
            aquatope_core::nn::nonlinearity::relu(&mut work.z);
        }
    }

    /// From `work.d_z`: the encoder's gradient, added to `gradient`.
    fn encode_backward<R: Number>(
        &self,
        parameters: &[R],
        x: &[R],
        masks: &BatchMasks,
        work: &mut Workspace<R>,
        rows: usize,
        gradient: &mut [R],
    ) {
        let layout = self.layout();
        let (e1, rest) = parameters.split_at(layout.e1.len());
        let (g_e1, g_e2) = gradient.split_at_mut(layout.e1.len());
        if self.latent == Latent::EveryStepRectified {
            pass_where_positive(&mut work.d_z, &work.z);
        }
        drop_units(&mut work.d_z, self.encoder[1], &masks.latent);
        work.d_a1.resize(work.a1.len(), R::ZERO);
        let e2 = &rest[..layout.e2.len()];
        work.e2.backward(layout.e2, e2, &work.a1, rows, &work.d_z, g_e2, Some(&mut work.d_a1));
        drop_units(&mut work.d_a1, self.encoder[0], &masks.between);
        work.e1.backward(layout.e1, e1, x, rows, &work.d_a1, g_e1, None);
    }

    /// `[latent; external]` of every row to `work.joined`.
    fn join<R: Number>(&self, input: &Input<'_, R>, external: &[R], work: &mut Workspace<R>, rows: usize) {
        work.joined.clear();
        for row in 0..rows {
            match input {
                Input::Window { .. } => self.gather(&work.z, rows, row, &mut work.joined),
                Input::Latents(latents) => {
                    work.joined.extend_from_slice(&latents[row * self.latents()..][..self.latents()]);
                }
            }
            work.joined.extend_from_slice(&external[row * self.externals..(row + 1) * self.externals]);
        }
    }

    /// Append the latent features of `row` among the states `z` `[steps][rows][hidden 2]`.
    fn gather<R: Number>(&self, z: &[R], rows: usize, row: usize, to: &mut Vec<R>) {
        let width = self.encoder[1];
        for step in self.latent_steps() {
            to.extend_from_slice(&z[(step * rows + row) * width..][..width]);
        }
    }

    /// The latent part of `work.d_joined` back to `work.d_z`.
    fn split<R: Number>(&self, work: &mut Workspace<R>, rows: usize) {
        let width = self.encoder[1];
        work.d_z.clear();
        work.d_z.resize(work.z.len(), R::ZERO);
        for (row, joined) in work.d_joined.chunks_exact(self.latents() + self.externals).enumerate() {
            for (step, latent) in self.latent_steps().zip(joined.chunks_exact(width)) {
                work.d_z[(step * rows + row) * width..][..width].copy_from_slice(latent);
            }
        }
    }

    fn latent_steps(&self) -> std::ops::Range<usize> {
        match self.latent {
            Latent::LastStep => self.window - 1..self.window,
            Latent::EveryStepRectified => 0..self.window,
        }
    }

    fn predictor_parameters<'p, R>(&self, parameters: &'p [R]) -> [&'p [R]; 3] {
        let layout = self.layout();
        let (m1, rest) = parameters[self.encoder_len()..].split_at(layout.m[0].len());
        let (m2, rest) = rest.split_at(layout.m[1].len());
        [m1, m2, &rest[..layout.m[2].len()]]
    }

    fn decoder_parameters<'p, R>(&self, parameters: &'p [R]) -> [&'p [R]; 4] {
        let layout = self.layout();
        let (d1, rest) = parameters[self.model_len()..].split_at(layout.d1.len());
        let (d2, rest) = rest.split_at(layout.d2.len());
        let (fc1, fc2) = rest.split_at(layout.fc[0].len());
        [d1, d2, fc1, fc2]
    }

    fn nonlinear<R: Real>(&self, values: &mut [R]) {
        match self.nonlinearity {
            Nonlinearity::Tanh => aquatope_core::nn::nonlinearity::tanh(values),
            Nonlinearity::Relu => aquatope_core::nn::nonlinearity::relu(values),
        }
    }

    /// `gradient` by the outputs `values` to the gradient by the inputs.
    fn nonlinear_backward<R: Real>(&self, gradient: &mut [R], values: &[R]) {
        match self.nonlinearity {
            Nonlinearity::Tanh => {
                for (g, &v) in gradient.iter_mut().zip(values) {
                    *g *= R::ONE - v * v;
                }
            }
            Nonlinearity::Relu => pass_where_positive(gradient, values),
        }
    }
}

fn copy<R: Copy>(from: &[R], to: &mut Vec<R>) {
    to.clear();
    to.extend_from_slice(from);
}

/// Mask `[steps][rows][width]` values: the same mask of a row at every step.
fn drop_units<R: Real>(values: &mut [R], width: usize, masks: &[Mask]) {
    if masks.is_empty() {
        return;
    }
    for step in values.chunks_exact_mut(width * masks.len()) {
        for (row, mask) in step.chunks_exact_mut(width).zip(masks) {
            mask.apply(row);
        }
    }
}

/// Mask rows of `steps` values of one unit.
fn drop_constant<R: Real>(values: &mut [R], steps: usize, masks: &[Mask]) {
    for (row, mask) in values.chunks_exact_mut(steps).zip(masks) {
        for value in row {
            mask.apply(std::slice::from_mut(value));
        }
    }
}

fn pass_where_positive<R: Real>(gradient: &mut [R], values: &[R]) {
    for (g, &v) in gradient.iter_mut().zip(values) {
        *g = if v > R::ZERO { *g } else { R::ZERO };
    }
}

/// `[rows][columns]` to `[columns][rows]`.
fn transpose<R: Copy>(from: &[R], rows: usize, to: &mut [R]) {
    let columns = from.len() / rows;
    for (row, values) in from.chunks_exact(columns).enumerate() {
        for (column, &value) in values.iter().enumerate() {
            to[column * rows + row] = value;
        }
    }
}

fn row_losses<R: Real>(
    outputs: &[R],
    gradient: &mut Vec<R>,
    width: usize,
    loss: impl Fn(usize, &[R], &mut [R]) -> f64,
) -> f64 {
    gradient.resize(outputs.len(), R::ZERO);
    let rows = outputs.chunks_exact(width).zip(gradient.chunks_exact_mut(width));
    rows.enumerate().map(|(row, (outputs, gradient))| loss(row, outputs, gradient)).sum()
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;

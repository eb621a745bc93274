//! One LSTM layer in training: forward over a batch with everything kept, then backpropagation through time.
//!
//! Sequences are time-major, `[steps][rows][features]`, so that each step is one matrix. The products that do not
//! depend on the state (input weights, all weight gradients) run once over all steps.

use aquatope_core::nn::{Lstm, Real};

use super::matrix::{Number, linear, linear_gradient, plain, product, transposed};

/// The sizes of a layer; its parameters are input weight `[inputs][4 hidden]`, recurrent weight
/// `[hidden][4 hidden]` and bias `[4 hidden]`, in the core's layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LstmShape {
    /// Values a step of input has.
    pub inputs: usize,
    /// Values the state has.
    pub hidden: usize,
}

impl LstmShape {
    /// Number of parameters.
    pub fn len(&self) -> usize {
        4 * self.hidden * (self.inputs + self.hidden + 1)
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.hidden == 0
    }

    /// Input weight, recurrent weight and bias.
    pub fn split<'p, R>(&self, parameters: &'p [R]) -> [&'p [R]; 3] {
        let (input, rest) = parameters.split_at(4 * self.hidden * self.inputs);
        let (recurrent, bias) = rest.split_at(4 * self.hidden * self.hidden);
        [input, recurrent, bias]
    }

    fn split_mut<'p, R>(&self, parameters: &'p mut [R]) -> [&'p mut [R]; 3] {
        let (input, rest) = parameters.split_at_mut(4 * self.hidden * self.inputs);
        let (recurrent, bias) = rest.split_at_mut(4 * self.hidden * self.hidden);
        [input, recurrent, bias]
    }

    /// The layer as inference sees it.
    pub fn layer<'p, R: Real>(&self, parameters: &'p [R]) -> Option<Lstm<'p, R>> {
        let [input, recurrent, bias] = self.split(parameters);
        Lstm::new(input, recurrent, bias).ok()
    }
}

/// What the forward run keeps for the backward run.
#[derive(Default)]
pub struct LstmTape<R> {
    /// Gates after their non-linear functions `[steps][rows][4 hidden]`; after the backward run, the gradient of the
    /// sums before them.
    gates: Vec<R>,
    /// Cell states `[1 + steps][rows][hidden]`, the zero state first.
    cells: Vec<R>,
    /// States `[1 + steps][rows][hidden]`, the zero state first.
    states: Vec<R>,
    /// Gradients of the state and cell of one step `[rows][hidden]`.
    d_state: Vec<R>,
    d_cell: Vec<R>,
}

impl<R: Number> LstmTape<R> {
    /// States after every step, `[steps][rows][hidden]`.
    pub fn outputs(&self, shape: LstmShape, rows: usize) -> &[R] {
        &self.states[rows * shape.hidden..]
    }

    /// Run `x` `[steps][rows][inputs]` from a zero state.
    pub fn forward(&mut self, shape: LstmShape, parameters: &[R], x: &[R], rows: usize) {
        let [input, recurrent, bias] = shape.split(parameters);
        let size = rows * shape.hidden;
        let steps = x.len() / (rows * shape.inputs);
        self.gates.resize(steps * 4 * size, R::ZERO);
        for states in [&mut self.cells, &mut self.states] {
            states.resize((1 + steps) * size, R::ZERO);
            states[..size].fill(R::ZERO);
        }
        linear(x, input, bias, &mut self.gates);
        for (step, gates) in self.gates.chunks_exact_mut(4 * size).enumerate() {
            let (before, after) = self.states[step * size..].split_at_mut(size);
            let width = 4 * shape.hidden;
            product(
                [rows, shape.hidden, width],
                plain(before, shape.hidden),
                plain(recurrent, width),
                R::ONE,
                gates,
            );
            let (cell_before, cell_after) = self.cells[step * size..].split_at_mut(size);
            for (row, gates) in gates.chunks_exact_mut(width).enumerate() {
                let range = row * shape.hidden..(row + 1) * shape.hidden;
                cell_forward(
                    gates,
                    &cell_before[range.clone()],
                    &mut cell_after[range.clone()],
                    &mut after[range],
                );
            }
        }
    }

    /// From `d_outputs` `[steps][rows][hidden]`, the gradient of the loss by every output: add the parameters'
    /// gradients to `gradient`, and write the inputs' to `dx` `[steps][rows][inputs]` when wanted.
    pub fn backward(
        &mut self,
        shape: LstmShape,
        parameters: &[R],
        x: &[R],
        rows: usize,
        d_outputs: &[R],
        gradient: &mut [R],
        dx: Option<&mut [R]>,
    ) {
        let [input, recurrent, _] = shape.split(parameters);
        let [d_input, d_recurrent, d_bias] = shape.split_mut(gradient);
        let (size, width) = (rows * shape.hidden, 4 * shape.hidden);
        for sum in [&mut self.d_state, &mut self.d_cell] {
            sum.clear();
            sum.resize(size, R::ZERO);
        }
        for step in (0..self.gates.len() / (4 * size)).rev() {
            for (d, &output) in self.d_state.iter_mut().zip(&d_outputs[step * size..]) {
                *d += output;
            }
            let gates = &mut self.gates[step * 4 * size..(step + 1) * 4 * size];
            let (before, after) = self.cells[step * size..(step + 2) * size].split_at(size);
            for (row, gates) in gates.chunks_exact_mut(width).enumerate() {
                let range = row * shape.hidden..(row + 1) * shape.hidden;
                let d_cell = &mut self.d_cell[range.clone()];
                cell_backward(
                    gates,
                    &before[range.clone()],
                    &after[range.clone()],
                    &self.d_state[range],
                    d_cell,
                );
            }
            let shape = [rows, width, shape.hidden];
            product(shape, plain(gates, width), transposed(recurrent, width), R::ZERO, &mut self.d_state);
        }
        let all = self.gates.len() / width;
        let states = &self.states[..self.gates.len() / 4];
        product(
            [shape.hidden, all, width],
            transposed(states, shape.hidden),
            plain(&self.gates, width),
            R::ONE,
            d_recurrent,
        );
        linear_gradient(x, input, &self.gates, d_input, d_bias, dx);
    }
}

/// The non-linear functions of one row, in place, and the state after.
#[inline]
fn cell_forward<R: Real>(gates: &mut [R], before: &[R], cell: &mut [R], state: &mut [R]) {
    let hidden = state.len();
    let (i, rest) = gates.split_at_mut(hidden);
    let (f, rest) = rest.split_at_mut(hidden);
    let (g, o) = rest.split_at_mut(hidden);
    let (before, cell, o) = (&before[..hidden], &mut cell[..hidden], &mut o[..hidden]);
    for k in 0..hidden {
        i[k] = i[k].sigmoid();
        f[k] = f[k].sigmoid();
        g[k] = g[k].tanh();
        o[k] = o[k].sigmoid();
        cell[k] = f[k] * before[k] + i[k] * g[k];
        state[k] = o[k] * cell[k].tanh();
    }
}

/// Gradients by the gates' sums in place of the gates; `d_cell` goes from this step's to the step before's.
#[inline]
fn cell_backward<R: Real>(gates: &mut [R], before: &[R], after: &[R], d_state: &[R], d_cell: &mut [R]) {
    let hidden = d_cell.len();
    let (i, rest) = gates.split_at_mut(hidden);
    let (f, rest) = rest.split_at_mut(hidden);
    let (g, o) = rest.split_at_mut(hidden);
    let (before, after, d_state, o) =
        (&before[..hidden], &after[..hidden], &d_state[..hidden], &mut o[..hidden]);
    let slope = |s: R| s * (R::ONE - s);
    for k in 0..hidden {
        let t = after[k].tanh();
        let d = d_cell[k] + d_state[k] * o[k] * (R::ONE - t * t);
        d_cell[k] = d * f[k];
        let (input, candidate) = (i[k], g[k]);
        i[k] = d * candidate * slope(input);
        f[k] = d * before[k] * slope(f[k]);
        g[k] = d * input * (R::ONE - candidate * candidate);
        o[k] = d_state[k] * t * slope(o[k]);
    }
}

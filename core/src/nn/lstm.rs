//! A long short-term memory layer (Hochreiter and Schmidhuber 1997; PyTorch's gate order i, f, g, o).
//!
//! ```text
//! [i f g o] = W_ih x + W_hh h + b
//! c' = sigmoid(f) c + sigmoid(i) tanh(g)
//! h' = sigmoid(o) tanh(c')
//! ```

use super::dropout::Mask;
use super::linear::{accumulate, take_out};
use super::{Real, ShapeError};
use crate::part;

/// An LSTM layer over borrowed weights.
#[derive(Clone, Copy, Debug)]
pub struct Lstm<'w, R> {
    inputs: usize,
    input: &'w [R],
    recurrent: &'w [R],
    bias: &'w [R],
}

/// Variational dropout of one sequence: the same masks at every step.
#[derive(Clone, Copy, Debug)]
pub struct Variational {
    /// Dropped inputs.
    pub input: Mask,
    /// Dropped units of the recurrent state, as the gates see it.
    pub recurrent: Mask,
}

impl Variational {
    /// Nothing is dropped.
    pub const NONE: Self = Self { input: Mask::NONE, recurrent: Mask::NONE };
}

impl<'w, R: Real> Lstm<'w, R> {
    /// A layer from `input` `[inputs][4 hidden]`, `recurrent` `[hidden][4 hidden]` and `bias` `[4 hidden]`
    /// (see [`crate::nn`]).
    ///
    /// # Errors
    /// [`ShapeError`] when the lengths do not agree.
    pub fn new(input: &'w [R], recurrent: &'w [R], bias: &'w [R]) -> Result<Self, ShapeError> {
        let hidden = bias.len() / 4;
        if hidden == 0 {
            return Err(ShapeError { what: "bias of an LSTM", expected: 4, found: bias.len() });
        }
        ShapeError::check("bias of an LSTM", 4 * hidden, bias.len())?;
        ShapeError::check("recurrent weight of an LSTM", bias.len().saturating_mul(hidden), recurrent.len())?;
        let inputs = input.len().checked_div(bias.len()).unwrap_or(0);
        ShapeError::check("input weight of an LSTM", inputs * bias.len(), input.len())?;
        Ok(Self { inputs, input, recurrent, bias })
    }

    /// Values a step of input has.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values the state has.
    pub fn hidden(&self) -> usize {
        self.bias.len() / 4
    }

    /// The input's share of the gates, W_ih x + b, for every row: `x` `[rows][inputs]`, `gates` `[rows][4 hidden]`.
    ///
    /// # Errors
    /// [`ShapeError`] when the lengths do not agree.
    pub fn project(&self, x: &[R], gates: &mut [R]) -> Result<(), ShapeError> {
        let rows = gates.len().checked_div(self.bias.len()).unwrap_or(0);
        ShapeError::check("gates of an LSTM", rows * self.bias.len(), gates.len())?;
        ShapeError::check("input of an LSTM", rows.saturating_mul(self.inputs()), x.len())?;
        for (row, gates) in part::rows_mut(gates, self.bias.len()).enumerate() {
            part::copy(gates, self.bias);
            accumulate(self.input, part::row(x, self.inputs(), row, 0..self.inputs()), gates);
        }
        Ok(())
    }

    /// Take the terms of the `dropped` inputs out of projected `gates`: exact, and cheaper than projecting every
    /// masked input anew, since few inputs are dropped.
    pub(crate) fn unproject(&self, x: &[R], dropped: Mask, gates: &mut [R]) {
        take_out(self.input, x, dropped, gates);
    }

    /// One step of every row: `gates` `[rows][4 hidden]` hold the projected inputs and are used up, `h` and `c`
    /// `[rows][hidden]` go from the state before to the state after. Every row works on the same weights while they are
    /// in cache.
    ///
    /// # Errors
    /// [`ShapeError`] when the lengths do not agree.
    pub fn step(&self, gates: &mut [R], h: &mut [R], c: &mut [R]) -> Result<(), ShapeError> {
        let hidden = self.hidden();
        ShapeError::check("cell state of an LSTM", h.len(), c.len())?;
        ShapeError::check("gates of an LSTM", h.len().saturating_mul(4), gates.len())?;
        let rows = h.len().checked_div(hidden).unwrap_or(0);
        ShapeError::check("state of an LSTM", rows * hidden, h.len())?;
        for (h, gates) in part::rows(h, hidden).zip(part::rows_mut(gates, 4 * hidden)) {
            accumulate(self.recurrent, h, gates);
        }
        let states = part::rows_mut(h, hidden).zip(part::rows_mut(c, hidden));
        for ((h, c), gates) in states.zip(part::rows(gates, 4 * hidden)) {
            cell(gates, h, c);
        }
        Ok(())
    }

    /// A whole sequence from a zero state: `x` `[steps][inputs]`, `out` `[steps][hidden]`, `scratch` of
    /// [`Self::scratch_len`]. Work: steps * 4 hidden * (inputs + hidden).
    ///
    /// # Errors
    /// [`ShapeError`] when the lengths do not agree.
    pub fn forward(
        &self,
        x: &[R],
        masks: &Variational,
        out: &mut [R],
        scratch: &mut [R],
    ) -> Result<(), ShapeError> {
        let (inputs, hidden) = (self.inputs(), self.hidden());
        let steps = out.len().checked_div(hidden).unwrap_or(0);
        ShapeError::check("output of an LSTM", steps * hidden, out.len())?;
        ShapeError::check("input of an LSTM", steps.saturating_mul(inputs), x.len())?;
        ShapeError::check("scratch of an LSTM", self.scratch_len(), scratch.len())?;
        scratch.fill(R::ZERO);
        let (gates, rest) = ShapeError::split("scratch of an LSTM", 4 * hidden, scratch)?;
        let (h, rest) = ShapeError::split("scratch of an LSTM", hidden, rest)?;
        let (c, masked) = ShapeError::split("scratch of an LSTM", hidden, rest)?;
        for (step, out) in part::rows_mut(out, hidden).enumerate() {
            part::copy(masked, part::row(x, inputs, step, 0..inputs));
            masks.input.apply(masked);
            self.project(masked, gates)?;
            masks.recurrent.apply(h);
            self.step(gates, h, c)?;
            part::copy(out, h);
        }
        Ok(())
    }

    /// Length of the scratch memory of [`Self::forward`].
    pub fn scratch_len(&self) -> usize {
        6 * self.hidden() + self.inputs()
    }
}

/// Gates before their non-linear functions, and the state before, to the state after.
#[inline]
fn cell<R: Real>(gates: &[R], h: &mut [R], c: &mut [R]) {
    let [i, f, g, o] = [0, 1, 2, 3].map(|gate| part::row(gates, h.len(), gate, 0..h.len()));
    let gates = i.iter().zip(f).zip(g).zip(o);
    for ((h, c), (((i, f), g), o)) in h.iter_mut().zip(c).zip(gates) {
        *c = f.sigmoid() * *c + i.sigmoid() * g.tanh();
        *h = o.sigmoid() * c.tanh();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unit_worked_by_hand() {
        // W_ih = 1 for every gate, W_hh = 0, b = 0, x = 0 then 1.
        let layer = Lstm::new(&[1.0f64; 4], &[0.0; 4], &[0.0; 4]).unwrap();
        let (mut out, mut scratch) = ([0.0; 2], [0.0; 7]);
        layer.forward(&[0.0, 1.0], &Variational::NONE, &mut out, &mut scratch).unwrap();
        let s = 1.0f64.sigmoid();
        assert_eq!(out, [0.0, s * libm::tanh(s * libm::tanh(1.0))]);
    }

    #[test]
    fn unprojecting_equals_masking_the_input() {
        let weight: [f64; 3 * 8] = core::array::from_fn(|k| (k as f64 * 0.7).sin());
        let layer = Lstm::new(&weight, &[0.1; 16], &[0.3; 8]).unwrap();
        let (x, mask) = ([0.5, -2.0, 1.5], crate::nn::Dropout::NONE.mask(0b101));
        let (mut direct, mut taken_out) = ([0.0; 8], [0.0; 8]);
        layer.project(&[0.0, -2.0, 0.0], &mut direct).unwrap();
        layer.project(&x, &mut taken_out).unwrap();
        layer.unproject(&x, mask, &mut taken_out);
        assert!(direct.iter().zip(taken_out).all(|(a, b)| (a - b).abs() < 1e-15));
    }

    #[test]
    fn wrong_lengths_are_errors() {
        assert!(Lstm::<f32>::new(&[], &[], &[]).is_err());
        assert!(Lstm::new(&[0.0f32; 4], &[0.0; 4], &[0.0; 5]).is_err());
        assert!(Lstm::new(&[0.0f32; 5], &[0.0; 4], &[0.0; 4]).is_err());
        let layer = Lstm::new(&[0.0f32; 8], &[0.0; 4], &[0.0; 4]).unwrap();
        assert!(layer.forward(&[0.0; 2], &Variational::NONE, &mut [0.0; 2], &mut [0.0; 8]).is_err());
        assert!(layer.step(&mut [0.0; 4], &mut [0.0; 1], &mut [0.0; 2]).is_err());
        assert!(layer.project(&[0.0; 3], &mut [0.0; 4]).is_err());
    }
}

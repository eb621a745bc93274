//! The linear layer y = W x + b, and the one product every layer is built from.

use super::{Mask, Real, ShapeError};
use crate::part;

/// A linear layer over borrowed weights.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'w, R> {
    inputs: usize,
    weight: &'w [R],
    bias: &'w [R],
}

impl<'w, R: Real> Linear<'w, R> {
    /// A layer from `weight` `[inputs][outputs]` (see [`crate::nn`]) and `bias` `[outputs]`.
    ///
    /// # Errors
    /// [`ShapeError`] when the weight is not a whole number of rows of the bias's length, or the bias is empty.
    pub fn new(weight: &'w [R], bias: &'w [R]) -> Result<Self, ShapeError> {
        let empty = ShapeError { what: "bias of a linear layer", expected: 1, found: 0 };
        let inputs = weight.len().checked_div(bias.len()).ok_or(empty)?;
        ShapeError::check("weight of a linear layer", inputs * bias.len(), weight.len())?;
        Ok(Self { inputs, weight, bias })
    }

    /// Values a row of input has.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values a row of output has.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// y = W x + b for every row: `x` is `[rows][inputs]`, `y` `[rows][outputs]`. Work: rows * inputs * outputs.
    ///
    /// # Errors
    /// [`ShapeError`] when `x` does not hold as many rows as `y`; nothing is written then.
    pub fn forward(&self, x: &[R], y: &mut [R]) -> Result<(), ShapeError> {
        let rows = y.len().checked_div(self.outputs()).unwrap_or(0);
        ShapeError::check("output of a linear layer", rows * self.outputs(), y.len())?;
        ShapeError::check("input of a linear layer", rows.saturating_mul(self.inputs()), x.len())?;
        for (row, y) in part::rows_mut(y, self.outputs()).enumerate() {
            part::copy(y, self.bias);
            accumulate(self.weight, part::row(x, self.inputs(), row, 0..self.inputs()), y);
        }
        Ok(())
    }
}

/// y += W x with `weight` `[x.len()][y.len()]`: each output adds its terms in the order of the inputs.
///
/// Blocks of 64, 16 and 8 neighbouring outputs stay in vector registers over all inputs.
#[inline]
pub fn accumulate<R: Real>(weight: &[R], x: &[R], y: &mut [R]) {
    let stride = y.len();
    let mut done = accumulate_blocks::<R, 8>(weight, x, y, stride, 0);
    done = accumulate_blocks::<R, 2>(weight, x, y, stride, done);
    done = accumulate_blocks::<R, 1>(weight, x, y, stride, done);
    for (column, y) in y.iter_mut().enumerate().skip(done) {
        for (row, &x) in part::rows(weight, stride).zip(x) {
            if let Some(&w) = row.get(column) {
                *y += w * x;
            }
        }
    }
}

/// y -= W x over the inputs that `mask` drops, in their order; inputs and weights as of [`accumulate`].
#[inline]
pub(crate) fn take_out<R: Real>(weight: &[R], x: &[R], mask: Mask, y: &mut [R]) {
    const WIDTH: usize = 64;
    let stride = y.len();
    let mut blocks = y.chunks_exact_mut(WIDTH);
    let mut column = 0;
    for block in &mut blocks {
        let mut sum = [R::ZERO; WIDTH];
        sum.copy_from_slice(block);
        for unit in mask.dropped() {
            let row = weight.get(unit * stride + column..).and_then(|row| row.first_chunk::<WIDTH>());
            if let (Some(row), Some(&x)) = (row, x.get(unit)) {
                for (sum, &w) in sum.iter_mut().zip(row) {
                    *sum += w * -x;
                }
            }
        }
        block.copy_from_slice(&sum);
        column += WIDTH;
    }
    let rest = blocks.into_remainder();
    for unit in mask.dropped() {
        if let (Some(row), Some(&x)) = (weight.get(unit * stride + column..), x.get(unit)) {
            for (y, &w) in rest.iter_mut().zip(row) {
                *y += w * -x;
            }
        }
    }
}

/// Outputs in one vector register of `f32`.
const LANES: usize = 8;

/// Work off the outputs from `start` in blocks of `V` vectors; returns the first output left over.
#[inline(always)]
fn accumulate_blocks<R: Real, const V: usize>(
    weight: &[R],
    x: &[R],
    y: &mut [R],
    stride: usize,
    start: usize,
) -> usize {
    let width = V * LANES;
    let mut column = start;
    while let Some(block) = y.get_mut(column..column + width) {
        let (block, _) = block.as_chunks_mut::<LANES>();
        let mut sum = [[R::ZERO; LANES]; V];
        for (sum, y) in sum.iter_mut().zip(block.iter()) {
            *sum = *y;
        }
        for (row, &x) in part::rows(weight, stride).zip(x) {
            let Some(row) = row.get(column..column + width) else { break };
            for v in 0..V {
                for lane in 0..LANES {
                    sum[v][lane] += row[v * LANES + lane] * x;
                }
            }
        }
        for (y, sum) in block.iter_mut().zip(sum) {
            *y = sum;
        }
        column += width;
    }
    column
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_layer_worked_by_hand() {
        // PyTorch's weight would be [[1, 2, 3], [-1, 0, 1]].
        let layer = Linear::new(&[1.0f32, -1.0, 2.0, 0.0, 3.0, 1.0], &[10.0, 20.0]).unwrap();
        let mut y = [0.0; 4];
        layer.forward(&[1.0, 1.0, 1.0, 2.0, 0.0, -1.0], &mut y).unwrap();
        assert_eq!(y, [16.0, 20.0, 9.0, 17.0]);
    }

    #[test]
    fn every_block_size_gives_the_plain_sum() {
        for outputs in [1, 7, 8, 9, 16, 31, 64, 65, 100, 256] {
            let weight: Vec<f64> = (0..5 * outputs).map(|k| ((k * 37 % 101) as f64 - 50.0) / 7.0).collect();
            let x = [0.5, -1.25, 3.0, 0.0, 2.0];
            let mut y: Vec<f64> = (0..outputs).map(|k| k as f64).collect();
            accumulate(&weight, &x, &mut y);
            for (column, y) in y.iter().enumerate() {
                let mut expected = column as f64;
                for (k, x) in x.iter().enumerate() {
                    expected += weight[k * outputs + column] * x;
                }
                assert_eq!(*y, expected, "output {column} of {outputs}");
            }
        }
    }

    #[test]
    fn wrong_lengths_are_errors() {
        assert!(Linear::new(&[1.0f32; 5], &[0.0; 2]).is_err());
        assert!(Linear::<f32>::new(&[], &[]).is_err());
        let layer = Linear::new(&[1.0f32; 6], &[0.0; 2]).unwrap();
        assert_eq!((layer.inputs(), layer.outputs()), (3, 2));
        assert!(layer.forward(&[0.0; 3], &mut [0.0; 4]).is_err());
        assert!(layer.forward(&[0.0; 3], &mut [0.0; 3]).is_err());
    }
}

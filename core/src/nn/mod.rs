//! Neural layers on slices: linear, LSTM, dropout, and the checked view of a weight file.
//!
//! Conventions, everywhere in this module:
//! - **Batches are row-major**, one row per pass or sample: `[rows][features]`.
//! - **Weight matrices are stored `[inputs][outputs]`** (the transpose of PyTorch's `weight`), so that one input
//!   scales one contiguous row of weights: every output is a sum over the inputs in index order, the vector units
//!   work on neighbouring outputs, and no target changes the order of a sum.
//! - **LSTM gates are in PyTorch's order** `i, f, g, o` along the `4 * hidden` axis, and there is one bias vector:
//!   the sum of PyTorch's `bias_ih` and `bias_hh`.
//!
//! Layers are generic over [`Real`] (`f32` in production, `f64` to check against reference implementations).

pub mod dropout;
pub mod linear;
pub mod lstm;
pub mod nonlinearity;
pub mod weights;

pub use dropout::{Dropout, Mask};
pub use linear::Linear;
pub use lstm::Lstm;
pub use nonlinearity::Real;
pub use weights::Weights;

use core::fmt;

/// A slice does not have the length that the layer's shape asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShapeError {
    /// What the slice holds.
    pub what: &'static str,
    /// The length the shape asks for.
    pub expected: usize,
    /// The length it has.
    pub found: usize,
}

impl ShapeError {
    /// An error when `found` is not `expected`, a product of lengths that must saturate: on a 32-bit target a wrapped
    /// one could agree by chance.
    pub(crate) fn check(what: &'static str, expected: usize, found: usize) -> Result<(), Self> {
        if expected == found { Ok(()) } else { Err(Self { what, expected, found }) }
    }

    /// The first `expected` values and the rest, or an error when there are fewer.
    pub(crate) fn split<'a, T>(
        what: &'static str,
        expected: usize,
        values: &'a mut [T],
    ) -> Result<(&'a mut [T], &'a mut [T]), Self> {
        let found = values.len();
        values.split_at_mut_checked(expected).ok_or(Self { what, expected, found })
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has {} values; pass {}", self.what, self.found, self.expected)
    }
}

impl core::error::Error for ShapeError {}

//! Numerics shared by both flows. Networks work in `f32`, Gaussian processes and acquisition functions in `f64`.
//!
//! These are the innermost loops: they take their dimensions on trust. Where a slice is shorter than stated, they leave out
//! what is not there or answer NaN, and never panic. What comes from outside the crate is checked before it gets here.

pub mod cholesky;
pub mod float;
pub(crate) mod lbfgs;
pub mod normal;
pub(crate) mod sort;
pub(crate) mod vector;

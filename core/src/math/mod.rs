//! Numerics shared by both flows. Networks work in `f32`, Gaussian processes and acquisition functions in `f64`.
//!
//! What is public checks the lengths it is given. The innermost loops, which are not, take their dimensions on trust: where a
//! slice is shorter than stated, they leave out what is not there or answer NaN, and never panic in a release build.

pub mod cholesky;
pub mod float;
pub(crate) mod lbfgs;
pub mod normal;
pub(crate) mod sort;
pub(crate) mod vector;

//! Numerics shared by both flows. Networks work in `f32`, Gaussian processes and acquisition functions in `f64`.

pub mod cholesky;
pub mod float;
pub mod lbfgs;
pub mod normal;
pub mod vector;

//! Random numbers from a caller's generator: uniform and standard normal.
//!
//! The generator is always an argument (`rng: &mut R, R: Rng + ?Sized`), never stored.

use crate::math::{float, normal};
use rand_core::Rng;

/// Uniform in the open interval (0, 1), 53 bits.
pub fn uniform<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64)
}

/// Standard normal, by inverse CDF (one draw of `rng` each).
pub fn standard_normal<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    normal::quantile(uniform(rng))
}

/// A uniform integer below `bound` (0 when `bound` is 0), by multiplication.
pub fn below<R: Rng + ?Sized>(rng: &mut R, bound: u32) -> u32 {
    ((u64::from(rng.next_u32()) * u64::from(bound)) >> 32) as u32
}

/// Exponential with the given mean.
pub fn exponential<R: Rng + ?Sized>(rng: &mut R, mean: f64) -> f64 {
    -mean * float::ln(uniform(rng))
}

//! The non-linear functions of the networks, and the number type they work on.
//!
//! In `f64` they are libm's. In `f32` they are a rational function without branches, so that LLVM turns a loop over a
//! slice into vector instructions: [`Real::tanh`] is off by at most 6e-7, [`Real::sigmoid`] by at most 4e-7 and
//! [`Real::exp_negative`] by at most 6e-7 (absolute, over all inputs; tested below). Only `+`, `*`, `/` and comparisons are used, in a fixed order, so all
//! targets give the same bits.

use crate::math::float;
use core::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

/// A floating-point number that networks compute with.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + core::fmt::Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The nearest number to `x`.
    fn from_f64(x: f64) -> Self;
    /// As `f64`, exactly.
    fn to_f64(self) -> f64;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Logistic function 1 / (1 + e^-x).
    fn sigmoid(self) -> Self;
    /// e^x for x of at most 0.
    fn exp_negative(self) -> Self;

    /// max(x, 0); 0 for NaN.
    #[inline(always)]
    fn relu(self) -> Self {
        if self > Self::ZERO { self } else { Self::ZERO }
    }
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as Self
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    /// x P(x^2) / Q(x^2) on [-8, 8], held outside (tanh(8) = 1 - 2e-7). Coefficients: weighted least squares towards the
    /// minimax relative error (Lawson's iteration), 1.5e-7 before rounding: `fixtures/generate/tanh_rational.py`.
    #[inline(always)]
    fn tanh(self) -> Self {
        const P: [f32; 4] = [0.999_999_9, 0.129_256_63, 2.951_023_5e-3, 1.142_842e-5];
        const Q: [f32; 5] = [1.0, 0.462_588_8, 0.023_815_553, 2.386_691_3e-4, 2.459_209_7e-7];
        let x = if self < 8.0 { self } else { 8.0 };
        let x = if x > -8.0 { x } else { -8.0 };
        let y = x * x;
        let p = ((P[3] * y + P[2]) * y + P[1]) * y + P[0];
        let q = (((Q[4] * y + Q[3]) * y + Q[2]) * y + Q[1]) * y + Q[0];
        x * p / q
    }

    #[inline(always)]
    fn sigmoid(self) -> Self {
        0.5 + 0.5 * Real::tanh(0.5 * self)
    }

    /// 2^k e^r with r within ln 2 / 2 of 0, by Taylor's polynomial of degree 6; e^-87 below -87.
    #[inline(always)]
    fn exp_negative(self) -> Self {
        use core::f32::consts::{LN_2, LOG2_E};
        /// Adding it rounds to an integer, which then stands in the low bits.
        const ROUND: f32 = 12_582_912.0;
        let x = if self > -87.0 { self } else { -87.0 };
        let shifted = x * LOG2_E + ROUND;
        let r = x - (shifted - ROUND) * LN_2;
        let mut p = 1.0 / 720.0;
        for factorial in [120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
            p = p * r + 1.0 / factorial;
        }
        p * Self::from_bits(shifted.to_bits().wrapping_add(127) << 23)
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline]
    fn tanh(self) -> Self {
        float::tanh(self)
    }
    #[inline]
    fn sigmoid(self) -> Self {
        1.0 / (1.0 + float::exp(-self))
    }
    #[inline]
    fn exp_negative(self) -> Self {
        float::exp(self)
    }
}

/// [`Real::tanh`] of every value, in place.
pub fn tanh<R: Real>(values: &mut [R]) {
    for v in values {
        *v = v.tanh();
    }
}

/// [`Real::sigmoid`] of every value, in place.
pub fn sigmoid<R: Real>(values: &mut [R]) {
    for v in values {
        *v = v.sigmoid();
    }
}

/// [`Real::relu`] of every value, in place.
pub fn relu<R: Real>(values: &mut [R]) {
    for v in values {
        *v = v.relu();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_errors_are_within_the_stated_bounds() {
        let (mut worst_tanh, mut worst_sigmoid) = (0.0f64, 0.0f64);
        for k in -400_000..=400_000 {
            let x = k as f32 * 5e-5;
            worst_tanh = worst_tanh.max((f64::from(Real::tanh(x)) - libm::tanh(f64::from(x))).abs());
            worst_sigmoid = worst_sigmoid.max((f64::from(Real::sigmoid(x)) - f64::from(x).sigmoid()).abs());
        }
        assert!(worst_tanh < 6e-7, "tanh {worst_tanh:e}");
        let worst_exp = (0..=1_000_000).map(|k| k as f32 * -1e-4).fold(0.0f64, |worst, x| {
            worst.max((f64::from(x.exp_negative()) - libm::exp(f64::from(x))).abs())
        });
        assert!(worst_exp < 6e-7, "exp {worst_exp:e}");
        assert!(worst_sigmoid < 4e-7, "sigmoid {worst_sigmoid:e}");
    }

    #[test]
    fn extreme_inputs_saturate_within_the_unit_interval() {
        for x in [f32::INFINITY, f32::MAX, 1e9, 8.0] {
            assert!((Real::tanh(x) - 1.0).abs() < 6e-7 && Real::tanh(x) <= 1.0);
            assert!((Real::tanh(-x) + 1.0).abs() < 6e-7 && Real::tanh(-x) >= -1.0);
            assert!((0.0..=1.0).contains(&Real::sigmoid(x)) && (0.0..=1.0).contains(&Real::sigmoid(-x)));
        }
        assert!(Real::tanh(f32::NAN).is_finite());
        assert_eq!(Real::tanh(0.0f32), 0.0);
    }

    #[test]
    fn relu_is_the_positive_part() {
        let mut values = [-1.0f32, 0.0, 2.5, f32::NAN];
        relu(&mut values);
        assert_eq!(values, [0.0, 0.0, 2.5, 0.0]);
    }
}

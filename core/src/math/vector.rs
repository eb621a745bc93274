//! Loops over slices of `f64` that the compiler turns into vector instructions, on every target with the same bits.
//!
//! Rust neither reorders sums nor contracts a multiply and an add, so a plain sum stays scalar. Here a sum runs in
//! [`LANES`] fixed lanes that are added at the end in a fixed order, and transcendental functions are branch-free
//! polynomials of stated error, because a call to a library function ends vectorisation.

use crate::part::{At, Part};
use core::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// Lanes of a sum: two AVX2 registers.
pub(crate) const LANES: usize = 8;

/// Sum of `a[i] * b[i]` over the shorter length.
#[inline]
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = same_length(a, b);
    let mut lanes = [0.0; LANES];
    let (chunks_a, rest_a) = a.as_chunks::<LANES>();
    let (chunks_b, rest_b) = b.as_chunks::<LANES>();
    for (x, y) in chunks_a.iter().zip(chunks_b) {
        for l in 0..LANES {
            lanes[l] += x[l] * y[l];
        }
    }
    for (l, (x, y)) in rest_a.iter().zip(rest_b).enumerate() {
        lanes[l] += x * y;
    }
    sum_of_lanes(lanes)
}

/// Sum of `weights[i] * (centre - points[i])^2` over the shorter length.
#[inline]
pub(crate) fn weighted_square_distance(weights: &[f64], points: &[f64], centre: f64) -> f64 {
    let (weights, points) = same_length(weights, points);
    let mut lanes = [0.0; LANES];
    let (chunks_w, rest_w) = weights.as_chunks::<LANES>();
    let (chunks_p, rest_p) = points.as_chunks::<LANES>();
    for (w, p) in chunks_w.iter().zip(chunks_p) {
        for l in 0..LANES {
            let t = centre - p[l];
            lanes[l] += w[l] * (t * t);
        }
    }
    for (l, (w, p)) in rest_w.iter().zip(rest_p).enumerate() {
        let t = centre - p;
        lanes[l] += w * (t * t);
    }
    sum_of_lanes(lanes)
}

/// `y += a x`, over the shorter length.
#[inline]
pub(crate) fn axpy(y: &mut [f64], a: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// `y += a[0] x[0] + .. + a[3] x[3]`, in that order, over the shortest length.
#[inline]
pub(crate) fn axpy4(y: &mut [f64], a: [f64; 4], x: [&[f64]; 4]) {
    let [x0, x1, x2, x3] = x;
    let n = y.len().min(x0.len()).min(x1.len()).min(x2.len()).min(x3.len());
    let (y, x0, x1, x2, x3) = (&mut y[..n], &x0[..n], &x1[..n], &x2[..n], &x3[..n]);
    for i in 0..n {
        y[i] += a[0] * x0[i] + a[1] * x1[i] + (a[2] * x2[i] + a[3] * x3[i]);
    }
}

/// `out[j][c] = sum over l of a[j][l] * b[l][c]`: `Q` rows times a row-major matrix `b` of row length `stride`, for
/// the first `columns` columns rounded up to a multiple of [`LANES`]. `b` has as many rows as `a` has columns, and
/// `stride` and the rows of `out` are at least that rounded length; what is not there is left out.
#[inline]
pub(crate) fn rows_times_matrix<const Q: usize>(
    a: [&[f64]; Q],
    b: &[f64],
    stride: usize,
    columns: usize,
    mut out: [&mut [f64]; Q],
) {
    let rows = a.iter().map(|a| a.len()).min().unwrap_or(0);
    let a = a.map(|a| a.head(rows));
    for start in (0..columns).step_by(LANES) {
        let mut sums = [[0.0; LANES]; Q];
        for l in 0..rows {
            let at = l.saturating_mul(stride).saturating_add(start);
            let Some(row) = b.get(at..).and_then(|row| row.first_chunk::<LANES>()) else { continue };
            for j in 0..Q {
                let factor = a[j].at(l);
                for c in 0..LANES {
                    sums[j][c] += factor * row[c];
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            if let Some(out) = out.get_mut(start..).and_then(|out| out.first_chunk_mut()) {
                *out = sums;
            }
        }
    }
}

#[inline]
fn same_length<'a>(a: &'a [f64], b: &'a [f64]) -> (&'a [f64], &'a [f64]) {
    let n = a.len().min(b.len());
    (&a[..n], &b[..n])
}

#[inline]
fn sum_of_lanes(l: [f64; LANES]) -> f64 {
    ((l[0] + l[4]) + (l[1] + l[5])) + ((l[2] + l[6]) + (l[3] + l[7]))
}

/// e^x for x <= 700 or so, without branches: relative error below 4e-16; 3e-308 for x below -708.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    /// Adding and subtracting it rounds to an integer, which then stands in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    /// ln 2 in two parts, the first with trailing zeros, so that k times it is exact (Cody and Waite).
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = if x > -708.0 { x } else { -708.0 };
    let shifted = x * LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    // Taylor's polynomial of degree 13: the remainder is below 1e-17 for |r| <= ln 2 / 2.
    let mut p = 1.0 / 6_227_020_800.0;
    for factorial in [
        479_001_600.0,
        39_916_800.0,
        3_628_800.0,
        362_880.0,
        40_320.0,
        5_040.0,
        720.0,
        120.0,
        24.0,
        6.0,
        2.0,
        1.0,
    ] {
        p = p * r + 1.0 / factorial;
    }
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    (p * r + 1.0) * power
}

/// Natural logarithm of a positive normal number, without branches: error below 3e-16 (absolute near 1, relative
/// elsewhere).
#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    // x = 2^k m with m in [sqrt(1/2), sqrt(2)).
    let offset = (1023 << 52) - (SQRT_2.to_bits() - (1 << 52));
    let bits = x.to_bits().wrapping_add(offset);
    /// The exponent field, put into the low bits of 2^52, becomes a number without an integer conversion.
    const TWO_52: f64 = 4_503_599_627_370_496.0;
    let k = f64::from_bits((bits >> 52) | TWO_52.to_bits()) - (TWO_52 + 1023.0);
    let m = f64::from_bits((bits & ((1 << 52) - 1)).wrapping_add(SQRT_2.to_bits() - (1 << 52)));
    // ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172: the first term left out is 2e-17.
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let mut p = 2.0 / 21.0;
    for odd in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        p = p * s2 + 2.0 / odd;
    }
    k * LN_2 + (p * s2 * s + 2.0 * s)
}

/// Square root of a finite number that is not negative, without branches: relative error below 3e-16; 0 for 0.
#[inline(always)]
pub(crate) fn sqrt(x: f64) -> f64 {
    // Newton's iteration for 1 / sqrt(x) from the well-known bit pattern (error 3.5 %, 0.2 %, 5e-6, 3e-11, 2e-16).
    let mut y = f64::from_bits(0x5FE6_EB50_C7B5_37A9_u64.wrapping_sub(x.to_bits() >> 1));
    let half = 0.5 * x;
    for _ in 0..4 {
        y *= 1.5 - half * y * y;
    }
    let root = x * y;
    root + 0.5 * y * (x - root * root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::float;
    use proptest::prelude::*;

    #[test]
    fn functions_are_within_their_stated_errors() {
        let (mut worst_exp, mut worst_ln, mut worst_sqrt) = (0.0f64, 0.0f64, 0.0f64);
        for i in 0..200_000 {
            let x = -708.0 + f64::from(i) * 0.007;
            worst_exp = worst_exp.max((exp(x) / float::exp(x) - 1.0).abs());
            let positive = float::exp(-60.0 + f64::from(i) * 6e-4);
            let exact = float::ln(positive);
            worst_ln = worst_ln.max((ln(positive) - exact).abs() / exact.abs().max(1.0));
            worst_sqrt = worst_sqrt.max((sqrt(positive) / float::sqrt(positive) - 1.0).abs());
        }
        assert!(
            worst_exp < 4e-16 && worst_ln < 3e-16 && worst_sqrt < 3e-16,
            "{worst_exp} {worst_ln} {worst_sqrt}"
        );
        assert_eq!((exp(0.0), ln(1.0), sqrt(0.0), sqrt(4.0)), (1.0, 0.0, 0.0, 2.0));
        assert!(exp(-1e9) > 0.0 && exp(-1e9) < 1e-300);
        assert!(sqrt(1e-300) > 0.99e-150 && sqrt(5e-324) < 1e-150);
    }

    proptest! {
        #[test]
        fn sums_equal_plain_ones(pairs in proptest::collection::vec((-9.0f64..9.0, -9.0f64..9.0), 0..70)) {
            let (a, b): (std::vec::Vec<_>, std::vec::Vec<_>) = pairs.into_iter().unzip();
            let plain: f64 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
            prop_assert!((dot(&a, &b) - plain).abs() < 1e-10);
            let plain: f64 = a.iter().zip(&b).map(|(w, p)| w * (0.5 - p) * (0.5 - p)).sum();
            prop_assert!((weighted_square_distance(&a, &b, 0.5) - plain).abs() < 1e-10);
        }

        #[test]
        fn rows_times_matrix_equals_the_plain_product(rows in 1usize..20, columns in 1usize..30, seed: u64) {
            let stride = columns.next_multiple_of(LANES);
            let mut rng = crate::random::SplitMix64(seed);
            let mut draw = |n: usize| (0..n).map(|_| crate::random::uniform(&mut rng)).collect::<std::vec::Vec<_>>();
            let (a0, a1, b) = (draw(rows), draw(rows), draw(rows * stride));
            let (mut out0, mut out1) = (std::vec![0.0; stride], std::vec![0.0; stride]);
            rows_times_matrix([&a0, &a1], &b, stride, columns, [&mut out0, &mut out1]);
            for c in 0..columns {
                let plain: f64 = (0..rows).map(|l| a1[l] * b[l * stride + c]).sum();
                prop_assert!((out1[c] - plain).abs() < 1e-12);
            }
        }
    }
}

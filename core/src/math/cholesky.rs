//! Cholesky factors `A = Uᵀ U` of symmetric positive definite matrices.
//!
//! Matrices are row-major slices with a row length (`stride`) of at least `n`, so that they can grow in place; only
//! the upper triangle is read or written. `U` is upper triangular: row `k` of it is column `k` of the usual lower
//! factor, so that elimination runs along rows, which are contiguous, and needs no sums across a vector register.

use super::float;
use super::vector::{axpy, axpy4, dot};
use crate::part::{self, At, Part};
use core::fmt;

/// Factors `a` in place: the upper triangle becomes `U`. n³/3 multiplications and additions.
///
/// # Errors
/// [`FactorError::NotPositiveDefinite`] at the first pivot that is not positive (or is NaN); the matrix is then spoilt.
/// [`FactorError::Length`].
pub fn factor(a: &mut [f64], n: usize, stride: usize) -> Result<(), FactorError> {
    check(a, n, stride)?;
    for block in (0..n).step_by(4) {
        let end = block.saturating_add(4).min(n);
        for k in block..end {
            let failed = FactorError::NotPositiveDefinite { index: k };
            let (above, below) = a.split_at_mut_checked(k.saturating_mul(stride)).ok_or(failed)?;
            let row = below.part_mut(k..n);
            for p in block..k {
                let previous = part::row(above, stride, p, k..n);
                axpy(row, -previous.at(0), previous);
            }
            let (pivot, rest) = row.split_first_mut().ok_or(failed)?;
            if !(*pivot > 0.0 && pivot.is_finite()) {
                return Err(failed);
            }
            *pivot = float::sqrt(*pivot);
            let inverse = 1.0 / *pivot;
            for x in rest {
                *x *= inverse;
            }
        }
        let (above, below) = a.split_at_mut_checked(end.saturating_mul(stride)).unwrap_or_default();
        // Rows below the block exist only when the block is whole.
        let mut whole = part::rows(above, stride).skip(block);
        let whole = [whole.next(), whole.next(), whole.next(), whole.next()];
        let [Some(u0), Some(u1), Some(u2), Some(u3)] = whole else { break };
        for (i, row) in (end..n).zip(below.chunks_mut(stride.max(1))) {
            let u = [u0.part(i..n), u1.part(i..n), u2.part(i..n), u3.part(i..n)];
            axpy4(row.part_mut(i..n), u.map(|u| -u.at(0)), u);
        }
    }
    Ok(())
}

/// Solves `Uᵀ x = b` in place (the forward substitution). n² operations.
pub(crate) fn solve_forward(u: &[f64], n: usize, stride: usize, b: &mut [f64]) {
    let mut rest = b.head_mut(n);
    let n = rest.len();
    for k in 0..n {
        let Some((x, after)) = rest.split_first_mut() else { return };
        let row = part::row(u, stride, k, k..n);
        *x /= row.at(0);
        axpy(after, -*x, row.part(1..n - k));
        rest = after;
    }
}

/// Solves `U x = b` in place (the backward substitution). n² operations.
pub(crate) fn solve_backward(u: &[f64], n: usize, stride: usize, b: &mut [f64]) {
    let b = b.head_mut(n);
    let n = b.len();
    for k in (0..n).rev() {
        let row = part::row(u, stride, k, k..n);
        if let Some((x, after)) = b.part_mut(k..n).split_first_mut() {
            *x = (*x - dot(row.part(1..n - k), after)) / row.at(0);
        }
    }
}

/// `ln det A`.
pub(crate) fn log_determinant(u: &[f64], n: usize, stride: usize) -> f64 {
    let ln = |k: usize| float::ln(u.at(k.saturating_mul(stride).saturating_add(k)));
    2.0 * (0..n).map(ln).sum::<f64>()
}

/// Extends the factor of an `n` by `n` matrix by one row and column of `A`, in n² operations: `column` is
/// `A[0..n][n]`, `diagonal` is `A[n][n]`.
///
/// # Errors
/// [`FactorError`]; the factor is then as before.
pub(crate) fn append(
    u: &mut [f64],
    n: usize,
    stride: usize,
    column: &mut [f64],
    diagonal: f64,
) -> Result<(), FactorError> {
    check(u, n.saturating_add(1), stride)?;
    if column.len() < n {
        return Err(FactorError::Length { expected: n, found: column.len() });
    }
    solve_forward(u, n, stride, column);
    let column = column.head(n);
    let pivot = diagonal - dot(column, column);
    let place = u.get_mut(n.saturating_mul(stride).saturating_add(n));
    let (Some(place), true) = (place, pivot > 0.0 && pivot.is_finite()) else {
        return Err(FactorError::NotPositiveDefinite { index: n });
    };
    *place = float::sqrt(pivot);
    for (row, &x) in u.chunks_mut(stride.max(1)).zip(column) {
        if let Some(last) = row.get_mut(n) {
            *last = x;
        }
    }
    Ok(())
}

/// Takes row and column `index` out of the factored `n` by `n` matrix, in n² operations (Givens rotations).
pub(crate) fn remove(u: &mut [f64], n: usize, stride: usize, index: usize) {
    for row in u.chunks_mut(stride.max(1)).take(index.saturating_add(1)) {
        part::drop_first(row.part_mut(index..n));
    }
    // Row `index` now holds, from column `index` on, the vector v with which U33ᵀ U33 + v vᵀ is what is left.
    for k in index..n.saturating_sub(1) {
        let (above, row) = u.split_at_mut_checked((k + 1).saturating_mul(stride)).unwrap_or_default();
        let v = part::row_mut(above, stride, index, k..n - 1);
        let row = row.part_mut(k + 1..n);
        let radius = float::sqrt(row.at(0) * row.at(0) + v.at(0) * v.at(0));
        let (cosine, sine) = (row.at(0) / radius, v.at(0) / radius);
        for (r, v) in row.iter_mut().zip(v.iter_mut()) {
            (*r, *v) = (cosine * *r + sine * *v, cosine * *v - sine * *r);
        }
    }
    // Rows index+1.. move up by one row; their columns stand one place too far right.
    for k in index..n.saturating_sub(1) {
        let (above, below) = u.split_at_mut_checked((k + 1).saturating_mul(stride)).unwrap_or_default();
        let to = part::row_mut(above, stride, k, k..n - 1);
        for (to, from) in to.iter_mut().zip(below.part(k + 1..n)) {
            *to = *from;
        }
    }
}

/// Turns the factor into the inverse of the lower one, `V = U⁻ᵀ`: on and below the diagonal of `a`; above it `U` stays.
/// n³/3 operations.
pub(crate) fn invert_factor(a: &mut [f64], n: usize, stride: usize) {
    for i in 0..n {
        let (above, row) = a.split_at_mut_checked(i.saturating_mul(stride)).unwrap_or_default();
        let Some((diagonal, row)) = row.part_mut(0..i + 1).split_last_mut() else { return };
        row.fill(0.0);
        let factor = |k: usize| above.at(k.saturating_mul(stride).saturating_add(i));
        let whole = i - i % 4;
        for k in (0..whole).step_by(4) {
            let rows = [0, 1, 2, 3].map(|t| part::row(above, stride, k + t, 0..k + 4));
            axpy4_lower(row.part_mut(0..k + 4), [0, 1, 2, 3].map(|t| -factor(k + t)), rows);
        }
        for k in whole..i {
            axpy(row, -factor(k), part::row(above, stride, k, 0..k + 1));
        }
        let inverse = 1.0 / *diagonal;
        for x in row {
            *x *= inverse;
        }
        *diagonal = inverse;
    }
}

/// Turns the factor into the inverse of the matrix, `A⁻¹`, both triangles. 2/3 n³ operations.
///
/// # Errors
/// [`FactorError::Length`]; nothing is changed then.
pub fn invert(a: &mut [f64], n: usize, stride: usize) -> Result<(), FactorError> {
    check(a, n, stride)?;
    invert_factor(a, n, stride);
    inverse_from_factor(a, n, stride);
    symmetrise(a, n, stride);
    Ok(())
}

/// Writes the upper triangle of `A⁻¹ = Vᵀ V` over what [`invert_factor`] left; below the diagonal `V` stays.
/// n³/3 operations.
pub(crate) fn inverse_from_factor(a: &mut [f64], n: usize, stride: usize) {
    for i in 0..n {
        let end = (i + 1).saturating_mul(stride).min(a.len());
        let (above, below) = a.split_at_mut(end);
        let row = part::row_mut(above, stride, i, i..n);
        let first = [row.at(0), 0.0, 0.0, 0.0];
        row.fill(0.0);
        // Row k of V from column i on; the place of row i itself is being written.
        let v = |k: usize, columns: usize| match k.checked_sub(i + 1) {
            None => first.part(0..columns),
            Some(k) => part::row(below, stride, k, i..i + columns),
        };
        let whole = i + (n - i) / 4 * 4;
        for k in (i..whole).step_by(4) {
            let columns = k + 4 - i;
            let rows = [0, 1, 2, 3].map(|t| v(k + t, columns));
            axpy4_lower(row.part_mut(0..columns), rows.map(|row| row.at(0)), rows);
        }
        for k in whole..n {
            let columns = k + 1 - i;
            axpy(row.part_mut(0..columns), v(k, columns).at(0), v(k, columns));
        }
    }
}

/// [`axpy4`] of rows of a lower triangular matrix: of the last four places, row t has the first t + 1, and what stands
/// in the others is not of it.
#[inline(always)]
fn axpy4_lower(y: &mut [f64], a: [f64; 4], x: [&[f64]; 4]) {
    let Some((y, last)) = y.split_last_chunk_mut::<4>() else { return };
    axpy4(y, a, x);
    let mut ends = [[0.0; 4]; 4];
    for (t, (end, x)) in ends.iter_mut().zip(x).enumerate() {
        if let Some((_, x)) = x.split_last_chunk::<4>() {
            end[..=t].copy_from_slice(&x[..=t]);
        }
    }
    axpy4(last, a, ends.each_ref().map(|end| &end[..]));
}

/// Copies the upper triangle onto the lower one.
fn symmetrise(a: &mut [f64], n: usize, stride: usize) {
    for i in 1..n {
        let (above, row) = a.split_at_mut_checked(i.saturating_mul(stride)).unwrap_or_default();
        for (j, x) in row.part_mut(0..i).iter_mut().enumerate() {
            *x = above.at(j.saturating_mul(stride).saturating_add(i));
        }
    }
}

/// Whether `n` rows of length `stride`, at least `n`, are there.
fn check(a: &[f64], n: usize, stride: usize) -> Result<(), FactorError> {
    let expected = n.saturating_mul(stride.max(n));
    if n <= stride && expected <= a.len() {
        Ok(())
    } else {
        Err(FactorError::Length { expected, found: a.len() })
    }
}

/// Why a matrix cannot be factored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FactorError {
    /// The matrix is not positive definite (or holds NaN).
    NotPositiveDefinite {
        /// The pivot that failed.
        index: usize,
    },
    /// Rows are missing, or shorter than there are columns.
    Length {
        /// Numbers needed.
        expected: usize,
        /// Numbers there are.
        found: usize,
    },
}

impl fmt::Display for FactorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPositiveDefinite { index } => write!(
                f,
                "pivot {index} is not positive; add to the diagonal, or drop the row that repeats another"
            ),
            Self::Length { expected, found } => {
                write!(
                    f,
                    "{found} numbers for a matrix of {expected}; give whole rows, no shorter than it has columns"
                )
            }
        }
    }
}

impl core::error::Error for FactorError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{SplitMix64, uniform};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// A random symmetric positive definite matrix: Bᵀ B + identity.
    fn spd(n: usize, stride: usize, seed: u64) -> Vec<f64> {
        let mut rng = SplitMix64(seed);
        let b: Vec<f64> = (0..n * n).map(|_| uniform(&mut rng) - 0.5).collect();
        let mut a = vec![f64::NAN; n * stride];
        for i in 0..n {
            for j in 0..n {
                let sum: f64 = (0..n).map(|k| b[k * n + i] * b[k * n + j]).sum();
                a[i * stride + j] = sum + f64::from(u8::from(i == j));
            }
        }
        a
    }

    fn distance(a: &[f64], b: &[f64], n: usize, stride: usize) -> f64 {
        let upper = (0..n).flat_map(|i| (i..n).map(move |j| i * stride + j));
        upper.map(|at| (a[at] - b[at]).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn three_by_three_by_hand() {
        // U = [2 6 -8; 0 1 5; 0 0 3].
        let mut a = [4.0, 12.0, -16.0, 0.0, 37.0, -43.0, 0.0, 0.0, 98.0];
        factor(&mut a, 3, 3).unwrap();
        assert_eq!([a[0], a[1], a[2], a[4], a[5], a[8]], [2.0, 6.0, -8.0, 1.0, 5.0, 3.0]);
        assert!((log_determinant(&a, 3, 3) - float::ln(36.0)).abs() < 1e-14);
        assert_eq!(
            factor(&mut [1.0, 2.0, 0.0, 1.0], 2, 2),
            Err(FactorError::NotPositiveDefinite { index: 1 })
        );
        assert_eq!(factor(&mut [f64::NAN], 1, 1), Err(FactorError::NotPositiveDefinite { index: 0 }));
    }

    #[test]
    fn a_matrix_that_is_not_all_there_is_an_error() {
        let mut a = [1.0; 8];
        let missing = Err(FactorError::Length { expected: 9, found: 8 });
        assert_eq!(
            [factor(&mut a, 3, 3), invert(&mut a, 3, 3), append(&mut a, 2, 3, &mut [1.0; 2], 4.0)],
            [missing; 3]
        );
        assert_eq!(append(&mut a, 2, 2, &mut [1.0; 2], 4.0), missing);
        assert_eq!(factor(&mut a, 3, 2), missing);
        assert_eq!(
            factor(&mut a, usize::MAX, 2),
            Err(FactorError::Length { expected: usize::MAX, found: 8 })
        );
        let short = append(&mut a, 1, 2, &mut [], 4.0);
        assert_eq!((short, a), (Err(FactorError::Length { expected: 1, found: 0 }), [1.0; 8]));
    }

    proptest! {
        #[test]
        fn solving_and_inverting_undo_the_matrix(n in 1usize..40, extra in 0usize..5, seed: u64) {
            let stride = n + extra;
            let a = spd(n, stride, seed);
            let mut u = a.clone();
            factor(&mut u, n, stride).unwrap();
            let b: Vec<f64> = (0..n).map(|i| (i as f64).sin()).collect();
            let mut x = b.clone();
            solve_forward(&u, n, stride, &mut x);
            solve_backward(&u, n, stride, &mut x);
            let mut inverse = u;
            invert(&mut inverse, n, stride).unwrap();
            for i in 0..n {
                let ax: f64 = (0..n).map(|j| a[i * stride + j] * x[j]).sum();
                prop_assert!((ax - b[i]).abs() < 1e-10);
                for j in 0..n {
                    let unit: f64 = (0..n).map(|k| a[i * stride + k] * inverse[k * stride + j]).sum();
                    prop_assert!((unit - f64::from(u8::from(i == j))).abs() < 1e-10);
                }
            }
        }

        #[test]
        fn appending_and_removing_equal_factoring_anew(n in 2usize..30, seed: u64, index in 0usize..30) {
            let (stride, index) = (n, index % n);
            let a = spd(n, stride, seed);
            let mut whole = a.clone();
            factor(&mut whole, n, stride).unwrap();

            let mut grown = a.clone();
            factor(&mut grown, n - 1, stride).unwrap();
            let mut column: Vec<f64> = (0..n - 1).map(|i| a[i * stride + n - 1]).collect();
            append(&mut grown, n - 1, stride, &mut column, a[n * n - 1]).unwrap();
            prop_assert!(distance(&grown, &whole, n, stride) < 1e-11);

            let kept: Vec<usize> = (0..n).filter(|&i| i != index).collect();
            let mut smaller = vec![0.0; n * stride];
            for (i, &from) in kept.iter().enumerate() {
                for (j, &to) in kept.iter().enumerate() {
                    smaller[i * stride + j] = a[from * stride + to];
                }
            }
            factor(&mut smaller, n - 1, stride).unwrap();
            remove(&mut whole, n, stride, index);
            prop_assert!(distance(&whole, &smaller, n - 1, stride) < 1e-11);
        }
    }
}

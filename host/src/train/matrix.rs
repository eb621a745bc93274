//! The number type of the trainers and its matrix products, by the `matrixmultiply` crate.
//!
//! Matrices are row-major slices. The products of one shape always add in the same order, so training is
//! deterministic on one machine.

use aquatope_core::nn::Real;

/// A number the trainers compute with: `f32` in production, `f64` for gradient checks.
pub trait Number: Real + Send + Sync {
    /// c = keep * c + a b, with strides as of [`matrixmultiply::sgemm`].
    ///
    /// # Safety
    /// Every element that the shape and the strides reach must lie inside its slice.
    unsafe fn gemm(shape: [usize; 3], a: Factor<'_, Self>, b: Factor<'_, Self>, keep: Self, c: *mut Self);

    /// Square root, correctly rounded.
    fn square_root(self) -> Self;
}

/// One factor of a product: its values, and the distances between rows and between columns.
#[derive(Clone, Copy)]
pub struct Factor<'a, R> {
    values: &'a [R],
    row: usize,
    column: usize,
}

/// A matrix with rows of `columns` values.
pub fn plain<R>(values: &[R], columns: usize) -> Factor<'_, R> {
    Factor { values, row: columns, column: 1 }
}

/// The transpose of a matrix with rows of `columns` values.
pub fn transposed<R>(values: &[R], columns: usize) -> Factor<'_, R> {
    Factor { values, row: 1, column: columns }
}

/// c = keep * c + a b, with a `[m][k]`, b `[k][n]` and c `[m][n]` for `shape` = `[m, k, n]`, none of them 0.
pub fn product<R: Number>(shape: [usize; 3], a: Factor<'_, R>, b: Factor<'_, R>, keep: R, c: &mut [R]) {
    let [m, k, n] = shape;
    assert!(m > 0 && k > 0 && n > 0, "empty product");
    assert!((m - 1) * a.row + (k - 1) * a.column < a.values.len(), "left factor too short");
    assert!((k - 1) * b.row + (n - 1) * b.column < b.values.len(), "right factor too short");
    assert!(m * n <= c.len(), "product too short");
    // SAFETY: the assertions keep every element that the shape and the strides reach inside the three slices.
    unsafe { R::gemm(shape, a, b, keep, c.as_mut_ptr()) }
}

macro_rules! number {
    ($type:ty, $gemm:path) => {
        impl Number for $type {
            fn square_root(self) -> Self {
                self.sqrt()
            }

            unsafe fn gemm(
                [m, k, n]: [usize; 3],
                a: Factor<'_, Self>,
                b: Factor<'_, Self>,
                keep: Self,
                c: *mut Self,
            ) {
                let (a_values, b_values) = (a.values.as_ptr(), b.values.as_ptr());
                let [a_row, a_column, b_row, b_column] =
                    [a.row, a.column, b.row, b.column].map(|stride| stride as isize);
                // SAFETY: the caller promises that all strides stay inside the slices.
                unsafe {
                    $gemm(
                        m, k, n, 1.0, a_values, a_row, a_column, b_values, b_row, b_column, keep, c,
                        n as isize, 1,
                    );
                }
            }
        }
    };
}

number!(f32, matrixmultiply::sgemm);
number!(f64, matrixmultiply::dgemm);

/// y = x W + b: `x` `[rows][inputs]`, `weight` `[inputs][outputs]`, `y` `[rows][outputs]`.
pub fn linear<R: Number>(x: &[R], weight: &[R], bias: &[R], y: &mut [R]) {
    let (inputs, outputs) = (weight.len() / bias.len(), bias.len());
    for row in y.chunks_exact_mut(outputs) {
        row.copy_from_slice(bias);
    }
    product([y.len() / outputs, inputs, outputs], plain(x, inputs), plain(weight, outputs), R::ONE, y);
}

/// The gradients of [`linear`] from `dy`: added to `dweight` and `dbias`, and written to `dx` when wanted.
pub fn linear_gradient<R: Number>(
    x: &[R],
    weight: &[R],
    dy: &[R],
    dweight: &mut [R],
    dbias: &mut [R],
    dx: Option<&mut [R]>,
) {
    let (inputs, outputs) = (weight.len() / dbias.len(), dbias.len());
    let rows = dy.len() / outputs;
    product([inputs, rows, outputs], transposed(x, inputs), plain(dy, outputs), R::ONE, dweight);
    for row in dy.chunks_exact(outputs) {
        for (sum, &d) in dbias.iter_mut().zip(row) {
            *sum += d;
        }
    }
    if let Some(dx) = dx {
        product([rows, outputs, inputs], plain(dy, outputs), transposed(weight, outputs), R::ZERO, dx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_worked_by_hand() {
        let (a, b) = ([1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        let mut c = [100.0; 4];
        product([2, 3, 2], plain(&a, 3), plain(&b, 2), 0.0, &mut c);
        assert_eq!(c, [4.0, 5.0, 10.0, 11.0]);
        product([2, 3, 2], transposed(&a, 2), plain(&b, 2), 1.0, &mut c);
        assert_eq!(c, [4.0 + 6.0, 5.0 + 8.0, 10.0 + 8.0, 11.0 + 10.0]);
    }
}

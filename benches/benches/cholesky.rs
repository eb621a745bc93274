//! Cholesky factors and inverses against nalgebra, with storage that is there already for both: the measured reason
//! why the core brings its own.

use aquatope_core::math::cholesky;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use nalgebra::{Cholesky, DMatrix, Dyn, SMatrix};

/// A kernel matrix of `n` points on a line, with noise on the diagonal.
fn covariance(n: usize) -> Vec<f64> {
    let entry = |i: usize, j: usize| (-(i.abs_diff(j) as f64) / 10.0).exp() + if i == j { 0.1 } else { 0.0 };
    (0..n * n).map(|k| entry(k / n, k % n)).collect()
}

fn statically_sized<const N: usize>(c: &mut Criterion) {
    let matrix = SMatrix::<f64, N, N>::from_row_slice(&covariance(N));
    c.bench_function(&format!("factor, nalgebra SMatrix, n={N}"), |b| {
        b.iter_batched(|| matrix, |m| m.cholesky().map(|c| c.l_dirty()[N * N - 1]), BatchSize::SmallInput);
    });
}

fn benches(c: &mut Criterion) {
    for n in [10, 30, 70, 128] {
        let a = covariance(n);
        c.bench_function(&format!("factor, this crate, n={n}"), |b| {
            b.iter_batched_ref(|| a.clone(), |a| cholesky::factor(a, n, n), BatchSize::SmallInput);
        });
        let matrix = DMatrix::from_row_slice(n, n, &a);
        c.bench_function(&format!("factor, nalgebra DMatrix, n={n}"), |b| {
            b.iter_batched(|| matrix.clone(), Cholesky::<f64, Dyn>::new, BatchSize::SmallInput);
        });
        let (mut u, mut inverse) = (a.clone(), vec![0.0; n * n]);
        assert!(cholesky::factor(&mut u, n, n).is_ok(), "a kernel matrix with noise is positive definite");
        c.bench_function(&format!("inverse from the factor, this crate, n={n}"), |b| {
            b.iter(|| {
                inverse.copy_from_slice(&u);
                cholesky::invert(&mut inverse, n, n)
            });
        });
        let factor = matrix.cholesky().expect("as above");
        c.bench_function(&format!("inverse from the factor, nalgebra DMatrix, n={n}"), |b| {
            b.iter(|| factor.inverse());
        });
    }
    statically_sized::<30>(c);
    statically_sized::<70>(c);
}

criterion_group! { name = factors; config = Criterion::default().sample_size(30); targets = benches }
criterion_main!(factors);

//! The Matérn-5/2 kernel with one length scale per dimension (Rasmussen and Williams, "Gaussian Processes for
//! Machine Learning", 2006, eq. 4.17): with t = sqrt(5) r,
//!
//! ```text
//! k = (1 + t + t^2 / 3) exp(-t)        r^2 = sum over u of ((x_u - y_u) / lengthscale_u)^2
//! ```

use crate::math::vector;

/// Adds `((centre - points[i]) * inverse_lengthscale)^2` to every `square_distances[i]`.
#[inline]
pub(crate) fn add_square_distances(
    square_distances: &mut [f64],
    points: &[f64],
    centre: f64,
    inverse_lengthscale: f64,
) {
    for (r2, point) in square_distances.iter_mut().zip(points) {
        let t = (centre - point) * inverse_lengthscale;
        *r2 += t * t;
    }
}

/// Where the kernel ends: it is below 1e-300 from here on. Beyond, distances may be infinite or (0 times infinity)
/// NaN, which counts as far apart.
const FAR: f64 = 1e5;

/// The kernel of unit variance at the squared distance `r2`.
#[inline(always)]
pub fn matern52(r2: f64) -> f64 {
    let s = 5.0 * if r2 < FAR { r2 } else { FAR };
    let t = vector::sqrt(s);
    (1.0 + t + s * (1.0 / 3.0)) * vector::exp(-t)
}

/// The kernel of unit variance and its slope `h = -2 dk/d(r^2)`, so that `dk/dx = -h (x - y) / lengthscale^2` and
/// `dk/d(ln lengthscale) = h ((x - y) / lengthscale)^2`.
#[inline(always)]
pub fn matern52_with_slope(r2: f64) -> (f64, f64) {
    let s = 5.0 * if r2 < FAR { r2 } else { FAR };
    let t = vector::sqrt(s);
    let e = vector::exp(-t);
    ((1.0 + t + s * (1.0 / 3.0)) * e, (5.0 / 3.0) * (1.0 + t) * e)
}

//! How ln duration varies with the resources of one function: a sum of effects.
//!
//! CPU and memory act mostly as separate factors on a duration, so the kernel on its logarithm is additive (Duvenaud,
//! Nickisch and Rasmussen, "Additive Gaussian Processes", NeurIPS 2011): a constant, a slope in ln CPU, one
//! Matérn-5/2 effect per axis, and a small interaction of all axes. Ten trials then tell ten values of *every*
//! effect, where a kernel over the product space would see ten scattered points.
//!
//! Coordinates are natural logarithms of the resource over its largest value, so length scales are in e-folds.

use crate::math::float;
use crate::math::vector;

/// Axes of one function: CPU, memory, concurrency.
pub(super) const AXES: usize = 3;
/// Parameters of a [`Kernel`].
pub(super) const PARAMETERS: usize = 2 * AXES + 1;

/// Prior variance of the level of ln duration: a factor e^2 either way.
const LEVEL_VARIANCE: f64 = 4.0;
/// Prior variance of the slope of ln duration over ln CPU around [`SLOPE`].
const SLOPE_VARIANCE: f64 = 0.1;
/// Prior mean of that slope: between work that is all computing (-1) and all waiting (0).
const SLOPE: f64 = -0.5;

/// Position of one configuration on the axes.
pub(super) type Place = [f64; AXES];

/// Parameters by logarithm: variances of the three effects, variance of the interaction, three length scales.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Kernel {
    pub(super) ln: [f64; PARAMETERS],
}

/// Medians of the log-normal priors: an effect changes a duration by about e^0.6 within an e-fold of its resource;
/// interactions are an order smaller.
const PRIOR_MEDIAN: [f64; PARAMETERS] = [0.3, 0.5, 0.3, 0.05, 1.2, 0.8, 1.2];
/// Standard deviations of the logarithms under the prior.
pub(super) const PRIOR_DEVIATION: [f64; PARAMETERS] = [1.0, 1.0, 1.0, 1.5, 0.5, 0.5, 0.5];

impl Kernel {
    /// The medians of the prior.
    pub(super) fn prior() -> Self {
        Self { ln: PRIOR_MEDIAN.map(float::ln) }
    }

    /// Minus the log density of the prior, without its constant.
    pub(super) fn penalty(&self) -> f64 {
        let prior = Self::prior();
        (0..PARAMETERS).map(|k| 0.5 * square((self.ln[k] - prior.ln[k]) / PRIOR_DEVIATION[k])).sum()
    }

    /// The parameters in natural units.
    pub(super) fn effects(&self) -> Effects {
        let [a, b, c, interaction, x, y, z] = self.ln.map(float::exp);
        Effects { variance: [a, b, c], interaction, inverse_lengthscale: [1.0 / x, 1.0 / y, 1.0 / z] }
    }
}

/// The parameters in natural units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effects {
    pub(super) variance: [f64; AXES],
    pub(super) interaction: f64,
    inverse_lengthscale: [f64; AXES],
}

impl Effects {
    /// Correlation of two positions on one axis.
    #[inline(always)]
    pub(super) fn correlation(&self, axis: usize, a: f64, b: f64) -> f64 {
        let t = 2.236_067_977_499_79 * (a - b).abs() * self.inverse_lengthscale[axis];
        (1.0 + t + t * t * (1.0 / 3.0)) * vector::exp(-t)
    }

    /// Covariance from the correlations on every axis and the product of the CPU coordinates.
    #[inline(always)]
    pub(super) fn covariance(&self, correlation: [f64; AXES], cpu_product: f64) -> f64 {
        let [r, s, t] = correlation;
        let [v, w, u] = self.variance;
        Self::trend_covariance(cpu_product) + (v * r + w * s + u * t) + self.interaction * (r * s * t)
    }

    /// The part of the covariance that level and slope make.
    #[inline(always)]
    pub(super) fn trend_covariance(cpu_product: f64) -> f64 {
        LEVEL_VARIANCE + SLOPE_VARIANCE * cpu_product
    }

    /// Prior covariance of ln duration at two places.
    #[inline(always)]
    pub(super) fn between(&self, a: &Place, b: &Place) -> f64 {
        let correlation = |axis: usize| self.correlation(axis, a[axis], b[axis]);
        self.covariance([correlation(0), correlation(1), correlation(2)], a[0] * b[0])
    }
}

/// Prior mean of ln duration, up to the level.
pub(super) fn trend(place: &Place) -> f64 {
    SLOPE * place[0]
}

/// Standard deviations of level and slope under the prior.
pub(super) fn trend_deviations() -> (f64, f64) {
    (float::sqrt(LEVEL_VARIANCE), float::sqrt(SLOPE_VARIANCE))
}

pub(super) fn square(x: f64) -> f64 {
    x * x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Matérn-5/2 at a distance of two, a half and a quarter length scales: (1 + t + t²/3) exp(-t) with t = √5 times that.
    #[test]
    fn correlations_fall_with_the_length_scale_of_their_axis() {
        let kernel = Kernel { ln: [1.0, 1.0, 1.0, 1.0, 0.5, 2.0, 4.0].map(float::ln) };
        let effects = kernel.effects();
        for (axis, expected) in [0.138_660_219, 0.828_649_142, 0.950_959_922].into_iter().enumerate() {
            let found = effects.correlation(axis, 0.25, 1.25);
            assert!((found - expected).abs() < 1e-8, "axis {axis}: {found}");
        }
    }
}

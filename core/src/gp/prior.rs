//! Priors of the hyper-parameters. Densities are those of the parameter itself, without the Jacobian of its
//! logarithm (as in GPyTorch), and so are the modes.

use crate::math::float;

/// Which priors, and with them where a fit starts and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Prior {
    /// Log-normal on length scales with a location that grows with the square root of the dimension; the output
    /// scale is fixed at 1, the variance of standardised outcomes (Hvarfner, Hellsten, Nardi, "Vanilla Bayesian
    /// optimization performs great in high dimensions", ICML 2024). Noise: log-normal(-4, 1).
    #[default]
    DimensionScaled,
    /// Gamma(3, 6) on length scales, Gamma(2, 0.15) on the output scale, Gamma(1.1, 0.05) on the noise (the defaults
    /// of BoTorch up to 0.11, which the paper used).
    Gamma,
}

/// A prior density and its slope in the logarithm of the parameter.
struct Density {
    ln: f64,
    slope: f64,
}

const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_7;

impl Prior {
    /// Whether the output scale is a constant.
    pub(super) fn fixes_outputscale(self) -> bool {
        self == Self::DimensionScaled
    }

    /// Where the logarithm of a length scale starts, its lower and its upper bound.
    pub(super) fn lengthscale_range(self, dimensions: usize) -> (f64, f64, f64) {
        let (start, lower) = match self {
            // The mode of the log-normal, exp(mu - sigma^2).
            Self::DimensionScaled => (lengthscale_location(dimensions) - LENGTHSCALE_VARIANCE, 2.5e-2),
            Self::Gamma => (float::ln(core::f64::consts::LN_2), 5e-3),
        };
        (start, float::ln(lower), float::ln(1e3))
    }

    /// Where the logarithm of the output scale starts, its lower and its upper bound.
    pub(super) fn outputscale_range(self) -> (f64, f64, f64) {
        match self {
            Self::DimensionScaled => (0.0, 0.0, 0.0),
            Self::Gamma => (float::ln(core::f64::consts::LN_2), -12.0, 12.0),
        }
    }

    /// Where the logarithm of the noise variance starts, its lower and its upper bound.
    pub(super) fn noise_range(self) -> (f64, f64, f64) {
        let start = match self {
            Self::DimensionScaled => -5.0,
            Self::Gamma => core::f64::consts::LN_2,
        };
        (start, float::ln(1e-4), 6.0)
    }

    /// Adds the log densities of the logarithms of length scales, output scale and, where it is inferred, noise to the
    /// returned value, and their slopes to `slopes` and those of (output scale, mean, noise).
    pub(super) fn add(
        self,
        lengthscales: &[f64],
        outputscale: f64,
        noise: Option<f64>,
        slopes: &mut [f64],
        [outputscale_slope, _, noise_slope]: &mut [f64; 3],
    ) -> f64 {
        let mut total = 0.0;
        let mut add = |slope: &mut f64, density: Density| {
            total += density.ln;
            *slope += density.slope;
        };
        let lengthscales = lengthscales.iter().zip(slopes);
        match self {
            Self::Gamma => {
                // ln Gamma(3) = ln 2; ln Gamma(2) = 0; ln Gamma(1.1).
                for (&lengthscale, slope) in lengthscales {
                    add(slope, gamma(lengthscale, 3.0, 6.0, core::f64::consts::LN_2));
                }
                add(outputscale_slope, gamma(outputscale, 2.0, 0.15, 0.0));
                if let Some(noise) = noise {
                    add(noise_slope, gamma(noise, 1.1, 0.05, -0.049_872_441_259_840_36));
                }
            }
            Self::DimensionScaled => {
                let location = lengthscale_location(lengthscales.len());
                for (&lengthscale, slope) in lengthscales {
                    add(slope, log_normal(lengthscale, location, LENGTHSCALE_VARIANCE));
                }
                if let Some(noise) = noise {
                    add(noise_slope, log_normal(noise, -4.0, 1.0));
                }
            }
        }
        total
    }
}

const LENGTHSCALE_VARIANCE: f64 = 3.0;

fn lengthscale_location(dimensions: usize) -> f64 {
    core::f64::consts::SQRT_2 + 0.5 * float::ln(dimensions as f64)
}

fn gamma(ln_x: f64, shape: f64, rate: f64, ln_gamma_of_shape: f64) -> Density {
    let x = float::exp(ln_x);
    let ln = shape * float::ln(rate) - ln_gamma_of_shape + (shape - 1.0) * ln_x - rate * x;
    Density { ln, slope: shape - 1.0 - rate * x }
}

fn log_normal(ln_x: f64, location: f64, variance: f64) -> Density {
    let t = ln_x - location;
    let ln = -0.5 * t * t / variance - ln_x - HALF_LN_TWO_PI - 0.5 * float::ln(variance);
    Density { ln, slope: -t / variance - 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Densities of SciPy 1.17 at four length scales, an output scale and a noise: `fixtures/generate/priors.py`.
    #[test]
    fn densities_and_slopes_are_those_of_scipy() {
        let lengthscales = [0.2, 0.5, 1.5, 7.0].map(float::ln);
        let scaled = [0.238_932_885, -0.066_497_359, -0.432_701_455, -0.946_183_135];
        let expected = [
            (Prior::DimensionScaled, -7.552_550_717_921_91, scaled, [0.0, -1.493_442_103]),
            (Prior::Gamma, -43.490_095_331_255_4, [0.8, -1.0, -7.0, -40.0], [0.745, 0.0985]),
        ];
        for (prior, total, of_lengthscales, [of_outputscale, of_noise]) in expected {
            let (mut slopes, mut others) = ([0.0; 4], [0.0; 3]);
            let noise = Some(float::ln(0.03));
            let found = prior.add(&lengthscales, float::ln(1.7), noise, &mut slopes, &mut others);
            assert!((found - total).abs() < 1e-12 * total.abs(), "{prior:?}: {found}");
            let close = |found: f64, expected: f64| (found - expected).abs() < 1e-8;
            assert!(slopes.iter().zip(of_lengthscales).all(|(&f, e)| close(f, e)), "{prior:?}: {slopes:?}");
            assert!(close(others[0], of_outputscale) && close(others[2], of_noise), "{prior:?}: {others:?}");
        }
    }

    #[test]
    fn a_fit_starts_where_the_prior_is_densest() {
        let (start, ..) = Prior::DimensionScaled.lengthscale_range(4);
        assert!((start - -0.892_639_257_066_959_7).abs() < 1e-12);
        let (mut slopes, mut others) = ([0.0; 4], [0.0; 3]);
        Prior::DimensionScaled.add(&[start; 4], 0.0, None, &mut slopes, &mut others);
        // The mode of the density of the parameter itself, without the Jacobian of its logarithm.
        assert!(slopes.iter().all(|slope| slope.abs() < 1e-12), "{slopes:?}");
    }
}

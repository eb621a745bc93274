//! Maximum a posteriori hyper-parameters, found on standardised outcomes.

use super::likelihood::{Problem, Work, evaluate};
use super::prior::Prior;
use super::{Gp, GpError, Hyperparameters};
use crate::math::float;
use crate::math::lbfgs::{Lbfgs, Stop};

/// The least noise variance a fit works with, as a share of the variance of the outcomes: duplicates without noise
/// have no likelihood otherwise.
const MIN_NOISE: f64 = 1e-6;

/// Where the noise of the observations comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Noise {
    /// Every observation brings its variance.
    #[default]
    Known,
    /// One variance for all, inferred together with the other hyper-parameters.
    Inferred,
}

/// How to fit.
#[derive(Clone, Copy, Debug, Default)]
pub struct FitOptions<'a, const D: usize> {
    /// Priors of the hyper-parameters.
    pub prior: Prior,
    /// Known or inferred noise.
    pub noise: Noise,
    /// Where to start (an earlier fit); `None` starts from the mode of the prior.
    pub start: Option<&'a Hyperparameters<D>>,
}

/// What a fit reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Log marginal likelihood of the standardised outcomes plus the log prior.
    pub log_posterior: f64,
    /// Evaluations of value and gradient; at most 200.
    pub evaluations: usize,
}

/// Rows of `D` numbers with room for the `D + 3` hyper-parameters of a fit.
const ROWS: usize = 4;

/// Temporary memory of a fit: an `N` by `N` matrix, `D` by `N` inputs and some vectors. Make it once, as a `static` or in a
/// box.
#[derive(Clone, Debug)]
pub struct GpScratch<const N: usize, const D: usize> {
    pub(crate) matrix: [[f64; N]; N],
    scaled: [[f64; N]; D],
    targets: [f64; N],
    noise: [f64; N],
    residuals: [f64; N],
    alpha: [f64; N],
    pub(super) weights: [f64; N],
    lbfgs: Lbfgs<D, ROWS>,
}

impl<const N: usize, const D: usize> Default for GpScratch<N, D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, const D: usize> GpScratch<N, D> {
    /// Memory for processes of at most `N` observations of `D` inputs.
    pub const fn new() -> Self {
        const { assert!(D > 0, "a process has inputs") };
        Self {
            matrix: [[0.0; N]; N],
            scaled: [[0.0; N]; D],
            targets: [0.0; N],
            noise: [0.0; N],
            residuals: [0.0; N],
            alpha: [0.0; N],
            weights: [0.0; N],
            lbfgs: Lbfgs::new(),
        }
    }
}

impl<const N: usize, const D: usize> Gp<N, D> {
    /// Finds the hyper-parameters by a bounded quasi-Newton search of at most 200 evaluations and conditions the
    /// process with them. Constant, duplicated and collinear data are fine.
    ///
    /// # Errors
    /// [`GpError::Empty`], [`GpError::NotPositiveDefinite`].
    pub fn fit(
        &mut self,
        options: &FitOptions<'_, D>,
        scratch: &mut GpScratch<N, D>,
    ) -> Result<Fit, GpError> {
        let (n, d) = (self.len(), self.dimensions());
        if n == 0 {
            return Err(GpError::Empty);
        }
        let (centre, scale) = standardisation(&self.targets[..n]);
        for i in 0..n {
            scratch.targets[i] = (self.targets[i] - centre) / scale;
            scratch.noise[i] = (self.noise[i] / (scale * scale)).max(MIN_NOISE);
        }
        let problem = Problem {
            inputs: self.inputs.as_flattened(),
            stride: N,
            n,
            targets: &scratch.targets[..n],
            noise: (options.noise == Noise::Known).then_some(&scratch.noise[..n]),
            prior: Some(options.prior),
        };
        let mut work = Work {
            covariance: scratch.matrix.as_flattened_mut(),
            // The factor is of no use until the search has ended.
            slopes: self.factor.as_flattened_mut(),
            scaled: scratch.scaled.as_flattened_mut(),
            residuals: &mut scratch.residuals,
            alpha: &mut scratch.alpha,
            weights: &mut scratch.weights,
        };

        let ranges = |u: usize| match u.checked_sub(d) {
            None => options.prior.lengthscale_range(d),
            Some(0) => options.prior.outputscale_range(),
            Some(1) => (0.0, -10.0, 10.0),
            Some(_) => options.prior.noise_range(),
        };
        let [mut theta, mut lower, mut upper] = [[[0.0; D]; ROWS]; 3];
        let [theta, lower, upper] =
            [&mut theta, &mut lower, &mut upper].map(|rows| &mut rows.as_flattened_mut()[..d + 3]);
        for u in 0..d + 3 {
            (theta[u], lower[u], upper[u]) = ranges(u);
        }
        if let Some(start) = options.start.filter(|start| start.lengthscales.len() == d) {
            for (theta, lengthscale) in theta.iter_mut().zip(&start.lengthscales) {
                *theta = float::ln(*lengthscale);
            }
            theta[d] = float::ln(start.outputscale / (scale * scale));
            theta[d + 1] = (start.mean - centre) / scale;
            theta[d + 2] = float::ln(start.noise / (scale * scale));
            for u in 0..d + 3 {
                // NaN of a foreign start becomes the lower bound.
                theta[u] = theta[u].max(lower[u]).min(upper[u]);
            }
        }
        // Per observation, so that the tolerances mean the same for every n (as SciPy's and BoTorch's fits do).
        let per_observation = 1.0 / n as f64;
        let stop = Stop { evaluations: 200, decrease: 1e-8, gradient: 1e-5 };
        let minimum = scratch.lbfgs.minimise(theta, lower, upper, stop, |theta, gradient| {
            let value = evaluate(&problem, theta, gradient, &mut work);
            for g in gradient.iter_mut() {
                *g *= -per_observation;
            }
            -value * per_observation
        });
        for (lengthscale, &ln) in self.hyperparameters.lengthscales.iter_mut().zip(&*theta) {
            *lengthscale = float::exp(ln);
        }
        self.hyperparameters.outputscale = float::exp(theta[d]) * scale * scale;
        self.hyperparameters.mean = centre + scale * theta[d + 1];
        self.hyperparameters.noise = float::exp(theta[d + 2]) * scale * scale;
        if options.noise == Noise::Inferred {
            self.noise[..n].fill(self.hyperparameters.noise);
        }
        self.factorise()?;
        Ok(Fit { log_posterior: -minimum.value * n as f64, evaluations: minimum.evaluations })
    }

    /// Log marginal likelihood of the observations at the present hyper-parameters, plus the log prior if one is
    /// given, and the gradient in (log length scales, log output scale, mean, log noise), which is written to the
    /// first `dimensions + 3` places of `gradient`. The outcomes are taken as they are. `slopes` is temporary memory.
    ///
    /// # Errors
    /// [`GpError::Empty`], [`GpError::NotPositiveDefinite`], or [`GpError::Length`] for a short `gradient`.
    pub fn log_marginal_likelihood(
        &self,
        prior: Option<Prior>,
        noise: Noise,
        gradient: &mut [f64],
        scratch: &mut GpScratch<N, D>,
        slopes: &mut [[f64; N]; N],
    ) -> Result<f64, GpError> {
        let (n, d) = (self.len(), self.dimensions());
        if n == 0 {
            return Err(GpError::Empty);
        }
        let found = gradient.len();
        let gradient = gradient.get_mut(..d + 3).ok_or(GpError::Length { expected: d + 3, found })?;
        let mut theta = [[0.0; D]; ROWS];
        let theta = &mut theta.as_flattened_mut()[..d + 3];
        for (theta, lengthscale) in theta.iter_mut().zip(&self.hyperparameters.lengthscales) {
            *theta = float::ln(*lengthscale);
        }
        theta[d] = float::ln(self.hyperparameters.outputscale);
        theta[d + 1] = self.hyperparameters.mean;
        theta[d + 2] = float::ln(self.hyperparameters.noise);
        let problem = Problem {
            inputs: self.inputs.as_flattened(),
            stride: N,
            n,
            targets: &self.targets[..n],
            noise: (noise == Noise::Known).then_some(&self.noise[..n]),
            prior,
        };
        let mut work = Work {
            covariance: scratch.matrix.as_flattened_mut(),
            slopes: slopes.as_flattened_mut(),
            scaled: scratch.scaled.as_flattened_mut(),
            residuals: &mut scratch.residuals,
            alpha: &mut scratch.alpha,
            weights: &mut scratch.weights,
        };
        let value = evaluate(&problem, theta, gradient, &mut work);
        if value.is_finite() { Ok(value) } else { Err(GpError::NotPositiveDefinite) }
    }
}

/// Mean and standard deviation (n - 1); 1 where the outcomes do not vary.
fn standardisation(targets: &[f64]) -> (f64, f64) {
    let n = targets.len() as f64;
    let mean = targets.iter().sum::<f64>() / n;
    let squares: f64 = targets.iter().map(|y| (y - mean) * (y - mean)).sum();
    let deviation = float::sqrt(squares / (n - 1.0).max(1.0));
    (mean, if deviation > 1e-12 * mean.abs().max(1e-12) { deviation } else { 1.0 })
}

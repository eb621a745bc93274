//! How good the forecasts of a test were, per function and as the mean over functions.
//!
//! Scaled measures are divided by the mean of the training part (at least 0.05), so that functions of any size count
//! alike.

use aquatope_core::forecast::{Forecast, LEVELS, MEDIAN};
use serde::Serialize;

use crate::forecast::score::crps;

/// Forecast errors of one function, or their mean over functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Errors {
    /// Continuous ranked probability score by the quantile grid, scaled.
    pub crps_scaled: f64,
    /// `200 mean(|y - p| / (y + p))`, 0/0 being 0, of the median rounded half up.
    pub smape_int: f64,
    /// Mean absolute error of the median, scaled.
    pub mase: f64,
    /// Pinball loss of the 99 % quantile, scaled.
    pub pinball_99_scaled: f64,
    /// Share of minutes inside the central 90 % interval (ends rounded to whole containers).
    pub coverage_90: f64,
    /// Share of minutes at or below the 99 % quantile (rounded to whole containers).
    pub below_q99: f64,
}

const Q05: usize = 1;
const Q95: usize = 7;
const Q99: usize = 9;

impl Errors {
    /// The errors of `forecasts` against what happened, minute by minute; `scale` is the mean of the training part.
    pub fn of(forecasts: &[Forecast], actual: &[u32], scale: f64) -> Self {
        let mut sum = Self::default();
        for (forecast, &actual) in forecasts.iter().zip(actual) {
            let y = f64::from(actual);
            let quantile = |level: usize| f64::from(forecast.quantiles[level]);
            let (tau, error) = (f64::from(LEVELS[Q99]), y - quantile(Q99));
            let median = whole(quantile(MEDIAN));
            sum.crps_scaled += crps(forecast, actual);
            sum.smape_int += if y + median > 0.0 { 200.0 * (y - median).abs() / (y + median) } else { 0.0 };
            sum.mase += (y - quantile(MEDIAN)).abs();
            sum.pinball_99_scaled += (tau * error).max((tau - 1.0) * error);
            sum.coverage_90 += f64::from(y >= whole(quantile(Q05)) && y <= whole(quantile(Q95)));
            sum.below_q99 += f64::from(y <= whole(quantile(Q99)));
        }
        let mean = sum.divided_by(forecasts.len().min(actual.len()));
        let scale = scale.max(0.05);
        Self {
            crps_scaled: mean.crps_scaled / scale,
            mase: mean.mase / scale,
            pinball_99_scaled: mean.pinball_99_scaled / scale,
            ..mean
        }
    }

    /// The mean over functions.
    pub fn mean(functions: &[Self]) -> Self {
        let mut sum = Self::default();
        for errors in functions {
            sum.crps_scaled += errors.crps_scaled;
            sum.smape_int += errors.smape_int;
            sum.mase += errors.mase;
            sum.pinball_99_scaled += errors.pinball_99_scaled;
            sum.coverage_90 += errors.coverage_90;
            sum.below_q99 += errors.below_q99;
        }
        sum.divided_by(functions.len())
    }

    fn divided_by(self, number: usize) -> Self {
        let number = number.max(1) as f64;
        Self {
            crps_scaled: self.crps_scaled / number,
            smape_int: self.smape_int / number,
            mase: self.mase / number,
            pinball_99_scaled: self.pinball_99_scaled / number,
            coverage_90: self.coverage_90 / number,
            below_q99: self.below_q99 / number,
        }
    }
}

/// Whole containers: rounded half up.
fn whole(quantile: f64) -> f64 {
    (quantile.max(0.0) + 0.5).floor()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certain_and_right_forecast_has_no_error() {
        let forecast = Forecast { mean: 3.0, quantiles: [3.0; 11], epistemic: 0.0 };
        let errors = Errors::of(&[forecast; 2], &[3, 3], 3.0);
        assert_eq!(errors, Errors { coverage_90: 1.0, below_q99: 1.0, ..Errors::default() });
    }

    #[test]
    fn a_certain_forecast_that_is_one_short() {
        // Pinball loss of a missing container is tau; its mean over the weighted grid, doubled, is the CRPS. For a
        // point mass the true CRPS is the absolute error, 1; the grid of eleven levels states 0.948.
        let forecast = Forecast { mean: 3.0, quantiles: [3.0; 11], epistemic: 0.0 };
        let errors = Errors::of(&[forecast], &[4], 2.0);
        assert!((errors.crps_scaled - 1.0 / 2.0).abs() < 0.03, "{}", errors.crps_scaled);
        assert!((errors.smape_int - 200.0 / 7.0).abs() < 1e-9);
        assert_eq!(errors.mase, 0.5);
        assert!((errors.pinball_99_scaled - 0.99 / 2.0).abs() < 1e-7);
        assert_eq!((errors.coverage_90, errors.below_q99), (0.0, 0.0));
    }
}

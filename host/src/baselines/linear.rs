//! Linear forecasts by ridge regression: NLinear with a daily term, and a plain autoregression for short histories.
//!
//! NLinear: Zeng, Chen, Zhang and Xu, *Are Transformers Effective for Time Series Forecasting?* (AAAI '23), section 4:
//! a linear map of the last `L` values after taking the last one away, which is added back. To it come the calendar
//! (two harmonics of the day, weekend), a constant and the level of the same quarter of an hour yesterday, relative to
//! the last value too. Ridge: Hoerl and Kennard (1970), one penalty for every coefficient.

use nalgebra::{DMatrix, DVector};

use super::{DAY, PointForecaster};

/// Values looked back on.
const LAGS: usize = 48;
/// Two harmonics of the day, weekend, constant, yesterday.
const CALENDAR: usize = 7;
const PENALTY: f64 = 10.0;
/// Minutes around the same time yesterday.
const AROUND: usize = 7;

/// A ridge-regressed linear forecast of one series.
#[derive(Clone, Debug)]
pub struct Linear {
    form: Form,
    weights: Vec<f64>,
    /// All values so far, and their running sum (one entry more).
    values: Vec<f64>,
    sums: Vec<f64>,
    features: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Relative to the last value, with calendar and yesterday.
    NLinear,
    /// The lags and a constant.
    Autoregression,
}

impl Linear {
    /// NLinear on 48 lags with calendar and yesterday; an autoregression when `train` has less than two days.
    pub fn fit(train: &[u32]) -> Self {
        let form = if train.len() >= 2 * DAY { Form::NLinear } else { Form::Autoregression };
        Self::fit_form(form, train)
    }

    fn fit_form(form: Form, train: &[u32]) -> Self {
        let mut model = Self {
            form,
            weights: vec![],
            values: Vec::with_capacity(train.len() + 8 * DAY),
            sums: vec![0.0],
            features: vec![],
        };
        train.iter().for_each(|&value| model.observe(value));
        let width = form.width();
        let first = form.first_time();
        let mut gram = DMatrix::<f64>::identity(width, width) * PENALTY;
        let mut moment = DVector::<f64>::zeros(width);
        let mut features = vec![0.0; width];
        for time in first..train.len() {
            let base = model.fill(time, &mut features);
            let target = model.values[time] - base;
            for (column, &feature) in features.iter().enumerate() {
                moment[column] += feature * target;
                // The upper triangle, which column-major storage holds in one stretch.
                let stretch = &mut gram.as_mut_slice()[column * width..=column * width + column];
                stretch.iter_mut().zip(&features).for_each(|(sum, &other)| *sum += feature * other);
            }
        }
        gram.fill_lower_triangle_with_upper_triangle();
        // Positive definite by the penalty, unless a value is beyond any count.
        let weights = gram.cholesky().map_or_else(|| DVector::zeros(width), |factor| factor.solve(&moment));
        model.weights = weights.as_slice().to_vec();
        model.features = features;
        model
    }

    /// Write the features of minute `time` from the values before it; the value the forecast is relative to.
    fn fill(&self, time: usize, features: &mut [f64]) -> f64 {
        let base = match self.form {
            Form::NLinear => self.values[time - 1],
            Form::Autoregression => 0.0,
        };
        let (lags, rest) = features.split_at_mut(LAGS);
        lags.iter_mut().zip(&self.values[time - LAGS..time]).for_each(|(lag, value)| *lag = value - base);
        rest[0] = 1.0;
        if self.form == Form::NLinear {
            let hour = std::f64::consts::TAU * (time % DAY) as f64 / DAY as f64;
            let weekend = f64::from(u8::from(time / DAY % 7 >= 5));
            let yesterday = time - DAY;
            let around = self.sums[yesterday + AROUND + 1] - self.sums[yesterday - AROUND];
            let level = around / (2 * AROUND + 1) as f64;
            let (sine, cosine) = hour.sin_cos();
            let (sine2, cosine2) = (2.0 * hour).sin_cos();
            rest[1..].copy_from_slice(&[sine, cosine, sine2, cosine2, weekend, level - base]);
        }
        base
    }
}

impl Form {
    fn width(self) -> usize {
        LAGS + if self == Self::NLinear { CALENDAR } else { 1 }
    }

    /// The first minute whose features exist.
    fn first_time(self) -> usize {
        if self == Self::NLinear { DAY + AROUND + 1 } else { LAGS }
    }
}

impl PointForecaster for Linear {
    fn predict(&mut self) -> f64 {
        let time = self.values.len();
        if time < self.form.first_time() {
            return self.values.last().copied().unwrap_or(0.0);
        }
        let mut features = std::mem::take(&mut self.features);
        let base = self.fill(time, &mut features);
        let change: f64 = features.iter().zip(&self.weights).map(|(feature, weight)| feature * weight).sum();
        self.features = features;
        base + change
    }

    fn observe(&mut self, value: u32) {
        let value = f64::from(value);
        self.sums.push(self.sums[self.values.len()] + value);
        self.values.push(value);
    }

    fn boxed_clone(&self) -> Box<dyn PointForecaster> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::rmse;

    #[test]
    fn learns_a_recurrence() {
        // Period 5 in the lags: any autoregression of order 5 or more continues it.
        let values: Vec<u32> = (0..900).map(|minute| [0, 40, 10, 30, 20][minute % 5]).collect();
        assert!(rmse(&mut Linear::fit(&values[..600]), &values[600..]) < 0.1);
    }

    #[test]
    fn calendar_and_yesterday_need_two_days() {
        assert_eq!(Linear::fit(&[1; 2 * DAY - 1]).form, Form::Autoregression);
        assert_eq!(Linear::fit(&[1; 2 * DAY]).form, Form::NLinear);
        assert!((Linear::fit(&[7; 2 * DAY]).predict() - 7.0).abs() < 1e-6);
        assert_eq!(Linear::fit(&[]).predict(), 0.0);
        assert_eq!(Linear::fit(&[3, 4]).predict(), 4.0, "too short for 48 lags: the last value");
    }

    #[test]
    fn shrinks_as_the_normal_equations_say() {
        // Constant 1 for 58 minutes: ten equal rows of 49 ones. (10 J + 10 I) w = 10 gives w = 1 / 50 each.
        let mut model = Linear::fit(&[1; 58]);
        assert!(model.weights.iter().all(|weight| (weight - 0.02).abs() < 1e-12));
        assert!((model.predict() - 0.98).abs() < 1e-12);
    }
}

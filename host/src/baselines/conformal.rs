//! Split conformal prediction: a point forecaster plus the quantiles of its own residuals becomes a distribution.
//!
//! Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World* (2005); the split form and the scaling by a
//! predicted spread as in Lei et al., *Distribution-Free Predictive Inference for Regression* (JASA 2018), sections 2.2
//! and 5.2. The scale is `sqrt(max(p, 0) + 0.5)`, what a Poisson count of mean `p` spreads by. This makes the classical
//! forecasters stronger than in the systems that published them, which have no interval at all.

use aquatope_core::forecast::{Forecast, LEVELS};

use super::PointForecaster;
use crate::forecast::{Forecaster, Observation};

/// One series: a point forecaster and the quantiles of its scaled residuals.
pub struct Conformal {
    model: Box<dyn PointForecaster>,
    residuals: [f64; LEVELS.len()],
}

impl Conformal {
    /// Let `model` predict and take in `valid`, and keep the residual quantiles; outward-rounded, so that at least the
    /// stated share of the validation lies within.
    pub fn calibrate(mut model: Box<dyn PointForecaster>, valid: &[u32]) -> Self {
        let mut residuals: Vec<f64> = valid
            .iter()
            .map(|&value| {
                let point = model.predict();
                model.observe(value);
                (f64::from(value) - point) / scale(point)
            })
            .collect();
        residuals.sort_by(f64::total_cmp);
        let quantile = |level: f32| {
            let Some(last) = residuals.len().checked_sub(1) else { return 0.0 };
            let place = f64::from(level) * last as f64;
            residuals[if level > 0.5 { place.ceil() } else { place.floor() } as usize]
        };
        Self { model, residuals: LEVELS.map(quantile) }
    }

    /// The distribution of the next value.
    pub fn forecast(&mut self) -> Forecast {
        let point = self.model.predict();
        self.around(point)
    }

    /// The distribution of the value after the next one, if that is `next`; nothing is taken in.
    pub fn forecast_ahead(&self, next: u32) -> Forecast {
        let mut model = self.model.boxed_clone();
        model.observe(next);
        self.around(model.predict())
    }

    fn around(&self, point: f64) -> Forecast {
        let scale = scale(point);
        Forecast {
            mean: point.max(0.0) as f32,
            quantiles: self.residuals.map(|residual| (point + scale * residual).max(0.0) as f32),
            epistemic: 0.0,
        }
    }

    /// Take in the value just forecast.
    pub fn observe(&mut self, value: u32) {
        self.model.observe(value);
    }
}

fn scale(point: f64) -> f64 {
    (point.max(0.0) + 0.5).sqrt()
}

/// A point forecaster per function, each with its own residuals.
pub struct ConformalForecaster {
    name: String,
    functions: Vec<Conformal>,
}

impl ConformalForecaster {
    /// Calibrate each function's model, fitted on the minutes before `valid`, on `valid`.
    pub fn new<'a>(
        name: impl Into<String>,
        functions: impl IntoIterator<Item = (Box<dyn PointForecaster>, &'a [u32])>,
    ) -> Self {
        let functions =
            functions.into_iter().map(|(model, valid)| Conformal::calibrate(model, valid)).collect();
        Self { name: name.into(), functions }
    }
}

impl Forecaster for ConformalForecaster {
    fn name(&self) -> &str {
        &self.name
    }

    fn forecast(&mut self) -> Vec<Forecast> {
        self.functions.iter_mut().map(Conformal::forecast).collect()
    }

    fn forecast_ahead(&mut self, so_far: &[Observation]) -> Vec<Forecast> {
        self.functions.iter().zip(so_far).map(|(function, seen)| function.forecast_ahead(seen.peak)).collect()
    }

    fn observe(&mut self, minute: &[Observation]) {
        for (function, observation) in self.functions.iter_mut().zip(minute) {
            function.observe(observation.peak);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::recent::MovingMax;

    #[test]
    fn residual_quantiles_by_hand() {
        // Last value on 0 1 0 1 ... : residuals +1 / sqrt(0.5) after a 0, -1 / sqrt(1.5) after a 1.
        let valid: Vec<u32> = (0..100).map(|minute| (minute + 1) % 2).collect();
        let mut series = Conformal::calibrate(Box::new(MovingMax::new(1, &[0])), &valid);
        let after_zero = series.forecast();
        assert_eq!(after_zero.mean, 0.0);
        assert_eq!(after_zero.quantiles[0], 0.0, "never negative");
        assert!((after_zero.quantiles[10] - 1.0).abs() < 1e-6);
        series.observe(1);
        let after_one = series.forecast();
        assert_eq!(after_one.mean, 1.0);
        assert!((after_one.quantiles[0] - 0.0).abs() < 1e-6);
        assert!((after_one.quantiles[10] - (1.0 + 3.0_f32.sqrt())).abs() < 1e-6);
    }

    #[test]
    fn covers_the_validation() {
        let values: Vec<u32> = (0..500_u32).map(|minute| minute * minute * 7919 % 1009).collect();
        let mut series = Conformal::calibrate(Box::new(MovingMax::new(4, &[3])), &values);
        series.model = Box::new(MovingMax::new(4, &[3]));
        let mut inside = 0;
        for &value in &values {
            let forecast = series.forecast();
            inside += usize::from((forecast.quantiles[1]..=forecast.quantiles[7]).contains(&(value as f32)));
            series.observe(value);
        }
        assert!((450..=460).contains(&inside), "{inside} of 500 in the 90 % interval");
    }

    #[test]
    fn without_validation_the_point_stands() {
        let forecast = Conformal::calibrate(Box::new(MovingMax::new(1, &[4])), &[]).forecast();
        assert_eq!(forecast.quantiles, [4.0; LEVELS.len()]);
    }

    #[test]
    fn a_forecast_ahead_is_what_it_would_be_and_takes_nothing_in() {
        use crate::baselines::Classical;
        let values: Vec<u32> = (0..3000_u32).map(|minute| minute % 7 + minute * minute % 5).collect();
        let (train, valid) = values.split_at(2800);
        let harmonics = Classical::Harmonics { window: 120, harmonics: 10 };
        for model in [
            Classical::MovingMax { minutes: 3 },
            Classical::HoltWinters,
            Classical::Linear,
            harmonics,
            Classical::Arima,
        ] {
            let new = || ConformalForecaster {
                name: String::new(),
                functions: vec![model.of_series(train, valid)],
            };
            let (mut ahead, mut twin) = (new(), new());
            let seen = [Observation { count: 40, peak: 30 }];
            let before = ahead.forecast();
            let found = ahead.forecast_ahead(&seen);
            assert_eq!(ahead.forecast(), before, "{model}: something was taken in");
            twin.observe(&seen);
            assert_eq!(found, twin.forecast(), "{model}");
            assert_ne!(found, before, "{model}: it does not look at what is seen");
        }
    }
}

//! Holt-Winters exponential smoothing: additive daily season, damped trend.
//!
//! Error-correction form of Hyndman and Athanasopoulos, *Forecasting: Principles and Practice* (3rd ed.), sections 8.3
//! to 8.5, with `forecast = level + trend + season`, `e` its error and damping `phi = 0.98`:
//! `level += trend + alpha e`, `trend = phi (trend + alpha beta e)`, `season += gamma (1 - alpha) e`.
//! The season starts as the mean day, smoothed over half an hour; without a whole day it is left out. Simple
//! exponential smoothing and Holt's method are the corners of the grid the validation part chooses from.

use super::{DAY, PointForecaster};

const DAMPING: f64 = 0.98;
/// `(gamma, with season)`.
const SEASONS: [(f64, bool); 3] = [(0.0, false), (0.0, true), (0.1, true)];
const ALPHAS: [f64; 6] = [0.02, 0.05, 0.1, 0.2, 0.4, 0.7];
const BETAS: [f64; 2] = [0.0, 0.05];

/// Holt-Winters of one series.
#[derive(Clone, Debug)]
pub struct HoltWinters {
    alpha: f64,
    beta: f64,
    gamma: f64,
    level: f64,
    trend: f64,
    /// Minutes taken in.
    time: usize,
    season: Vec<f64>,
}

impl HoltWinters {
    /// Run every parameter choice over `train`, keep the one with the least squared error on `valid`. The result
    /// stands at the end of `train`.
    pub fn fit(train: &[u32], valid: &[u32]) -> Self {
        let season = mean_day(train);
        let first_hour = &train[..train.len().min(60)];
        let level = first_hour.iter().copied().map(f64::from).sum::<f64>() / first_hour.len().max(1) as f64;
        let mut best: Option<(f64, Self)> = None;
        for (gamma, with_season) in SEASONS.into_iter().filter(|&(_, with)| !with || season.is_some()) {
            let season = if with_season { season.clone().unwrap_or_default() } else { vec![] };
            for (alpha, beta) in ALPHAS.into_iter().flat_map(|alpha| BETAS.map(|beta| (alpha, beta))) {
                let mut fitted =
                    Self { alpha, beta, gamma, level, trend: 0.0, time: 0, season: season.clone() };
                train.iter().for_each(|&value| fitted.observe(value));
                let mut probe = fitted.clone();
                let error = valid.iter().map(|&value| probe.step(f64::from(value)).powi(2)).sum();
                if best.as_ref().is_none_or(|(least, _)| error < *least) {
                    best = Some((error, fitted));
                }
            }
        }
        best.expect("the grid is not empty").1
    }

    fn season_now(&self) -> f64 {
        if self.season.is_empty() { 0.0 } else { self.season[self.time % DAY] }
    }

    /// Take in `value`; its forecast error.
    fn step(&mut self, value: f64) -> f64 {
        let error = value - (self.level + self.trend + self.season_now());
        self.level += self.trend + self.alpha * error;
        self.trend = DAMPING * (self.trend + self.alpha * self.beta * error);
        if !self.season.is_empty() {
            self.season[self.time % DAY] += self.gamma * (1.0 - self.alpha) * error;
        }
        self.time += 1;
        error
    }
}

impl PointForecaster for HoltWinters {
    fn predict(&mut self) -> f64 {
        self.level + self.trend + self.season_now()
    }

    fn observe(&mut self, value: u32) {
        self.step(f64::from(value));
    }

    fn boxed_clone(&self) -> Box<dyn PointForecaster> {
        Box::new(self.clone())
    }
}

/// The mean day of the first (at most seven) whole days less its mean, smoothed by a 31-minute moving average.
fn mean_day(values: &[u32]) -> Option<Vec<f64>> {
    const HALF_WIDTH: usize = 15;
    let days = (values.len() / DAY).min(7);
    if days == 0 {
        return None;
    }
    let minute_mean =
        |minute: usize| (0..days).map(|day| f64::from(values[day * DAY + minute])).sum::<f64>() / days as f64;
    let profile: Vec<f64> = (0..DAY).map(minute_mean).collect();
    let mean = profile.iter().sum::<f64>() / DAY as f64;
    let smooth = |minute: usize| {
        let around = (0..=2 * HALF_WIDTH).map(|offset| profile[(minute + DAY + offset - HALF_WIDTH) % DAY]);
        around.sum::<f64>() / (2 * HALF_WIDTH + 1) as f64 - mean
    };
    Some((0..DAY).map(smooth).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::rmse;

    #[test]
    fn steps_by_hand() {
        let mut model = HoltWinters {
            alpha: 0.5,
            beta: 0.2,
            gamma: 0.1,
            level: 10.0,
            trend: 1.0,
            time: DAY - 1,
            season: vec![0.0; DAY],
        };
        model.season[DAY - 1] = 2.0;
        assert_eq!(model.predict(), 13.0);
        model.observe(17); // e = 4: level 10 + 1 + 2, trend 0.98 (1 + 0.4), season 2 + 0.1 * 0.5 * 4
        assert!((model.season[DAY - 1] - 2.2).abs() < 1e-12);
        assert!((model.predict() - (13.0 + 0.98 * 1.4)).abs() < 1e-12);
    }

    #[test]
    fn learns_the_day() {
        let day =
            |minute: usize| ((minute % DAY) as f64 / DAY as f64 * std::f64::consts::TAU).sin() * 20.0 + 30.0;
        let values: Vec<u32> = (0..5 * DAY).map(|minute| day(minute).round() as u32).collect();
        let mut model = HoltWinters::fit(&values[..3 * DAY], &values[3 * DAY..4 * DAY]);
        assert_eq!(model.season.len(), DAY);
        values[3 * DAY..4 * DAY].iter().for_each(|&value| model.observe(value));
        assert!(rmse(&mut model, &values[4 * DAY..]) < 0.5, "rounding alone is 0.29");
    }

    #[test]
    fn short_or_empty_history_has_no_season() {
        assert!(HoltWinters::fit(&[3; 100], &[3; 10]).season.is_empty());
        assert_eq!(HoltWinters::fit(&[3; 100], &[3; 10]).predict(), 3.0);
        assert_eq!(HoltWinters::fit(&[], &[]).predict(), 0.0);
    }
}

//! Adam (Kingma and Ba 2015) as PyTorch's `torch.optim.Adam` steps, and its learning-rate schedule.

use super::matrix::Number;

/// Moments of every parameter.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Adam<R> {
    first: Vec<R>,
    second: Vec<R>,
    steps: u32,
}

impl<R: Number> Adam<R> {
    /// For `parameters` parameters, before the first step.
    pub fn new(parameters: usize) -> Self {
        Self { first: vec![R::ZERO; parameters], second: vec![R::ZERO; parameters], steps: 0 }
    }

    /// The number of parameters.
    pub fn parameters(&self) -> usize {
        self.first.len().min(self.second.len())
    }

    /// One step against `gradient` at `rate`.
    pub fn step(&mut self, rate: f64, parameters: &mut [R], gradient: &[R]) {
        const BETA: [f64; 2] = [0.9, 0.999];
        const EPSILON: f64 = 1e-8;
        self.steps += 1;
        let correction = BETA.map(|beta| 1.0 - beta.powi(self.steps as i32));
        let size = R::from_f64(rate / correction[0]);
        let root = R::from_f64(1.0 / correction[1].sqrt());
        let epsilon = R::from_f64(EPSILON);
        let [fresh_first, fresh_second] = BETA.map(|beta| R::from_f64(1.0 - beta));
        for (((p, &g), m), v) in
            parameters.iter_mut().zip(gradient).zip(&mut self.first).zip(&mut self.second)
        {
            *m += fresh_first * (g - *m);
            *v += fresh_second * (g * g - *v);
            *p = *p - size * *m / (v.square_root() * root + epsilon);
        }
    }
}

/// One cycle (Smith and Topin 2018): from `peak / 25` up to `peak` over the first 30 % of `total` steps and down to
/// nearly 0, both along a cosine.
pub fn one_cycle(peak: f64, step: usize, total: usize) -> f64 {
    const WARM_UP: f64 = 0.3;
    const START: f64 = 1.0 / 25.0;
    let progress = step as f64 / total.max(1) as f64;
    let cosine = |share: f64| 0.5 - 0.5 * (std::f64::consts::PI * share.clamp(0.0, 1.0)).cos();
    if progress < WARM_UP {
        peak * (START + (1.0 - START) * cosine(progress / WARM_UP))
    } else {
        peak * (1.0 - cosine((progress - WARM_UP) / (1.0 - WARM_UP)) * (1.0 - 1e-4))
    }
}

/// Scale `gradient` down to the Euclidean length `limit` when it is longer.
pub fn clip<R: Number>(gradient: &mut [R], limit: f64) {
    let length = gradient.iter().map(|g| g.to_f64() * g.to_f64()).sum::<f64>().sqrt();
    if length > limit {
        let share = R::from_f64(limit / length);
        for g in gradient {
            *g *= share;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_rate_against_the_sign() {
        let mut parameters = [1.0f64, 1.0, 1.0];
        Adam::new(3).step(0.1, &mut parameters, &[5.0, -1e-3, 0.0]);
        assert!(
            (parameters[0] - 0.9).abs() < 1e-8 && (parameters[1] - 1.1).abs() < 1e-5 && parameters[2] == 1.0
        );
    }

    #[test]
    fn one_cycle_rises_and_falls() {
        assert!((one_cycle(1.0, 0, 100) - 0.04).abs() < 1e-12);
        assert!((one_cycle(1.0, 30, 100) - 1.0).abs() < 1e-12);
        assert!(one_cycle(1.0, 100, 100) < 1e-3 && one_cycle(1.0, 65, 100) < 0.6);
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let mut gradient = [3.0f64, 4.0];
        clip(&mut gradient, 1.0);
        assert!((gradient[0] - 0.6).abs() < 1e-12 && (gradient[1] - 0.8).abs() < 1e-12);
        clip(&mut gradient, 2.0);
        assert!((gradient[0] - 0.6).abs() < 1e-12);
    }
}

//! IceBreaker's forecast: the strongest harmonics of the recent past, continued.
//!
//! Roy, Patel and Tiwari, *IceBreaker: Warming Serverless Functions Better with Heterogeneity* (ASPLOS '22), section 3:
//! remove the trend of a sliding window, take its Fourier transform, keep the strongest harmonics, add their
//! continuation to the trend's. The window, the number of harmonics and the straight line as the trend are ours to
//! choose; the defaults are the setting that measured best among those nearest to the paper.

use std::sync::Arc;

use realfft::num_complex::Complex64;
use realfft::{RealFftPlanner, RealToComplex};

use super::PointForecaster;

/// Harmonic continuation of one series.
#[derive(Clone)]
pub struct Harmonics {
    window: usize,
    harmonics: usize,
    history: Vec<u32>,
    transform: Arc<dyn RealToComplex<f64>>,
    detrended: Vec<f64>,
    spectrum: Vec<Complex64>,
    scratch: Vec<Complex64>,
    /// `(squared magnitude, value at the next minute)` of every harmonic.
    terms: Vec<(f64, f64)>,
}

impl Harmonics {
    /// Look back `window` minutes (at least 4) and keep `harmonics`; start after `history`. The mean of what there is
    /// stands in until the window is full. `planner` shares transforms between functions.
    pub fn new(window: usize, harmonics: usize, history: &[u32], planner: &mut RealFftPlanner<f64>) -> Self {
        let window = window.max(4);
        let transform = planner.plan_fft_forward(window);
        Self {
            window,
            harmonics,
            history: history[history.len().saturating_sub(window)..].to_vec(),
            detrended: transform.make_input_vec(),
            spectrum: transform.make_output_vec(),
            scratch: transform.make_scratch_vec(),
            terms: Vec::with_capacity(window / 2),
            transform,
        }
    }
}

impl PointForecaster for Harmonics {
    fn predict(&mut self) -> f64 {
        let recent = &self.history[self.history.len().saturating_sub(self.window)..];
        if recent.len() < self.window {
            return recent.iter().copied().map(f64::from).sum::<f64>() / recent.len().max(1) as f64;
        }
        let n = self.window as f64;
        // Least squares line over x = -(n - 1) / 2 .. (n - 1) / 2.
        let centre = (n - 1.0) / 2.0;
        let (mut sum, mut moment) = (0.0, 0.0);
        for (x, &value) in recent.iter().enumerate() {
            sum += f64::from(value);
            moment += (x as f64 - centre) * f64::from(value);
        }
        let (mean, slope) = (sum / n, moment / (n * (n * n - 1.0) / 12.0));
        for (x, (detrended, &value)) in self.detrended.iter_mut().zip(recent).enumerate() {
            *detrended = f64::from(value) - mean - slope * (x as f64 - centre);
        }
        if self
            .transform
            .process_with_scratch(&mut self.detrended, &mut self.spectrum, &mut self.scratch)
            .is_err()
        {
            return mean;
        }
        // One minute past the window every harmonic is back at its phase of the first minute: its real part.
        let nyquist = if self.window.is_multiple_of(2) { self.window / 2 } else { 0 };
        self.terms.clear();
        self.terms.extend(self.spectrum.iter().enumerate().skip(1).map(|(k, value)| {
            let weight = if k == nyquist { 1.0 } else { 2.0 };
            (value.norm_sqr(), weight * value.re / n)
        }));
        let kept = self.harmonics.min(self.terms.len());
        if kept < self.terms.len() {
            self.terms.select_nth_unstable_by(kept, |a, b| b.0.total_cmp(&a.0));
        }
        mean + slope * (n - centre) + self.terms[..kept].iter().map(|term| term.1).sum::<f64>()
    }

    fn observe(&mut self, value: u32) {
        // Drop old minutes in bulk, so that one observation costs O(1) on average.
        if self.history.len() >= 2 * self.window {
            self.history.drain(..self.history.len() - self.window + 1);
        }
        self.history.push(value);
    }

    fn boxed_clone(&self) -> Box<dyn PointForecaster> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::rmse;

    fn model(window: usize, harmonics: usize, history: &[u32]) -> Harmonics {
        Harmonics::new(window, harmonics, history, &mut RealFftPlanner::new())
    }

    #[test]
    fn continues_a_period_that_divides_the_window() {
        let values: Vec<u32> = (0..600).map(|minute| if minute % 12 == 5 { 24 } else { 0 }).collect();
        // Six harmonics make up a spike train of period 12; the line is nearly flat.
        assert!(rmse(&mut model(120, 6, &values[..300]), &values[300..]) < 0.4);
        assert!(rmse(&mut model(120, 1, &values[..300]), &values[300..]) > 5.0);
    }

    #[test]
    fn all_harmonics_and_a_line_by_hand() {
        // A straight line has no residual: 3, 5, 7, 9 goes on with 11.
        assert!((model(4, 2, &[3, 5, 7, 9]).predict() - 11.0).abs() < 1e-12);
        // 0 4 0 4: the line is 0.8 + 0.8 x, its value at 4 is 4.0, the residuals -0.8 2.4 -2.4 0.8; every harmonic
        // returns to the first residual (their mean is 0), so the forecast is 4.0 - 0.8.
        assert!((model(4, 2, &[0, 4, 0, 4]).predict() - 3.2).abs() < 1e-12);
    }

    #[test]
    fn short_history_gives_its_mean() {
        assert_eq!(model(120, 10, &[1, 2, 6]).predict(), 3.0);
        assert_eq!(model(120, 10, &[]).predict(), 0.0);
    }

    #[test]
    fn window_slides() {
        let values: Vec<u32> = (0..500_u32).map(|minute| minute * minute % 17).collect();
        let mut sliding = model(50, 5, &values[..100]);
        for end in 100..values.len() {
            assert_eq!(sliding.predict(), model(50, 5, &values[..end]).predict());
            sliding.observe(values[end]);
        }
    }
}

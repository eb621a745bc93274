//! What training learns about one function by itself: its scale and its strongest period.

use crate::math::float;
use crate::part::Part;

/// Longest period looked for, minutes: one day.
pub const LONGEST_PERIOD: usize = 1440;
/// Minutes of history in which a period is best looked for; older ones only blur it.
pub const PERIOD_WINDOW: usize = 14 * 1440;

/// Per-function parameters of the light model, fixed at training time.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Profile {
    /// Mean peak per minute over the training part, containers.
    pub mean: f32,
    /// The lag, in minutes, `2..=`[`LONGEST_PERIOD`], at which the series correlates most with itself.
    pub period: u16,
    /// That correlation, -1 to 1.
    pub period_correlation: f32,
}

impl Profile {
    /// A function nothing is known about.
    pub const UNKNOWN: Self = Self { mean: 0.0, period: 60, period_correlation: 0.0 };

    /// What the peaks of a function's minutes tell: their mean, and the strongest period of the last `centred.len()` of
    /// them ([`PERIOD_WINDOW`], or all if there are fewer). `centred` is temporary memory. As many operations as there
    /// are minutes, and [`LONGEST_PERIOD`] for each of those in which the period is looked for.
    pub fn of(peaks: &[u32], centred: &mut [f32]) -> Self {
        if peaks.is_empty() {
            return Self::UNKNOWN;
        }
        let recent = &peaks[peaks.len().saturating_sub(centred.len())..];
        let (period, period_correlation) = strongest_period(recent, centred.head_mut(recent.len()));
        Self { mean: mean(peaks) as f32, period, period_correlation }
    }

    /// The mean, 0 when it is no number of containers.
    pub(super) fn mean(&self) -> f32 {
        if self.mean.is_finite() { self.mean.clamp(0.0, 65_535.0) } else { 0.0 }
    }

    /// The correlation, 0 when it is no number.
    pub(super) fn period_correlation(&self) -> f32 {
        if self.period_correlation.is_finite() { self.period_correlation.clamp(-1.0, 1.0) } else { 0.0 }
    }

    /// What a spread of one container weighs in training, containers: close to the standard deviation of a Poisson
    /// count with the function's mean, and not below 0.22, so that a function which was silent still counts.
    pub fn scale(&self) -> f32 {
        float::sqrt_f32(self.mean() + 0.05)
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

fn mean(peaks: &[u32]) -> f64 {
    peaks.iter().map(|&p| f64::from(p)).sum::<f64>() / peaks.len() as f64
}

/// The lag in `2..=LONGEST_PERIOD` of the largest sample autocorrelation, and its value.
fn strongest_period(peaks: &[u32], centred: &mut [f32]) -> (u16, f32) {
    let mean = mean(peaks);
    for (centred, &peak) in centred.iter_mut().zip(peaks) {
        *centred = (f64::from(peak) - mean) as f32;
    }
    let variance = dot(centred, centred);
    let mut best = (Profile::UNKNOWN.period, 0.0);
    if variance <= 0.0 {
        return best;
    }
    for lag in 2..=LONGEST_PERIOD.min(peaks.len().saturating_sub(1)) {
        let correlation = dot(centred.part(lag..peaks.len()), centred.head(peaks.len() - lag)) / variance;
        if correlation > best.1 {
            best = (lag as u16, correlation);
        }
    }
    best
}

/// Inner product in eight lanes, so that the sum is fast and always in the same order.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn of(peaks: &[u32]) -> Profile {
        Profile::of(peaks, &mut vec![0.0; peaks.len().min(PERIOD_WINDOW)])
    }

    #[test]
    fn a_timer_shows_its_period() {
        let peaks: Vec<u32> = (0..3000).map(|m| if m % 37 == 5 { 4 } else { 0 }).collect();
        let profile = of(&peaks);
        assert_eq!(profile.period, 37);
        assert!(profile.period_correlation > 0.95);
        assert!((profile.mean - 4.0 / 37.0).abs() < 1e-3);
    }

    #[test]
    fn silent_and_empty_series_have_no_period() {
        assert_eq!(of(&[]), Profile::UNKNOWN);
        assert_eq!(of(&[0; 500]).period_correlation, 0.0);
        assert_eq!(of(&[7]).period_correlation, 0.0);
        assert_eq!(of(&[u32::MAX; 3]).period_correlation, 0.0);
    }

    #[test]
    fn without_memory_there_is_only_the_mean() {
        assert_eq!(Profile::of(&[1, 2, 3], &mut []), Profile { mean: 2.0, ..Profile::UNKNOWN });
    }
}

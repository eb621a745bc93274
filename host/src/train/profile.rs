//! Per-function parameters of the light model, from the training part of a series.

use aquatope_core::forecast::features::{LONGEST_PERIOD, Profile};

/// Minutes of history the period is looked for in; older ones only blur it.
const PERIOD_WINDOW: usize = 14 * 1440;

/// Mean and strongest period of `peaks`, the training part of one function.
pub fn fit(peaks: &[u32]) -> Profile {
    if peaks.is_empty() {
        return Profile::UNKNOWN;
    }
    let mean = peaks.iter().map(|&p| f64::from(p)).sum::<f64>() / peaks.len() as f64;
    let recent = &peaks[peaks.len().saturating_sub(PERIOD_WINDOW)..];
    let (period, period_correlation) = strongest_period(recent);
    Profile { mean: mean as f32, period, period_correlation }
}

/// The lag in `2..=LONGEST_PERIOD` of the largest sample autocorrelation, and its value.
fn strongest_period(peaks: &[u32]) -> (u16, f32) {
    let mean = peaks.iter().map(|&p| f64::from(p)).sum::<f64>() / peaks.len() as f64;
    let centred: Vec<f32> = peaks.iter().map(|&p| (f64::from(p) - mean) as f32).collect();
    let variance = dot(&centred, &centred);
    if variance <= 0.0 {
        return (Profile::UNKNOWN.period, 0.0);
    }
    let mut best = (Profile::UNKNOWN.period, 0.0);
    for lag in 2..=LONGEST_PERIOD.min(peaks.len().saturating_sub(1)) {
        let correlation = dot(&centred[lag..], &centred[..centred.len() - lag]) / variance;
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

    #[test]
    fn a_timer_shows_its_period() {
        let peaks: Vec<u32> = (0..3000).map(|m| if m % 37 == 5 { 4 } else { 0 }).collect();
        let profile = fit(&peaks);
        assert_eq!(profile.period, 37);
        assert!(profile.period_correlation > 0.95);
        assert!((profile.mean - 4.0 / 37.0).abs() < 1e-3);
    }

    #[test]
    fn silent_and_empty_series_have_no_period() {
        assert_eq!(fit(&[]), Profile::UNKNOWN);
        assert_eq!(fit(&[0; 500]).period_correlation, 0.0);
        assert_eq!(fit(&[7]).period_correlation, 0.0);
    }
}

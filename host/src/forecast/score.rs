//! The score of one forecast.

use aquatope_core::forecast::{Forecast, LEVELS};

/// Continuous ranked probability score by the quantile grid: twice the pinball loss, weighted by the levels' spacing.
pub fn crps(forecast: &Forecast, peak: u32) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for (k, (&level, &quantile)) in LEVELS.iter().zip(&forecast.quantiles).enumerate() {
        let below = LEVELS[k.saturating_sub(1)];
        let above = LEVELS[(k + 1).min(LEVELS.len() - 1)];
        let inside = k > 0 && k + 1 < LEVELS.len();
        let weight = f64::from(above - below) / if inside { 2.0 } else { 1.0 };
        let error = f64::from(peak) - f64::from(quantile);
        let level = f64::from(level);
        sum += weight * (level * error).max((level - 1.0) * error);
        total += weight;
    }
    2.0 * sum / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_of_a_point_is_its_distance() {
        let point = Forecast { mean: 4.0, quantiles: [4.0; LEVELS.len()], epistemic: 0.0 };
        assert_eq!(crps(&point, 4), 0.0);
        // Levels are nearly symmetric about one half, so a point scores about its absolute error.
        assert!((crps(&point, 7) - 3.0).abs() < 0.2 && (crps(&point, 1) - 3.0).abs() < 0.2);
    }
}

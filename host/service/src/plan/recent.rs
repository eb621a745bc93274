//! The forecast of a function that no model knows yet: what its last hour was like.

use aquatope_core::forecast::features::History;
use aquatope_core::forecast::light::from_quantiles;
use aquatope_core::forecast::{Forecast, LEVELS};

/// Minutes looked back at.
const MINUTES: usize = 60;

/// The sample quantiles of the last hour's peaks: level `p` of `n` minutes is at rank `p (n + 1)`, between ranks
/// linearly (Hyndman and Fan, *Sample Quantiles in Statistical Packages*, The American Statistician 1996, type 6).
pub(super) fn forecast<const N: usize>(history: &History<N>) -> Forecast {
    let mut peaks: Vec<f32> = (1..=MINUTES).map_while(|lag| history.peak(lag)).map(f32::from).collect();
    if peaks.is_empty() {
        return Forecast::default();
    }
    let mean = peaks.iter().sum::<f32>() / peaks.len() as f32;
    peaks.sort_by(f32::total_cmp);
    let at = |rank: f32| peaks[(rank as usize).clamp(1, peaks.len()) - 1];
    let quantiles = LEVELS.map(|level| {
        let rank = level * (peaks.len() + 1) as f32;
        let below = at(rank.floor());
        below + (at(rank.floor() + 1.0) - below) * rank.fract()
    });
    Forecast { mean, ..from_quantiles(quantiles) }
}

#[cfg(test)]
mod tests {
    use aquatope_core::time::Minute;

    use super::*;

    #[test]
    fn quantiles_by_hand() {
        let mut history = History::<256>::new(Minute(0));
        assert_eq!(forecast(&history), Forecast::default());
        for peak in [4, 1, 3] {
            history.push(peak, peak);
        }
        // Ranks of 1, 3, 4: the median has rank 2, the first quartile 1, the third 3.
        let forecast = forecast(&history);
        assert_eq!(
            (forecast.quantile(0.25), forecast.quantile(0.5), forecast.quantile(0.75)),
            (1.0, 3.0, 4.0)
        );
        assert_eq!(forecast.quantile(0.995), 4.0);
        assert!((forecast.mean - 8.0 / 3.0).abs() < 1e-6);
    }
}

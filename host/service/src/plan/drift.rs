//! Whether the forecasts still fit what comes: the share of peaks above their 95 % quantile.

use aquatope_core::forecast::Forecast;

/// Values the share remembers, and that it needs before it says anything.
const MEMORY: u32 = 2000;
/// A share of this much is no longer chance.
const TOO_MANY: f64 = 0.12;

/// The share of scored minutes whose peak exceeded the forecast's 95 % quantile, exponentially weighted over
/// about two thousand busy minutes of all functions together. Minutes that were idle and forecast to be are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Drift {
    share: f64,
    scored: u32,
}

/// What is kept of a forecast until its minute has ended: the 95 % quantile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound(f32);

impl Bound {
    pub(super) fn of(forecast: &Forecast) -> Self {
        Self(forecast.quantile(0.95))
    }
}

impl Drift {
    /// Compare one forecast with what came.
    pub(super) fn score(&mut self, Bound(high): Bound, peak: u32) {
        if peak == 0 && high < 0.5 {
            return;
        }
        // A quantile is continuous while peaks are whole: half a container is on its way to the next one.
        let exceeded = f64::from(u8::from(peak as f32 > high + 0.5));
        self.scored = self.scored.saturating_add(1);
        self.share += (exceeded - self.share) / f64::from(self.scored.min(MEMORY));
    }

    /// The share; `None` before anything was scored. A good forecast has at most 0.05.
    pub fn share(&self) -> Option<f64> {
        (self.scored > 0).then_some(self.share)
    }

    /// Whether the models should be trained again.
    pub fn drifted(&self) -> bool {
        self.scored >= MEMORY && self.share > TOO_MANY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_behaviour_shows() {
        let bound = Bound::of(&Forecast { mean: 1.0, quantiles: [2.0; 11], epistemic: 0.0 });
        let mut drift = Drift::default();
        for minute in 0..3000 {
            drift.score(bound, if minute % 25 == 0 { 3 } else { 1 });
        }
        assert!(!drift.drifted() && drift.share().is_some_and(|share| (share - 0.04).abs() < 0.01));
        for minute in 0..1000 {
            drift.score(bound, if minute % 3 == 0 { 3 } else { 1 });
        }
        assert!(drift.drifted());
    }

    #[test]
    fn quiet_minutes_do_not_count() {
        let mut drift = Drift::default();
        drift.score(Bound::of(&Forecast::default()), 0);
        assert_eq!(drift.share(), None);
    }
}

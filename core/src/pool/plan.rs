//! The target of one function: a quantile at the critical ratio, or the paper's mean and deviations.

use crate::forecast::{Forecast, LEVELS};
use crate::math::float;

/// What a cold start and idle memory cost, in any one unit of money.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Prices {
    /// One cold start.
    pub cold_start: f32,
    /// One cold start of a function that has no warm container at all. Above `cold_start` it lowers the mean cold-start
    /// rate over *functions*, which rare ones dominate; equal to it, the rate over *invocations* is what is priced.
    pub first_cold_start: f32,
    /// One GB (1,024 MB) kept idle for one minute.
    pub idle_gb_minute: f32,
}

impl Prices {
    /// A cold start costs `ratio` times what one container of 1,024 MB costs in an idle minute.
    pub const fn ratio(ratio: f32) -> Self {
        Self { cold_start: ratio, first_cold_start: ratio, idle_gb_minute: 1.0 }
    }

    /// The critical ratios for a container of `memory_mb`: of the first container, and of all others. In `[0, 1]`; a
    /// price that is negative or not a number counts as 0, and at no price at all nothing is kept.
    pub fn levels(&self, memory_mb: f32) -> (f32, f32) {
        let idle = (self.idle_gb_minute * memory_mb / 1024.0).max(0.0);
        let level = |cold: f32| {
            let level = cold.max(0.0) / (cold.max(0.0) + idle);
            if level.is_nan() { f32::from(u8::from(cold == f32::INFINITY)) } else { level }
        };
        (level(self.first_cold_start), level(self.cold_start))
    }
}

/// How a forecast becomes a number of containers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Rule {
    /// The quantile at the critical ratio of [`Prices`].
    Newsvendor(Prices),
    /// The paper's mean + `k` standard deviations, rounded.
    MeanPlusDeviations {
        /// Deviations on top of the mean.
        k: f32,
    },
}

/// The containers `rule` keeps for a function of `memory_mb` a container, at most `most`.
/// Work: one pass over the levels.
pub fn containers(forecast: &Forecast, rule: &Rule, memory_mb: f32, most: u32) -> u32 {
    let wanted = match rule {
        Rule::Newsvendor(prices) => {
            let (first, others) = prices.levels(memory_mb);
            whole(quantile(forecast, others)).max(whole(quantile(forecast, first)).min(1))
        }
        Rule::MeanPlusDeviations { k } => whole(forecast.mean + k * deviation(forecast)),
    };
    wanted.min(most)
}

/// The quantile at `level`, with an exponential tail beyond the last of [`LEVELS`]; infinite from 1 on, 0 from 0 down
/// and for a level that is not a number. In containers, not rounded.
pub fn quantile(forecast: &Forecast, level: f32) -> f32 {
    let [.., last] = LEVELS;
    let [.., highest] = forecast.quantiles;
    if level >= 1.0 {
        f32::INFINITY
    } else if level > last {
        highest + tail_scale(forecast) * float::ln_f32((1.0 - last) / (1.0 - level))
    } else if level > 0.0 {
        forecast.quantile(level)
    } else {
        0.0
    }
}

/// P(peak >= `containers`), the inverse of the rounded [`quantile`]. 1 for no containers.
pub fn probability(forecast: &Forecast, containers: u32) -> f32 {
    if containers == 0 {
        return 1.0;
    }
    let [.., last] = LEVELS;
    let at = containers as f32 - 0.5;
    // The first level whose quantile lies above.
    let above = forecast.quantiles.partition_point(|&quantile| quantile <= at);
    let (Some(&upper), Some(&upper_level)) = (forecast.quantiles.get(above), LEVELS.get(above)) else {
        let [.., highest] = forecast.quantiles;
        let (scale, excess) = (tail_scale(forecast), at - highest);
        let decay = if excess > 0.0 { float::exp(f64::from(-excess / scale)) as f32 } else { 1.0 };
        return (1.0 - last) * decay;
    };
    // Below the first level `Forecast::quantile` holds the first quantile: everything up to it is as likely as it.
    let Some(below) = above.checked_sub(1) else { return 1.0 };
    let share = (at - forecast.quantiles[below]) / (upper - forecast.quantiles[below]);
    1.0 - (LEVELS[below] + share * (upper_level - LEVELS[below]))
}

/// Containers a quantile asks for; NaN asks for none, infinity for the largest number.
fn whole(quantile: f32) -> u32 {
    (quantile + 0.5) as u32
}

/// Containers by which the tail beyond the last level falls to 1/e: what the last two levels show, or the last four
/// if that is more, since neighbouring levels of a count often coincide.
fn tail_scale(forecast: &Forecast) -> f32 {
    const LN_2: f32 = core::f32::consts::LN_2; // from .99 to .995
    const LN_10: f32 = core::f32::consts::LN_10; // from .95 to .995
    let [.., q950, _, q990, q995] = forecast.quantiles;
    ((q995 - q990) / LN_2).max((q995 - q950) / LN_10).max(0.0)
}

/// Standard deviation of a normal distribution with the same 95 % interval, at least the model's own.
fn deviation(forecast: &Forecast) -> f32 {
    const WIDTH_95: f32 = 2.0 * 1.959_964;
    let [low, ..] = forecast.quantiles;
    ((forecast.quantile(0.975) - low) / WIDTH_95).max(forecast.epistemic)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Quantiles 0, 1, ... 10 with mean 4.
    pub(crate) fn staircase() -> Forecast {
        Forecast { mean: 4.0, quantiles: core::array::from_fn(|index| index as f32), epistemic: 0.0 }
    }

    fn newsvendor(ratio: f32) -> Rule {
        Rule::Newsvendor(Prices::ratio(ratio))
    }

    #[test]
    fn critical_ratio_by_hand() {
        // A cold start at the price of 19 idle minutes: level .95, the 8th entry.
        assert_eq!(containers(&staircase(), &newsvendor(19.0), 1024.0, 99), 7);
        // Half the memory is half the idle price: level 38 / 39 = .9744.
        assert_eq!(containers(&staircase(), &newsvendor(19.0), 512.0, 99), 8);
        // As dear as one idle minute: the median.
        assert_eq!(containers(&staircase(), &newsvendor(1.0), 1024.0, 99), 4);
        assert_eq!(containers(&staircase(), &newsvendor(1.0), 1024.0, 3), 3);
        assert_eq!(containers(&staircase(), &newsvendor(0.0), 1024.0, 99), 0);
        assert_eq!(containers(&staircase(), &newsvendor(f32::INFINITY), 1024.0, 99), 99);
        assert_eq!(containers(&staircase(), &newsvendor(f32::NAN), 1024.0, 99), 0);
    }

    #[test]
    fn first_container_has_its_own_price() {
        let rare =
            Forecast { mean: 0.03, quantiles: [0., 0., 0., 0., 0., 0., 0., 0., 1., 2., 3.], epistemic: 0.0 };
        let first = Prices { cold_start: 1.0, first_cold_start: 99.0, idle_gb_minute: 1.0 };
        assert_eq!(containers(&rare, &newsvendor(1.0), 1024.0, 99), 0);
        assert_eq!(containers(&rare, &Rule::Newsvendor(first), 1024.0, 99), 1, "not the 2 of its level");
    }

    #[test]
    fn mean_and_deviations_by_hand() {
        // 95 % interval 0..8: deviation 8 / 3.92 = 2.04.
        let rule = |k| Rule::MeanPlusDeviations { k };
        assert_eq!(containers(&staircase(), &rule(0.0), 1.0, 99), 4);
        assert_eq!(containers(&staircase(), &rule(2.0), 1.0, 99), 8);
        assert_eq!(containers(&staircase(), &rule(-3.0), 1.0, 99), 0);
    }

    #[test]
    fn tail_halves_as_the_last_levels_do() {
        // From .99 to .995 the quantile grows by one container, so it does again to .9975.
        assert!((quantile(&staircase(), 0.9975) - 11.0).abs() < 1e-3);
        assert!((quantile(&staircase(), 0.99875) - 12.0).abs() < 1e-3);
        let flat = Forecast { mean: 2.0, quantiles: [2.0; LEVELS.len()], epistemic: 0.0 };
        assert_eq!(quantile(&flat, 0.999_999), 2.0);
        assert_eq!((probability(&flat, 2), probability(&flat, 3)), (1.0, 0.0));
    }

    #[test]
    fn strange_forecasts_do_not_panic() {
        let strange = Forecast { mean: f32::NAN, quantiles: [f32::NAN; LEVELS.len()], epistemic: f32::NAN };
        for rule in [newsvendor(9.0), newsvendor(1e6), Rule::MeanPlusDeviations { k: 2.0 }] {
            assert_eq!(containers(&strange, &rule, 256.0, 50), 0);
        }
        let _ = probability(&strange, 3);
    }

    fn rising(steps: [f32; LEVELS.len()]) -> Forecast {
        let mut sum = 0.0;
        let quantiles = steps.map(|step| {
            sum += step;
            sum
        });
        Forecast { mean: 0.0, quantiles, epistemic: 0.0 }
    }

    proptest! {
        /// The quantile and the marginal rule of the header agree: container j is kept exactly when it is needed with
        /// more than the critical probability.
        #[test]
        fn quantile_is_the_marginal_rule(steps in prop::array::uniform11(0.01_f32..3.0), level in 0.03_f32..0.9999) {
            let forecast = rising(steps);
            let kept = whole(quantile(&forecast, level));
            // Away from ties, which rounding may settle either way.
            let tie = (quantile(&forecast, level) + 0.5).fract();
            prop_assume!(tie > 1e-3 && tie < 1.0 - 1e-3);
            prop_assert!(probability(&forecast, kept) > (1.0 - level) * 0.999);
            prop_assert!(probability(&forecast, kept + 1) < (1.0 - level) * 1.001);
        }

        #[test]
        fn probability_falls(steps in prop::array::uniform11(0.0_f32..3.0)) {
            let forecast = rising(steps);
            for containers in 0..60 {
                let (now, next) = (probability(&forecast, containers), probability(&forecast, containers + 1));
                prop_assert!((0.0..=1.0).contains(&next) && next <= now + 1e-6, "{} {}", now, next);
            }
        }
    }
}

//! Sharing limited memory: keep the containers worth most per megabyte.
//!
//! Keeping container `j` of a function is worth `P(D >= j) c_cold` a minute. When all wanted containers do not fit,
//! the best set is found by a *shadow price* of memory: raise the price per megabyte until what is still worth it
//! fits, then fill what the last step freed in function order. Worth falls with `j`, so this is the greedy choice by
//! worth per megabyte, which is optimal but for the last containers that do not quite fit (Dantzig,
//! *Discrete-Variable Extremum Problems*, Operations Research 1957). Busy containers stay, whatever they are worth.

use super::plan::quantile;
use crate::forecast::Forecast;

/// One function that wants containers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Its forecast.
    pub forecast: Forecast,
    /// Containers it wants.
    pub wanted: u32,
    /// Containers that cannot be taken away now.
    pub busy: u32,
    /// Memory of one, MB.
    pub memory_mb: f32,
    /// Price of one cold start.
    pub cold_start: f32,
}

/// What fitting into the capacity came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// MB the wanted containers take.
    pub wanted_mb: f64,
    /// MB of the granted ones; above the capacity only when the busy ones alone are.
    pub granted_mb: f64,
    /// What one more MB would be worth a minute; 0 when everything fits.
    pub shadow_price: f32,
}

impl Fit {
    /// Whether something was refused for want of memory.
    pub fn is_full(&self) -> bool {
        self.shadow_price > 0.0
    }
}

/// Grant the candidates (`candidate(index)` for every index of `granted`) at most `capacity_mb` together; `granted`
/// receives the containers of each. Work: one pass over the functions when they fit, about 40 when they do not.
pub fn fit(candidate: impl Fn(usize) -> Candidate, capacity_mb: f64, granted: &mut [u32]) -> Fit {
    let functions = granted.len();
    let total = |price: f64| (0..functions).map(|index| candidate(index).megabytes(price)).sum::<f64>();
    let wanted_mb = total(0.0);
    // What is worth more than `low` does not fit; what is worth more than `high` does, or is busy.
    let (mut low, mut high) = (0.0_f64, 0.0_f64);
    if wanted_mb > capacity_mb {
        let worths = (0..functions).map(|index| candidate(index).highest_worth());
        high = worths.fold(f64::from(f32::MIN_POSITIVE), f64::max);
        // Above the highest worth even where its product with the memory rounds down: nothing but busy ones is kept.
        high *= 1.0 + 8.0 * f64::from(f32::EPSILON);
        // Halves the count of numbers between them, so that one container dear beyond measure spoils no other's price:
        // at most 35 times until they agree to 24 bits.
        while high.to_bits() - low.to_bits() > 1 << 28 {
            let middle = f64::from_bits(low.to_bits() + (high.to_bits() - low.to_bits()) / 2);
            if total(middle) > capacity_mb { low = middle } else { high = middle }
        }
    }
    let mut left_mb = capacity_mb - total(high);
    let mut granted_mb = 0.0;
    for (index, granted) in granted.iter_mut().enumerate() {
        let candidate = candidate(index);
        let memory_mb = f64::from(candidate.memory());
        *granted = candidate.worth_more_than(high);
        if memory_mb > 0.0 {
            let room = (left_mb / memory_mb).max(0.0) as u32;
            let more = candidate.worth_more_than(low).saturating_sub(*granted).min(room);
            *granted += more;
            left_mb -= f64::from(more) * memory_mb;
            granted_mb += f64::from(*granted) * memory_mb;
        }
    }
    let shadow_price = if high > 0.0 { (high as f32).clamp(f32::MIN_POSITIVE, f32::MAX) } else { 0.0 };
    Fit { wanted_mb, granted_mb, shadow_price }
}

impl Candidate {
    /// The wanted containers worth more than `price` per MB, and the busy ones.
    fn worth_more_than(&self, price: f64) -> u32 {
        // In `f64`, where neither the product nor the worth of any container overflows.
        let needed_with = (price * f64::from(self.memory()) / f64::from(self.cold_start())) as f32;
        // What is worth nothing (0 / 0 is NaN) goes first; without a price, all that is wanted stays.
        let worth = if price > 0.0 && needed_with != 0.0 {
            (quantile(&self.forecast, 1.0 - needed_with) + 0.5) as u32
        } else {
            u32::MAX
        };
        self.wanted.min(worth).max(self.busy)
    }

    fn megabytes(&self, price: f64) -> f64 {
        f64::from(self.worth_more_than(price)) * f64::from(self.memory())
    }

    /// Its memory as a finite number that is not negative; NaN counts as 0.
    #[expect(clippy::manual_clamp, reason = "clamp keeps NaN")]
    fn memory(&self) -> f32 {
        self.memory_mb.max(0.0).min(f32::MAX)
    }

    /// The price of a cold start, likewise.
    #[expect(clippy::manual_clamp, reason = "clamp keeps NaN")]
    fn cold_start(&self) -> f32 {
        self.cold_start.max(0.0).min(f32::MAX)
    }

    /// What a container that is certainly needed is worth per MB.
    fn highest_worth(&self) -> f64 {
        let worth = f64::from(self.cold_start()) / f64::from(self.memory());
        if worth.is_finite() { worth } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::plan::{probability, tests::staircase};
    use super::*;

    fn candidate(wanted: u32, busy: u32, memory_mb: f32) -> Candidate {
        Candidate { forecast: staircase(), wanted, busy, memory_mb, cold_start: 1.0 }
    }

    fn run(candidates: &[Candidate], capacity_mb: f64) -> (Vec<u32>, Fit) {
        let mut granted = std::vec![0; candidates.len()];
        let outcome = fit(|index| candidates[index], capacity_mb, &mut granted);
        (granted, outcome)
    }

    #[test]
    fn everything_fits() {
        let (granted, outcome) = run(&[candidate(7, 0, 100.0), candidate(2, 4, 50.0)], 1000.0);
        assert_eq!(granted, [7, 4]);
        assert_eq!((outcome.wanted_mb, outcome.granted_mb, outcome.is_full()), (900.0, 900.0, false));
    }

    #[test]
    fn equal_functions_share_and_the_rest_is_filled() {
        let (granted, outcome) = run(&[candidate(8, 0, 100.0); 3], 1000.0);
        assert_eq!(granted, [4, 3, 3]);
        assert!(outcome.is_full() && outcome.granted_mb == 1000.0 && outcome.wanted_mb == 2400.0);
    }

    #[test]
    fn small_containers_are_worth_more_per_megabyte() {
        let (granted, _) = run(&[candidate(8, 0, 400.0), candidate(8, 0, 100.0)], 1500.0);
        assert!(granted[1] > granted[0], "{granted:?}");
    }

    /// 1 / 49 * 49 is less than 1 in `f32`: the highest worth times the memory must not seem worth the cold start.
    #[test]
    fn what_fits_nowhere_is_refused_whatever_rounding_says() {
        let mut certain = candidate(3, 0, 49.0);
        certain.forecast.quantiles = [5.0; crate::forecast::LEVELS.len()];
        let (granted, outcome) = run(&[certain; 2], 40.0);
        assert_eq!((granted.as_slice(), outcome.granted_mb), ([0, 0].as_slice(), 0.0));
    }

    #[test]
    fn strange_candidates_do_not_spoil_the_others() {
        for bad in [f32::NAN, f32::INFINITY, -1.0, 0.0, f32::MAX, f32::MIN_POSITIVE] {
            for strange in [candidate(5, 0, bad), Candidate { cold_start: bad, ..candidate(5, 0, 100.0) }] {
                let (granted, outcome) = run(&[strange, candidate(8, 1, 100.0)], 400.0);
                assert!((1..=8).contains(&granted[1]) && granted[0] <= 5, "{bad}: {granted:?}");
                assert!(outcome.granted_mb <= 400.0 && outcome.shadow_price >= 0.0, "{bad}: {outcome:?}");
            }
        }
    }

    #[test]
    fn no_price_and_no_size_is_too_extreme_for_the_limit() {
        for (memory_mb, cold_start) in [(1e-38, 1.0), (1e-45, f32::MAX), (1e-3, f32::INFINITY), (3e38, 1e-30)]
        {
            let dear = Candidate { cold_start, ..candidate(8, 0, memory_mb) };
            let room = f64::from(memory_mb) * 2.5;
            let (granted, outcome) = run(&[dear], room);
            assert!(granted == [2] && outcome.is_full(), "{memory_mb} {cold_start}: {granted:?} {outcome:?}");
            // Beside it the others share as if it were not there.
            let limit = 1000.0 + 8.0 * f64::from(memory_mb);
            let (granted, _) = run(&[dear, candidate(8, 0, 100.0), candidate(8, 0, 100.0)], limit);
            assert!(memory_mb > 1.0 || granted[1..] == [5, 5], "{memory_mb} {cold_start}: {granted:?}");
        }
    }

    #[test]
    fn busy_containers_stay() {
        let (granted, outcome) = run(&[candidate(8, 6, 100.0), candidate(8, 0, 100.0)], 500.0);
        assert_eq!(granted, [6, 0]);
        assert_eq!(outcome.granted_mb, 600.0);
    }

    proptest! {
        /// What is refused though it would fit is worth nothing more than what is kept per MB.
        #[test]
        fn greedy_by_worth(
            functions in prop::collection::vec((1_u32..12, 1_u32..8, 0.2_f32..4.0), 1..8),
            capacity in 1.0_f64..60.0,
        ) {
            let candidates: Vec<Candidate> = functions.iter().map(|&(wanted, memory, spread)| {
                let mut forecast = staircase();
                forecast.quantiles.iter_mut().for_each(|quantile| *quantile *= spread);
                Candidate { forecast, wanted, busy: 0, memory_mb: memory as f32, cold_start: 1.0 }
            }).collect();
            let (granted, outcome) = run(&candidates, capacity);
            let used: f64 = candidates.iter().zip(&granted).map(|(c, &g)| f64::from(g) * f64::from(c.memory_mb)).sum();
            prop_assert!(used <= capacity + 1e-9 && (used - outcome.granted_mb).abs() < 1e-9);
            let worth = |index: usize, j: u32| probability(&candidates[index].forecast, j) / candidates[index].memory_mb;
            for (index, c) in candidates.iter().enumerate() {
                prop_assert!(granted[index] <= c.wanted);
                if granted[index] == c.wanted {
                    continue;
                }
                let refused = worth(index, granted[index] + 1);
                prop_assert!(refused <= outcome.shadow_price * 1.01 + 1e-6, "{} {}", refused, outcome.shadow_price);
                for (other, &kept) in granted.iter().enumerate() {
                    prop_assert!(kept == 0 || worth(other, kept) >= outcome.shadow_price * 0.99 - 1e-6);
                }
            }
        }
    }
}

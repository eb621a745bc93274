//! Dropout masks. *Variational* dropout (Gal and Ghahramani 2016) draws one mask per sequence and keeps it over all time
//! steps; drawing a mask per pass is what makes repeated passes samples of the posterior.

use super::Real;
use core::fmt;
use rand_core::Rng;

/// Units the widest maskable layer has.
pub const MAX_WIDTH: usize = 64;

/// Drops each unit with a fixed probability and scales the kept ones by 1 / (1 - rate).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    rate: f64,
}

/// A dropout rate outside [0, 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateError {
    /// The rate.
    pub rate: f64,
}

impl fmt::Display for RateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dropout rate {}; choose one of at least 0 and below 1", self.rate)
    }
}

impl core::error::Error for RateError {}

impl Dropout {
    /// Nothing is dropped.
    pub const NONE: Self = Self { rate: 0.0 };

    /// Dropout at `rate`, of at least 0 and below 1.
    ///
    /// # Errors
    /// [`RateError`] for any other rate, NaN included.
    pub fn new(rate: f64) -> Result<Self, RateError> {
        if (0.0..1.0).contains(&rate) { Ok(Self { rate }) } else { Err(RateError { rate }) }
    }

    /// The probability that a unit is dropped.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// What kept units are multiplied by.
    pub fn scale(&self) -> f64 {
        1.0 / (1.0 - self.rate)
    }

    /// The mask whose bit k set drops unit k.
    pub fn mask(&self, dropped: u64) -> Mask {
        Mask { dropped, scale: self.scale() }
    }

    /// A mask for the first `width` units (at most [`MAX_WIDTH`]). The rate is rounded to 1/65536; four units use one
    /// draw of `rng`, and a rate of 0 uses none.
    pub fn draw<G: Rng + ?Sized>(&self, width: usize, rng: &mut G) -> Mask {
        let threshold = (self.rate * 65536.0 + 0.5) as u64;
        if threshold == 0 {
            return Mask::NONE;
        }
        let mut dropped = 0;
        for first in (0..width.min(MAX_WIDTH)).step_by(4) {
            let draw = rng.next_u64();
            for unit in 0..4 {
                dropped |= u64::from((draw >> (16 * unit)) & 0xFFFF < threshold) << (first + unit);
            }
        }
        self.mask(dropped)
    }
}

/// Which of up to 64 units are dropped, and what the others are multiplied by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mask {
    dropped: u64,
    scale: f64,
}

impl Mask {
    /// Every unit is kept as it is.
    pub const NONE: Self = Self { dropped: 0, scale: 1.0 };

    /// The dropped units, lowest first. Units of `MAX_WIDTH` and above are never dropped.
    pub fn dropped(self) -> impl Iterator<Item = usize> {
        let mut rest = self.dropped;
        core::iter::from_fn(move || {
            let unit = rest.trailing_zeros() as usize;
            rest &= rest.wrapping_sub(1);
            (unit < MAX_WIDTH).then_some(unit)
        })
    }

    /// Zero the dropped values of a row and scale the others.
    #[inline]
    pub fn apply<R: Real>(self, row: &mut [R]) {
        let scale = R::from_f64(self.scale);
        for value in row.iter_mut() {
            *value *= scale;
        }
        for unit in self.dropped() {
            if let Some(value) = row.get_mut(unit) {
                *value = R::ZERO;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::SeedableRng;
    use std::vec::Vec;

    #[test]
    fn masks_drop_the_stated_share_of_each_unit() {
        let dropout = Dropout::new(0.25).unwrap();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut dropped = [0u32; MAX_WIDTH];
        for _ in 0..20_000 {
            for unit in dropout.draw(MAX_WIDTH, &mut rng).dropped() {
                dropped[unit] += 1;
            }
        }
        // Six standard deviations of a binomial share of 0.25 in 20,000 draws are 0.018.
        assert!(dropped.iter().all(|&n| (f64::from(n) / 20_000.0 - 0.25).abs() < 0.018), "{dropped:?}");
    }

    #[test]
    fn value_stability() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let units: Vec<_> = Dropout::new(0.1).unwrap().draw(64, &mut rng).dropped().collect();
        assert_eq!(units, [3, 10, 12, 16, 32, 33, 36, 39, 40, 45, 62, 63]);
    }

    #[test]
    fn apply_zeroes_and_scales() {
        let mut row = [1.0f32, 2.0, 3.0];
        Dropout::new(0.5).unwrap().mask(0b010).apply(&mut row);
        assert_eq!(row, [2.0, 0.0, 6.0]);
        assert_eq!(Dropout::NONE.mask(1 << 63).dropped().collect::<Vec<_>>(), [63]);
    }

    #[test]
    fn rates_outside_the_unit_interval_are_refused() {
        for rate in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
            assert!(Dropout::new(rate).is_err());
        }
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        assert_eq!(Dropout::NONE.draw(64, &mut rng), Mask::NONE);
    }
}

//! Sobol sequences: quasi-random points that fill the unit cube evenly, with the scrambling that makes them random.
//!
//! One [`Dimension`] at a time: a point set is written coordinate by coordinate, so no state is kept. Points come in
//! Gray-code order and the first one is 0, as in SciPy and PyTorch. Scrambling is Matoušek's random linear matrix
//! scramble with a digital shift ("On the L2-discrepancy for anchored boxes", J. Complexity 14, 1998): every point
//! becomes uniform, and the even filling stays.

mod directions;

use crate::math::normal;
use core::fmt;
use directions::{DEGREE, INITIAL, POLYNOMIALS};
use rand_core::Rng;

/// Number of dimensions there are direction numbers for.
pub const DIMENSIONS: usize = POLYNOMIALS.len();

const BITS: usize = 32;

/// One coordinate of the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimension {
    directions: [u32; BITS],
    shift: u32,
}

impl Dimension {
    /// The coordinate that is 0 at every point.
    pub(crate) const ZERO: Self = Self { directions: [0; BITS], shift: 0 };

    /// The unscrambled coordinate `index`, counted from 0.
    ///
    /// # Errors
    /// [`DimensionError`] from [`DIMENSIONS`] on.
    pub fn new(index: usize) -> Result<Self, DimensionError> {
        let (Some(&polynomial), Some(initial)) = (POLYNOMIALS.get(index), INITIAL.get(index)) else {
            return Err(DimensionError { index });
        };
        let mut m = [1u32; BITS];
        if index > 0 {
            let degree = polynomial.checked_ilog2().unwrap_or(0) as usize;
            for (m, &initial) in m.iter_mut().zip(&initial[..degree.min(DEGREE)]) {
                *m = u32::from(initial);
            }
            for k in degree..BITS {
                let earlier = |l: usize| m.get(k.wrapping_sub(l)).map_or(0, |m| *m);
                let taken = (1..=degree).filter(|l| polynomial >> (degree - l) & 1 == 1);
                m[k] = taken.fold(earlier(degree), |next, l| next ^ earlier(l) << l);
            }
        }
        let mut directions = [0; BITS];
        for (k, (direction, m)) in directions.iter_mut().zip(m).enumerate() {
            *direction = m << (BITS - 1 - k);
        }
        Ok(Self { directions, shift: 0 })
    }

    /// The same coordinate with a fresh linear matrix scramble and digital shift (33 words of `rng`).
    #[must_use]
    pub fn scrambled<R: Rng + ?Sized>(mut self, rng: &mut R) -> Self {
        // Column j of a random lower triangular matrix with unit diagonal: bit j from the top, random bits below it.
        let mut columns = [0u32; BITS];
        for (j, column) in columns.iter_mut().enumerate() {
            let top = 1u32 << (BITS - 1 - j);
            *column = top | (rng.next_u32() & (top - 1));
        }
        for direction in &mut self.directions {
            let mut scrambled = 0;
            for (j, column) in columns.iter().enumerate() {
                scrambled ^= column * (*direction >> (BITS - 1 - j) & 1);
            }
            *direction = scrambled;
        }
        self.shift = rng.next_u32();
        self
    }

    /// The coordinate of point `index`, in units of 2^-32.
    pub fn bits(&self, index: u32) -> u32 {
        let mut gray = index ^ (index >> 1);
        let mut bits = self.shift;
        while gray != 0 {
            bits ^= self.directions[gray.trailing_zeros() as usize];
            gray &= gray - 1;
        }
        bits
    }

    /// The coordinate of point `index` in the open interval (0, 1): the middle of its 2^-32.
    pub fn uniform(&self, index: u32) -> f64 {
        (f64::from(self.bits(index)) + 0.5) * (1.0 / 4_294_967_296.0)
    }

    /// The coordinate of point `index` as a standard normal, by inverse CDF.
    pub fn normal(&self, index: u32) -> f64 {
        normal::quantile(self.uniform(index))
    }
}

/// There are no direction numbers for this dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DimensionError {
    /// The dimension asked for.
    pub index: usize,
}

impl fmt::Display for DimensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index;
        write!(f, "dimension {index}: direction numbers end at {DIMENSIONS}; use several scrambled blocks")
    }
}

impl core::error::Error for DimensionError {}

/// Coordinate `index` of a scrambled point set of any dimension: block after block of [`DIMENSIONS`], each with its
/// own scramble, which are independent of each other ("padding").
pub fn scrambled<R: Rng + ?Sized>(index: usize, rng: &mut R) -> Dimension {
    match Dimension::new(index % DIMENSIONS) {
        Ok(dimension) => dimension.scrambled(rng),
        Err(_) => Dimension { directions: [0; BITS], shift: rng.next_u32() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::SeedableRng;

    #[test]
    fn the_first_points_are_the_textbook_ones() {
        let expected =
            [[0.0, 0.5, 0.75, 0.25, 0.375], [0.0, 0.5, 0.25, 0.75, 0.375], [0.0, 0.5, 0.25, 0.75, 0.625]];
        for (j, row) in expected.iter().enumerate() {
            let dimension = Dimension::new(j).unwrap();
            for (i, &x) in row.iter().enumerate() {
                assert_eq!(
                    f64::from(dimension.bits(i as u32)) / 4_294_967_296.0,
                    x,
                    "dimension {j} point {i}"
                );
            }
        }
        assert_eq!(Dimension::new(DIMENSIONS), Err(DimensionError { index: DIMENSIONS }));
    }

    /// Every scrambled coordinate still has exactly one of 2^k points in each interval of length 2^-k.
    #[test]
    fn scrambling_keeps_the_net() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        for j in 0..DIMENSIONS {
            let dimension = scrambled(j, &mut rng);
            let mut seen = [false; 256];
            for i in 0..256 {
                seen[(dimension.bits(i) >> 24) as usize] = true;
            }
            assert!(seen.iter().all(|&s| s), "dimension {j}");
        }
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        for j in [0, 1, 57, 255] {
            let dimension = scrambled(j, &mut rng);
            let (mut sum, mut squares) = (0.0, 0.0);
            for i in 0..4096 {
                let z = dimension.normal(i);
                sum += z;
                squares += z * z;
            }
            assert!((sum / 4096.0).abs() < 1e-3 && (squares / 4096.0 - 1.0).abs() < 5e-3, "dimension {j}");
        }
    }
}

//! Random numbers from a caller's generator: uniform and standard normal.
//!
//! The generator is always an argument (`rng: &mut R, R: Rng + ?Sized`), never stored.

use crate::math::{float, normal};
use rand_core::Rng;

/// Uniform in the open interval (0, 1): the middle of one of 2^53 cells, rounded to a double but never up to 1, so that
/// its normal quantile is finite.
pub fn uniform<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    let middle = ((rng.next_u64() >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64);
    middle.min(1.0 - f64::EPSILON / 2.0)
}

/// Standard normal, by inverse CDF (one draw of `rng` each).
pub fn standard_normal<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    normal::quantile(uniform(rng))
}

/// A uniform integer below `bound` (0 when `bound` is 0), by multiplication.
pub fn below<R: Rng + ?Sized>(rng: &mut R, bound: u32) -> u32 {
    ((u64::from(rng.next_u32()) * u64::from(bound)) >> 32) as u32
}

/// Exponential with the given mean.
pub fn exponential<R: Rng + ?Sized>(rng: &mut R, mean: f64) -> f64 {
    -mean * float::ln(uniform(rng))
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a generator of one word, for streams that must be made again from a
/// stored seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitMix64(pub u64);

impl rand_core::TryRng for SplitMix64 {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok((self.try_next_u64()? >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.try_next_u64()?.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generator of one word.
    struct Always(u64);

    impl rand_core::TryRng for Always {
        type Error = core::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(self.0 as u32)
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(self.0)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.fill(self.0 as u8);
            Ok(())
        }
    }

    #[test]
    fn value_stability() {
        // The published outputs for seed 1234567.
        let mut rng = SplitMix64(1_234_567);
        let words = [(); 3].map(|()| rng.next_u64());
        assert_eq!(words, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        let mut bytes = [0; 12];
        SplitMix64(1_234_567).fill_bytes(&mut bytes);
        assert_eq!(bytes[..8], words[0].to_le_bytes());
        assert_eq!(bytes[8..], words[1].to_le_bytes()[..4]);
        let mut rng = SplitMix64(1);
        assert_eq!((uniform(&mut rng), below(&mut rng, 1000)), (0.566_561_575_172_281, 745));
        assert!((exponential(&mut rng, 2.0) - 0.058_851_949_738_180_66).abs() < 1e-15);
    }

    #[test]
    fn the_ends_of_the_generator_give_finite_numbers() {
        for word in [0, 1, u64::MAX - 1, u64::MAX] {
            let u = uniform(&mut Always(word));
            assert!(0.0 < u && u < 1.0, "{u}");
            assert!(standard_normal(&mut Always(word)).is_finite());
            assert!(exponential(&mut Always(word), 2.0) > 0.0);
            assert!(below(&mut Always(word), 7) < 7);
        }
    }
}

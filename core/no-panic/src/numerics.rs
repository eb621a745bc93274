//! Factors, distributions, quasi-random points, instants, checksums and the frame of a snapshot.

use crate::keep;
use aquatope_core::checksum::crc32;
use aquatope_core::math::normal::{self, Normal};
use aquatope_core::math::{cholesky, float};
use aquatope_core::random::{self, SplitMix64};
use aquatope_core::snapshot::Format;
use aquatope_core::sobol::{self, Dimension};
use aquatope_core::time::{Minute, Timestamp};

pub fn keep() {
    keep! {
        cholesky::factor: fn(_, _, _) -> _,
        cholesky::invert: fn(_, _, _) -> _,
        float::exp: fn(_) -> _,
        float::exp_m1: fn(_) -> _,
        float::ln: fn(_) -> _,
        float::ln_1p: fn(_) -> _,
        float::sqrt: fn(_) -> _,
        float::floor: fn(_) -> _,
        float::pow: fn(_, _) -> _,
        float::sin: fn(_) -> _,
        float::cos: fn(_) -> _,
        float::tanh: fn(_) -> _,
        float::erfc: fn(_) -> _,
        float::sqrt_f32: fn(_) -> _,
        float::ln_f32: fn(_) -> _,
        float::ln_1p_f32: fn(_) -> _,
        float::exp_m1_f32: fn(_) -> _,
        normal::cdf: fn(_) -> _,
        normal::pdf: fn(_) -> _,
        normal::quantile: fn(_) -> _,
        normal::quantile_approximate: fn(_) -> _,
        Normal::standard_deviation: fn(_) -> _,
        Normal::cdf: fn(_, _) -> _,
        Normal::quantile: fn(_, _) -> _,
        random::uniform::<SplitMix64>: fn(_) -> _,
        random::standard_normal::<SplitMix64>: fn(_) -> _,
        random::below::<SplitMix64>: fn(_, _) -> _,
        random::exponential::<SplitMix64>: fn(_, _) -> _,
        Dimension::new: fn(_) -> _,
        Dimension::scrambled::<SplitMix64>: fn(_, _) -> _,
        Dimension::bits: fn(_, _) -> _,
        Dimension::uniform: fn(_, _) -> _,
        Dimension::normal: fn(_, _) -> _,
        sobol::scrambled::<SplitMix64>: fn(_, _) -> _,
        crc32: fn(_) -> _,
        Format::encode::<u64>: fn(_, &u64, &'static mut [u8]) -> _,
        Format::decode::<u64>: fn(_, _) -> _,
        Timestamp::minute: fn(_) -> _,
        Minute::start: fn(_) -> _,
    }
}

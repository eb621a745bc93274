//! Counter-based random numbers: a value is a pure function of the seed and a list of counters, so that any language
//! reproduces any sample alone. SplitMix64 (Steele, Lea and Flood 2014) folds the counters; normals by Box-Muller.

use aquatope_core::math::float;

/// SplitMix64's output function of `z` plus the golden gamma.
pub fn mix64(z: u64) -> u64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Uniform in (0, 1) at `counters` of `seed`: 53 bits, centred in their cell.
pub fn uniform(seed: u64, counters: [u64; 4]) -> f64 {
    let hash = counters.into_iter().fold(mix64(seed), |hash, counter| mix64(hash ^ counter));
    ((hash >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64)
}

/// Standard normal at `counters` of `seed`; uses the uniforms at twice the last counter and the next.
pub fn normal(seed: u64, counters: [u64; 4]) -> f64 {
    let [a, b, c, t] = counters;
    let radius = uniform(seed, [a, b, c, 2 * t]);
    let angle = uniform(seed, [a, b, c, 2 * t + 1]);
    float::sqrt(-2.0 * float::ln(radius)) * float::cos(2.0 * std::f64::consts::PI * angle)
}

//! The only door to transcendental functions: `libm` on every target, so results agree bit for bit.

/// e^x.
#[inline]
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}
/// e^x - 1, accurate near 0.
#[inline]
pub fn exp_m1(x: f64) -> f64 {
    libm::expm1(x)
}
/// Natural logarithm.
#[inline]
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}
/// ln(1 + x), accurate near 0.
#[inline]
pub fn ln_1p(x: f64) -> f64 {
    libm::log1p(x)
}
/// Square root.
#[inline]
pub fn sqrt(x: f64) -> f64 {
    libm::sqrt(x)
}
/// Largest integer not above `x`.
#[inline]
pub fn floor(x: f64) -> f64 {
    libm::floor(x)
}
/// x^y.
#[inline]
pub fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}
/// Sine of radians.
#[inline]
pub fn sin(x: f64) -> f64 {
    libm::sin(x)
}
/// Cosine of radians.
#[inline]
pub fn cos(x: f64) -> f64 {
    libm::cos(x)
}
/// Hyperbolic tangent.
#[inline]
pub fn tanh(x: f64) -> f64 {
    libm::tanh(x)
}
/// Complementary error function.
#[inline]
pub fn erfc(x: f64) -> f64 {
    libm::erfc(x)
}
/// Square root, `f32`.
#[inline]
pub fn sqrt_f32(x: f32) -> f32 {
    libm::sqrtf(x)
}
/// Natural logarithm, `f32`.
#[inline]
pub fn ln_f32(x: f32) -> f32 {
    libm::logf(x)
}
/// ln(1 + x), `f32`.
#[inline]
pub fn ln_1p_f32(x: f32) -> f32 {
    libm::log1pf(x)
}
/// e^x - 1, `f32`.
#[inline]
pub fn exp_m1_f32(x: f32) -> f32 {
    libm::expm1f(x)
}

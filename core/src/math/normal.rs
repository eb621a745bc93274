//! The standard normal distribution and `Normal { mean, variance }`.

use super::float;

/// A normal distribution.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Normal {
    /// Mean.
    pub mean: f64,
    /// Variance, not negative.
    pub variance: f64,
}

impl Normal {
    /// Whether it is one: a finite mean, and a finite variance that is not negative.
    pub(crate) fn is_consistent(&self) -> bool {
        self.mean.is_finite() && self.variance >= 0.0 && self.variance.is_finite()
    }

    /// Standard deviation.
    pub fn standard_deviation(&self) -> f64 {
        float::sqrt(self.variance.max(0.0))
    }

    /// P(X <= x). A zero variance is a step at the mean.
    pub fn cdf(&self, x: f64) -> f64 {
        let sd = self.standard_deviation();
        if sd > 0.0 { cdf((x - self.mean) / sd) } else { f64::from(u8::from(x >= self.mean)) }
    }

    /// The value below which a share `level` lies; the mean at every level for a zero variance.
    pub fn quantile(&self, level: f64) -> f64 {
        let sd = self.standard_deviation();
        if sd > 0.0 { self.mean + sd * quantile(level) } else { self.mean }
    }
}

/// Density of the standard normal.
pub fn pdf(x: f64) -> f64 {
    const INV_SQRT_2PI: f64 = 0.398_942_280_401_432_7;
    INV_SQRT_2PI * float::exp(-0.5 * x * x)
}

/// Distribution function of the standard normal.
pub fn cdf(x: f64) -> f64 {
    0.5 * float::erfc(-x * core::f64::consts::FRAC_1_SQRT_2)
}

/// Inverse of [`cdf`]: Acklam's rational approximation (2003) with one Halley step, relative error about 1e-15.
/// Infinite at 0 and 1, NaN outside.
pub fn quantile(p: f64) -> f64 {
    if !(p > 0.0 && p < 1.0) {
        return match p {
            0.0 => f64::NEG_INFINITY,
            1.0 => f64::INFINITY,
            _ => f64::NAN,
        };
    }
    if p > 0.5 {
        return -quantile(1.0 - p);
    }
    let x = acklam(p);
    // Halley's step on cdf(x) - p; exact in the lower half, where erfc loses nothing.
    let e = (cdf(x) - p) / pdf(x);
    x - e / (1.0 + 0.5 * x * e)
}

/// [`quantile`] without the Halley step, for `p` in (0, 1): relative error below 1.2e-9, several times faster.
pub fn quantile_approximate(p: f64) -> f64 {
    if p > 0.5 { -acklam(1.0 - p) } else { acklam(p) }
}

fn acklam(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let horner = |c: &[f64], x: f64| c.iter().fold(0.0, |acc, &k| acc * x + k);
    if p < 0.02425 {
        let q = float::sqrt(-2.0 * float::ln(p));
        horner(&C, q) / (horner(&D, q) * q + 1.0)
    } else {
        let q = p - 0.5;
        let r = q * q;
        q * horner(&A, r) / (horner(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_variance_every_quantile_is_the_mean() {
        let certain = Normal { mean: 3.0, variance: 0.0 };
        assert_eq!([0.0, 0.3, 1.0].map(|level| certain.quantile(level)), [3.0; 3]);
    }

    #[test]
    fn quantile_inverts_cdf() {
        for k in 1..2000 {
            let p = f64::from(k) / 2000.0;
            assert!((cdf(quantile(p)) - p).abs() < 1e-14, "p = {p}");
        }
        for p in [1e-300, 1e-100, 1e-20, 1e-10] {
            assert!((cdf(quantile(p)) / p - 1.0).abs() < 1e-11, "p = {p}");
        }
    }
}

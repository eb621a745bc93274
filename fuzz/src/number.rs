//! Numbers that find trouble sooner than random bits do.

use arbitrary::Arbitrary;

/// A number of any size, with the awkward ones often.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Number {
    /// Any bits: mostly huge, tiny or NaN.
    Bits(f64),
    /// An everyday number, 0 to 25.5.
    Tenths(u8),
    /// A power of ten, from 1e-128 to 1e127.
    Decade(i8),
    /// One of the ends of the number line.
    Edge(Edge),
}

/// The numbers that code forgets.
#[derive(Arbitrary, Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Edge {
    Zero,
    NegativeZero,
    One,
    Nan,
    Infinity,
    NegativeInfinity,
    Max,
    Min,
    LeastNormal,
    LeastDenormal,
    NextAfterOne,
    Negative,
}

impl Number {
    /// As a floating-point number.
    pub fn get(self) -> f64 {
        match self {
            Self::Bits(x) => x,
            Self::Tenths(x) => f64::from(x) / 10.0,
            Self::Decade(x) => 10f64.powi(i32::from(x)),
            Self::Edge(edge) => match edge {
                Edge::Zero => 0.0,
                Edge::NegativeZero => -0.0,
                Edge::One => 1.0,
                Edge::Nan => f64::NAN,
                Edge::Infinity => f64::INFINITY,
                Edge::NegativeInfinity => f64::NEG_INFINITY,
                Edge::Max => f64::MAX,
                Edge::Min => f64::MIN,
                Edge::LeastNormal => f64::MIN_POSITIVE,
                Edge::LeastDenormal => f64::from_bits(1),
                Edge::NextAfterOne => 1.0 + f64::EPSILON,
                Edge::Negative => -1.0,
            },
        }
    }

    /// A positive finite number near this one.
    pub fn positive(self) -> f64 {
        let x = self.get().abs();
        if x.is_finite() && x > 0.0 { x } else { 1.0 }
    }
}

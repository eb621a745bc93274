//! A configuration as the host passes it on: one grid level an axis (axes are `aquatope_core::bo::space::Axis`).

use serde::{Deserialize, Serialize};

/// A configuration: one grid level an axis, in axis order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Point(pub Vec<u16>);

impl Point {
    /// The grid point nearest to `x` in the unit cube (`levels` = levels an axis): `floor(x (levels - 1) + 1/2)`.
    pub fn nearest(x: &[f64], levels: &[u16]) -> Self {
        let level =
            |(&x, &levels): (&f64, &u16)| (x.clamp(0.0, 1.0) * f64::from(levels - 1) + 0.5).floor() as u16;
        Self(x.iter().zip(levels).map(level).collect())
    }

    /// The point as coordinates of the unit cube; an axis with one level is at 0.
    pub fn unit(&self, levels: &[u16]) -> Vec<f64> {
        let coordinate = |(&level, &levels): (&u16, &u16)| f64::from(level) / f64::from((levels - 1).max(1));
        self.0.iter().zip(levels).map(coordinate).collect()
    }
}

//! The search space: a grid of CPU, memory and concurrency levels, seen by the models as the unit cube.
//!
//! An [`Axis`] has evenly spaced levels `min, min + step, ..`; a fixed axis has one level. A [`Point`] is a tuple of
//! level indices, so every point that exists is a valid configuration. Two maps lead to the unit interval:
//!
//! - the *fraction* `index / (levels - 1)`, in which programs exchange points; it rounds to
//!   `index = floor(clamp(x) * (levels - 1) + 0.5)`;
//! - the *encoding*, in which the models see an axis: the fraction, or on a logarithmic axis
//!   `ln(value / min) / ln(max / min)`. Durations fall like powers of CPU and memory, so that logarithmic axes make
//!   them close to linear.

use crate::math::float;
use crate::part;
use core::fmt;
use heapless::Vec;

/// How an axis is shown to the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Scale {
    /// Evenly, by value.
    #[default]
    Linear,
    /// By the logarithm of the value; needs `min > 0`.
    Log,
}

/// One decision: evenly spaced values from `min` to at most `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Axis {
    min: f64,
    step: f64,
    levels: u16,
    scale: Scale,
}

impl Axis {
    /// An axis `min, min + step, ..` up to `max` (the last level not above it, within rounding).
    ///
    /// # Errors
    /// [`SpaceError`] when a number is not finite (the last level by rounding included), `step` is not positive,
    /// `min > max`, or the axis would have more than 65 535 levels.
    pub fn new(min: f64, max: f64, step: f64) -> Result<Self, SpaceError> {
        if !(min.is_finite() && max.is_finite() && step.is_finite()) {
            return Err(SpaceError::NotFinite);
        }
        if step <= 0.0 {
            return Err(SpaceError::Step { step });
        }
        if min > max {
            return Err(SpaceError::Empty { min, max });
        }
        let levels = float::floor((max - min) / step + 1e-9) + 1.0;
        if levels > f64::from(u16::MAX) {
            return Err(SpaceError::Levels { levels });
        }
        let axis = Self { min, step, levels: levels as u16, scale: Scale::Linear };
        if axis.max().is_finite() { Ok(axis) } else { Err(SpaceError::NotFinite) }
    }

    /// An axis of one value, which no proposal changes.
    ///
    /// # Errors
    /// [`SpaceError::NotFinite`].
    pub fn fixed(value: f64) -> Result<Self, SpaceError> {
        Self::new(value, value, 1.0)
    }

    /// The same levels, shown to the models by their logarithm.
    ///
    /// # Errors
    /// [`SpaceError::LogOfNonPositive`] unless `min > 0`; [`SpaceError::NotFinite`] when `max / min` is not.
    pub fn log_scaled(mut self) -> Result<Self, SpaceError> {
        if self.min <= 0.0 {
            return Err(SpaceError::LogOfNonPositive { min: self.min });
        }
        if !(self.max() / self.min).is_finite() {
            return Err(SpaceError::NotFinite);
        }
        self.scale = Scale::Log;
        Ok(self)
    }

    /// Number of levels, at least 1.
    pub const fn levels(&self) -> u16 {
        self.levels
    }

    /// Smallest value.
    pub const fn min(&self) -> f64 {
        self.min
    }

    /// Largest value: the last level.
    pub fn max(&self) -> f64 {
        self.value(self.levels - 1)
    }

    /// The value of level `index`; the last level for any larger index.
    pub fn value(&self, index: u16) -> f64 {
        self.min + f64::from(index.min(self.levels - 1)) * self.step
    }

    /// The level as a fraction of the way from the first to the last; 0 on a fixed axis.
    pub fn fraction(&self, index: u16) -> f64 {
        if self.levels == 1 {
            0.0
        } else {
            f64::from(index.min(self.levels - 1)) / f64::from(self.levels - 1)
        }
    }

    /// The level nearest to a fraction; values outside the unit interval and NaN count as its ends (NaN as 0).
    pub fn round(&self, fraction: f64) -> u16 {
        let clamped = if fraction >= 1.0 { 1.0 } else { fraction.max(0.0) };
        float::floor(clamped * f64::from(self.levels - 1) + 0.5) as u16
    }

    /// The coordinate of level `index` as the models see it, in `[0, 1]`.
    pub fn encode(&self, index: u16) -> f64 {
        match self.scale {
            Scale::Linear => self.fraction(index),
            Scale::Log if self.levels == 1 => 0.0,
            Scale::Log => float::ln(self.value(index) / self.min) / float::ln(self.max() / self.min),
        }
    }

    /// The level nearest (by value) to a coordinate of the models.
    pub fn decode(&self, coordinate: f64) -> u16 {
        let clamped = if coordinate >= 1.0 { 1.0 } else { coordinate.max(0.0) };
        match self.scale {
            Scale::Linear => self.round(clamped),
            Scale::Log => {
                let (min, max) = (self.min, self.max());
                let value = min * float::pow(max / min, clamped);
                if self.levels == 1 { 0 } else { self.round((value - min) / (max - min)) }
            }
        }
    }
}

/// A configuration: one level index per axis. Always as long as the space that made it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Point<const D: usize>(pub(crate) Vec<u16, D>);

impl<const D: usize> Point<D> {
    /// Level index per axis.
    pub fn indices(&self) -> &[u16] {
        &self.0
    }
}

/// Up to `D` axes; the number in use is a run-time value.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SearchSpace<const D: usize> {
    axes: Vec<Axis, D>,
}

impl<const D: usize> SearchSpace<D> {
    /// A space of these axes.
    ///
    /// # Errors
    /// [`SpaceError::NoAxis`] or [`SpaceError::Capacity`] (more than `D` axes).
    pub fn new(axes: &[Axis]) -> Result<Self, SpaceError> {
        if axes.is_empty() {
            return Err(SpaceError::NoAxis);
        }
        let axes = Vec::from_slice(axes).map_err(|_| SpaceError::Capacity { capacity: D })?;
        Ok(Self { axes })
    }

    /// The axes, in order.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Number of axes, at least 1 in a space made by [`SearchSpace::new`].
    pub fn dimensions(&self) -> usize {
        // The axes are at most D, which the compiler does not know.
        self.axes.len().min(D)
    }

    /// The point of these level indices.
    ///
    /// # Errors
    /// [`SpaceError::Length`] or [`SpaceError::Level`].
    pub fn point(&self, indices: &[u16]) -> Result<Point<D>, SpaceError> {
        self.check_length(indices.len())?;
        for (axis, (&index, a)) in indices.iter().zip(&self.axes).enumerate() {
            if index >= a.levels {
                return Err(SpaceError::Level { axis, levels: a.levels });
            }
        }
        Ok(Point(part::list(indices.iter().copied())))
    }

    /// The point nearest to fractions in `[0, 1]` (see [`Axis::round`]).
    ///
    /// # Errors
    /// [`SpaceError::Length`], or [`SpaceError::NotFinite`] for NaN and infinities.
    pub fn round(&self, fractions: &[f64]) -> Result<Point<D>, SpaceError> {
        self.nearest(fractions, Axis::round)
    }

    /// The point nearest to coordinates of the models (see [`Axis::decode`]).
    ///
    /// # Errors
    /// [`SpaceError::Length`], or [`SpaceError::NotFinite`] for NaN and infinities.
    pub fn decode(&self, coordinates: &[f64]) -> Result<Point<D>, SpaceError> {
        self.nearest(coordinates, Axis::decode)
    }

    /// Writes the coordinates of `point` as the models see them; positions beyond the axes are left alone.
    pub fn encode(&self, point: &Point<D>, coordinates: &mut [f64]) {
        for ((axis, &index), out) in self.axes.iter().zip(&point.0).zip(coordinates) {
            *out = axis.encode(index);
        }
    }

    /// The values of `point`, axis by axis.
    pub fn values<'a>(&'a self, point: &'a Point<D>) -> impl Iterator<Item = f64> + 'a {
        self.axes.iter().zip(&point.0).map(|(axis, &index)| axis.value(index))
    }

    /// The fractions of `point`, axis by axis.
    pub fn fractions<'a>(&'a self, point: &'a Point<D>) -> impl Iterator<Item = f64> + 'a {
        self.axes.iter().zip(&point.0).map(|(axis, &index)| axis.fraction(index))
    }

    /// Whether `point` has a valid level on every axis (a point of another space may not).
    pub fn contains(&self, point: &Point<D>) -> bool {
        point.0.len() == self.axes.len() && self.axes.iter().zip(&point.0).all(|(axis, &i)| i < axis.levels)
    }

    /// Whether a decoded space can be one.
    #[cfg(feature = "serde")]
    pub(super) fn is_consistent(&self) -> bool {
        !self.axes.is_empty()
            && self.axes.iter().all(|a| {
                let valid = a.levels > 0 && a.step > 0.0 && a.min.is_finite() && a.max().is_finite();
                valid
                    && (a.levels == 1 || a.max() > a.min)
                    && (a.scale == Scale::Linear || a.log_scaled().is_ok())
            })
    }

    fn nearest(&self, unit: &[f64], level: impl Fn(&Axis, f64) -> u16) -> Result<Point<D>, SpaceError> {
        self.check_length(unit.len())?;
        if unit.iter().any(|x| !x.is_finite()) {
            return Err(SpaceError::NotFinite);
        }
        Ok(Point(part::list(self.axes.iter().zip(unit).map(|(axis, &x)| level(axis, x)))))
    }

    fn check_length(&self, found: usize) -> Result<(), SpaceError> {
        let expected = self.axes.len();
        if found == expected { Ok(()) } else { Err(SpaceError::Length { expected, found }) }
    }
}

/// Why an axis, a space or a point cannot exist.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum SpaceError {
    /// NaN or an infinity among the numbers.
    NotFinite,
    /// `step` is not positive.
    Step {
        /// The step given.
        step: f64,
    },
    /// `min > max`.
    Empty {
        /// The lower bound given.
        min: f64,
        /// The upper bound given.
        max: f64,
    },
    /// More than 65 535 levels.
    Levels {
        /// The number of levels the axis would have.
        levels: f64,
    },
    /// A logarithmic axis must start above 0.
    LogOfNonPositive {
        /// The lower bound given.
        min: f64,
    },
    /// A space without axes.
    NoAxis,
    /// More axes than the space holds.
    Capacity {
        /// The number of axes it holds.
        capacity: usize,
    },
    /// A point with another number of coordinates than the space has axes.
    Length {
        /// Number of axes.
        expected: usize,
        /// Number of coordinates given.
        found: usize,
    },
    /// A level index beyond the last level.
    Level {
        /// The axis.
        axis: usize,
        /// Its number of levels.
        levels: u16,
    },
}

impl fmt::Display for SpaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotFinite => write!(f, "NaN or an infinity among the numbers of the search space"),
            Self::Step { step } => {
                write!(f, "step {step} is not positive; give the distance between two levels")
            }
            Self::Empty { min, max } => write!(f, "min {min} is above max {max}; swap them or fix the axis"),
            Self::Levels { levels } => {
                write!(f, "{levels} levels on one axis, at most 65535; use a larger step")
            }
            Self::LogOfNonPositive { min } => {
                write!(
                    f,
                    "a logarithmic axis must start above 0, not at {min}; raise min or use a linear axis"
                )
            }
            Self::NoAxis => write!(f, "the search space has no axis; give at least one"),
            Self::Capacity { capacity } => {
                write!(f, "more than {capacity} axes; build with a larger const parameter D")
            }
            Self::Length { expected, found } => {
                write!(f, "a point has {expected} coordinates here, not {found}")
            }
            Self::Level { axis, levels } => {
                let last = levels.saturating_sub(1);
                write!(f, "axis {axis} has levels 0 to {last}; give the number of a level, not its value")
            }
        }
    }
}

impl core::error::Error for SpaceError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cpu() -> Axis {
        Axis::new(0.1, 4.0, 0.1).unwrap()
    }

    #[test]
    fn levels_are_those_of_the_shipped_workflows() {
        assert_eq!(cpu().levels(), 40);
        assert_eq!(Axis::new(128.0, 2048.0, 64.0).unwrap().levels(), 31);
        assert!((cpu().max() - 4.0).abs() < 1e-12);
        let fixed = Axis::fixed(7.0).unwrap();
        assert_eq!((fixed.levels(), fixed.encode(0), fixed.decode(0.8), fixed.value(3)), (1, 0.0, 0, 7.0));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn axes_that_no_constructor_makes_are_not_consistent() {
        let consistent = |axis: Axis| SearchSpace::<1> { axes: Vec::from_array([axis]) }.is_consistent();
        assert!(consistent(cpu()));
        let log = Axis { scale: Scale::Log, ..cpu() };
        for wrong in [
            Axis { levels: 0, ..cpu() },
            Axis { step: -1.0, ..cpu() },
            Axis { step: f64::NAN, ..cpu() },
            Axis { min: f64::INFINITY, ..cpu() },
            Axis { min: 1e30, ..cpu() },
            Axis { min: -1.0, ..log },
            Axis { min: 1e-300, step: 1e10, ..log },
        ] {
            assert!(!consistent(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn rounding_is_half_up_on_fractions() {
        let axis = Axis::new(0.0, 4.0, 1.0).unwrap();
        for (fraction, index) in
            [(-1.0, 0), (0.12, 0), (0.125, 1), (0.374, 1), (0.375, 2), (1.0, 4), (9.0, 4)]
        {
            assert_eq!(axis.round(fraction), index, "{fraction}");
        }
        assert_eq!(axis.round(f64::NAN), 0);
    }

    #[test]
    fn what_cannot_exist_is_an_error() {
        assert_eq!(Axis::new(0.0, 1.0, 0.0), Err(SpaceError::Step { step: 0.0 }));
        assert_eq!(Axis::new(2.0, 1.0, 0.1), Err(SpaceError::Empty { min: 2.0, max: 1.0 }));
        assert_eq!(Axis::new(f64::NAN, 1.0, 0.1), Err(SpaceError::NotFinite));
        assert_eq!(
            Axis::new(0.0, 1.0, 0.1).unwrap().log_scaled(),
            Err(SpaceError::LogOfNonPositive { min: 0.0 })
        );
        assert!(matches!(Axis::new(0.0, 1.0, 1e-9), Err(SpaceError::Levels { .. })));
        // Two steps of a little more than half the largest number: the last level would round to infinity.
        assert_eq!(Axis::new(0.0, f64::MAX, 0.500_000_000_1 * f64::MAX), Err(SpaceError::NotFinite));
        // The ratio of the ends overflows, and with it every logarithmic coordinate.
        assert_eq!(Axis::new(1e-200, 1e200, 1e199).unwrap().log_scaled(), Err(SpaceError::NotFinite));
        assert_eq!(SearchSpace::<2>::new(&[]), Err(SpaceError::NoAxis));
        assert_eq!(SearchSpace::<1>::new(&[cpu(), cpu()]), Err(SpaceError::Capacity { capacity: 1 }));
        let space = SearchSpace::<2>::new(&[cpu()]).unwrap();
        assert_eq!(space.round(&[0.1, 0.2]), Err(SpaceError::Length { expected: 1, found: 2 }));
        assert_eq!(space.round(&[f64::INFINITY]), Err(SpaceError::NotFinite));
        assert_eq!(space.point(&[40]), Err(SpaceError::Level { axis: 0, levels: 40 }));
    }

    proptest! {
        #[test]
        fn encode_and_decode_are_inverse(min in 0.01f64..10.0, step in 0.01f64..5.0, levels in 1u16..300, log: bool) {
            let mut axis = Axis::new(min, min + step * f64::from(levels - 1), step).unwrap();
            if log {
                axis = axis.log_scaled().unwrap();
            }
            prop_assert_eq!(axis.levels(), levels);
            for index in 0..levels {
                let coordinate = axis.encode(index);
                prop_assert!((0.0..=1.0 + 1e-12).contains(&coordinate));
                prop_assert_eq!(axis.decode(coordinate), index);
                prop_assert_eq!(axis.round(axis.fraction(index)), index);
            }
        }
    }
}

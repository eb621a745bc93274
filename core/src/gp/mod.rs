//! Exact Gaussian processes.

use core::fmt;

/// Why a Gaussian process cannot be fitted or asked.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum GpError {
    /// More observations or dimensions than the process holds.
    Capacity {
        /// The number it holds.
        capacity: usize,
    },
    /// Slices whose lengths do not belong together.
    Length {
        /// Length expected.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// NaN or an infinity among inputs or observations, or a negative noise variance.
    NotFinite {
        /// Index of the observation.
        index: usize,
    },
    /// No observation.
    Empty,
    /// The covariance matrix is not positive definite even with the largest jitter.
    NotPositiveDefinite,
}

impl fmt::Display for GpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity { capacity } => {
                write!(f, "more than the {capacity} the process holds; build with a larger const parameter")
            }
            Self::Length { expected, found } => write!(f, "{found} numbers where {expected} belong"),
            Self::NotFinite { index } => {
                write!(f, "observation {index} is not finite or has a negative variance; leave it out")
            }
            Self::Empty => write!(f, "no observation; give at least one"),
            Self::NotPositiveDefinite => {
                write!(f, "the covariance matrix is not positive definite; state a larger noise variance")
            }
        }
    }
}

impl core::error::Error for GpError {}

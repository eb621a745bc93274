//! Error policy and the one error that several modules share.
//!
//! Every operation has its own small error enum beside its function: `Copy`, `PartialEq`, `#[non_exhaustive]`, data
//! instead of strings, `Display` that says what was wrong and how to mend it, and [`core::error::Error`].

use core::fmt;

/// A fixed-capacity buffer is full; `capacity` is what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapacityError {
    /// The number of items the buffer holds.
    pub capacity: usize,
}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "full: the capacity of {} is reached; build with a larger const parameter", self.capacity)
    }
}

impl core::error::Error for CapacityError {}

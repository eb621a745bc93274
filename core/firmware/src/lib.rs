//! What the microcontroller and the development machine both compute, so that their answers can be compared bit by
//! bit: a whole study of 4 axes and 32 trials, and an hour of forecasts.
#![no_std]
#![forbid(unsafe_code)]

mod forecast;
mod study;

pub use forecast::forecast;
pub use study::{Memory, study};

/// What went wrong: the step that failed. A microcontroller has no use for more.
pub type Failure = &'static str;

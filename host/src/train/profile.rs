//! What training learns about one function by itself, with memory for it.

use aquatope_core::forecast::features::{PERIOD_WINDOW, Profile};

/// Mean and strongest period of `peaks`, the training part of one function.
pub fn fit(peaks: &[u32]) -> Profile {
    Profile::of(peaks, &mut vec![0.0; peaks.len().min(PERIOD_WINDOW)])
}

//! The words of one error; those of the others are not proven.

use crate::keep;
use core::fmt::{Display, Result, Write};

/// Writes an error's words to anything that takes words.
fn show<E: Display>(error: &E, out: &mut dyn Write) -> Result {
    write!(out, "{error}")
}

pub fn keep() {
    keep! {
        show::<aquatope_core::error::CapacityError>: fn(_, _) -> _,
    }
}

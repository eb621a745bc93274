//! The one error of reading text: where, what is wrong, and how to mend it.

use std::fmt;

/// A fault of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The document and the place in it.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, what, mend } = self;
        write!(f, "{at}: {what}; {mend}")
    }
}

impl std::error::Error for Fault {}

/// A result with a [`Fault`].
pub type Result<T> = std::result::Result<T, Fault>;

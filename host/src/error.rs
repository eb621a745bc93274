//! The one error the command line prints: what, where, and how to mend it.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;

use aquatope_workflow::fault::Fault;

/// Why a command stopped. `Input` ends the process with code 2, everything else with 1.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user's input is at fault.
    #[error("{at}: {what}; {mend}")]
    Input {
        /// File, line and column, or the option.
        at: String,
        /// What is wrong.
        what: String,
        /// How to mend it.
        mend: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}; {mend}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
        /// How to mend it.
        mend: String,
    },
    /// The run itself failed.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// A fault of the user's input: `at` names file:line:column or the option.
    pub fn input(at: impl Into<String>, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Input { at: at.into(), what: what.into(), mend: mend.into() }
    }

    /// A file that cannot be read or written.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error, mend: impl Into<String>) -> Self {
        Self::Io { path: path.into(), source, mend: mend.into() }
    }

    /// The process exit code: 2 for bad input (unreadable and unwritable files included), 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input { .. } | Self::Io { .. } => 2,
            Self::Failed(_) => 1,
        }
    }
}

impl From<Fault> for Error {
    fn from(Fault { at, what, mend }: Fault) -> Self {
        Self::Input { at, what, mend }
    }
}

/// Say `text` on standard error. A broken pipe there is no reason to stop.
pub fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A result with the command line's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

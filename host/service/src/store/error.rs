//! What can be wrong with the state file, and how to mend it.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use aquatope_workflow::fault::Fault;

use super::LogError;
use crate::platform::fault;

/// Why the store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or the quota, is full.
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it open.
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Its contents make no sense.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It was written by another program or version.
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        format: String,
    },
    /// The log it is a copy of failed.
    Log(LogError),
    /// The system failed to read or write it.
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault().fmt(f)
    }
}

impl StoreError {
    /// Where, what is wrong, and how to mend it.
    pub(crate) fn fault(&self) -> Fault {
        let (what, mend) = match self {
            Self::Full { .. } => (
                "no space left".to_owned(),
                "free some: what is not stored yet is kept in memory and tried again",
            ),
            Self::InUse { .. } => {
                ("in use by another process".to_owned(), "stop it, or give this one its own state.directory")
            }
            Self::Damaged { what, .. } => (
                format!("damaged, or not a state file of Aquatope ({what})"),
                "restore a copy, or move it away: the service then starts without history and reads what Kafka still has",
            ),
            Self::Foreign { format, .. } => (
                format!("written as `{format}`, which this version does not read"),
                "move it away or use the other version",
            ),
            Self::Log(error) => (
                error.to_string(),
                match error {
                    LogError::Unavailable(_) => "look at it and its brokers",
                    LogError::Lost => "nothing is to be done: it acts now",
                    LogError::Foreign(_) => "use the version that wrote it, or another cluster.topic",
                },
            ),
            Self::Io { source, .. } => (
                source.to_string(),
                "check the disk and the permissions of state.directory, or set it to a folder the service may write to",
            ),
        };
        fault(&self.at(), what, mend)
    }

    fn at(&self) -> String {
        match self {
            Self::Full { path }
            | Self::InUse { path }
            | Self::Damaged { path, .. }
            | Self::Foreign { path, .. }
            | Self::Io { path, .. } => path.display().to_string(),
            Self::Log(_) => "state topic".to_owned(),
        }
    }

    /// Whether another instance has taken the state over.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Log(LogError::Lost))
    }

    pub(super) fn new(path: &Path, error: redb::Error) -> Self {
        let path = path.to_path_buf();
        match error {
            redb::Error::Io(source) => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    Self::Full { path }
                }
                // How redb says that the first bytes are not its own, and that the last ones are missing.
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                    Self::Damaged { path, what: source.to_string() }
                }
                _ => Self::Io { path, source },
            },
            redb::Error::DatabaseAlreadyOpen => Self::InUse { path },
            // The file is as it was; it is opened anew at the next attempt.
            error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
                Self::Io { path, source: io::Error::other(error.to_string()) }
            }
            other => Self::Damaged { path, what: other.to_string() },
        }
    }
}

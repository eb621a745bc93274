//! What can be wrong with the state file, and how to mend it.

use std::io;
use std::path::{Path, PathBuf};

use super::LogError;

/// Why the store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or the quota, is full.
    #[error("{}: no space left; free some: what is not stored yet is kept in memory and tried again", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it open.
    #[error("{}: in use by another process; stop it, or give this one its own state directory", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Its contents make no sense.
    #[error(
        "{}: damaged, or not a state file of Aquatope ({what}); restore a copy, or move it away: the service then starts \
         without history and reads what Kafka still has",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It was written by another program or version.
    #[error("{}: written as `{format}`, which this version does not read; move it away or use the other version", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        format: String,
    },
    /// The log it is a copy of failed.
    #[error("state topic: {0}")]
    Log(LogError),
    /// The system failed to read or write it.
    #[error("{}: {source}; check the disk and the permissions of the state directory", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl StoreError {
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

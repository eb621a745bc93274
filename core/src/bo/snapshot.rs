//! A study as bytes: versioned, with a checksum. Restoring and then asking gives what asking would have given.

use super::model::Model;
use super::study::Study;
use crate::snapshot::{Format, SnapshotError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Magic word and version of a study.
pub const STUDY: Format = Format { magic: *b"AQST", version: 2 };

impl<M: Model<D, F> + Serialize, const D: usize, const N: usize, const F: usize> Study<M, D, N, F> {
    /// Writes the study into `buffer` and returns the bytes used.
    ///
    /// # Errors
    /// [`SnapshotError::BufferFull`].
    pub fn snapshot<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], SnapshotError> {
        STUDY.encode(self, buffer)
    }
}

impl<M: Model<D, F> + DeserializeOwned, const D: usize, const N: usize, const F: usize> Study<M, D, N, F> {
    /// The study that [`Study::snapshot`] wrote, by a build with the same or smaller capacities. It brings its own space,
    /// objective and workflow; where these are known, [`Study::resume`] checks them.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let study: Self = STUDY.decode(bytes)?;
        if study.is_consistent() { Ok(study) } else { Err(SnapshotError::Body) }
    }

    /// Goes on where [`Study::snapshot`] was called: takes back trials, baseline and what the model had learned.
    ///
    /// # Errors
    /// Those of [`Study::restore`], and [`SnapshotError::OtherTask`] when the snapshot is of another space, objective or
    /// design, or of a model that was set up otherwise (another workflow, other prices). The study is then unchanged.
    pub fn resume(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let saved = Self::restore(bytes)?;
        if !saved.has_task_of(self) {
            return Err(SnapshotError::OtherTask);
        }
        *self = saved;
        Ok(())
    }
}

//! A study as bytes: versioned, with a checksum. Restoring and then asking gives what asking would have given.

use super::model::Model;
use super::study::Study;
use crate::snapshot::{Format, SnapshotError};
use core::fmt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Magic word and version of a study.
pub const STUDY: Format = Format { magic: *b"AQST", version: 3 };

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
    /// The study that [`Study::snapshot`] wrote, by a build with the same or smaller capacities; those that the answers of
    /// its model depend on must be the same (see [`BlackBox`](super::blackbox::BlackBox)). It brings its own space, objective
    /// and workflow; where these are known, [`Study::resume`] checks them.
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
    /// Those of [`Study::restore`], and [`SnapshotError::OtherTask`] when a [`TaskPart`] differs. The study is then
    /// unchanged.
    pub fn resume(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let saved = Self::restore(bytes)?;
        if let Some(part) = saved.other_part(self) {
            return Err(SnapshotError::OtherTask(part));
        }
        *self = saved;
        Ok(())
    }
}

/// A part of what a study is to do. All are compared before it goes on with what another has learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskPart {
    /// The search space: axes and their order.
    Space,
    /// The latency limit and the confidence.
    Objective,
    /// How many quasi-random trials a study begins with, and their seed.
    Design,
    /// What the model was made with, all of it. The black box: priors, sampling with how hard it searches, test of
    /// anomalies. The structured model: workflow, prices, resources, and the black box it falls back on.
    Model,
}

impl fmt::Display for TaskPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Space => "search space",
            Self::Objective => "latency limit or confidence",
            Self::Design => "number or seed of quasi-random trials",
            Self::Model => "model (its workflow, prices, resources, priors, sampling or test of anomalies)",
        })
    }
}

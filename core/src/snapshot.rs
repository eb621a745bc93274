//! Serialised things: a magic word, a version, a checksum, and a postcard body.
//!
//! ```text
//! magic (4 bytes) | version (u16) | length of the body (u32) | CRC-32 of the body (u32) | body     all little endian
//! ```
//!
//! Anything foreign, cut short, altered, or of another version is an error value.

use crate::bo::snapshot::TaskPart;
use crate::checksum::crc32;
use core::fmt;
use serde::Serialize;
use serde::de::DeserializeOwned;

const HEADER: usize = 14;

/// What a snapshot is of, and in which layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The first four bytes.
    pub magic: [u8; 4],
    /// The version of the layout; raise it with every change of the body.
    pub version: u16,
}

impl Format {
    /// Writes `value` into `buffer` and returns the bytes used.
    ///
    /// # Errors
    /// [`SnapshotError::BufferFull`].
    pub fn encode<'b, T: Serialize>(
        self,
        value: &T,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], SnapshotError> {
        let full = SnapshotError::BufferFull { bytes: buffer.len() };
        let (header, body) = buffer.split_at_mut_checked(HEADER).ok_or(full)?;
        let body = postcard::to_slice(value, body).map_err(|_| full)?;
        let length = body.len();
        header[..4].copy_from_slice(&self.magic);
        header[4..6].copy_from_slice(&self.version.to_le_bytes());
        header[6..10].copy_from_slice(&(length as u32).to_le_bytes());
        header[10..14].copy_from_slice(&crc32(&[body]).to_le_bytes());
        buffer.get(..HEADER + length).ok_or(full)
    }

    /// Reads what [`Format::encode`] wrote; bytes behind it, such as the rest of a flash page, are left alone.
    ///
    /// # Errors
    /// Every [`SnapshotError`] but [`SnapshotError::BufferFull`].
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, SnapshotError> {
        let (header, body) = bytes.split_at_checked(HEADER).ok_or(SnapshotError::Truncated)?;
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if header[..4] != self.magic {
            return Err(SnapshotError::Foreign);
        }
        let found = u16::from_le_bytes([header[4], header[5]]);
        if found != self.version {
            return Err(SnapshotError::Version { expected: self.version, found });
        }
        let body = body.get(..word(6) as usize).ok_or(SnapshotError::Truncated)?;
        if crc32(&[body]) != word(10) {
            return Err(SnapshotError::Checksum);
        }
        match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            _ => Err(SnapshotError::Body),
        }
    }
}

/// Why a snapshot cannot be written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The buffer is too small.
    BufferFull {
        /// Its size.
        bytes: usize,
    },
    /// The bytes end before the snapshot does.
    Truncated,
    /// The bytes are not such a snapshot.
    Foreign,
    /// Another version wrote it.
    Version {
        /// The version this program reads.
        expected: u16,
        /// The version of the bytes.
        found: u16,
    },
    /// The body does not match its checksum.
    Checksum,
    /// The body does not decode, or holds what cannot be: written with other capacities, or altered.
    Body,
    /// It is of another task than the study that is to go on: this part differs, and perhaps others.
    OtherTask(TaskPart),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferFull { bytes } => {
                write!(f, "the snapshot does not fit into {bytes} bytes; give a larger buffer")
            }
            Self::Truncated => write!(f, "the snapshot is cut short; use an older copy"),
            Self::Foreign => write!(f, "this is no such snapshot; check the file name"),
            Self::Version { expected, found } => {
                write!(
                    f,
                    "the snapshot has version {found}, this program reads {expected}; use the program that wrote it"
                )
            }
            Self::Checksum => write!(f, "the snapshot's checksum does not match; use an older copy"),
            Self::Body => {
                write!(f, "the snapshot does not decode; was it written by a build with other capacities?")
            }
            Self::OtherTask(part) => {
                write!(
                    f,
                    "the snapshot is of a study with another {part}; begin a new study, or give it the old one"
                )
            }
        }
    }
}

impl core::error::Error for SnapshotError {}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format { magic: *b"TEST", version: 3 };

    #[test]
    fn every_damage_is_noticed() {
        let mut buffer = [0; 64];
        let bytes = FORMAT.encode(&(7u32, 1.5f64), &mut buffer).unwrap();
        assert_eq!(FORMAT.decode(bytes), Ok((7u32, 1.5f64)));
        for end in 0..bytes.len() {
            assert_eq!(FORMAT.decode::<(u32, f64)>(&bytes[..end]), Err(SnapshotError::Truncated));
        }
        for at in 0..bytes.len() {
            let mut altered = bytes.to_vec();
            altered[at] ^= 0x10;
            assert!(FORMAT.decode::<(u32, f64)>(&altered).is_err(), "byte {at}");
        }
        assert_eq!(FORMAT.decode::<u32>(bytes), Err(SnapshotError::Body), "the second number is left over");
        let older = Format { version: 2, ..FORMAT };
        assert_eq!(older.decode::<(u32, f64)>(bytes), Err(SnapshotError::Version { expected: 2, found: 3 }));
        assert!(matches!(FORMAT.encode(&1u8, &mut [0; 10]), Err(SnapshotError::BufferFull { bytes: 10 })));
    }
}

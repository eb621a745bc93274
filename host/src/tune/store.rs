//! The state file of a study: one checked record, replaced as a whole, so that a process killed at any instant
//! leaves the old record or the new one and never half of one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use aquatope_core::checksum::crc32;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;

use super::trial::{Outcome, Trial};

/// Everything a study must remember.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Record {
    /// What the study is of, as (name, value); a file is only continued under equal settings.
    pub settings: Vec<(String, String)>,
    /// Measurements of the starting configuration.
    pub profile: Vec<Outcome>,
    /// All trials; an index is an id.
    pub trials: Vec<Trial>,
    /// Completed calls of ask; every one draws from its own random stream.
    pub asks: u64,
    /// The sampler's own memory.
    pub sampler: Vec<u8>,
}

/// Where a record is kept. Holds a lock, so that two processes cannot continue one study.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    _lock: File,
}

const MAGIC: [u8; 8] = *b"AQSTUDY\n";
const VERSION: u32 = 1;
/// Magic, version, CRC-32 of the body, length of the body.
const HEADER: usize = 8 + 4 + 4 + 8;

impl Store {
    /// Open the state file at `path`: the store, and the record when the file exists.
    ///
    /// # Errors
    /// A file in use, unreadable, foreign, truncated, altered or of another version; it is left untouched.
    pub fn open(path: &Path) -> Result<(Self, Option<Record>)> {
        let lock_path = beside(path, "lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock =
            lock.map_err(|source| Error::io(&lock_path, source, "name a folder that can be written"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let (what, mend) =
                    ("another process is running this study", "wait for it to end, or name another file");
                return Err(Error::input(path.display().to_string(), what, mend));
            }
            Err(TryLockError::Error(source)) => {
                return Err(Error::io(lock_path, source, "name a folder whose file system has locks"));
            }
        }
        // Only now: what was read before the lock may have been replaced by the process that held it.
        let record = match fs::read(path) {
            Ok(bytes) => Some(
                decode(&bytes)
                    .map_err(|(what, mend)| Error::input(path.display().to_string(), what, mend))?,
            ),
            Err(missing) if missing.kind() == ErrorKind::NotFound => None,
            Err(source) => return Err(Error::io(path, source, "name a file that can be read")),
        };
        Ok((Self { path: path.to_path_buf(), _lock: lock }, record))
    }

    /// Replace the record, whole or not at all.
    pub fn save(&self, record: &Record) -> Result<()> {
        // Under the lock one fixed temporary name is safe, and a killed process leaves no litter behind.
        files::replace(&self.path, &beside(&self.path, "tmp"), &encode(record))
    }
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(extension);
    path.with_file_name(name)
}

fn encode(record: &Record) -> Vec<u8> {
    let body = postcard::to_stdvec(record).expect("a record of vectors and numbers always serialises");
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(crc32(&[&body]).to_le_bytes());
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(body);
    bytes
}

fn decode(bytes: &[u8]) -> std::result::Result<Record, (String, &'static str)> {
    const OTHER_FILE: &str = "name another file, or restore this one from a copy";
    if bytes.get(..8) != Some(&MAGIC) {
        return Err(("is not the state file of a study".into(), "name another file"));
    }
    let Some((header, body)) = bytes.split_at_checked(HEADER) else {
        return Err(("is truncated within its header".into(), OTHER_FILE));
    };
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if word(8) != VERSION {
        let what = format!("has version {}, this program reads version {VERSION}", word(8));
        return Err((what, "continue it with the program that wrote it"));
    }
    let length = u64::from(word(16)) | u64::from(word(20)) << 32;
    if body.len() as u64 != length {
        let what = if (body.len() as u64) < length { "is truncated" } else { "has bytes behind its end" };
        return Err((format!("{what}: {} of {length} bytes", body.len()), OTHER_FILE));
    }
    if crc32(&[body]) != word(12) {
        return Err(("is damaged: its checksum does not match".into(), OTHER_FILE));
    }
    postcard::from_bytes(body).map_err(|_| ("is damaged: its body does not decode".into(), OTHER_FILE))
}

#[cfg(test)]
mod tests {
    use super::super::space::Point;
    use super::super::trial::TrialState;
    use super::*;

    fn record() -> Record {
        let outcome = Outcome {
            cost: 1.5,
            latency_s: 2.0,
            cost_variance: None,
            latency_variance: Some(0.1),
            durations: vec![1.0],
        };
        Record {
            settings: vec![("seed".into(), "3".into())],
            profile: vec![outcome.clone()],
            trials: vec![
                Trial { point: Point(vec![3, 4]), state: TrialState::Complete(outcome) },
                Trial { point: Point(vec![0, 0]), state: TrialState::Failed("no answer".into()) },
                Trial { point: Point(vec![9, 1]), state: TrialState::Running },
            ],
            asks: 1,
            sampler: vec![1, 2, 3],
        }
    }

    #[test]
    fn every_damage_is_noticed() {
        let bytes = encode(&record());
        assert_eq!(decode(&bytes).unwrap(), record());
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 0x20;
            assert!(decode(&altered).is_err(), "byte {at} altered");
        }
    }

    #[test]
    fn other_versions_are_named() {
        let mut bytes = encode(&record());
        bytes[8] = 7;
        assert_eq!(decode(&bytes).unwrap_err().0, "has version 7, this program reads version 1");
    }
}

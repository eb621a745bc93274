//! The file of a trained model, light or hybrid, and the checkpoint of a run that goes on later.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | magic `AQLM` |
//! | 4..8 | version, little-endian like all numbers |
//! | 8..12 | length of the weight file |
//! | 12..16 | CRC-32 of everything from byte 16 |
//! | 16.. | the weight file (see `aquatope_core::nn::weights`), then [`Origin`] and the functions' profiles as JSON |
//!
//! A checkpoint has the same head with the magic `AQCP`; its body is JSON and has no weight file (length 0). It is read
//! by the program that wrote it, on the same trace.

use std::fs;
use std::path::Path;

use aquatope_core::forecast::features::Profile;
use aquatope_core::forecast::hybrid::HybridModel;
use aquatope_core::forecast::light::LightModel;
use aquatope_core::nn::weights::{ModelKind, Weights, WeightsError};
use flate2::Crc;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::light::{Series, Trained};
use crate::error::{Error, Result};
use crate::files;
use crate::forecast::short_history;
use crate::trace::Trace;

/// The first bytes of a model file.
pub const MAGIC: [u8; 4] = *b"AQLM";
/// The first bytes of a checkpoint.
const CHECKPOINT: [u8; 4] = *b"AQCP";
const VERSION: u32 = 2;
const HEADER: usize = 16;

/// What a model was trained on: enough to tell whether a test would be on minutes it has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// First minute that training did not see, of those validated on while training as well.
    pub seen_until: usize,
    /// Tells the recording from others: checksums of the functions' names and what they did in the first hour, two
    /// hours, and so on up to a day, as far as `seen_until`.
    pub recording: Vec<u32>,
    /// The functions' names.
    pub functions: Vec<String>,
    /// Which of them had less than a day of history (see [`crate::forecast::short_history`]).
    pub new: Vec<bool>,
}

impl Origin {
    /// Training on the minutes of `trace` before `seen_until`.
    pub fn of(trace: &Trace, seen_until: usize) -> Self {
        let functions = trace.functions.iter().map(|function| function.name.clone()).collect();
        let new = trace.counts.iter().map(|counts| short_history::first_minute(counts, seen_until).is_some());
        Self { seen_until, recording: recording(trace, seen_until), functions, new: new.collect() }
    }

    /// Whether `trace` has these functions, and no test from `minute` on is on minutes that training has seen.
    ///
    /// # Errors
    /// What is wrong, and how to mend it.
    pub fn suits(&self, trace: &Trace, minute: usize) -> std::result::Result<(), (String, String)> {
        let functions = &trace.functions;
        let other = self.functions.iter().zip(functions).find(|(name, function)| **name != function.name);
        let what = match other {
            Some((name, function)) => {
                format!("was trained for function `{name}` where the trace has `{}`", function.name)
            }
            None if self.functions.len() != functions.len() => {
                format!(
                    "was trained for {} functions and the trace has {}",
                    self.functions.len(),
                    functions.len()
                )
            }
            None if minute < self.first_unseen(trace) => {
                return Err((
                    format!(
                        "was trained on the first {} minutes of this trace, and the test begins at minute {minute}",
                        self.seen_until
                    ),
                    "train it on fewer days (--train-days), or test on later minutes".into(),
                ));
            }
            None => return Ok(()),
        };
        Err((what, "train the model on this trace".into()))
    }

    /// First minute of `trace` that training has not seen.
    pub fn first_unseen(&self, trace: &Trace) -> usize {
        if self.is_of(trace) { self.seen_until } else { 0 }
    }

    /// Whether `trace` is the recording that training has seen, as far as it goes.
    fn is_of(&self, trace: &Trace) -> bool {
        let mut both = self.recording.iter().zip(recording(trace, self.seen_until)).peekable();
        both.peek().is_some() && both.all(|(&one, other)| one == other)
    }
}

/// A model with what it was trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFile {
    /// The model.
    pub model: Trained,
    /// What it was trained on.
    pub origin: Origin,
}

impl ModelFile {
    /// Write it to `path`, whole or not at all.
    ///
    /// # Errors
    /// What the system refused.
    pub fn write(&self, path: &Path) -> Result<()> {
        let about = serde_json::to_vec(&(&self.origin, &self.model.profiles));
        let about = about.map_err(|e| Error::Failed(e.to_string()))?;
        files::write(path, &sealed(MAGIC, self.model.weight_file(), &about))
    }

    /// Read it from `path`.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or is something else.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes =
            fs::read(path).map_err(|e| Error::io(path, e, "give a file written by `aquatope train`"))?;
        Self::parse(&bytes).map_err(|what| {
            Error::input(path.display().to_string(), what, "train the model again with `aquatope train`")
        })
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        let (weights, about) = opened(bytes, MAGIC, "model file")?;
        let words =
            weights.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let (origin, profiles): (Origin, Vec<Profile>) =
            serde_json::from_slice(about).map_err(|e| e.to_string())?;
        let model = Trained { weights: words.collect(), profiles };
        check(&model).map_err(|e| e.to_string())?;
        Ok(Self { model, origin })
    }
}

fn check(model: &Trained) -> std::result::Result<(), WeightsError> {
    let weights = Weights::parse(model.weight_file())?;
    match weights.header().kind {
        ModelKind::Hybrid => HybridModel::new(&weights).map(drop),
        _ => LightModel::new(&weights).map(drop),
    }
}

/// A stopped run on disk.
#[derive(Serialize, Deserialize)]
struct Saved<O, C> {
    options: O,
    /// Tells the training data from any other.
    data: u32,
    checkpoint: C,
}

/// Where a run with `options` on the minutes of `series` before `end` keeps its checkpoint.
pub struct CheckpointFile<'a, O> {
    /// The file.
    pub path: &'a Path,
    /// What the run was asked for.
    pub options: O,
    /// What it trains on.
    pub series: &'a [Series<'a>],
    /// First minute that it does not see.
    pub end: usize,
}

impl<O: Serialize + DeserializeOwned + PartialEq> CheckpointFile<'_, O> {
    /// Save the run as it stands, whole or not at all.
    ///
    /// # Errors
    /// What the system refused.
    pub fn save(&self, checkpoint: &impl Serialize) -> Result<()> {
        let saved = Saved { options: &self.options, data: fingerprint(self.series, self.end), checkpoint };
        let body = serde_json::to_vec(&saved).map_err(|e| Error::Failed(e.to_string()))?;
        files::write(self.path, &sealed(CHECKPOINT, &[], &body))
    }

    /// The run that was saved, if there is one.
    ///
    /// # Errors
    /// A checkpoint of other data or options, or a damaged one.
    pub fn load<C: DeserializeOwned>(&self) -> Result<Option<C>> {
        let bytes = match fs::read(self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(self.path, e, "check its permissions")),
        };
        let refused = |what: String| {
            Error::input(self.path.display().to_string(), what, "delete it to train from the start")
        };
        let (_, body) = opened(&bytes, CHECKPOINT, "checkpoint").map_err(refused)?;
        let saved: Saved<O, C> = serde_json::from_slice(body)
            .map_err(|e| refused(format!("not a checkpoint of this model ({e})")))?;
        if saved.options != self.options || saved.data != fingerprint(self.series, self.end) {
            return Err(refused("the checkpoint of a run with other data or options".into()));
        }
        Ok(Some(saved.checkpoint))
    }

    /// Remove the checkpoint of a run that is complete: it would only be in the way of the next one.
    pub fn remove(&self) {
        let _ = fs::remove_file(self.path);
    }
}

/// The bytes of a file: its head, then `weights` and `rest`.
fn sealed(magic: [u8; 4], weights: &[u8], rest: &[u8]) -> Vec<u8> {
    let body = [weights, rest].concat();
    let numbers = [VERSION, weights.len() as u32, checksum(&body)];
    let mut bytes = magic.to_vec();
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend(body);
    bytes
}

/// What [`sealed`] put together, when nothing happened to it since.
fn opened<'b>(
    bytes: &'b [u8],
    magic: [u8; 4],
    kind: &str,
) -> std::result::Result<(&'b [u8], &'b [u8]), String> {
    let Some((head, body)) = bytes.split_at_checked(HEADER).filter(|(head, _)| head[..4] == magic) else {
        return Err(format!("not a {kind}"));
    };
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if number(4) != VERSION {
        return Err(format!("a {kind} of version {}, this build reads {VERSION}", number(4)));
    }
    let Some(parts) = body.split_at_checked(number(8) as usize) else {
        return Err("the file is cut short".into());
    };
    if checksum(body) != number(12) {
        return Err("the file is damaged (its checksum differs)".into());
    }
    Ok(parts)
}

fn fingerprint(series: &[Series<'_>], train_end: usize) -> u32 {
    let mut crc = Crc::new();
    for one in series {
        crc.update(&(one.parent.map_or(0, |p| p + 1) as u64).to_le_bytes());
        for values in [one.counts, one.peaks] {
            crc.update(bytemuck::cast_slice(&values[..train_end.min(values.len())]));
        }
    }
    crc.sum()
}

/// See [`Origin::recording`]. Peaks are left out: those of the Azure schema depend on a seed.
fn recording(trace: &Trace, minutes: usize) -> Vec<u32> {
    const LENGTHS: [usize; 6] = [60, 120, 240, 480, 960, 1440];
    let known = LENGTHS.into_iter().filter(|&length| length <= minutes.min(trace.minutes));
    let of_first = |length: usize| {
        let mut crc = Crc::new();
        for (function, counts) in trace.functions.iter().zip(&trace.counts) {
            crc.update(function.name.as_bytes());
            crc.update(bytemuck::cast_slice(&counts[..length.min(counts.len())]));
        }
        crc.sum()
    };
    known.map(of_first).collect()
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::light::{Options, Outcome, train};
    use std::ops::ControlFlow;

    #[test]
    fn a_model_is_read_back_and_every_damage_is_refused() {
        let peaks: Vec<u32> = (0..400).map(|m| u32::from(m % 5 == 0)).collect();
        let series = [Series { counts: &peaks, peaks: &peaks, parent: None }];
        let options = Options { hidden: 8, rows: 512, batch: 128, ..Options::default() };
        let trained = train(&series, 400, &options, None, |_| ControlFlow::Continue(()), |_| {});
        let Ok(Outcome::Finished(model)) = trained else { panic!("training did not finish") };
        let path = std::env::temp_dir().join(format!("aquatope-light-{}.aqlm", std::process::id()));
        let origin =
            Origin { seen_until: 400, recording: vec![7], functions: vec!["tick".into()], new: vec![true] };
        let file = ModelFile { model, origin };
        file.write(&path).expect("a writable temporary folder");
        assert_eq!(ModelFile::read(&path).expect("our own file"), file);
        let bytes = fs::read(&path).expect("our own file");
        fs::remove_file(&path).expect("our own file");
        for cut in [0, 3, 15, 16, 500, bytes.len() - 1] {
            assert!(ModelFile::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in (0..bytes.len()).step_by(97) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(ModelFile::parse(&damaged).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_test_on_minutes_seen_in_training_is_refused() {
        let mut trace = crate::generate::trace(1, 1);
        let origin = Origin::of(&trace, 900);
        assert_eq!(origin.suits(&trace, 900), Ok(()));
        let (what, _) = origin.suits(&trace, 899).expect_err("minute 899 was seen");
        assert!(what.contains("first 900 minutes") && what.contains("begins at minute 899"), "{what}");
        // As well when only what came before the test is at hand.
        assert!(origin.suits(&trace.before(200), 200).is_err());
        // Another recording of the same functions: its minutes are others.
        trace.counts[0][5] += 1;
        assert_eq!(origin.suits(&trace, 0), Ok(()));
        trace.functions[3].name.push('x');
        assert!(origin.suits(&trace, 900).is_err());
    }

    #[test]
    fn a_checkpoint_of_other_data_or_with_damage_is_refused() {
        let (peaks, other) = (vec![1; 400], vec![2; 400]);
        let path = std::env::temp_dir().join(format!("aquatope-light-{}.checkpoint", std::process::id()));
        let series = |peaks| [Series { counts: peaks, peaks, parent: None }];
        let options = Options::default();
        let checkpoint = vec![0.25; 9];
        let (same, changed) = (series(&peaks), series(&other));
        let of = |options, series| CheckpointFile { path: &path, options, series, end: 400 };
        let load = |options, series| of(options, series).load::<Vec<f32>>();
        assert!(matches!(load(options, &same), Ok(None)));
        of(options, &same).save(&checkpoint).expect("a temporary folder");
        assert_eq!(load(options, &same).expect("our own file"), Some(checkpoint));
        assert!(load(options, &changed).is_err());
        assert!(load(Options { seed: 2, ..options }, &same).is_err());
        let mut bytes = fs::read(&path).expect("our own file");
        // A digit of a weight: JSON as good as before, and another number.
        let digit = bytes.iter().rposition(|&b| b == b'5').expect("a weight");
        bytes[digit] = b'7';
        fs::write(&path, bytes).expect("our own file");
        let damaged = load(options, &same).expect_err("a weight was changed").to_string();
        assert!(damaged.contains("checksum"), "{damaged}");
        of(options, &same).remove();
        assert!(!path.exists());
    }
}

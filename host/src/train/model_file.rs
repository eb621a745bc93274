//! The file of a trained model, light or hybrid, and the checkpoint of a run that was stopped.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | magic `AQLM` |
//! | 4..8 | version, little-endian like all numbers |
//! | 8..12 | length of the weight file |
//! | 12..16 | CRC-32 of everything from byte 16 |
//! | 16.. | the weight file (see `aquatope_core::nn::weights`), then the functions' names and profiles as JSON |
//!
//! A checkpoint is JSON: it is read by the program that wrote it, on the same trace.

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

/// The first bytes of a model file.
pub const MAGIC: [u8; 4] = *b"AQLM";
const VERSION: u32 = 1;
const HEADER: usize = 16;

/// Write `model` to `path`, whole or not at all; `names` are the functions' names.
///
/// # Errors
/// What the system refused.
pub fn write(path: &Path, model: &Trained, names: &[String]) -> Result<()> {
    let named: Vec<(&String, &Profile)> = names.iter().zip(&model.profiles).collect();
    let mut body = model.weight_file().to_vec();
    body.extend(serde_json::to_vec(&named).map_err(|e| Error::Failed(e.to_string()))?);
    let numbers = [VERSION, model.weight_file().len() as u32, checksum(&body)];
    let mut bytes = MAGIC.to_vec();
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes.extend(body);
    files::write(path, &bytes)
}

/// Read a model and its functions' names.
///
/// # Errors
/// A file that cannot be read, is damaged, or is something else.
pub fn read(path: &Path) -> Result<(Trained, Vec<String>)> {
    let bytes = fs::read(path).map_err(|e| Error::io(path, e, "give a file written by `aquatope train`"))?;
    parse(&bytes).map_err(|what| {
        Error::input(path.display().to_string(), what, "train the model again with `aquatope train`")
    })
}

fn parse(bytes: &[u8]) -> std::result::Result<(Trained, Vec<String>), String> {
    let Some((head, body)) = bytes.split_at_checked(HEADER).filter(|(head, _)| head[..4] == MAGIC) else {
        return Err("not a model file".into());
    };
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if number(4) != VERSION {
        return Err(format!("model file of version {}, this build reads {VERSION}", number(4)));
    }
    let Some((weights, functions)) = body.split_at_checked(number(8) as usize) else {
        return Err("the file is cut short".into());
    };
    if checksum(body) != number(12) {
        return Err("the file is damaged (its checksum differs)".into());
    }
    let words = weights.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let named: Vec<(String, Profile)> = serde_json::from_slice(functions).map_err(|e| e.to_string())?;
    let (names, profiles) = named.into_iter().unzip();
    let model = Trained { weights: words.collect(), profiles };
    check(&model).map_err(|e| e.to_string())?;
    Ok((model, names))
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
    version: u32,
    options: O,
    /// Tells the training data from any other.
    data: u32,
    checkpoint: C,
}

/// Save a run with `options` on the minutes of `series` before `end`, which was stopped.
///
/// # Errors
/// What the system refused.
pub fn save_checkpoint(
    path: &Path,
    options: impl Serialize,
    series: &[Series<'_>],
    end: usize,
    checkpoint: impl Serialize,
) -> Result<()> {
    let saved = Saved { version: VERSION, options, data: fingerprint(series, end), checkpoint };
    files::write(path, &serde_json::to_vec(&saved).map_err(|e| Error::Failed(e.to_string()))?)
}

/// The stopped run at `path`, if there is one; `fits` tells whether it is of the shape that `options` train.
///
/// # Errors
/// A checkpoint of other data or options, or a damaged one.
pub fn load_checkpoint<O: DeserializeOwned + PartialEq, C: DeserializeOwned>(
    path: &Path,
    options: &O,
    series: &[Series<'_>],
    end: usize,
    fits: impl FnOnce(&C) -> bool,
) -> Result<Option<C>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path, e, "check its permissions")),
    };
    let refused =
        |what: String| Error::input(path.display().to_string(), what, "delete it to train from the start");
    let saved: Saved<O, C> =
        serde_json::from_slice(&bytes).map_err(|e| refused(format!("not a checkpoint ({e})")))?;
    if saved.version != VERSION || saved.options != *options || saved.data != fingerprint(series, end) {
        return Err(refused("the checkpoint of a run with other data or options".into()));
    }
    if !fits(&saved.checkpoint) {
        return Err(refused("the checkpoint of a network of another shape".into()));
    }
    Ok(Some(saved.checkpoint))
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

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::light::{Checkpoint, Options, Outcome, train};
    use std::ops::ControlFlow;

    #[test]
    fn a_model_is_read_back_and_every_damage_is_refused() {
        let peaks: Vec<u32> = (0..400).map(|m| u32::from(m % 5 == 0)).collect();
        let series = [Series { counts: &peaks, peaks: &peaks, parent: None }];
        let options = Options { hidden: 8, rows: 512, batch: 128, ..Options::default() };
        let trained = train(&series, 400, &options, None, |_| ControlFlow::Continue(()));
        let Ok(Outcome::Finished(model)) = trained else { panic!("training did not finish") };
        let path = std::env::temp_dir().join(format!("aquatope-light-{}.aqlm", std::process::id()));
        write(&path, &model, &["tick".into()]).expect("a writable temporary folder");
        assert_eq!(read(&path).expect("our own file"), (model, vec!["tick".into()]));
        let bytes = fs::read(&path).expect("our own file");
        fs::remove_file(&path).expect("our own file");
        for cut in [0, 3, 15, 16, 500, bytes.len() - 1] {
            assert!(parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for at in (0..bytes.len()).step_by(97) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(parse(&damaged).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_checkpoint_of_other_data_is_refused() {
        let (peaks, other) = (vec![1; 400], vec![2; 400]);
        let series = |peaks| [Series { counts: peaks, peaks, parent: None }];
        let options = Options::default();
        let state = || std::array::from_fn(|_| vec![0.5; options.parameters()]);
        let checkpoint = Checkpoint { round: 1, networks: vec![state()] };
        let path = std::env::temp_dir().join(format!("aquatope-light-{}.checkpoint", std::process::id()));
        let load = |options: &Options, peaks| {
            load_checkpoint(&path, options, &series(peaks), 400, |c: &Checkpoint| c.fits(options))
        };
        assert!(matches!(load(&options, &peaks), Ok(None)));
        save_checkpoint(&path, options, &series(&peaks), 400, &checkpoint).expect("a temporary folder");
        assert_eq!(load(&options, &peaks).expect("our own file"), Some(checkpoint));
        assert!(load(&options, &other).is_err());
        assert!(load(&Options { seed: 2, ..options }, &peaks).is_err());
        save_checkpoint(&path, options, &series(&peaks), 400, Checkpoint { round: 1, networks: vec![] })
            .expect("a temporary folder");
        assert!(load(&options, &peaks).is_err(), "another shape");
        fs::remove_file(&path).expect("our own file");
    }
}

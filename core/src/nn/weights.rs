//! `Weights<'w>`: a checked view of a weight file, without copying it.
//!
//! A file is a header of [`HEADER_BYTES`] and then the values, all little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | magic `AQWT` |
//! | 4..8 | version of this layout, [`VERSION`] |
//! | 8..12 | [`ModelKind`] |
//! | 12..16 | window: minutes of history the model reads |
//! | 16..56 | shape: ten integers whose meaning belongs to the model kind |
//! | 56..60 | number of values |
//! | 60..64 | CRC-32 (IEEE 802.3) of the bytes 0..60 and of the values |
//! | 64.. | the values, `f32` |
//!
//! A view exists only for bytes that pass every check: right magic, version and length, matching checksum, no NaN and
//! no infinity among the values. The slice must start at an address divisible by 4 (read the file into a `Vec<u32>` or
//! put `#[repr(align(4))]` around `include_bytes!`).

use crate::checksum::crc32;
use core::fmt;

/// Length of the header.
pub const HEADER_BYTES: usize = 64;
/// The version this build reads and writes.
pub const VERSION: u32 = 1;
/// Integers in a shape.
pub const SHAPE: usize = 10;

const MAGIC: [u8; 4] = *b"AQWT";

#[cfg(target_endian = "big")]
compile_error!("weight files are little-endian and read in place");

/// What kind of model a weight file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
#[repr(u32)]
pub enum ModelKind {
    /// The light quantile network on engineered features.
    Light = 1,
    /// The hybrid Bayesian network: LSTM encoder and prediction network with Monte-Carlo dropout.
    Hybrid = 2,
}

impl ModelKind {
    const ALL: [Self; 2] = [Self::Light, Self::Hybrid];

    fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u32 == number)
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Light => "light",
            Self::Hybrid => "hybrid",
        })
    }
}

/// What a weight file says about its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The model the values belong to.
    pub kind: ModelKind,
    /// Minutes of history the model reads.
    pub window: u32,
    /// Layer sizes; the model kind gives them their meaning. Unused entries are 0.
    pub shape: [u32; SHAPE],
}

impl Header {
    /// The header bytes of a file that holds `values`; write them, then the values.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] for a NaN or an infinity, [`WeightsError::Length`] for more than 2^32 - 1 values.
    pub fn to_bytes(&self, values: &[f32]) -> Result<[u8; HEADER_BYTES], WeightsError> {
        refuse_not_finite(values)?;
        let count = u32::try_from(values.len())
            .map_err(|_| WeightsError::Length { expected: u32::MAX as usize, found: values.len() })?;
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        let numbers = [VERSION, self.kind as u32, self.window].into_iter().chain(self.shape).chain([count]);
        for (number, field) in numbers.zip(bytes[4..].chunks_exact_mut(4)) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32(&[&bytes[..60], bytemuck::cast_slice(values)]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        Ok(bytes)
    }
}

/// A weight file that passed every check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights<'w> {
    header: Header,
    values: &'w [f32],
}

impl<'w> Weights<'w> {
    /// Check `bytes` and view them. Work: one pass over the bytes.
    ///
    /// # Errors
    /// The first check that fails, see [`WeightsError`].
    pub fn parse(bytes: &'w [u8]) -> Result<Self, WeightsError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(WeightsError::Foreign);
        }
        let Some((head, body)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(WeightsError::Length { expected: HEADER_BYTES, found: bytes.len() });
        };
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if number(4) != VERSION {
            return Err(WeightsError::Version { found: number(4) });
        }
        let expected = (number(56) as usize).saturating_mul(4).saturating_add(HEADER_BYTES);
        if bytes.len() != expected {
            return Err(WeightsError::Length { expected, found: bytes.len() });
        }
        if crc32(&[&head[..60], body]) != number(60) {
            return Err(WeightsError::Checksum);
        }
        let kind = ModelKind::from_number(number(8)).ok_or(WeightsError::UnknownKind { found: number(8) })?;
        let values: &[f32] = bytemuck::try_cast_slice(body).map_err(|_| WeightsError::Misaligned)?;
        refuse_not_finite(values)?;
        let shape = core::array::from_fn(|k| number(16 + 4 * k));
        Ok(Self { header: Header { kind, window: number(12), shape }, values })
    }

    /// What the file says about its values.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All values, in file order.
    pub fn values(&self) -> &'w [f32] {
        self.values
    }

    /// Make sure that the file holds a model of `kind` that reads `window` minutes.
    ///
    /// # Errors
    /// [`WeightsError::Kind`] or [`WeightsError::Window`].
    pub fn expect(&self, kind: ModelKind, window: u32) -> Result<(), WeightsError> {
        if self.header.kind != kind {
            return Err(WeightsError::Kind { expected: kind, found: self.header.kind });
        }
        if self.header.window != window {
            return Err(WeightsError::Window { expected: window, found: self.header.window });
        }
        Ok(())
    }

    /// Take the values apart into layers, front to back.
    pub fn layers(&self) -> Layers<'w> {
        Layers { rest: self.values, total: self.values.len() }
    }
}

/// Hands out the values of a file layer by layer.
#[derive(Clone, Debug)]
pub struct Layers<'w> {
    rest: &'w [f32],
    total: usize,
}

impl<'w> Layers<'w> {
    /// The next `count` values.
    ///
    /// # Errors
    /// [`WeightsError::Shape`] when fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'w [f32], WeightsError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            let expected = self.taken().saturating_add(count);
            return Err(WeightsError::Shape { expected, found: self.total });
        };
        self.rest = rest;
        Ok(taken)
    }

    /// How many values have been taken: the index of the next one.
    pub(crate) const fn taken(&self) -> usize {
        self.total - self.rest.len()
    }

    /// The next linear layer: weight `[inputs][outputs]`, then bias.
    ///
    /// # Errors
    /// [`WeightsError::Shape`] when fewer values are left, or for no outputs.
    pub fn linear(&mut self, inputs: usize, outputs: usize) -> Result<super::Linear<'w, f32>, WeightsError> {
        let weight = self.take(inputs.saturating_mul(outputs))?;
        let bias = self.take(outputs)?;
        super::Linear::new(weight, bias)
            .map_err(|e| WeightsError::Shape { expected: e.expected, found: e.found })
    }

    /// The end: every value must have been taken.
    ///
    /// # Errors
    /// [`WeightsError::Shape`] when values are left over.
    pub fn finish(self) -> Result<(), WeightsError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(WeightsError::Shape { expected: self.taken(), found: self.total })
        }
    }
}

/// Why bytes are not a usable weight file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightsError {
    /// The magic is missing: some other file.
    Foreign,
    /// Written by another version.
    Version {
        /// The file's version.
        found: u32,
    },
    /// The file is longer or shorter than its header says.
    Length {
        /// Bytes the header asks for.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// The checksum does not match: the file is damaged.
    Checksum,
    /// A model kind this build does not know.
    UnknownKind {
        /// The kind's number.
        found: u32,
    },
    /// Another kind of model than asked for.
    Kind {
        /// The kind asked for.
        expected: ModelKind,
        /// The file's kind.
        found: ModelKind,
    },
    /// A model for another length of history.
    Window {
        /// Minutes asked for.
        expected: u32,
        /// The file's minutes.
        found: u32,
    },
    /// The values do not fill the layers of the shape.
    Shape {
        /// Values the shape asks for.
        expected: usize,
        /// Values there are.
        found: usize,
    },
    /// A value is NaN or infinite.
    NotFinite {
        /// Index of the first such value.
        index: usize,
    },
    /// A number outside the range it may have.
    OutOfRange {
        /// Index of the value.
        index: usize,
    },
    /// The bytes do not start at an address divisible by 4.
    Misaligned,
}

impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Foreign => f.write_str("not a weight file; pass a file written by training"),
            Self::Version { found } => {
                write!(f, "weight file of version {found}, this build reads {VERSION}; train the model again")
            }
            Self::Length { expected, found } => {
                write!(
                    f,
                    "weight file of {found} bytes where {expected} belong; copy it again or train again"
                )
            }
            Self::Checksum => {
                f.write_str("damaged weight file (checksum differs); copy it again or train again")
            }
            Self::UnknownKind { found } => {
                write!(f, "unknown model kind {found}; use the build that wrote it")
            }
            Self::Kind { expected, found } => {
                write!(f, "weight file of a {found} model; pass one of a {expected} model")
            }
            Self::Window { expected, found } => {
                write!(
                    f,
                    "model for a window of {found} minutes; pass one for {expected} minutes or train again"
                )
            }
            Self::Shape { expected, found } => {
                write!(
                    f,
                    "weight file of {found} values, its shape asks for {expected}; train the model again"
                )
            }
            Self::NotFinite { index } => {
                write!(
                    f,
                    "weight {index} is not a finite number; train the model again, with a lower learning rate"
                )
            }
            Self::OutOfRange { index } => {
                write!(f, "value {index} of the weight file is out of range; train the model again")
            }
            Self::Misaligned => {
                f.write_str("weights are not aligned to 4 bytes; read the file into a Vec<u32>")
            }
        }
    }
}

impl core::error::Error for WeightsError {}

fn refuse_not_finite(values: &[f32]) -> Result<(), WeightsError> {
    values.iter().position(|v| !v.is_finite()).map_or(Ok(()), |index| Err(WeightsError::NotFinite { index }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const HEADER: Header =
        Header { kind: ModelKind::Light, window: 48, shape: [3, 2, 0, 0, 0, 0, 0, 0, 0, 0] };

    /// File bytes in a buffer aligned to 4.
    fn file(values: &[f32]) -> Vec<u32> {
        let head = HEADER.to_bytes(values).unwrap();
        let words = head.chunks_exact(4).map(|w| u32::from_le_bytes(w.try_into().unwrap()));
        words.chain(values.iter().map(|v| v.to_bits())).collect()
    }

    fn parse(words: &[u32]) -> Result<Weights<'_>, WeightsError> {
        Weights::parse(bytemuck::cast_slice(words))
    }

    #[test]
    fn what_was_written_is_read_back() {
        let values: Vec<f32> = (0..8).map(|k| k as f32 - 3.5).collect();
        let words = file(&values);
        let weights = parse(&words).unwrap();
        assert_eq!((weights.header(), weights.values()), (&HEADER, &values[..]));
        weights.expect(ModelKind::Light, 48).unwrap();
        let mut layers = weights.layers();
        let layer = layers.linear(3, 2).unwrap();
        layers.finish().unwrap();
        let mut y = [0.0; 2];
        layer.forward(&[1.0, 0.0, 0.0], &mut y).unwrap();
        assert_eq!(y, [-3.5 + 2.5, -2.5 + 3.5]);
    }

    #[test]
    fn foreign_truncated_and_damaged_files_are_refused() {
        let words = file(&[1.0, 2.0]);
        let bytes: &[u8] = bytemuck::cast_slice(&words);
        for cut in 0..bytes.len() {
            let refused = Weights::parse(&bytes[..cut]).unwrap_err();
            let expected = if cut < MAGIC.len() {
                refused == WeightsError::Foreign
            } else {
                matches!(refused, WeightsError::Length { .. })
            };
            assert!(expected, "cut at {cut}: {refused}");
        }
        for at in 0..bytes.len() {
            let mut damaged = words.clone();
            bytemuck::cast_slice_mut::<u32, u8>(&mut damaged)[at] ^= 0x10;
            assert!(parse(&damaged).is_err(), "byte {at}");
        }
        assert_eq!(parse(&[0; 20]), Err(WeightsError::Foreign));
        let mut other = words.clone();
        other[1] = 9;
        assert_eq!(parse(&other), Err(WeightsError::Version { found: 9 }));
        other = words.clone();
        *other.last_mut().unwrap() ^= 1;
        assert_eq!(parse(&other), Err(WeightsError::Checksum));
    }

    #[test]
    fn not_a_number_is_refused_by_writer_and_reader() {
        assert_eq!(HEADER.to_bytes(&[0.0, f32::NAN]), Err(WeightsError::NotFinite { index: 1 }));
        // A file with a valid checksum over an infinity.
        let mut words = file(&[0.0, 1.0]);
        words[17] = f32::INFINITY.to_bits();
        let bytes: &[u8] = bytemuck::cast_slice(&words);
        let checksum = crc32(&[&bytes[..60], &bytes[64..]]);
        words[15] = checksum;
        assert_eq!(parse(&words), Err(WeightsError::NotFinite { index: 1 }));
    }

    #[test]
    fn wrong_kind_window_shape_and_alignment_are_named() {
        let words = file(&[1.0, 2.0]);
        let weights = parse(&words).unwrap();
        let kind = WeightsError::Kind { expected: ModelKind::Hybrid, found: ModelKind::Light };
        assert_eq!(weights.expect(ModelKind::Hybrid, 48), Err(kind));
        let window = WeightsError::Window { expected: 60, found: 48 };
        assert_eq!(weights.expect(ModelKind::Light, 60), Err(window));
        assert_eq!(weights.layers().take(3), Err(WeightsError::Shape { expected: 3, found: 2 }));
        assert_eq!(weights.layers().finish(), Err(WeightsError::Shape { expected: 0, found: 2 }));
        assert!(weights.layers().linear(usize::MAX, 2).is_err());

        let mut shifted: Vec<u8> = Vec::from([0]);
        shifted.extend_from_slice(bytemuck::cast_slice(&words));
        let offset = usize::from(shifted.as_ptr().align_offset(4) == 0);
        if offset == 1 {
            assert_eq!(Weights::parse(&shifted[1..]), Err(WeightsError::Misaligned));
        }
    }
}

//! Points in time, as OpenWhisk writes them. The crate has no clock: callers pass the time in.

/// Milliseconds since the Unix epoch (OpenWhisk's unit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Timestamp(pub u64);

/// A whole minute since the Unix epoch (or since the start of a trace).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Minute(pub u32);

impl Timestamp {
    /// The minute this instant falls in; saturates at the last representable minute.
    pub const fn minute(self) -> Minute {
        let minute = self.0 / 60_000;
        Minute(if minute > u32::MAX as u64 { u32::MAX } else { minute as u32 })
    }
}

impl Minute {
    /// The first instant of this minute.
    pub const fn start(self) -> Timestamp {
        Timestamp(self.0 as u64 * 60_000)
    }
}

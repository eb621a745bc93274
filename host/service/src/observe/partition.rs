//! What is known of one partition: how far it was read, where to read on after a restart, and up to which time.

use aquatope_core::time::{Minute, Timestamp};

/// Where a message lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// The message's number in it.
    pub offset: i64,
}

/// Where to read a partition after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PartitionOffsets {
    /// The partition.
    pub partition: i32,
    /// Read on from here: nothing before it touches a minute that is not final.
    pub resume: i64,
    /// What lies before this was read before; what of it still counts counts again, silently.
    pub position: i64,
}

/// One assigned partition.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    pub(super) id: i32,
    /// The offset after the last message.
    position: i64,
    /// The position when the offsets were stored last before the restart.
    seen: i64,
    /// For each minute that is the last one some message touches, the first such offset; in no order. A handful.
    low: Vec<(Minute, i64)>,
    /// Everything that was produced up to here has been read.
    watermark: Timestamp,
    /// The least time of the block of messages being read, and how many are in it.
    block: (u64, u32),
}

/// Messages in a block. While there is a backlog the watermark is the least time in a whole block: not that of the last
/// message, which may come from a clock that is wrong.
const BLOCK: u32 = 256;

impl Partition {
    pub(super) fn new(offsets: PartitionOffsets) -> Self {
        Self {
            id: offsets.partition,
            position: offsets.resume,
            seen: offsets.position,
            low: Vec::new(),
            watermark: Timestamp(0),
            block: (u64::MAX, 0),
        }
    }

    /// Go on at `position`; messages before it can no longer be had. What stands in for them is in memory only until the
    /// minutes up to `minute` are final, so until then the message before `position` is still wanted.
    pub(super) fn skip_to(&mut self, position: i64, remade: bool, minute: Minute) {
        self.position = position;
        if remade {
            self.seen = position;
        }
        self.low.iter_mut().for_each(|(_, low)| *low = (*low).min(position));
        self.low.push((minute, position - 1));
        self.block = (u64::MAX, 0);
    }

    /// Whether the message at `offset` is new here; it then counts as read.
    pub(super) fn advance(&mut self, offset: i64) -> bool {
        let new = offset >= self.position;
        if new {
            self.position = offset + 1;
        }
        new
    }

    /// Whether the message was read before the restart.
    pub(super) fn is_replayed(&self, offset: i64) -> bool {
        offset < self.seen
    }

    /// The message at `offset` counts in minutes up to `last`.
    pub(super) fn touch(&mut self, last: Minute, offset: i64) {
        if !self.low.iter().any(|&(minute, _)| minute == last) {
            self.low.push((last, offset));
        }
    }

    /// A message of time `at` was read.
    pub(super) fn note_time(&mut self, at: Timestamp) {
        self.block.0 = self.block.0.min(at.0);
        self.block.1 += 1;
        if self.block.1 == BLOCK {
            self.watermark = self.watermark.max(Timestamp(self.block.0));
            self.block = (u64::MAX, 0);
        }
    }

    /// Everything produced up to `at` has been read.
    pub(super) fn caught_up(&mut self, at: Timestamp) {
        self.watermark = self.watermark.max(at);
    }

    pub(super) fn watermark(&self) -> Timestamp {
        self.watermark
    }

    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Where to read on once the minutes before `open` are final.
    pub(super) fn offsets(&self, open: Option<Minute>) -> PartitionOffsets {
        let still_needed = |&&(minute, _): &&(Minute, i64)| open.is_none_or(|open| minute >= open);
        let resume = self.low.iter().filter(still_needed).map(|&(_, low)| low).min().unwrap_or(self.position);
        PartitionOffsets { partition: self.id, resume, position: self.position.max(self.seen) }
    }

    pub(super) fn forget(&mut self, open: Minute) {
        self.low.retain(|&(minute, _)| minute >= open);
    }
}

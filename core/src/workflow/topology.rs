//! Stage numbers and sets of stages.

/// The number of a stage in its workflow, counted from 0 in the order stages were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StageId(pub(super) u8);

impl StageId {
    /// The stage with this number, for callers that number their functions themselves; any number is allowed, and
    /// one that its workflow does not have is refused where it is used.
    pub const fn new(index: usize) -> Self {
        Self(if index > u8::MAX as usize { u8::MAX } else { index as u8 })
    }

    /// Position in arrays of one value per stage.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of stages, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StageSet(u64);

impl StageSet {
    /// The largest number of stages a set (and so a workflow) holds.
    pub const CAPACITY: usize = u64::BITS as usize;

    /// Adds a stage; stages beyond [`StageSet::CAPACITY`] do not exist and are ignored.
    pub const fn insert(&mut self, stage: StageId) {
        self.0 |= Self::bit(stage);
    }

    /// Removes a stage.
    pub const fn remove(&mut self, stage: StageId) {
        self.0 &= !Self::bit(stage);
    }

    /// Whether the stage is in the set.
    pub const fn contains(self, stage: StageId) -> bool {
        self.0 & Self::bit(stage) != 0
    }

    /// Stages in either set.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Number of stages in the set.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether no stage is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The stages, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = StageId> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let stage = StageId(rest.trailing_zeros() as u8);
            (rest != 0).then(|| {
                rest &= rest - 1;
                stage
            })
        })
    }

    const fn bit(stage: StageId) -> u64 {
        if (stage.0 as usize) < Self::CAPACITY { 1 << stage.0 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = StageSet::default();
        for index in [63, 0, 5, 5, 64, 9999] {
            set.insert(StageId::new(index));
        }
        set.remove(StageId::new(0));
        assert_eq!(set.iter().map(StageId::index).collect::<Vec<_>>(), [5, 63]);
        assert_eq!((set.len(), set.is_empty(), set.contains(StageId::new(64))), (2, false, false));
    }
}

//! The activations that are our own warm-up calls: their events count for nothing.

use std::collections::{HashMap, VecDeque};

use aquatope_core::activation::ActivationId;
use aquatope_core::time::Timestamp;

/// Ids with the time they were told, at most [`CAPACITY`]; the oldest give way.
#[derive(Clone, Debug, Default)]
pub(super) struct Exclusions {
    times: HashMap<ActivationId, Timestamp>,
    /// Oldest first.
    order: VecDeque<(Timestamp, ActivationId)>,
    changed: bool,
}

const CAPACITY: usize = 65_536;

/// An id is remembered until everything up to so long after it was told has been read.
const KEEP_MS: u64 = 3_600_000;

impl Exclusions {
    pub(super) fn new(ids: impl IntoIterator<Item = (ActivationId, Timestamp)>) -> Self {
        let mut exclusions = Self::default();
        ids.into_iter().for_each(|(id, at)| exclusions.insert(id, at));
        exclusions.changed = false;
        exclusions
    }

    pub(super) fn insert(&mut self, id: ActivationId, now: Timestamp) {
        if self.times.insert(id, now).is_none() {
            self.order.push_back((now, id));
            self.changed = true;
            if self.order.len() > CAPACITY {
                self.drop_oldest();
            }
        }
    }

    pub(super) fn contains(&self, id: ActivationId) -> bool {
        !self.times.is_empty() && self.times.contains_key(&id)
    }

    /// Everything up to `watermark` has been read.
    pub(super) fn expire(&mut self, watermark: Timestamp) {
        while self.order.front().is_some_and(|&(at, _)| at.0.saturating_add(KEEP_MS) < watermark.0) {
            self.drop_oldest();
        }
    }

    /// All of them, if any was added since the last call that said so.
    pub(super) fn to_store(&self) -> Option<Vec<(ActivationId, Timestamp)>> {
        self.changed.then(|| self.order.iter().map(|&(at, id)| (id, at)).collect())
    }

    pub(super) fn stored(&mut self) {
        self.changed = false;
    }

    fn drop_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.times.remove(&id);
        }
    }
}

//! What this instance holds: the shards that are its own, their stores, and what their functions should have. Without a
//! cluster that is one shard, of one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aquatope_core::activation::FunctionId;
use tokio::sync::watch;

use crate::actuate::Wants;
use crate::store::Store;

/// One shard, out of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number, from 0.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

impl Shard {
    /// The only one.
    pub const ALL: Self = Self { number: 0, of: 1 };

    /// The id of the shard's function `id` among those of all shards.
    pub fn global(self, id: FunctionId) -> FunctionId {
        FunctionId(id.0.saturating_mul(self.of).saturating_add(self.number))
    }
}

/// See the module's header.
pub(crate) struct Share {
    held: Mutex<Held>,
    /// `None` once the service stops.
    wants: Mutex<Option<watch::Sender<Arc<Wants>>>>,
}

#[derive(Default)]
struct Held {
    shards: BTreeMap<u32, One>,
    terms: u64,
}

struct One {
    /// Tells an owner of the shard from the one after it, both of this process.
    term: u64,
    of: u32,
    store: Arc<Store>,
    wants: Arc<Wants>,
}

/// The time in which a shard is held.
pub(crate) struct Term {
    shard: Shard,
    number: u64,
    share: Arc<Share>,
}

impl Share {
    pub(crate) fn new() -> (Arc<Self>, watch::Receiver<Arc<Wants>>) {
        let (wants, wanted) = watch::channel(Arc::new(Wants::default()));
        (Arc::new(Self { held: Mutex::default(), wants: Mutex::new(Some(wants)) }), wanted)
    }

    /// From now on the shard is held, with nothing wanted.
    pub(crate) fn begin(self: &Arc<Self>, shard: Shard, store: Arc<Store>) -> Term {
        let mut held = self.held();
        held.terms += 1;
        let term = held.terms;
        held.shards.insert(shard.number, One { term, of: shard.of, store, wants: Arc::default() });
        Term { shard, number: term, share: Arc::clone(self) }
    }

    /// The stores, by shard.
    pub(crate) fn stores(&self) -> Vec<Arc<Store>> {
        self.held().shards.values().map(|one| Arc::clone(&one.store)).collect()
    }

    /// Nothing is wanted any more.
    pub(crate) fn close(&self) {
        self.wants.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Tell the actuator what the functions of all shards should have.
    fn tell(&self, held: &Held) {
        let all = |one: &One| one.wants.functions.clone();
        let wants = Wants {
            minute: held.shards.values().map(|one| one.wants.minute).max().unwrap_or_default(),
            functions: held.shards.values().flat_map(all).collect(),
            share: held.shards.values().next().map(|one| (held.shards.len() as u32, one.of)),
        };
        if let Some(sender) = &*self.wants.lock().unwrap_or_else(PoisonError::into_inner) {
            sender.send_replace(Arc::new(wants));
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Term {
    /// What the shard's functions should have.
    pub(crate) fn want(&self, wants: Wants) {
        let mut held = self.share.held();
        if let Some(one) = held.shards.get_mut(&self.shard.number).filter(|one| one.term == self.number) {
            one.wants = Arc::new(wants);
            self.share.tell(&held);
        }
    }

    /// What they should have by the last word.
    pub(crate) fn wanted(&self) -> Arc<Wants> {
        let held = self.share.held();
        held.shards.get(&self.shard.number).map(|one| Arc::clone(&one.wants)).unwrap_or_default()
    }

    /// The shard is no longer held; false: it is, in a later term.
    pub(crate) fn end(self) -> bool {
        let mut held = self.share.held();
        let last = held.shards.get(&self.shard.number).is_some_and(|one| one.term == self.number);
        if last {
            held.shards.remove(&self.shard.number);
            self.share.tell(&held);
        }
        last
    }
}

//! Invokers and their containers. Every transition happens at an instant the caller names; nothing happens by itself.
//!
//! ```text
//! stem cell: creating -> idle ----taken----+
//!                                          v
//! (nothing) ------created on demand----> busy <-> idle -> removed (timeout, room for another, old version)
//! ```
//!
//! A stem cell that is taken is replaced at once while the invoker has memory. For room, idle containers of other actions
//! are removed, the longest idle first; stem cells are not.

use aquatope_openwhisk::fnv::fnv1a_64;
use std::collections::{BTreeSet, HashMap};

/// What a run needs of its container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Need {
    pub path: String,
    /// The version of the action; containers of another one are of no use.
    pub version: u32,
    pub kind: String,
    pub memory_mb: u32,
}

/// How a run found its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Initialised with this action's code.
    Warm,
    /// A stem cell: only `/init` is to be called.
    Prewarmed,
    /// A new container.
    Cold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ContainerId {
    slot: usize,
    /// Distinguishes the containers that used one slot after each other.
    serial: u64,
}

#[derive(Debug)]
struct Container {
    serial: u64,
    invoker: usize,
    memory_mb: u32,
    holds: Holds,
}

#[derive(Debug)]
enum Holds {
    /// A stem cell; usable once it is created.
    Stem {
        kind: String,
        ready: bool,
    },
    Busy(Need),
    Idle {
        need: Need,
        since_ms: i64,
    },
}

#[derive(Debug)]
struct Invoker {
    free_mb: u32,
    /// Idle containers by how long they are idle.
    idle: BTreeSet<(i64, usize)>,
    /// Stem cells alive, by kind and memory: those that can be taken, and how many are being created.
    stems: HashMap<(String, u32), Stems>,
    /// Stem cells wanted.
    wanted: Vec<((String, u32), u32)>,
}

#[derive(Debug, Default)]
struct Stems {
    ready: Vec<usize>,
    creating: u32,
}

/// A container as introspection shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// `namespace/[package/]action`.
    pub path: String,
    /// The runtime kind.
    pub kind: String,
    /// At work.
    pub busy: bool,
}

#[derive(Debug)]
pub(crate) struct Fleet {
    containers: Vec<Option<Container>>,
    unused: Vec<usize>,
    serials: u64,
    invokers: Vec<Invoker>,
    /// Idle containers that an action can use, the last used last.
    idle: HashMap<Need, Vec<usize>>,
}

/// Stem cells that are being created from now on.
pub(crate) type Created = Vec<ContainerId>;

impl Fleet {
    pub(crate) fn new(invokers_mb: &[u32]) -> Self {
        let invoker = |&free_mb: &u32| Invoker {
            free_mb,
            idle: BTreeSet::new(),
            stems: HashMap::new(),
            wanted: Vec::new(),
        };
        Self {
            containers: Vec::new(),
            unused: Vec::new(),
            serials: 0,
            invokers: invokers_mb.iter().map(invoker).collect(),
            idle: HashMap::new(),
        }
    }

    /// A container for a run, busy from now on: a warm one, else a stem cell, else a new one where there is room or can be
    /// made. Nothing when there is none.
    pub(crate) fn acquire(&mut self, need: &Need, created: &mut Created) -> Option<(ContainerId, Start)> {
        if let Some(slot) = self.idle.get_mut(need).and_then(Vec::pop) {
            self.unlist(slot);
            return Some((self.occupy(slot, need), Start::Warm));
        }
        let home = home(&need.path, self.invokers.len());
        let hosts = self.invokers.len();
        let order = (0..hosts).map(|i| (home + i) % hosts);
        let stem = (need.kind.clone(), need.memory_mb);
        for invoker in order.clone() {
            let stems = self.invokers[invoker].stems.get_mut(&stem);
            if let Some(slot) = stems.and_then(|stems| stems.ready.pop()) {
                let id = self.occupy(slot, need);
                self.replenish(invoker, created);
                return Some((id, Start::Prewarmed));
            }
        }
        let roomy = order.clone().find(|&invoker| self.invokers[invoker].free_mb >= need.memory_mb);
        let invoker = match roomy {
            Some(invoker) => invoker,
            None => order.clone().find(|&invoker| self.make_room(invoker, need.memory_mb))?,
        };
        Some((self.create(invoker, need.memory_mb, Holds::Busy(need.clone())), Start::Cold))
    }

    /// A run ended; its container becomes idle, or goes when it is of no more use.
    pub(crate) fn release(&mut self, id: ContainerId, usable: bool, now_ms: i64, created: &mut Created) {
        let Some(container) = self.get_mut(id) else { return };
        let Holds::Busy(need) = &container.holds else { return };
        let (need, invoker) = (need.clone(), container.invoker);
        if !usable {
            self.remove(id.slot);
            self.replenish(invoker, created);
            return;
        }
        container.holds = Holds::Idle { need: need.clone(), since_ms: now_ms };
        self.invokers[invoker].idle.insert((now_ms, id.slot));
        self.idle.entry(need).or_default().push(id.slot);
    }

    /// Removes a container that has been idle since `since_ms`; one that was used in between stays.
    pub(crate) fn expire(&mut self, id: ContainerId, since_ms: i64, created: &mut Created) {
        let Some(container) = self.get_mut(id) else { return };
        let invoker = container.invoker;
        if matches!(container.holds, Holds::Idle { since_ms: since, .. } if since == since_ms) {
            self.remove_idle(id.slot);
            self.replenish(invoker, created);
        }
    }

    /// A stem cell is created and can be taken.
    pub(crate) fn stem_ready(&mut self, id: ContainerId) {
        let Some(container) = self.get_mut(id) else { return };
        let (invoker, memory_mb) = (container.invoker, container.memory_mb);
        let Holds::Stem { kind, ready } = &mut container.holds else { return };
        *ready = true;
        let key = (kind.clone(), memory_mb);
        let stems = self.invokers[invoker].stems.entry(key).or_default();
        stems.creating -= 1;
        stems.ready.push(id.slot);
    }

    /// Destroys all idle stem cells of an invoker and creates those that are `wanted`.
    pub(crate) fn set_stem_cells(
        &mut self,
        invoker: usize,
        wanted: Vec<((String, u32), u32)>,
        created: &mut Created,
    ) {
        let stems: Vec<usize> = (0..self.containers.len())
            .filter(|&slot| {
                let container = self.containers[slot].as_ref();
                container.is_some_and(|c| c.invoker == invoker && matches!(c.holds, Holds::Stem { .. }))
            })
            .collect();
        stems.into_iter().for_each(|slot| self.remove(slot));
        self.invokers[invoker].stems.clear();
        self.invokers[invoker].wanted = wanted;
        self.replenish(invoker, created);
    }

    /// Removes idle containers of an action that are not of `version`.
    pub(crate) fn drop_outdated(&mut self, path: &str, version: u32) {
        let outdated = self.idle.iter().filter(|(need, _)| need.path == path && need.version != version);
        let slots: Vec<usize> = outdated.flat_map(|(_, slots)| slots.iter().copied()).collect();
        slots.into_iter().for_each(|slot| self.remove_idle(slot));
    }

    /// Whether some invoker could ever hold this much.
    pub(crate) fn could_hold(invokers_mb: &[u32], memory_mb: u32) -> bool {
        invokers_mb.iter().any(|&mb| mb >= memory_mb)
    }

    /// Memory that no container holds, MB.
    pub(crate) fn free_mb(&self) -> u64 {
        self.invokers.iter().map(|invoker| u64::from(invoker.free_mb)).sum()
    }

    pub(crate) fn invoker_of(&self, id: ContainerId) -> usize {
        self.containers[id.slot].as_ref().map_or(0, |container| container.invoker)
    }

    /// Idle stem cells of an invoker that can be taken: kind, memory and number.
    pub(crate) fn stem_cells(&self, invoker: usize) -> Vec<((String, u32), u32)> {
        let stems = self.invokers[invoker].stems.iter().filter(|(_, stems)| !stems.ready.is_empty());
        let mut stems: Vec<_> = stems.map(|(key, stems)| (key.clone(), stems.ready.len() as u32)).collect();
        stems.sort();
        stems
    }

    /// Containers of an invoker that hold an action.
    pub(crate) fn holders(&self, invoker: usize) -> Vec<Holder> {
        let containers = self.containers.iter().flatten().filter(|container| container.invoker == invoker);
        let holder = |need: &Need, busy| Holder { path: need.path.clone(), kind: need.kind.clone(), busy };
        containers
            .filter_map(|container| match &container.holds {
                Holds::Stem { .. } => None,
                Holds::Busy(need) => Some(holder(need, true)),
                Holds::Idle { need, .. } => Some(holder(need, false)),
            })
            .collect()
    }

    /// Stem cells of an invoker that are being created.
    pub(crate) fn creating(&self, invoker: usize) -> u32 {
        self.invokers[invoker].stems.values().map(|stems| stems.creating).sum()
    }

    /// Creates the stem cells that are wanted and missing, as far as memory reaches.
    fn replenish(&mut self, invoker: usize, created: &mut Created) {
        for (key, count) in self.invokers[invoker].wanted.clone() {
            loop {
                let host = &mut self.invokers[invoker];
                let stems = host.stems.entry(key.clone()).or_default();
                if stems.ready.len() as u32 + stems.creating >= count || host.free_mb < key.1 {
                    break;
                }
                stems.creating += 1;
                created.push(self.create(invoker, key.1, Holds::Stem { kind: key.0.clone(), ready: false }));
            }
        }
    }

    /// Removes idle containers, the longest idle first, until `memory_mb` are free; changes nothing if that is impossible.
    fn make_room(&mut self, invoker: usize, memory_mb: u32) -> bool {
        let host = &self.invokers[invoker];
        let mut free_mb = host.free_mb;
        let mut victims = Vec::new();
        for &(_, slot) in &host.idle {
            if free_mb >= memory_mb {
                break;
            }
            free_mb += self.containers[slot].as_ref().map_or(0, |container| container.memory_mb);
            victims.push(slot);
        }
        if free_mb >= memory_mb {
            victims.into_iter().for_each(|slot| self.remove_idle(slot));
        }
        free_mb >= memory_mb
    }

    fn create(&mut self, invoker: usize, memory_mb: u32, holds: Holds) -> ContainerId {
        self.invokers[invoker].free_mb -= memory_mb;
        self.serials += 1;
        let container = Container { serial: self.serials, invoker, memory_mb, holds };
        let slot = self.unused.pop().unwrap_or(self.containers.len());
        if slot == self.containers.len() {
            self.containers.push(Some(container));
        } else {
            self.containers[slot] = Some(container);
        }
        ContainerId { slot, serial: self.serials }
    }

    fn occupy(&mut self, slot: usize, need: &Need) -> ContainerId {
        let serial = self.containers[slot].as_mut().map_or(0, |container| {
            container.holds = Holds::Busy(need.clone());
            container.serial
        });
        ContainerId { slot, serial }
    }

    fn remove_idle(&mut self, slot: usize) {
        if let Some(Container { holds: Holds::Idle { need, .. }, .. }) = &self.containers[slot]
            && let Some(slots) = self.idle.get_mut(need)
        {
            slots.retain(|&other| other != slot);
        }
        self.unlist(slot);
        self.remove(slot);
    }

    /// Takes an idle container off its invoker's list.
    fn unlist(&mut self, slot: usize) {
        if let Some(Container { invoker, holds: Holds::Idle { since_ms, .. }, .. }) = self.containers[slot] {
            self.invokers[invoker].idle.remove(&(since_ms, slot));
        }
    }

    fn remove(&mut self, slot: usize) {
        if let Some(container) = self.containers[slot].take() {
            self.invokers[container.invoker].free_mb += container.memory_mb;
            self.unused.push(slot);
        }
    }

    fn get_mut(&mut self, id: ContainerId) -> Option<&mut Container> {
        self.containers[id.slot].as_mut().filter(|container| container.serial == id.serial)
    }
}

/// The invoker an action is tried on first.
fn home(path: &str, invokers: usize) -> usize {
    (fnv1a_64(path.bytes()) % invokers.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(path: &str, memory_mb: u32) -> Need {
        Need { path: path.into(), version: 1, kind: "k:1".into(), memory_mb }
    }

    fn start(fleet: &mut Fleet, need: &Need) -> Option<(ContainerId, Start)> {
        fleet.acquire(need, &mut Vec::new())
    }

    #[test]
    fn a_container_is_cold_once_and_warm_afterwards_until_it_expires() {
        let mut fleet = Fleet::new(&[512]);
        let a = need("a", 256);
        let (id, how) = start(&mut fleet, &a).unwrap();
        assert_eq!(how, Start::Cold);
        fleet.release(id, true, 10, &mut Vec::new());
        let (id, how) = start(&mut fleet, &a).unwrap();
        assert_eq!(how, Start::Warm);
        fleet.release(id, true, 20, &mut Vec::new());
        // The expiry of its first rest is void, the one of the second is not.
        fleet.expire(id, 10, &mut Vec::new());
        assert_eq!(fleet.holders(0).len(), 1);
        fleet.expire(id, 20, &mut Vec::new());
        assert_eq!(fleet.holders(0).len(), 0);
        assert_eq!(start(&mut fleet, &a).unwrap().1, Start::Cold);
    }

    #[test]
    fn another_version_memory_or_action_is_not_warm() {
        let mut fleet = Fleet::new(&[1024]);
        let a = need("a", 256);
        let (id, _) = start(&mut fleet, &a).unwrap();
        fleet.release(id, true, 0, &mut Vec::new());
        for other in [Need { version: 2, ..a.clone() }, need("a", 128), need("b", 256)] {
            assert_eq!(start(&mut fleet, &other).unwrap().1, Start::Cold);
        }
        fleet.drop_outdated("a", 2);
        assert!(fleet.holders(0).iter().all(|holder| holder.busy));
    }

    #[test]
    fn a_stem_cell_is_replaced_when_it_is_taken_and_of_use_when_it_is_ready() {
        let mut fleet = Fleet::new(&[1024]);
        let mut created = Vec::new();
        fleet.set_stem_cells(0, vec![(("k:1".into(), 256), 1)], &mut created);
        let [first] = created[..] else { panic!("one stem cell") };
        // Not ready: cold. 512 of 1024 MB are used then.
        let (_, how) = start(&mut fleet, &need("a", 256)).unwrap();
        assert_eq!(how, Start::Cold);
        fleet.stem_ready(first);
        assert_eq!(fleet.stem_cells(0), [(("k:1".into(), 256), 1)]);
        // Another memory is not served by it.
        let mut replaced = Vec::new();
        let (_, how) = fleet.acquire(&need("a", 128), &mut replaced).unwrap();
        assert_eq!((how, replaced.len()), (Start::Cold, 0));
        let (_, how) = fleet.acquire(&need("b", 256), &mut replaced).unwrap();
        assert_eq!((how, replaced.len()), (Start::Prewarmed, 1));
        assert_eq!((fleet.stem_cells(0).len(), fleet.creating(0)), (0, 1));
    }

    #[test]
    fn counts_are_per_invoker_and_a_change_destroys_what_is_idle() {
        let mut fleet = Fleet::new(&[1024, 1024]);
        let mut created = Vec::new();
        for invoker in [0, 1] {
            fleet.set_stem_cells(invoker, vec![(("k:1".into(), 128), 2)], &mut created);
        }
        assert_eq!(created.len(), 4);
        created.drain(..).for_each(|id| fleet.stem_ready(id));
        fleet.set_stem_cells(0, vec![(("k:1".into(), 128), 3)], &mut created);
        assert_eq!((fleet.stem_cells(0).len(), fleet.creating(0)), (0, 3));
        assert_eq!(fleet.stem_cells(1), [(("k:1".into(), 128), 2)]);
    }

    #[test]
    fn stem_cells_stop_where_memory_ends_and_come_when_it_is_free_again() {
        let mut fleet = Fleet::new(&[512]);
        let (id, _) = start(&mut fleet, &need("a", 256)).unwrap();
        let mut created = Vec::new();
        fleet.set_stem_cells(0, vec![(("k:1".into(), 256), 2)], &mut created);
        assert_eq!(created.len(), 1);
        fleet.release(id, true, 0, &mut created);
        assert_eq!(created.len(), 1);
        fleet.expire(id, 0, &mut created);
        assert_eq!(created.len(), 2);
    }

    #[test]
    fn room_is_made_by_the_longest_idle_and_never_by_the_busy() {
        let mut fleet = Fleet::new(&[512]);
        let (a, _) = start(&mut fleet, &need("a", 256)).unwrap();
        let (b, _) = start(&mut fleet, &need("b", 256)).unwrap();
        assert!(start(&mut fleet, &need("c", 256)).is_none());
        fleet.release(b, true, 5, &mut Vec::new());
        fleet.release(a, true, 9, &mut Vec::new());
        assert_eq!(start(&mut fleet, &need("c", 256)).unwrap().1, Start::Cold);
        let held: Vec<String> = fleet.holders(0).into_iter().map(|holder| holder.path).collect();
        assert!(held.contains(&"a".to_string()) && !held.contains(&"b".to_string()));
        assert!(start(&mut fleet, &need("d", 512)).is_none());
        assert_eq!(fleet.holders(0).len(), 2);
    }
}

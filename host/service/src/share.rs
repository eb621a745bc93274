//! What this instance holds: the shards that are its own, their stores and workflows, and what their functions should have.
//! Without a cluster that is one shard, of one.
//!
//! Of every shard it knows what was told last (`cluster/told.rs`). What is set for all functions together is set by
//! whoever has shard 0, once a minute, when the other shards' plans of that minute have been heard of. A limit on the memory
//! of all functions is divided by what the shards asked for in the minute before.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aquatope_core::time::Timestamp;
use tokio::sync::watch;

use crate::actuate::Wants;
use crate::board::Workflow;
use crate::cluster::told::{Demand, Told, part_mb};
use crate::store::Store;
use crate::workflows::Approval;

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
}

/// See the module's header.
pub(crate) struct Share {
    held: Mutex<Held>,
    /// Something was heard.
    came: Condvar,
    /// `None` once the service stops.
    wants: Mutex<Option<watch::Sender<Arc<Wants>>>>,
    /// Whether one acts for all shards; for so long it waits for the plans of the others.
    for_all: Option<Duration>,
}

#[derive(Default)]
struct Held {
    shards: BTreeMap<u32, One>,
    terms: u64,
    /// What the holders of all shards told.
    heard: BTreeMap<u32, Heard>,
    /// Shards that told something since which nobody here can read.
    unread: BTreeSet<u32>,
    /// The minute that was acted for last.
    settled: u32,
}

/// Of one shard.
struct Heard {
    last: Told,
    /// What was asked for in the minute before that.
    before: Option<Demand>,
}

struct One {
    /// Tells an owner of the shard from the one after it, both of this process.
    term: u64,
    of: u32,
    store: Arc<Store>,
    wants: Arc<Wants>,
    /// Since when they are wanted.
    since: Instant,
    /// The workflows that are tuned, by name, to be approved.
    approvals: HashMap<String, Arc<Approval>>,
}

/// A plan that has not been acted for by then is of a process that was paused, and out of date.
const FRESH: Duration = Duration::from_secs(30);

pub(crate) const ONE_VERSION: &str = "run one version on all instances";

/// The time in which a shard is held.
pub(crate) struct Term {
    shard: Shard,
    number: u64,
    share: Arc<Share>,
}

impl Share {
    /// `for_all`: whoever has shard 0 acts for all shards, and waits so long for the plans of the others.
    pub(crate) fn new(for_all: Option<Duration>) -> (Arc<Self>, watch::Receiver<Arc<Wants>>) {
        let (wants, wanted) = watch::channel(Arc::new(Wants::default()));
        let (held, came, wants) = (Mutex::default(), Condvar::new(), Mutex::new(Some(wants)));
        (Arc::new(Self { held, came, wants, for_all }), wanted)
    }

    /// From now on the shard is held, with nothing wanted.
    pub(crate) fn begin(
        self: &Arc<Self>,
        shard: Shard,
        store: Arc<Store>,
        approvals: HashMap<String, Arc<Approval>>,
    ) -> Term {
        let mut held = self.held();
        held.terms += 1;
        let (term, of, since) = (held.terms, shard.of, Instant::now());
        held.shards.insert(shard.number, One { term, of, store, wants: Arc::default(), since, approvals });
        Term { shard, number: term, share: Arc::clone(self) }
    }

    /// The store of shard 0, if it is held.
    pub(crate) fn first_store(&self) -> Option<Arc<Store>> {
        self.held().shards.get(&0).map(|one| Arc::clone(&one.store))
    }

    /// What approves of the workflow's configuration, if it is tuned here.
    pub(crate) fn approval(&self, workflow: &str) -> Option<Arc<Approval>> {
        self.held().shards.values().find_map(|one| one.approvals.get(workflow).cloned())
    }

    /// The holder of a shard has told this; nothing: something that is not readable. Whether that is so, and new.
    pub(crate) fn hear(&self, shard: u32, told: Option<Told>) -> bool {
        let mut held = self.held();
        self.came.notify_all();
        let Some(told) = told else {
            return held.unread.insert(shard);
        };
        held.unread.remove(&shard);
        let before = held.heard.remove(&shard).and_then(|Heard { last, before }| {
            let is_later = told.wants.minute > last.wants.minute;
            if is_later { Some(last.demand) } else { before }
        });
        held.heard.insert(shard, Heard { last: told, before });
        self.settle(&mut held);
        false
    }

    /// How a workflow that is tuned with `shard` was doing when that was told last, the instance that told it, and when.
    pub(crate) fn told_of(&self, shard: u32, workflow: &str) -> Option<(Workflow, String, Timestamp)> {
        let held = self.held();
        let Told { by, at, workflows, .. } = &held.heard.get(&shard)?.last;
        Some((workflows.get(workflow)?.clone(), by.clone(), *at))
    }

    /// Time has passed.
    pub(crate) fn look(&self) {
        self.settle(&mut self.held());
    }

    /// Nothing is wanted any more.
    pub(crate) fn close(&self) {
        self.wants.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Tell the actuator what the functions of the shards held should have. Without a shard that is for others to say:
    /// an empty plan would take from the platform what it has.
    fn tell(&self, held: &mut Held) {
        if self.for_all.is_some() {
            return self.settle(held);
        }
        if held.shards.is_empty() {
            return;
        }
        let share = held.shards.values().next().map(|one| (held.shards.len() as u32, one.of));
        self.send(held.shards.values().map(|one| &*one.wants), share);
    }

    /// Tell it what the functions of all shards should have, when their plans are there.
    fn settle(&self, held: &mut Held) {
        let (Some(patience), Some(first)) = (self.for_all, held.shards.get(&0)) else { return };
        let (minute, since) = (first.wants.minute, first.since.elapsed());
        if minute <= held.settled || since > FRESH {
            return;
        }
        // A shard that was just taken over counts with the last plan of whoever had it, until it is planned here.
        let newest = |shard: u32| {
            let ours = held.shards.get(&shard).map(|one| &*one.wants);
            let told = held.heard.get(&shard).map(|heard| &heard.last.wants);
            told.into_iter().chain(ours).max_by_key(|wants| wants.minute)
        };
        let plans: Vec<_> = (0..first.of).filter_map(newest).collect();
        let complete = plans.len() == first.of as usize && plans.iter().all(|plan| plan.minute >= minute);
        let is_planned = |shard: &u32| held.shards.get(shard).is_some_and(|one| one.wants.minute > 0);
        // Whoever does not hear what it tells itself does not hear of the others' plans either; nor does whoever cannot read
        // what one of them tells.
        let hears = held.heard.get(&0).is_some_and(|heard| heard.last.wants.minute >= minute)
            && held.unread.range(..first.of).all(is_planned);
        if complete || (hears && since >= patience) {
            self.send(plans.into_iter(), None);
            held.settled = minute;
        }
    }

    fn send<'w>(&self, plans: impl Iterator<Item = &'w Wants>, share: Option<(u32, u32)>) {
        let mut all = Wants { share, ..Wants::default() };
        for plan in plans {
            all.minute = all.minute.max(plan.minute);
            all.functions.extend_from_slice(&plan.functions);
        }
        if let Some(sender) = &*self.wants.lock().unwrap_or_else(PoisonError::into_inner) {
            sender.send_replace(Arc::new(all));
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
            (one.wants, one.since) = (Arc::new(wants), Instant::now());
            self.share.tell(&mut held);
        }
    }

    /// The part of `capacity_mb`, the memory of all functions, that is this shard's in `minute`. All shards go by what was
    /// asked for in the minute before it, whoever plans first; one that is more than a minute behind the others goes by
    /// newer demands than they did, and the parts may then differ from the whole.
    ///
    /// Whoever has not heard what this shard told itself last, for the minute `told`, has not heard the others either. That
    /// word is waited for, with `patience`: where minutes are caught up with, one is planned right after the other.
    ///
    /// # Errors
    /// Why the others' demands are not known.
    pub(crate) fn part_mb(
        &self,
        capacity_mb: f64,
        minute: u32,
        told: Option<u32>,
        patience: Duration,
    ) -> Result<f64, String> {
        let number = self.shard.number;
        let is_deaf = |held: &Held| {
            !held.unread.contains(&number)
                && held.heard.get(&number).map(|heard| heard.last.wants.minute) < told
        };
        let waited = self.share.came.wait_timeout_while(self.share.held(), patience, |held| is_deaf(held));
        let (held, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if is_deaf(&held) {
            return Err(format!(
                "what shard {number} told last has not come back; `aquatope doctor` looks whether the plans can be read"
            ));
        }
        if let Some(unread) = held.unread.range(..self.shard.of).next() {
            return Err(format!("what shard {unread} tells is of another version; {ONE_VERSION}"));
        }
        let demand = |shard: u32| {
            let Heard { last, before } = held.heard.get(&shard)?;
            if last.wants.minute < minute { Some(last.demand) } else { *before }
        };
        let demands: Vec<Option<Demand>> = (0..self.shard.of).map(demand).collect();
        Ok(part_mb(capacity_mb, &demands, number as usize))
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
            self.share.tell(&mut held);
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::actuate::Wanted;

    fn wants(minute: u32, name: &str) -> Wants {
        let function = Wanted {
            name: name.into(),
            namespace: "guest".into(),
            kind: "nodejs:20".into(),
            memory_mb: 256,
            containers: 1,
            busy: 0,
            warm: 0,
            cold_start_ms: 0,
        };
        Wants { minute, functions: vec![function], share: None }
    }

    fn plan(minute: u32, name: &str) -> Told {
        Told { wants: wants(minute, name), ..Told::default() }
    }

    fn begin(share: &Arc<Share>, number: u32) -> Term {
        share.begin(Shard { number, of: 3 }, Arc::new(Store::in_memory().unwrap()), HashMap::new())
    }

    fn told(wanted: &mut watch::Receiver<Arc<Wants>>) -> Option<(u32, Vec<String>)> {
        let changed = wanted.has_changed().unwrap();
        let wants = Arc::clone(&wanted.borrow_and_update());
        let names = wants.functions.iter().map(|function| function.name.clone()).collect();
        changed.then_some((wants.minute, names))
    }

    #[test]
    fn each_acts_for_what_it_holds() {
        let (share, mut wanted) = Share::new(None);
        let (zero, two) = (begin(&share, 0), begin(&share, 2));
        zero.want(wants(7, "a"));
        two.want(wants(8, "c"));
        assert_eq!(told(&mut wanted), Some((8, vec!["a".into(), "c".into()])));
        assert_eq!(wanted.borrow().share, Some((2, 3)));
        // The shard was given away and came back before its old planner ended.
        let later = begin(&share, 2);
        two.want(wants(9, "old"));
        assert!(!two.end());
        later.want(wants(9, "new"));
        assert_eq!(told(&mut wanted), Some((9, vec!["a".into(), "new".into()])));
        assert!(later.end());
        assert_eq!(told(&mut wanted), Some((7, vec!["a".into()])));
        assert!(zero.end());
        assert_eq!(told(&mut wanted), None, "nothing is held: the platform keeps what it has");
    }

    #[test]
    fn the_holder_of_shard_0_acts_for_all_once_it_has_heard_of_all() {
        let (share, mut wanted) = Share::new(Some(Duration::from_secs(3600)));
        let one = begin(&share, 1);
        one.want(wants(7, "b"));
        share.hear(2, Some(plan(7, "c")));
        assert_eq!(told(&mut wanted), None, "another one acts");
        let zero = begin(&share, 0);
        zero.want(wants(8, "a"));
        assert_eq!(told(&mut wanted), None, "the others have not planned this minute yet");
        one.want(wants(8, "b"));
        share.hear(2, Some(plan(8, "c")));
        assert_eq!(told(&mut wanted), Some((8, vec!["a".into(), "b".into(), "c".into()])));
        share.hear(2, Some(plan(9, "c")));
        share.look();
        assert_eq!(told(&mut wanted), None, "once a minute");
    }

    #[test]
    fn a_shard_that_was_just_taken_over_counts_with_its_last_plan() {
        let (share, mut wanted) = Share::new(Some(Duration::ZERO));
        let zero = begin(&share, 0);
        share.hear(1, Some(plan(7, "b")));
        let one = begin(&share, 1);
        zero.want(wants(8, "a"));
        share.hear(0, Some(plan(8, "a")));
        assert_eq!(told(&mut wanted), Some((8, vec!["a".into(), "b".into()])));
        one.want(wants(9, "ours"));
        zero.want(wants(9, "a"));
        share.hear(0, Some(plan(9, "a")));
        assert_eq!(told(&mut wanted), Some((9, vec!["a".into(), "ours".into()])));
    }

    #[test]
    fn a_shard_without_a_holder_is_not_waited_for_long() {
        let (share, mut wanted) = Share::new(Some(Duration::ZERO));
        share.hear(1, Some(plan(3, "b")));
        let zero = begin(&share, 0);
        zero.want(wants(8, "a"));
        assert_eq!(told(&mut wanted), None, "nobody knows what the others have told since");
        share.hear(0, Some(plan(8, "a")));
        assert_eq!(told(&mut wanted), Some((8, vec!["a".into(), "b".into()])));
    }

    #[test]
    fn nothing_is_set_while_what_another_shard_tells_cannot_be_read() {
        let (share, mut wanted) = Share::new(Some(Duration::ZERO));
        let (zero, two) = (begin(&share, 0), begin(&share, 2));
        share.hear(1, None);
        zero.want(wants(8, "a"));
        two.want(wants(8, "c"));
        share.hear(0, Some(plan(8, "a")));
        share.look();
        assert_eq!(told(&mut wanted), None, "its functions would have nothing");
        // What is ours needs not be read.
        share.hear(2, None);
        share.hear(1, Some(plan(7, "b")));
        assert_eq!(told(&mut wanted), Some((8, ["a", "b", "c"].map(String::from).into())));
    }

    #[test]
    fn a_shard_whose_last_plan_cannot_be_read_is_waited_for_until_it_is_planned_here() {
        let (share, mut wanted) = Share::new(Some(Duration::ZERO));
        let (zero, two) = (begin(&share, 0), begin(&share, 2));
        share.hear(1, Some(plan(7, "b")));
        share.hear(2, None);
        // Of a time of more shards.
        share.hear(9, None);
        zero.want(wants(8, "a"));
        share.hear(0, Some(plan(8, "a")));
        share.look();
        assert_eq!(told(&mut wanted), None, "its functions would have nothing");
        let version = two.part_mb(300.0, 9, Some(8), Duration::from_secs(100)).unwrap_err();
        assert_eq!(version, "what shard 2 tells is of another version; run one version on all instances");
        two.want(wants(8, "c"));
        assert_eq!(told(&mut wanted), Some((8, ["a", "b", "c"].map(String::from).into())));
    }

    #[test]
    fn a_shard_of_another_version_is_told_when_that_is_new() {
        let (share, _wanted) = Share::new(None);
        let is_new = [None, None, Some(plan(7, "b")), None].map(|told| share.hear(1, told));
        assert_eq!(is_new, [true, false, false, true]);
    }

    #[test]
    fn memory_is_divided_by_what_was_asked_for_in_the_minute_before() {
        let (share, _wanted) = Share::new(None);
        let terms = [0, 1, 2].map(|number| begin(&share, number));
        let parts = |minute: u32| {
            terms.each_ref().map(|term| term.part_mb(300.0, minute, None, Duration::ZERO).unwrap())
        };
        assert_eq!(parts(7), [100.0; 3]);
        let asks = |shard: u32, minute: u32, wanted_mb: f64| {
            let demand = Demand { wanted_mb, busy_mb: 0.0 };
            share.hear(shard, Some(Told { demand, ..plan(minute, "f") }));
        };
        [(0, 600.0), (1, 200.0), (2, 0.0)].into_iter().for_each(|(shard, mb)| asks(shard, 7, mb));
        assert_eq!(parts(8), [225.0, 75.0, 0.0]);
        // The first has planned minute 8, and once more in place of what it held.
        asks(0, 8, 0.0);
        asks(0, 8, 10.0);
        assert_eq!(parts(8), [225.0, 75.0, 0.0], "the same for whoever is later");
        assert_eq!(parts(9), [40.0, 230.0, 30.0]);
    }

    #[test]
    fn nothing_is_divided_while_the_others_are_not_heard() {
        let (share, _wanted) = Share::new(None);
        let zero = begin(&share, 0);
        let part = |minute: u32, told: Option<u32>| zero.part_mb(300.0, minute, told, Duration::ZERO);
        assert_eq!(part(7, None), Ok(100.0), "it never told anything: the others leave it an equal part");
        let asks = |shard: u32, minute: u32| {
            let demand = Demand { wanted_mb: 400.0, busy_mb: 0.0 };
            share.hear(shard, Some(Told { demand, ..plan(minute, "f") }));
        };
        assert!(part(8, Some(7)).is_err(), "taken over, and nothing was read yet");
        [0, 1, 2].into_iter().for_each(|shard| asks(shard, 7));
        assert_eq!(part(8, Some(7)), Ok(100.0));
        // What it tells for minute 8 does not come back; whatever the others want by then.
        assert!(part(9, Some(8)).unwrap_err().contains("shard 0"));
        asks(0, 8);
        assert_eq!(part(9, Some(8)), Ok(100.0));
        share.hear(2, None);
        assert!(part(9, Some(8)).unwrap_err().contains("shard 2"));
        asks(2, 8);
        assert_eq!(part(9, Some(8)), Ok(100.0));
        // Minutes are caught up with: what was told for the one before comes while the next is planned.
        thread::scope(|scope| {
            let part = scope.spawn(|| zero.part_mb(300.0, 10, Some(9), Duration::from_secs(100)));
            // It has time to give up too soon.
            let until = Instant::now() + Duration::from_millis(200);
            while !part.is_finished() && Instant::now() < until {
                thread::yield_now();
            }
            asks(0, 9);
            assert_eq!(part.join().unwrap(), Ok(100.0));
        });
    }
}

//! Events to per-minute windows of every function, exactly once: a state machine without I/O and without a clock.
//!
//! ```text
//! handle_assigned, handle_gap, handle_removed, handle_activation, handle_foreign, handle_throttled,
//! handle_unreadable, handle_caught_up, exclude
//!                 -> handle_timeout(now) -> poll_commit -> (the caller makes it durable) -> handle_committed
//!                                        -> poll_report
//! ```
//! A run counts from its arrival (`ended - duration - wait`) for as long as a warm container would have been busy. A
//! minute is told first when the watermark is `ahead` of its end, with what is known by then, so that the next one can be
//! planned before it begins. Until it is final it is *provisional*, and told anew, fuller, with every minute after it. It is
//! *final* once the watermark passes its end and `final_after`, and is handed out once. The watermark is the time up to
//! which everything that was produced has been read, the least of the partitions': a backlog or a dead broker closes nothing
//! early.
//!
//! Only final windows are durable. With them goes, for every partition, the offset from which the rest can be counted
//! again after a restart; what was final already is left out then. So nothing is lost and nothing counts twice, and a
//! duplicate has to be recognised only while a minute it touches is open.

mod durable;
mod exclusions;
mod function;
mod input;
mod occupancy;
mod partition;
mod report;
mod runs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use aquatope_core::activation::{ActivationId, FunctionId};
use aquatope_core::time::{Minute, Timestamp};
use aquatope_core::window::{HORIZON, Window};

use exclusions::Exclusions;
use function::{Function, describe};
use partition::Partition;
use runs::{Run, Runs};

pub use durable::{Commit, Restored};
pub use input::{Counters, Finished, Origin};
pub use partition::{PartitionOffsets, Place};
pub use report::{Asked, FunctionInfo, MinuteReport, SequenceRuns, of_name};

/// How minutes are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObserverConfig {
    /// How long before its end a minute is reported; at most a minute.
    pub ahead: Duration,
    /// How long after its end a minute is final: the longest run and wait to expect.
    pub final_after: Duration,
    /// Runs of a function that are kept one by one; with more open, its peaks are sampled. 32 bytes each.
    pub exact_runs: usize,
    /// Functions that are told apart; runs of further ones do not count. About 1.5 KB each in the whole service, 13 KB
    /// more while they are busy.
    pub functions: usize,
}

impl Default for ObserverConfig {
    /// 5 s; 6 min, a minute more than OpenWhisk's default time limit; 512; 100,000.
    fn default() -> Self {
        Self {
            ahead: Duration::from_secs(5),
            final_after: Duration::from_secs(360),
            exact_runs: 512,
            functions: 100_000,
        }
    }
}

/// See the module's header.
#[derive(Clone, Debug)]
pub struct Observer {
    config: ObserverConfig,
    ids: HashMap<Box<str>, FunctionId>,
    functions: Vec<Function>,
    partitions: Vec<Partition>,
    /// What was stored of partitions that are not assigned yet.
    stored_offsets: Vec<PartitionOffsets>,
    /// The first minute that is not final; `None` until there is an event or a watermark.
    open: Option<Minute>,
    /// The minutes before it have been reported.
    reported: Minute,
    now: Timestamp,
    watermark: Timestamp,
    /// What the system's clock shows, where that is later than `now` because it is not believed yet.
    shown: Timestamp,
    /// How many gaps are being filled; the watermark stands still meanwhile.
    holds: u32,
    /// Ids of the sequences that ended in each open minute, at most [`SEQUENCE_IDS`] of each.
    sequence_ids: BTreeMap<Minute, HashSet<ActivationId>>,
    /// Sequences since the last report.
    sequences: BTreeMap<String, SequenceRuns>,
    /// Refusals since the last report, by namespace.
    throttled: BTreeMap<String, u64>,
    exclusions: Exclusions,
    spilled: SpilledIds,
    /// Final and durable, not reported yet.
    finals: Vec<(FunctionId, Window)>,
    /// Functions to describe in the next report.
    changed: Vec<FunctionId>,
    counters: Counters,
}

/// Ids of runs that are no longer kept one by one: the last [`SpilledIds::GENERATION`] to twice as many.
#[derive(Clone, Debug, Default)]
struct SpilledIds {
    young: HashSet<ActivationId>,
    old: HashSet<ActivationId>,
}

/// Events further ahead of the clock are not believed.
const AHEAD_MS: u64 = 600_000;

/// How many sequences of a minute are told apart by their ids.
const SEQUENCE_IDS: usize = 65_536;

/// How far before the first event ever seen counting begins.
const BEFORE_FIRST: u32 = 60;

/// OpenWhisk's own activations, with absurd waits.
const SYSTEM: &str = "whisk.system";

impl Observer {
    /// Go on where a store left off, or begin.
    pub fn new(config: ObserverConfig, restored: Restored) -> Self {
        let Restored { open, functions, offsets, exclusions } = restored;
        let ids = functions.iter().zip(0..).map(|(info, id)| (info.name.as_str().into(), FunctionId(id)));
        Self {
            config,
            ids: ids.collect(),
            functions: functions.into_iter().map(Function::restored).collect(),
            partitions: Vec::new(),
            stored_offsets: offsets,
            open,
            reported: open.unwrap_or(Minute(0)),
            now: Timestamp(0),
            watermark: open.map_or(Timestamp(0), Minute::start),
            shown: Timestamp(0),
            holds: 0,
            sequence_ids: BTreeMap::new(),
            sequences: BTreeMap::new(),
            throttled: BTreeMap::new(),
            exclusions: Exclusions::new(exclusions),
            spilled: SpilledIds::default(),
            finals: Vec::new(),
            changed: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Where to read on in `partition`, if the store knew it; [`Self::handle_assigned`] is then to be called.
    pub fn stored(&self, partition: i32) -> Option<PartitionOffsets> {
        self.stored_offsets.iter().find(|offsets| offsets.partition == partition).copied()
    }

    /// Whether a partition was ever read.
    pub fn has_begun(&self) -> bool {
        !self.partitions.is_empty() || !self.stored_offsets.is_empty()
    }

    /// The messages of `partition` come from offset `position` on. Call it before the first of them. Until it is caught
    /// up, a partition holds the watermark.
    pub fn handle_assigned(&mut self, partition: i32, position: i64) {
        let stored = self.stored_offsets.iter().position(|offsets| offsets.partition == partition);
        let offsets = stored.map(|at| self.stored_offsets.swap_remove(at));
        let seen = offsets.map_or(position, |offsets| offsets.position);
        let offsets = PartitionOffsets { partition, resume: position, position: seen };
        self.handle_removed(partition);
        self.partitions.push(Partition::new(offsets));
    }

    /// Messages of `partition` before `position` were lost before they were read, and it goes on there; `remade`: none of
    /// its messages were ever read. Until `minute` is final, a restart finds the gap again.
    pub fn handle_gap(&mut self, partition: i32, position: i64, remade: bool, minute: Minute) {
        if let Some(known) = self.partitions.iter_mut().find(|known| known.id == partition) {
            known.skip_to(position, remade, minute);
        }
    }

    /// There is no such partition any more.
    pub fn handle_removed(&mut self, partition: i32) {
        self.partitions.retain(|known| known.id != partition);
    }

    /// Take in one finished activation. Work: O(log of its function's open runs) when they come about in order.
    pub fn handle_activation(&mut self, origin: Origin, finished: &Finished<'_>) {
        let Some(replayed) = self.begin(origin, Some(finished.ended)) else { return };
        let outcome = self.count_activation(origin, finished, replayed);
        let counters = &mut self.counters;
        if replayed {
            counters.replayed += 1;
            return;
        }
        match outcome {
            Outcome::Whole => counters.activations += 1,
            Outcome::Partly => {
                counters.activations += 1;
                counters.partly += 1;
            }
            Outcome::Sequence => counters.sequences += 1,
            Outcome::Duplicate => counters.duplicates += 1,
            Outcome::Own => counters.own += 1,
            Outcome::System => counters.system += 1,
            Outcome::Late => counters.late += 1,
            Outcome::Ahead => counters.ahead += 1,
            Outcome::Excess => counters.excess += 1,
            Outcome::Implausible => counters.implausible += 1,
        }
    }

    /// A request of `namespace` was refused at `at`.
    pub fn handle_throttled(&mut self, place: Place, namespace: &str, at: Timestamp) {
        let Some(replayed) = self.begin(Origin::Message(place), Some(at)) else { return };
        if !replayed {
            self.counters.throttled += 1;
            *of_name(&mut self.throttled, namespace) += 1;
        }
    }

    /// A message that says nothing to us.
    pub fn handle_other(&mut self, place: Place, at: Option<Timestamp>) {
        let Some(replayed) = self.begin(Origin::Message(place), at) else { return };
        self.counters.other += u64::from(!replayed);
    }

    /// A message that is another observer's.
    pub fn handle_foreign(&mut self, place: Place, at: Option<Timestamp>) {
        self.begin(Origin::Message(place), at);
    }

    /// A message that cannot be read; true: for the first time.
    pub fn handle_unreadable(&mut self, place: Place) -> bool {
        let new = self.begin(Origin::Message(place), None) == Some(false);
        self.counters.unreadable += u64::from(new);
        new
    }

    /// Everything that was in `partition` at `at` has been read.
    pub fn handle_caught_up(&mut self, partition: i32, at: Timestamp) {
        if let Some(known) = self.partitions.iter_mut().find(|known| known.id == partition) {
            known.caught_up(at);
        }
    }

    /// The activation `id` of the action `name` is our own warm-up call: it does not count, whether its event came
    /// already or is still to come. The namespace and the minute of a run that counted until now.
    pub fn exclude(&mut self, name: &str, id: ActivationId) -> Option<(&str, Minute)> {
        self.exclusions.insert(id, self.now);
        let function = self.functions.get_mut(self.ids.get(name)?.0 as usize)?;
        let run = function.runs.remove(id)?;
        // It stays among the activations: a counter that falls is taken for one that began anew.
        self.counters.own += 1;
        Some((&function.info.namespace, minute_of(run.from)))
    }

    /// Whether the activation `id` is a warm-up call of our own.
    pub fn is_own(&self, id: ActivationId) -> bool {
        self.exclusions.contains(id)
    }

    /// A gap is to be filled from records: the watermark stands still until [`Self::release`].
    pub fn hold(&mut self) {
        self.holds += 1;
    }

    /// The gap is filled, or given up.
    pub fn release(&mut self) {
        self.holds = self.holds.saturating_sub(1);
    }

    /// Whether a gap is being filled. What is stored meanwhile would pass over it after a restart.
    pub fn is_held(&self) -> bool {
        self.holds > 0
    }

    /// The system's clock shows `shown`, though it is `now` as far as anybody knows. Events up to then count, as they may
    /// be right; nothing is closed by it.
    pub fn handle_shown(&mut self, shown: Timestamp) {
        self.shown = shown;
    }

    /// Whether an event of time `at` would be too far ahead to count.
    pub fn is_ahead(&self, at: Timestamp) -> bool {
        at.0 > self.now.max(self.shown).0.saturating_add(AHEAD_MS)
    }

    /// It is `now`. When the clock steps back, what was closed stays closed, and the rest goes by the new time.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = now;
        let least = self.partitions.iter().map(Partition::watermark).min();
        if let Some(least) = least
            && self.holds == 0
        {
            self.watermark = self.watermark.max(least.min(self.now));
        }
        // By what was read, not by the clock: after an outage the events of our calls are still to come.
        self.exclusions.expire(self.watermark);
    }

    /// The minutes that are due to become final, to be made durable; `None`: none is. After a long pause that takes
    /// several commits, each of at most [`HORIZON`] minutes from the first that was not idle: call it until there is
    /// none. Nothing changes until [`Self::handle_committed`], so a store that fails is simply asked again later.
    /// Work: O(r log r) in the runs of each function.
    pub fn poll_commit(&mut self) -> Option<Commit> {
        if !self.is_commit_due() {
            return None;
        }
        let due = self.due();
        let open = self.open.unwrap_or(due);
        let busy = self.functions.iter().filter_map(|function| function.runs.first()).min();
        let until = due.min(Minute(busy.map_or(due, |busy| busy.max(open)).0.saturating_add(HORIZON)));
        let mut windows = Vec::new();
        let mut ends = Vec::new();
        for (id, function) in (0..).map(FunctionId).zip(&self.functions) {
            function.runs.windows(open, until, &mut ends, |window| windows.push((id, window)));
        }
        windows.sort_by_key(|&(id, window)| (window.minute, id));
        Some(Commit { open: Some(until), windows, ..self.checkpoint(Some(until)) })
    }

    /// Whether a minute is due to become final.
    pub fn is_commit_due(&self) -> bool {
        let due = self.due();
        due > Minute(0) && self.open.is_none_or(|open| open < due)
    }

    /// What else is to be made durable, without closing a minute: where reading began, and our own warm-up calls.
    pub fn poll_checkpoint(&mut self) -> Commit {
        self.checkpoint(self.open)
    }

    /// The minutes before it have passed.
    fn due(&self) -> Minute {
        Timestamp(self.watermark.0.saturating_sub(millis(self.config.final_after))).minute()
    }

    fn checkpoint(&self, open: Option<Minute>) -> Commit {
        let functions = (0..).map(FunctionId).zip(&self.functions);
        Commit {
            open: self.open,
            windows: Vec::new(),
            functions: functions
                .filter(|(_, function)| function.is_changed())
                .map(|(id, function)| (id, function.info.clone()))
                .collect(),
            offsets: self.partitions.iter().map(|partition| partition.offsets(open)).collect(),
            exclusions: self.exclusions.to_store(),
        }
    }

    /// `commit` is durable.
    pub fn handle_committed(&mut self, commit: Commit) {
        for (id, _) in &commit.functions {
            if let Some(function) = self.functions.get_mut(id.0 as usize) {
                function.stored = Some(function.means());
                self.changed.push(*id);
            }
        }
        if commit.exclusions.is_some() {
            self.exclusions.stored();
        }
        if commit.open == self.open {
            return;
        }
        self.open = commit.open;
        let Some(open) = commit.open else { return };
        self.finals.extend(commit.windows);
        for function in self.functions.iter_mut().filter(|function| !function.runs.is_empty()) {
            function.runs.forget(open);
        }
        self.partitions.iter_mut().for_each(|partition| partition.forget(open));
        self.sequence_ids = self.sequence_ids.split_off(&open);
    }

    /// What is new, if a further minute is about to end since the last report. Call it after the commits that are due.
    pub fn poll_report(&mut self) -> Option<MinuteReport> {
        let end = Timestamp(self.watermark.0.saturating_add(millis(self.config.ahead))).minute();
        if end <= self.reported || end == Minute(0) {
            return None;
        }
        self.reported = end;
        let open = self.open.unwrap_or(end);
        let mut provisional = Vec::new();
        let mut ends = Vec::new();
        for (id, function) in (0..).map(FunctionId).zip(&mut self.functions) {
            function.runs.windows(open, end, &mut ends, |window| provisional.push((id, window)));
            if function.stored.is_none() {
                self.changed.push(id);
            }
        }
        self.changed.sort_unstable();
        self.changed.dedup();
        let functions = &self.functions;
        let describe = |id: FunctionId| Some((id, functions.get(id.0 as usize)?.info.clone()));
        let minute = Minute(end.0 - 1);
        Some(MinuteReport {
            minute,
            open,
            finals: std::mem::take(&mut self.finals),
            provisional,
            functions: self.changed.drain(..).filter_map(describe).collect(),
            sequences: std::mem::take(&mut self.sequences),
            throttled: std::mem::take(&mut self.throttled),
            beyond_rate: BTreeMap::new(),
            behind: self.behind(),
        })
    }

    /// The clock minus the watermark.
    pub fn behind(&self) -> Duration {
        Duration::from_millis(self.now.0.saturating_sub(self.watermark.0))
    }

    /// The time up to which everything has been read.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// The first minute that is not final.
    pub fn open(&self) -> Option<Minute> {
        self.open
    }

    /// What was read.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How many functions there are.
    pub fn functions(&self) -> usize {
        self.functions.len()
    }

    /// The functions whose peaks are sampled at present, because too many of their runs are open.
    pub fn sampled(&self) -> usize {
        self.functions.iter().filter(|function| function.runs.is_spilled()).count()
    }

    /// The offset after the last message of every assigned partition.
    pub fn positions(&self) -> impl Iterator<Item = (i32, i64)> {
        self.partitions.iter().map(|partition| (partition.id, partition.position()))
    }

    /// Take note of a message; `None`: it was read already, else whether it was before the restart.
    fn begin(&mut self, origin: Origin, at: Option<Timestamp>) -> Option<bool> {
        let Origin::Message(place) = origin else { return Some(false) };
        let partition = self.partitions.iter_mut().find(|known| known.id == place.partition)?;
        if !partition.advance(place.offset) {
            return None;
        }
        if let Some(at) = at {
            partition.note_time(at);
        }
        Some(partition.is_replayed(place.offset))
    }

    /// What was learned at `origin` counts in minutes up to `last`.
    fn touch(&mut self, origin: Origin, last: Minute) {
        if let Origin::Message(place) = origin
            && let Some(partition) = self.partitions.iter_mut().find(|known| known.id == place.partition)
        {
            partition.touch(last, place.offset);
        }
    }

    fn count_activation(&mut self, origin: Origin, finished: &Finished<'_>, replayed: bool) -> Outcome {
        if finished.namespace == SYSTEM {
            return Outcome::System;
        }
        if finished.id.is_some_and(|id| self.is_own(id)) {
            return Outcome::Own;
        }
        if self.is_ahead(finished.ended) {
            return Outcome::Ahead;
        }
        let Some(arrival) = finished.arrival() else { return Outcome::Implausible };
        let open = *self.open.get_or_insert(Minute(finished.ended.minute().0.saturating_sub(BEFORE_FIRST)));
        if finished.is_sequence {
            return self.count_sequence(origin, finished, open, replayed);
        }
        // Not after its end, or 1 ms after an end without a duration.
        let to = arrival + finished.duration_ms.saturating_sub(finished.init_ms).max(1);
        let open_ms = open.start().0;
        if to <= open_ms {
            return Outcome::Late;
        }
        let id = finished.id.unwrap_or_else(|| unique(origin));
        let Some(function) = self.function(finished, minute_of(arrival)) else { return Outcome::Excess };
        let is_spilled = self.functions[function.0 as usize].runs.is_spilled();
        if is_spilled && self.spilled.contains(id) {
            return Outcome::Duplicate;
        }
        let Function { runs, info, stored } = &mut self.functions[function.0 as usize];
        let run = Run { from: arrival, to, id, cold: finished.init_ms > 0 };
        if !runs.insert(run, origin == Origin::Record) {
            return Outcome::Duplicate;
        }
        runs.spill(self.config.exact_runs, open, |id| self.spilled.insert(id));
        if !replayed && describe(info, finished) {
            *stored = None;
        }
        self.touch(origin, minute_of(to - 1));
        if arrival < open_ms { Outcome::Partly } else { Outcome::Whole }
    }

    fn count_sequence(
        &mut self,
        origin: Origin,
        finished: &Finished<'_>,
        open: Minute,
        replayed: bool,
    ) -> Outcome {
        let minute = finished.ended.minute();
        if minute < open {
            return Outcome::Late;
        }
        let ids = self.sequence_ids.entry(minute).or_default();
        if let Some(id) = finished.id
            && ids.len() < SEQUENCE_IDS
            && !ids.insert(id)
        {
            return Outcome::Duplicate;
        }
        if !replayed {
            let sequence = of_name(&mut self.sequences, finished.name);
            sequence.runs += 1;
            sequence.failed += u64::from(finished.failed);
        }
        self.touch(origin, minute);
        Outcome::Sequence
    }

    /// The function of that name, new if there is none; `None`: there are too many.
    fn function(&mut self, finished: &Finished<'_>, first: Minute) -> Option<FunctionId> {
        if let Some(&id) = self.ids.get(finished.name) {
            return Some(id);
        }
        if self.functions.len() >= self.config.functions {
            return None;
        }
        let id = FunctionId(self.functions.len() as u32);
        self.ids.insert(finished.name.into(), id);
        let info = FunctionInfo {
            name: finished.name.to_owned(),
            kind: finished.kind.to_owned(),
            namespace: finished.namespace.to_owned(),
            memory_mb: finished.memory_mb,
            first,
            ..FunctionInfo::default()
        };
        self.functions.push(Function { info, runs: Runs::default(), stored: None });
        Some(id)
    }
}

/// What became of an activation.
enum Outcome {
    Whole,
    Partly,
    Sequence,
    Duplicate,
    Own,
    System,
    Late,
    Ahead,
    Excess,
    Implausible,
}

impl SpilledIds {
    /// 1 to 2 x 16 MiB when there are that many.
    const GENERATION: usize = 1 << 20;

    fn insert(&mut self, id: ActivationId) {
        if self.young.len() == Self::GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id);
    }

    fn contains(&self, id: ActivationId) -> bool {
        self.young.contains(&id) || self.old.contains(&id)
    }
}

/// An id for an activation that has none: its place.
fn unique(origin: Origin) -> ActivationId {
    match origin {
        Origin::Message(place) => ActivationId((place.partition as u64) << 48 ^ place.offset as u64),
        Origin::Record => ActivationId(0),
    }
}

fn minute_of(ms: u64) -> Minute {
    Timestamp(ms).minute()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! The containers themselves, and what a policy may do with them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{FunctionOutcome, Outcome};
use crate::trace::Function;

/// All containers at one instant of virtual time.
///
/// A call costs a heap operation for every container it launches, evicts or serves by, and nothing that grows with the
/// number of containers but this: a function that serves several invocations in one container looks through its
/// containers with a free slot when one of them falls idle.
#[derive(Debug)]
pub struct Pool<'t> {
    functions: &'t [Function],
    now_s: f64,
    score_from_s: f64,
    fleets: Vec<Fleet>,
    containers: Vec<Container>,
    free: Vec<u32>,
    /// What is due, earliest first: time bits, then kind, then container or function, packed into one integer.
    agenda: BinaryHeap<Reverse<u128>>,
    memory_mb: f64,
}

/// The containers of one function.
#[derive(Clone, Debug)]
struct Fleet {
    /// Idle containers, the longest idle first.
    idle: VecDeque<u32>,
    /// Busy containers with a free slot (concurrency above 1), the one with room most recently last.
    open: Vec<u32>,
    alive: u32,
    starting: u32,
    keep_alive_s: f64,
    /// When the next expiry check is due; infinite when none is.
    expiry_s: f64,
    wake_s: f64,
    counted_until_s: f64,
    outcome: FunctionOutcome,
}

#[derive(Clone, Copy, Debug)]
struct Container {
    function: u32,
    /// Invocations it serves.
    load: u32,
    idle_since_s: f64,
}

/// Something the policy is told about.
pub(super) enum Due {
    Finished(usize),
    Wake(usize),
}

// Kinds of agenda entries, in the order they happen at one instant.
const READY: u32 = 0;
const FINISH: u32 = 1;
const WAKE: u32 = 2;
const EXPIRE: u32 = 3;

impl<'t> Pool<'t> {
    pub(super) fn new(functions: &'t [Function], now_s: f64, score_from_s: f64) -> Self {
        let fleet = |function: &Function| Fleet {
            idle: VecDeque::new(),
            open: Vec::new(),
            alive: 0,
            starting: 0,
            keep_alive_s: f64::INFINITY,
            expiry_s: f64::INFINITY,
            wake_s: f64::INFINITY,
            counted_until_s: score_from_s,
            outcome: FunctionOutcome { memory_mb: function.memory_mb, ..FunctionOutcome::default() },
        };
        Self {
            functions,
            now_s,
            score_from_s,
            fleets: functions.iter().map(fleet).collect(),
            containers: Vec::new(),
            free: Vec::new(),
            agenda: BinaryHeap::new(),
            memory_mb: 0.0,
        }
    }

    /// The present, seconds since the trace began.
    pub fn now_s(&self) -> f64 {
        self.now_s
    }

    /// The functions of the trace.
    pub fn functions(&self) -> &'t [Function] {
        self.functions
    }

    /// Containers of `function`: initialising, busy or idle.
    pub fn alive(&self, function: usize) -> u32 {
        self.fleets[function].alive
    }

    /// Idle warm containers of `function`.
    pub fn idle(&self, function: usize) -> u32 {
        self.fleets[function].idle.len() as u32
    }

    /// Pre-warmed containers of `function` that are still initialising.
    pub fn starting(&self, function: usize) -> u32 {
        self.fleets[function].starting
    }

    /// Containers of `function` that serve an invocation (one that waits for its own cold start included).
    pub fn busy(&self, function: usize) -> u32 {
        let fleet = &self.fleets[function];
        fleet.alive - fleet.idle.len() as u32 - fleet.starting
    }

    /// Memory of all containers alive, MB.
    pub fn memory_mb(&self) -> f64 {
        self.memory_mb
    }

    /// Launch a container of `function` ahead of time; it is usable after the function's cold-start time.
    pub fn launch(&mut self, function: usize) {
        self.launch_within(function, self.functions[function].cold_start_s);
    }

    /// Launch a container of `function` ahead of time, usable after `delay_s` seconds.
    pub fn launch_within(&mut self, function: usize, delay_s: f64) {
        let container = self.create(function, 0);
        self.fleets[function].starting += 1;
        self.note(self.now_s + delay_s, READY, container);
    }

    /// Evict the longest idle container of `function`; false when none is idle.
    pub fn evict_oldest(&mut self, function: usize) -> bool {
        let Some(container) = self.fleets[function].idle.pop_front() else { return false };
        self.count_alive(function);
        self.fleets[function].alive -= 1;
        self.memory_mb -= self.functions[function].memory_mb;
        self.free.push(container);
        true
    }

    /// Evict idle containers of `function`, the longest idle first, while more than `target` are alive.
    pub fn evict_surplus(&mut self, function: usize, target: u32) {
        while self.alive(function) > target && self.evict_oldest(function) {}
    }

    /// From now on evict containers of `function` once they are idle for `seconds` (`f64::INFINITY`: never, the
    /// state at the start). Idle containers already past it go at once.
    pub fn set_keep_alive(&mut self, function: usize, seconds: f64) {
        self.fleets[function].keep_alive_s = seconds;
        self.expire(function);
    }

    /// Call the policy's `woke` for `function` at `time_s` (not before now); replaces the function's earlier
    /// request, `f64::INFINITY` withdraws it.
    pub fn wake_at(&mut self, function: usize, time_s: f64) {
        let time_s = time_s.max(self.now_s);
        self.fleets[function].wake_s = time_s;
        if time_s < f64::INFINITY {
            self.note(time_s, WAKE, function as u32);
        }
    }

    /// Whether a warm container of `function` can take an invocation now.
    pub(super) fn has_room(&self, function: usize) -> bool {
        let fleet = &self.fleets[function];
        !fleet.idle.is_empty() || !fleet.open.is_empty()
    }

    /// Serve an invocation that arrives now.
    pub(super) fn serve(&mut self, function: usize, duration_s: f64) {
        let Function { cold_start_s, concurrency, .. } = self.functions[function];
        let fleet = &mut self.fleets[function];
        let scored = self.now_s >= self.score_from_s;
        if scored {
            fleet.outcome.invocations += 1;
            fleet.outcome.busy_s += duration_s;
        }
        if let Some(&container) = fleet.open.last() {
            let load = &mut self.containers[container as usize].load;
            *load += 1;
            if *load == concurrency {
                fleet.open.pop();
            }
            self.note(self.now_s + duration_s, FINISH, container);
        } else if let Some(container) = fleet.idle.pop_back() {
            self.containers[container as usize].load = 1;
            if concurrency > 1 {
                fleet.open.push(container);
            }
            self.note(self.now_s + duration_s, FINISH, container);
        } else {
            fleet.outcome.cold_starts += u64::from(scored);
            let container = self.create(function, 1);
            if concurrency > 1 {
                self.note(self.now_s + cold_start_s, READY, container);
            }
            self.note(self.now_s + cold_start_s + duration_s, FINISH, container);
        }
    }

    /// When the next thing of the agenda is due; infinite when nothing is.
    pub(super) fn next_due_s(&self) -> f64 {
        self.agenda.peek().map_or(f64::INFINITY, |&Reverse(entry)| time_of(entry))
    }

    /// Let the next thing of the agenda happen; what the policy must hear of it.
    pub(super) fn settle_next(&mut self) -> Option<Due> {
        let Reverse(entry) = self.agenda.pop()?;
        self.now_s = time_of(entry);
        let index = entry as u32;
        match (entry >> 32) as u32 {
            READY => {
                self.ready(index);
                None
            }
            FINISH => self.finish(index),
            WAKE => {
                let fleet = &mut self.fleets[index as usize];
                if fleet.wake_s != self.now_s {
                    return None;
                }
                fleet.wake_s = f64::INFINITY;
                Some(Due::Wake(index as usize))
            }
            _ => {
                if self.fleets[index as usize].expiry_s == self.now_s {
                    self.fleets[index as usize].expiry_s = f64::INFINITY;
                    self.expire(index as usize);
                }
                None
            }
        }
    }

    pub(super) fn advance_to(&mut self, now_s: f64) {
        self.now_s = now_s;
    }

    /// End the simulation at `until_s`.
    pub(super) fn close(mut self, until_s: f64, provisioned: Vec<Vec<u32>>) -> Outcome {
        self.now_s = until_s;
        for function in 0..self.fleets.len() {
            self.count_alive(function);
        }
        Outcome { functions: self.fleets.into_iter().map(|fleet| fleet.outcome).collect(), provisioned }
    }

    /// A container has finished initialising.
    fn ready(&mut self, container: u32) {
        let Container { function, load, .. } = self.containers[container as usize];
        let fleet = &mut self.fleets[function as usize];
        if load == 0 {
            fleet.starting -= 1;
            self.rest(container);
        } else if load < self.functions[function as usize].concurrency {
            fleet.open.push(container);
        }
    }

    /// An invocation on `container` ends.
    fn finish(&mut self, container: u32) -> Option<Due> {
        let Container { function, load, .. } = &mut self.containers[container as usize];
        let (function, left) = (*function as usize, *load - 1);
        *load = left;
        let concurrency = self.functions[function].concurrency;
        let open = &mut self.fleets[function].open;
        if left > 0 {
            if left + 1 == concurrency {
                open.push(container);
            }
            return None;
        }
        if concurrency > 1 {
            open.retain(|&other| other != container);
        }
        self.rest(container);
        Some(Due::Finished(function))
    }

    /// `container` becomes idle now.
    fn rest(&mut self, container: u32) {
        let Container { function, idle_since_s, .. } = &mut self.containers[container as usize];
        *idle_since_s = self.now_s;
        let function = *function as usize;
        self.fleets[function].idle.push_back(container);
        if self.fleets[function].keep_alive_s < f64::INFINITY {
            self.expire(function);
        }
    }

    /// Evict what is idle for longer than the keep-alive and note when the next check is due. One check a function
    /// is pending at most: when it comes early, because its container was used again, it notes the next one.
    fn expire(&mut self, function: usize) {
        while let Some(&oldest) = self.fleets[function].idle.front() {
            let fleet = &mut self.fleets[function];
            let deadline_s = self.containers[oldest as usize].idle_since_s + fleet.keep_alive_s;
            if deadline_s > self.now_s {
                if deadline_s < fleet.expiry_s {
                    fleet.expiry_s = deadline_s;
                    self.note(deadline_s, EXPIRE, function as u32);
                }
                return;
            }
            self.evict_oldest(function);
        }
    }

    fn create(&mut self, function: usize, load: u32) -> u32 {
        self.count_alive(function);
        let fleet = &mut self.fleets[function];
        fleet.alive += 1;
        fleet.outcome.launches += u64::from(self.now_s >= self.score_from_s);
        self.memory_mb += self.functions[function].memory_mb;
        let container = Container { function: function as u32, load, idle_since_s: 0.0 };
        if let Some(slot) = self.free.pop() {
            self.containers[slot as usize] = container;
            slot
        } else {
            self.containers.push(container);
            self.containers.len() as u32 - 1
        }
    }

    /// Bring the container-seconds of `function` up to now; to be called before its number of containers changes.
    fn count_alive(&mut self, function: usize) {
        let fleet = &mut self.fleets[function];
        if self.now_s > fleet.counted_until_s {
            fleet.outcome.alive_s += f64::from(fleet.alive) * (self.now_s - fleet.counted_until_s);
            fleet.counted_until_s = self.now_s;
        }
    }

    fn note(&mut self, time_s: f64, kind: u32, index: u32) {
        // The bits of non-negative floats order as the numbers do.
        let entry = u128::from(time_s.to_bits()) << 64 | u128::from(kind) << 32 | u128::from(index);
        self.agenda.push(Reverse(entry));
    }
}

fn time_of(entry: u128) -> f64 {
    f64::from_bits((entry >> 64) as u64)
}

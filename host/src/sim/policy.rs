//! What decides which containers exist, and the two policies every comparison needs: a fixed keep-alive, and one
//! container target per minute.

use super::Pool;
use crate::forecast::Observation;

/// Decides which containers exist. Every hook has a default that does nothing, so a policy states only what it
/// reacts to; without any policy containers are never evicted and never pre-warmed.
///
/// Functions are indices into the trace's functions.
pub trait Policy {
    /// Seconds of load to simulate before the scored part, so that it starts with a filled pool and a policy that
    /// has learnt (`f64::INFINITY`: from the start of the trace).
    fn warm_up_s(&self) -> f64 {
        3600.0
    }

    /// The simulation begins, before anything happens.
    fn begin(&mut self, pool: &mut Pool<'_>) {
        let _ = pool;
    }

    /// Minute `minute` begins; `last` is what every function did in the minute before (all zero in minute 0).
    fn minute(&mut self, minute: usize, last: &[Observation], pool: &mut Pool<'_>) {
        let _ = (minute, last, pool);
    }

    /// An invocation of `function` arrives and is served right after this call; `cold` when no warm container has
    /// room for it now.
    fn arrival(&mut self, function: usize, cold: bool, pool: &mut Pool<'_>) {
        let _ = (function, cold, pool);
    }

    /// An invocation of `function` finished and left its container idle.
    fn finished(&mut self, function: usize, pool: &mut Pool<'_>) {
        let _ = (function, pool);
    }

    /// The time asked for by [`Pool::wake_at`] has come.
    fn woke(&mut self, function: usize, pool: &mut Pool<'_>) {
        let _ = (function, pool);
    }
}

/// Fixed keep-alive: an idle container is evicted after the same time for every function.
#[derive(Clone, Debug)]
pub struct KeepAlive {
    seconds: f64,
}

impl KeepAlive {
    /// Keep idle containers for `seconds`.
    pub fn new(seconds: f64) -> Self {
        Self { seconds }
    }
}

impl Policy for KeepAlive {
    /// Twice the keep-alive, at least two hours.
    fn warm_up_s(&self) -> f64 {
        2.0 * self.seconds.max(3600.0)
    }

    fn begin(&mut self, pool: &mut Pool<'_>) {
        for function in 0..pool.functions().len() {
            pool.set_keep_alive(function, self.seconds);
        }
    }
}

/// A container target for every function and minute, decided beforehand: at each minute boundary missing containers
/// are launched and surplus idle ones evicted, the longest idle first. Before the first stated minute, the last minute's
/// peak.
#[derive(Clone, Debug)]
pub struct Targets<'a> {
    first_minute: usize,
    targets: &'a [Vec<u32>],
    ready_at_once: bool,
    ahead: bool,
    /// The minute that runs.
    minute: usize,
}

impl<'a> Targets<'a> {
    /// `targets[function][i]` containers in minute `first_minute + i`.
    pub fn new(first_minute: usize, targets: &'a [Vec<u32>]) -> Self {
        Self { first_minute, targets, ready_at_once: false, ahead: false, minute: 0 }
    }

    /// Launched containers can serve at once instead of after the function's cold-start time: the clairvoyant
    /// oracle's privilege.
    pub fn ready_at_once(mut self) -> Self {
        self.ready_at_once = true;
        self
    }

    /// After the first stated minute, what is missing is launched the function's cold-start time before its minute, and is
    /// warm when that begins.
    pub fn ahead(mut self) -> Self {
        self.ahead = true;
        self
    }

    fn stated(&self, function: usize, minute: usize) -> Option<u32> {
        self.targets.get(function)?.get(minute.checked_sub(self.first_minute)?).copied()
    }
}

impl Policy for Targets<'_> {
    fn minute(&mut self, minute: usize, last: &[Observation], pool: &mut Pool<'_>) {
        for function in 0..pool.functions().len() {
            let target = self.stated(function, minute).unwrap_or(last[function].peak);
            pool.evict_surplus(function, target);
            let cold_start_s = pool.functions()[function].cold_start_s;
            let delay_s = if self.ready_at_once { 0.0 } else { cold_start_s };
            while pool.alive(function) < target {
                pool.launch_within(function, delay_s);
            }
            let next = self.stated(function, minute + 1);
            if self.ahead && minute >= self.first_minute && next > Some(0) {
                pool.wake_at(function, (minute + 1) as f64 * 60.0 - cold_start_s);
            }
        }
        self.minute = minute;
    }

    fn woke(&mut self, function: usize, pool: &mut Pool<'_>) {
        let next = self.stated(function, self.minute + 1).unwrap_or(0);
        while pool.alive(function) < next {
            pool.launch(function);
        }
    }
}

//! Discrete-event simulation of a container pool in virtual time, container by container.
//!
//! An arrival takes a free slot of a busy container (functions with a concurrency above 1), else the most recently
//! idled warm container; else it is a *cold start*: a new container, busy for the cold-start time and then the
//! invocation. Which containers exist beside that is the [`Policy`]'s business: it is told of every minute, arrival
//! and completion, and acts through the [`Pool`].
//!
//! At one instant things happen in this order: containers finish initialising, invocations finish, wake-ups the
//! policy asked for, keep-alive expiries, the minute boundary, arrivals. Equal inputs give equal outcomes.

mod outcome;
mod policy;
mod pool;

use std::ops::Range;

pub use outcome::{FunctionOutcome, Outcome};
pub use policy::{KeepAlive, Policy, Targets};
pub use pool::Pool;

use crate::forecast::Observation;
use crate::trace::{Event, Trace};
use pool::Due;

const MINUTE_S: f64 = 60.0;

/// One simulation of a trace: what is scored, and what is recorded beside the outcome.
#[derive(Clone, Debug)]
pub struct Simulation<'t> {
    trace: &'t Trace,
    scored: Range<usize>,
    record: bool,
}

impl<'t> Simulation<'t> {
    /// Simulate `trace`, scoring the minutes `scored` (clipped to the trace). [`Trace::events`] must be sorted by start.
    pub fn new(trace: &'t Trace, scored: Range<usize>) -> Self {
        let end = scored.end.min(trace.minutes);
        Self { trace, scored: scored.start.min(end)..end, record: false }
    }

    /// Also record the containers alive at the start of every scored minute, after the policy has acted.
    pub fn record_provisioned(mut self) -> Self {
        self.record = true;
        self
    }

    /// Run one policy from its warm-up to the end of the scored minutes.
    pub fn run<P: Policy + ?Sized>(&self, policy: &mut P) -> Outcome {
        let trace = self.trace;
        let (score_from_s, until_s) =
            (self.scored.start as f64 * MINUTE_S, self.scored.end as f64 * MINUTE_S);
        let start_s = (score_from_s - policy.warm_up_s()).max(0.0);
        let mut pool = Pool::new(&trace.functions, start_s, score_from_s);
        let mut minute = (start_s / MINUTE_S).ceil() as usize;
        let mut observations = vec![Observation::default(); trace.functions.len()];
        let mut provisioned =
            vec![Vec::with_capacity(self.scored.len()); if self.record { trace.functions.len() } else { 0 }];
        let first = trace.events.partition_point(|event| event.start_s < start_s);
        let mut arrivals = trace.events[first..].iter();
        let mut arrival = arrivals.next();
        policy.begin(&mut pool);
        loop {
            let arrival_s = arrival.map_or(f64::INFINITY, |event| event.start_s);
            let boundary_s = minute as f64 * MINUTE_S;
            let next_s = arrival_s.min(boundary_s);
            if pool.next_due_s() <= next_s {
                if pool.next_due_s() >= until_s {
                    break;
                }
                match pool.settle_next() {
                    Some(Due::Finished(function)) => policy.finished(function, &mut pool),
                    Some(Due::Wake(function)) => policy.woke(function, &mut pool),
                    None => {}
                }
                continue;
            }
            if next_s >= until_s {
                break;
            }
            pool.advance_to(next_s);
            if boundary_s <= arrival_s {
                if minute > 0 {
                    observe(trace, minute - 1, &mut observations);
                }
                policy.minute(minute, &observations, &mut pool);
                if minute >= self.scored.start {
                    for (function, row) in provisioned.iter_mut().enumerate() {
                        row.push(pool.alive(function));
                    }
                }
                minute += 1;
            } else if let Some(&Event { function, duration_s, .. }) = arrival {
                let function = function as usize;
                policy.arrival(function, !pool.has_room(function), &mut pool);
                pool.serve(function, duration_s);
                arrival = arrivals.next();
            }
        }
        pool.close(until_s, provisioned)
    }
}

fn observe(trace: &Trace, minute: usize, observations: &mut [Observation]) {
    for (function, observation) in observations.iter_mut().enumerate() {
        *observation =
            Observation { count: trace.counts[function][minute], peak: trace.peaks[function][minute] };
    }
}

#[cfg(test)]
mod tests;

//! FaasCache: containers are cached objects, evicted by greedy-dual size-frequency when memory is needed.
//!
//! Fuerst and Sharma, *FaasCache: Keeping Serverless Computing Alive with Greedy-Dual Caching* (ASPLOS '21),
//! section 4.1: a container has priority `clock + frequency x cold-start time / memory`, with the pool's clock at its
//! last use and the invocations of its function; the least goes first and the clock rises to its priority; the
//! frequency is forgotten with the last container of a function. Idle containers are never evicted for their age.
//! When none is idle, running invocations may exceed the capacity, until the first of them ends.

use std::collections::VecDeque;

use crate::sim::{Policy, Pool};

/// Greedy-dual caching in a fixed memory.
#[derive(Clone, Debug)]
pub struct FaasCache {
    capacity_mb: f64,
    clock: f64,
    functions: Vec<Cached>,
}

#[derive(Clone, Debug, Default)]
struct Cached {
    frequency: f64,
    /// The clock at the last use of every idle container, longest idle first; behind them may be some that are in use
    /// again.
    last_use: VecDeque<f64>,
}

impl FaasCache {
    /// Hold at most `capacity_mb` of containers, but for those that are all in use.
    pub fn new(capacity_mb: f64) -> Self {
        Self { capacity_mb, clock: 0.0, functions: vec![] }
    }

    /// The function whose longest idle container has the least priority, with the priority.
    fn victim(&self, pool: &Pool<'_>) -> Option<(usize, f64)> {
        let candidates = self.functions.iter().zip(pool.functions()).enumerate();
        let priorities = candidates.filter_map(|(index, (cached, function))| {
            let last_use = cached.last_use.front().filter(|_| pool.idle(index) > 0)?;
            let value = cached.frequency * function.cold_start_s / function.memory_mb.max(1.0);
            Some((index, last_use + value))
        });
        priorities.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Evict until `needed_mb` fit in, or nothing is idle.
    fn make_room(&mut self, needed_mb: f64, pool: &mut Pool<'_>) {
        while pool.memory_mb() + needed_mb > self.capacity_mb {
            let Some((victim, priority)) = self.victim(pool) else { break };
            self.clock = self.clock.max(priority);
            pool.evict_oldest(victim);
            self.functions[victim].last_use.pop_front();
            if pool.alive(victim) == 0 {
                self.functions[victim].frequency = 0.0;
            }
        }
    }
}

impl Policy for FaasCache {
    /// Two days: a cache needs longer to fill than a pool.
    fn warm_up_s(&self) -> f64 {
        2.0 * 86_400.0
    }

    fn begin(&mut self, pool: &mut Pool<'_>) {
        self.clock = 0.0;
        self.functions = vec![Cached::default(); pool.functions().len()];
    }

    fn arrival(&mut self, function: usize, cold: bool, pool: &mut Pool<'_>) {
        if cold {
            self.make_room(pool.functions()[function].memory_mb, pool);
        }
        self.functions[function].frequency += 1.0;
    }

    fn finished(&mut self, function: usize, pool: &mut Pool<'_>) {
        // The pool serves from the most recently idled container: what it took since is missing at the back.
        let last_use = &mut self.functions[function].last_use;
        last_use.truncate(pool.idle(function) as usize - 1);
        last_use.push_back(self.clock);
        self.make_room(0.0, pool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::testing::{function, simulate_all};
    use crate::trace::{Event, Trace};

    #[test]
    fn keeps_the_frequent_and_the_dear_to_start() {
        // Room for two containers. a is used three times, b and c once; c needs room at 60 s and b has to go
        // (priority 1 x 2 s / 1024 MB against 3 x 2 / 1024), so a is warm at 70 s and b cold at 80 s, evicting c.
        let event = |function, start_s| Event { function, start_s, duration_s: 1.0 };
        let mut trace = Trace {
            functions: vec![function(), function(), function()],
            events: vec![
                event(0, 0.0),
                event(0, 10.0),
                event(0, 20.0),
                event(1, 30.0),
                event(2, 60.0),
                event(0, 70.0),
                event(1, 80.0),
            ],
            ..Trace::default()
        };
        trace.extend_to(2);
        trace.measure_events();
        let outcome = simulate_all(&trace, &mut FaasCache::new(2048.0));
        assert_eq!(outcome.functions.iter().map(|f| f.cold_starts).collect::<Vec<_>>(), [1, 2, 1]);
        // a from 0, b from 30 to 60, c from 60 to 80, b again from 80.
        assert_eq!(outcome.memory_gb_s(), 120.0 + 30.0 + 20.0 + 40.0);
        // With room for three nothing is evicted; with room for one each switch is cold.
        assert_eq!(simulate_all(&trace, &mut FaasCache::new(3072.0)).cold_percent(), 100.0 * 3.0 / 7.0);
        assert_eq!(simulate_all(&trace, &mut FaasCache::new(1024.0)).cold_percent(), 100.0 * 5.0 / 7.0);
    }

    #[test]
    fn containers_in_use_are_no_victims_and_the_excess_goes_as_soon_as_one_is_idle() {
        // Room for one. a is idle from 3 s and in use again from 10 to 40 s, when b at 20 s finds nothing to evict and
        // exceeds the capacity: busy to 32 s, when it is the only idle one and goes at once.
        let event = |function, start_s, duration_s| Event { function, start_s, duration_s };
        let mut trace = Trace {
            functions: vec![function(), function()],
            events: vec![event(0, 0.0, 1.0), event(0, 10.0, 30.0), event(1, 20.0, 10.0)],
            ..Trace::default()
        };
        trace.extend_to(1);
        trace.measure_events();
        let mut policy = FaasCache::new(1024.0);
        let outcome = simulate_all(&trace, &mut policy);
        assert_eq!(outcome.functions.iter().map(|f| f.cold_starts).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(outcome.memory_gb_s(), 60.0 + 12.0);
        assert_eq!(policy.clock, 2.0 / 1024.0, "the priority of b, once used, and of nothing else");
    }

    #[test]
    fn aging_lets_the_once_frequent_go() {
        // a is used often, then never again. b and c alternate in the one place left: every eviction lifts the clock
        // by 2 / 1024, so after a's eight uses are matched a goes and b and c both stay.
        let mut events: Vec<Event> =
            (0..8).map(|i| Event { function: 0, start_s: f64::from(i) * 5.0, duration_s: 1.0 }).collect();
        events.extend((0..30).map(|i| Event {
            function: 1 + i % 2,
            start_s: 60.0 + f64::from(i) * 10.0,
            duration_s: 1.0,
        }));
        let mut trace =
            Trace { functions: vec![function(), function(), function()], events, ..Trace::default() };
        trace.extend_to(6);
        trace.measure_events();
        let outcome = simulate_all(&trace, &mut FaasCache::new(2048.0));
        let cold: Vec<u64> = outcome.functions.iter().map(|f| f.cold_starts).collect();
        assert_eq!(cold[0], 1);
        assert!((3..12).contains(&cold[1]) && (3..12).contains(&cold[2]), "{cold:?}");
    }
}

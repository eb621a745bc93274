//! OpenWhisk's own pool: idle containers live ten minutes, and reactive stem cells follow the cold starts.
//!
//! Apache OpenWhisk, `ContainerPool.scala`, `adjustPrewarmedContainer` (pull request #4871): at every check the wanted
//! number of pre-warmed containers, idle or starting, is `clamp(cold starts since the last check / threshold * increment, min, max)`,
//! and what is missing is started. Here a stem cell belongs to one function (one runtime kind per function) and
//! shares the idle time-out of warm containers; OpenWhisk's checks every ten minutes by default.

use crate::forecast::Observation;
use crate::sim::{Policy, Pool};

/// The `reactive` entry of a runtime's stem cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reactive {
    /// Fewest idle containers kept.
    pub min_count: u32,
    /// Most idle containers started.
    pub max_count: u32,
    /// Cold starts that call for one `increment`.
    pub threshold: u32,
    /// Containers per `threshold`.
    pub increment: u32,
}

/// Keep-alive plus reactive stem cells.
#[derive(Clone, Debug)]
pub struct OpenWhisk {
    keep_alive_s: f64,
    check_minutes: usize,
    reactive: Reactive,
    cold_starts: Vec<u32>,
}

impl OpenWhisk {
    /// Evict after `keep_alive_s` of idleness (OpenWhisk: 600), check every `check_minutes` (at least one).
    pub fn new(keep_alive_s: f64, check_minutes: usize, reactive: Reactive) -> Self {
        Self { keep_alive_s, check_minutes: check_minutes.max(1), reactive, cold_starts: vec![] }
    }
}

impl Default for Reactive {
    /// One idle container for every cold start since the last check.
    fn default() -> Self {
        Self { min_count: 0, max_count: u32::MAX, threshold: 1, increment: 1 }
    }
}

impl Reactive {
    fn wanted(self, cold_starts: u32) -> u32 {
        let wanted = (cold_starts / self.threshold.max(1)).saturating_mul(self.increment);
        wanted.min(self.max_count).max(self.min_count)
    }
}

impl Policy for OpenWhisk {
    fn warm_up_s(&self) -> f64 {
        2.0 * self.keep_alive_s.max(3600.0)
    }

    fn begin(&mut self, pool: &mut Pool<'_>) {
        self.cold_starts = vec![0; pool.functions().len()];
        for function in 0..self.cold_starts.len() {
            pool.set_keep_alive(function, self.keep_alive_s);
        }
    }

    fn arrival(&mut self, function: usize, cold: bool, _: &mut Pool<'_>) {
        self.cold_starts[function] += u32::from(cold);
    }

    fn minute(&mut self, minute: usize, _: &[Observation], pool: &mut Pool<'_>) {
        if !minute.is_multiple_of(self.check_minutes) {
            return;
        }
        for (function, cold_starts) in self.cold_starts.iter_mut().enumerate() {
            let wanted = self.reactive.wanted(std::mem::take(cold_starts));
            // Those still starting are on their way.
            for _ in pool.idle(function) + pool.starting(function)..wanted {
                pool.launch(function);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::testing::{one_function, simulate};

    #[test]
    fn wanted_stem_cells() {
        let reactive = Reactive { min_count: 1, max_count: 4, threshold: 2, increment: 3 };
        assert_eq!([0, 1, 2, 3, 4, 100].map(|cold| reactive.wanted(cold)), [1, 1, 3, 3, 4, 4]);
    }

    #[test]
    fn stem_cells_that_still_start_are_not_started_again() {
        // A cold start takes 150 s. One at 1 s calls for one stem cell at 60 s, one at 61 s for one at 120 s: it is
        // on its way since 60 s.
        let mut trace = one_function(5, &[(1.0, 1.0), (61.0, 1.0)]);
        trace.functions[0].cold_start_s = 150.0;
        let outcome = simulate(&trace, &mut OpenWhisk::new(600.0, 1, Reactive::default()));
        assert_eq!((outcome.cold_starts, outcome.launches), (2, 3));
    }

    #[test]
    fn cold_starts_of_a_minute_are_prepared_in_the_next() {
        // Two cold starts at 1 s (cold start 2 s, runs 100 s: busy to 103). At 60 s two stem cells start, warm at
        // 62. The two arrivals at 70 s find them; at 120 s there is nothing to add; a third at 75 s is cold.
        let trace = one_function(4, &[(1.0, 100.0), (1.0, 100.0), (70.0, 1.0), (70.0, 1.0), (70.5, 1.0)]);
        let outcome = simulate(&trace, &mut OpenWhisk::new(600.0, 1, Reactive::default()));
        assert_eq!((outcome.cold_starts, outcome.launches), (3, 5));
        let slower = simulate(&trace, &mut OpenWhisk::new(600.0, 2, Reactive::default()));
        assert_eq!((slower.cold_starts, slower.launches), (5, 5), "at 120 s: five cold starts, five idle");
    }
}

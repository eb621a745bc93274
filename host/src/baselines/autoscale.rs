//! Reactive autoscaling: keep as many containers as the busiest of the last minutes needed, the rule of a replica
//! autoscaler with a stabilisation window (Kubernetes' horizontal pod autoscaler scales down to the largest
//! recommendation of its window).

use super::PointForecaster as _;
use super::recent::MovingMax;
use crate::forecast::Observation;
use crate::sim::{Policy, Pool};

/// The largest peak of the last minutes is this minute's target.
#[derive(Clone, Debug)]
pub struct Autoscale {
    minutes: usize,
    functions: Vec<MovingMax>,
}

impl Autoscale {
    /// Look back `minutes` (at least one).
    pub fn new(minutes: usize) -> Self {
        Self { minutes, functions: vec![] }
    }
}

impl Policy for Autoscale {
    fn warm_up_s(&self) -> f64 {
        60.0 * self.minutes as f64 + 3600.0
    }

    fn begin(&mut self, pool: &mut Pool<'_>) {
        self.functions = vec![MovingMax::new(self.minutes, &[]); pool.functions().len()];
    }

    fn minute(&mut self, _: usize, last: &[Observation], pool: &mut Pool<'_>) {
        for (function, (recent, observation)) in self.functions.iter_mut().zip(last).enumerate() {
            recent.observe(observation.peak);
            let target = recent.predict() as u32;
            pool.evict_surplus(function, target);
            while pool.alive(function) < target {
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
    fn keeps_the_busiest_of_two_minutes() {
        // Two at once in minute 0 (cold), one in minute 1, two again in minute 2 (both kept), none in 3 and 4.
        let trace = one_function(6, &[(1.0, 5.0), (1.0, 5.0), (70.0, 1.0), (130.0, 1.0), (130.0, 1.0)]);
        let outcome = simulate(&trace, &mut Autoscale::new(2));
        assert_eq!((outcome.cold_starts, outcome.launches), (2, 2));
        // From 1 s until both go at the start of minute 5.
        assert_eq!(outcome.alive_s, 2.0 * 299.0);
        // With one minute the second container goes at 120 s and is missed at 130 s; all are gone at 240 s.
        let outcome = simulate(&trace, &mut Autoscale::new(1));
        assert_eq!(outcome.cold_starts, 3);
    }
}

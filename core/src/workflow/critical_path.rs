//! End-to-end latency: the longest path through the graph under given durations.
//!
//! `finish_i = max(0, max over predecessors a of (finish_a + overhead)) + duration_i`, `latency = max_i finish_i`.

use super::{StageId, Workflow};
use crate::part::At;
use core::fmt;
use heapless::Vec;

/// The stages that determine the latency, first to last.
#[derive(Clone, Debug, PartialEq)]
pub struct CriticalPath<const F: usize> {
    latency: f64,
    stages: Vec<StageId, F>,
}

impl<const F: usize> CriticalPath<F> {
    /// Seconds from the start of the workflow to the end of its last stage.
    pub const fn latency(&self) -> f64 {
        self.latency
    }

    /// The stages on the path; among equally long paths the one whose stages were added first.
    pub fn stages(&self) -> &[StageId] {
        &self.stages
    }
}

impl<const F: usize> Workflow<F> {
    /// The end-to-end latency under one duration (seconds) per stage. Work: one visit per edge.
    ///
    /// # Errors
    /// [`DurationError`] when the number of durations differs from the number of stages, or one is NaN, infinite
    /// or negative.
    pub fn latency(&self, durations: &[f64]) -> Result<f64, DurationError> {
        self.check_durations(durations)?;
        Ok(self.latency_by(|stage| durations.at(stage)))
    }

    /// The critical path under one duration (seconds) per stage.
    ///
    /// # Errors
    /// As [`Workflow::latency`].
    pub fn critical_path(&self, durations: &[f64]) -> Result<CriticalPath<F>, DurationError> {
        self.check_durations(durations)?;
        let mut finish = [0.0; F];
        let latency = self.finish_times(|stage| durations.at(stage), &mut finish);
        let end = |stage: &StageId| finish.at(stage.index());
        let later = |a: &StageId, b: &StageId| end(a).total_cmp(&end(b)).then(b.cmp(a));
        let mut next = self.order.iter().copied().max_by(later);
        let mut stages = Vec::new();
        while let Some(stage) = next {
            // Its stages come once each, and there are at most F.
            let _ = stages.push(stage);
            next = self.predecessors(stage).iter().max_by(later);
        }
        stages.reverse();
        Ok(CriticalPath { latency, stages })
    }

    /// The latency under `duration(index)`, unchecked: NaN counts as 0.
    pub(crate) fn latency_by(&self, duration: impl Fn(usize) -> f64) -> f64 {
        self.finish_times(duration, &mut [0.0; F])
    }

    /// Writes when every stage ends and returns when the last one does.
    pub(crate) fn finish_times(&self, duration: impl Fn(usize) -> f64, finish: &mut [f64; F]) -> f64 {
        let mut latency = 0.0_f64;
        for stage in &self.order {
            let before = self.predecessors(*stage);
            let start = before.iter().fold(0.0_f64, |t, p| t.max(finish.at(p.index()) + self.edge_overhead));
            let end = start + duration(stage.index()).max(0.0);
            if let Some(finish) = finish.get_mut(stage.index()) {
                *finish = end;
            }
            latency = latency.max(end);
        }
        latency
    }

    fn check_durations(&self, durations: &[f64]) -> Result<(), DurationError> {
        if durations.len() != self.len() {
            return Err(DurationError::Count { stages: self.len(), durations: durations.len() });
        }
        match durations.iter().enumerate().find(|(_, d)| !(**d >= 0.0 && d.is_finite())) {
            Some((index, &seconds)) => Err(DurationError::Duration { stage: StageId::new(index), seconds }),
            None => Ok(()),
        }
    }
}

/// Why durations were refused.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum DurationError {
    /// Not one duration per stage.
    Count {
        /// Number of stages of the workflow.
        stages: usize,
        /// Number of durations given.
        durations: usize,
    },
    /// The duration is NaN, infinite or negative.
    Duration {
        /// Of this stage.
        stage: StageId,
        /// The value given.
        seconds: f64,
    },
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { stages, durations } => {
                write!(
                    f,
                    "{durations} durations for {stages} functions; give one per function, in their order"
                )
            }
            Self::Duration { stage, seconds } => {
                write!(f, "function {} took {seconds} s; give a finite number of seconds", stage.index())
            }
        }
    }
}

impl core::error::Error for DurationError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::WorkflowBuilder;
    use proptest::prelude::*;

    fn workflow(stages: usize, edges: &[(usize, usize)], overhead: f64) -> Workflow<8> {
        let mut builder = WorkflowBuilder::new();
        for _ in 0..stages {
            builder.stage().unwrap();
        }
        for &(from, to) in edges {
            builder.edge(StageId::new(from), StageId::new(to)).unwrap();
        }
        builder.edge_overhead(overhead).unwrap();
        builder.build().unwrap()
    }

    #[test]
    fn worked_by_hand() {
        // 0 -> 1 -> 3 and 0 -> 2 -> 3 and 4 alone.
        let w = workflow(5, &[(0, 1), (0, 2), (1, 3), (2, 3)], 0.5);
        let path = w.critical_path(&[1.0, 2.0, 4.0, 1.0, 3.0]).unwrap();
        assert_eq!((path.latency(), path.stages()), (7.0, &[0, 2, 3].map(StageId::new)[..]));
        let lonely = w.critical_path(&[1.0, 2.0, 4.0, 1.0, 8.0]).unwrap();
        assert_eq!((lonely.latency(), lonely.stages()), (8.0, &[StageId::new(4)][..]));
        assert_eq!(w.latency(&[0.0; 5]), Ok(1.0));
    }

    #[test]
    fn bad_durations_are_named() {
        let w = workflow(2, &[(0, 1)], 0.0);
        assert_eq!(w.latency(&[1.0]), Err(DurationError::Count { stages: 2, durations: 1 }));
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            let Err(DurationError::Duration { stage, .. }) = w.critical_path(&[1.0, bad]) else { panic!() };
            assert_eq!(stage.index(), 1);
        }
    }

    /// The longest path by enumeration of all paths.
    fn brute_force(w: &Workflow<8>, durations: &[f64], stage: usize) -> f64 {
        let after = w.successors(StageId::new(stage)).iter();
        let rest =
            after.map(|s| w.edge_overhead() + brute_force(w, durations, s.index())).fold(0.0, f64::max);
        durations[stage] + rest
    }

    proptest! {
        #[test]
        fn is_the_longest_of_all_paths(
            durations in proptest::collection::vec(0.0f64..10.0, 1..=8),
            pairs in proptest::collection::vec((0usize..8, 0usize..8), 0..20),
            overhead in 0.0f64..1.0,
        ) {
            let n = durations.len();
            let edges: std::vec::Vec<_> = pairs.into_iter().filter(|(a, b)| a < b && *b < n).collect();
            let w = workflow(n, &edges, overhead);
            let path = w.critical_path(&durations).unwrap();
            let longest = (0..n).map(|s| brute_force(&w, &durations, s)).fold(0.0, f64::max);
            prop_assert!((path.latency() - longest).abs() < 1e-9);
            let along: f64 = path.stages().iter().map(|s| durations[s.index()]).sum();
            let edges = (path.stages().len() - 1) as f64;
            prop_assert!((along + edges * overhead - longest).abs() < 1e-9);
            for pair in path.stages().windows(2) {
                prop_assert!(w.predecessors(pair[1]).contains(pair[0]));
            }
        }
    }
}

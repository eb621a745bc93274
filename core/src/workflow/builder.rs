//! Building a checked [`Workflow`] from stages and edges.

use super::{StageId, StageSet, Workflow};
use crate::error::CapacityError;
use crate::part;
use core::fmt;
use heapless::Vec;

/// Collects stages and edges; [`WorkflowBuilder::build`] checks them.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WorkflowBuilder<const F: usize> {
    predecessors: Vec<StageSet, F>,
    edge_overhead: f64,
}

impl<const F: usize> Default for WorkflowBuilder<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const F: usize> WorkflowBuilder<F> {
    /// A workflow without stages.
    pub const fn new() -> Self {
        const { assert!(F <= StageSet::CAPACITY, "a workflow has at most 64 stages") };
        Self { predecessors: Vec::new(), edge_overhead: 0.0 }
    }

    /// Adds a stage.
    ///
    /// # Errors
    /// [`CapacityError`] when there are `F` already.
    pub fn stage(&mut self) -> Result<StageId, CapacityError> {
        let id = StageId(self.predecessors.len() as u8);
        self.predecessors.push(StageSet::default()).map_err(|_| CapacityError { capacity: F })?;
        Ok(id)
    }

    /// Lets `to` wait for the end of `from`. Saying it twice changes nothing.
    ///
    /// # Errors
    /// [`WorkflowError::UnknownStage`]; [`WorkflowError::Cycle`] for an edge from a stage to itself.
    pub fn edge(&mut self, from: StageId, to: StageId) -> Result<(), WorkflowError> {
        for stage in [from, to] {
            if stage.index() >= self.predecessors.len() {
                return Err(WorkflowError::UnknownStage { stage, stages: self.predecessors.len() });
            }
        }
        if from == to {
            return Err(WorkflowError::Cycle { through: from });
        }
        if let Some(before) = self.predecessors.get_mut(to.index()) {
            before.insert(from);
        }
        Ok(())
    }

    /// Sets the seconds every edge adds between the end of one stage and the start of the next (0 at first).
    ///
    /// # Errors
    /// [`WorkflowError::EdgeOverhead`] when it is NaN, infinite or negative.
    pub fn edge_overhead(&mut self, seconds: f64) -> Result<(), WorkflowError> {
        if !(seconds >= 0.0 && seconds.is_finite()) {
            return Err(WorkflowError::EdgeOverhead { seconds });
        }
        self.edge_overhead = seconds;
        Ok(())
    }

    /// The checked workflow. Work: at most `F` passes over the stages.
    ///
    /// # Errors
    /// [`WorkflowError::Empty`], or [`WorkflowError::Cycle`] naming one stage on a cycle; the others for a builder
    /// that was read from bytes.
    pub fn build(mut self) -> Result<Workflow<F>, WorkflowError> {
        let stages = self.predecessors.len();
        if stages == 0 {
            return Err(WorkflowError::Empty);
        }
        self.edge_overhead(self.edge_overhead)?;
        if let Some(stage) = self.predecessors.iter().flat_map(|p| p.iter()).find(|p| p.index() >= stages) {
            return Err(WorkflowError::UnknownStage { stage, stages });
        }
        let order = topological_order(&self.predecessors)?;
        let after = |stage: usize| {
            let stage = StageId(stage as u8);
            let mut after = StageSet::default();
            let waiting = (0..stages).map(StageId::new).zip(&self.predecessors);
            waiting.filter(|(_, before)| before.contains(stage)).for_each(|(stage, _)| after.insert(stage));
            after
        };
        let successors = part::list((0..stages).map(after));
        Ok(Workflow { predecessors: self.predecessors, successors, order, edge_overhead: self.edge_overhead })
    }
}

impl<const F: usize> TryFrom<WorkflowBuilder<F>> for Workflow<F> {
    type Error = WorkflowError;

    fn try_from(builder: WorkflowBuilder<F>) -> Result<Self, WorkflowError> {
        builder.build()
    }
}

impl<const F: usize> From<Workflow<F>> for WorkflowBuilder<F> {
    fn from(workflow: Workflow<F>) -> Self {
        Self { predecessors: workflow.predecessors, edge_overhead: workflow.edge_overhead }
    }
}

/// Kahn's algorithm (1962); the first ready stage comes first.
fn topological_order<const F: usize>(predecessors: &[StageSet]) -> Result<Vec<StageId, F>, WorkflowError> {
    let stages = || (0..predecessors.len()).map(StageId::new);
    let mut order = Vec::new();
    let mut waiting = StageSet::default();
    stages().for_each(|stage| waiting.insert(stage));
    while !waiting.is_empty() {
        let ready = |stage: &StageId| set_of(predecessors, *stage).iter().all(|p| !waiting.contains(p));
        let Some(stage) = waiting.iter().find(ready) else {
            return Err(WorkflowError::Cycle { through: on_cycle(predecessors, waiting) });
        };
        waiting.remove(stage);
        // Each stage comes once, and there are at most F.
        let _ = order.push(stage);
    }
    Ok(order)
}

/// A stage on a cycle: among stages that each wait for another of them, walking backwards must come to one.
fn on_cycle(predecessors: &[StageSet], waiting: StageSet) -> StageId {
    let mut stage = waiting.iter().next().unwrap_or_default();
    for _ in 0..predecessors.len() {
        let before = set_of(predecessors, stage).iter().find(|&p| waiting.contains(p));
        stage = before.unwrap_or(stage);
    }
    stage
}

fn set_of(sets: &[StageSet], stage: StageId) -> StageSet {
    sets.get(stage.index()).copied().unwrap_or_default()
}

/// Why a workflow was refused.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum WorkflowError {
    /// No stage.
    Empty,
    /// An edge names a stage that was not added.
    UnknownStage {
        /// The stage named.
        stage: StageId,
        /// Number of stages added.
        stages: usize,
    },
    /// A stage waits for itself, directly or through others.
    Cycle {
        /// A stage on the cycle.
        through: StageId,
    },
    /// The edge overhead is NaN, infinite or negative.
    EdgeOverhead {
        /// The value given.
        seconds: f64,
    },
}

impl fmt::Display for WorkflowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the workflow has no function; add at least one"),
            Self::UnknownStage { stage, stages } => {
                write!(f, "an edge names function {}, but there are {stages}, counted from 0", stage.index())
            }
            Self::Cycle { through } => {
                write!(f, "function {} waits for its own end; remove an edge of the cycle", through.index())
            }
            Self::EdgeOverhead { seconds } => {
                write!(f, "edge overhead of {seconds} s; give the seconds an edge adds, 0 or more")
            }
        }
    }
}

impl core::error::Error for WorkflowError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(stages: usize, edges: &[(usize, usize)]) -> Result<Workflow<8>, WorkflowError> {
        let mut builder = WorkflowBuilder::new();
        for _ in 0..stages {
            builder.stage().unwrap();
        }
        for &(from, to) in edges {
            builder.edge(StageId::new(from), StageId::new(to))?;
        }
        builder.build()
    }

    #[test]
    fn order_respects_edges_that_go_backwards() {
        let workflow = build(4, &[(3, 1), (1, 0), (3, 2), (3, 1)]).unwrap();
        assert_eq!(workflow.topological_order(), [3, 1, 0, 2].map(StageId::new));
        assert_eq!(workflow.predecessors(StageId::new(1)).len(), 1);
        assert_eq!(workflow.successors(StageId::new(3)).len(), 2);
        assert!(workflow.successors(StageId::new(77)).is_empty());
    }

    #[test]
    fn what_is_no_workflow_is_an_error() {
        assert_eq!(build(0, &[]), Err(WorkflowError::Empty));
        assert_eq!(build(2, &[(1, 1)]), Err(WorkflowError::Cycle { through: StageId::new(1) }));
        assert_eq!(
            build(2, &[(0, 2)]),
            Err(WorkflowError::UnknownStage { stage: StageId::new(2), stages: 2 })
        );
        // 0 and 4 are no part of the cycle 1 -> 2 -> 3 -> 1.
        let cyclic = build(5, &[(0, 1), (1, 2), (2, 3), (3, 1), (3, 4)]);
        let Err(WorkflowError::Cycle { through }) = cyclic else { panic!("{cyclic:?}") };
        assert!((1..=3).contains(&through.index()));
        let mut builder = WorkflowBuilder::<1>::new();
        builder.stage().unwrap();
        assert_eq!(builder.stage(), Err(CapacityError { capacity: 1 }));
        for bad in [f64::NAN, f64::INFINITY, -0.1] {
            assert!(matches!(builder.edge_overhead(bad), Err(WorkflowError::EdgeOverhead { .. })));
        }
    }
}

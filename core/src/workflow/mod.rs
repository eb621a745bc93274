//! The workflow: functions joined by a directed acyclic graph, its critical path, its price and its target.
//!
//! A [`Workflow`] exists only checked: [`WorkflowBuilder::build`] refuses cycles, so that every later step may walk
//! the graph in [topological order](Workflow::topological_order). A *stage* is one function at its place in the
//! graph; stages are numbered in the order they were added. Durations and latencies are in seconds.
//!
//! ```
//! use aquatope_core::workflow::WorkflowBuilder;
//!
//! let mut builder = WorkflowBuilder::<4>::new();
//! let [split, left, right, join] = [(); 4].map(|()| builder.stage().unwrap());
//! for (from, to) in [(split, left), (split, right), (left, join), (right, join)] {
//!     builder.edge(from, to).unwrap();
//! }
//! builder.edge_overhead(0.01).unwrap();
//! let workflow = builder.build().unwrap();
//! let path = workflow.critical_path(&[1.0, 2.0, 3.0, 0.5]).unwrap();
//! assert_eq!(path.stages(), [split, right, join]);
//! assert!((path.latency() - 4.52).abs() < 1e-12);
//! ```

mod builder;
mod cost;
mod critical_path;
mod qos;
mod topology;

pub use builder::{WorkflowBuilder, WorkflowError};
pub use cost::{Configuration, CostError, Prices};
pub use critical_path::{CriticalPath, DurationError};
pub use qos::{Qos, QosError};
pub use topology::{StageId, StageSet};

use heapless::Vec;

/// A checked workflow of at least 1 and at most `F` stages; `F` is at most [`StageSet::CAPACITY`] (64).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "WorkflowBuilder<F>", try_from = "WorkflowBuilder<F>"))]
pub struct Workflow<const F: usize> {
    /// Direct predecessors of every stage.
    predecessors: Vec<StageSet, F>,
    /// Direct successors of every stage.
    successors: Vec<StageSet, F>,
    /// Every stage after all its predecessors.
    order: Vec<StageId, F>,
    /// Seconds an edge adds between the end of one stage and the start of the next.
    edge_overhead: f64,
}

impl<const F: usize> Workflow<F> {
    /// Number of stages, at least 1.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        // At most F, which the compiler does not know.
        self.order.len().min(F)
    }

    /// Every stage once, after all its predecessors; ties in the order they were added.
    pub fn topological_order(&self) -> &[StageId] {
        &self.order
    }

    /// The stages that must end before `stage` starts; empty for a stage of another workflow.
    pub fn predecessors(&self, stage: StageId) -> StageSet {
        self.predecessors.get(stage.index()).copied().unwrap_or_default()
    }

    /// The stages that wait for `stage`; empty for a stage of another workflow.
    pub fn successors(&self, stage: StageId) -> StageSet {
        self.successors.get(stage.index()).copied().unwrap_or_default()
    }

    /// Seconds every edge adds.
    pub const fn edge_overhead(&self) -> f64 {
        self.edge_overhead
    }
}

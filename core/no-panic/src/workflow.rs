//! Workflows of 8 functions, their critical path and their price.

use crate::keep;
use aquatope_core::workflow::{CriticalPath, Prices, Qos, StageId, StageSet, Workflow, WorkflowBuilder};

type Builder = WorkflowBuilder<8>;
type Graph = Workflow<8>;

pub fn keep() {
    keep! {
        Builder::new: fn() -> _,
        Builder::stage: fn(_) -> _,
        Builder::edge: fn(_, _, _) -> _,
        Builder::edge_overhead: fn(_, _) -> _,
        Builder::build: fn(_) -> _,
        Graph::len: fn(_) -> _,
        Graph::topological_order: fn(_) -> _,
        Graph::edge_overhead: fn(_) -> _,
        Graph::predecessors: fn(_, _) -> _,
        Graph::successors: fn(_, _) -> _,
        Graph::latency: fn(_, _) -> _,
        Graph::critical_path: fn(_, _) -> _,
        CriticalPath::<8>::stages: fn(_) -> _,
        CriticalPath::<8>::latency: fn(_) -> _,
        StageSet::insert: fn(_, _),
        StageSet::remove: fn(_, _),
        StageSet::contains: fn(_, _) -> _,
        StageSet::union: fn(_, _) -> _,
        StageSet::len: fn(_) -> _,
        StageSet::is_empty: fn(_) -> _,
        StageSet::iter: fn(StageSet) -> usize = |set| set.iter().map(StageId::index).sum(),
        StageId::new: fn(_) -> _,
        StageId::index: fn(_) -> _,
        Qos::new: fn(_) -> _,
        Qos::seconds: fn(_) -> _,
        Prices::new: fn(_, _) -> _,
        Prices::per_second: fn(_, _) -> _,
    }
}

//! Any operations on a study, with the models that are shipped: the black box, and the structured one on top of it.

use crate::input::{Operations, read};
use crate::study::{Operation, Setup, drive};
use aquatope_core::bo::blackbox::{BlackBox, BlackBoxConfig};
use aquatope_core::bo::surrogates::Surrogates;
use aquatope_core::structured::{Resource, Resources, StructuredModel, StructuredScratch};
use aquatope_core::workflow::{Prices, WorkflowBuilder};
use std::cell::RefCell;

const D: usize = 3;
const N: usize = 16;
const S: usize = 8;
const F: usize = 2;
const L: usize = 64;

type Scratch = StructuredScratch<Surrogates<N, D, S>, F, N, L>;

thread_local! {
    /// Cleared once: what a call leaves behind must not matter to the next.
    static SCRATCH: RefCell<Box<Scratch>> = RefCell::new(Box::new(StructuredScratch::new(Surrogates::new())));
}

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let Some((structured, setup, Operations(operations))) =
        read::<(bool, Setup, Operations<Operation>)>(bytes)
    else {
        return;
    };
    let operations = &operations[..operations.len().min(100)];
    let Some(space) = setup.space::<D>() else { return };
    let black_box: BlackBox<D, N, S> = BlackBox::new(BlackBoxConfig::default());
    SCRATCH.with_borrow_mut(|scratch| {
        if structured {
            let mut builder = WorkflowBuilder::<F>::new();
            let (first, second) = (builder.stage().expect("room"), builder.stage().expect("room"));
            builder.edge(first, second).expect("no cycle");
            let fixed = Resource::Fixed(1.0);
            let on = |axis| Resources {
                cpu: Resource::Axis(axis),
                memory_mb: Resource::Fixed(256.0),
                concurrency: fixed,
            };
            let last = space.dimensions().saturating_sub(1) as u16;
            let (workflow, prices) =
                (builder.build().expect("a workflow"), Prices::new(0.2, 0.05).expect("prices"));
            let model =
                StructuredModel::<_, F, N, L>::new(workflow, prices, &[on(0), on(last)], &space, black_box);
            if let Some(study) = model.ok().and_then(|model| setup.study::<_, D, N, F>(model)) {
                drive(study, operations, scratch);
            }
        } else if let Some(study) = setup.study::<_, D, N, F>(black_box) {
            drive(study, operations, &mut scratch.fallback);
        }
    });
}

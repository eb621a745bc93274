//! The studies of the command line, the service and the npm package: 128 trials on up to 32 axes, 128 paths, 16 functions of
//! 10,240 configurations each (`host/workflow/src/models.rs`).

use crate::keep;
use aquatope_core::bo::blackbox::BlackBox;
use aquatope_core::bo::study::Study;
use aquatope_core::bo::surrogates::Surrogates;
use aquatope_core::random::SplitMix64;
use aquatope_core::structured::{StructuredModel, StructuredScratch};

type Plain = BlackBox<32, 128, 128>;
type Memory = Surrogates<128, 32, 128>;
type Model = StructuredModel<Plain, 16, 128, 10_240>;
type Scratch = StructuredScratch<Memory, 16, 128, 10_240>;
type BlackBoxStudy = Study<Plain, 32, 128, 16>;
type StructuredStudy = Study<Model, 32, 128, 16>;

pub fn keep() {
    keep! {
        BlackBoxStudy::ask::<SplitMix64>: fn(_, _, _, &mut Memory) -> _,
        BlackBoxStudy::tell: fn(_, _, _) -> _,
        BlackBoxStudy::screen: fn(_, _, _, _) -> _,
        BlackBoxStudy::reject: fn(_, _, _) -> _,
        BlackBoxStudy::fail: fn(_, _) -> _,
        BlackBoxStudy::record: fn(_, _, _) -> _,
        BlackBoxStudy::set_baseline: fn(_, _, _) -> _,
        BlackBoxStudy::verdicts: fn(_, _) -> _,
        BlackBoxStudy::recommendation: fn(_, _) -> _,
        BlackBoxStudy::posterior: fn(_, _, _, _) -> _,
        BlackBoxStudy::snapshot: fn(_, _) -> _,
        BlackBoxStudy::restore: fn(_) -> _,
        BlackBoxStudy::resume: fn(_, _) -> _,
        Model::new::<32>: fn(_, _, _, _, _) -> _,
        Model::learn_baseline::<32>: fn(_, _, _, _) -> _,
        StructuredStudy::ask::<SplitMix64>: fn(_, _, _, &mut Scratch) -> _,
        StructuredStudy::tell: fn(_, _, _) -> _,
        StructuredStudy::screen: fn(_, _, _, _) -> _,
        StructuredStudy::verdicts: fn(_, _) -> _,
        StructuredStudy::recommendation: fn(_, _) -> _,
        StructuredStudy::posterior: fn(_, _, _, _) -> _,
        StructuredStudy::snapshot: fn(_, _) -> _,
        StructuredStudy::restore: fn(_) -> _,
        StructuredStudy::resume: fn(_, _) -> _,
    }
}

//! Studies of 32 trials on 8 axes with the structured model of 4 functions of at most 256 configurations each.

use crate::keep;
use aquatope_core::bo::blackbox::BlackBox;
use aquatope_core::bo::study::Study;
use aquatope_core::bo::surrogates::Surrogates;
use aquatope_core::random::SplitMix64;
use aquatope_core::structured::{StructuredModel, StructuredScratch};

type Fallback = BlackBox<8, 32, 16>;
type Scratch = StructuredScratch<Surrogates<32, 8, 16>, 4, 32, 256>;
type Model = StructuredModel<Fallback, 4, 32, 256>;
type Search = Study<Model, 8, 32, 4>;

pub fn keep() {
    keep! {
        Model::new::<8>: fn(_, _, _, _, _) -> _,
        Model::fallback: fn(_) -> _,
        Model::workflow: fn(_) -> _,
        Scratch::new: fn(_) -> _,
        Model::learn_baseline::<8>: fn(_, _, _, _) -> _,
        Model::status::<8, Surrogates<32, 8, 16>>: fn(_, _, &mut Scratch) -> _,
        Search::ask::<SplitMix64>: fn(_, _, _, _) -> _,
        Search::tell: fn(_, _, _) -> _,
        Search::screen: fn(_, _, _, _) -> _,
        Search::verdicts: fn(_, _) -> _,
        Search::recommendation: fn(_, _) -> _,
        Search::posterior: fn(_, _, _, _) -> _,
        Search::snapshot: fn(_, _) -> _,
        Search::restore: fn(_) -> _,
    }
}

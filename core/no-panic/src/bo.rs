//! Studies of 32 trials on 4 axes with the black box of 16 paths, their snapshots, and the parts they are made of.

use crate::keep;
use aquatope_core::bo::acquisition::Acquisition;
use aquatope_core::bo::acquisition::maximise::{SearchScratch, maximise};
use aquatope_core::bo::blackbox::BlackBox;
use aquatope_core::bo::profile::Profile;
use aquatope_core::bo::space::{Axis, Point, SearchSpace};
use aquatope_core::bo::study::Study;
use aquatope_core::bo::surrogates::Surrogates;
use aquatope_core::bo::trial::{Expectation, Outcome, Trial};
use aquatope_core::random::SplitMix64;

type Space = SearchSpace<4>;
type Memory = Surrogates<32, 4, 16>;
type Values = Acquisition<32, 4, 16>;
type Model = BlackBox<4, 32, 16>;
type Search = Study<Model, 4, 32, 2>;

pub fn keep() {
    keep! {
        Axis::new: fn(_, _, _) -> _,
        Axis::fixed: fn(_) -> _,
        Axis::log_scaled: fn(_) -> _,
        Axis::levels: fn(_) -> _,
        Axis::min: fn(_) -> _,
        Axis::max: fn(_) -> _,
        Axis::value: fn(_, _) -> _,
        Axis::fraction: fn(_, _) -> _,
        Axis::round: fn(_, _) -> _,
        Axis::encode: fn(_, _) -> _,
        Axis::decode: fn(_, _) -> _,
        Point::<4>::indices: fn(_) -> _,
        Space::new: fn(_) -> _,
        Space::axes: fn(_) -> _,
        Space::dimensions: fn(_) -> _,
        Space::values: fn(&Space, &Point<4>) -> f64 = |space, point| space.values(point).sum(),
        Space::fractions: fn(&Space, &Point<4>) -> f64 = |space, point| space.fractions(point).sum(),
        Space::point: fn(_, _) -> _,
        Space::round: fn(_, _) -> _,
        Space::decode: fn(_, _) -> _,
        Space::encode: fn(_, _, _) -> _,
        Space::contains: fn(_, _) -> _,
        Outcome::<2>::new: fn(_, _) -> _,
        Outcome::<2>::with_variances: fn(_, _, _) -> _,
        Outcome::<2>::with_durations: fn(_, _) -> _,
        Outcome::<2>::cost: fn(_) -> _,
        Outcome::<2>::latency: fn(_) -> _,
        Outcome::<2>::cost_variance: fn(_) -> _,
        Outcome::<2>::latency_variance: fn(_) -> _,
        Outcome::<2>::durations: fn(_) -> _,
        Trial::<4, 2>::outcome: fn(_) -> _,
        Trial::<4, 2>::is_pending: fn(_) -> _,
        Expectation::surprise: fn(_, _, _) -> _,
        Profile::<2>::measure: fn(_) -> _,
        Memory::new: fn() -> _,
        Memory::reset: fn(_, _) -> _,
        Memory::push: fn(_, _, _, _, _, _) -> _,
        Memory::fit: fn(_, _, _, _) -> _,
        Memory::processes: fn(_) -> _,
        Memory::search::<SplitMix64>: fn(&mut Memory, _, _, _, _, _, fn(&mut Values, &mut [f64]), &mut SplitMix64) -> _ = Memory::search,
        Values::new: fn() -> _,
        Values::processes_mut: fn(_) -> _,
        Values::begin::<SplitMix64>: fn(_, _, _, _, _) -> _,
        Values::condition: fn(_, _, _, _, _, _) -> _,
        Values::add_pending::<SplitMix64>: fn(_, _, _) -> _,
        Values::value: fn(_, _) -> _,
        Values::value_and_gradient: fn(_, _, _) -> _,
        Values::best: fn(_) -> _,
        Values::evaluations: fn(_) -> _,
        Values::dimensions: fn(_) -> _,
        SearchScratch::<4>::new: fn() -> _,
        maximise::<SplitMix64, 32, 4, 16, 4>: fn(_, _, _, _, _, _, _, _) -> _,
        Model::new: fn(_) -> _,
        Model::config: fn(_) -> _,
        Search::new: fn(_, _, _) -> _,
        Search::ask::<SplitMix64>: fn(_, _, _, _) -> _,
        Search::tell: fn(_, _, _) -> _,
        Search::screen: fn(_, _, _, _) -> _,
        Search::reject: fn(_, _, _) -> _,
        Search::fail: fn(_, _) -> _,
        Search::record: fn(_, _, _) -> _,
        Search::set_baseline: fn(_, _, _) -> _,
        Search::verdicts: fn(_, _) -> _,
        Search::recommendation: fn(_, _) -> _,
        Search::posterior: fn(_, _, _, _) -> _,
        Search::trials: fn(_) -> _,
        Search::trial: fn(_, _) -> _,
        Search::window_start: fn(_) -> _,
        Search::space: fn(_) -> _,
        Search::config: fn(_) -> _,
        Search::baseline: fn(_) -> _,
        Search::model: fn(_) -> _,
        Search::evidence: fn(_) -> _,
        Search::snapshot: fn(_, _) -> _,
        Search::restore: fn(_) -> _,
        Search::resume: fn(_, _) -> _,
    }
}

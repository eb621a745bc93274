//! Weight files, both forecasters, the features of three days, and the layers below.

use crate::keep;
use aquatope_core::forecast::Forecast;
use aquatope_core::forecast::features::{FULL_HISTORY, FunctionState, History, Profile, Upstream};
use aquatope_core::forecast::head;
use aquatope_core::forecast::hybrid::{HybridModel, Recipe, standardise};
use aquatope_core::forecast::light::{LightModel, from_quantiles};
use aquatope_core::nn::nonlinearity::{relu, sigmoid, tanh};
use aquatope_core::nn::weights::{Header, Layers, Weights};
use aquatope_core::nn::{Dropout, Linear, Lstm};
use aquatope_core::random::SplitMix64;

type State = FunctionState<FULL_HISTORY>;
type Minutes = History<FULL_HISTORY>;

pub fn keep() {
    keep! {
        Header::to_bytes: fn(_, _) -> _,
        Weights::parse: fn(_) -> _,
        Weights::layers: fn(_) -> _,
        Layers::take: fn(_, _) -> _,
        Layers::linear: fn(_, _, _) -> _,
        LightModel::new: fn(_) -> _,
        LightModel::forecast: fn(_, _) -> _,
        from_quantiles: fn(_) -> _,
        HybridModel::new: fn(_) -> _,
        HybridModel::scratch_len: fn(_) -> _,
        HybridModel::forecast::<SplitMix64>: fn(_, _, _, _, _) -> _,
        Recipe::step: fn(_, _, _, _, _) -> _,
        standardise: fn(_, _, _) -> _,
        Forecast::quantile: fn(_, _) -> _,
        Profile::scale: fn(_) -> _,
        Profile::of: fn(_, _) -> _,
        Upstream::of::<FULL_HISTORY>: fn(_, _) -> _,
        Minutes::push: fn(_, _, _) -> _,
        Minutes::peak: fn(_, _) -> _,
        Minutes::count: fn(_, _) -> _,
        State::observe: fn(_, _, _, _) -> _,
        State::push: fn(_, _, _) -> _,
        State::read: fn(_, _) -> _,
        Dropout::new: fn(_) -> _,
        Dropout::draw::<SplitMix64>: fn(_, _, _) -> _,
        head::step::<f32>: fn(_) -> _,
        head::quantiles::<f32>: fn(_, _, _) -> _,
        tanh::<f32>: fn(_),
        sigmoid::<f32>: fn(_),
        relu::<f32>: fn(_),
        Linear::<f32>::new: fn(_, _) -> _,
        Linear::<f32>::forward: fn(_, _, _) -> _,
        Lstm::<f32>::new: fn(_, _, _) -> _,
        Lstm::<f32>::project: fn(_, _, _) -> _,
        Lstm::<f32>::step: fn(_, _, _, _) -> _,
        Lstm::<f32>::forward: fn(_, _, _, _, _) -> _,
    }
}

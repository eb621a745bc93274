//! Weight files, both forecasters, the features of three days, and the layers below.

use crate::keep;
use aquatope_core::forecast::Forecast;
use aquatope_core::forecast::encoder::Encoder;
use aquatope_core::forecast::features::{FULL_HISTORY, FunctionState, History, Profile, Upstream};
use aquatope_core::forecast::head;
use aquatope_core::forecast::hybrid::{HybridModel, HybridShape, Recipe, standardise};
use aquatope_core::forecast::light::{self, LightModel, from_quantiles};
use aquatope_core::forecast::mc_dropout::{QuantilePasses, Rates, Spread};
use aquatope_core::forecast::predictor::Predictor;
use aquatope_core::nn::linear::accumulate;
use aquatope_core::nn::nonlinearity::{relu, sigmoid, tanh};
use aquatope_core::nn::weights::{Header, Layers, Weights};
use aquatope_core::nn::{Dropout, Linear, Lstm, Mask, Real};
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
        Layers::finish: fn(_) -> _,
        Weights::header: fn(_) -> _,
        Weights::values: fn(_) -> _,
        Weights::expect: fn(_, _, _) -> _,
        light::network_len: fn(_) -> _,
        light::header: fn(_, _) -> _,
        LightModel::new: fn(_) -> _,
        LightModel::forecast: fn(_, _) -> _,
        from_quantiles: fn(_) -> _,
        HybridModel::new: fn(_) -> _,
        HybridModel::shape: fn(_) -> _,
        HybridModel::rates: fn(_) -> _,
        HybridModel::calibration: fn(_) -> _,
        HybridModel::scratch_len: fn(_) -> _,
        HybridModel::forecast::<SplitMix64>: fn(_, _, _, _, _) -> _,
        HybridModel::passes::<SplitMix64>: fn(_, _, _, _, _) -> _,
        HybridShape::latent: fn(_) -> _,
        HybridShape::outputs: fn(_) -> _,
        HybridShape::header: fn(_) -> _,
        Rates::draw::<SplitMix64>: fn(_, _, _, _) -> _,
        Spread::push: fn(_, _),
        Spread::mean: fn(_) -> _,
        Spread::deviation: fn(_) -> _,
        QuantilePasses::push: fn(_, _),
        QuantilePasses::predictive: fn(_, _) -> _,
        Recipe::externals: fn(_) -> _,
        Recipe::step: fn(_, _, _, _, _) -> _,
        standardise: fn(_, _, _) -> _,
        Forecast::quantile: fn(_, _) -> _,
        Profile::scale: fn(_) -> _,
        Profile::of: fn(_, _) -> _,
        Upstream::of::<FULL_HISTORY>: fn(_, _) -> _,
        Minutes::new: fn(_) -> _,
        Minutes::next: fn(_) -> _,
        Minutes::seen: fn(_) -> _,
        Minutes::since_busy: fn(_) -> _,
        Minutes::push: fn(_, _, _) -> _,
        Minutes::peak: fn(_, _) -> _,
        Minutes::count: fn(_, _) -> _,
        State::new: fn(_, _) -> _,
        State::history: fn(_) -> _,
        State::profile: fn(_) -> _,
        State::set_profile: fn(_, _) -> _,
        State::observe: fn(_, _, _, _) -> _,
        State::push: fn(_, _, _) -> _,
        State::read: fn(_, _) -> _,
        Dropout::new: fn(_) -> _,
        Dropout::rate: fn(_) -> _,
        Dropout::scale: fn(_) -> _,
        Dropout::mask: fn(_, _) -> _,
        Dropout::draw::<SplitMix64>: fn(_, _, _) -> _,
        Mask::dropped: fn(Mask) -> usize = |mask| mask.dropped().sum(),
    }
    layers::<f32>();
    layers::<f64>();
}

/// What both number types share: `f32` in production, `f64` to train and to check.
fn layers<R: Real>() {
    keep! {
        head::step::<R>: fn(_) -> _,
        head::step_slope::<R>: fn(_) -> _,
        head::quantiles::<R>: fn(_, _, _) -> _,
        head::quantiles_gradient::<R>: fn(_, _, _, _) -> _,
        tanh::<R>: fn(_),
        sigmoid::<R>: fn(_),
        relu::<R>: fn(_),
        Mask::apply::<R>: fn(_, _),
        Linear::<R>::new: fn(_, _) -> _,
        Linear::<R>::inputs: fn(_) -> _,
        Linear::<R>::outputs: fn(_) -> _,
        Linear::<R>::forward: fn(_, _, _) -> _,
        accumulate::<R>: fn(_, _, _),
        Lstm::<R>::new: fn(_, _, _) -> _,
        Lstm::<R>::inputs: fn(_) -> _,
        Lstm::<R>::hidden: fn(_) -> _,
        Lstm::<R>::scratch_len: fn(_) -> _,
        Lstm::<R>::project: fn(_, _, _) -> _,
        Lstm::<R>::step: fn(_, _, _, _) -> _,
        Lstm::<R>::forward: fn(_, _, _, _, _) -> _,
        Encoder::<R>::new: fn(_, _, _) -> _,
        Encoder::<R>::inputs: fn(_) -> _,
        Encoder::<R>::latent_len: fn(_, _) -> _,
        Encoder::<R>::prepared_len: fn(_, _) -> _,
        Encoder::<R>::scratch_len: fn(_, _) -> _,
        Encoder::<R>::prepare: fn(_, _, _, _, _) -> _,
        Encoder::<R>::pass: fn(_, _, _, _, _) -> _,
        Predictor::<R>::new: fn(_, _, _, _, _, _) -> _,
        Predictor::<R>::externals: fn(_) -> _,
        Predictor::<R>::prepared_len: fn(_) -> _,
        Predictor::<R>::outputs: fn(_) -> _,
        Predictor::<R>::scratch_len: fn(_) -> _,
        Predictor::<R>::prepare: fn(_, _, _) -> _,
        Predictor::<R>::pass: fn(_, _, _, _, _, _) -> _,
    }
}

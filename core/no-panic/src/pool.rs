//! Forecasts to containers: plan, capacity, hysteresis, upstream stages, and a controller of 4 functions.

use crate::keep;
use aquatope_core::forecast::features::FULL_HISTORY;
use aquatope_core::pool::{
    Candidate, Damper, Fit, LightFleet, PoolController, Prices, combine, containers, fit, implied,
    probability, quantile,
};
use aquatope_core::random::SplitMix64;

type Fleet = LightFleet<'static, 4, FULL_HISTORY>;
type Controller = PoolController<Fleet, 4, 64>;

pub fn keep() {
    keep! {
        containers: fn(_, _, _, _) -> _,
        quantile: fn(_, _) -> _,
        probability: fn(_, _) -> _,
        Prices::levels: fn(_, _) -> _,
        Prices::ratio: fn(_) -> _,
        Fit::is_full: fn(_) -> _,
        fit: fn(fn(usize) -> Candidate, _, _) -> _ = fit,
        implied: fn(_, fn(usize, usize) -> f32, _, _) -> _ = implied,
        combine: fn(_, _, _) -> _,
        Damper::next: fn(_, _, _) -> _,
        Fleet::new: fn(_) -> _,
        Fleet::add_function: fn(&mut Fleet, _, _, _) -> _,
        Controller::new: fn(_, _, _) -> _,
        Controller::add_function: fn(_, _) -> _,
        Controller::add_edge: fn(_, _, _, _) -> _,
        Controller::handle_activation: fn(_, _) -> _,
        Controller::handle_busy: fn(_, _, _) -> _,
        Controller::handle_timeout::<SplitMix64>: fn(_, _, _) -> _,
        Controller::poll_target: fn(_) -> _,
        Controller::poll_timeout: fn(_) -> _,
        Controller::forecast: fn(_, _) -> _,
        Controller::series: fn(_, _) -> _,
    }
}

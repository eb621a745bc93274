//! Forecasts to containers: plan, capacity, hysteresis, upstream stages, and a controller of 4 functions.

use crate::keep;
use aquatope_core::forecast::Forecast;
use aquatope_core::forecast::features::FULL_HISTORY;
use aquatope_core::pool::{
    self, Candidate, Damper, Fit, LightFleet, PoolController, Prices, Upstream, combine, containers, implied,
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
        fit: fn(_, _, _) -> _,
        from_upstream: fn(_, _, _, _) -> _,
        combine: fn(_, _, _) -> _,
        Damper::next: fn(_, _, _) -> _,
        Fleet::add_function: fn(&mut Fleet, _, _, _) -> _,
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

fn fit(candidate: fn(usize) -> Candidate, capacity_mb: f64, granted: &mut [u32]) -> Fit {
    pool::fit(candidate, capacity_mb, granted)
}

fn from_upstream(
    edges: &[Upstream],
    counts: fn(usize, usize) -> f32,
    duration_s: f32,
    memory: usize,
) -> Forecast {
    implied(edges, counts, duration_s, memory)
}

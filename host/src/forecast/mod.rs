//! Forecasters behind one trait, driven minute by minute without leaks.

pub mod hybrid;
pub mod light;
pub mod models;
pub mod score;
pub mod selection;
pub mod short_history;
pub mod stream;

use aquatope_core::forecast::Forecast;

/// What one function did in one finished minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Observation {
    /// Invocations started.
    pub count: u32,
    /// Peak simultaneously busy containers.
    pub peak: u32,
}

/// Forecasts every function's next minute from all minutes observed so far.
pub trait Forecaster {
    /// The name shown in tables.
    fn name(&self) -> &str;

    /// Forecast every function for the next minute (the one after the last observed), in function order.
    fn forecast(&mut self) -> Vec<Forecast>;

    /// Forecast every function for the minute after the one that runs, of which `so_far` is known; nothing of it is
    /// taken in.
    fn forecast_ahead(&mut self, so_far: &[Observation]) -> Vec<Forecast>;

    /// Take in what every function did in the minute that was just forecast, in function order.
    fn observe(&mut self, minute: &[Observation]);
}

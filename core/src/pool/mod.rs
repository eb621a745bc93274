//! From forecasts to the number of containers to keep warm.
//!
//! # The newsvendor
//! Let `D` be the most containers a function has busy at once in the coming minute and `n` the containers kept. For
//! the `j`-th of them (`j <= n`):
//! - with probability `P(D < j)` nobody needs it and its memory lies idle for the minute: cost `c_idle`, the price of
//!   memory x the container's memory x one minute;
//! - with probability `P(D >= j)` it is needed. Had it not been kept, the request that needs it would have started
//!   cold, once, at cost `c_cold`; the container that start creates then serves the rest of the minute, so one missing
//!   container is one cold start. Its memory is paid for either way, so being busy costs nothing here.
//!
//! Keeping it pays when `P(D >= j) c_cold > P(D < j) c_idle`, that is when `P(D >= j) > c_idle / (c_cold + c_idle)`.
//! The left side falls with `j`, so the best `n` is the quantile of `D` at the critical ratio
//! `c_cold / (c_cold + c_idle)`: the newsvendor (Arrow, Harris and Marschak, *Optimal Inventory Policy*, Econometrica
//! 1951). The operator states a price and not a number of standard deviations; the paper's mean plus `k` standard
//! deviations is [`Rule::MeanPlusDeviations`].
//!
//! What this leaves out: a container that is needed late in the minute idles before, and one that is launched
//! [`PoolConfig::ahead`] of the minute idles that long. Both are small against a minute.
//!
//! Quantiles are continuous while containers are whole: `P(D >= j)` is read off half a container below `j`.
//! Beyond the last stated level the tail is exponential.

mod capacity;
mod controller;
mod hysteresis;
mod light;
mod plan;
mod stage;
mod upstream;

pub use capacity::{Candidate, Fit, fit};
pub use controller::{
    EdgeError, Forecaster, MAX_LATENESS, PROVISIONAL, PoolConfig, PoolController, PoolError, PoolTarget,
    SoFar,
};
pub use hysteresis::{Damper, Hysteresis};
pub use light::LightFleet;
pub use plan::{Prices, Rule, containers, probability, quantile};
pub use stage::{MAX_EDGES, MEMORY};
pub use upstream::{Upstream, combine, implied};

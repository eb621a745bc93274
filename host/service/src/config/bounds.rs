//! What each number of the configuration may be: what a value is held against, and what every message names.

use std::ops::RangeInclusive;

use crate::tune::Settings;

/// Bounds of a price, GB-minutes.
const PRICE: (f64, f64) = (0.0, 1e6);
/// Bounds of what is whole and has none but that of its type.
const COUNT: (f64, f64) = (0.0, u32::MAX as f64);

/// Every key that takes a number, the least and the largest one.
pub(super) const NUMBERS: [(&str, (f64, f64)); 23] = [
    ("state.history_days", (1.0, 3650.0)),
    ("openwhisk.timeout_s", (0.1, 600.0)),
    ("cluster.shards", (1.0, 256.0)),
    // Brokers refuse less than six by default.
    ("cluster.session_timeout_s", (6.0, 300.0)),
    ("windows.ahead_s", (0.0, 15.0)),
    ("windows.final_after_s", (0.0, 7200.0)),
    ("windows.event_delay_s", (0.0, 60.0)),
    ("pool.cold_start_cost", PRICE),
    ("pool.first_cold_start_cost", PRICE),
    ("pool.most", COUNT),
    ("pool.capacity_mb", (1.0, 1e12)),
    ("pool.patience", (0.0, u16::MAX as f64)),
    ("pool.step", (1.0, COUNT.1)),
    ("pool.stale_after_s", (0.0, 86_400.0)),
    ("train.first_after_h", (0.0, 8760.0)),
    ("train.every_h", (0.1, 8760.0)),
    ("actuator.invokers", (1.0, 100_000.0)),
    ("actuator.min_interval_s", (0.0, 86_400.0)),
    ("actuator.warm_up_per_minute", COUNT),
    ("actuator.idle_container_min", (0.0, 1440.0)),
    ("workflow.samples", whole(Settings::SAMPLES)),
    ("workflow.trials", whole(Settings::TRIALS)),
    ("workflow.per_minute", (1.0, COUNT.1)),
];

/// The least and the largest value of `key` of `section`, where it takes a number.
pub(super) fn bounds(section: &str, key: &str) -> Option<(f64, f64)> {
    let of_key = |(name, _): &&(&str, _)| name.split_once('.') == Some((section, key));
    NUMBERS.iter().find(of_key).map(|&(_, bounds)| bounds)
}

const fn whole(range: RangeInclusive<usize>) -> (f64, f64) {
    (*range.start() as f64, *range.end() as f64)
}

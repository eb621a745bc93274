//! Tables for people.

use std::fmt::Write;

use crate::replay::Comparison;

/// The comparison of a replay as a table.
pub(super) fn comparison(comparison: &Comparison) -> String {
    let mut text = String::new();
    let trace = &comparison.trace;
    let _ = writeln!(
        text,
        "{} functions, {} invocations in the test (minutes {} to {}); memory in units of keeping exactly each \
         minute's peak ({:.0} GB s)\n",
        trace.functions, trace.invocations, trace.valid_end, trace.end, comparison.oracle_memory_gb_s
    );
    let _ = writeln!(
        text,
        "{:13} {:>16} {:>7} {:>8} {:>8} {:>8} {:>6} {:>6} {:>6}  {:>6} {:>6}",
        "policy", "setting", "cold %", "fn-mean", "memory", "launches", "at 4%", "2%", "1%", "CRPS", "SMAPE"
    );
    let optional = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
    for policy in &comparison.policies {
        let point = &policy.points[policy.chosen];
        let _ = writeln!(
            text,
            "{:13} {:>16} {:>7.2} {:>8.2} {:>8.2} {:>8} {:>6} {:>6} {:>6}  {:>6} {:>6}",
            policy.name.label(),
            point.setting,
            point.cold_percent,
            point.cold_percent_function_mean,
            point.memory_x_oracle,
            point.launches,
            optional(policy.memory_at.cold_4),
            optional(policy.memory_at.cold_2),
            optional(policy.memory_at.cold_1),
            policy.errors.map_or("-".into(), |errors| format!("{:.3}", errors.crps_scaled)),
            policy.errors.map_or("-".into(), |errors| format!("{:.1}", errors.smape_int)),
        );
    }
    text
}

//! The HTML report of a replay.

use super::errors::Errors;
use super::frontier::hull;
use super::policies::PolicyName;
use super::{Comparison, PolicyResult};
use crate::live::Live;
use crate::report::chart::{Axis, Chart, Ink};
use crate::report::grouped;
use crate::report::page::Page;
use crate::report::rows::dot_rows;
use crate::trace::Trace;

/// Minutes of each time chart.
const WINDOW: usize = 180;
/// Cold starts, in percent, below which settings are not told apart: a logarithmic axis has no zero.
const HARDLY_COLD: f64 = 0.01;
/// Rows of the chart of errors.
const ERROR_ROWS: usize = 40;

impl Comparison {
    /// The forecasting policy with the best forecasts.
    pub fn best(&self) -> Option<&PolicyResult> {
        let forecasting = self.policies.iter().filter_map(|policy| Some((policy, policy.errors?)));
        let best = forecasting.min_by(|a, b| a.1.crps_scaled.total_cmp(&b.1.crps_scaled));
        best.map(|(policy, _)| policy)
    }

    /// What the comparison shows, in a sentence: the best forecaster's memory at 2 % cold starts (4 % where it does
    /// not reach 2 %) against the keep-alive's and IceBreaker's.
    pub fn finding(&self) -> String {
        let Some(best) = self.best() else { return "No forecasting policy was compared.".into() };
        let percent = if best.memory_at.cold_2.is_some() { 2 } else { 4 };
        let at = |policy: &PolicyResult| match percent {
            2 => policy.memory_at.cold_2,
            _ => policy.memory_at.cold_4,
        };
        let Some(memory) = at(best) else {
            return format!("{} does not reach 4 % cold starts on this load.", best.name.label());
        };
        let against = |name: PolicyName| {
            let other = self.policies.iter().find(|policy| policy.name == name && name != best.name)?;
            let saved = 100.0 * (1.0 - memory / at(other)?);
            let (amount, direction) = (saved.abs(), if saved < 0.0 { "more" } else { "less" });
            Some(format!("{amount:.0} % {direction} than {}", name.described()))
        };
        let others = [PolicyName::KeepAlive, PolicyName::Icebreaker, PolicyName::IcebreakerAhead];
        let comparisons: Vec<String> = others.into_iter().filter_map(against).collect();
        let comparisons = match comparisons.split_last() {
            None => String::new(),
            Some((only, [])) => format!(", {only}"),
            Some((last, before)) => format!(", {} and {last}", before.join(", ")),
        };
        format!(
            "With at most {percent} % of invocations starting cold, {} needs {memory:.2} times the memory of a \
             clairvoyant pool{comparisons}.",
            best.name.label()
        )
    }

    /// The report as one HTML document, with what the service did in `live`, if it was run.
    pub fn report(&self, trace: &Trace, live: Option<&Live>) -> String {
        let mut page = Page::new("Pre-warmed pool: replay of a load");
        page.lead(&self.finding());
        let summary = &self.trace;
        page.text(&format!(
            "{} functions, {} invocations in the test. Trained on minutes 0 to {}, validated up to {}, tested up to {}: \
             every minute of the test is forecast, planned and simulated before it is shown to the policy.",
            summary.functions,
            grouped(summary.invocations),
            summary.train_end, summary.valid_end, summary.end
        ));
        page.section("Policies");
        page.text(
            "Each policy at its default setting, and the memory its whole sweep needs for a level of cold starts. \
             Memory is in units of keeping exactly each minute's peak. Function mean: every function counts alike. \
             Aquatope's forecasters plan a minute a cold start before it begins, and so does what is called ahead; other \
             forecasts are planned when it begins.",
        );
        let best = self.best().map(|best| best.name);
        let emphasised = self.policies.iter().position(|policy| Some(policy.name) == best);
        page.table(&COLUMNS, &self.policies.iter().map(cells).collect::<Vec<_>>(), emphasised);
        page.section("Cold starts against memory");
        page.text(&format!(
            "Lower left is better. Large dots are the default settings; the numbers of a dot appear on hover. Less than \
             {HARDLY_COLD} % of cold starts is drawn as {HARDLY_COLD} %."
        ));
        page.figures(&[
            self.frontier("All invocations", |p| (p.memory_x_oracle, p.cold_percent)),
            self.frontier("Mean over functions", |p| (p.memory_x_oracle, p.cold_percent_function_mean)),
        ]);
        if let Some(live) = live {
            page.section("The service itself");
            page.text(&live.setting());
            page.table(&Live::COLUMNS, &live.rows(), live.rows().len().checked_sub(1));
        }
        if let Some(best) = self.best() {
            page.section("Required, forecast, provisioned");
            page.text(&format!(
                "The busiest {} hours of some functions. The band is the central 90 % of the forecast made one minute \
                 ahead by {}; provisioned is what that policy keeps at its default setting.",
                WINDOW / 60,
                best.name.label()
            ));
            page.figures(&self.minutes(best, trace));
            page.section("Forecast errors by function");
            page.text(
                "Busiest functions first; lower is better. CRPS, of the whole distribution, is 0 for a certain and right \
                 forecast. SMAPE, of the median alone, is large wherever counts are near 1, whoever forecasts.",
            );
            page.figures(&[
                self.errors("CRPS, scaled", "CRPS / mean load", trace, |errors| errors.crps_scaled),
                self.errors("SMAPE of the median", "SMAPE, 0 to 200", trace, |errors| errors.smape_int),
            ]);
        }
        page.html()
    }

    fn frontier(&self, title: &str, coordinates: fn(&super::Point) -> (f64, f64)) -> String {
        let mut chart =
            Chart::new(title, Axis::logarithmic("memory, x oracle"), Axis::logarithmic("cold starts, %"));
        for (index, policy) in self.policies.iter().enumerate() {
            // What no other setting beats, down to the first with hardly a cold start, and the default.
            let all: Vec<(f64, f64)> = policy.points.iter().map(coordinates).collect();
            let hull = hull(&all);
            let reached =
                hull.iter().position(|&(_, cold)| cold <= HARDLY_COLD).map_or(hull.len(), |at| at + 1);
            let mut order: Vec<usize> =
                (0..all.len()).filter(|&i| i == policy.chosen || hull[..reached].contains(&all[i])).collect();
            order.sort_by(|&a, &b| all[a].0.total_cmp(&all[b].0));
            let text = |&i: &usize| {
                let point = &policy.points[i];
                let (memory, cold) = coordinates(point);
                format!("{}: {cold:.2} % cold at {memory:.2} x", point.setting)
            };
            chart = chart.dots(
                policy.name.label(),
                self.ink(index),
                order.iter().map(|&i| (all[i].0, all[i].1.max(HARDLY_COLD))).collect(),
                order.iter().map(text).collect(),
                order.iter().position(|&i| i == policy.chosen),
            );
        }
        chart.html()
    }

    fn minutes(&self, best: &PolicyResult, trace: &Trace) -> Vec<String> {
        let start = self.trace.valid_end;
        let charts = self.featured.iter().enumerate().map(|(index, &function)| {
            let required = &trace.peaks[function][start..self.trace.end];
            let from = busiest(required);
            let window = from..(from + WINDOW).min(required.len());
            let at = |minute: usize| (minute - from) as f64;
            let forecast = &best.featured_forecasts[index];
            let band = window.clone().map(|m| {
                let quantiles = &forecast[m].quantiles;
                (at(m), f64::from(quantiles[1]), f64::from(quantiles[7]))
            });
            let steps =
                |values: &[u32]| window.clone().map(|m| (at(m), f64::from(values[m]))).collect::<Vec<_>>();
            Chart::new(
                short(&trace.functions[function].name),
                Axis::linear(format!("minutes from minute {}", start + from)),
                Axis::linear("containers"),
            )
            .band("forecast, 90 %", Ink::Series(0), band.collect())
            .step("provisioned", Ink::Series(1), steps(&best.featured_provisioned[index]))
            .step("required", Ink::Text, steps(required))
            .html()
        });
        charts.collect()
    }

    fn errors(&self, title: &str, axis: &str, trace: &Trace, error: fn(&Errors) -> f64) -> String {
        let forecasting: Vec<(usize, &PolicyResult)> =
            self.policies.iter().enumerate().filter(|(_, policy)| policy.errors.is_some()).collect();
        let mut functions: Vec<usize> = (0..trace.functions.len()).collect();
        let load = |function: usize| -> u64 {
            trace.peaks[function][self.trace.valid_end..self.trace.end].iter().map(|&p| u64::from(p)).sum()
        };
        functions.sort_by_key(|&function| std::cmp::Reverse(load(function)));
        functions.truncate(ERROR_ROWS);
        let names: Vec<String> =
            functions.iter().map(|&function| short(&trace.functions[function].name)).collect();
        let series: Vec<(&str, Ink, Vec<f64>)> = forecasting
            .iter()
            .map(|&(index, policy)| {
                let values = functions.iter().map(|&function| error(&policy.function_errors[function]));
                (policy.name.label(), self.ink(index), values.collect())
            })
            .collect();
        let mut all: Vec<f64> = series.iter().flat_map(|(_, _, values)| values.iter().copied()).collect();
        all.sort_by(f64::total_cmp);
        let high = all.get(all.len() * 19 / 20).copied().unwrap_or(1.0);
        dot_rows(title, axis, &names, high, &series)
    }

    /// The best forecaster has the strongest colour, the oracle is quiet.
    fn ink(&self, index: usize) -> Ink {
        let name = self.policies[index].name;
        let best = self.best().map(|best| best.name);
        if Some(name) == best {
            return Ink::Series(0);
        }
        if name == PolicyName::Oracle {
            return Ink::Quiet;
        }
        let others =
            self.policies[..index].iter().filter(|p| Some(p.name) != best && p.name != PolicyName::Oracle);
        Ink::Series((others.count() % 15) as u8 + 1)
    }
}

/// The columns of the table of policies.
pub const COLUMNS: [&str; 12] = [
    "policy",
    "setting",
    "cold %",
    "function mean",
    "memory",
    "GB s",
    "launches",
    "at 4 %",
    "2 %",
    "1 %",
    "CRPS",
    "SMAPE",
];

/// One row of the table of policies, as [`COLUMNS`].
pub fn cells(policy: &PolicyResult) -> Vec<String> {
    let point = &policy.points[policy.chosen];
    let memory = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
    vec![
        policy.name.label().into(),
        point.setting.clone(),
        format!("{:.2}", point.cold_percent),
        format!("{:.2}", point.cold_percent_function_mean),
        format!("{:.2}", point.memory_x_oracle),
        grouped(point.memory_gb_s as u64),
        grouped(point.launches),
        memory(policy.memory_at.cold_4),
        memory(policy.memory_at.cold_2),
        memory(policy.memory_at.cold_1),
        policy.errors.map_or("-".into(), |errors| format!("{:.3}", errors.crps_scaled)),
        policy.errors.map_or("-".into(), |errors| format!("{:.1}", errors.smape_int)),
    ]
}

/// Where the busiest [`WINDOW`] starts, to the hour.
fn busiest(required: &[u32]) -> usize {
    let load = |from: usize| -> u64 {
        required[from..(from + WINDOW).min(required.len())].iter().map(|&r| u64::from(r)).sum()
    };
    let last = required.len().saturating_sub(WINDOW);
    (0..=last).step_by(60).max_by_key(|&from| (load(from), std::cmp::Reverse(from))).unwrap_or(0)
}

/// A name that fits its row: the hashes of a trace are cut.
fn short(name: &str) -> String {
    if name.chars().count() <= 22 {
        name.into()
    } else {
        name.chars().take(12).chain("...".chars()).collect()
    }
}

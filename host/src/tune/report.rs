//! HTML reports of a run and of a comparison.

use aquatope_core::workflow::Configuration;

use crate::report::chart::{Axis, Chart, Ink};
use crate::report::page::Page;

use super::compare::{self, Figure};
use super::sensitivity::curves;
use super::summary::{Summary, Truth, percentage};
use super::trial::{Outcome, TrialState};
use super::workflow::Resource;

/// The report of one run.
pub fn run(summary: &Summary) -> String {
    let mut page =
        Page::new(format!("{}: configuration for the QoS of {} s", summary.file.name, summary.file.qos_s));
    page.lead(&lead(summary));
    configuration(summary, &mut page);
    page.section("How the search went");
    page.figures(&[convergence(summary), cloud(summary)]);
    page.section("What each resource does");
    page.text(
        "Cost and latency while one resource of one function changes and everything else stays as recommended, read \
         off Gaussian processes of the trials. Latency at 100 % is the QoS.",
    );
    page.figures(&sensitivity(summary));
    page.section("Trials");
    trials(summary, &mut page);
    page.html()
}

fn lead(summary: &Summary) -> String {
    if let Some(why) = summary.unmet() {
        return why;
    }
    let prediction = summary.run.recommendation.prediction;
    if let Some(prediction) = prediction.filter(|prediction| !prediction.qualified) {
        return format!(
            "No configuration is sure enough to meet the QoS yet: the one nearest to it meets it with probability {}. \
             Measure more, or allow more time.",
            percentage(prediction.feasible)
        );
    }
    let mut text = match (summary.saving(), summary.expected_cost()) {
        (Some(saving), Some(cost)) if saving >= 0.0 => {
            format!(
                "The recommended configuration saves {:.0} % of today's cost: it costs {cost:.4} a run.",
                100.0 * saving
            )
        }
        (_, Some(cost)) => format!("The recommended configuration costs {cost:.4} a run."),
        _ => String::from("A configuration is recommended, but its cost is not known yet."),
    };
    if let Some(prediction) = prediction {
        text += &format!(" It meets the QoS with probability {}.", percentage(prediction.feasible));
    }
    text
}

const PREDICTED: &str = "recommended, predicted";

fn configuration(summary: &Summary, page: &mut Page) {
    let (header, rows) = summary.configurations();
    page.table(&header, &rows, None);
    let mut facts: Vec<Vec<String>> = Vec::new();
    let mut fact =
        |name: &str, cost: String, latency: String| facts.push(vec![name.to_string(), cost, latency]);
    if let Some((cost, latency)) = summary.start() {
        fact("today, measured", format!("{cost:.4}"), format!("{latency:.3}"));
    }
    if let Some(prediction) = summary.run.recommendation.prediction {
        let interval = |interval: super::sampler::Interval| {
            format!("{:.4} [{:.4}, {:.4}]", interval.median, interval.low, interval.high)
        };
        fact(PREDICTED, interval(prediction.cost), interval(prediction.latency_s));
    }
    if let Some(Truth { cost, latency_s, .. }) = summary.truth() {
        fact("recommended, in truth (simulator)", format!("{cost:.4}"), format!("{latency_s:.3}"));
    }
    if let (Some(oracle), true) = (&summary.file.oracle, summary.simulator.is_some()) {
        fact("optimum without noise", format!("{:.4}", oracle.cost), format!("{:.3}", oracle.latency_s));
    }
    let predicted = facts.iter().position(|row| row[0] == PREDICTED);
    page.section("What it costs and how long it takes");
    page.table(&["", "cost", "latency, s"], &facts, predicted);
}

fn convergence(summary: &Summary) -> String {
    let run = summary.run;
    let predicted =
        run.path.iter().filter_map(|(trials, best)| Some((*trials as f64, best.prediction?.cost)));
    let band = predicted.clone().map(|(x, cost)| (x, cost.low, cost.high)).collect();
    let line: Vec<(f64, f64)> = predicted.map(|(x, cost)| (x, cost.median)).collect();
    let end = run.trials.len() as f64;
    let level = |value: f64| vec![(0.0, value), (end, value)];
    let mut chart = Chart::new(
        "Cost of the recommendation as trials come in",
        Axis::linear("trials"),
        Axis::linear("cost of a run").range(0.0, chart_top(summary, &line)),
    );
    if let Some((cost, _)) = summary.start() {
        chart = chart.line("today", Ink::Quiet, level(cost));
    }
    if line.is_empty() {
        let mut best = f64::INFINITY;
        let observed = run.trials.iter().enumerate().filter_map(|(id, trial)| {
            let outcome = trial.outcome().filter(|outcome| outcome.latency_s <= summary.file.qos_s)?;
            best = best.min(outcome.cost);
            Some((id as f64 + 1.0, best))
        });
        chart = chart.step("cheapest measured that met the QoS", Ink::Series(0), observed.collect());
    } else {
        chart =
            chart.band("", Ink::Series(0), band).line("predicted, with 95 % interval", Ink::Series(0), line);
    }
    if let (Some(oracle), true) = (&summary.file.oracle, summary.simulator.is_some()) {
        chart = chart.line("optimum without noise", Ink::Series(2), level(oracle.cost));
    }
    chart.html()
}

/// A little above the highest thing worth seeing: intervals of the first steps may be enormous.
fn chart_top(summary: &Summary, line: &[(f64, f64)]) -> f64 {
    let start = summary.start().map_or(0.0, |(cost, _)| cost);
    let highest = line.iter().map(|(_, cost)| *cost).fold(start, f64::max);
    let measured =
        || summary.run.trials.iter().filter_map(|trial| trial.outcome()).map(|outcome| outcome.cost);
    1.15 * if highest > 0.0 { highest } else { measured().fold(1.0, f64::max) }
}

fn cloud(summary: &Summary) -> String {
    let (run, qos) = (summary.run, summary.file.qos_s);
    let group = |wanted: &dyn Fn(&Outcome, bool) -> bool| {
        let mut points = Vec::new();
        let mut texts = Vec::new();
        for (id, (trial, &anomalous)) in run.trials.iter().zip(&run.anomalous).enumerate() {
            if let Some(outcome) = trial.outcome().filter(|outcome| wanted(outcome, anomalous)) {
                points.push((outcome.latency_s, outcome.cost));
                texts.push(format!(
                    "trial {id}: cost {:.4}, latency {:.3} s",
                    outcome.cost, outcome.latency_s
                ));
            }
        }
        (points, texts)
    };
    let (met, met_texts) = group(&|outcome, anomalous| !anomalous && outcome.latency_s <= qos);
    let (missed, missed_texts) = group(&|outcome, anomalous| !anomalous && outcome.latency_s > qos);
    let (outliers, outlier_texts) = group(&|_, anomalous| anomalous);
    let costs: Vec<f64> = met.iter().chain(&missed).chain(&outliers).map(|(_, cost)| *cost).collect();
    let low = costs.iter().copied().fold(f64::INFINITY, f64::min);
    let high = costs.iter().copied().fold(0.0, f64::max);
    let mut chart = Chart::new(
        "Every trial: what it cost and how long it took",
        Axis::logarithmic("end-to-end latency, s"),
        Axis::logarithmic("cost of a run"),
    )
    .line("QoS", Ink::Quiet, vec![(qos, low), (qos, high)])
    .scatter("met the QoS", Ink::Series(0), met, met_texts)
    .scatter("missed it", Ink::Series(1), missed, missed_texts)
    .rings("anomalous", Ink::Series(3), outliers, outlier_texts);
    let expected = run.recommendation.prediction.map(|p| (p.latency_s.median, p.cost.median));
    if let Some(at) = expected {
        chart = chart.dots("recommended", Ink::Series(2), vec![at], vec!["predicted".into()], Some(0));
    }
    chart.html()
}

fn sensitivity(summary: &Summary) -> Vec<String> {
    let workflow = &summary.file.workflow;
    let curves = curves(workflow, summary.run);
    let figure = |curve: &super::sensitivity::Curve| {
        let (name, label) = match curve.decision.resource {
            Resource::Cpu => ("CPU", "cores"),
            Resource::Memory => ("memory", "MB"),
            Resource::Concurrency => ("concurrency", "requests a container serves at a time"),
        };
        let here = curve.recommended;
        let at_recommendation = |value: &&(f64, f64, f64)| (value.0 - here).abs() < 1e-9;
        let reference = curve.points.iter().find(at_recommendation).map_or(1.0, |point| point.1);
        let cost: Vec<_> = curve.points.iter().map(|(x, cost, _)| (*x, 100.0 * cost / reference)).collect();
        let latency: Vec<_> =
            curve.points.iter().map(|(x, _, latency)| (*x, 100.0 * latency / summary.file.qos_s)).collect();
        let all = || cost.iter().chain(&latency).map(|(_, percent)| *percent);
        let ends = [all().fold(100.0, f64::min), all().fold(100.0, f64::max)];
        let function = &workflow.functions[curve.decision.function].name;
        Chart::new(format!("{function}: {name}"), Axis::linear(label), Axis::logarithmic("%"))
            .line("recommended", Ink::Quiet, ends.map(|end| (here, end)).into())
            .line("cost, of the recommendation's", Ink::Series(0), cost)
            .line("latency, of the QoS", Ink::Series(1), latency)
            .html()
    };
    curves.iter().map(figure).collect()
}

fn trials(summary: &Summary, page: &mut Page) {
    let run = summary.run;
    let requests = summary.file.workflow.searches_concurrency();
    let row = |(id, (trial, anomalous)): (usize, (&super::trial::Trial, &bool))| {
        let point: Vec<String> = (0..summary.file.workflow.functions.len())
            .map(|i| summary.file.workflow.configuration(&trial.point, i))
            .map(|Configuration { cpu, memory_mb, concurrency }| {
                let requests = if requests { format!("/{concurrency:.0}") } else { String::new() };
                format!("{cpu:.1}/{memory_mb:.0}{requests}")
            })
            .collect();
        let (cost, latency, verdict) = match &trial.state {
            TrialState::Running => (String::new(), String::new(), "not measured".to_string()),
            TrialState::Failed(reason) => (String::new(), String::new(), format!("failed: {reason}")),
            TrialState::Complete(outcome) => {
                let met = if outcome.latency_s <= summary.file.qos_s { "met" } else { "missed" };
                let verdict = if *anomalous { format!("{met}, anomalous") } else { met.to_string() };
                (format!("{:.4}", outcome.cost), format!("{:.3}", outcome.latency_s), verdict)
            }
        };
        vec![id.to_string(), cost, latency, verdict, point.join("  ")]
    };
    let rows: Vec<Vec<String>> = run.trials.iter().zip(&run.anomalous).enumerate().map(row).collect();
    let resources =
        if requests { "cores/MB/requests of every function" } else { "cores/MB of every function" };
    page.table(&["trial", "cost", "latency, s", "QoS", resources], &rows, None);
}

/// The report of a comparison.
pub fn comparison(figures: &[Figure], seeds: u64) -> String {
    let mut page = Page::new("Methods compared on simulated workflows");
    page.lead(
        "How far above the cheapest possible configuration each method's recommendation ends: 0 is the optimum found \
         without noise.",
    );
    page.text(&format!(
        "Effective regret: noise-free cost of the recommendation over the optimum's, minus 1; a recommendation that \
         misses the QoS counts as the starting configuration. Medians and quartiles over {seeds} seeds; !n% is the \
         share of recommendations that miss the QoS."
    ));
    let charts: Vec<String> = figures.iter().map(|figure| comparison_chart(figure).html()).collect();
    page.figures(&charts);
    for figure in figures {
        page.section(&figure.title);
        let (header, rows) = compare::table(figure);
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        page.table(&header, &rows, Some(0));
    }
    page.html()
}

/// Medians of every method with their quartiles: as a band for the first, and for the others, where they stand apart,
/// as whiskers.
pub fn comparison_chart(figure: &Figure) -> Chart {
    // Named positions stand side by side: workflows with the same number of functions would cover each other.
    let names: Vec<String> = figure.labels();
    let place = |point: &compare::Point| {
        let named = point.label.as_ref().and_then(|label| names.iter().position(|name| name == label));
        named.map_or(point.x, |at| at as f64)
    };
    let x = if names.is_empty() { Axis::linear(figure.axis) } else { Axis::named("workflow", names.clone()) };
    let mut places: Vec<f64> = figure.points.iter().map(place).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let apart = places.len() <= 8;
    let mut chart =
        Chart::new(figure.title.clone(), x, Axis::linear("effective regret").range(0.0, top(figure)));
    let mut methods = Vec::new();
    for point in &figure.points {
        if !methods.contains(&point.method) {
            methods.push(point.method);
        }
    }
    for (number, &method) in methods.iter().enumerate() {
        let mut points: Vec<&compare::Point> =
            figure.points.iter().filter(|point| point.method == method).collect();
        points.sort_by(|a, b| place(a).total_cmp(&place(b)));
        let ink = Ink::Series(number as u8);
        let median = points.iter().map(|point| (place(point), point.quantile(0.5))).collect();
        let texts =
            points.iter().map(|point| point.label.clone().unwrap_or_else(|| point.x.to_string())).collect();
        let quartiles = points.iter().map(|p| (place(p), p.quantile(0.25), p.quantile(0.75))).collect();
        if number == 0 {
            chart = chart.band("", ink, quartiles);
        } else if apart {
            chart = chart.whiskers(ink, quartiles);
        }
        chart = chart.dots(method.name(), ink, median, texts, None);
    }
    let ends = places.first().into_iter().chain(places.last());
    chart.line("oracle", Ink::Text, ends.map(|&x| (x, 0.0)).collect())
}

/// What is worth seeing: a little above the worst median, but no more than twice the optimum's cost.
fn top(figure: &Figure) -> f64 {
    let worst = figure.points.iter().map(|point| point.quantile(0.5)).fold(0.05, f64::max);
    (1.1 * worst).min(1.0)
}

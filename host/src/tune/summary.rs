//! What a finished run says: a table for people, JSON for programs.

use std::fmt::Write as _;

use aquatope_core::workflow::Configuration;
use serde_json::{Value, json};

use crate::table::aligned;

use super::evaluator::describe;
use super::problem::Anomalies;
use super::run::Finished;
use super::sampler::{Interval, Prediction};
use super::simulator::Simulator;
use super::trial::{Outcome, Trial, TrialState};
use super::workflow::Function;
use super::workflow_file::{Oracle, WorkflowFile};

/// A finished run of one workflow file.
pub struct Summary<'a> {
    /// The file.
    pub file: &'a WorkflowFile,
    /// The method's name.
    pub method: &'a str,
    /// The run.
    pub run: &'a Finished,
    /// The simulator behind it, when it was one: it knows the truth.
    pub simulator: Option<&'a Simulator>,
}

/// What the simulator and the oracle know of the recommendation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// Noise-free cost.
    pub cost: f64,
    /// Noise-free latency, seconds.
    pub latency_s: f64,
    /// Cost over the oracle's, minus 1.
    pub regret: Option<f64>,
}

impl Summary<'_> {
    /// Cost and latency of the starting configuration: medians of the measurements made before the search.
    pub fn start(&self) -> Option<(f64, f64)> {
        let median = |value: fn(&Outcome) -> f64| {
            let mut values: Vec<f64> = self.run.problem.profile.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        Some((median(|outcome| outcome.cost)?, median(|outcome| outcome.latency_s)?))
    }

    /// Cost to expect from the recommendation: the model's word, else what was measured there.
    pub fn expected_cost(&self) -> Option<f64> {
        let recommendation = &self.run.recommendation;
        let measured = || {
            let there = |trial: &&Trial| trial.point == recommendation.point;
            self.run.trials.iter().filter(there).find_map(|trial| Some(trial.outcome()?.cost))
        };
        recommendation.prediction.map(|prediction| prediction.cost.median).or_else(measured)
    }

    /// Share of the starting configuration's cost that the recommendation saves.
    pub fn saving(&self) -> Option<f64> {
        Some(1.0 - self.expected_cost()? / self.start()?.0)
    }

    /// That nothing measured met the QoS, and that it looks out of reach where the model gives no configuration a chance.
    pub fn unmet(&self) -> Option<String> {
        // What was measured before a change of behaviour no longer counts, the profile included.
        let profile = self.run.problem.profile.iter().filter(|_| self.run.window_start == 0);
        let tried = self.run.trials.iter().skip(self.run.window_start).filter_map(Trial::outcome);
        let fastest = tried.chain(profile).map(|outcome| outcome.latency_s).min_by(f64::total_cmp)?;
        let qos_s = self.file.qos_s;
        if fastest <= qos_s {
            return None;
        }
        match self.run.recommendation.prediction {
            None => Some(format!("Nothing met the QoS of {qos_s} s; the fastest took {fastest:.3} s.")),
            Some(prediction) if prediction.qualified || prediction.feasible >= HOPELESS => None,
            Some(_) => Some(format!(
                "The QoS of {qos_s} s looks out of reach: nothing met it, and the fastest took {fastest:.3} s. Allow more \
                 time, or widen the ranges of CPU and memory."
            )),
        }
    }

    /// The truth about the recommendation, when a simulator stands behind the run.
    pub fn truth(&self) -> Option<Truth> {
        let (cost, latency_s) = self.simulator?.truth(&self.run.recommendation.point);
        let regret = self.file.oracle.as_ref().map(|Oracle { cost: best, .. }| cost / best - 1.0);
        Some(Truth { cost, latency_s, regret })
    }

    /// The recommended configuration beside today's: header, and one row a function.
    pub fn configurations(&self) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let workflow = &self.file.workflow;
        let requests = workflow.searches_concurrency();
        let mut header = vec![
            "function",
            "cores",
            "MB",
            "requests a container",
            "cores today",
            "MB today",
            "requests today",
        ];
        header.retain(|name| requests || !name.starts_with("requests"));
        let row = |(i, function): (usize, &Function)| {
            let mut row = vec![function.name.clone()];
            for point in [&self.run.recommendation.point, &self.file.start] {
                let Configuration { cpu, memory_mb, concurrency } = workflow.configuration(point, i);
                row.extend([format!("{cpu:.2}"), format!("{memory_mb:.0}")]);
                row.extend(requests.then(|| format!("{concurrency:.0}")));
            }
            row
        };
        (header, workflow.functions.iter().enumerate().map(row).collect())
    }

    /// The table printed at the end.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_table(&mut text);
        text
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let run = self.run;
        let (header, rows) = self.configurations();
        writeln!(out, "{}", aligned(&header, &rows))?;
        let row = |out: &mut String, name: &str, text: String| writeln!(out, "{name:<22}{text}");
        let unmet = self.unmet();
        if let Some(Prediction { cost, latency_s, feasible, qualified }) = run.recommendation.prediction {
            let (cost, latency) = (interval(cost, ""), interval(latency_s, " s"));
            row(out, "predicted cost", format!("{cost} a sample"))?;
            row(out, "predicted latency", format!("{latency}, QoS {} s", self.file.qos_s))?;
            let doubt = if qualified || unmet.is_some() {
                ""
            } else {
                "  (not sure enough: measure more before using it, or allow more time)"
            };
            row(out, "meets the QoS", format!("with probability {}{doubt}", percentage(feasible)))?;
        }
        let usable =
            unmet.is_none() && run.recommendation.prediction.is_none_or(|prediction| prediction.qualified);
        if let Some(why) = &unmet {
            writeln!(out, "{why}")?;
        }
        if let (true, Some(saving), Some((cost, latency))) = (usable, self.saving(), self.start()) {
            row(out, "saving", format!("{:.1} % of today's {cost:.4} (at {latency:.3} s)", 100.0 * saving))?;
        }
        let count =
            |wanted: fn(&TrialState) -> bool| run.trials.iter().filter(|trial| wanted(&trial.state)).count();
        let failed = count(|state| matches!(state, TrialState::Failed(_)));
        let outliers = run.anomalous.iter().filter(|&&anomalous| anomalous).count();
        let kept = if run.problem.anomalies == Anomalies::Off { " (kept)" } else { "" };
        let trials = format!("{}, {failed} failed, {outliers} anomalous{kept}", run.trials.len());
        row(out, "trials", format!("{trials} (ended by {})", run.ended_by))?;
        if run.window_start > 0 {
            row(
                out,
                "behaviour changed",
                format!("at trial {}; earlier ones no longer count", run.window_start),
            )?;
        }
        if let Some(misfit) = &run.misfit {
            row(out, "model", format!("the black box: {misfit}"))?;
        }
        row(out, "spent", format!("cost {:.3}, time {:.1} s", run.spent.cost, run.spent.time_s))?;
        if let Some(Truth { cost, latency_s, regret }) = self.truth() {
            let regret =
                regret.map_or(String::new(), |regret| format!(", {:.1} % above the optimum", 100.0 * regret));
            let verdict = if latency_s > self.file.qos_s { "misses" } else { "meets" };
            row(
                out,
                "in truth (simulator)",
                format!("cost {cost:.4}{regret}; {latency_s:.3} s, {verdict} the QoS"),
            )?;
        }
        Ok(())
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let (workflow, run) = (&self.file.workflow, self.run);
        let functions = describe(workflow, &run.recommendation.point);
        let mut recommendation =
            json!({ "functions": functions, "expected_cost": self.expected_cost(), "unmet": self.unmet() });
        if let Some(Prediction { cost, latency_s, feasible, qualified }) = run.recommendation.prediction {
            recommendation["cost"] = interval_json(cost);
            recommendation["latency_s"] = interval_json(latency_s);
            recommendation["feasible"] = json!(feasible);
            recommendation["qualified"] = json!(qualified);
        }
        let trials: Vec<Value> = run
            .trials
            .iter()
            .zip(&run.anomalous)
            .enumerate()
            .map(|(id, row)| self.trial_json(id, row))
            .collect();
        let start = self.start().map(|(cost, latency_s)| {
            json!({ "functions": describe(workflow, &self.file.start), "cost": cost, "latency_s": latency_s })
        });
        json!({
            "workflow": self.file.name,
            "method": self.method,
            "qos_s": self.file.qos_s,
            "seed": run.problem.seed,
            "recommendation": recommendation,
            "start": start,
            "saving": self.saving(),
            "spent": { "trials": run.trials.len(), "cost": run.spent.cost, "time_s": run.spent.time_s },
            "ended_by": run.ended_by,
            "window_start": run.window_start,
            "misfit": run.misfit,
            "truth": self.truth().map(|truth| json!({
                "cost": truth.cost,
                "latency_s": truth.latency_s,
                "regret": truth.regret,
                "meets_qos": truth.latency_s <= self.file.qos_s,
            })),
            "trials": trials,
        })
    }

    fn trial_json(&self, id: usize, (trial, anomalous): (&Trial, &bool)) -> Value {
        let functions = describe(&self.file.workflow, &trial.point);
        match &trial.state {
            TrialState::Running => json!({ "id": id, "state": "running", "functions": functions }),
            TrialState::Failed(reason) => {
                json!({ "id": id, "state": "failed", "reason": reason, "functions": functions })
            }
            TrialState::Complete(outcome) => json!({
                "id": id,
                "state": "complete",
                "functions": functions,
                "cost": outcome.cost,
                "latency_s": outcome.latency_s,
                "durations_s": outcome.durations,
                "meets_qos": outcome.latency_s <= self.file.qos_s,
                "anomalous": anomalous,
            }),
        }
    }
}

/// A configuration that meets the QoS with less than this probability has no chance.
const HOPELESS: f64 = 0.01;

/// A probability in per cent, which is never quite 0 or 100.
pub(super) fn percentage(probability: f64) -> String {
    match 100.0 * probability {
        sure if sure > 99.9 => "above 99.9 %".into(),
        hopeless if hopeless < 0.1 => "below 0.1 %".into(),
        between => format!("{between:.1} %"),
    }
}

fn interval(Interval { median, low, high }: Interval, unit: &str) -> String {
    format!("{median:.4}{unit} (95 %: {low:.4} to {high:.4})")
}

fn interval_json(Interval { median, low, high }: Interval) -> Value {
    json!({ "median": median, "low": low, "high": high })
}

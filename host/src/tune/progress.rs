//! Live progress on stderr: a bar on a terminal, and one line a trial anywhere.

use indicatif::{ProgressBar, ProgressStyle};

use super::run::Observer;
use super::sampler::Recommendation;
use super::trial::{Trial, TrialState};
use crate::error::note;

/// Prints a run as it goes on.
pub struct Progress {
    bar: ProgressBar,
    qos_s: f64,
}

impl Progress {
    /// Progress of a run of `trials` trials against this QoS.
    pub fn new(trials: usize, qos_s: f64) -> Self {
        let bar = ProgressBar::new(trials as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} trials  {elapsed}  {msg}") {
            bar.set_style(style);
        }
        Self { bar, qos_s }
    }

    fn line(&self, text: &str) {
        // A hidden bar (no terminal) would swallow the line.
        if self.bar.is_hidden() { note(text) } else { self.bar.println(text) }
    }
}

impl Observer for Progress {
    fn continued(&mut self, at: &str, trials: usize) {
        self.line(&format!("{at}: continues after {trials} trials"));
    }

    fn profiled(&mut self, done: usize, total: usize) {
        self.bar.set_message(format!("measuring the starting configuration {done}/{total}"));
    }

    fn measured(&mut self, id: usize, trial: &Trial) {
        self.bar.set_position(id as u64 + 1);
        if let TrialState::Failed(reason) = &trial.state {
            self.line(&format!("trial {id:>3}  failed: {reason}"));
        }
    }

    fn batch(&mut self, study: &[Trial], batch: &[usize], anomalous: &[bool], best: Option<&Recommendation>) {
        let predicted = best.and_then(|best| best.prediction);
        let measured = || {
            let point = &best?.point;
            study.iter().filter(|trial| trial.point == *point).find_map(|trial| Some(trial.outcome()?.cost))
        };
        let best = predicted.map(|prediction| prediction.cost.median).or_else(measured);
        let best = best.map_or(String::new(), |cost| format!("recommended now: cost {cost:.4}"));
        for &id in batch {
            let Some(outcome) = study[id].outcome() else { continue };
            let verdict = if outcome.latency_s <= self.qos_s { "meets the QoS " } else { "misses the QoS" };
            let outlier = if anomalous[id] { "  anomalous" } else { "" };
            let (cost, latency) = (outcome.cost, outcome.latency_s);
            self.line(&format!(
                "trial {id:>3}  cost {cost:<8.4}  latency {latency:>8.3} s  {verdict}  {best}{outlier}"
            ));
        }
        self.bar.set_message(best);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

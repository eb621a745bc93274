//! Whether production meets its QoS after a change.
//!
//! Runs of the workflow are counted that begin [`WARM_UP`] after the change or later. The change breaks its promise when more of them than `allowed`
//! take longer than the QoS, and not by chance: by a one-sided binomial test of that share. It is tested when 8, 16, 32, ..
//! runs are counted, at the levels `level / 2`, `level / 4`, .., whose sum is below `level`; so the probability of
//! taking a good change back is below `level` however long it is watched (union bound).

use std::collections::HashSet;
use std::time::Duration;

use aquatope_openwhisk::event::Status;
use aquatope_openwhisk::records::Record;
use aquatope_openwhisk::rest::{PAGE, Selection};

use super::error::TuneError;
use super::patient::Patient;

/// What production is held to.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// End-to-end latency, seconds.
    pub qos_s: f64,
    /// Share of runs that may take longer, or fail.
    pub allowed: f64,
    /// Probability of taking back a change that keeps the promise, at most.
    pub level: f64,
    /// Runs after which the change is trusted; the last test is at the last power of two times 8 up to here.
    pub runs: u64,
}

impl Promise {
    /// The QoS in 95 % of the runs, taken back wrongly with a probability below 1 %, watched for 1,024 runs.
    pub fn new(qos_s: f64) -> Self {
        Self { qos_s, allowed: 0.05, level: 0.01, runs: 1024 }
    }
}

/// What is thought of the change so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not known yet.
    Watching,
    /// Enough runs without a reason to doubt.
    Kept,
    /// More runs than allowed missed the QoS, and not by chance.
    Broken,
}

/// Counts runs after a change.
#[derive(Debug)]
pub struct Watch {
    promise: Promise,
    runs: u64,
    late: u64,
    broken: bool,
}

/// Runs at the first test.
const FIRST: u64 = 8;

impl Watch {
    /// A watch that has seen no run.
    pub fn new(promise: Promise) -> Self {
        Self { promise, runs: 0, late: 0, broken: false }
    }

    /// A run of the workflow ended: its latency, or nothing when it failed.
    pub fn saw(&mut self, latency_s: Option<f64>) -> Verdict {
        if self.verdict() == Verdict::Watching {
            let Promise { qos_s, allowed, level, .. } = self.promise;
            self.runs += 1;
            self.late += u64::from(latency_s.is_none_or(|latency_s| latency_s > qos_s));
            let doublings = self.runs / FIRST;
            if self.runs.is_multiple_of(FIRST) && doublings.is_power_of_two() {
                // At the first test level/2, and half as much at every later one.
                let level = level / (2 * doublings) as f64;
                self.broken = at_least(self.runs, self.late, allowed) < level;
            }
        }
        self.verdict()
    }

    /// What is thought so far.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self { broken: true, .. } => Verdict::Broken,
            Self { runs, promise, .. } if *runs >= promise.runs => Verdict::Kept,
            _ => Verdict::Watching,
        }
    }

    /// Runs counted, and how many of them missed the QoS.
    pub fn counts(&self) -> (u64, u64) {
        (self.runs, self.late)
    }
}

/// The probability of at least `x` successes in `n` trials of probability `p`. Work: `n` steps.
fn at_least(n: u64, x: u64, p: f64) -> f64 {
    if x == 0 || p >= 1.0 {
        return 1.0;
    }
    if p <= 0.0 {
        return 0.0;
    }
    let odds = (p / (1.0 - p)).ln();
    let mut ln_mass = n as f64 * (1.0 - p).ln();
    let mut tail = 0.0;
    for k in 0..=n {
        if k >= x {
            tail += ln_mass.exp();
        }
        ln_mass += ((n - k) as f64 / (k + 1) as f64).ln() + odds;
    }
    tail
}

/// Runs that begin within this time of a change do not count: it threw all warm containers away, so the first runs are
/// cold whatever the limits are. Five minutes are the longest an action may take by default.
pub const WARM_UP: Duration = Duration::from_secs(300);

/// A run enters the platform's list when it ends, after later ones that ended earlier. It is looked for as long as this.
const LATE: Duration = Duration::from_secs(3600);

/// Counts the runs of a workflow in production after a change.
///
/// Memory: a page of the platform's list, and the ids of the runs counted, of which there are `promise.runs` at most.
#[derive(Debug)]
pub struct Guard {
    workflow: String,
    watch: Watch,
    /// Every run that began before this is counted, ms since the epoch.
    from_ms: i64,
    counted: HashSet<String>,
}

impl Guard {
    /// For the sequence or composition `workflow`, whose actions were changed at `changed_ms` (milliseconds since the
    /// epoch, on the platform's clock). The first [`WARM_UP`] does not count.
    pub fn new(workflow: &str, changed_ms: i64, promise: Promise) -> Self {
        Self {
            workflow: workflow.to_owned(),
            watch: Watch::new(promise),
            from_ms: changed_ms.saturating_add(WARM_UP.as_millis() as i64),
            counted: HashSet::new(),
        }
    }

    /// Counts what has ended until `now_ms`, oldest first, as far as that is needed for a verdict.
    ///
    /// # Errors
    /// Calls the platform refuses. What was counted stays counted; look again.
    pub async fn look(&mut self, platform: &Patient, now_ms: i64) -> Result<Verdict, TuneError> {
        let mut from_ms = self.from_ms;
        let mut last_ms = now_ms;
        while from_ms <= now_ms && self.watch.verdict() == Verdict::Watching {
            let selection = Selection {
                since_ms: Some(from_ms),
                upto_ms: Some(last_ms),
                name: Some(self.workflow.clone()),
            };
            let rows = platform.call(|| platform.client.activations(&selection)).await?;
            if rows.len() >= PAGE && last_ms > from_ms {
                // There are older ones that are not on this page.
                last_ms = from_ms + (last_ms - from_ms) / 2;
                continue;
            }
            for row in rows.iter().rev() {
                self.count(row);
            }
            let width_ms = last_ms - from_ms + 1;
            from_ms = last_ms + 1;
            last_ms = now_ms.min(last_ms.saturating_add(2 * width_ms));
        }
        self.from_ms = self.from_ms.max(now_ms.saturating_sub(LATE.as_millis() as i64));
        Ok(self.watch.verdict())
    }

    /// Runs counted, and how many of them missed the QoS.
    pub fn counts(&self) -> (u64, u64) {
        self.watch.counts()
    }

    fn count(&mut self, row: &Record) {
        // The steps of a composition's conductor have the composition's name.
        let whole = row.kind() == "sequence";
        if whole
            && self.watch.verdict() == Verdict::Watching
            && self.counted.insert(row.activation_id.clone())
        {
            let latency_s = (row.end - row.start) as f64 / 1000.0;
            self.watch.saw((row.status() == Status::Success).then_some(latency_s));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_of_a_conductor_are_no_runs() {
        let row = |id: &str, kind: &str| -> Record {
            let annotations = serde_json::json!([{"key": "kind", "value": kind}]);
            let row = serde_json::json!({"activationId": id, "name": "w", "start": 0, "end": 9, "statusCode": 0,
                "annotations": annotations});
            serde_json::from_value(row).unwrap()
        };
        let mut guard = Guard::new("w", 0, promise());
        for row in [row("1", "sequence"), row("2", "python:3"), row("3", "sequence"), row("3", "sequence")] {
            guard.count(&row);
        }
        assert_eq!(guard.counts(), (2, 0));
    }

    fn promise() -> Promise {
        Promise { runs: 64, ..Promise::new(1.0) }
    }

    #[test]
    fn the_tail_is_that_of_the_binomial_distribution() {
        // 1 - 0.95^8, and 8 * 7 / 2 pairs and more, by hand.
        assert!((at_least(8, 1, 0.05) - (1.0 - 0.95_f64.powi(8))).abs() < 1e-12);
        let two = 1.0 - 0.95_f64.powi(8) - 8.0 * 0.05 * 0.95_f64.powi(7);
        assert!((at_least(8, 2, 0.05) - two).abs() < 1e-12);
        assert!((at_least(4, 4, 0.5) - 0.0625).abs() < 1e-12);
        assert_eq!(at_least(10, 0, 0.05), 1.0);
        assert_eq!(at_least(10, 1, 0.0), 0.0);
        assert!(at_least(1 << 16, 1 << 15, 0.05) < 1e-300);
    }

    #[test]
    fn a_change_that_is_too_slow_is_noticed_at_the_first_test() {
        let mut watch = Watch::new(promise());
        for _ in 0..7 {
            assert_eq!(watch.saw(Some(1.2)), Verdict::Watching);
        }
        assert_eq!(watch.saw(None), Verdict::Broken);
        assert_eq!(watch.saw(Some(0.1)), Verdict::Broken);
        assert_eq!(watch.counts(), (8, 8));
    }

    #[test]
    fn single_late_runs_are_chance() {
        // 1 of 8, 2 of 16, .. 8 of 64 with 5 % allowed: 12.5 % is likely in 16 runs and too much to be true in 64:
        // P(X >= 8) is 0.0145 there, not below 0.01 / 16.
        let mut watch = Watch::new(promise());
        for run in 0..64 {
            let latency_s = if run % 8 == 0 { 1.5 } else { 0.5 };
            assert_ne!(watch.saw(Some(latency_s)), Verdict::Broken);
        }
        assert_eq!(watch.verdict(), Verdict::Kept);
    }

    #[test]
    fn a_quarter_of_late_runs_is_noticed_when_there_are_enough() {
        let mut watch = Watch::new(promise());
        let broken =
            (1..=64).find(|run| watch.saw(Some(if run % 4 == 0 { 1.5 } else { 0.5 })) == Verdict::Broken);
        // 8 of 32: P(X >= 8) is 0.0002, below 0.01 / 8; 4 of 16 has 0.007, above 0.01 / 4.
        assert_eq!(broken, Some(32));
    }

    #[test]
    fn a_good_change_is_hardly_ever_taken_back() {
        let taken_back = (0..2000)
            .filter(|&seed| {
                let mut watch = Watch::new(Promise { runs: 512, ..promise() });
                let uniform = |run| aquatope_workflow::counter_random::uniform(seed, [0, 0, 0, run]);
                (0..512).any(|run| {
                    watch.saw(Some(if uniform(run) < 0.05 { 2.0 } else { 0.5 })) == Verdict::Broken
                })
            })
            .count();
        // At most 1 % of 2000 on average, by the union bound.
        assert!(taken_back <= 20, "{taken_back}");
    }
}

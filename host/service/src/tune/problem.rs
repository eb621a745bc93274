//! What is to be tuned, as the platform can be configured.

use std::ops::RangeInclusive;

use aquatope_core::bo::space::Axis;
use aquatope_openwhisk::fnv::fnv1a_128;
use aquatope_openwhisk::records::Limits;
use aquatope_workflow::fault::{Fault, Result};
use aquatope_workflow::models::{Effort, MAX_AXES, MAX_FUNCTIONS, MAX_TRIALS};
use aquatope_workflow::space::Point;
use aquatope_workflow::workflow::Workflow;
use aquatope_workflow::workflow_file::WorkflowFile;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bench::can_be_told;

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Warm runs averaged into one outcome.
    pub samples: usize,
    /// Trials in all.
    pub trials: usize,
    /// Outcomes of the configuration of today, measured first; they tell the noise. At least 5 for the models to learn
    /// from.
    pub profile: usize,
    /// Probability of meeting the QoS that the recommendation must have.
    pub confidence: f64,
    /// Seed of every random choice.
    pub seed: u64,
    /// Whether the platform keeps and obeys `limits.cpu`; upstream does not.
    pub cpu_limits: bool,
}

impl Settings {
    /// What `samples` may be.
    pub const SAMPLES: RangeInclusive<usize> = 1..=100;
    /// What `trials` may be.
    pub const TRIALS: RangeInclusive<usize> = 1..=MAX_TRIALS;
}

impl Default for Settings {
    fn default() -> Self {
        Self { samples: 3, trials: 40, profile: 5, confidence: 0.95, seed: 0, cpu_limits: false }
    }
}

/// A workflow to be tuned. What exists is checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The workflow's name.
    pub name: String,
    /// Functions (their names are `[package/]action`), graph, prices and the axes that are left to decide.
    pub workflow: Workflow,
    /// End-to-end latency the recommendation must not exceed, seconds.
    pub qos_s: f64,
    /// How to search.
    pub settings: Settings,
    /// The input of the first functions.
    pub input: Value,
    pub(super) effort: Effort,
}

/// What one function gets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// MB.
    pub memory_mb: u32,
    /// Cores, where the platform has such a limit.
    pub cpu: Option<f64>,
}

impl Resources {
    /// As limits of an action; what they do not name keeps its value.
    pub fn limits(self) -> Limits {
        Limits { cpu: self.cpu, ..Limits::memory(self.memory_mb) }
    }
}

impl Problem {
    /// The workflow of `file` with `input`, without the axes the platform does not have: CPU is not searched for and has
    /// no price of its own unless `settings.cpu_limits`, and a container serves one request at a time.
    ///
    /// # Errors
    /// Settings out of bounds, more than a study holds, memory levels that are not whole MB, or an input that is not an
    /// object.
    pub fn new(file: &WorkflowFile, input: Value, settings: Settings) -> Result<Self> {
        let mut workflow = file.workflow.clone();
        let one =
            || Axis::fixed(1.0).map_err(|error| fault(&file.name, "concurrency", error.to_string(), "use 1"));
        for function in &mut workflow.functions {
            function.concurrency = one()?;
        }
        if !settings.cpu_limits {
            workflow.cpu = one()?;
            workflow.cpu_per_core_s = 0.0;
        }
        let problem = Self {
            name: file.name.clone(),
            workflow,
            qos_s: file.qos_s,
            settings,
            input,
            effort: Effort::default(),
        };
        problem.check()?;
        Ok(problem)
    }

    fn check(&self) -> Result<()> {
        let wrong = |place: &str, what: String, mend: &str| Err(fault(&self.name, place, what, mend));
        let Settings { samples, trials, profile, confidence, .. } = self.settings;
        let numbers = [("samples", samples, Settings::SAMPLES), ("trials", trials, Settings::TRIALS)];
        for (place, number, range) in numbers {
            if !range.contains(&number) {
                let mend = format!("set a whole number from {} to {}", range.start(), range.end());
                return wrong(place, format!("is {number}"), &mend);
            }
        }
        if !can_be_told(&self.name) {
            let what =
                "has the mark of clones in it, __aquatope_ (they are called ACTION__aquatope_WORKFLOW)";
            return wrong("name", what.into(), "choose another");
        }
        if profile > MAX_TRIALS {
            return wrong("profile", format!("is {profile}"), &format!("measure at most {MAX_TRIALS} times"));
        }
        if !(confidence > 0.0 && confidence < 1.0) {
            return wrong("confidence", format!("is {confidence}"), "use a number between 0 and 1, as 0.95");
        }
        if !self.input.is_object() {
            return wrong("input", "is not a JSON object".into(), "actions take objects");
        }
        let functions = self.workflow.functions.len();
        if functions > MAX_FUNCTIONS.min(MAX_AXES / 2) {
            return wrong("functions", format!("are {functions}"), "split the workflow");
        }
        if self.workflow.memory_per_gb_s == 0.0 && !self.settings.cpu_limits {
            let mend = "give memory a price: on this platform CPU comes with memory";
            return wrong("prices.mem_per_gb_s", "is 0".into(), mend);
        }
        let memory = self.workflow.memory_mb;
        let whole = |x: f64| x.fract() == 0.0;
        if !(whole(memory.min()) && (memory.levels() < 2 || whole(memory.value(1)))) {
            return wrong(
                "space.mem_mb",
                "has levels that are no whole MB".into(),
                "OpenWhisk takes whole MB",
            );
        }
        Ok(())
    }

    /// Fails when the platform takes memory from `least_mb` to `most_mb` only and an axis leaves that.
    pub(crate) fn check_memory(&self, (least_mb, most_mb): (u32, u32)) -> Result<()> {
        let axis = self.workflow.memory_mb;
        if axis.min() >= f64::from(least_mb) && axis.max() <= f64::from(most_mb) {
            return Ok(());
        }
        let what = format!(
            "goes from {} to {} MB, the platform allows {least_mb} to {most_mb}",
            axis.min(),
            axis.max()
        );
        let mend = "narrow the space, or change whisk.memory or the namespace's limits";
        Err(fault(&self.name, "space.mem_mb", what, mend))
    }

    /// What every function gets under `point`.
    pub fn resources(&self, point: &Point) -> Vec<Resources> {
        let resources = |i| {
            let configuration = self.workflow.configuration(point, i);
            Resources {
                memory_mb: configuration.memory_mb as u32,
                cpu: self.settings.cpu_limits.then_some(configuration.cpu),
            }
        };
        (0..self.workflow.functions.len()).map(resources).collect()
    }

    /// The point of the space that stands for what every function has: no less memory, as far as the space goes, and the
    /// nearest number of cores.
    pub(super) fn start(&self, resources: &[Resources]) -> Point {
        let mut point = self.workflow.largest();
        for (i, had) in resources.iter().enumerate() {
            let memory = self.workflow.memory_mb;
            let enough = (0..memory.levels()).find(|&level| memory.value(level) >= f64::from(had.memory_mb));
            point.0[2 * i + 1] = enough.unwrap_or_else(|| memory.levels().saturating_sub(1));
            if let (true, Some(cpu)) = (self.settings.cpu_limits, had.cpu) {
                point.0[2 * i] = nearest(self.workflow.cpu, cpu);
            }
        }
        point
    }

    /// What must be equal for a search to be continued, as a checksum: the input may be confidential, and this is stored.
    pub(crate) fn fingerprint(&self) -> String {
        let Settings { samples, profile, confidence, seed, cpu_limits, .. } = self.settings;
        let text = format!(
            "{} {:?} {} {} {samples} {profile} {confidence} {seed} {cpu_limits}",
            self.name, self.workflow, self.qos_s, self.input
        );
        format!("{:032x}", fnv1a_128(text.bytes()))
    }
}

fn nearest(axis: Axis, value: f64) -> u16 {
    let (min, max) = (axis.min(), axis.max());
    if max > min { axis.round((value - min) / (max - min)) } else { 0 }
}

fn fault(workflow: &str, place: &str, what: String, mend: &str) -> Fault {
    Fault { at: format!("workflow {workflow}: {place}"), what, mend: mend.into() }
}

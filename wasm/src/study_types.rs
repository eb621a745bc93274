//! What goes into a study and comes out of it, as plain objects. The TypeScript types are derived from these.

use aquatope_core::anomaly;
use aquatope_core::bo::model::Posterior;
use aquatope_core::bo::{space, trial};
use aquatope_core::math::float;
use aquatope_core::math::normal::Normal;
use aquatope_workflow::models;
use aquatope_workflow::outcome;
use serde::{Deserialize, Serialize};
use tsify::Tsify;

/// What a study is to achieve and how it goes about it. Give either `workflow` or `axes`.
#[derive(Deserialize, Tsify)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StudyOptions {
    /// A workflow, schema `aquatope-workflow/1`, as an object or as text: two axes per function, its CPU and its memory.
    #[cfg(feature = "workflow")]
    #[serde(default)]
    #[tsify(optional, type = "WorkflowFile | string")]
    pub workflow: Option<serde_json::Value>,
    /// Any axes, for the black box.
    #[serde(default)]
    #[tsify(optional)]
    pub axes: Option<Vec<Axis>>,
    /// The largest good end-to-end latency, seconds; the workflow's, unless given.
    #[serde(default)]
    #[tsify(optional)]
    pub qos: Option<f64>,
    /// The model; structured for a workflow, unless given.
    #[cfg(feature = "workflow")]
    #[serde(default)]
    #[tsify(optional)]
    pub model: Option<ModelName>,
    /// How a black box is searched; `qlognei`, unless given.
    #[serde(default)]
    #[tsify(optional)]
    pub sampler: Option<SamplerName>,
    /// The probability of meeting the QoS that a recommendation must have; 0.95, unless given.
    #[serde(default)]
    #[tsify(optional)]
    pub confidence: Option<f64>,
    /// Quasi-random trials before the model takes over; 10, unless given.
    #[serde(default)]
    #[tsify(optional)]
    pub initial: Option<u16>,
    /// Seed of every random choice, a whole number; 0, unless given.
    #[serde(default)]
    #[tsify(optional)]
    pub seed: Option<u64>,
    /// Repeated measurements of one configuration, made before the search; they tell how noisy outcomes are.
    #[serde(default)]
    #[tsify(optional)]
    pub baseline: Option<Baseline>,
    /// How hard a black box searches.
    #[serde(default)]
    #[tsify(optional)]
    pub effort: Option<Effort>,
}

/// The model of a study.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModelName {
    /// A model per function, joined through the workflow's graph; needs the durations of all functions.
    #[cfg(feature = "workflow")]
    Structured,
    /// Cost and latency as functions of all axes together.
    BlackBox,
}

/// How a black box is searched.
#[derive(Clone, Copy, Deserialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SamplerName {
    /// Constrained noisy expected improvement in logarithms.
    QLogNei,
    /// Constrained noisy expected improvement: the paper.
    QNei,
}

/// One decision: evenly spaced values from `min` to at most `max`.
#[derive(Deserialize, Tsify)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Axis {
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Distance of two values.
    pub step: f64,
    /// Whether the models see the logarithm of the value, as suits CPU and memory; false, unless given.
    #[serde(default)]
    #[tsify(optional)]
    pub log: Option<bool>,
}

impl Axis {
    pub(crate) fn checked(&self) -> Result<space::Axis, space::SpaceError> {
        let axis = space::Axis::new(self.min, self.max, self.step)?;
        if self.log == Some(true) { axis.log_scaled() } else { Ok(axis) }
    }
}

/// Repeated measurements of one configuration.
#[derive(Deserialize, Tsify)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Baseline {
    /// The configuration, one level per axis; needed without a workflow, whose starting one it is unless given.
    #[serde(default)]
    #[tsify(optional)]
    pub levels: Option<Vec<u16>>,
    /// Its outcomes, 5 or more: fewer tell nothing.
    pub outcomes: Vec<Outcome>,
}

/// How hard a black box searches for the next trials.
#[derive(Clone, Copy, Deserialize, Tsify)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Effort {
    /// Monte-Carlo paths, 1 to 128.
    #[tsify(optional)]
    pub mc_samples: u16,
    /// Starts of the search, chosen among the raw samples: at most as many.
    #[tsify(optional)]
    pub restarts: u16,
    /// Raw samples.
    #[tsify(optional)]
    pub raw_samples: u16,
}

impl Default for Effort {
    fn default() -> Self {
        let models::Effort { mc_samples, restarts, raw_samples } = models::Effort::default();
        Self { mc_samples, restarts, raw_samples }
    }
}

impl From<Effort> for models::Effort {
    fn from(Effort { mc_samples, restarts, raw_samples }: Effort) -> Self {
        Self { mc_samples, restarts, raw_samples }
    }
}

/// What one evaluation of a configuration measured.
#[derive(Clone, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Outcome {
    /// Cost, in any unit of money.
    pub cost: f64,
    /// End-to-end latency, seconds.
    pub latency: f64,
    /// Variance of `cost` as a mean of several invocations, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub cost_variance: Option<f64>,
    /// Variance of `latency` as a mean of several invocations, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub latency_variance: Option<f64>,
    /// Seconds every function took, in the order of the workflow; the structured model needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub durations: Option<Vec<f64>>,
}

impl From<Outcome> for outcome::Outcome {
    fn from(Outcome { cost, latency, cost_variance, latency_variance, durations }: Outcome) -> Self {
        let durations = durations.unwrap_or_default();
        Self { cost, latency_s: latency, cost_variance, latency_variance, durations }
    }
}

impl From<outcome::Outcome> for Outcome {
    fn from(outcome: outcome::Outcome) -> Self {
        let outcome::Outcome { cost, latency_s, cost_variance, latency_variance, durations } = outcome;
        let durations = (!durations.is_empty()).then_some(durations);
        Self { cost, latency: latency_s, cost_variance, latency_variance, durations }
    }
}

impl<const F: usize> From<&trial::Outcome<F>> for Outcome {
    fn from(outcome: &trial::Outcome<F>) -> Self {
        Self {
            cost: outcome.cost(),
            latency: outcome.latency(),
            cost_variance: outcome.cost_variance(),
            latency_variance: outcome.latency_variance(),
            durations: (!outcome.durations().is_empty()).then(|| outcome.durations().to_vec()),
        }
    }
}

/// A configuration that was asked for, and what came of it.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trial {
    /// Its number in the study, counted from 0.
    pub id: u32,
    /// One level per axis.
    pub levels: Vec<u16>,
    /// The value of every axis: for a workflow cores and MB of every function in turn.
    pub values: Vec<f64>,
    /// Where it stands.
    pub state: TrialState,
    /// What was measured, once it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub outcome: Option<Outcome>,
}

/// Where a trial stands: asked for, told, told and ruled out by the caller, or failed.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub(crate) enum TrialState {
    Pending,
    Complete,
    Rejected,
    Failed,
}

/// What the model makes of a trial's outcome.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    /// The trial.
    pub id: u32,
    /// Whether it is left out of the fit as an outlier.
    pub anomalous: bool,
    /// Standard deviations from what the other trials predict; absent for an untested trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub z: Option<f64>,
}

impl Verdict {
    pub(crate) fn new(id: trial::TrialId, verdict: anomaly::Verdict) -> Self {
        let z = match verdict {
            anomaly::Verdict::Untested => None,
            anomaly::Verdict::Consistent { z } | anomaly::Verdict::Anomalous { z } => Some(z),
        };
        Self { id: id.0, anomalous: verdict.is_anomalous(), z }
    }
}

/// The configuration to use, by posterior.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recommendation {
    /// One level per axis.
    pub levels: Vec<u16>,
    /// The value of every axis.
    pub values: Vec<f64>,
    /// Its cost without noise.
    pub cost: Interval,
    /// Its end-to-end latency without noise, seconds.
    pub latency: Interval,
    /// The probability that it meets the QoS.
    pub feasible: f64,
    /// Whether it meets the QoS at the confidence asked for, and by a margin: 2.5 standard deviations and 1 % with the
    /// black box, 4 and 0.5 % with the structured model. If not, this is the nearest to it: ask for more trials.
    pub qualified: bool,
}

/// Which model proposes and recommends.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ModelInCharge {
    /// The model; a structured study hands over to the black box where the trials contradict its structure.
    pub model: ModelName,
    /// What contradicts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub reason: Option<String>,
}

/// What is believed of a configuration, without noise.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Belief {
    /// Its cost.
    pub cost: Interval,
    /// Its end-to-end latency, seconds.
    pub latency: Interval,
}

impl From<Posterior> for Belief {
    fn from(Posterior { ln_cost, ln_latency }: Posterior) -> Self {
        Self { cost: Interval::of_logarithm(ln_cost), latency: Interval::of_logarithm(ln_latency) }
    }
}

/// A central value and the bounds of its 95 % interval.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Interval {
    /// Median.
    pub median: f64,
    /// 2.5 % quantile.
    pub low: f64,
    /// 97.5 % quantile.
    pub high: f64,
}

impl Interval {
    /// Of a quantity whose logarithm is normal.
    pub(crate) fn of_logarithm(ln: Normal) -> Self {
        let [median, low, high] = [ln.mean, ln.quantile(0.025), ln.quantile(0.975)].map(float::exp);
        Self { median, low, high }
    }
}

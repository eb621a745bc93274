//! The seam between a study and whatever chooses its trials.

use rand_core::Rng;

use crate::error::Result;

use super::space::Point;
use super::trial::{Outcome, Trial};

/// Chooses the configurations to measure, and in the end the one to use.
///
/// A study passes all its trials to every call; a trial's index is its id. A sampler that keeps more than it can
/// read off the trials hands it out in [`Sampler::save`].
pub trait Sampler {
    /// Up to `count` configurations to measure next, at least one; they become the next trials.
    fn ask(&mut self, trials: &[Trial], count: usize, rng: &mut dyn Rng) -> Result<Vec<Point>>;

    /// Trial `id` was measured.
    fn tell(&mut self, id: usize, outcome: &Outcome) -> Result<()> {
        let _ = (id, outcome);
        Ok(())
    }

    /// Trial `id` could not be measured.
    fn fail(&mut self, id: usize) -> Result<()> {
        let _ = id;
        Ok(())
    }

    /// The configuration to use, judged from all trials. Changes nothing.
    fn recommend(&mut self, trials: &[Trial]) -> Result<Recommendation>;

    /// For every trial whether its outcome is taken for an outlier.
    fn anomalous(&mut self, trials: &[Trial]) -> Vec<bool> {
        vec![false; trials.len()]
    }

    /// The first trial that still counts: above 0 once the behaviour of the workflow has changed.
    fn window_start(&self) -> usize {
        0
    }

    /// Why the model that was chosen does not fit the trials and another one took over, if so.
    fn misfit(&mut self) -> Option<String> {
        None
    }

    /// What must survive a restart besides the trials.
    fn save(&mut self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// Take back what [`Sampler::save`] wrote; called before anything else.
    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        let _ = saved;
        Ok(())
    }
}

/// The configuration to use.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// The configuration.
    pub point: Point,
    /// What a model says of it; `None` from samplers without a model.
    pub prediction: Option<Prediction>,
}

/// What a model expects of a configuration, without the noise of a single sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Cost.
    pub cost: Interval,
    /// End-to-end latency, seconds.
    pub latency_s: Interval,
    /// Probability that the latency meets the QoS.
    pub feasible: f64,
    /// Whether it meets the QoS at the confidence asked for and by the model's margin of safety.
    pub qualified: bool,
}

/// A central value and the bounds of its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Median.
    pub median: f64,
    /// 2.5 % quantile.
    pub low: f64,
    /// 97.5 % quantile.
    pub high: f64,
}

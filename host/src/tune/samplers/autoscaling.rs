//! Autoscaling: one rule, all axes together. Start from today's configuration; scale every resource up by a step
//! when the last measurement missed the QoS, down when it left room, and stay in between.

use rand_core::Rng;

use crate::error::Result;

use super::super::problem::Problem;
use super::super::sampler::{Recommendation, Sampler};
use super::super::space::Point;
use super::super::trial::{Trial, TrialState};
use super::best_observed;

/// A step multiplies or divides the levels by this; step scaling policies commonly use 10 to 30 %.
const STEP: f64 = 1.2;
/// Below this share of the QoS a latency leaves room for scaling down.
const ROOM: f64 = 0.8;

/// The scaling rule for one problem; measures one configuration after the other.
pub struct Autoscaling(pub Problem);

impl Sampler for Autoscaling {
    fn ask(&mut self, trials: &[Trial], _: usize, _: &mut dyn Rng) -> Result<Vec<Point>> {
        let Some(last) = trials.iter().rev().find(|trial| trial.state != TrialState::Running) else {
            return Ok(vec![self.0.start.clone()]);
        };
        let factor = match last.outcome().map(|outcome| outcome.latency_s / self.0.qos_s) {
            Some(load) if load < ROOM => 1.0 / STEP,
            Some(load) if load <= 1.0 => 1.0,
            // Too slow, or it did not answer at all.
            _ => STEP,
        };
        // Autoscalers change resources; how many requests share a container is not theirs to decide.
        let resources = self.0.workflow.as_ref().map_or(usize::MAX, |workflow| 2 * workflow.functions.len());
        let scaled = last.point.0.iter().zip(&self.0.levels).enumerate().map(|(axis, (&level, &levels))| {
            if axis >= resources {
                return level;
            }
            // Levels count from 1 here, so that the lowest can be scaled up again.
            let scaled = (f64::from(level + 1) * factor).round().max(1.0) as u16 - 1;
            let moved = if factor > 1.0 { scaled.max(level + 1) } else { scaled };
            moved.min(levels - 1)
        });
        Ok(vec![Point(scaled.collect())])
    }

    fn recommend(&mut self, trials: &[Trial]) -> Result<Recommendation> {
        Ok(Recommendation { point: best_observed(&self.0, trials), prediction: None })
    }
}

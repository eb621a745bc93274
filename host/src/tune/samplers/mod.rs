//! Samplers to compare with, kept in the host: none of them is what `tune` recommends.

pub mod autoscaling;
pub mod clite;
pub mod random;

use aquatope_core::random::below;
use rand_core::Rng;

use super::problem::Problem;
use super::space::Point;
use super::trial::Trial;

/// A grid point, every level of an axis as likely as any other.
fn uniform_point(problem: &Problem, rng: &mut dyn Rng) -> Point {
    Point(problem.levels.iter().map(|&levels| below(rng, u32::from(levels)) as u16).collect())
}

/// The published rule of thumb: the cheapest trial whose one noisy measurement met the QoS, else the fastest.
fn best_observed(problem: &Problem, trials: &[Trial]) -> Point {
    let complete = || trials.iter().filter_map(|trial| Some((trial, trial.outcome()?)));
    let feasible = complete().filter(|(_, outcome)| outcome.latency_s <= problem.qos_s);
    let cheapest = feasible.min_by(|a, b| a.1.cost.total_cmp(&b.1.cost));
    let fastest = || complete().min_by(|a, b| a.1.latency_s.total_cmp(&b.1.latency_s));
    cheapest.or_else(fastest).map_or_else(|| problem.start.clone(), |(trial, _)| trial.point.clone())
}

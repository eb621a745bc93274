//! CLITE-like: one Gaussian process of one score, expected improvement, one trial at a time (Patel and Tiwari,
//! "CLITE: efficient and QoS-aware co-location of multiple latency-critical jobs for warehouse scale computers",
//! HPCA 2020, eq. 3, with cost in the place of co-located work).
//!
//! Below the QoS the score is half of QoS over latency; above, one half and half of the share of today's cost saved.
//! Each measurement counts as it is: the score knows nothing of noise.

use aquatope_core::gp::{FitOptions, Gp, GpScratch, Noise, Prior};
use aquatope_core::math::normal;
use aquatope_core::random::uniform;
use rand_core::Rng;

use crate::error::{Error, Result};

use super::super::problem::{MAX_AXES, MAX_TRIALS, Problem};
use super::super::sampler::{Recommendation, Sampler};
use super::super::space::Point;
use super::super::trial::{Outcome, Trial};
use super::uniform_point;

/// The CLITE-like sampler of one problem.
pub struct Clite {
    problem: Problem,
    /// Today's cost.
    reference: f64,
    process: Box<Gp<MAX_TRIALS, MAX_AXES>>,
    scratch: Box<GpScratch<MAX_TRIALS, MAX_AXES>>,
}

impl Clite {
    /// A sampler that has seen no trial.
    pub fn new(problem: Problem) -> Self {
        let mut costs: Vec<f64> = problem.profile.iter().map(|outcome| outcome.cost).collect();
        costs.sort_by(f64::total_cmp);
        let reference = costs.get(costs.len() / 2).copied().unwrap_or(1.0);
        Self { problem, reference, process: Box::new(Gp::new()), scratch: Box::new(GpScratch::new()) }
    }

    fn score(&self, outcome: &Outcome) -> f64 {
        if outcome.latency_s > self.problem.qos_s {
            0.5 * self.problem.qos_s / outcome.latency_s
        } else {
            0.5 + 0.5 * (1.0 - outcome.cost / self.reference).clamp(0.0, 1.0)
        }
    }

    /// The expected improvement over `best` at a grid point.
    fn improvement(&self, point: &Point, best: f64) -> f64 {
        let Ok(posterior) = self.process.posterior(&point.unit(&self.problem.levels)) else { return 0.0 };
        let deviation = posterior.standard_deviation().max(1e-9);
        let u = (posterior.mean - best) / deviation;
        deviation * (normal::pdf(u) + u * normal::cdf(u))
    }

    /// Climb from `point` along single axes, in steps that halve.
    fn climb(&self, mut point: Point, best: f64) -> (f64, Point) {
        let mut value = self.improvement(&point, best);
        for step in [8i32, 4, 2, 1] {
            let mut moved = true;
            while moved {
                moved = false;
                for axis in 0..point.0.len() {
                    for direction in [-step, step] {
                        let level = i32::from(point.0[axis]) + direction;
                        if level < 0 || level >= i32::from(self.problem.levels[axis]) {
                            continue;
                        }
                        let old = std::mem::replace(&mut point.0[axis], level as u16);
                        let there = self.improvement(&point, best);
                        if there > value * (1.0 + 1e-6) {
                            (value, moved) = (there, true);
                        } else {
                            point.0[axis] = old;
                        }
                    }
                }
            }
        }
        (value, point)
    }
}

/// Random starts of the search for the next trial, and starts near the best trial.
const STARTS: usize = 192;
const NEAR: usize = 64;
/// Starts that are climbed from.
const CLIMBS: usize = 4;

impl Sampler for Clite {
    fn ask(&mut self, trials: &[Trial], count: usize, rng: &mut dyn Rng) -> Result<Vec<Point>> {
        let scored: Vec<(&Trial, f64)> =
            trials.iter().filter_map(|trial| Some((trial, self.score(trial.outcome()?)))).collect();
        let Some((leader, best)) = scored.iter().max_by(|a, b| a.1.total_cmp(&b.1)) else {
            return Ok((0..count).map(|_| uniform_point(&self.problem, rng)).collect());
        };
        let failed = |error: aquatope_core::gp::GpError| Error::Failed(error.to_string());
        self.process.reset(self.problem.levels.len()).map_err(failed)?;
        for (trial, score) in &scored {
            self.process.push(&trial.point.unit(&self.problem.levels), *score, 0.0).map_err(failed)?;
        }
        let options = FitOptions { prior: Prior::Gamma, noise: Noise::Inferred, start: None };
        self.process.fit(&options, &mut self.scratch).map_err(failed)?;

        let mut starts: Vec<Point> = (0..STARTS).map(|_| uniform_point(&self.problem, rng)).collect();
        starts.extend((0..NEAR).map(|_| {
            let jitter = |x: f64| x + 0.1 * normal::quantile(uniform(rng));
            let x: Vec<f64> = leader.point.unit(&self.problem.levels).into_iter().map(jitter).collect();
            Point::nearest(&x, &self.problem.levels)
        }));
        let mut valued: Vec<(f64, Point)> =
            starts.into_iter().map(|point| (self.improvement(&point, *best), point)).collect();
        valued.sort_by(|a, b| b.0.total_cmp(&a.0));
        let climbed = valued.into_iter().take(CLIMBS).map(|(_, point)| self.climb(point, *best));
        Ok(climbed.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, point)| point).into_iter().collect())
    }

    fn recommend(&mut self, trials: &[Trial]) -> Result<Recommendation> {
        let scored = trials.iter().filter_map(|trial| Some((trial, self.score(trial.outcome()?))));
        let leader = scored.max_by(|a, b| a.1.total_cmp(&b.1));
        let point = leader.map_or_else(|| self.problem.start.clone(), |(trial, _)| trial.point.clone());
        Ok(Recommendation { point, prediction: None })
    }
}

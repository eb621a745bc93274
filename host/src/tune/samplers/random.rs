//! Random search: every trial uniform on the grid.

use rand_core::Rng;

use crate::error::Result;

use super::super::problem::Problem;
use super::super::sampler::{Recommendation, Sampler};
use super::super::space::Point;
use super::super::trial::Trial;
use super::{best_observed, uniform_point};

/// Random search over `problem`'s grid.
pub struct Random(pub Problem);

impl Sampler for Random {
    fn ask(&mut self, _: &[Trial], count: usize, rng: &mut dyn Rng) -> Result<Vec<Point>> {
        Ok((0..count).map(|_| uniform_point(&self.0, rng)).collect())
    }

    fn recommend(&mut self, trials: &[Trial]) -> Result<Recommendation> {
        Ok(Recommendation { point: best_observed(&self.0, trials), prediction: None })
    }
}

//! The core's studies as samplers: conversion, scratch memory, snapshots.

use aquatope_core::bo::MAX_BATCH;
use aquatope_core::bo::model::{Model, Objective};
use aquatope_core::bo::profile::{Profile, ProfileError};
use aquatope_core::bo::space::{self, SearchSpace};
use aquatope_core::bo::study::{Study, StudyConfig};
use aquatope_core::bo::trial::{self, TrialId};
use aquatope_core::math::float;
use aquatope_core::math::normal::Normal;
use aquatope_workflow::models;
use rand_core::Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

use super::problem::{MAX_AXES, MAX_FUNCTIONS, MAX_TRIALS, Problem};
use super::sampler::{Interval, Prediction, Recommendation, Sampler};
use super::space::Point;
use super::trial::{Outcome, Trial};

/// A study of the core, driven by one of its models.
pub struct Modelled<M: Model<MAX_AXES, MAX_FUNCTIONS>>
where
    M::Scratch: Sized,
{
    study: Box<CoreStudy<M>>,
    scratch: Box<M::Scratch>,
    misfit: Misfit<M>,
}

/// Why another model took over from `M`, if so.
type Misfit<M> = fn(&CoreStudy<M>, &mut <M as Model<MAX_AXES, MAX_FUNCTIONS>>::Scratch) -> Option<String>;
type CoreStudy<M> = Study<M, MAX_AXES, MAX_TRIALS, MAX_FUNCTIONS>;

impl<M: Model<MAX_AXES, MAX_FUNCTIONS>> Modelled<M>
where
    M::Scratch: Sized,
{
    /// A study of `problem` without trials.
    pub fn new(problem: &Problem, model: M, scratch: Box<M::Scratch>) -> Result<Self> {
        let config = StudyConfig {
            objective: Objective { latency_limit: problem.qos_s, confidence: problem.confidence },
            initial: problem.initial as u16,
            seed: problem.seed,
        };
        let mut study =
            Box::new(Study::new(space(problem)?, config, model).map_err(|error| refused(&error))?);
        if problem.profile.len() >= ProfileError::NEEDED {
            let outcomes = problem.profile.iter().map(convert).collect::<Result<Vec<_>>>()?;
            let start = core_point(study.space(), &problem.start)?;
            let profile = Profile::measure(&outcomes).map_err(|error| refused(&error))?;
            study.set_baseline(start, profile).map_err(|error| refused(&error))?;
        }
        Ok(Self { study, scratch, misfit: |_, _| None })
    }

    /// The same with a model that may hand over to another one.
    pub fn with_misfit(self, misfit: Misfit<M>) -> Self {
        Self { misfit, ..self }
    }
}

/// The search space of a problem: logarithmic axes where values are known, plain levels otherwise.
pub fn space(problem: &Problem) -> Result<SearchSpace<MAX_AXES>> {
    let space = match &problem.workflow {
        Some(workflow) => models::space(workflow),
        None => models::plain_space(&problem.levels),
    };
    space.map_err(|error| refused(&error))
}

impl<M> Sampler for Modelled<M>
where
    M: Model<MAX_AXES, MAX_FUNCTIONS> + Serialize + DeserializeOwned,
    M::Scratch: Sized,
{
    fn ask(&mut self, _: &[Trial], count: usize, rng: &mut dyn Rng) -> Result<Vec<Point>> {
        let mut points = Vec::new();
        // The core asks for at most MAX_BATCH at a time, and for fewer where its initial design ends.
        while points.len() < count {
            let wanted = (count - points.len()).min(MAX_BATCH);
            let ids = match self.study.ask(wanted, rng, &mut self.scratch) {
                Ok(ids) => ids,
                Err(_) if !points.is_empty() => break,
                Err(error) => return Err(refused(&error)),
            };
            points.extend(
                ids.iter().filter_map(|&id| self.study.trial(id)).map(|t| Point(t.point.indices().to_vec())),
            );
        }
        Ok(points)
    }

    fn tell(&mut self, id: usize, outcome: &Outcome) -> Result<()> {
        self.study.tell(TrialId(id as u32), convert(outcome)?).map_err(|error| refused(&error))
    }

    fn fail(&mut self, id: usize) -> Result<()> {
        self.study.fail(TrialId(id as u32)).map_err(|error| refused(&error))
    }

    fn recommend(&mut self, _: &[Trial]) -> Result<Recommendation> {
        let recommended = self.study.recommendation(&mut self.scratch).map_err(|error| refused(&error))?;
        let prediction = Prediction {
            cost: interval(recommended.ln_cost),
            latency_s: interval(recommended.ln_latency),
            feasible: recommended.feasible,
            qualified: recommended.qualified,
        };
        Ok(Recommendation {
            point: Point(recommended.point.indices().to_vec()),
            prediction: Some(prediction),
        })
    }

    fn anomalous(&mut self, trials: &[Trial]) -> Vec<bool> {
        let mut anomalous = vec![false; trials.len()];
        // Too few outcomes to judge by: none is anomalous.
        if let Ok(verdicts) = self.study.verdicts(&mut self.scratch) {
            for (trial, verdict) in self.study.trials().iter().zip(&verdicts) {
                if let Some(anomalous) = anomalous.get_mut(trial.id.0 as usize) {
                    *anomalous = verdict.is_anomalous();
                }
            }
        }
        anomalous
    }

    fn window_start(&self) -> usize {
        self.study.window_start().0 as usize
    }

    fn misfit(&mut self) -> Option<String> {
        (self.misfit)(&self.study, &mut self.scratch)
    }

    fn save(&mut self) -> Result<Vec<u8>> {
        let mut buffer = vec![0; SNAPSHOT];
        let bytes = self.study.snapshot(&mut buffer).map_err(|error| refused(&error))?.len();
        buffer.truncate(bytes);
        Ok(buffer)
    }

    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        *self.study = Study::restore(saved).map_err(|error| refused(&error))?;
        Ok(())
    }
}

/// Bytes that hold any snapshot: 256 trials of 32 axes and 16 durations take about 100 kB.
const SNAPSHOT: usize = 1 << 20;

/// An outcome as the core checks and keeps it.
pub fn convert(outcome: &Outcome) -> Result<trial::Outcome<MAX_FUNCTIONS>> {
    outcome.checked().map_err(|error| refused(&error))
}

/// A configuration as a point of the core's space.
pub fn core_point(space: &SearchSpace<MAX_AXES>, point: &Point) -> Result<space::Point<MAX_AXES>> {
    space.point(&point.0).map_err(|error| refused(&error))
}

/// Median and 95 % interval of a quantity whose logarithm is normal.
fn interval(ln: Normal) -> Interval {
    let [median, low, high] = [ln.mean, ln.quantile(0.025), ln.quantile(0.975)].map(float::exp);
    Interval { median, low, high }
}

/// An error of the core, which says how to mend it by itself.
fn refused(error: &dyn std::error::Error) -> Error {
    Error::Failed(error.to_string())
}

//! One tuning run: measure the starting configuration, then ask, measure and tell until the budget is used up.

use crate::error::{Error, Result};

use super::evaluator::{Evaluator, Failure, Sample};
use super::method::Method;
use super::problem::Problem;
use super::sampler::Recommendation;
use super::store::{Record, Store};
use super::study::{Study, check_settings};
use super::trial::{Outcome, Trial, TrialState};

/// Limits of a run (the paper's Eq. 3.2): no trial is started once one of them is reached.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Budget {
    /// Cost of all samples together.
    pub cost: Option<f64>,
    /// Latency of all samples together, seconds.
    pub time_s: Option<f64>,
}

/// What a run has used.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Spent {
    /// Cost of the samples.
    pub cost: f64,
    /// Latency of the samples, seconds.
    pub time_s: f64,
}

/// A finished run.
pub struct Finished {
    /// The problem, with the profile measured.
    pub problem: Problem,
    /// All trials.
    pub trials: Vec<Trial>,
    /// For every trial whether it was taken for an outlier.
    pub anomalous: Vec<bool>,
    /// The first trial that still counts: above 0 when the behaviour of the workflow changed.
    pub window_start: usize,
    /// Why the model that was chosen handed over to another one, if it did.
    pub misfit: Option<String>,
    /// The configuration to use.
    pub recommendation: Recommendation,
    /// The recommendation after every batch, with the number of trials asked until then; empty before a restart.
    pub path: Vec<(usize, Recommendation)>,
    /// What it cost.
    pub spent: Spent,
    /// What ended it: `trials`, `cost` or `time`.
    pub ended_by: &'static str,
}

/// Sees a run while it goes on.
pub trait Observer {
    /// The study in the state file `at` goes on after `trials` trials that have ended.
    fn continued(&mut self, at: &str, trials: usize) {
        let _ = (at, trials);
    }

    /// Measurement `done` of `total` of the starting configuration is there.
    fn profiled(&mut self, done: usize, total: usize) {
        let _ = (done, total);
    }

    /// A trial was measured or failed.
    fn measured(&mut self, id: usize, trial: &Trial) {
        let _ = (id, trial);
    }

    /// A batch is complete; `batch` are its trials, `anomalous` the verdicts on all trials so far.
    fn batch(&mut self, study: &[Trial], batch: &[usize], anomalous: &[bool], best: Option<&Recommendation>) {
        let _ = (study, batch, anomalous, best);
    }
}

/// What to run.
pub struct Run<'a> {
    /// The problem; its profile is measured by the run.
    pub problem: Problem,
    /// How trials are chosen.
    pub method: Method,
    /// What a state file must agree on besides the problem and the method.
    pub settings: Vec<(String, String)>,
    /// Measurements of the starting configuration before the search.
    pub profile: usize,
    /// Whether these count as spent.
    pub charge_profile: bool,
    /// Limits besides the number of trials.
    pub budget: Budget,
    /// Where the study is kept, and what it held.
    pub store: Option<(Store, Option<Record>, &'a str)>,
}

/// Failures of the evaluator itself in a row that end a run.
const MAX_BROKEN: usize = 3;

impl Run<'_> {
    /// Run to the end of the budget.
    ///
    /// # Errors
    /// A state file of another study, an evaluator that keeps breaking, a disk that is full: the study on disk then
    /// holds everything measured so far.
    pub fn finish(mut self, evaluator: &mut dyn Evaluator, observer: &mut dyn Observer) -> Result<Finished> {
        let mut settings = std::mem::take(&mut self.settings);
        settings.extend(self.method.settings(&self.problem));
        settings.push(("profile".into(), self.profile.to_string()));
        let (store, mut record) = match self.store {
            None => (None, Record::default()),
            Some((store, record, at)) => {
                if let Some(record) = &record {
                    check_settings(at, record, &settings)?;
                    let ended = record.trials.iter().filter(|trial| trial.state != TrialState::Running);
                    observer.continued(at, ended.count());
                }
                (Some(store), record.unwrap_or_default())
            }
        };
        record.settings = settings;
        let charge = |profile: &[Outcome]| {
            if self.charge_profile { spent_on(profile.iter()) } else { Spent::default() }
        };
        // The limits hold sample by sample, for these as for the trials.
        while record.profile.len() < self.profile
            && reached(&self.budget, charge(&record.profile), &record.trials).is_none()
        {
            let done = record.profile.len();
            let outcome =
                evaluator.measure(Sample::Profile(done), &self.problem.start).map_err(|failure| {
                    let (Failure::Refused(reason) | Failure::Broken(reason)) = failure;
                    let mend = "mend the evaluator and run again";
                    Error::input("starting configuration", format!("cannot be measured: {reason}"), mend)
                })?;
            record.profile.push(outcome);
            store.as_ref().map_or(Ok(()), |store| store.save(&record))?;
            observer.profiled(done + 1, self.profile);
        }
        let mut problem = self.problem;
        problem.profile.clone_from(&record.profile);
        let sampler = self.method.sampler(&problem)?;
        let mut study = Study::new(record, sampler, store, problem.seed)?;
        let mut path = Vec::new();
        let mut broken = 0;
        let charged = charge(&problem.profile);
        let ended_by = loop {
            if let Some(limit) = reached(&self.budget, charged, study.trials()) {
                break limit;
            }
            let mut batch = study.running();
            if batch.is_empty() {
                let asked = study.trials().len();
                let left = problem.trials.saturating_sub(asked);
                if left == 0 {
                    break "trials";
                }
                let wanted = if asked < problem.initial { problem.initial - asked } else { problem.batch };
                batch = study.ask(wanted.min(left))?;
            }
            for &id in &batch {
                if reached(&self.budget, charged, study.trials()).is_some() {
                    break;
                }
                match evaluator.measure(Sample::Trial(id), study.point(id)) {
                    Ok(outcome) => {
                        broken = 0;
                        study.tell(vec![(id, outcome)])?;
                    }
                    Err(Failure::Refused(reason)) => {
                        broken = 0;
                        study.fail(id, reason)?;
                    }
                    Err(Failure::Broken(reason)) => {
                        broken += 1;
                        study.fail(id, reason.clone())?;
                        if broken == MAX_BROKEN {
                            let what =
                                format!("{MAX_BROKEN} trials in a row failed, the last because {reason}");
                            let mend = "mend the program; with --state the same command continues the study";
                            return Err(Error::input("--evaluator", what, mend));
                        }
                    }
                }
                observer.measured(id, &study.trials()[id]);
            }
            let anomalous = study.anomalous();
            // Too few outcomes for a model yet: nothing to recommend, and no reason to stop.
            let best = study.recommend().ok();
            observer.batch(study.trials(), &batch, &anomalous, best.as_ref());
            path.extend(best.map(|best| (study.trials().len(), best)));
        };
        if !study.trials().iter().any(|trial| trial.outcome().is_some()) {
            if ended_by != "trials" {
                let what = "was used up by measuring the starting configuration";
                let mend = "give more, or measure it less often with --profile";
                return Err(Error::input(format!("--budget-{ended_by}"), what, mend));
            }
            return Err(Error::Failed("no trial could be measured, so there is nothing to recommend".into()));
        }
        let recommendation = study.recommend()?;
        let Spent { cost, time_s } = spent_on(study.trials().iter().filter_map(Trial::outcome));
        Ok(Finished {
            anomalous: study.anomalous(),
            window_start: study.window_start(),
            misfit: study.misfit(),
            trials: study.trials().to_vec(),
            spent: Spent { cost: cost + charged.cost, time_s: time_s + charged.time_s },
            problem,
            recommendation,
            path,
            ended_by,
        })
    }
}

fn spent_on<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Spent {
    outcomes.fold(Spent::default(), |spent, outcome| Spent {
        cost: spent.cost + outcome.cost,
        time_s: spent.time_s + outcome.latency_s,
    })
}

/// The limit that is reached, if one is.
fn reached(budget: &Budget, charged: Spent, trials: &[Trial]) -> Option<&'static str> {
    let spent = spent_on(trials.iter().filter_map(|trial| match &trial.state {
        TrialState::Complete(outcome) => Some(outcome),
        TrialState::Running | TrialState::Failed(_) => None,
    }));
    if budget.cost.is_some_and(|limit| charged.cost + spent.cost >= limit) {
        Some("cost")
    } else if budget.time_s.is_some_and(|limit| charged.time_s + spent.time_s >= limit) {
        Some("time")
    } else {
        None
    }
}

//! A study on disk: ask, tell and fail, every one recorded before it takes effect outside.

use aquatope_workflow::models;

use crate::error::{Error, Result};

use super::sampler::{Recommendation, Sampler};
use super::space::Point;
use super::store::{Record, Store};
use super::trial::{Outcome, Trial, TrialState};

/// The trials of one problem, the sampler that chooses them, and the file that remembers them.
pub struct Study {
    record: Record,
    sampler: Box<dyn Sampler>,
    store: Option<Store>,
    seed: u64,
}

impl Study {
    /// A study that begins with `record` (empty, or from its state file) and is saved to `store`, if any.
    pub fn new(
        record: Record,
        mut sampler: Box<dyn Sampler>,
        store: Option<Store>,
        seed: u64,
    ) -> Result<Self> {
        if record.asks > 0 {
            sampler.restore(&record.sampler)?;
        }
        Ok(Self { record, sampler, store, seed })
    }

    /// All trials; an index is an id.
    pub fn trials(&self) -> &[Trial] {
        &self.record.trials
    }

    /// Ids of the trials that wait for an outcome.
    pub fn running(&self) -> Vec<usize> {
        let running = |(id, trial): (usize, &Trial)| matches!(trial.state, TrialState::Running).then_some(id);
        self.trials().iter().enumerate().filter_map(running).collect()
    }

    /// Ask for up to `count` new trials; they are on the disk before they are returned.
    pub fn ask(&mut self, count: usize) -> Result<Vec<usize>> {
        let mut rng = models::stream(self.seed, self.record.asks);
        let points = self.sampler.ask(&self.record.trials, count, &mut rng)?;
        let first = self.record.trials.len();
        let trials = points.into_iter().map(|point| Trial { point, state: TrialState::Running });
        self.record.trials.extend(trials);
        self.record.asks += 1;
        self.save()?;
        Ok((first..self.record.trials.len()).collect())
    }

    /// Record the outcome of trial `id`.
    pub fn tell(&mut self, id: usize, outcome: Outcome) -> Result<()> {
        self.expect_running(id)?;
        self.sampler.tell(id, &outcome)?;
        self.record.trials[id].state = TrialState::Complete(outcome);
        self.save()
    }

    /// Record that trial `id` could not be measured.
    pub fn fail(&mut self, id: usize, reason: String) -> Result<()> {
        self.expect_running(id)?;
        self.sampler.fail(id)?;
        self.record.trials[id].state = TrialState::Failed(reason);
        self.save()
    }

    /// The configuration to use.
    pub fn recommend(&mut self) -> Result<Recommendation> {
        self.sampler.recommend(&self.record.trials)
    }

    /// For every trial whether its outcome is taken for an outlier.
    pub fn anomalous(&mut self) -> Vec<bool> {
        self.sampler.anomalous(&self.record.trials)
    }

    /// The first trial that still counts: above 0 once the behaviour of the workflow has changed.
    pub fn window_start(&self) -> usize {
        self.sampler.window_start()
    }

    /// Fails unless trial `id` waits for an outcome.
    pub fn expect_running(&self, id: usize) -> Result<()> {
        let (what, mend) = match self.record.trials.get(id).map(|trial| &trial.state) {
            Some(TrialState::Running) => return Ok(()),
            Some(_) => ("is finished already", "tell every trial once"),
            None => ("was never asked", "tell the trials that ask returned"),
        };
        Err(Error::input(format!("trial {id}"), what, mend))
    }

    /// The configuration of trial `id`.
    pub fn point(&self, id: usize) -> &Point {
        &self.record.trials[id].point
    }

    fn save(&mut self) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        self.record.sampler = self.sampler.save()?;
        store.save(&self.record)
    }
}

/// Fails when `record` was made under other settings than `wanted`, naming the first that differs.
pub fn check_settings(at: &str, record: &Record, wanted: &[(String, String)]) -> Result<()> {
    for (name, value) in wanted {
        match record.settings.iter().find(|(known, _)| known == name) {
            Some((_, known)) if known == value => {}
            known => {
                let known = known.map_or("none", |(_, known)| known);
                let what = format!("belongs to a study with {name} {known}, not {value}");
                return Err(Error::input(at, what, "use the same options, or name another state file"));
            }
        }
    }
    // A study that knew more, such as its workflow, is another one too.
    let unknown = |(name, _): &&(String, String)| !wanted.iter().any(|(wanted, _)| wanted == name);
    if let Some((name, known)) = record.settings.iter().find(unknown) {
        let what = format!("belongs to a study with {name} {known}, this one has none");
        return Err(Error::input(at, what, "use the same options, or name another state file"));
    }
    Ok(())
}

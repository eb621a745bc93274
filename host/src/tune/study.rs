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
        mut record: Record,
        mut sampler: Box<dyn Sampler>,
        store: Option<Store>,
        seed: u64,
    ) -> Result<Self> {
        if record.asks > 0 {
            sampler.restore(&record.sampler)?;
        } else {
            record.sampler = sampler.save()?;
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
    ///
    /// # Errors
    /// The sampler's, or a failed save: nothing was asked then, and asking again gives the same trials.
    pub fn ask(&mut self, count: usize) -> Result<Vec<usize>> {
        let mut rng = models::stream(self.seed, self.record.asks);
        let first = self.record.trials.len();
        let points = self.sampler.ask(&self.record.trials, count, &mut rng)?;
        let trials = points.into_iter().map(|point| Trial { point, state: TrialState::Running });
        self.record.trials.extend(trials);
        self.record.asks += 1;
        self.save(|record| {
            record.trials.truncate(first);
            record.asks -= 1;
        })?;
        Ok((first..self.record.trials.len()).collect())
    }

    /// Record the outcomes of some trials; they are on the disk when this returns.
    ///
    /// # Errors
    /// A trial that does not wait for an outcome, an outcome the sampler refuses, or a failed save: nothing was told
    /// then, and it can be told again.
    pub fn tell(&mut self, outcomes: Vec<(usize, Outcome)>) -> Result<()> {
        outcomes.iter().try_for_each(|(id, _)| self.expect_running(*id))?;
        let ids: Vec<usize> = outcomes.iter().map(|(id, _)| *id).collect();
        let told = outcomes.iter().try_for_each(|(id, outcome)| self.sampler.tell(*id, outcome));
        if let Err(error) = told {
            self.sampler.restore(&self.record.sampler)?;
            return Err(error);
        }
        for (id, outcome) in outcomes {
            self.record.trials[id].state = TrialState::Complete(outcome);
        }
        self.save(|record| ids.iter().for_each(|&id| record.trials[id].state = TrialState::Running))
    }

    /// Record that trial `id` could not be measured.
    ///
    /// # Errors
    /// As for [`Study::tell`].
    pub fn fail(&mut self, id: usize, reason: String) -> Result<()> {
        self.expect_running(id)?;
        self.sampler.fail(id)?;
        self.record.trials[id].state = TrialState::Failed(reason);
        self.save(|record| record.trials[id].state = TrialState::Running)
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

    /// Why the model that was chosen does not fit the trials and another one took over, if so.
    pub fn misfit(&mut self) -> Option<String> {
        self.sampler.misfit()
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

    /// Keep what has just changed: on the disk where there is a store, and to come back to. When that fails, `undo`
    /// takes the change out of the record, and the sampler goes back to where it was.
    fn save(&mut self, undo: impl FnOnce(&mut Record)) -> Result<()> {
        let before = std::mem::replace(&mut self.record.sampler, self.sampler.save()?);
        let saved = self.store.as_ref().map_or(Ok(()), |store| store.save(&self.record));
        if saved.is_err() {
            undo(&mut self.record);
            self.sampler.restore(&before)?;
            self.record.sampler = before;
        }
        saved
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

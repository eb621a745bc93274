//! The search of a workflow, and the decision on what it found.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::sleep;

use super::kept::Kept;
use super::{Phase, Tuning};
use crate::tune::{Change, Finished, Keep, Progress, TuneError, remove_clones, tune};

impl Tuning {
    /// Whether to apply what was found; waits for the approval if there is something to approve of.
    pub(super) async fn decide(&self, finished: &Finished) -> Result<Phase, String> {
        self.found(finished);
        if !finished.is_improvement(&self.problem) {
            return Ok(Phase::Over("nothing better than today's configuration was found".into()));
        }
        if !self.registered.apply {
            let approved = self.approval.wait();
            self.state("waiting for approval");
            approved.await;
        }
        self.state("applying");
        let mut wait = self.platform.pace.retry;
        let change = loop {
            let resources = &finished.recommended.resources;
            match Change::plan(&self.platform, &self.problem, resources).await {
                Ok(change) => break change,
                Err(error) if may_pass(&error) => self.trouble(&error, &mut wait).await,
                Err(error) => return Err(error.to_string()),
            }
        };
        self.recovered();
        if change.actions.is_empty() {
            return Ok(Phase::Over("production has what was found already".into()));
        }
        Ok(Phase::Applying(change))
    }

    /// Deletes the clones of this search and of earlier ones, until none is left.
    pub(super) async fn remove_clones(&self) {
        let pace = &self.platform.pace;
        let mut wait = pace.retry;
        while !self.try_to_remove_clones().await {
            sleep(wait).await;
            wait = pace.longer(wait);
        }
    }

    /// Deletes the clones that can be; false when some may be left, and shows why.
    async fn try_to_remove_clones(&self) -> bool {
        let removed = remove_clones(&self.platform.client, &self.problem.name).await;
        if let Err(error) = &removed {
            tracing::warn!(workflow = self.name(), %error, "clones of actions may be left");
        }
        let failed = removed.err().map(|error| error.to_string());
        let none_left = failed.is_none();
        self.show(|shown| shown.clones_left = failed);
        none_left
    }

    /// What the search found. What the platform refuses is tried again.
    pub(super) async fn search(&self) -> Result<Finished, String> {
        let keep: Arc<dyn Keep> = Arc::new(Kept { store: Arc::clone(&self.store), key: self.key("search") });
        let progressed = AtomicBool::new(false);
        let see = |progress: &Progress| {
            progressed.store(true, Ordering::Relaxed);
            let best =
                progress.best.as_ref().map(|best| (words(&best.resources), best.cost[0], best.latency_s[0]));
            let trials = progress.finished;
            self.show(|shown| {
                // The clones are in use.
                (shown.trials, shown.error, shown.clones_left) = (trials, None, None);
                if let Some((resources, cost, latency_s)) = best {
                    shown.recommendation = Some(resources);
                    shown.expected = Some([cost, latency_s]);
                }
            });
        };
        let mut wait = self.platform.pace.retry;
        loop {
            self.state("searching");
            let saved = match self.get("search").await {
                Ok(saved) => saved,
                Err(error) => {
                    self.trouble(&error, &mut wait).await;
                    continue;
                }
            };
            match tune(&self.platform, &self.problem, saved, &keep, see).await {
                Ok(finished) => {
                    self.recovered();
                    return Ok(finished);
                }
                Err(error) if may_pass(&error) => {
                    if progressed.swap(false, Ordering::Relaxed) {
                        wait = self.platform.pace.retry;
                    }
                    // It may be long until it goes on; but it does not wait for clones to go.
                    let deleting = async {
                        self.try_to_remove_clones().await;
                        pending::<()>().await;
                    };
                    tokio::select! {
                        () = self.trouble(&error, &mut wait) => {}
                        () = deleting => {}
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn found(&self, finished: &Finished) {
        let best = &finished.recommended;
        tracing::info!(
            workflow = self.name(),
            cost = best.cost[0],
            latency_s = best.latency_s[0],
            feasible = best.feasible,
            "search finished: {}",
            words(&best.resources)
        );
        if finished.today != finished.measured {
            let (today, measured) = (words(&finished.today), words(&finished.measured));
            tracing::warn!(
                workflow = self.name(),
                "production is no point of the space: {measured} was measured in place of {today}"
            );
        }
        self.show(|shown| {
            shown.trials = finished.trials.len();
            shown.today = Some(words(&finished.today));
            shown.measured = Some(words(&finished.measured));
            shown.recommendation = Some(words(&best.resources));
            shown.expected = Some([best.cost[0], best.latency_s[0]]);
        });
    }
}

/// Whether an operator can mend it while the service runs.
fn may_pass(error: &TuneError) -> bool {
    matches!(error, TuneError::Rest(_) | TuneError::Problem(_))
}

fn words(resources: &[crate::tune::Resources]) -> String {
    let one = |r: &crate::tune::Resources| match r.cpu {
        Some(cpu) => format!("{} MB, {cpu} CPU", r.memory_mb),
        None => format!("{} MB", r.memory_mb),
    };
    resources.iter().map(one).collect::<Vec<_>>().join("; ")
}

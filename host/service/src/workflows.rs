//! One task a registered workflow: search for its cheapest configuration, apply it when that is wanted, watch it, and take
//! it back when it breaks its promise. Every phase is in the store before it begins, so a restart goes on where it was.

mod approval;
mod kept;
mod register;
mod searching;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, RwLock};
use std::task::Poll;
use std::time::{Duration, Instant};

pub(crate) use approval::Approval;
use kept::Stored;
pub(crate) use register::{problem, read_file};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::board::{Board, Workflow as Shown};
use crate::clock::Clock;
use crate::config::Workflow as Registered;
use crate::source::{Duty, SharedStatus};
use crate::store::Store;
use crate::tune::{Change, Finished, Guard, Patient, Problem, Promise, RolledBack, Verdict};
use crate::write;

/// Whether this instance acts is looked at this often.
const DUTY: Duration = Duration::from_millis(500);

/// A workflow that is tuned.
pub(crate) struct Tuning {
    registered: Registered,
    /// The workflow's name; with its namespace before it when another namespace has one of this name.
    name: String,
    problem: Arc<Problem>,
    platform: Patient,
    store: Arc<Store>,
    /// Held while the store is asked, one after the other, even when nobody waits for the answer any more.
    turn: Arc<Mutex<()>>,
    board: Arc<RwLock<Board>>,
    clock: Clock,
    /// Somebody approves of what was found.
    pub(crate) approval: Arc<Approval>,
}

/// What has been done, as the store keeps it; nothing: the search goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Phase {
    /// Production is being changed.
    Applying(Change),
    /// It has been, at this time (ms since the epoch).
    Watching(Change, u64),
    /// It is over; how.
    Over(String),
    /// It is being taken back, for this reason.
    TakingBack(Change, String),
}

/// Where to go on.
enum Begun {
    Phase(Phase),
    Found(Finished),
}

impl Tuning {
    /// What it is called on the board and in approvals.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Tune while this instance acts, and again after a fault of ours. The other workflows and the pool are not to suffer.
    pub(crate) async fn run_steadily(self, ingest: SharedStatus) {
        let mut wait = self.platform.pace.retry;
        loop {
            let began = Instant::now();
            let mut running = pin!(self.run_on_duty(&ingest));
            // In the task that is waited for when it is ended, so that nothing of it goes on after that.
            let panicked =
                poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context))) {
                    Ok(poll) => poll.map(|()| false),
                    Err(_) => Poll::Ready(true),
                });
            if !panicked.await {
                return;
            }
            if began.elapsed() > self.platform.pace.longest_retry {
                wait = self.platform.pace.retry;
            }
            self.trouble(&"a fault of the service: its log tells more", &mut wait).await;
        }
    }

    /// Tune while this instance acts; a search goes on where it was left.
    async fn run_on_duty(&self, ingest: &SharedStatus) {
        let lost = async || {
            while ingest.get().duty.acts() {
                sleep(DUTY).await;
            }
        };
        loop {
            let duty = ingest.get().duty;
            if !duty.acts() {
                let another = duty == Duty::Another;
                self.state(if another { "another instance is on duty" } else { "not on duty yet" });
                sleep(DUTY).await;
                continue;
            }
            tokio::select! {
                () = self.run() => return,
                () = lost() => {}
            }
        }
    }

    /// Until it is over, or cannot go on, and no clone is left; what is in the way is shown.
    async fn run(&self) {
        let (qos_s, budget) = (self.problem.qos_s, self.problem.settings.trials);
        // Clones that were left are left until they are known to be gone.
        self.show(|shown| {
            *shown = Shown { qos_s, budget, clones_left: shown.clones_left.take(), ..Shown::default() };
        });
        let begun = self.begin().await;
        // From here on nothing runs on clones, and nothing waits for them to go.
        tokio::join!(self.go_on(begun), self.remove_clones());
    }

    /// The phase it was in, or else what a search finds.
    async fn begin(&self) -> Result<Begun, String> {
        match self.stored().await {
            Some(Stored { of, phase }) if of == self.of() => return Ok(Begun::Phase(phase)),
            Some(Stored { phase, .. }) => self.abandon(phase).await?,
            None => {}
        }
        Ok(Begun::Found(self.search().await?))
    }

    async fn go_on(&self, begun: Result<Begun, String>) {
        let phases = async {
            let phase = match begun? {
                Begun::Phase(phase) => phase,
                Begun::Found(finished) => self.decide(&finished).await?,
            };
            self.phases(phase).await
        };
        if let Err(error) = phases.await {
            tracing::error!(workflow = self.name(), "{error}");
            self.show(|shown| {
                shown.state = "stopped".into();
                shown.error = Some(error);
            });
        }
    }

    async fn phases(&self, mut phase: Phase) -> Result<(), String> {
        loop {
            self.keep(&phase).await?;
            phase = match phase {
                Phase::Applying(change) => self.apply(change).await,
                Phase::Watching(change, since_ms) => self.watch(change, since_ms).await,
                Phase::TakingBack(change, why) => self.take_back(&change, &why).await,
                Phase::Over(how) => {
                    tracing::info!(workflow = self.name(), "{how}");
                    self.state(&how);
                    return Ok(());
                }
            };
        }
    }

    /// The workflow or its settings have changed: ends what was under way before it is searched anew. A change that was
    /// half applied is taken back, one that was applied stays.
    async fn abandon(&self, phase: Phase) -> Result<(), String> {
        tracing::warn!(
            workflow = self.name(),
            "the workflow or its settings have changed: it is searched anew"
        );
        match phase {
            Phase::Applying(change) | Phase::TakingBack(change, _) => {
                let over = self.take_back(&change, "the workflow was edited meanwhile").await;
                self.keep_of(String::new(), &over).await
            }
            Phase::Watching(..) => {
                tracing::warn!(workflow = self.name(), "what was applied before is not watched on");
                Ok(())
            }
            Phase::Over(_) => Ok(()),
        }
    }

    async fn apply(&self, change: Change) -> Phase {
        self.state("applying");
        match change.apply(&self.platform).await {
            Ok(()) => {
                let actions = change.actions.len();
                tracing::info!(workflow = self.name(), actions, "configuration applied");
                Phase::Watching(change, self.clock.now().0)
            }
            Err(error) => {
                tracing::error!(workflow = self.name(), %error, "the configuration cannot be applied");
                Phase::TakingBack(change, format!("it could not be applied: {error}"))
            }
        }
    }

    async fn watch(&self, change: Change, since_ms: u64) -> Phase {
        self.wait_for_sequence().await;
        self.state("applied, being watched");
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let mut guard = Guard::new(&self.problem.name, ms(since_ms), Promise::new(self.problem.qos_s));
        let mut wait = self.platform.pace.retry;
        loop {
            match guard.look(&self.platform, ms(self.clock.now().0)).await {
                Ok(Verdict::Kept) => {
                    self.recovered();
                    return Phase::Over("applied, and it keeps its QoS".into());
                }
                Ok(Verdict::Broken) => {
                    self.recovered();
                    let (runs, late) = guard.counts();
                    tracing::warn!(workflow = self.name(), runs, late, "the QoS is missed after the change");
                    return Phase::TakingBack(change, "it missed its QoS".into());
                }
                Ok(Verdict::Watching) => {
                    self.recovered();
                    wait = self.platform.pace.retry;
                    sleep(self.platform.pace.watch).await;
                }
                Err(error) => self.trouble(&error, &mut wait).await,
            }
        }
    }

    /// Until production has a sequence or composition of the workflow's name, whose runs can be watched.
    async fn wait_for_sequence(&self) {
        let Patient { client, pace } = &self.platform;
        let mut wait = pace.retry;
        loop {
            match client.action(&self.problem.name, false).await {
                Ok(Some(action)) if action.is_workflow() => return self.recovered(),
                Ok(_) => {
                    self.recovered();
                    wait = pace.retry;
                    self.state(&format!(
                        "applied; not watched: there is no sequence or composition {}",
                        self.problem.name
                    ));
                    sleep(pace.watch).await;
                }
                Err(error) => self.trouble(&error, &mut wait).await,
            }
        }
    }

    async fn take_back(&self, change: &Change, why: &str) -> Phase {
        self.state("being taken back");
        let mut wait = self.platform.pace.retry;
        let RolledBack { left, .. } = loop {
            match change.roll_back(&self.platform).await {
                Ok(back) => break back,
                Err(error) => self.trouble(&error, &mut wait).await,
            }
        };
        self.recovered();
        Phase::Over(match left.as_slice() {
            [] => format!("taken back: {why}"),
            left => {
                format!(
                    "taken back: {why}; somebody else changed {}, which stay as they are",
                    left.join(", ")
                )
            }
        })
    }

    /// Shows what does not work now, and waits before the next try.
    async fn trouble(&self, error: &(impl Display + Sync), wait: &mut Duration) {
        tracing::error!(workflow = self.name(), %error, wait_s = wait.as_secs_f64(), "trying again");
        self.show(|shown| shown.error = Some(error.to_string()));
        sleep(*wait).await;
        *wait = self.platform.pace.longer(*wait);
    }

    /// It works again.
    fn recovered(&self) {
        self.show(|shown| shown.error = None);
    }

    fn state(&self, state: &str) {
        self.show(|shown| shown.state = state.to_owned());
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        change(write(&self.board).workflows.entry(self.name().to_owned()).or_default());
    }
}

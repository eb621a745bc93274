//! New limits for production, and the way back.

use aquatope_openwhisk::records::Limits;
use serde::{Deserialize, Serialize};

use super::bench::production;
use super::error::TuneError;
use super::patient::Patient;
use super::problem::{Problem, Resources};

/// A change of the limits of a workflow's actions. Keep it before it is applied: it holds the way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What changes; actions that have what they are to get are left out, because a PUT costs their warm containers.
    pub actions: Vec<ActionChange>,
}

/// The change of one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionChange {
    /// `[package/]action`.
    pub name: String,
    /// The limits it had, as far as they change.
    pub from: Limits,
    /// The limits it gets.
    pub to: Limits,
}

/// What a roll-back did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolledBack {
    /// Actions that have their old limits again.
    pub restored: Vec<String>,
    /// Actions that somebody else has changed or deleted meanwhile; they are left as they are.
    pub left: Vec<String>,
}

impl Change {
    /// What has to change for every function of `problem` to get its part of `wanted`. Reads production only.
    ///
    /// # Errors
    /// An action that is not there, or calls the platform refuses.
    pub async fn plan(
        platform: &Patient,
        problem: &Problem,
        wanted: &[Resources],
    ) -> Result<Self, TuneError> {
        let mut actions = Vec::new();
        for (function, wanted) in problem.workflow.functions.iter().zip(wanted) {
            let now = production(platform, problem, &function.name, false).await?.limits;
            let to = wanted.limits();
            let from = Limits { memory: now.memory, cpu: to.cpu.and(now.cpu), ..Limits::default() };
            if from != to {
                actions.push(ActionChange { name: function.name.clone(), from, to });
            }
        }
        Ok(Self { actions })
    }

    /// Changes production. Can be repeated after an interruption: actions that are changed already are passed over.
    ///
    /// # Errors
    /// Calls the platform refuses; roll back then.
    pub async fn apply(&self, platform: &Patient) -> Result<(), TuneError> {
        for ActionChange { name, to, .. } in &self.actions {
            if !has(platform, name, to).await? {
                platform.call(|| platform.client.put_limits(name, to)).await?;
            }
        }
        Ok(())
    }

    /// Gives the actions their old limits again, except those that no longer have the limits of this change. All are
    /// tried, also after one that failed.
    ///
    /// # Errors
    /// The first call the platform refused; it can be repeated.
    pub async fn roll_back(&self, platform: &Patient) -> Result<RolledBack, TuneError> {
        let mut done = RolledBack::default();
        let mut refused = None;
        for action in &self.actions {
            match action.roll_back(platform).await {
                Ok(true) => done.restored.push(action.name.clone()),
                Ok(false) => done.left.push(action.name.clone()),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        refused.map_or(Ok(done), Err)
    }
}

impl ActionChange {
    /// Whether it has its old limits now; if not, somebody else changed it.
    async fn roll_back(&self, platform: &Patient) -> Result<bool, TuneError> {
        let Self { name, from, to } = self;
        if has(platform, name, to).await? {
            platform.call(|| platform.client.put_limits(name, from)).await?;
            return Ok(true);
        }
        has(platform, name, from).await
    }
}

/// Whether an action is there and has these limits.
async fn has(platform: &Patient, name: &str, limits: &Limits) -> Result<bool, TuneError> {
    let action = platform.call(|| platform.client.action(name, false)).await?;
    Ok(action.is_some_and(|action| {
        let now = action.limits;
        now.memory == limits.memory && limits.cpu.is_none_or(|cpu| now.cpu == Some(cpu))
    }))
}

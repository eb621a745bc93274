//! New limits for production, and the way back.

use aquatope_openwhisk::records::Limits;
use aquatope_workflow::fault::Fault;
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
    /// An action that is not there or has no limit to go back to, or calls the platform refuses.
    pub async fn plan(
        platform: &Patient,
        problem: &Problem,
        wanted: &[Resources],
    ) -> Result<Self, TuneError> {
        let mut actions = Vec::new();
        for (function, wanted) in problem.workflow.functions.iter().zip(wanted) {
            let now = production(platform, problem, &function.name, false).await?.limits;
            let to = wanted.limits();
            if to.cpu.is_some() && now.cpu.is_none() {
                return Err(Fault {
                    at: format!("workflow {}: function {}", problem.name, function.name),
                    what: "has no limits.cpu that could be given back to it".into(),
                    mend: "set one, or set cpu_limits = false if the platform keeps none".into(),
                }
                .into());
            }
            let from = Limits { memory: now.memory, cpu: to.cpu.and(now.cpu), ..Limits::default() };
            if !(from.memory == to.memory && (to.cpu.is_none() || same_cpu(from.cpu, to.cpu))) {
                actions.push(ActionChange { name: function.name.clone(), from, to });
            }
        }
        Ok(Self { actions })
    }

    /// Changes production. Can be repeated after an interruption: actions that are changed already are passed over.
    ///
    /// # Errors
    /// Calls the platform refuses, or a limit it does not keep; roll back then.
    pub async fn apply(&self, platform: &Patient) -> Result<(), TuneError> {
        for ActionChange { name, to, .. } in &self.actions {
            if is(&limits(platform, name).await?, to) {
                continue;
            }
            let put = platform.call(|| platform.client.put_limits(name, to)).await?.limits;
            if !is(&put, to) {
                return Err(Fault {
                    at: format!("action {name}"),
                    what: format!("was to get {to:?}, and the platform made {put:?} of it"),
                    mend: "set cpu_limits = false if the platform does not keep limits.cpu".into(),
                }
                .into());
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
        let now = limits(platform, name).await?;
        // Cores that the platform did not take over, or not as asked for, do not make it somebody else's.
        let dropped = to.cpu.is_some() && (now.cpu.is_none() || same_cpu(now.cpu, from.cpu));
        if !is(&now, from) && (is(&now, to) || now.memory == to.memory && dropped) {
            platform.call(|| platform.client.put_limits(name, from)).await?;
            return Ok(true);
        }
        Ok(now.memory == from.memory && (is(&now, from) || now.cpu.is_none()))
    }
}

/// The limits of an action; none of them when there is none.
async fn limits(platform: &Patient, name: &str) -> Result<Limits, TuneError> {
    let action = platform.call(|| platform.client.action(name, false)).await?;
    Ok(action.map(|action| action.limits).unwrap_or_default())
}

/// Whether an action has the limits that `wanted` names.
fn is(now: &Limits, wanted: &Limits) -> bool {
    now.memory == wanted.memory && (wanted.cpu.is_none() || same_cpu(now.cpu, wanted.cpu))
}

/// Whether a platform that keeps tenths of a core would show the same.
pub(super) fn same_cpu(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 0.051,
        (a, b) => a == b,
    }
}

//! Carrying targets out, through whatever the platform offers.
//!
//! Every back-end says what it can do ([`Capabilities`]); none is ever told to go below what is busy. [`Runner`] applies
//! the newest plan, rate limited, tries again with growing pauses when a call fails, and shows it.

mod keep_count;
mod runner;
mod spares;
mod stem_cells;
mod warm_up;

pub use runner::Runner;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use aquatope_core::time::{Minute, Timestamp};
use aquatope_workflow::fault::Fault;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::config::{ActuatorKind, Config, Secrets};
use crate::source::IngestHandle;
use keep_count::KeepCount;
use stem_cells::StemCells;
use warm_up::WarmUp;

/// One function that should have containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// `namespace/[package/]action`.
    pub name: String,
    /// The namespace that invokes it, which is another than the action's own for shared packages.
    pub namespace: String,
    /// Runtime kind.
    pub kind: String,
    /// Memory of a container, MB.
    pub memory_mb: u32,
    /// Containers, busy ones included.
    pub containers: u32,
    /// Busy containers.
    pub busy: u32,
    /// Containers thought to be warm by users' load, busy ones included.
    pub warm: u32,
    /// How long a cold start takes, ms; 0: unknown.
    pub cold_start_ms: u32,
}

/// What all functions should have in one minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wants {
    /// The minute, since the epoch.
    pub minute: u32,
    /// The managed functions.
    pub functions: Vec<Wanted>,
    /// The shards that these functions are of, and how many there are; nothing: all. Limits are for all of them.
    pub share: Option<(u32, u32)>,
}

impl Wants {
    /// What they should have when nothing is planned: the same, for a later minute, `passed` after the plan for minute
    /// `planned`; nothing if it is wanted already. Containers stay warm for `idle_minutes` without a user: after that
    /// nobody knows of any.
    pub(crate) fn held(&self, planned: u32, passed: Duration, idle_minutes: u32) -> Option<Self> {
        let later = u32::try_from(passed.as_secs() / 60).unwrap_or(u32::MAX);
        let minute = planned.saturating_add(later);
        if minute <= self.minute || self.functions.is_empty() {
            return None;
        }
        let mut held = Self { minute, share: None, ..self.clone() };
        if later >= idle_minutes {
            held.functions.iter_mut().for_each(|function| (function.busy, function.warm) = (0, 0));
        }
        Some(held)
    }
}

/// What a back-end can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What it sets.
    pub sets: &'static str,
    /// Whether a function can be addressed alone.
    pub per_function: bool,
    /// Whether the containers have loaded the function's code.
    pub initialised: bool,
    /// Whether it can shut containers down.
    pub shrinks: bool,
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |able: bool| if able { "" } else { "not " };
        write!(
            f,
            "sets {}; {}per function, {}initialised, {}shrinking",
            self.sets,
            not(self.per_function),
            not(self.initialised),
            not(self.shrinks)
        )
    }
}

/// What an application did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Calls made.
    pub calls: u32,
    /// What an operator should know, though nothing failed.
    pub remarks: Vec<String>,
    /// What failed, if anything did, and is to be tried again soon.
    pub failure: Option<String>,
    /// When what a limit left undone may be done after all.
    pub again_at: Option<Timestamp>,
}

impl Applied {
    /// Tells failures together.
    fn with_failures(mut self, failures: &[String]) -> Self {
        self.failure = match failures {
            [] => None,
            [only] => Some(only.clone()),
            [first, rest @ ..] => Some(format!("{first} (and {} more)", rest.len())),
        };
        self
    }
}

impl From<String> for Applied {
    fn from(failure: String) -> Self {
        Self { failure: Some(failure), ..Self::default() }
    }
}

/// Whether the last change is too recent for another one. Plans come at a minute's distance, give or take a little.
fn too_soon(changed: Option<Instant>, min_interval: Duration) -> bool {
    changed.is_some_and(|changed| changed.elapsed().mul_f64(1.1) < min_interval)
}

/// Where invocations of our own are reported, so that they are not taken for load.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnActivations(Weak<IngestHandle>);

impl OwnActivations {
    pub(crate) fn of(handle: &Arc<IngestHandle>) -> Self {
        Self(Arc::downgrade(handle))
    }

    /// The activation `id` of `namespace/[package/]action` is our own.
    pub(crate) fn add(&self, name: &str, id: &str) {
        if let Some(handle) = self.0.upgrade() {
            handle.exclude(name, id);
        }
    }

    /// So many of our own were refused for the rate of `namespace` in `minute`.
    pub(crate) fn refused(&self, namespace: &str, minute: Minute, calls: u32) {
        if let Some(handle) = self.0.upgrade() {
            handle.refused(namespace, minute, calls.into());
        }
    }
}

/// A back-end.
pub(crate) enum BackEnd {
    DryRun,
    StemCells(Box<StemCells>),
    WarmUp(Box<WarmUp>),
    KeepCount(Box<KeepCount>),
    #[cfg(test)]
    Scripted(runner::Script),
}

impl BackEnd {
    /// The back-end that `config` names.
    ///
    /// # Errors
    /// What is missing or unreadable.
    pub(crate) fn new(config: &Config, secrets: &Secrets, own: OwnActivations) -> Result<Self, Fault> {
        Ok(match config.actuator.kind {
            ActuatorKind::DryRun => Self::DryRun,
            ActuatorKind::Runtimes | ActuatorKind::ManifestFile => {
                Self::StemCells(Box::new(StemCells::new(config, secrets)?))
            }
            ActuatorKind::WarmUp => Self::WarmUp(Box::new(WarmUp::new(config, secrets, own)?)),
            ActuatorKind::KeepCount => Self::KeepCount(Box::new(KeepCount::new(config, secrets)?)),
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::DryRun => "dry-run",
            Self::StemCells(back_end) => back_end.name(),
            Self::WarmUp(_) => "warm-up",
            Self::KeepCount(_) => "keep-count",
            #[cfg(test)]
            Self::Scripted(_) => "scripted",
        }
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        let nothing =
            Capabilities { sets: "nothing", per_function: true, initialised: false, shrinks: false };
        match self {
            Self::DryRun => nothing,
            // Per function where each has a runtime kind of its own.
            Self::StemCells(_) => Capabilities {
                sets: "idle stem cells per kind, memory and invoker",
                per_function: false,
                shrinks: true,
                ..nothing
            },
            Self::WarmUp(_) => {
                Capabilities { sets: "warm containers by invoking", initialised: true, ..nothing }
            }
            Self::KeepCount(_) => Capabilities {
                sets: "how many warm containers of each function of a namespace are kept",
                per_function: false,
                initialised: true,
                shrinks: true,
            },
            #[cfg(test)]
            Self::Scripted(_) => nothing,
        }
    }

    /// Another instance may have acted meanwhile: what was set before is not known any more.
    pub(crate) fn forget(&mut self) {
        match self {
            Self::DryRun | Self::WarmUp(_) => {}
            Self::StemCells(back_end) => back_end.forget(),
            Self::KeepCount(back_end) => back_end.forget(),
            #[cfg(test)]
            Self::Scripted(script) => script.forgotten = true,
        }
    }

    /// Bring the platform towards `wants`. Calling it again with the same is harmless.
    pub(crate) async fn apply(&mut self, wants: &Wants, clock: Clock) -> Applied {
        match self {
            Self::DryRun => Applied::default(),
            Self::StemCells(back_end) => back_end.apply(wants).await.unwrap_or_else(Applied::from),
            Self::WarmUp(back_end) => back_end.apply(wants, clock).await.unwrap_or_else(Applied::from),
            Self::KeepCount(back_end) => back_end.apply(wants).await,
            #[cfg(test)]
            Self::Scripted(script) => script.apply(wants),
        }
    }
}

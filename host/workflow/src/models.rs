//! How the core's optimiser sees a workflow: its search space, the models with the settings that measure best, and the
//! random numbers of every ask. One set of capacities serves all.

use std::fmt;

use aquatope_core::anomaly::AnomalyTest;
use aquatope_core::bo::acquisition::Improvement;
use aquatope_core::bo::acquisition::maximise::Search;
use aquatope_core::bo::blackbox::{BlackBox, BlackBoxConfig};
use aquatope_core::bo::space::{Axis, SearchSpace, SpaceError};
use aquatope_core::bo::surrogates::{Sampling, Surrogates};
use aquatope_core::error::CapacityError;
use aquatope_core::gp::Prior;
use aquatope_core::structured::{Resource, Resources, StructureError, StructuredModel, StructuredScratch};
use aquatope_core::workflow::{self, CostError, Prices, WorkflowBuilder, WorkflowError};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use crate::counter_random::mix64;
use crate::workflow::{Decision, Function, Workflow};

/// The most axes of a configuration.
pub const MAX_AXES: usize = 32;
/// The most functions of a workflow.
pub const MAX_FUNCTIONS: usize = 16;
/// The most trials of a study.
pub const MAX_TRIALS: usize = 128;
/// The most Monte-Carlo paths.
pub const MAX_PATHS: usize = 128;
/// The most configurations of one function that the structured model looks at: 40 x 31 on the shipped grid, eight
/// times that where concurrency is searched as well.
pub const CHOICES: usize = 10_240;

/// The black box at this capacity.
pub type BlackBoxModel = BlackBox<MAX_AXES, MAX_TRIALS, MAX_PATHS>;
/// Its working memory.
pub type BlackBoxScratch = Surrogates<MAX_TRIALS, MAX_AXES, MAX_PATHS>;
/// The structured model at this capacity.
pub type Structured = StructuredModel<BlackBoxModel, MAX_FUNCTIONS, MAX_TRIALS, CHOICES>;
/// Its working memory, that of its black box included.
pub type StructuredMemory = StructuredScratch<BlackBoxScratch, MAX_FUNCTIONS, MAX_TRIALS, CHOICES>;

/// Work per ask of the black box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Monte-Carlo paths.
    pub mc_samples: u16,
    /// Starts of the search for a batch, chosen among the raw samples.
    pub restarts: u16,
    /// Raw samples.
    pub raw_samples: u16,
}

impl Default for Effort {
    fn default() -> Self {
        Self { mc_samples: 64, restarts: 10, raw_samples: 128 }
    }
}

/// The paper's model with what measures best around it: see [`AnomalyTest`].
pub fn black_box(effort: Effort, improvement: Improvement) -> BlackBoxModel {
    let search = Search { raw: effort.raw_samples, restarts: effort.restarts, ..Search::default() };
    let sampling = Sampling { improvement, samples: effort.mc_samples, search, ..Sampling::default() };
    BlackBox::new(BlackBoxConfig {
        prior: Prior::default(),
        sampling,
        anomalies: Some(AnomalyTest::default()),
    })
}

/// A model per function of `workflow`, with the black box to fall back on; it has learned nothing yet.
///
/// # Errors
/// [`UnfitError`] for a workflow that the core cannot hold or price.
pub fn structured(
    workflow: &Workflow,
    space: &SearchSpace<MAX_AXES>,
    effort: Effort,
) -> Result<Structured, UnfitError> {
    let resources = |(i, function): (usize, &Function)| Resources {
        cpu: Resource::Axis(2 * i as u16),
        memory_mb: Resource::Axis(2 * i as u16 + 1),
        concurrency: match workflow.concurrency_axis(i) {
            Some(axis) => Resource::Axis(axis as u16),
            None => Resource::Fixed(function.concurrency.min()),
        },
    };
    let resources: Vec<Resources> = workflow.functions.iter().enumerate().map(resources).collect();
    let prices = Prices::new(workflow.cpu_per_core_s, workflow.memory_per_gb_s)?;
    let fallback = black_box(effort, Improvement::LogNei);
    Ok(StructuredModel::new(graph(workflow)?, prices, &resources, space, fallback)?)
}

/// The search space of a workflow: its decisions on logarithmic axes.
///
/// # Errors
/// [`SpaceError`] for more axes than a study holds.
pub fn space(workflow: &Workflow) -> Result<SearchSpace<MAX_AXES>, SpaceError> {
    let logarithmic = |decision: &Decision| decision.axis.log_scaled();
    SearchSpace::new(&workflow.decisions().iter().map(logarithmic).collect::<Result<Vec<_>, _>>()?)
}

/// The search space of axes of which only the number of levels is known.
///
/// # Errors
/// [`SpaceError`] for an axis without levels, and for more axes than a study holds.
pub fn plain_space(levels: &[u16]) -> Result<SearchSpace<MAX_AXES>, SpaceError> {
    let axis = |&levels: &u16| Axis::new(0.0, f64::from(levels) - 1.0, 1.0);
    SearchSpace::new(&levels.iter().map(axis).collect::<Result<Vec<_>, _>>()?)
}

/// The graph of a workflow as the core checks and keeps it.
///
/// # Errors
/// [`UnfitError::Capacity`] for more functions than a study holds, [`UnfitError::Graph`].
pub fn graph(workflow: &Workflow) -> Result<workflow::Workflow<MAX_FUNCTIONS>, UnfitError> {
    let mut builder = WorkflowBuilder::new();
    let mut stages = Vec::new();
    for _ in &workflow.functions {
        stages.push(builder.stage()?);
    }
    for &(from, to) in &workflow.edges {
        builder.edge(stages[from], stages[to])?;
    }
    builder.edge_overhead(workflow.edge_overhead_s)?;
    Ok(builder.build()?)
}

/// The random numbers of ask number `asks` (counted from 0) of a study: every ask draws from its own stream, so that a
/// study that is restored goes on as it would have.
pub fn stream(seed: u64, asks: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(mix64(seed ^ mix64(asks)))
}

/// Why a workflow cannot be modelled.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum UnfitError {
    /// It has too many functions.
    Capacity(CapacityError),
    /// Its graph.
    Graph(WorkflowError),
    /// Its prices.
    Prices(CostError),
    /// Its resources.
    Structure(StructureError),
}

impl From<CapacityError> for UnfitError {
    fn from(error: CapacityError) -> Self {
        Self::Capacity(error)
    }
}

impl From<WorkflowError> for UnfitError {
    fn from(error: WorkflowError) -> Self {
        Self::Graph(error)
    }
}

impl From<CostError> for UnfitError {
    fn from(error: CostError) -> Self {
        Self::Prices(error)
    }
}

impl From<StructureError> for UnfitError {
    fn from(error: StructureError) -> Self {
        Self::Structure(error)
    }
}

impl fmt::Display for UnfitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity(error) => write!(f, "too many functions: {error}"),
            Self::Graph(error) => error.fmt(f),
            Self::Prices(error) => error.fmt(f),
            Self::Structure(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UnfitError {}

//! How trials are chosen.

use aquatope_core::anomaly::AnomalyTest;
use aquatope_core::bo::acquisition::Improvement;
use aquatope_core::bo::blackbox::{BlackBox, BlackBoxConfig};
use aquatope_core::bo::space::Axis;
use aquatope_core::bo::surrogates::Surrogates;
use aquatope_core::structured::{Status, StructuredScratch};
use aquatope_workflow::models;

use crate::error::{Error, Result};

use super::modelled::{Modelled, convert, core_point, space};
use super::problem::{Anomalies, Problem};
use super::sampler::Sampler;
use super::samplers::autoscaling::Autoscaling;
use super::samplers::clite::Clite;
use super::samplers::random::Random;
use super::workflow::{Function, Workflow};

/// A way to choose trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A model a function, joined through the workflow's graph.
    Structured,
    /// Two black boxes, constrained noisy expected improvement in logarithms.
    Qlognei,
    /// Two black boxes, constrained noisy expected improvement: the paper.
    Qnei,
    /// One model of CLITE's score, one trial at a time.
    Clite,
    /// Uniformly drawn configurations.
    Random,
    /// All resources up or down by a step.
    Autoscaling,
}

impl Method {
    /// All of them, ours first.
    pub const ALL: [Self; 6] =
        [Self::Structured, Self::Qlognei, Self::Qnei, Self::Clite, Self::Random, Self::Autoscaling];

    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Structured => "structured",
            Self::Qlognei => "qlognei",
            Self::Qnei => "qnei",
            Self::Clite => "clite",
            Self::Random => "random",
            Self::Autoscaling => "autoscaling",
        }
    }

    /// This method where `problem` tells what it needs; the structured model needs the workflow.
    pub fn for_problem(self, problem: &Problem) -> Self {
        match (self, &problem.workflow) {
            (Self::Structured, None) => Self::Qlognei,
            _ => self,
        }
    }

    /// A sampler for `problem` that has seen no trial yet.
    pub fn sampler(self, problem: &Problem) -> Result<Box<dyn Sampler>> {
        Ok(match (self, &problem.workflow) {
            (Self::Structured, Some(workflow)) => structured(problem, workflow)?,
            (Self::Structured | Self::Qlognei, _) => Box::new(Modelled::new(
                problem,
                black_box(problem, Improvement::LogNei),
                Box::new(Surrogates::new()),
            )?),
            (Self::Qnei, _) => Box::new(Modelled::new(
                problem,
                black_box(problem, Improvement::Nei),
                Box::new(Surrogates::new()),
            )?),
            (Self::Clite, _) => Box::new(Clite::new(problem.clone())),
            (Self::Random, _) => Box::new(Random(problem.clone())),
            (Self::Autoscaling, _) => Box::new(Autoscaling(problem.clone())),
        })
    }

    /// What a state file must agree on to be continued, as (name, value).
    pub fn settings(self, problem: &Problem) -> Vec<(String, String)> {
        let effort = problem.effort;
        let mut settings = vec![
            ("method", self.for_problem(problem).name().to_string()),
            ("grid", format!("{:?}", problem.levels)),
            ("QoS", problem.qos_s.to_string()),
            ("confidence", problem.confidence.to_string()),
            ("starting configuration", format!("{:?}", problem.start.0)),
            ("seed", problem.seed.to_string()),
            ("mc-samples", effort.mc_samples.to_string()),
            ("restarts", effort.restarts.to_string()),
            ("raw-samples", effort.raw_samples.to_string()),
            ("anomalies", problem.anomalies.name().to_string()),
        ];
        if let Some(workflow) = &problem.workflow {
            let ends = |axis: &Axis| format!("{} to {}", axis.min(), axis.max());
            let requests = |f: &Function| {
                if f.searches_concurrency() { ends(&f.concurrency) } else { f.concurrency.min().to_string() }
            };
            let functions = workflow.functions.iter().map(|f| format!("{} x{}", f.name, requests(f)));
            settings.push(("functions", functions.collect::<Vec<_>>().join(", ")));
            settings.push(("edges", format!("{:?}, {} s", workflow.edges, workflow.edge_overhead_s)));
            settings.push(("cores", ends(&workflow.cpu)));
            settings.push(("MB", ends(&workflow.memory_mb)));
            settings.push(("prices", format!("{} {}", workflow.cpu_per_core_s, workflow.memory_per_gb_s)));
        }
        settings.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }
}

/// The black box with the test of anomalies that the problem asks for.
fn black_box(problem: &Problem, improvement: Improvement) -> models::BlackBoxModel {
    let usual = models::black_box(problem.effort, improvement);
    BlackBox::new(BlackBoxConfig {
        anomalies: match problem.anomalies {
            Anomalies::Default => Some(AnomalyTest::default()),
            Anomalies::Paper => Some(AnomalyTest::PAPER),
            Anomalies::Off => None,
        },
        ..*usual.config()
    })
}

fn structured(problem: &Problem, workflow: &Workflow) -> Result<Box<dyn Sampler>> {
    let space = space(problem)?;
    let mut model = models::structured(workflow, &space, problem.effort)
        .map_err(|error| Error::Failed(error.to_string()))?;
    let profile = problem.profile.iter().map(convert).collect::<Result<Vec<_>>>()?;
    // Without durations, or with too few measurements, it learns nothing from them, and says so by returning false.
    model.learn_baseline(&space, &core_point(&space, &problem.start)?, &profile);
    let scratch = Box::new(StructuredScratch::new(Surrogates::new()));
    let sampler = Modelled::new(problem, model, scratch)?;
    Ok(Box::new(sampler.with_misfit(
        |study, scratch| match study.model().status(&study.evidence(), scratch) {
            Status::Structured => None,
            misfit => Some(misfit.to_string()),
        },
    )))
}

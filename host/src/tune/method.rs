//! How trials are chosen.

use crate::error::Result;

use super::problem::Problem;
use super::sampler::Sampler;
use super::samplers::autoscaling::Autoscaling;
use super::samplers::random::Random;

/// A way to choose trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Uniformly drawn configurations.
    Random,
    /// All resources up or down by a step.
    Autoscaling,
}

impl Method {
    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Autoscaling => "autoscaling",
        }
    }

    /// A sampler for `problem` that has seen no trial yet.
    pub fn sampler(self, problem: &Problem) -> Result<Box<dyn Sampler>> {
        Ok(match self {
            Self::Random => Box::new(Random(problem.clone())),
            Self::Autoscaling => Box::new(Autoscaling(problem.clone())),
        })
    }

    /// What a state file must agree on to be continued, as (name, value).
    pub fn settings(self, problem: &Problem) -> Vec<(String, String)> {
        let mut settings = vec![
            ("method", self.name().to_string()),
            ("grid", format!("{:?}", problem.levels)),
            ("QoS", problem.qos_s.to_string()),
            ("confidence", problem.confidence.to_string()),
            ("starting configuration", format!("{:?}", problem.start.0)),
            ("seed", problem.seed.to_string()),
        ];
        if let Some(workflow) = &problem.workflow {
            let names: Vec<&str> = workflow.functions.iter().map(|function| function.name.as_str()).collect();
            settings.push(("functions", names.join(" ")));
            settings.push(("edges", format!("{:?}", workflow.edges)));
            settings.push(("prices", format!("{} {}", workflow.cpu_per_core_s, workflow.memory_per_gb_s)));
        }
        settings.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }
}

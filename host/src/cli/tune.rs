//! `aquatope tune`: find the cheapest configuration of a workflow that meets its QoS.

use std::io::{stdin, stdout};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::error::{Error, Result};
use crate::tune::evaluator::{Evaluator, Program, Simulated};
use crate::tune::method::Method;
use crate::tune::problem::Problem;
use crate::tune::progress::Progress;
use crate::tune::protocol::Session;
use crate::tune::run::{Budget, Run};
use crate::tune::simulator::Scenario;
use crate::tune::store::Store;
use crate::tune::summary::Summary;
use crate::tune::workflow_file::WorkflowFile;

/// Find the cheapest CPU and memory of every function that meet a workflow's latency target.
#[derive(Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Measuring with a program of your own: --evaluator 'python measure.py' is started once, gets one JSON line a trial,
  {\"id\":3,\"functions\":[{\"name\":\"extract\",\"cpu\":1.2,\"memory_mb\":768,\"concurrency\":1}, ...]}
and answers one line, {\"cost\":0.8,\"latency\":3.9,\"durations\":[1.1,1.7,0.9]} (durations are optional, and make the
search much faster) or {\"error\":\"text\"}. Without it the workflow file's simulator is measured."
)]
pub(super) struct Arguments {
    /// Workflow file of schema aquatope-workflow/1
    #[arg(long, value_name = "FILE", required_unless_present = "ask_tell")]
    workflow: Option<PathBuf>,
    /// Be driven from outside, by lines of JSON on stdin and stdout
    #[arg(long, conflicts_with_all = ["workflow", "evaluator", "json", "budget_cost", "budget_time"])]
    ask_tell: bool,
    /// How the search chooses trials
    #[arg(long, value_enum, default_value = "random")]
    sampler: Sampler,
    /// Trials in all
    #[arg(long, value_name = "N", default_value_t = 70)]
    trials: usize,
    /// Trials chosen together
    #[arg(long, value_name = "N", default_value_t = 3)]
    batch: usize,
    /// Probability of meeting the QoS that the recommendation must have
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    confidence: f64,
    /// Start no trial once the samples have cost this much
    #[arg(long, value_name = "C")]
    budget_cost: Option<f64>,
    /// Start no trial once the samples have taken this many seconds
    #[arg(long, value_name = "T")]
    budget_time: Option<f64>,
    /// Seed of every random choice
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Keep the study in this file, and continue it from there
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Program that measures a configuration
    #[arg(long, value_name = "CMD")]
    evaluator: Option<String>,
    /// Seconds after which a measurement counts as hanging
    #[arg(long, value_name = "T", default_value_t = 300.0)]
    evaluator_timeout: f64,
    /// Measurements of the starting configuration before the search (50 simulated, 5 by an evaluator)
    #[arg(long, value_name = "N")]
    profile: Option<usize>,
    /// Simulator: standard deviation of the log durations
    #[arg(long, value_name = "SIGMA", default_value_t = 0.05, conflicts_with = "evaluator")]
    noise: f64,
    /// Simulator: probability that a sample is slowed by a noisy neighbour
    #[arg(long, value_name = "P", default_value_t = 0.0, conflicts_with = "evaluator")]
    outliers: f64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sampler {
    Random,
}

/// Trials of the first ask, spread over the whole space.
const INITIAL: usize = 10;

pub(super) fn run(arguments: Arguments) -> Result<()> {
    arguments.check()?;
    let method = match arguments.sampler {
        Sampler::Random => Method::Random,
    };
    match &arguments.workflow {
        Some(path) => arguments.tune(method, &WorkflowFile::load(path)?),
        None => {
            Session::new(method, arguments.confidence, arguments.state.clone()).run(stdin().lock(), stdout())
        }
    }
}

impl Arguments {
    fn check(&self) -> Result<()> {
        let positive = [
            ("--budget-cost", self.budget_cost),
            ("--budget-time", self.budget_time),
            ("--evaluator-timeout", Some(self.evaluator_timeout)),
        ];
        for (option, value) in positive {
            if let Some(value) = value.filter(|value| !(*value > 0.0 && value.is_finite())) {
                return Err(Error::input(option, format!("is {value}"), "give a number above 0"));
            }
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            let what = format!("is {}", self.confidence);
            return Err(Error::input("--confidence", what, "give a probability between 0 and 1"));
        }
        if !(0.0..=2.0).contains(&self.noise) {
            return Err(Error::input("--noise", format!("is {}", self.noise), "give a number from 0 to 2"));
        }
        if !(0.0..=1.0).contains(&self.outliers) {
            return Err(Error::input("--outliers", format!("is {}", self.outliers), "give a probability"));
        }
        for (option, value) in [("--trials", self.trials), ("--batch", self.batch)] {
            if value == 0 {
                return Err(Error::input(option, "is 0", "give at least 1"));
            }
        }
        Ok(())
    }

    fn tune(&self, method: Method, file: &WorkflowFile) -> Result<()> {
        let at = self.workflow.as_deref().map_or(String::new(), |path| path.display().to_string());
        let scenario = Scenario { noise: self.noise, outliers: self.outliers };
        let simulator = match &self.evaluator {
            Some(_) => None,
            None => Some(file.simulator().ok_or_else(|| {
                let what = "the functions have no simulator parameters (serial_s, ...)";
                Error::input(&at, what, "add them, or name a program with --evaluator")
            })?),
        };
        let mut evaluator: Box<dyn Evaluator> = match (&self.evaluator, &simulator) {
            (None, Some(simulator)) => {
                Box::new(Simulated { simulator: simulator.clone(), scenario, seed: self.seed })
            }
            (command, _) => {
                let timeout = Duration::try_from_secs_f64(self.evaluator_timeout).unwrap_or(Duration::MAX);
                Box::new(Program::new(command.as_deref().unwrap_or_default(), timeout, file.workflow.clone()))
            }
        };
        let problem = Problem {
            levels: file.workflow.levels(),
            workflow: Some(file.workflow.clone()),
            qos_s: file.qos_s,
            confidence: self.confidence,
            start: file.start.clone(),
            profile: Vec::new(),
            initial: INITIAL.min(self.trials),
            batch: self.batch,
            trials: self.trials,
            seed: self.seed,
        };
        problem.check_capacity(&at)?;
        let state = self.state.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let store = match &self.state {
            None => None,
            Some(path) => {
                let (store, record) = Store::open(path)?;
                Some((store, record, state.as_str()))
            }
        };
        let measured_by = match &self.evaluator {
            None => format!("simulator, noise {}, outliers {}", self.noise, self.outliers),
            Some(_) => "evaluator".into(),
        };
        let run = Run {
            method,
            settings: vec![("workflow".into(), file.name.clone()), ("measured by".into(), measured_by)],
            profile: self.profile.unwrap_or(if self.evaluator.is_some() { 5 } else { 50 }),
            // The simulator's profile stands for the history of a workflow in use, which costs nothing more.
            charge_profile: self.evaluator.is_some(),
            budget: Budget { cost: self.budget_cost, time_s: self.budget_time },
            store,
            problem,
        };
        let mut progress = Progress::new(self.trials, file.qos_s);
        let finished = run.finish(evaluator.as_mut(), &mut progress)?;
        drop(progress);
        let summary = Summary { file, method: method.name(), run: &finished, simulator: simulator.as_ref() };
        if self.json {
            println!("{}", summary.json());
        } else {
            print!("{}", summary.table());
        }
        Ok(())
    }
}

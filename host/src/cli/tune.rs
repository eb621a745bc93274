//! `aquatope tune`: find the cheapest configuration of a workflow that meets its QoS.

use std::io::{stdin, stdout};
use std::path::PathBuf;
use std::time::Duration;

use aquatope_core::bo::acquisition::maximise::{MAX_RAW, MAX_RESTARTS};
use clap::{Args, ValueEnum};

use super::{number, print, whole};
use crate::error::{Error, Result, note};
use crate::files;
use crate::progress;
use crate::tune::compare::{self, Comparison};
use crate::tune::evaluator::{Evaluator, Program, Simulated, end_programs};
use crate::tune::method::Method;
use crate::tune::problem::{Anomalies, Effort, MAX_PATHS, Problem};
use crate::tune::progress::Progress;
use crate::tune::protocol::Session;
use crate::tune::report;
use crate::tune::run::{Budget, Run};
use crate::tune::shipped;
use crate::tune::simulator::Scenario;
use crate::tune::store::Store;
use crate::tune::summary::Summary;
use crate::tune::workflow_file::WorkflowFile;

/// Find the cheapest CPU, memory and concurrency of every function that meet a workflow's latency target.
#[derive(Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Measuring with a program of your own: --evaluator 'python measure.py' is started once, gets one JSON line a trial,
  {\"id\":3,\"functions\":[{\"name\":\"extract\",\"cpu\":1.2,\"memory_mb\":768,\"concurrency\":1}, ...]}
and answers one line, {\"cost\":0.8,\"latency\":3.9,\"durations\":[1.1,1.7,0.9]} (durations are optional, and make the
search much faster) or {\"error\":\"text\"}. Without it the workflow file's simulator is measured.

Being driven: --ask-tell answers every line with one line.
  {\"cmd\":\"init\",\"protocol\":1,\"d\":2,\"levels\":[40,31],\"qos\":2.0,\"n_init\":6,\"q\":2,\"budget\":16,\"seed\":0}
  {\"cmd\":\"ask\"}        gives ids and points x of the unit cube, one coordinate an axis: level / (levels - 1)
  {\"cmd\":\"tell\",\"obs\":[{\"id\":0,\"x\":[0.2,0.5],\"cost\":0.8,\"latency\":1.9}, ...]}
  {\"cmd\":\"recommend\"}  and {\"cmd\":\"fail\",\"id\":0}, {\"cmd\":\"quit\"}
With \"workflow\" (functions, edges, prices and space of a workflow file) in init, and durations in tell, it searches with
the structured model, which needs far fewer trials."
)]
pub(super) struct Arguments {
    /// Workflow file of schema aquatope-workflow/1, or single1, chain3, ml4, api4, fan5, video5, social10; --compare
    /// takes several, by default these seven
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present_any = ["ask_tell", "compare"])]
    workflow: Vec<PathBuf>,
    /// Be driven from outside, by lines of JSON on stdin and stdout
    #[arg(long, conflicts_with_all = ["workflow", "evaluator", "evaluator_timeout", "report", "json",
        "budget_cost", "budget_time", "trials", "batch", "seed", "profile", "noise", "outliers"])]
    ask_tell: bool,
    /// Compare all methods on simulated workflows: by trials, functions, noise, outliers, after a change
    #[arg(long, conflicts_with_all = ["ask_tell", "evaluator", "evaluator_timeout", "state", "budget_cost",
        "budget_time", "sampler", "model", "mc_samples", "restarts", "raw_samples", "batch", "confidence", "seed", "anomalies",
        "profile", "noise", "outliers"])]
    compare: bool,
    /// Runs of every method in every setting of --compare
    #[arg(long, value_name = "N", default_value_t = 5, requires = "compare", value_parser = whole::<u64>)]
    seeds: u64,
    /// What the search knows of the workflow (structured, unless --sampler is given)
    #[arg(long, value_enum)]
    model: Option<Model>,
    /// How a black box is searched (qlognei, unless given)
    #[arg(long, value_enum)]
    sampler: Option<Sampler>,
    #[arg(long, value_name = "S", value_parser = whole::<u16>, help = effort("Monte-Carlo paths of the acquisition function", |of| of.mc_samples))]
    mc_samples: Option<u16>,
    #[arg(long, value_name = "R", value_parser = whole::<u16>, help = effort("Starts of the search for a batch", |of| of.restarts))]
    restarts: Option<u16>,
    #[arg(long, value_name = "K", value_parser = whole::<u16>, help = effort("Raw samples from which the starts are chosen", |of| of.raw_samples))]
    raw_samples: Option<u16>,
    /// Black box: which trials are left out as anomalous [default: those above a 99 % interval]
    #[arg(long, value_enum, value_name = "TEST")]
    anomalies: Option<AnomalyTest>,
    /// Trials in all
    #[arg(long, value_name = "N", default_value_t = 70, value_parser = whole::<usize>)]
    trials: usize,
    /// Trials chosen together
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole::<usize>)]
    batch: usize,
    /// Probability of meeting the QoS that the recommendation must have
    #[arg(long, value_name = "P", default_value_t = 0.95, value_parser = number)]
    confidence: f64,
    /// Start no trial once the samples have cost this much
    #[arg(long, value_name = "C", value_parser = number)]
    budget_cost: Option<f64>,
    /// Start no trial once the samples have taken this many seconds
    #[arg(long, value_name = "T", value_parser = number)]
    budget_time: Option<f64>,
    /// Seed of every random choice
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = whole::<u64>)]
    seed: u64,
    /// Keep the study in this file, and continue it from there
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Program that measures a configuration
    #[arg(long, value_name = "CMD")]
    evaluator: Option<String>,
    /// Seconds after which a measurement counts as hanging
    #[arg(long, value_name = "T", default_value_t = 300.0, value_parser = number)]
    evaluator_timeout: f64,
    /// Measurements of the starting configuration before the search (50 simulated, 5 by an evaluator)
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    profile: Option<usize>,
    /// Simulator: standard deviation of the log durations
    #[arg(long, value_name = "SIGMA", default_value_t = 0.05, conflicts_with = "evaluator", value_parser = number)]
    noise: f64,
    /// Simulator: probability that a sample is slowed by a noisy neighbour
    #[arg(long, value_name = "P", default_value_t = 0.0, conflicts_with = "evaluator", value_parser = number)]
    outliers: f64,
    /// Write an HTML report, and the result as JSON, into this folder; of --compare also an SVG file a figure
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Model {
    /// A model a function, joined through the graph
    Structured,
    /// End-to-end cost and latency as two black boxes: the paper
    Blackbox,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sampler {
    /// Constrained noisy expected improvement in logarithms
    Qlognei,
    /// Constrained noisy expected improvement: the paper
    Qnei,
    /// One model of CLITE's score, one trial at a time
    Clite,
    /// Uniformly drawn configurations
    Random,
    /// All resources up or down by a step
    Autoscaling,
}

#[derive(Clone, Copy, ValueEnum)]
enum AnomalyTest {
    /// Above the 99 % interval that the other trials predict
    Default,
    /// Outside of the central 95 % interval: the paper
    Paper,
    /// Report them, but leave none out
    Off,
}

/// What shells report of a process that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Trials of the first ask, spread over the whole space.
const INITIAL: usize = 10;

/// Models build their scratch memory, some megabytes, by value before it is boxed.
const STACK: usize = 64 << 20;

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(move || arguments.run());
    let worker = worker.map_err(|error| Error::Failed(format!("no thread for the search: {error}")))?;
    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Help of an option of the acquisition function.
fn effort(text: &str, usual: impl FnOnce(Effort) -> u16) -> String {
    format!("{text} ({}, unless given)", usual(Effort::default()))
}

impl Arguments {
    fn run(&self) -> Result<()> {
        self.check()?;
        if let Some(folder) = &self.report {
            files::prepare_folder(folder)?;
        }
        if self.compare {
            return self.compare();
        }
        let method = self.method()?;
        self.check_model(method)?;
        match self.workflow.as_slice() {
            [] => Session::new(method, self.confidence, self.effort(), self.anomalies(), self.state.clone())
                .run(stdin().lock(), stdout()),
            [path] => self.tune(method, &path.display().to_string(), &shipped::load(path)?),
            _ => Err(Error::input("--workflow", "names several files", "name one, or add --compare")),
        }
    }

    fn method(&self) -> Result<Method> {
        Ok(match (self.model, self.sampler) {
            (None | Some(Model::Structured), None) => Method::Structured,
            (Some(Model::Structured), Some(_)) => {
                let what = "the structured model chooses its trials itself";
                return Err(Error::input("--sampler", what, "leave it out, or take --model blackbox"));
            }
            (Some(Model::Blackbox), None) | (_, Some(Sampler::Qlognei)) => Method::Qlognei,
            (_, Some(Sampler::Qnei)) => Method::Qnei,
            (_, Some(Sampler::Clite)) => Method::Clite,
            (_, Some(Sampler::Random)) => Method::Random,
            (_, Some(Sampler::Autoscaling)) => Method::Autoscaling,
        })
    }

    fn effort(&self) -> Effort {
        let Effort { mc_samples, restarts, raw_samples } = Effort::default();
        Effort {
            mc_samples: self.mc_samples.unwrap_or(mc_samples),
            restarts: self.restarts.unwrap_or(restarts),
            raw_samples: self.raw_samples.unwrap_or(raw_samples),
        }
    }

    fn anomalies(&self) -> Anomalies {
        match self.anomalies {
            None => Anomalies::default(),
            Some(AnomalyTest::Default) => Anomalies::Default,
            Some(AnomalyTest::Paper) => Anomalies::Paper,
            Some(AnomalyTest::Off) => Anomalies::Off,
        }
    }

    /// Options of methods with models. Those of the acquisition function are for the structured one too, which falls back
    /// on a black box, and is one when `--ask-tell` gives it no workflow.
    fn check_model(&self, method: Method) -> Result<()> {
        let black_box = matches!(method, Method::Qlognei | Method::Qnei);
        let structured = method == Method::Structured;
        let options = [
            ("--mc-samples", self.mc_samples.is_some(), structured),
            ("--restarts", self.restarts.is_some(), structured),
            ("--raw-samples", self.raw_samples.is_some(), structured),
            ("--anomalies", self.anomalies.is_some(), structured && self.workflow.is_empty()),
        ];
        match options.into_iter().find(|&(_, given, allowed)| given && !allowed && !black_box) {
            Some((option, ..)) => {
                let what = format!("the {} method is no black box", method.name());
                Err(Error::input(option, what, "leave it out, or take --model blackbox"))
            }
            None => Ok(()),
        }
    }

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
        let limits = [
            ("--mc-samples", self.mc_samples, MAX_PATHS),
            ("--restarts", self.restarts, MAX_RESTARTS),
            ("--raw-samples", self.raw_samples, MAX_RAW),
        ];
        for (option, value, most) in limits {
            if let Some(value) = value.filter(|&value| !(1..=most).contains(&usize::from(value))) {
                return Err(Error::input(
                    option,
                    format!("is {value}"),
                    format!("give a number from 1 to {most}"),
                ));
            }
        }
        for (option, value) in
            [("--trials", self.trials), ("--batch", self.batch), ("--seeds", self.seeds as usize)]
        {
            if value == 0 {
                return Err(Error::input(option, "is 0", "give at least 1"));
            }
        }
        Ok(())
    }

    fn compare(&self) -> Result<()> {
        let names: Vec<PathBuf> = match self.workflow.as_slice() {
            [] => shipped::SHIPPED.map(|(name, _)| PathBuf::from(name)).to_vec(),
            named => named.to_vec(),
        };
        let comparison = Comparison {
            files: names.iter().map(|name| shipped::load(name)).collect::<Result<_>>()?,
            methods: Method::ALL.to_vec(),
            seeds: self.seeds,
            trials: self.trials,
        };
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let bar = progress::Progress::visible().bar(0, "comparing".into(), "runs");
        let figures = comparison.run(threads, &|done, total| bar.at(done, total))?;
        drop(bar);
        let json = compare::to_json(&figures);
        if let Some(folder) = &self.report {
            files::write(&folder.join("comparison.json"), json.to_string().as_bytes())?;
            let html = report::comparison(&figures, self.seeds);
            files::write(&folder.join("comparison.html"), html.as_bytes())?;
            for figure in &figures {
                let svg = report::comparison_chart(figure).svg();
                files::write(&folder.join(format!("{}.svg", figure.name)), svg.as_bytes())?;
            }
        }
        print(&if self.json { format!("{json}\n") } else { compare::tables(&figures) })
    }

    /// The study on disk is whole at any instant, so that there is nothing to do but to end the program that measures.
    fn end_evaluator_on_interrupt(&self) -> Result<()> {
        let kept = self.state.as_ref().map_or_else(
            || "nothing is kept: name a file with --state next time".to_string(),
            |path| format!("the study is kept in {}: the same command continues it", path.display()),
        );
        let handler = move || {
            end_programs();
            note(format_args!("aquatope: interrupted; {kept}"));
            std::process::exit(INTERRUPTED);
        };
        ctrlc::set_handler(handler).map_err(|e| Error::Failed(format!("cannot listen for Ctrl-C: {e}")))
    }

    fn tune(&self, method: Method, at: &str, file: &WorkflowFile) -> Result<()> {
        if self.evaluator.is_some() {
            self.end_evaluator_on_interrupt()?;
        }
        let scenario = Scenario { noise: self.noise, outliers: self.outliers };
        let simulator = match &self.evaluator {
            Some(_) => None,
            None => Some(file.simulator().ok_or_else(|| {
                let what = "the functions have no simulator parameters (serial_s, ...)";
                Error::input(at, what, "add them, or name a program with --evaluator")
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
            effort: self.effort(),
            anomalies: self.anomalies(),
        };
        problem.check_capacity(at)?;
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
        if let Some(folder) = &self.report {
            files::write(&folder.join("tune.json"), summary.json().to_string().as_bytes())?;
            files::write(&folder.join("tune.html"), report::run(&summary).as_bytes())?;
        }
        print(&if self.json { format!("{}\n", summary.json()) } else { summary.table() })
    }
}

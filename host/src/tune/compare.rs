//! Methods against each other on simulated workflows: the questions of the paper's Figs. 12 to 16.
//!
//! Every run is scored without noise by its *effective regret*: cost of the recommendation over the oracle's, minus
//! 1; a recommendation that misses the QoS counts as falling back to the starting configuration. Runs of one seed
//! see the same noise, whatever the method asks for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::table::aligned;

use super::evaluator::{Evaluator, Failure, Sample, Simulated};
use super::method::Method;
use super::oracle;
use super::problem::{Anomalies, Effort, Problem};
use super::simulator::{Scenario, Simulator};
use super::store::Record;
use super::study::Study;
use super::workflow_file::WorkflowFile;

/// One way to run a workflow: what a figure varies.
#[derive(Clone, Debug)]
pub struct Case {
    name: String,
    problem: Problem,
    scenario: Scenario,
    /// What is measured, and its oracle's cost; a second one takes over after [`CHANGE_AFTER`] trials.
    phases: Vec<(Simulator, f64)>,
}

/// Trials before the behaviour changes, in the figure on change.
pub const CHANGE_AFTER: usize = 40;
/// Trials after the change.
const TRIALS_AFTER: usize = 30;
/// How much longer one function computes after the change.
const SLOWER: f64 = 1.6;
/// The noise of every figure that does not vary it: 20 % and one outlier in ten.
const SCENARIO: Scenario = Scenario { noise: 0.2, outliers: 0.1 };
/// Measurements of the starting configuration every method is given.
const PROFILE: usize = 50;

/// A question: methods along one varied quantity.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Short name, for files and JSON.
    pub name: &'static str,
    /// What is shown.
    pub title: String,
    /// What the horizontal axis counts.
    pub axis: &'static str,
    /// One row a method and position.
    pub points: Vec<Point>,
}

/// All runs of one method at one position of a figure.
#[derive(Clone, Debug)]
pub struct Point {
    /// The method.
    pub method: Method,
    /// Position on the axis.
    pub x: f64,
    /// Name of the position where it is no number: the workflow.
    pub label: Option<String>,
    /// Effective regret of every seed, ascending.
    pub regrets: Vec<f64>,
    /// Share of the recommendations that miss the QoS.
    pub violations: f64,
}

impl Figure {
    /// The names of its positions, in order; none where positions are numbers.
    pub fn labels(&self) -> Vec<String> {
        let mut labels: Vec<String> = Vec::new();
        for label in self.points.iter().filter_map(|point| point.label.as_ref()) {
            if !labels.contains(label) {
                labels.push(label.clone());
            }
        }
        labels
    }
}

impl Point {
    /// The `level` quantile of the regrets, interpolated.
    pub fn quantile(&self, level: f64) -> f64 {
        let at = level * (self.regrets.len() - 1) as f64;
        let (below, above) = (self.regrets[at.floor() as usize], self.regrets[at.ceil() as usize]);
        below + (at - at.floor()) * (above - below)
    }
}

/// What to compare.
pub struct Comparison {
    /// The workflows, all simulated; the first with four or five functions, else the last, carries the figures that
    /// are about one workflow.
    pub files: Vec<WorkflowFile>,
    /// The methods.
    pub methods: Vec<Method>,
    /// Runs of every cell.
    pub seeds: u64,
    /// Trials of a run.
    pub trials: usize,
}

/// The recommendation after some trials, scored.
#[derive(Clone, Copy, Debug)]
struct Score {
    trials: usize,
    regret: f64,
    violates: bool,
}

impl Comparison {
    /// Run everything on `threads` threads; `progress` hears (runs done, runs in all).
    pub fn run(&self, threads: usize, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Vec<Figure>> {
        let plan = self.plan()?;
        let jobs: Vec<(&Case, Method, u64)> = plan
            .cases
            .iter()
            .flat_map(|case| self.methods.iter().map(move |&method| (case, method)))
            .flat_map(|(case, method)| (0..self.seeds).map(move |seed| (case, method, seed)))
            .collect();
        let results: Vec<Mutex<Option<Result<Vec<Score>>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            while let Some((&(case, method, seed), result)) = {
                let job = next.fetch_add(1, Ordering::Relaxed);
                jobs.get(job).zip(results.get(job))
            } {
                *result.lock().expect("no thread panics holding it") = Some(case.run(method, seed));
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                // Models build their scratch memory, some megabytes, by value before it is boxed.
                let started = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
                if let Err(error) = started {
                    return Err(Error::Failed(format!("no thread for the comparison: {error}")));
                }
            }
            Ok(())
        })?;
        let mut scores = Vec::with_capacity(jobs.len());
        for result in results {
            let result = result.into_inner().expect("no thread panics holding it");
            scores.push(result.expect("every job was taken")?);
        }
        let runs = Runs { jobs: &jobs, scores: &scores };
        Ok(plan.figures.iter().map(|(outline, cells)| self.figure(outline, cells, &runs)).collect())
    }

    fn figure(&self, outline: &Outline, cells: &[Cell], runs: &Runs) -> Figure {
        let mut points = Vec::new();
        for &method in &self.methods {
            for cell in cells {
                for (x, scores) in runs.of(&cell.case, method, outline.along_trials) {
                    let mut regrets: Vec<f64> = scores.iter().map(|score| score.regret).collect();
                    regrets.sort_by(f64::total_cmp);
                    let missed = scores.iter().filter(|score| score.violates).count();
                    let violations = missed as f64 / scores.len() as f64;
                    let x = cell.x.unwrap_or(x as f64);
                    points.push(Point { method, x, label: cell.label.clone(), regrets, violations });
                }
            }
        }
        Figure { name: outline.name, title: outline.title.clone(), axis: outline.axis, points }
    }

    fn plan(&self) -> Result<Plan> {
        let mut plan = Plan::default();
        let fits = |file: &&WorkflowFile| (4..=oracle::MAX_EXACT).contains(&file.workflow.functions.len());
        let main = self.files.iter().find(fits).or_else(|| self.files.last());
        let main =
            main.ok_or_else(|| Error::input("--workflow", "names no workflow", "name at least one"))?;
        let base = self.case(main, SCENARIO)?;

        let cell = |case: &Case, x| Cell { case: case.name.clone(), x: Some(x), label: None };
        let title = |what: &str| format!("{}: {what}", main.name);
        let along = |name, title, axis| Outline { name, title, axis, along_trials: true };
        let at_the_end = |name, title, axis| Outline { name, title, axis, along_trials: false };

        let convergence = along("convergence", title("regret by number of trials"), "trials");
        plan.add(convergence, vec![(base.clone(), Cell { x: None, ..cell(&base, 0.0) })]);

        let mut stages = Vec::new();
        for file in &self.files {
            let case = self.case(file, SCENARIO)?;
            let x = file.workflow.functions.len() as f64;
            stages.push((case.clone(), Cell { label: Some(file.name.clone()), ..cell(&case, x) }));
        }
        plan.add(at_the_end("stages", "regret by workflow".into(), "functions"), stages);

        let mut noises = Vec::new();
        for noise in [0.0, 0.05, 0.1, 0.2, 0.4] {
            let case = self.case(main, Scenario { noise, outliers: 0.0 })?;
            noises.push((case.clone(), cell(&case, noise)));
        }
        plan.add(
            at_the_end(
                "noise",
                title("regret by noise level, no outliers"),
                "standard deviation of ln duration",
            ),
            noises,
        );

        let mut outliers = Vec::new();
        for probability in [0.0, 0.05, 0.1, 0.25] {
            let case = self.case(main, Scenario { outliers: probability, ..SCENARIO })?;
            outliers.push((case.clone(), cell(&case, probability)));
        }
        plan.add(
            at_the_end(
                "outliers",
                title("regret by share of outliers, noise 0.2"),
                "probability of an outlier",
            ),
            outliers,
        );

        if let Some(changed) = self.changed(main, &base) {
            let what = title("regret while a function slows down");
            plan.add(
                along("change", what, "trials, the change comes after 40"),
                vec![(changed.clone(), Cell { x: None, ..cell(&changed, 0.0) })],
            );
        }
        Ok(plan)
    }

    fn case(&self, file: &WorkflowFile, scenario: Scenario) -> Result<Case> {
        let simulator = file.simulator().ok_or_else(|| {
            Error::input(&file.name, "has no simulator parameters", "compare workflows that can be simulated")
        })?;
        let oracle =
            file.oracle.clone().or_else(|| oracle::solve(&simulator, file.qos_s)).ok_or_else(|| {
                Error::input(
                    &file.name,
                    "has no oracle and too many functions to find it",
                    "add the oracle to the file",
                )
            })?;
        let problem = Problem {
            levels: file.workflow.levels(),
            workflow: Some(file.workflow.clone()),
            qos_s: file.qos_s,
            confidence: CONFIDENCE,
            start: file.start.clone(),
            profile: Vec::new(),
            initial: INITIAL.min(self.trials),
            batch: BATCH,
            trials: self.trials,
            seed: 0,
            effort: Effort::default(),
            anomalies: Anomalies::default(),
        };
        problem.check_capacity(&file.name)?;
        let name = format!("{} noise {} outliers {}", file.name, scenario.noise, scenario.outliers);
        Ok(Case { name, problem, scenario, phases: vec![(simulator, oracle.cost)] })
    }

    /// The same case with the most parallel function slower from trial 40 on; `None` without an exact optimum then.
    fn changed(&self, file: &WorkflowFile, base: &Case) -> Option<Case> {
        let mut simulator = base.phases[0].0.clone();
        let slower = simulator.performance.iter_mut().max_by(|a, b| a.parallel_s.total_cmp(&b.parallel_s))?;
        slower.parallel_s *= SLOWER;
        slower.serial_s *= SLOWER;
        let optimum = oracle::solve(&simulator, file.qos_s)?;
        let mut changed = base.clone();
        changed.name += " with a change";
        changed.problem.trials = CHANGE_AFTER + TRIALS_AFTER;
        changed.phases.push((simulator, optimum.cost));
        Some(changed)
    }
}

/// Probability of meeting the QoS asked of the recommendations, and the first ask and later asks of every method.
const CONFIDENCE: f64 = 0.95;
const INITIAL: usize = 10;
const BATCH: usize = 3;
/// Stack of a worker.
const STACK: usize = 64 << 20;

impl Case {
    /// The recommendations along one run.
    fn run(&self, method: Method, seed: u64) -> Result<Vec<Score>> {
        let mut problem = Problem { seed, ..self.problem.clone() };
        let (simulator, _) = &self.phases[0];
        let mut evaluator = Simulated { simulator: simulator.clone(), scenario: self.scenario, seed };
        let failed = |failure: Failure| Error::Failed(format!("the simulator failed: {failure:?}"));
        for i in 0..PROFILE {
            problem.profile.push(evaluator.measure(Sample::Profile(i), &problem.start).map_err(failed)?);
        }
        let mut study = Study::new(Record::default(), method.sampler(&problem)?, None, seed)?;
        let mut scores = Vec::new();
        while study.trials().len() < problem.trials {
            let asked = study.trials().len();
            if asked >= CHANGE_AFTER
                && let Some((changed, _)) = self.phases.get(1)
            {
                evaluator.simulator = changed.clone();
            }
            let wanted = if asked == 0 { problem.initial } else { problem.batch };
            for id in study.ask(wanted.min(problem.trials - asked))? {
                let outcome = evaluator.measure(Sample::Trial(id), study.point(id)).map_err(failed)?;
                study.tell(vec![(id, outcome)])?;
            }
            scores.push(self.score(&problem, &mut study)?);
        }
        Ok(scores)
    }

    fn score(&self, problem: &Problem, study: &mut Study) -> Result<Score> {
        let trials = study.trials().len();
        let phase = usize::from(self.phases.len() > 1 && trials > CHANGE_AFTER);
        let (simulator, oracle) = &self.phases[phase];
        let (cost, latency) = simulator.truth(&study.recommend()?.point);
        let violates = latency > problem.qos_s;
        let paid = if violates { simulator.truth(&problem.start).0 } else { cost };
        Ok(Score { trials, regret: paid / oracle - 1.0, violates })
    }
}

/// The figures and the cases they need, each once.
#[derive(Default)]
struct Plan {
    cases: Vec<Case>,
    figures: Vec<(Outline, Vec<Cell>)>,
}

impl Plan {
    fn add(&mut self, outline: Outline, cells: Vec<(Case, Cell)>) {
        let (cases, cells): (Vec<Case>, Vec<Cell>) = cells.into_iter().unzip();
        for case in cases {
            if !self.cases.iter().any(|known| known.name == case.name) {
                self.cases.push(case);
            }
        }
        self.figures.push((outline, cells));
    }
}

struct Outline {
    name: &'static str,
    title: String,
    axis: &'static str,
    /// Whether every recommendation of a run is shown, or only the last.
    along_trials: bool,
}

/// One position of a figure, or with `along_trials` a whole line.
struct Cell {
    case: String,
    x: Option<f64>,
    label: Option<String>,
}

struct Runs<'a> {
    jobs: &'a [(&'a Case, Method, u64)],
    scores: &'a [Vec<Score>],
}

impl Runs<'_> {
    /// The scores of all seeds by number of trials; only the last ones unless `along_trials`. Methods that ask in other
    /// steps are read off at the steps of the others.
    fn of(&self, case: &str, method: Method, along_trials: bool) -> Vec<(usize, Vec<Score>)> {
        let runs: Vec<&Vec<Score>> = self
            .jobs
            .iter()
            .zip(self.scores)
            .filter(|((known, of, _), _)| known.name == case && *of == method)
            .map(|(_, scores)| scores)
            .collect();
        let last = runs.first().and_then(|scores| scores.last()).map_or(0, |score| score.trials);
        let mut steps = vec![last];
        if along_trials {
            steps = (INITIAL..last).step_by(BATCH).chain(steps).collect();
        }
        let at = |scores: &Vec<Score>, step| scores.iter().rev().find(|score| score.trials <= step).copied();
        steps
            .into_iter()
            .map(|step| (step, runs.iter().filter_map(|scores| at(scores, step)).collect()))
            .collect()
    }
}

/// The figures as JSON.
pub fn to_json(figures: &[Figure]) -> Value {
    let point = |point: &Point| {
        json!({
            "method": point.method.name(),
            "x": point.x,
            "label": point.label,
            "median": point.quantile(0.5),
            "q1": point.quantile(0.25),
            "q3": point.quantile(0.75),
            "violations": point.violations,
            "runs": point.regrets.len(),
        })
    };
    let figure = |figure: &Figure| {
        let points: Vec<Value> = figure.points.iter().map(point).collect();
        json!({ "name": figure.name, "title": figure.title, "axis": figure.axis, "points": points })
    };
    json!({
        "score": "effective regret: noise-free cost over the oracle's minus 1; a recommendation that misses the QoS \
                  counts as the starting configuration",
        "figures": figures.iter().map(figure).collect::<Vec<_>>(),
    })
}

/// The header and the rows of a figure as a table: one row a method, one column a position.
pub fn table(figure: &Figure) -> (Vec<String>, Vec<Vec<String>>) {
    let mut columns: Vec<(f64, Option<&String>)> = Vec::new();
    for point in &figure.points {
        let column = (point.x, point.label.as_ref());
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    // Of a long line every fourth step, and the last.
    if columns.len() > 8 {
        let last = columns.len() - 1;
        columns = columns
            .into_iter()
            .enumerate()
            .filter(|(i, _)| (last - i).is_multiple_of(4))
            .map(|(_, c)| c)
            .collect();
    }
    let mut methods: Vec<Method> = Vec::new();
    for point in &figure.points {
        if !methods.contains(&point.method) {
            methods.push(point.method);
        }
    }
    let head = |(x, label): &(f64, Option<&String>)| label.map_or_else(|| x.to_string(), String::clone);
    let header = std::iter::once(figure.axis.to_string()).chain(columns.iter().map(head)).collect();
    let cell = |method: Method, column: &(f64, Option<&String>)| {
        let here = |point: &&Point| point.method == method && (point.x, point.label.as_ref()) == *column;
        figure.points.iter().find(here).map_or_else(String::new, |point| {
            let missed = if point.violations > 0.0 {
                format!(" !{:.0}%", 100.0 * point.violations)
            } else {
                String::new()
            };
            let (median, q1, q3) = (point.quantile(0.5), point.quantile(0.25), point.quantile(0.75));
            format!("{median:.2} [{q1:.2}-{q3:.2}]{missed}")
        })
    };
    let row = |&method: &Method| {
        std::iter::once(method.name().to_string())
            .chain(columns.iter().map(|column| cell(method, column)))
            .collect()
    };
    (header, methods.iter().map(row).collect())
}

/// All figures as tables for people.
pub fn tables(figures: &[Figure]) -> String {
    let mut text = String::from(
        "Effective regret, median [quartiles]: cost above the optimum's; !n% of the recommendations miss the QoS.\n",
    );
    for figure in figures {
        let (header, rows) = table(figure);
        text += &format!("\n{}\n", figure.title);
        text += &aligned(&header, &rows);
    }
    text
}

//! Whole studies on simulated workflows, trial by trial, as `fixtures/golden/study.json` has them. The tests of the
//! WebAssembly package hold its answers against the same file, so that both agree bit for bit.
//!
//! After a change of what studies propose: `UPDATE=1 cargo test -p aquatope-workflow --test golden_study`.

use std::error::Error;
use std::path::Path;
use std::sync::Mutex;
use std::{env, fs};

use aquatope_core::bo::acquisition::Improvement;
use aquatope_core::bo::model::{Model, Objective};
use aquatope_core::bo::study::{Study, StudyConfig};
use aquatope_core::math::float;
use aquatope_core::structured::StructuredScratch;
use aquatope_workflow::models::{
    self, BlackBoxScratch, Effort, MAX_AXES, MAX_FUNCTIONS, MAX_TRIALS, StructuredMemory,
};
use aquatope_workflow::simulator::Scenario;
use aquatope_workflow::space::Point;
use aquatope_workflow::workflow_file::WorkflowFile;
use serde_json::{Value, json};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");

/// Workflow, model, seed, trials: enough that every model proposes, from an ill-fitted one on.
const STUDIES: [(&str, &str, u64, usize); 4] = [
    ("chain3", "structured", 1, 28),
    ("api4", "structured", 2, 28),
    ("ml4", "blackbox", 1, 22),
    ("social10", "structured", 3, 22),
];

/// Several megabytes: too much for the stack of a test.
static MEMORY: Mutex<StructuredMemory> = Mutex::new(StructuredScratch::new(BlackBoxScratch::new()));

#[test]
fn studies_are_those_of_the_file() -> Result<(), Box<dyn Error>> {
    let studies = STUDIES.map(|(workflow, model, seed, trials)| run(workflow, model, seed, trials));
    let found = Value::Array(studies.into_iter().collect::<Result<_, _>>()?);
    let path = Path::new(FIXTURES).join("golden/study.json");
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{found:#}\n"))?;
    }
    let expected: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    assert_eq!(found, expected);
    Ok(())
}

fn run(name: &str, model: &str, seed: u64, trials: usize) -> Result<Value, Box<dyn Error>> {
    let text = fs::read_to_string(format!("{FIXTURES}/workflows/{name}.json"))?;
    let file = WorkflowFile::parse(name, &text)?;
    let (space, effort) = (models::space(&file.workflow)?, Effort::default());
    let mut scratch = MEMORY.lock().map_err(|error| error.to_string())?;
    let answers = if model == "structured" {
        let model = models::structured(&file.workflow, &space, effort)?;
        drive(&file, model, &mut scratch, seed, trials)?
    } else {
        let model = models::black_box(effort, Improvement::LogNei);
        drive(&file, model, &mut scratch.fallback, seed, trials)?
    };
    let mut of = json!({ "workflow": name, "model": model, "seed": seed, "trials": trials });
    (of["asked"], of["recommended"]) = answers;
    Ok(of)
}

/// Ten trials at first, then three at a time, each measured by the simulator.
fn drive<M: Model<MAX_AXES, MAX_FUNCTIONS>>(
    file: &WorkflowFile,
    model: M,
    scratch: &mut M::Scratch,
    seed: u64,
    trials: usize,
) -> Result<(Value, Value), Box<dyn Error>> {
    let simulator = file.simulator().ok_or("a workflow that can be simulated")?;
    let scenario = Scenario { noise: 0.1, outliers: 0.1 };
    let objective = Objective { latency_limit: file.qos_s, confidence: 0.95 };
    let config = StudyConfig { objective, initial: 10, seed };
    let space = models::space(&file.workflow)?;
    let mut study = Study::<M, MAX_AXES, MAX_TRIALS, MAX_FUNCTIONS>::new(space, config, model)?;
    let mut asked = Vec::new();
    let mut asks = 0;
    while asked.len() < trials {
        let count = if asked.is_empty() { 10 } else { 3 };
        let batch = study.ask(count, &mut models::stream(seed, asks), scratch)?;
        asks += 1;
        for id in batch {
            let trial = study.trial(id).ok_or("a trial that was asked")?;
            let point = Point(trial.point.indices().to_vec());
            let outcome = simulator.sample(&point, scenario, seed, u64::from(id.0));
            asked.push(json!({ "levels": point.0, "cost": outcome.cost, "latency": outcome.latency_s }));
            study.tell(id, outcome.checked()?)?;
        }
    }
    let best = study.recommendation(scratch)?;
    let recommended = json!({
        "levels": best.point.indices(),
        "cost": float::exp(best.ln_cost.mean),
        "latency": float::exp(best.ln_latency.mean),
        "feasible": best.feasible,
    });
    Ok((Value::Array(asked), recommended))
}

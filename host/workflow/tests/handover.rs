//! The shipped workflows without a measured baseline: the simulator's functions do not depend on each other, so a study
//! that gives up the structured model is a false alarm. Made to depend on each other, they must be given up.

use aquatope_core::bo::model::Objective;
use aquatope_core::bo::study::{Study, StudyConfig};
use aquatope_core::structured::{Status, StructuredScratch};
use aquatope_workflow::models::{
    self, BlackBoxScratch, Effort, MAX_AXES, MAX_FUNCTIONS, MAX_TRIALS, Structured, StructuredMemory,
};
use aquatope_workflow::simulator::Scenario;
use aquatope_workflow::space::Point;
use aquatope_workflow::workflow_file::WorkflowFile;
use std::error::Error;
use std::fs;
use std::sync::Mutex;

const DESIGN: usize = 10;

/// Several megabytes: too much for the stack of a test.
static MEMORY: Mutex<StructuredMemory> = Mutex::new(StructuredScratch::new(BlackBoxScratch::new()));

#[test]
fn independent_functions_are_not_given_up() -> Result<(), Box<dyn Error>> {
    for name in ["ml4", "social10", "chain3", "api4"] {
        for seed in 0..10 {
            let found = given_up(name, 0.0, seed)?;
            assert_eq!(found, None, "{name}, seed {seed}");
        }
    }
    Ok(())
}

#[test]
fn a_function_that_follows_the_resources_of_another_one_is_given_up() -> Result<(), Box<dyn Error>> {
    for seed in 0..10 {
        let found = given_up("api4", 0.5, seed)?;
        let right = matches!(found, Some((_, Status::Dependent { stage: 1, on: 0, .. })));
        assert!(right, "seed {seed}: {found:?}");
    }
    Ok(())
}

/// The trials, of at least 42 in batches of three, after which a study gave up the structure, and why. The durations of the second function
/// follow the CPU of the first one to the power of `-exponent`.
fn given_up(name: &str, exponent: f64, seed: u64) -> Result<Option<(usize, Status)>, Box<dyn Error>> {
    let path = format!("{}/../../fixtures/workflows/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let file = WorkflowFile::parse(name, &fs::read_to_string(path)?)?;
    let simulator = file.simulator().ok_or("a workflow that can be simulated")?;
    let scenario = Scenario { noise: 0.1, outliers: 0.1 };
    let mut scratch = MEMORY.lock().map_err(|error| error.to_string())?;
    let space = models::space(&file.workflow)?;
    let model = models::structured(&file.workflow, &space, Effort::default())?;
    let objective = Objective { latency_limit: file.qos_s, confidence: 0.95 };
    let config = StudyConfig { objective, initial: DESIGN as u16, seed };
    let mut study = Study::<Structured, MAX_AXES, MAX_TRIALS, MAX_FUNCTIONS>::new(space, config, model)?;
    let mut asks = 0;
    while study.trials().len() < 42 {
        let count = if asks == 0 { DESIGN } else { 3 };
        for id in study.ask(count, &mut models::stream(seed, asks), &mut scratch)? {
            let trial = study.trial(id).ok_or("a trial that was asked")?;
            let point = Point(trial.point.indices().to_vec());
            let mut outcome = simulator.sample(&point, scenario, seed, u64::from(id.0));
            if exponent > 0.0 {
                outcome.durations[1] *= file.workflow.configuration(&point, 0).cpu.powf(-exponent);
                (outcome.cost, outcome.latency_s) = file.workflow.compose(&point, &outcome.durations);
            }
            study.tell(id, outcome.checked()?)?;
        }
        asks += 1;
        let status = study.model().status(&study.evidence(), &mut scratch);
        if status != Status::Structured {
            return Ok(Some((study.trials().len(), status)));
        }
    }
    Ok(None)
}

//! [`Workflow`]: a checked workflow file, and the simulator of the workflows that have one.

use aquatope_core::workflow::Configuration;
use aquatope_workflow::json::Field;
use aquatope_workflow::models::{self, MAX_AXES, MAX_FUNCTIONS};
use aquatope_workflow::oracle;
use aquatope_workflow::simulator::{Scenario, Simulator};
use aquatope_workflow::space::Point;
use aquatope_workflow::workflow::{Decision, Function, Resource};
use aquatope_workflow::workflow_file::{self, WorkflowFile};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tsify::Tsify;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{JsError, JsValue, wasm_bindgen};

use crate::engine::decimal;
use crate::plain;
use crate::study_types::Outcome;

/// A checked workflow file, schema `aquatope-workflow/1`.
#[wasm_bindgen]
pub struct Workflow {
    file: WorkflowFile,
    graph: aquatope_core::workflow::Workflow<MAX_FUNCTIONS>,
    simulator: Option<Simulator>,
}

#[wasm_bindgen]
impl Workflow {
    /// Checks a file, given as its text or as an object.
    ///
    /// # Errors
    /// What is wrong, naming the field.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "WorkflowFile | string")] file: &JsValue,
    ) -> Result<Self, JsError> {
        let file = parse("workflow", &plain::read("workflow", file)?)?;
        Ok(Self { graph: models::graph(&file.workflow)?, simulator: file.simulator(), file })
    }

    /// What the file says.
    ///
    /// # Errors
    /// None in practice.
    #[wasm_bindgen(unchecked_return_type = "WorkflowDescription")]
    pub fn describe(&self) -> Result<JsValue, JsError> {
        let WorkflowFile { name, workflow, qos_s, start, oracle, .. } = &self.file;
        plain::show(&WorkflowDescription {
            name: name.clone(),
            functions: workflow.functions.iter().map(|function| function.name.clone()).collect(),
            edges: workflow.edges.clone(),
            edge_overhead: workflow.edge_overhead_s,
            qos: *qos_s,
            axes: workflow.decisions().iter().map(ResourceAxis::from).collect(),
            start: start.0.clone(),
            oracle: oracle.as_ref().map(Optimum::from),
            simulated: self.simulator.is_some(),
        })
    }

    /// The resources of every function under a configuration, one level per axis.
    ///
    /// # Errors
    /// Levels that are not on the grid.
    #[wasm_bindgen(unchecked_return_type = "FunctionResources[]")]
    pub fn resources(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number[]")] levels: &JsValue,
    ) -> Result<JsValue, JsError> {
        let point = self.point(levels)?;
        let workflow = &self.file.workflow;
        let of = |(i, function): (usize, &Function)| {
            let Configuration { cpu, memory_mb, concurrency } = workflow.configuration(&point, i);
            let name = function.name.clone();
            FunctionResources { name, cpu: decimal(cpu), memory_mb: decimal(memory_mb), concurrency }
        };
        plain::show(&workflow.functions.iter().enumerate().map(of).collect::<Vec<_>>())
    }

    /// The critical path when function `i` takes `durations[i]` seconds.
    ///
    /// # Errors
    /// Not one finite duration, 0 or more, per function.
    #[wasm_bindgen(js_name = criticalPath, unchecked_return_type = "CriticalPath")]
    pub fn critical_path(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number[]")] durations: &JsValue,
    ) -> Result<JsValue, JsError> {
        let durations: Vec<f64> = plain::read("durations", durations)?;
        let path = self.graph.critical_path(&durations)?;
        let functions = path.stages().iter().map(|stage| stage.index() as u32).collect();
        plain::show(&CriticalPath { latency: path.latency(), functions })
    }

    /// Cost and end-to-end latency under a configuration when function `i` takes `durations[i]` seconds.
    ///
    /// # Errors
    /// Levels that are not on the grid, or not one finite duration, 0 or more, per function.
    #[wasm_bindgen(unchecked_return_type = "Outcome")]
    pub fn compose(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number[]")] levels: &JsValue,
        #[wasm_bindgen(unchecked_param_type = "number[]")] durations: &JsValue,
    ) -> Result<JsValue, JsError> {
        let (point, durations): (_, Vec<f64>) = (self.point(levels)?, plain::read("durations", durations)?);
        self.graph.latency(&durations)?;
        let (cost, latency) = self.file.workflow.compose(&point, &durations);
        plain::show(&exact(cost, latency, durations))
    }

    /// What the simulator measures: noise-free, or with the scenario's noise and outliers.
    ///
    /// # Errors
    /// Levels that are not on the grid, a scenario that cannot be, or a file without the simulator's fields.
    #[wasm_bindgen(unchecked_return_type = "Simulated")]
    pub fn simulate(
        &self,
        #[wasm_bindgen(unchecked_param_type = "number[]")] levels: &JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "ScenarioOptions")] scenario: &JsValue,
    ) -> Result<JsValue, JsError> {
        let (point, simulator) = (self.point(levels)?, self.simulator()?);
        let Some(options) = plain::read::<Option<ScenarioOptions>>("scenario", scenario)? else {
            let durations = simulator.durations(&point);
            let (cost, latency) = self.file.workflow.compose(&point, &durations);
            return plain::show(&Simulated { outcome: exact(cost, latency, durations), outlier: false });
        };
        let scenario = options.scenario()?;
        let (seed, sample) = (options.seed.unwrap_or(0), options.sample.unwrap_or(0));
        plain::show(&Simulated {
            outcome: simulator.sample(&point, scenario, seed, sample).into(),
            outlier: simulator.is_outlier(scenario, seed, sample),
        })
    }

    /// The cheapest configuration that meets the QoS without noise, by exact search; nothing when there is none, or for
    /// more than 5 functions.
    ///
    /// # Errors
    /// A file without the simulator's fields, or a QoS that is not a positive number.
    #[wasm_bindgen(unchecked_return_type = "Optimum | undefined")]
    pub fn optimum(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "number")] qos: &JsValue,
    ) -> Result<JsValue, JsError> {
        let qos = plain::read::<Option<f64>>("qos", qos)?.unwrap_or(self.file.qos_s);
        let qos = aquatope_core::workflow::Qos::new(qos)?;
        match oracle::solve(self.simulator()?, qos.seconds()) {
            Some(oracle) => plain::show(&Optimum::from(&oracle)),
            None => Ok(JsValue::UNDEFINED),
        }
    }

    fn simulator(&self) -> Result<&Simulator, JsError> {
        self.simulator.as_ref().ok_or_else(|| {
            JsError::new("workflow: has no serial_s and the like; only workflows with them can be simulated")
        })
    }

    fn point(&self, levels: &JsValue) -> Result<Point, JsError> {
        let levels: Vec<u16> = plain::read("levels", levels)?;
        let space = models::space(&self.file.workflow)?;
        space.point(&levels).map_err(|error| JsError::new(&format!("levels: {error}")))?;
        Ok(Point(levels))
    }
}

/// Reads a workflow from its text or from an object; `name` names it in errors.
pub(crate) fn parse(name: &str, value: &Value) -> Result<WorkflowFile, JsError> {
    let file = match value {
        Value::String(text) => {
            let object = js_sys::JSON::parse(text).map_err(|error| {
                let what = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
                JsError::new(&format!("{name}: is not valid JSON ({})", what.unwrap_or_default()))
            })?;
            WorkflowFile::read(&Field::root(name, &plain::read(name, &object)?))?
        }
        object => WorkflowFile::read(&Field::root(name, object))?,
    };
    let (functions, axes) = (file.workflow.functions.len(), file.workflow.decisions().len());
    if functions > MAX_FUNCTIONS {
        let what = format!("{name}.functions: has {functions}; give at most {MAX_FUNCTIONS}");
        return Err(JsError::new(&what));
    }
    if axes > MAX_AXES {
        return Err(JsError::new(&format!(
            "{name}: has {axes} axes, two a function and one for every concurrency that is searched; at most {MAX_AXES} \
             can be: fix some concurrencies"
        )));
    }
    Ok(file)
}

fn exact(cost: f64, latency: f64, durations: Vec<f64>) -> Outcome {
    Outcome { cost, latency, cost_variance: None, latency_variance: None, durations: Some(durations) }
}

/// What a workflow file says.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
struct WorkflowDescription {
    /// Its name.
    name: String,
    /// The names of its functions; an index into this is a function's number everywhere.
    functions: Vec<String>,
    /// Pairs of function numbers: the second starts when the first has ended.
    edges: Vec<(usize, usize)>,
    /// Seconds every edge adds.
    edge_overhead: f64,
    /// The largest good end-to-end latency, seconds.
    qos: f64,
    /// The axes of a configuration.
    axes: Vec<ResourceAxis>,
    /// The configuration the workflow runs in today, one level per axis.
    start: Vec<u16>,
    /// The exact optimum without noise, where the file states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    oracle: Option<Optimum>,
    /// Whether the file has what the simulator needs.
    simulated: bool,
}

/// One axis of a configuration.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
struct ResourceAxis {
    /// Number of the function it belongs to.
    function: usize,
    /// What it decides.
    resource: ResourceName,
    /// The value of every level: cores, MB or requests at a time.
    values: Vec<f64>,
}

impl From<&Decision> for ResourceAxis {
    fn from(Decision { function, resource, axis }: &Decision) -> Self {
        let resource = match resource {
            Resource::Cpu => ResourceName::Cpu,
            Resource::Memory => ResourceName::Memory,
            Resource::Concurrency => ResourceName::Concurrency,
        };
        let values = (0..axis.levels()).map(|level| decimal(axis.value(level))).collect();
        Self { function: *function, resource, values }
    }
}

/// What an axis decides.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "lowercase")]
enum ResourceName {
    Cpu,
    Memory,
    Concurrency,
}

/// The resources of one function.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
struct FunctionResources {
    /// Its name.
    name: String,
    /// Cores.
    cpu: f64,
    /// Memory, MB.
    memory_mb: f64,
    /// Requests one container serves at a time.
    concurrency: f64,
}

/// The functions that determine the latency.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
struct CriticalPath {
    /// Seconds from the start of the workflow to the end of its last function.
    latency: f64,
    /// Function numbers, first to last.
    functions: Vec<u32>,
}

/// An exact optimum without noise.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
struct Optimum {
    /// One level per axis.
    levels: Vec<u16>,
    /// Its cost.
    cost: f64,
    /// Its end-to-end latency, seconds.
    latency: f64,
}

impl From<&workflow_file::Oracle> for Optimum {
    fn from(oracle: &workflow_file::Oracle) -> Self {
        Self { levels: oracle.point.0.clone(), cost: oracle.cost, latency: oracle.latency_s }
    }
}

/// How noisy a sample of the simulator is, and which one it is.
#[derive(Deserialize, Tsify)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScenarioOptions {
    /// Standard deviation of the logarithms of durations; 0, unless given.
    #[serde(default)]
    #[tsify(optional)]
    noise: Option<f64>,
    /// Probability that a sample is slowed as a whole by a noisy neighbour; 0, unless given.
    #[serde(default)]
    #[tsify(optional)]
    outliers: Option<f64>,
    /// Seed of the run, a whole number; 0, unless given.
    #[serde(default)]
    #[tsify(optional)]
    seed: Option<u64>,
    /// Number of the sample in the run; 0, unless given. Equal seeds and numbers give equal noise.
    #[serde(default)]
    #[tsify(optional)]
    sample: Option<u64>,
}

impl ScenarioOptions {
    fn scenario(&self) -> Result<Scenario, JsError> {
        let (noise, outliers) = (self.noise.unwrap_or(0.0), self.outliers.unwrap_or(0.0));
        if !(0.0..=MAX_NOISE).contains(&noise) {
            return Err(JsError::new(&format!("scenario.noise: is {noise}; must lie in 0..{MAX_NOISE}")));
        }
        if !(0.0..=1.0).contains(&outliers) {
            return Err(JsError::new(&format!("scenario.outliers: is {outliers}; must lie in 0..1")));
        }
        Ok(Scenario { noise, outliers })
    }
}

/// Noise above this makes durations overflow.
const MAX_NOISE: f64 = 10.0;

/// One sample of the simulator.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
struct Simulated {
    /// What was measured.
    outcome: Outcome,
    /// Whether the sample was slowed as a whole.
    outlier: bool,
}

/// The schema is read field by field, so its type is written by hand; a test holds the shipped files against it.
#[wasm_bindgen(typescript_custom_section)]
const WORKFLOW_FILE: &str = r#"
/** A workflow file, schema `aquatope-workflow/1`. Units: seconds, cores, MB; prices are money per core-second and GB-second. */
export interface WorkflowFile {
    schema: "aquatope-workflow/1";
    name: string;
    functions: WorkflowFunction[];
    /** Pairs [from, to] of function numbers or names, acyclic. */
    edges: [number | string, number | string][];
    edge_overhead_s: number;
    prices: { cpu_per_core_s: number; mem_per_gb_s: number };
    space: { cpu: WorkflowLevels; mem_mb: WorkflowLevels };
    qos_s: number;
    noise?: { rho_common: number; outlier_mag_min: number; outlier_mag_max: number; invocations_per_sample: number };
    /** The exact optimum. */
    oracle?: WorkflowConfiguration & { cost: number; latency_s: number };
    /** What is known of other configurations, among them the one in use today. */
    reference?: { default_config?: WorkflowConfiguration; [other: string]: unknown };
}

/** Evenly spaced levels of a resource. */
export interface WorkflowLevels { min: number; max: number; step: number }

/** Grid levels of every function; concurrency only of those where it is searched. Further fields are not read. */
export interface WorkflowConfiguration {
    cpu_idx: number[];
    mem_idx: number[];
    concurrency_idx?: number[];
    [other: string]: unknown;
}

/** A function; all fields but name and concurrency are the simulator's, and are given for all functions or for none. */
export interface WorkflowFunction {
    name: string;
    concurrency?: number | WorkflowLevels;
    serial_s?: number;
    parallel_s?: number;
    max_parallelism?: number;
    io_s?: number;
    cache_hit_max?: number;
    cache_tau_mb?: number;
    ws_base_mb?: number;
    ws_per_req_mb?: number;
    thrash_a?: number;
    thrash_b?: number;
    thrash_cap?: number;
    contention?: number;
}
"#;

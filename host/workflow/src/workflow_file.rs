//! Workflow definition files, schema `aquatope-workflow/1`: functions, edges, prices, search space, QoS, and
//! (optional) the parameters of the built-in simulator.
//!
//! A [`WorkflowFile`] that exists is checked: the edges form a DAG, every level is valid, every number finite.

use aquatope_core::bo::space::{Axis, SpaceError};

use crate::fault::Result;
use crate::json::{self, Field};
use crate::simulator::Simulator;
use crate::space::Point;
use crate::workflow::{Decision, Function, Resource, Workflow};

/// The schema this module reads.
pub const SCHEMA: &str = "aquatope-workflow/1";

/// A checked workflow file.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowFile {
    /// Short name.
    pub name: String,
    /// Shape, prices and grid.
    pub workflow: Workflow,
    /// End-to-end latency the recommendation must not exceed, seconds.
    pub qos_s: f64,
    /// The configuration the workflow runs in today: `reference.default_config`, or all of CPU and memory for as few
    /// requests at a time as the space has.
    pub start: Point,
    /// How the simulated functions behave, one each; absent for a workflow that is measured outside.
    pub performance: Option<Vec<Performance>>,
    /// Shape of the simulated noise.
    pub noise: Noise,
    /// The exact optimum without noise, when known.
    pub oracle: Option<Oracle>,
}

/// Parameters of one simulated function (see [`crate::simulator`] for the formulas).
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // the names of the schema
pub struct Performance {
    pub serial_s: f64,
    pub parallel_s: f64,
    pub max_parallelism: f64,
    pub io_s: f64,
    pub cache_hit_max: f64,
    pub cache_tau_mb: f64,
    pub ws_base_mb: f64,
    pub ws_per_req_mb: f64,
    pub thrash_a: f64,
    pub thrash_b: f64,
    pub thrash_cap: f64,
    pub contention: f64,
}

/// Shape of the simulated noise; its level and the outlier probability belong to the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Share of the noise variance common to all functions of one invocation.
    pub rho_common: f64,
    /// Least slow-down of an outlier sample.
    pub outlier_min: f64,
    /// Greatest slow-down of an outlier sample.
    pub outlier_max: f64,
    /// Invocations averaged into one sample.
    pub invocations: u32,
}

/// The exact noise-free optimum.
#[derive(Clone, Debug, PartialEq)]
pub struct Oracle {
    /// Its configuration.
    pub point: Point,
    /// Its cost.
    pub cost: f64,
    /// Its end-to-end latency, seconds.
    pub latency_s: f64,
}

impl WorkflowFile {
    /// Check the text of a file; `source` names it in errors.
    pub fn parse(source: &str, text: &str) -> Result<Self> {
        let document = json::parse(source, text)?;
        Self::read(&Field::root(source, &document))
    }

    /// Check a document.
    pub fn read(root: &Field) -> Result<Self> {
        root.object()?;
        let schema = root.get("schema");
        if schema.text()? != SCHEMA {
            return Err(schema
                .fault(format!("is \"{}\"", schema.text()?), format!("this version reads \"{SCHEMA}\"")));
        }
        root.only(&[
            "schema",
            "name",
            "functions",
            "edges",
            "edge_overhead_s",
            "prices",
            "space",
            "qos_s",
            "noise",
            "oracle",
            "reference",
        ])?;
        let workflow = Workflow::read(root)?;
        let functions = root.get("functions").items()?;
        let simulated = functions.iter().any(|function| function.get("serial_s").present().is_some());
        let performance = if simulated {
            Some(functions.iter().map(Performance::read).collect::<Result<_>>()?)
        } else {
            None
        };
        let start = match root.get("reference").get("default_config").present() {
            Some(config) => workflow.read_point(&config)?,
            None => workflow.largest(),
        };
        let oracle = match root.get("oracle").present() {
            Some(oracle) => Some(Oracle {
                point: workflow.read_point(&oracle)?,
                cost: oracle.get("cost").positive()?,
                latency_s: oracle.get("latency_s").positive()?,
            }),
            None => None,
        };
        Ok(Self {
            name: root.get("name").text()?.to_string(),
            qos_s: root.get("qos_s").positive()?,
            noise: Noise::read(&root.get("noise"))?,
            workflow,
            start,
            performance,
            oracle,
        })
    }

    /// The simulator of this workflow, when the file has its parameters.
    pub fn simulator(&self) -> Option<Simulator> {
        let performance = self.performance.clone()?;
        Some(Simulator { workflow: self.workflow.clone(), performance, noise: self.noise })
    }
}

impl Workflow {
    /// Read `functions`, `edges`, `edge_overhead_s`, `prices` and `space` of an object.
    pub fn read(root: &Field) -> Result<Self> {
        let functions = read_functions(&root.get("functions"))?;
        let edges = read_edges(&root.get("edges"), &functions)?;
        let order = topological_order(&functions, &edges).map_err(|cycle| {
            root.get("edges").fault(format!("form a cycle: {cycle}"), "remove one of these edges")
        })?;
        let (space, prices) = (root.get("space"), root.get("prices"));
        space.only(&["cpu", "mem_mb"])?;
        prices.only(&["cpu_per_core_s", "mem_per_gb_s"])?;
        let cpu_per_core_s = prices.get("cpu_per_core_s").non_negative()?;
        let memory_per_gb_s = prices.get("mem_per_gb_s").non_negative()?;
        if cpu_per_core_s == 0.0 && memory_per_gb_s == 0.0 {
            return Err(prices.fault("are both 0", "give a price, or there is nothing to save"));
        }
        Ok(Self {
            edge_overhead_s: root.get("edge_overhead_s").non_negative()?,
            cpu_per_core_s,
            memory_per_gb_s,
            cpu: read_axis(&space.get("cpu"))?,
            memory_mb: read_axis(&space.get("mem_mb"))?,
            functions,
            edges,
            order,
        })
    }

    /// All CPU and memory, the lowest concurrency.
    pub fn largest(&self) -> Point {
        let top = |decision: &Decision| match decision.resource {
            Resource::Cpu | Resource::Memory => decision.axis.levels() - 1,
            Resource::Concurrency => 0,
        };
        Point(self.decisions().iter().map(top).collect())
    }

    /// Levels by function: `cpu_idx`, `mem_idx`, and `concurrency_idx` where concurrency is searched (0 elsewhere).
    fn read_point(&self, field: &Field) -> Result<Point> {
        let column = |name: &str, axis: &dyn Fn(usize) -> Axis| -> Result<Vec<u16>> {
            let list = field.get(name);
            let items = list.items()?;
            if items.len() != self.functions.len() {
                let what = format!("has {} levels for {} functions", items.len(), self.functions.len());
                return Err(list.fault(what, "give one level a function"));
            }
            let level = |(i, item): (usize, &Field)| {
                let (level, top) = (item.whole(0)?, axis(i).levels() - 1);
                if level > u64::from(top) {
                    return Err(item.fault(format!("is {level}"), format!("levels go from 0 to {top}")));
                }
                Ok(level as u16)
            };
            items.iter().enumerate().map(level).collect()
        };
        let (cpu, memory) = (column("cpu_idx", &|_| self.cpu)?, column("mem_idx", &|_| self.memory_mb)?);
        let concurrency = if self.searches_concurrency() {
            column("concurrency_idx", &|i| self.functions[i].concurrency)?
        } else {
            vec![0; self.functions.len()]
        };
        let level = |Decision { function, resource, .. }| match resource {
            Resource::Cpu => cpu[function],
            Resource::Memory => memory[function],
            Resource::Concurrency => concurrency[function],
        };
        Ok(Point(self.decisions().into_iter().map(level).collect()))
    }
}

impl Performance {
    fn read(field: &Field) -> Result<Self> {
        Ok(Self {
            serial_s: field.get("serial_s").non_negative()?,
            parallel_s: field.get("parallel_s").non_negative()?,
            max_parallelism: field.get("max_parallelism").positive()?,
            io_s: field.get("io_s").non_negative()?,
            cache_hit_max: field.get("cache_hit_max").share()?,
            cache_tau_mb: field.get("cache_tau_mb").positive()?,
            ws_base_mb: field.get("ws_base_mb").non_negative()?,
            ws_per_req_mb: field.get("ws_per_req_mb").non_negative()?,
            thrash_a: field.get("thrash_a").non_negative()?,
            thrash_b: field.get("thrash_b").positive()?,
            thrash_cap: field.get("thrash_cap").positive()?,
            contention: field.get("contention").non_negative()?,
        })
    }
}

impl Noise {
    fn read(field: &Field) -> Result<Self> {
        field.only(&["rho_common", "outlier_mag_min", "outlier_mag_max", "invocations_per_sample"])?;
        let Some(field) = field.clone().present() else {
            return Ok(Self { rho_common: 0.5, outlier_min: 1.5, outlier_max: 4.0, invocations: 1 });
        };
        let outlier_min = field.get("outlier_mag_min").positive()?;
        let outlier_max = field.get("outlier_mag_max").positive()?;
        if outlier_min > outlier_max {
            let what = format!("{outlier_min} is above outlier_mag_max {outlier_max}");
            return Err(field.get("outlier_mag_min").fault(what, "exchange the two"));
        }
        let invocations = field.get("invocations_per_sample");
        if invocations.whole(1)? > MAX_INVOCATIONS {
            let what = format!("is {}", invocations.whole(1)?);
            return Err(invocations.fault(what, format!("average at most {MAX_INVOCATIONS} invocations")));
        }
        let invocations = invocations.whole(1)? as u32;
        Ok(Self { rho_common: field.get("rho_common").share()?, outlier_min, outlier_max, invocations })
    }
}

/// The most invocations averaged into one sample.
const MAX_INVOCATIONS: u64 = 1_000_000;

/// The fields of a function: those of the workflow, and those of [`Performance`].
const FUNCTION_FIELDS: [&str; 14] = [
    "name",
    "concurrency",
    "serial_s",
    "parallel_s",
    "max_parallelism",
    "io_s",
    "cache_hit_max",
    "cache_tau_mb",
    "ws_base_mb",
    "ws_per_req_mb",
    "thrash_a",
    "thrash_b",
    "thrash_cap",
    "contention",
];

fn read_functions(field: &Field) -> Result<Vec<Function>> {
    let mut functions: Vec<Function> = Vec::new();
    for item in field.items()? {
        item.only(&FUNCTION_FIELDS)?;
        let name = item.get("name").text()?;
        if functions.iter().any(|function| function.name == name) {
            return Err(item
                .get("name")
                .fault(format!("\"{name}\" is used twice"), "give every function its own name"));
        }
        let concurrency = read_concurrency(&item.get("concurrency"))?;
        functions.push(Function { name: name.to_string(), concurrency });
    }
    if functions.is_empty() {
        return Err(field.fault("is empty", "name at least one function"));
    }
    Ok(functions)
}

/// Edges as pairs of indices or names.
fn read_edges(field: &Field, functions: &[Function]) -> Result<Vec<(usize, usize)>> {
    let function = |end: &Field| -> Result<usize> {
        let known = match end.required()?.as_str() {
            Some(name) => functions.iter().position(|function| function.name == name),
            None => usize::try_from(end.whole(0)?).ok().filter(|&i| i < functions.len()),
        };
        let mend = format!("name a function, or its index from 0 to {}", functions.len() - 1);
        known.ok_or_else(|| {
            end.fault(format!("unknown function {}", json::show(end.required().unwrap_or(&().into()))), mend)
        })
    };
    let mut edges = Vec::new();
    for item in field.items()? {
        let ends = item.items()?;
        let [from, to] = ends.as_slice() else {
            return Err(item.fault(format!("has {} ends", ends.len()), "write an edge as [from, to]"));
        };
        let edge = (function(from)?, function(to)?);
        if edges.contains(&edge) {
            return Err(item.fault("stands twice", "remove one of the two"));
        }
        edges.push(edge);
    }
    Ok(edges)
}

/// Functions in an order in which every edge points forward, lowest index first; or the names on a cycle.
fn topological_order(
    functions: &[Function],
    edges: &[(usize, usize)],
) -> std::result::Result<Vec<usize>, String> {
    let n = functions.len();
    let mut order: Vec<usize> = Vec::with_capacity(n);
    let mut placed = vec![false; n];
    while order.len() < n {
        let ready = |&i: &usize| !placed[i] && edges.iter().all(|&(from, to)| to != i || placed[from]);
        let Some(next) = (0..n).find(ready) else {
            return Err(cycle(functions, edges, &placed));
        };
        placed[next] = true;
        order.push(next);
    }
    Ok(order)
}

/// Walk backwards from any function left over until one repeats.
fn cycle(functions: &[Function], edges: &[(usize, usize)], placed: &[bool]) -> String {
    let mut walk: Vec<usize> = placed.iter().position(|placed| !placed).into_iter().collect();
    while let Some(&last) = walk.last() {
        let Some(&(from, _)) = edges.iter().find(|&&(from, to)| to == last && !placed[from]) else { break };
        let seen = walk.iter().position(|&i| i == from);
        walk.push(from);
        if let Some(start) = seen {
            walk.drain(..start);
            break;
        }
    }
    let names: Vec<&str> = walk.iter().rev().map(|&i| functions[i].name.as_str()).collect();
    names.join(" -> ")
}

/// Requests a container serves at a time: a whole number, or `{min, max, step}` to search it; 1 when it is not there.
fn read_concurrency(field: &Field) -> Result<Axis> {
    match field.clone().present() {
        Some(field) if field.object().is_ok() => {
            for bound in ["min", "max", "step"] {
                field.get(bound).whole(1)?;
            }
            read_axis(&field)
        }
        Some(field) => fixed(&field, field.whole(1)? as f64),
        None => fixed(field, 1.0),
    }
}

fn fixed(field: &Field, value: f64) -> Result<Axis> {
    Axis::fixed(value).map_err(|error| field.fault(error.to_string(), "give a whole number"))
}

fn read_axis(field: &Field) -> Result<Axis> {
    let (min, max) = (field.get("min").positive()?, field.get("max").positive()?);
    let step = field.get("step").positive()?;
    if min > max {
        let mend = "the space is empty: exchange the two";
        return Err(field.get("min").fault(format!("{min} is above max {max}"), mend));
    }
    let axis = Axis::new(min, max, step).map_err(|error| match error {
        SpaceError::Levels { .. } => {
            field.get("step").fault(format!("is {step}: more than 65535 levels"), "use a greater step")
        }
        _ => field.fault(error.to_string(), "use smaller numbers"),
    })?;
    // The models see the logarithm of a resource.
    let too_wide = |_| field.fault(format!("goes from {min} to {max}"), "use bounds whose ratio is a number");
    axis.log_scaled().map(|_| axis).map_err(too_wide)
}

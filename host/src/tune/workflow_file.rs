//! Workflow definition files, schema `aquatope-workflow/1`: functions, edges, prices, search space, QoS, and
//! (optional) the parameters of the built-in simulator.
//!
//! Units: seconds, cores, MB; a price is money per core-second or GB-second (GB = 1024 MB). Axis `2i` of a
//! configuration is the CPU of function i, axis `2i + 1` its memory. A [`WorkflowFile`] that exists is checked: the
//! edges form a DAG, every level is valid, every number finite.

use std::path::Path;

use aquatope_core::bo::space::Axis;

use crate::error::{Error, Result};

use super::json::{self, Field};
use super::simulator::Simulator;
use super::space::Point;

/// The schema this module reads.
pub const SCHEMA: &str = "aquatope-workflow/1";

/// What an optimiser may know of a workflow: its shape, prices and grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// The functions; an index into this is a function's id everywhere.
    pub functions: Vec<Function>,
    /// Pairs (from, to) of function indices, acyclic, each once.
    pub edges: Vec<(usize, usize)>,
    /// A topological order of the functions.
    pub order: Vec<usize>,
    /// Orchestration delay on every edge, seconds.
    pub edge_overhead_s: f64,
    /// Price of one core-second.
    pub cpu_per_core_s: f64,
    /// Price of one GB-second.
    pub memory_per_gb_s: f64,
    /// CPU levels of every function, cores.
    pub cpu: Axis,
    /// Memory levels of every function, MB.
    pub memory_mb: Axis,
}

/// One function of a workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its name, unique in the workflow.
    pub name: String,
    /// Requests one container serves at a time.
    pub concurrency: u32,
}

/// A checked workflow file.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowFile {
    /// Short name.
    pub name: String,
    /// Shape, prices and grid.
    pub workflow: Workflow,
    /// End-to-end latency the recommendation must not exceed, seconds.
    pub qos_s: f64,
    /// The configuration the workflow runs in today: `reference.default_config`, or all maxima.
    pub start: Point,
    /// How the simulated functions behave, one each; absent for a workflow that is measured outside.
    pub performance: Option<Vec<Performance>>,
    /// Shape of the simulated noise.
    pub noise: Noise,
    /// The exact optimum without noise, when known.
    pub oracle: Option<Oracle>,
}

/// Parameters of one simulated function (see [`super::simulator`] for the formulas).
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
    /// Read and check a file.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|source| {
            Error::io(path, source, "name a workflow file of schema aquatope-workflow/1")
        })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Check the text of a file; `source` names it in errors.
    pub fn parse(source: &str, text: &str) -> Result<Self> {
        let document = json::parse(source, text)?;
        let root = Field::root(source, &document);
        root.object()?;
        let schema = root.get("schema");
        if schema.text()? != SCHEMA {
            return Err(
                schema.fault(format!("is {:?}", schema.text()?), format!("this version reads {SCHEMA:?}"))
            );
        }
        let workflow = Workflow::read(&root)?;
        let functions = root.get("functions").items()?;
        let simulated = functions.iter().any(|function| function.get("serial_s").present().is_some());
        let performance = if simulated {
            Some(functions.iter().map(Performance::read).collect::<Result<_>>()?)
        } else {
            None
        };
        let start = match root.get("reference").get("default_config").present() {
            Some(config) => workflow.read_point(&config)?,
            None => Point(workflow.levels().iter().map(|levels| levels - 1).collect()),
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
        let space = root.get("space");
        Ok(Self {
            edge_overhead_s: root.get("edge_overhead_s").non_negative()?,
            cpu_per_core_s: root.get("prices").get("cpu_per_core_s").non_negative()?,
            memory_per_gb_s: root.get("prices").get("mem_per_gb_s").non_negative()?,
            cpu: read_axis(&space.get("cpu"))?,
            memory_mb: read_axis(&space.get("mem_mb"))?,
            functions,
            edges,
            order,
        })
    }

    /// Grid levels of every axis of a configuration.
    pub fn levels(&self) -> Vec<u16> {
        [self.cpu.levels(), self.memory_mb.levels()].repeat(self.functions.len())
    }

    /// CPU (cores) and memory (MB) of function `i`.
    pub fn resources(&self, point: &Point, i: usize) -> (f64, f64) {
        (self.cpu.value(point.0[2 * i]), self.memory_mb.value(point.0[2 * i + 1]))
    }

    /// Price of one second of function `i` under `point`.
    pub fn price(&self, point: &Point, i: usize) -> f64 {
        let (cpu, memory) = self.resources(point, i);
        cpu * self.cpu_per_core_s + memory / 1024.0 * self.memory_per_gb_s
    }

    /// Cost and end-to-end latency (s) when function `i` takes `durations[i]` seconds.
    pub fn compose(&self, point: &Point, durations: &[f64]) -> (f64, f64) {
        let cost = durations.iter().enumerate().fold(0.0, |cost, (i, duration)| {
            cost + self.price(point, i) * duration / f64::from(self.functions[i].concurrency)
        });
        let mut finish = vec![0.0_f64; durations.len()];
        for &i in &self.order {
            let ready = self
                .edges
                .iter()
                .filter(|edge| edge.1 == i)
                .map(|edge| finish[edge.0] + self.edge_overhead_s);
            finish[i] = ready.fold(0.0, f64::max) + durations[i];
        }
        (cost, finish.into_iter().fold(0.0, f64::max))
    }

    fn read_point(&self, field: &Field) -> Result<Point> {
        let axes = [("cpu_idx", &self.cpu), ("mem_idx", &self.memory_mb)];
        let mut columns = [Vec::new(), Vec::new()];
        for ((name, axis), column) in axes.into_iter().zip(&mut columns) {
            let list = field.get(name);
            let items = list.items()?;
            if items.len() != self.functions.len() {
                let what = format!("has {} levels for {} functions", items.len(), self.functions.len());
                return Err(list.fault(what, "give one level a function"));
            }
            for item in items {
                let level = item.whole(0)?;
                let top = axis.levels() - 1;
                if level > u64::from(top) {
                    return Err(item.fault(format!("is {level}"), format!("levels go from 0 to {top}")));
                }
                column.push(level as u16);
            }
        }
        let [cpu, memory] = columns;
        Ok(Point(cpu.into_iter().zip(memory).flat_map(|(cpu, memory)| [cpu, memory]).collect()))
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

fn read_functions(field: &Field) -> Result<Vec<Function>> {
    let mut functions: Vec<Function> = Vec::new();
    for item in field.items()? {
        let name = item.get("name").text()?;
        if functions.iter().any(|function| function.name == name) {
            return Err(item
                .get("name")
                .fault(format!("{name:?} is used twice"), "give every function its own name"));
        }
        let concurrency = match item.get("concurrency").present() {
            Some(field) => field.whole(1)?.min(u64::from(u32::MAX)) as u32,
            None => 1,
        };
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
            end.fault(format!("unknown function {}", end.required().unwrap_or(&().into())), mend)
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

fn read_axis(field: &Field) -> Result<Axis> {
    let (min, max) = (field.get("min").positive()?, field.get("max").positive()?);
    let step = field.get("step").positive()?;
    if min > max {
        let mend = "the space is empty: exchange the two";
        return Err(field.get("min").fault(format!("{min} is above max {max}"), mend));
    }
    Axis::new(min, max, step).map_err(|_| {
        field.get("step").fault(format!("is {step}: more than 65535 levels"), "use a greater step")
    })
}

//! What an optimiser may know of a workflow: its shape, its prices, and the grid of configurations.
//!
//! A configuration has two axes a function, CPU (`2i`) and memory (`2i + 1`), and after these one for the concurrency
//! of every function whose concurrency is searched, in the order of the functions. Concurrency is the number of
//! requests one container serves at a time: they share its CPU and its memory, so that each takes longer, and they
//! share its price, so that each costs less. Waiting is what makes sharing worth while, because it takes no CPU.
//!
//! Units: seconds, cores, MB; a price is money per core-second or GB-second (GB = 1024 MB).

use aquatope_core::bo::space::Axis;
use aquatope_core::workflow::Configuration;

use crate::space::Point;

/// Functions, graph, prices and grid; what exists is checked (see [`crate::workflow_file`]).
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
    /// Requests one container serves at a time; searched when there is more than one level.
    pub concurrency: Axis,
}

impl Function {
    /// Whether the search decides how many requests a container serves.
    pub fn searches_concurrency(&self) -> bool {
        self.concurrency.levels() > 1
    }
}

/// What an axis decides of its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Cores.
    Cpu,
    /// Memory, MB.
    Memory,
    /// Requests served at a time.
    Concurrency,
}

/// One axis of a configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// The function.
    pub function: usize,
    /// What is decided of it.
    pub resource: Resource,
    /// Its levels.
    pub axis: Axis,
}

impl Workflow {
    /// The axes of a configuration, in order.
    pub fn decisions(&self) -> Vec<Decision> {
        let both =
            |function| {
                [(Resource::Cpu, self.cpu), (Resource::Memory, self.memory_mb)]
                    .map(|(resource, axis)| Decision { function, resource, axis })
            };
        let searched = self.functions.iter().enumerate().filter(|(_, f)| f.searches_concurrency());
        let concurrency = searched.map(|(function, f)| Decision {
            function,
            resource: Resource::Concurrency,
            axis: f.concurrency,
        });
        (0..self.functions.len()).flat_map(both).chain(concurrency).collect()
    }

    /// Grid levels of every axis of a configuration.
    pub fn levels(&self) -> Vec<u16> {
        self.decisions().iter().map(|decision| decision.axis.levels()).collect()
    }

    /// Whether some function's concurrency is searched.
    pub fn searches_concurrency(&self) -> bool {
        self.functions.iter().any(Function::searches_concurrency)
    }

    /// The axis that decides the concurrency of function `i`, if one does.
    pub fn concurrency_axis(&self, i: usize) -> Option<usize> {
        let before = || self.functions[..i].iter().filter(|f| f.searches_concurrency()).count();
        self.functions[i].searches_concurrency().then(|| 2 * self.functions.len() + before())
    }

    /// The resources of function `i` under `point`.
    pub fn configuration(&self, point: &Point, i: usize) -> Configuration {
        let level = self.concurrency_axis(i).map_or(0, |axis| point.0[axis]);
        Configuration {
            cpu: self.cpu.value(point.0[2 * i]),
            memory_mb: self.memory_mb.value(point.0[2 * i + 1]),
            concurrency: self.functions[i].concurrency.value(level),
        }
    }

    /// What one request pays for a second of function `i` under `point`: its share of the container's price.
    pub fn rate(&self, point: &Point, i: usize) -> f64 {
        let Configuration { cpu, memory_mb, concurrency } = self.configuration(point, i);
        (cpu * self.cpu_per_core_s + memory_mb / 1024.0 * self.memory_per_gb_s) / concurrency
    }

    /// Cost and end-to-end latency (s) when function `i` takes `durations[i]` seconds.
    pub fn compose(&self, point: &Point, durations: &[f64]) -> (f64, f64) {
        let cost = durations.iter().enumerate().map(|(i, duration)| self.rate(point, i) * duration).sum();
        (cost, self.latency(durations))
    }

    /// End-to-end latency (s) when function `i` takes `durations[i]` seconds: the longest path through the graph.
    pub fn latency(&self, durations: &[f64]) -> f64 {
        let mut finish = vec![0.0_f64; durations.len()];
        for &i in &self.order {
            let ready = self
                .edges
                .iter()
                .filter(|edge| edge.1 == i)
                .map(|edge| finish[edge.0] + self.edge_overhead_s);
            finish[i] = ready.fold(0.0, f64::max) + durations[i];
        }
        finish.into_iter().fold(0.0, f64::max)
    }
}

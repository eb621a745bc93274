//! The exact noise-free optimum of a simulated workflow, by branch and bound over the functions' Pareto fronts.
//!
//! Meant for workflows of a few functions: the work grows with the product of the front sizes (about 60 each on the
//! shipped grid), less what the bounds cut.

use crate::simulator::Simulator;
use crate::space::Point;
use crate::workflow::Workflow;
use crate::workflow_file::Oracle;

/// The most functions [`solve`] takes on.
pub const MAX_EXACT: usize = 5;

/// The most configurations of one function that are looked at.
const MAX_CHOICES: usize = 1 << 20;

/// The cheapest configuration whose latency is at most `qos_s`; `None` when there is none, or for workflows of more
/// than [`MAX_EXACT`] functions or with more than a million configurations of one function.
pub fn solve(simulator: &Simulator, qos_s: f64) -> Option<Oracle> {
    let functions = simulator.performance.len();
    let workflow = &simulator.workflow;
    let most = workflow.functions.iter().map(|function| usize::from(function.concurrency.levels())).max()?;
    let choices = most
        .saturating_mul(usize::from(workflow.cpu.levels()))
        .saturating_mul(usize::from(workflow.memory_mb.levels()));
    if functions > MAX_EXACT || choices > MAX_CHOICES {
        return None;
    }
    let fronts: Vec<Vec<Choice>> = (0..functions).map(|i| front(simulator, i)).collect();
    // Durations beyond all numbers leave nothing to choose from.
    if fronts.iter().any(Vec::is_empty) {
        return None;
    }
    // The longest-running functions first, so that bounds bite early.
    let mut order: Vec<usize> = (0..functions).collect();
    order.sort_by(|&a, &b| shortest(&fronts[b]).total_cmp(&shortest(&fronts[a])));
    let mut search = Search {
        simulator,
        qos_s,
        fronts: &fronts,
        order: &order,
        durations: fronts.iter().map(|front| shortest(front)).collect(),
        point: Point(vec![0; workflow.levels().len()]),
        best: None,
    };
    search.branch(0, 0.0);
    let (_, point) = search.best?;
    let (cost, latency_s) = simulator.truth(&point);
    Some(Oracle { point, cost, latency_s })
}

/// One configuration of one function.
#[derive(Clone, Copy)]
struct Choice {
    /// Of CPU, memory and concurrency.
    levels: [u16; 3],
    duration: f64,
    cost: f64,
}

struct Search<'a> {
    simulator: &'a Simulator,
    qos_s: f64,
    /// Per function, by ascending cost and descending duration.
    fronts: &'a [Vec<Choice>],
    order: &'a [usize],
    /// Of the choices made, and the shortest possible elsewhere.
    durations: Vec<f64>,
    point: Point,
    best: Option<(f64, Point)>,
}

impl Search<'_> {
    fn branch(&mut self, depth: usize, cost: f64) {
        let Some(&function) = self.order.get(depth) else {
            self.best = Some((cost, self.point.clone()));
            return;
        };
        let rest: f64 = self.order[depth + 1..].iter().map(|&i| self.fronts[i][0].cost).sum();
        let front = &self.fronts[function];
        for choice in front {
            if self.best.as_ref().is_some_and(|(best, _)| cost + choice.cost + rest >= *best) {
                break;
            }
            self.durations[function] = choice.duration;
            if self.simulator.workflow.latency(&self.durations) > self.qos_s {
                continue;
            }
            set(&mut self.point, &self.simulator.workflow, function, choice.levels);
            self.branch(depth + 1, cost + choice.cost);
            if depth + 1 == self.order.len() {
                // By ascending cost: the first that fits is the cheapest.
                break;
            }
        }
        self.durations[function] = shortest(front);
    }
}

/// The choices of function `i` that no other beats in both duration and cost, by ascending cost.
fn front(simulator: &Simulator, i: usize) -> Vec<Choice> {
    let workflow = &simulator.workflow;
    let mut point = Point(vec![0; workflow.levels().len()]);
    let mut choices = Vec::new();
    for cpu in 0..workflow.cpu.levels() {
        for memory in 0..workflow.memory_mb.levels() {
            for concurrency in 0..workflow.functions[i].concurrency.levels() {
                let levels = [cpu, memory, concurrency];
                set(&mut point, workflow, i, levels);
                let duration = simulator.duration(&point, i);
                choices.push(Choice { levels, duration, cost: workflow.rate(&point, i) * duration });
            }
        }
    }
    choices.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(a.duration.total_cmp(&b.duration)));
    let mut shortest = f64::INFINITY;
    choices.retain(|choice| {
        choice.duration < shortest && {
            shortest = choice.duration;
            true
        }
    });
    choices
}

/// Write the levels of function `i` into `point`; that of a concurrency that is not searched has no place.
fn set(point: &mut Point, workflow: &Workflow, i: usize, [cpu, memory, concurrency]: [u16; 3]) {
    point.0[2 * i..2 * i + 2].copy_from_slice(&[cpu, memory]);
    if let Some(axis) = workflow.concurrency_axis(i) {
        point.0[axis] = concurrency;
    }
}

fn shortest(front: &[Choice]) -> f64 {
    front.last().map_or(0.0, |choice| choice.duration)
}

//! The exact noise-free optimum of a simulated workflow, by branch and bound over the functions' Pareto fronts.
//!
//! Meant for workflows of a few functions: the work grows with the product of the front sizes (about 60 each on the
//! shipped grid), less what the bounds cut.

use super::simulator::Simulator;
use super::space::Point;
use super::workflow_file::{Oracle, Workflow};

/// The most functions [`solve`] takes on.
pub const MAX_EXACT: usize = 5;

/// The most configurations of one function that are looked at.
const MAX_CHOICES: usize = 1 << 20;

/// The cheapest configuration whose latency is at most `qos_s`; `None` when there is none, or for workflows of more
/// than [`MAX_EXACT`] functions or with more than a million configurations of one function.
pub fn solve(simulator: &Simulator, qos_s: f64) -> Option<Oracle> {
    let functions = simulator.performance.len();
    let Workflow { cpu, memory_mb, .. } = &simulator.workflow;
    if functions > MAX_EXACT || usize::from(cpu.levels()) * usize::from(memory_mb.levels()) > MAX_CHOICES {
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
        point: Point(vec![0; 2 * functions]),
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
    levels: [u16; 2],
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
            // Prices do not matter for the latency, so any point will do.
            if self.simulator.workflow.compose(&self.point, &self.durations).1 > self.qos_s {
                continue;
            }
            self.point.0[2 * function..2 * function + 2].copy_from_slice(&choice.levels);
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
    let mut point = Point(vec![0; 2 * simulator.performance.len()]);
    let mut choices = Vec::new();
    for cpu in 0..workflow.cpu.levels() {
        for memory in 0..workflow.memory_mb.levels() {
            point.0[2 * i..2 * i + 2].copy_from_slice(&[cpu, memory]);
            let duration = simulator.duration(&point, i);
            let cost = workflow.price(&point, i) * duration / f64::from(workflow.functions[i].concurrency);
            choices.push(Choice { levels: [cpu, memory], duration, cost });
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

fn shortest(front: &[Choice]) -> f64 {
    front.last().map_or(0.0, |choice| choice.duration)
}

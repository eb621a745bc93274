//! Simulates many policies on all cores; the order of the outcomes does not depend on the cores.

use std::sync::Mutex;

use super::policies::BoxedPolicy;
use crate::progress::Bar;
use crate::sim::{Outcome, Simulation};

/// One outcome per policy, in their order; that of policy `recorded` with the containers provisioned.
pub(super) fn run(
    simulation: &Simulation<'_>,
    policies: Vec<BoxedPolicy<'_>>,
    recorded: usize,
    bar: Bar,
) -> Vec<Outcome> {
    bar.at(0, policies.len());
    let mut outcomes = vec![Outcome::default(); policies.len()];
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(policies.len());
    let recording = simulation.clone().record_provisioned();
    let work = Mutex::new(policies.into_iter().zip(&mut outcomes).enumerate());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = work.lock().expect("no worker panics while it takes work").next();
                    let Some((index, (mut policy, outcome))) = next else { return };
                    let simulation = if index == recorded { &recording } else { simulation };
                    *outcome = simulation.run(policy.as_mut());
                    bar.step();
                }
            });
        }
    });
    outcomes
}

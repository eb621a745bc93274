//! The cheapest configurations of a workflow for every latency: per-function fronts composed along the graph.
//!
//! Series-parallel graphs are reduced step by step (Valdes, Tarjan and Lawler, "The recognition of series parallel
//! digraphs", 1982): two stages in series add durations, two with equal neighbours take the maximum; costs add up
//! either way. This is exact up to the resolution of a [`Front`]. In any other graph the two stages whose neighbours
//! differ least are made to wait for each other's predecessors and successors. That only adds waiting, so that the
//! latency found is an upper bound of the true one; a local search on the true graph then uses up what it leaves. No step depends on the number of configurations in all.

use super::front::{Choice, Front, NONE};
use crate::part::{self, At, Part};
use crate::workflow::{StageId, StageSet, Workflow};
use heapless::Vec;

/// What a front was made of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Origin {
    Stage(u8),
    Pair(u8, u8),
}

/// Fronts of every stage and of every step of the composition. About 25 kB per stage.
pub(super) struct Composition<const F: usize> {
    stages: [Front; F],
    pairs: [Front; F],
    origins: Vec<(Origin, Origin), F>,
    root: Origin,
    series_parallel: bool,
}

/// One alive node of the graph that is being reduced.
#[derive(Clone, Copy)]
struct Node {
    origin: Origin,
    predecessors: StageSet,
    successors: StageSet,
    /// Seconds by which its duration may exceed its shortest one.
    slack: f64,
}

impl<const F: usize> Composition<F> {
    pub(super) const fn new() -> Self {
        Self {
            stages: [const { Front::new() }; F],
            pairs: [const { Front::new() }; F],
            origins: Vec::new(),
            root: Origin::Stage(0),
            series_parallel: true,
        }
    }

    /// Composes. `shortest[i]` is the shortest duration of function `i`, and `choices(i)` are all its durations and
    /// costs. Latencies up to `limit` matter, or only the shortest one if that is longer.
    pub(super) fn compose<I: Iterator<Item = Choice>>(
        &mut self,
        workflow: &Workflow<F>,
        limit: f64,
        shortest: &[f64; F],
        choices: impl Fn(usize) -> I,
    ) {
        let slack = slacks(workflow, limit, shortest);
        let mut alive: Vec<(StageId, Node), F> = Vec::new();
        for index in 0..workflow.len() {
            self.stages[index].fill(shortest[index], shortest[index] + slack[index], choices(index));
            let stage = StageId::new(index);
            let node = Node {
                origin: Origin::Stage(index as u8),
                predecessors: workflow.predecessors(stage),
                successors: workflow.successors(stage),
                slack: slack[index],
            };
            part::extend(&mut alive, [(stage, node)]);
        }
        self.origins.clear();
        self.series_parallel = true;
        while alive.len() > 1 {
            drop_implied_edges::<F>(&mut alive);
            let (i, j, series) = find_pair(&alive).unwrap_or_else(|| {
                self.series_parallel = false;
                let (i, j) = most_alike::<F>(&alive);
                unite_neighbours(&mut alive, i, j);
                (i, j, false)
            });
            let (Some(&(_, a)), Some(&(_, b))) = (alive.get(i), alive.get(j)) else { break };
            let slack = a.slack.min(b.slack);
            self.merge(a.origin, b.origin, series.then(|| workflow.edge_overhead()), slack);
            let origin = Origin::Pair((self.origins.len() as u8).wrapping_sub(1), 0);
            let successors = if series { b.successors } else { a.successors };
            if let Some((_, node)) = alive.get_mut(i) {
                *node = Node { origin, successors, slack, ..a };
            }
            remove(&mut alive, i, j);
        }
        self.root = alive.first().map_or(Origin::Stage(0), |(_, node)| node.origin);
    }

    /// The cheapest choices of the whole workflow by rising latency.
    pub(super) fn choices(&self) -> &[Choice] {
        self.front(self.root).map_or(&[], Front::choices)
    }

    /// The configuration index of every function for point `index` of [`Composition::choices`].
    pub(super) fn configuration(&self, index: usize, configuration: &mut [u16; F]) {
        let mut open: Vec<(Origin, usize), F> = Vec::new();
        part::extend(&mut open, [(self.root, index)]);
        while let Some((origin, index)) = open.pop() {
            let choice = self.front(origin).and_then(|front| front.choices().get(index));
            let Some(choice) = choice else { continue };
            match origin {
                Origin::Stage(stage) => {
                    if let Some(of_stage) = configuration.get_mut(usize::from(stage)) {
                        *of_stage = choice.first;
                    }
                }
                Origin::Pair(pair, _) => {
                    let Some(&(a, b)) = self.origins.get(usize::from(pair)) else { continue };
                    // A tree of F leaves never has more than F open nodes.
                    let two = [(a, usize::from(choice.first)), (b, usize::from(choice.second))];
                    part::extend(&mut open, two);
                }
            }
        }
    }

    /// Where the graph is not series-parallel: makes a configuration cheaper within a latency of `limit`, one function
    /// at a time, each time the one that saves most. Whatever it changes meets the limit. At most 4 F changes of F
    /// searches.
    pub(super) fn improve(&self, workflow: &Workflow<F>, limit: f64, configuration: &mut [u16; F]) {
        if self.series_parallel {
            return;
        }
        let mut chosen = [NONE; F];
        for (stage, chosen) in chosen.iter_mut().enumerate().take(workflow.len()) {
            let of_stage = self.stages[stage].choices().iter();
            *chosen = of_stage.copied().find(|c| c.first == configuration[stage]).unwrap_or(NONE);
        }
        for _ in 0..4 * workflow.len() {
            let mut most = (0.0, None);
            for stage in 0..workflow.len() {
                let latency = |duration: f64| {
                    workflow.latency_by(|i| match chosen.get(i) {
                        Some(chosen) if i != stage => chosen.duration,
                        _ => duration,
                    })
                };
                let choices = self.stages[stage].choices();
                let fitting = choices.partition_point(|choice| latency(choice.duration) <= limit);
                let Some(cheapest) = choices.head(fitting).last() else { continue };
                let saving = chosen[stage].cost - cheapest.cost;
                if saving > most.0 {
                    most = (saving, Some((stage, *cheapest)));
                }
            }
            let Some((stage, choice)) = most.1 else { break };
            let of_stage = (chosen.get_mut(stage), configuration.get_mut(stage));
            let (Some(chosen), Some(configuration)) = of_stage else { break };
            (*chosen, *configuration) = (choice, choice.first);
        }
    }

    /// Whether the graph was series-parallel, so that latencies are not only upper bounds.
    #[cfg(test)]
    fn is_series_parallel(&self) -> bool {
        self.series_parallel
    }

    fn front(&self, origin: Origin) -> Option<&Front> {
        match origin {
            Origin::Stage(stage) => self.stages.get(usize::from(stage)),
            Origin::Pair(pair, _) => self.pairs.get(usize::from(pair)),
        }
    }

    fn merge(&mut self, a: Origin, b: Origin, overhead: Option<f64>, slack: f64) {
        let place = self.origins.len();
        part::extend(&mut self.origins, [(a, b)]);
        // Earlier fronts are read while the new one is written.
        let Some((earlier, [new, ..])) = self.pairs.split_at_mut_checked(place) else { return };
        let stages = &self.stages;
        let front = |origin| match origin {
            Origin::Stage(stage) => stages.get(usize::from(stage)),
            Origin::Pair(pair, _) => earlier.get(usize::from(pair)),
        };
        let (Some(a), Some(b)) = (front(a), front(b)) else { return };
        match overhead {
            Some(overhead) => new.series(a, b, overhead, slack),
            None => new.parallel(a, b, slack),
        }
    }
}

/// By how much every stage may exceed its shortest duration, all others being at theirs.
fn slacks<const F: usize>(workflow: &Workflow<F>, limit: f64, shortest: &[f64; F]) -> [f64; F] {
    let mut finish = [0.0; F];
    let latency = workflow.finish_times(|i| shortest.at(i), &mut finish);
    // Longest way from the end of each stage to the end of the workflow.
    let mut rest = [0.0_f64; F];
    for &stage in workflow.topological_order().iter().rev() {
        let after = workflow.successors(stage).iter();
        let longest = after
            .map(|s| workflow.edge_overhead() + shortest.at(s.index()).max(0.0) + rest.at(s.index()))
            .fold(0.0, f64::max);
        if let Some(rest) = rest.get_mut(stage.index()) {
            *rest = longest;
        }
    }
    let limit = limit.max(latency);
    core::array::from_fn(|i| if i < workflow.len() { (limit - finish[i] - rest[i]).max(0.0) } else { 0.0 })
}

/// Removes edges that a longer path implies: the way through another stage is never shorter.
fn drop_implied_edges<const F: usize>(alive: &mut [(StageId, Node)]) {
    let alive = alive.head_mut(F);
    let reach: [StageSet; F] = reachable(alive);
    for i in 0..alive.len() {
        let successors = alive[i].1.successors;
        for middle in successors.iter() {
            let Some(m) = alive.iter().position(|(id, _)| *id == middle) else { continue };
            for far in successors.iter() {
                if reach.get(m).is_some_and(|reach| reach.contains(far)) {
                    let near = alive[i].0;
                    alive[i].1.successors.remove(far);
                    if let Some((_, node)) = alive.iter_mut().find(|(id, _)| *id == far) {
                        node.predecessors.remove(near);
                    }
                }
            }
        }
    }
}

/// The stages that come after each alive one.
fn reachable<const F: usize>(alive: &[(StageId, Node)]) -> [StageSet; F] {
    let mut reach = [StageSet::default(); F];
    let alive = alive.head(F);
    // A path has at most as many edges as there are nodes.
    for _ in 0..alive.len() {
        for i in 0..alive.len() {
            let mut set = alive[i].1.successors;
            for j in 0..alive.len() {
                if alive[i].1.successors.contains(alive[j].0) {
                    set = set.union(reach[j]);
                }
            }
            reach[i] = set;
        }
    }
    reach
}

/// Two nodes in series (`true`) or parallel (`false`).
fn find_pair(alive: &[(StageId, Node)]) -> Option<(usize, usize, bool)> {
    for (i, (first, a)) in alive.iter().enumerate() {
        for (j, (second, b)) in alive.iter().enumerate() {
            let only = |set: StageSet, stage: StageId| set.len() == 1 && set.contains(stage);
            if only(a.successors, *second) && only(b.predecessors, *first) {
                return Some((i, j, true));
            }
            if i < j && a.predecessors == b.predecessors && a.successors == b.successors {
                return Some((i, j, false));
            }
        }
    }
    None
}

/// The two unordered nodes that share most neighbours. A graph of several nodes without two unordered ones is a
/// chain, which [`find_pair`] reduces.
fn most_alike<const F: usize>(alive: &[(StageId, Node)]) -> (usize, usize) {
    let alive = alive.head(F);
    let reach: [StageSet; F] = reachable(alive);
    let mut best = (usize::MAX, (0, 1));
    for i in 0..alive.len() {
        for j in i + 1..alive.len() {
            if reach[i].contains(alive[j].0) || reach[j].contains(alive[i].0) {
                continue;
            }
            let (a, b) = (alive[i].1, alive[j].1);
            let different = |x: StageSet, y: StageSet| 2 * x.union(y).len() - x.len() - y.len();
            let differences =
                different(a.predecessors, b.predecessors) + different(a.successors, b.successors);
            if differences < best.0 {
                best = (differences, (i, j));
            }
        }
    }
    best.1
}

/// Gives both nodes the predecessors and successors of either.
fn unite_neighbours(alive: &mut [(StageId, Node)], i: usize, j: usize) {
    let (Some(&(first, a)), Some(&(second, b))) = (alive.get(i), alive.get(j)) else { return };
    let predecessors = a.predecessors.union(b.predecessors);
    let successors = a.successors.union(b.successors);
    for (id, node) in alive.iter_mut() {
        if predecessors.contains(*id) {
            node.successors.insert(first);
            node.successors.insert(second);
        }
        if successors.contains(*id) {
            node.predecessors.insert(first);
            node.predecessors.insert(second);
        }
    }
    for index in [i, j] {
        if let Some((_, node)) = alive.get_mut(index) {
            (node.predecessors, node.successors) = (predecessors, successors);
        }
    }
}

/// Takes node `j` out; its successors now follow node `i`.
fn remove<const F: usize>(alive: &mut Vec<(StageId, Node), F>, i: usize, j: usize) {
    let (Some(&(kept, node)), Some(&(gone, _))) = (alive.get(i), alive.get(j)) else { return };
    let successors = node.successors;
    for (id, node) in alive.iter_mut() {
        node.predecessors.remove(gone);
        node.successors.remove(gone);
        if successors.contains(*id) {
            node.predecessors.insert(kept);
        }
    }
    if j < alive.len() {
        alive.remove(j);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{SplitMix64, uniform};
    use crate::workflow::WorkflowBuilder;
    use proptest::prelude::*;

    fn workflow(stages: usize, edges: &[(usize, usize)]) -> Workflow<6> {
        let mut builder = WorkflowBuilder::new();
        for _ in 0..stages {
            builder.stage().unwrap();
        }
        for &(from, to) in edges {
            builder.edge(StageId::new(from), StageId::new(to)).unwrap();
        }
        builder.edge_overhead(0.25).unwrap();
        builder.build().unwrap()
    }

    fn compose(
        w: &Workflow<6>,
        limit: f64,
        options: &[std::vec::Vec<(f64, f64)>],
    ) -> std::boxed::Box<Composition<6>> {
        let mut composition = std::boxed::Box::new(Composition::new());
        let shortest = core::array::from_fn(|i| {
            options.get(i).map_or(0.0, |o| o.iter().map(|p| p.0).fold(f64::INFINITY, f64::min))
        });
        composition.compose(w, limit, &shortest, |i| {
            let choice = |(k, &(duration, cost))| Choice { duration, cost, first: k as u16, second: 0 };
            options[i].iter().enumerate().map(choice)
        });
        composition
    }

    /// The least cost within the limit, over all configurations.
    fn exhaustive(w: &Workflow<6>, limit: f64, options: &[std::vec::Vec<(f64, f64)>]) -> Option<f64> {
        let mut best: Option<f64> = None;
        let mut index = std::vec![0; options.len()];
        loop {
            let chosen: std::vec::Vec<(f64, f64)> = index.iter().zip(options).map(|(&k, o)| o[k]).collect();
            let cost: f64 = chosen.iter().map(|c| c.1).sum();
            let durations: std::vec::Vec<f64> = chosen.iter().map(|c| c.0).collect();
            if w.latency(&durations).unwrap() <= limit && best.is_none_or(|b| cost < b) {
                best = Some(cost);
            }
            let Some(i) = (0..index.len()).find(|&i| index[i] + 1 < options[i].len()) else { return best };
            index[i] += 1;
            index[..i].fill(0);
        }
    }

    fn check(
        w: &Workflow<6>,
        limit: f64,
        options: &[std::vec::Vec<(f64, f64)>],
    ) -> Result<(), TestCaseError> {
        let composition = compose(w, limit, options);
        for (k, choice) in composition.choices().iter().enumerate() {
            let mut configuration = [0; 6];
            composition.configuration(k, &mut configuration);
            let chosen = |i: usize| options[i][usize::from(configuration[i])];
            let durations: std::vec::Vec<f64> = (0..w.len()).map(|i| chosen(i).0).collect();
            let latency = w.latency(&durations).unwrap();
            prop_assert!(latency <= choice.duration + 1e-9, "never promises less than it takes");
            if composition.is_series_parallel() {
                prop_assert!((latency - choice.duration).abs() < 1e-9);
            }
            prop_assert!(((0..w.len()).map(|i| chosen(i).1).sum::<f64>() - choice.cost).abs() < 1e-9);
        }
        let found =
            composition.choices().iter().filter(|c| c.duration <= limit).map(|c| c.cost).reduce(f64::min);
        let best = exhaustive(w, limit, options);
        if composition.is_series_parallel() {
            prop_assert_eq!(found.is_some(), best.is_some());
            if let (Some(found), Some(best)) = (found, best) {
                prop_assert!((found - best).abs() < 1e-9, "{} {}", found, best);
            }
        } else if let (Some(found), Some(best)) = (found, best) {
            prop_assert!(found >= best - 1e-9);
        }
        let mut configuration = [0; 6];
        for (k, choice) in composition.choices().iter().enumerate() {
            composition.configuration(k, &mut configuration);
            composition.improve(w, limit, &mut configuration);
            let chosen = |i: usize| options[i][usize::from(configuration[i])];
            let durations: std::vec::Vec<f64> = (0..w.len()).map(|i| chosen(i).0).collect();
            let cost = (0..w.len()).map(|i| chosen(i).1).sum::<f64>();
            prop_assert!(cost <= choice.cost + 1e-9);
            if choice.duration <= limit || cost < choice.cost - 1e-9 {
                prop_assert!(w.latency(&durations).unwrap() <= limit + 1e-9);
            }
        }
        Ok(())
    }

    #[test]
    fn the_shipped_shapes_are_series_parallel() {
        for edges in [
            &[(0, 1), (1, 2)][..],
            &[(0, 1), (1, 2), (1, 3)],
            &[(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)],
            &[(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (0, 4)],
            &[(0, 2), (0, 3), (1, 2), (1, 3)],
        ] {
            let w = workflow(5, edges);
            assert!(compose(&w, 10.0, &[1.0; 5].map(|cost| std::vec![(1.0, cost)])).is_series_parallel());
        }
        // The N: 0 -> 2, 0 -> 3, 1 -> 3.
        let n = workflow(4, &[(0, 2), (0, 3), (1, 3)]);
        let composition = compose(&n, 10.0, &[1.0, 2.0, 3.0, 4.0].map(|d| std::vec![(d, 1.0)]));
        assert!(!composition.is_series_parallel());
        assert!(composition.choices()[0].duration >= 6.25);
    }

    /// Graphs that are not series-parallel, with 8 random configurations per function: cost over the least, minus 1,
    /// of the bound and after the local search.
    #[test]
    fn the_local_search_closes_a_good_part_of_the_gap_of_the_bound() {
        let mut rng = SplitMix64(1);
        let (mut of_bound, mut after, mut cases) = (0.0, 0.0, 0);
        for edges in [&[(0, 2), (0, 3), (1, 3)][..], &[(0, 2), (0, 3), (1, 3), (1, 4), (2, 4)]] {
            let w = workflow(5, edges);
            for _ in 0..60 {
                let options = [(); 5].map(|()| {
                    let work = 1.0 + 9.0 * uniform(&mut rng);
                    let choice = |k: usize| {
                        let duration = work / (1.0 + 0.5 * k as f64);
                        (duration, duration * (0.3 + k as f64 * (0.3 + 0.7 * uniform(&mut rng))))
                    };
                    (0..8).map(choice).collect::<std::vec::Vec<_>>()
                });
                let limit = 12.0;
                let composition = compose(&w, limit, &options);
                assert!(!composition.is_series_parallel());
                let Some(k) = composition.choices().iter().rposition(|c| c.duration <= limit) else {
                    continue;
                };
                let mut configuration = [0; 6];
                composition.configuration(k, &mut configuration);
                composition.improve(&w, limit, &mut configuration);
                let cost = (0..5).map(|i| options[i][usize::from(configuration[i])].1).sum::<f64>();
                let least = exhaustive(&w, limit, &options).unwrap();
                of_bound += composition.choices()[k].cost / least - 1.0;
                after += cost / least - 1.0;
                cases += 1;
            }
        }
        let (of_bound, after) = (of_bound / f64::from(cases), after / f64::from(cases));
        assert!(cases > 50 && of_bound > 0.01 && after < 0.6 * of_bound, "{cases}: {of_bound} {after}");
    }

    proptest! {
        /// Durations are multiples of 1/4, so that no two of them share a bin and the front is exact.
        #[test]
        fn is_the_cheapest_of_all_configurations(
            options in proptest::collection::vec(proptest::collection::vec((1u8..40, 0.0f64..10.0), 1..5), 1..=6),
            pairs in proptest::collection::vec((0usize..6, 0usize..6), 0..9),
            limit in 1.0f64..60.0,
        ) {
            let options: std::vec::Vec<std::vec::Vec<(f64, f64)>> =
                options.into_iter().map(|o| o.into_iter().map(|(d, c)| (f64::from(d) / 4.0, c)).collect()).collect();
            let n = options.len();
            let edges: std::vec::Vec<_> = pairs.into_iter().filter(|(a, b)| a < b && *b < n).collect();
            check(&workflow(n, &edges), limit, &options)?;
        }
    }
}

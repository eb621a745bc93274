//! From posterior to decision: the next batch, and the configuration to use.

use super::composition::Composition;
use super::front::Choice;
use super::kernel::{AXES, Place};
use super::noise::Noise;
use super::observations::Observations;
use super::surface::{Grid, Surfaces};
use super::{Resource, StructuredModel, StructuredScratch};
use crate::bo::MAX_BATCH;
use crate::bo::model::{Evidence, Posterior, Proposal, Recommendation};
use crate::bo::space::{Point, SearchSpace};
use crate::bo::trial::Expectation;
use crate::math::normal::{self, Normal};
use crate::math::vector;
use crate::math::{cholesky, float};
use crate::part::{self, At};
use crate::random::{SplitMix64, standard_normal};
use heapless::Vec;
use rand_core::Rng;

/// A recommendation meets the QoS at least at this many posterior standard deviations, whatever confidence is asked
/// for: of many configurations the cheapest seems better than it is, and the posterior is too sure of itself.
const SAFETY_DEVIATIONS: f64 = 4.0;
/// And it stays below the QoS by this share, for what smooth surfaces miss at kinks.
const SAFETY_MARGIN: f64 = 0.005;
/// The exploiting proposal is held to this many standard deviations only.
const EXPLOIT_DEVIATIONS: f64 = 1.0;
/// Pairs of antithetic paths for the posterior of cost and latency.
const PATHS: usize = 64;
/// How often a draw that repeats a pending or proposed point is made anew.
const REDRAWS: usize = 2;

/// Temporary memory of a decision.
pub(super) struct Workbench<const F: usize, const N: usize, const L: usize> {
    grids: [Grid; F],
    surfaces: Surfaces<N>,
    /// Cost per second of every candidate.
    rates: [[f64; L]; F],
    /// ln duration of every candidate; its duration, once composed.
    ln_durations: [[f64; L]; F],
    residuals: [[f64; N]; F],
    composition: Composition<F>,
    normals: [[f64; F]; PATHS],
}

impl<const F: usize, const N: usize, const L: usize> Workbench<F, N, L> {
    pub(super) const fn new() -> Self {
        Self {
            grids: [const { Grid::new() }; F],
            surfaces: Surfaces::new(),
            rates: [[0.0; L]; F],
            ln_durations: [[0.0; L]; F],
            residuals: [[0.0; N]; F],
            composition: Composition::new(),
            normals: [[0.0; F]; PATHS],
        }
    }
}

/// A candidate index per function and what is believed of it.
#[derive(Clone, Copy)]
struct Decision<const F: usize> {
    configuration: [u16; F],
    ln_cost: Normal,
    ln_latency: Normal,
}

impl<B, const F: usize, const N: usize, const L: usize> StructuredModel<B, F, N, L> {
    /// The cheapest configuration that meets the QoS with the stated confidence, or the most feasible one.
    pub(super) fn decide<const D: usize, S>(
        &self,
        evidence: &Evidence<'_, D, F>,
        scratch: &mut StructuredScratch<S, F, N, L>,
    ) -> Recommendation<D> {
        self.prepare(evidence.space, scratch);
        let deviations = normal::quantile(evidence.objective.confidence).max(SAFETY_DEVIATIONS);
        let (decision, qualified) = self.cheapest_safe(evidence, deviations, SAFETY_MARGIN, scratch);
        let Decision { ln_cost, ln_latency, .. } = decision;
        let feasible = ln_latency.cdf(float::ln(evidence.objective.latency_limit));
        let point = self.point(evidence.space, &scratch.workbench.grids, &decision.configuration);
        Recommendation { point, ln_cost, ln_latency, feasible, qualified }
    }

    /// The posterior of every one of `points`, on the grid of candidates or off it.
    pub(super) fn believe<const D: usize, S>(
        &self,
        space: &SearchSpace<D>,
        points: &[Point<D>],
        posteriors: &mut [Posterior],
        scratch: &mut StructuredScratch<S, F, N, L>,
    ) {
        self.prepare(space, scratch);
        for (point, posterior) in points.iter().zip(posteriors) {
            let (mut places, mut rates): ([Place; F], _) = ([[0.0; AXES]; F], [0.0; F]);
            let stages = self.resources.iter().zip(places.iter_mut().zip(&mut rates));
            for (stage, (resources, (place, rate))) in stages.enumerate() {
                *place = self.place(space, point, stage);
                let levels = resources.all().map(|resource| match resource {
                    Resource::Axis(axis) => point.indices().get(usize::from(axis)).copied().unwrap_or(0),
                    Resource::Fixed(_) => 0,
                });
                *rate = self.prices.per_second(&self.configuration(space, stage, levels));
            }
            *posterior = self.predict_at(&places, &rates, None, scratch);
        }
    }

    /// One exploiting proposal, unless it is pending already, and draws from the posterior (Thompson), each of them
    /// solved for its own cheapest configuration.
    pub(super) fn decide_batch<const D: usize, R: Rng + ?Sized, S>(
        &self,
        evidence: &Evidence<'_, D, F>,
        count: usize,
        batch: &mut Vec<Proposal<D>, MAX_BATCH>,
        rng: &mut R,
        scratch: &mut StructuredScratch<S, F, N, L>,
    ) {
        self.prepare(evidence.space, scratch);
        let (exploit, _) = self.cheapest_safe(evidence, EXPLOIT_DEVIATIONS, 0.0, scratch);
        let taken = |point: &Point<D>, batch: &[Proposal<D>]| {
            batch.iter().any(|p| p.point == *point)
                || evidence.trials.iter().any(|t| t.is_pending() && t.point == *point)
        };
        let mut configuration = exploit.configuration;
        let mut redraws = 0;
        while batch.len() < count.min(MAX_BATCH) {
            let point = self.point(evidence.space, &scratch.workbench.grids, &configuration);
            if !taken(&point, batch) || redraws == REDRAWS {
                let seen = self.predict(&configuration, Some(&self.noise), scratch);
                let (ln_cost, ln_latency) =
                    (self.noise.disturb(seen.ln_cost), self.noise.disturb(seen.ln_latency));
                let expected = Some(Expectation { ln_cost, ln_latency });
                // The length was tested above.
                let _ = batch.push(Proposal { point, expected });
                redraws = 0;
            } else {
                redraws += 1;
            }
            if batch.len() < count {
                configuration = self.cheapest_of_draw(evidence, rng, scratch);
            }
        }
    }

    /// Grids, and normals for [`Self::predict`].
    fn prepare<const D: usize, S>(
        &self,
        space: &SearchSpace<D>,
        scratch: &mut StructuredScratch<S, F, N, L>,
    ) {
        let bench = &mut scratch.workbench;
        let grids = bench.grids.iter_mut().zip(&mut bench.rates);
        for (i, (resources, (grid, rates))) in self.resources.iter().zip(grids).enumerate() {
            let axes = resources.all().map(|resource| match resource {
                Resource::Axis(axis) => space.axes().get(usize::from(axis)),
                Resource::Fixed(_) => None,
            });
            grid.fill(axes, L);
            for (candidate, rate) in rates.iter_mut().enumerate().take(grid.len()) {
                *rate = self.prices.per_second(&self.configuration(space, i, grid.levels(candidate)));
            }
        }
        // The same paths at every step, so that a decision depends on the posterior only.
        let mut rng = SplitMix64(0);
        for z in bench.normals.as_flattened_mut() {
            *z = standard_normal(&mut rng);
        }
    }

    /// The cheapest configuration by posterior mean whose latency meets the limit, less `margin`, at `deviations`
    /// standard deviations; the fastest one if none does (`false`).
    fn cheapest_safe<const D: usize, S>(
        &self,
        evidence: &Evidence<'_, D, F>,
        deviations: f64,
        margin: f64,
        scratch: &mut StructuredScratch<S, F, N, L>,
    ) -> (Decision<F>, bool) {
        let limit = evidence.objective.latency_limit;
        for i in 0..self.workflow.len() {
            let bench = &mut scratch.workbench;
            let (grid, out) = (&bench.grids[i], &mut bench.ln_durations[i]);
            bench.surfaces.mean(&scratch.observations, &self.kernel, &scratch.joint, grid, i, out);
        }
        self.compose(limit, scratch);
        let bound = float::ln(limit * (1.0 - margin));
        let mut configuration = [0; F];
        let Workbench { composition, ln_durations: durations, .. } = &scratch.workbench;
        composition.configuration(0, &mut configuration);
        // The latencies of choices may be bounds; what they take more than the fastest one is still worth trying.
        let bound_of = |composition: &Composition<F>, index| {
            composition.choices().get(index).map_or(0.0, |choice: &Choice| choice.duration)
        };
        let chosen: [f64; F] =
            core::array::from_fn(|i| durations[i][usize::from(configuration[i]).min(L - 1)]);
        let fastest = self.workflow.latency_by(|i| chosen.at(i));
        let excess = bound_of(composition, 0) - fastest;
        let mut try_choice = |index: usize, scratch: &mut StructuredScratch<S, F, N, L>| {
            let composition = &scratch.workbench.composition;
            composition.configuration(index, &mut configuration);
            composition.improve(&self.workflow, bound_of(composition, index) - excess, &mut configuration);
            let decision = self.predict(&configuration, None, scratch);
            let latency = decision.ln_latency;
            (decision, latency.mean + deviations * latency.standard_deviation() <= bound)
        };
        // Latency rises and cost falls along the choices: bisection for the last safe one.
        let (fastest, safe) = try_choice(0, scratch);
        if !safe {
            return (fastest, false);
        }
        let (mut best, mut low, mut high) = (fastest, 0, scratch.workbench.composition.choices().len());
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            let (decision, safe) = try_choice(middle, scratch);
            if safe {
                (best, low) = (decision, middle);
            } else {
                high = middle;
            }
        }
        (best, true)
    }

    /// The cheapest configuration under one joint draw of all surfaces; its fastest one if none meets the QoS.
    fn cheapest_of_draw<const D: usize, R: Rng + ?Sized, S>(
        &self,
        evidence: &Evidence<'_, D, F>,
        rng: &mut R,
        scratch: &mut StructuredScratch<S, F, N, L>,
    ) -> [u16; F] {
        let limit = evidence.objective.latency_limit;
        let bench = &mut scratch.workbench;
        let (data, joint) = (&scratch.observations, &scratch.joint);
        let (out, residuals) = (&mut bench.ln_durations, &mut bench.residuals);
        bench.surfaces.draw(data, &self.kernel, &self.noise, joint, &bench.grids, out, residuals, rng);
        self.compose(limit, scratch);
        let composition = &scratch.workbench.composition;
        let within = composition.choices().iter().rposition(|choice| choice.duration <= limit);
        let mut configuration = [0; F];
        composition.configuration(within.unwrap_or(0), &mut configuration);
        composition.improve(&self.workflow, limit, &mut configuration);
        configuration
    }

    /// Composes the surfaces of `ln_durations`.
    fn compose<S>(&self, limit: f64, scratch: &mut StructuredScratch<S, F, N, L>) {
        let Workbench { grids, rates, ln_durations, composition, .. } = &mut scratch.workbench;
        let mut shortest = [0.0; F];
        for i in 0..self.workflow.len() {
            let shift = self.noise.mean_over_median(i);
            let len = grids[i].len().min(L);
            ln_durations[i][..len]
                .iter_mut()
                .for_each(|x| *x = vector::exp((*x + shift).clamp(-600.0, 600.0)));
            shortest[i] = ln_durations[i][..len].iter().copied().fold(f64::INFINITY, f64::min);
        }
        composition.compose(&self.workflow, limit, &shortest, |i| {
            let of_stage = ln_durations.get(i).zip(rates.get(i)).zip(grids.get(i));
            let candidates = of_stage.into_iter().flat_map(|((durations, rates), grid)| {
                durations.iter().zip(rates).enumerate().take(grid.len())
            });
            candidates.map(|(candidate, (&duration, &rate))| Choice {
                duration,
                cost: rate * duration,
                first: candidate as u16,
                second: 0,
            })
        });
    }

    /// Posterior of ln cost and ln latency of a configuration under mean durations; with `noise`, of what one
    /// undisturbed invocation will show. Normals fitted to 2 [`PATHS`] antithetic paths.
    fn predict<S>(
        &self,
        configuration: &[u16; F],
        noise: Option<&Noise<F>>,
        scratch: &StructuredScratch<S, F, N, L>,
    ) -> Decision<F> {
        let bench = &scratch.workbench;
        let (mut places, mut rates): ([Place; F], _) = ([[0.0; AXES]; F], [0.0; F]);
        for i in 0..self.workflow.len() {
            places[i] = bench.grids[i].place(usize::from(configuration[i]));
            rates[i] = bench.rates[i][usize::from(configuration[i]).min(L - 1)];
        }
        let Posterior { ln_cost, ln_latency } = self.predict_at(&places, &rates, noise, scratch);
        Decision { configuration: *configuration, ln_cost, ln_latency }
    }

    /// The same for functions at these places, with these costs per second.
    fn predict_at<S>(
        &self,
        places: &[Place; F],
        rates: &[f64; F],
        noise: Option<&Noise<F>>,
        scratch: &StructuredScratch<S, F, N, L>,
    ) -> Posterior {
        let data: &Observations<F, N> = &scratch.observations;
        let bench = &scratch.workbench;
        let stages = self.workflow.len();
        let (mut mean, mut covariance) = ([0.0; F], [[0.0; F]; F]);
        scratch.joint.posterior(data, &self.kernel, places, &mut mean, &mut covariance);
        if let Some(noise) = noise {
            for i in 0..stages {
                covariance[i][i] += noise.own.get(i).copied().unwrap_or(0.0);
                covariance[i][..stages].iter_mut().for_each(|x| *x += noise.common);
            }
        }
        let mut jitter = 1e-12;
        let mut factor = covariance;
        while cholesky::factor(factor.as_flattened_mut(), stages, F).is_err() {
            jitter *= 10.0;
            factor = covariance;
            for i in 0..stages {
                factor[i][i] = covariance[i][i] * (1.0 + jitter) + jitter;
                if jitter > 1.0 {
                    factor[i][i + 1..].fill(0.0);
                    factor[i][i] = 1.0;
                }
            }
        }
        let (mut costs, mut latencies) = (Moments::default(), Moments::default());
        for z in &bench.normals {
            let mut deviation = [0.0; F];
            for i in 0..stages {
                for j in i..stages {
                    deviation[j] += factor[i][j] * z[i];
                }
            }
            for sign in [1.0, -1.0] {
                let duration: [f64; F] = core::array::from_fn(|i| {
                    // A mean duration, or the median one that noise is put on.
                    let shift = if noise.is_some() { 0.0 } else { self.noise.mean_over_median(i) };
                    vector::exp((mean[i] + shift + sign * deviation[i]).clamp(-600.0, 600.0))
                });
                costs.add(float::ln((0..stages).map(|i| rates[i] * duration[i]).sum()));
                latencies.add(float::ln(self.workflow.latency_by(|i| duration.at(i))));
            }
        }
        let level = if noise.is_some() { 0.0 } else { self.noise.mean_over_median_variance() };
        Posterior { ln_cost: costs.normal(level), ln_latency: latencies.normal(level) }
    }

    /// The point of the search space for a candidate of every function.
    fn point<const D: usize>(
        &self,
        space: &SearchSpace<D>,
        grids: &[Grid; F],
        configuration: &[u16; F],
    ) -> Point<D> {
        let mut indices: Vec<u16, D> = part::list(space.axes().iter().map(|_| 0));
        for ((resources, grid), candidate) in self.resources.iter().zip(grids).zip(configuration) {
            let levels = grid.levels(usize::from(*candidate));
            for (resource, level) in resources.all().into_iter().zip(levels) {
                if let Resource::Axis(axis) = resource
                    && let Some(index) = indices.get_mut(usize::from(axis))
                {
                    *index = level;
                }
            }
        }
        Point(indices)
    }
}

/// Running mean and spread.
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, x: f64) {
        self.count += 1.0;
        let before = x - self.mean;
        self.mean += before / self.count;
        self.squares += before * (x - self.mean);
    }

    fn normal(&self, further_variance: f64) -> Normal {
        Normal { mean: self.mean, variance: self.squares / (self.count - 1.0).max(1.0) + further_variance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_the_mean_and_the_unbiased_variance() {
        let mut moments = Moments::default();
        moments.add(2.0);
        assert_eq!(moments.normal(0.5), Normal { mean: 2.0, variance: 0.5 });
        [4.0, 9.0].into_iter().for_each(|x| moments.add(x));
        assert_eq!(moments.normal(0.5), Normal { mean: 5.0, variance: 13.0 + 0.5 });
    }
}

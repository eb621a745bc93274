//! [`BlackBox`]: the paper's model. Cost and latency are functions of all axes together, nothing else is known.

use super::MAX_BATCH;
use super::acquisition::maximise::MAX_RAW;
use super::acquisition::{Acquisition, Improvement, MAX_JOINT};
use super::cheapest::{Judge, Safety};
use super::model::{Evidence, Model, ModelError, Objective, Posterior, Proposal, Recommendation};
use super::profile::Baseline;
use super::space::{Point, SearchSpace};
use super::surrogates::{Sampling, Surrogates};
use super::trial::{Expectation, Trial};
use crate::anomaly::{AnomalyTest, Verdict};
use crate::gp::{Gp, GpError, Hyperparameters, Noise, Prior};
use crate::math::float;
use crate::math::normal::{self, Normal};
use crate::part::{self, Part};
use heapless::Vec;
use rand_core::Rng;

/// How the model fits, tests and samples.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BlackBoxConfig {
    /// Priors of the processes.
    pub prior: Prior,
    /// How batches are chosen.
    pub sampling: Sampling,
    /// Which outcomes are left out of the fit; `None` keeps all, and the verdicts are those of the default test.
    pub anomalies: Option<AnomalyTest>,
}

/// Two independent processes over the encoded axes, for ln cost and ln latency; constrained noisy expected
/// improvement chooses the batches, and the posterior over all configurations the recommendation and one proposal in
/// three. `D` is the capacity in axes, `N`, `S` and `Q` those of the scratch: complete and pending trials, paths, and
/// candidates that are moved together. `S` and `Q` change what is drawn, so a snapshot goes on only where they are the same.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BlackBox<const D: usize, const N: usize, const S: usize, const Q: usize = MAX_JOINT> {
    config: BlackBoxConfig,
    /// Hyper-parameters of the last proposal, where the next fit starts.
    warm: Option<[Hyperparameters<D>; 2]>,
    /// [`Self::CAPACITIES`] of the build that made it.
    capacities: [u16; 3],
}

impl<const D: usize, const N: usize, const S: usize, const Q: usize> BlackBox<D, N, S, Q> {
    /// What answers depend on besides the configuration: `S` and `Q`, because numbers are drawn in blocks of `S` and for each
    /// of `Q` candidates, and how many raw samples there is room for.
    const CAPACITIES: [u16; 3] = [S as u16, Q as u16, if N * N < MAX_RAW { N * N } else { MAX_RAW } as u16];

    /// A model without a past.
    pub const fn new(config: BlackBoxConfig) -> Self {
        Self { config, warm: None, capacities: Self::CAPACITIES }
    }

    /// The configuration.
    pub const fn config(&self) -> &BlackBoxConfig {
        &self.config
    }

    /// Fits both processes to the complete trials and rules anomalies out: judged with all trials in, then once more
    /// with the hyper-parameters that the others alone give. `verdicts` has one place per trial of the evidence.
    fn fit<const F: usize>(
        &self,
        evidence: &Evidence<'_, D, F>,
        verdicts: &mut [Verdict],
        scratch: &mut Surrogates<N, D, S, Q>,
    ) -> Result<(), ModelError> {
        let complete = evidence.trials.iter().filter(|t| t.outcome().is_some()).count();
        if complete < NEEDED {
            return Err(ModelError::TooFewTrials { complete, needed: NEEDED });
        }
        if complete > N {
            return Err(ModelError::Capacity { capacity: N });
        }
        let noise = if evidence.trials.iter().all(|t| noise_of(evidence, t).is_some()) {
            Noise::Known
        } else {
            Noise::Inferred
        };
        let prior = self.config.prior;
        verdicts.fill(Verdict::Untested);
        load(evidence, verdicts, [0.0; 2], scratch)?;
        let starts = self.warm.as_ref().map_or([None; 2], |[cost, latency]| [Some(cost), Some(latency)]);
        scratch.fit(prior, noise, starts)?;
        let Some(test) = &self.config.anomalies else { return Ok(()) };
        judge_all(evidence, test, verdicts, scratch)?;
        if !verdicts.iter().any(Verdict::is_anomalous) {
            return Ok(());
        }
        let refit = |verdicts: &[Verdict], scratch: &mut Surrogates<N, D, S, Q>| -> Result<_, ModelError> {
            let [cost, latency] = hyperparameters(scratch);
            load(evidence, verdicts, [0.0; 2], scratch)?;
            scratch.fit(prior, noise, [Some(&cost), Some(&latency)])?;
            Ok(hyperparameters(scratch))
        };
        let [cost, latency] = refit(verdicts, scratch)?;
        verdicts.fill(Verdict::Untested);
        let inferred = if noise == Noise::Inferred { [cost.noise, latency.noise] } else { [0.0; 2] };
        load(evidence, verdicts, inferred, scratch)?;
        scratch.set_hyperparameters([cost, latency])?;
        judge_all(evidence, test, verdicts, scratch)?;
        refit(verdicts, scratch)?;
        Ok(())
    }

    /// Fits the processes of the scratch where the verdicts are of no interest.
    fn fit_scratch<const F: usize>(
        &self,
        evidence: &Evidence<'_, D, F>,
        scratch: &mut Surrogates<N, D, S, Q>,
    ) -> Result<(), ModelError> {
        let mut verdicts = [Verdict::Untested; N];
        let verdicts =
            verdicts.get_mut(..evidence.trials.len()).ok_or(ModelError::Capacity { capacity: N })?;
        self.fit(evidence, verdicts, scratch)
    }

    /// The cheapest safe configuration under the fitted processes, searched from the measured ones.
    fn cheapest<const F: usize>(
        &self,
        evidence: &Evidence<'_, D, F>,
        safety: Safety,
        scratch: &Surrogates<N, D, S, Q>,
    ) -> Result<Recommendation<D>, ModelError> {
        let (cost, latency) = scratch.processes();
        let judge = Judge { space: evidence.space, objective: evidence.objective, cost, latency, safety };
        let measured = evidence.trials.iter().filter(|t| t.outcome().is_some()).map(|t| &t.point);
        let baseline = evidence.baseline.iter().map(|baseline| &baseline.point);
        judge
            .cheapest(measured.chain(baseline))?
            .ok_or(ModelError::TooFewTrials { complete: 0, needed: NEEDED })
    }
}

/// A recommendation meets the QoS at least at this many posterior standard deviations, whatever confidence is asked
/// for: of many configurations the cheapest seems better than it is.
const SAFETY_DEVIATIONS: f64 = 2.5;
/// And it stays below the QoS by this share, for what smooth surfaces miss at kinks.
const SAFETY_MARGIN: f64 = 0.01;
/// One proposal in this many exploits: it is what would be recommended at [`EXPLOIT_DEVIATIONS`]. The others explore.
const EXPLOIT_EVERY: usize = 3;
const EXPLOIT_DEVIATIONS: f64 = 1.0;

/// Where no new configuration promises to save this share of the cost, what would be recommended is measured (again): a
/// better estimate of it is worth more.
const WORTHWHILE: f64 = 1e-3;

/// The largest variance of a logarithm that is distinguished: an outcome with it tells nothing.
const MOST_NOISE: f64 = 1e6;

/// The fewest complete trials that are fitted.
const NEEDED: usize = 3;

impl<const D: usize, const N: usize, const S: usize, const Q: usize, const F: usize> Model<D, F>
    for BlackBox<D, N, S, Q>
{
    type Scratch = Surrogates<N, D, S, Q>;

    fn has_task_of(&self, other: &Self) -> bool {
        self.config == other.config
    }

    fn is_consistent(&self, space: &SearchSpace<D>) -> bool {
        self.capacities == Self::CAPACITIES
            && self.config.anomalies.is_none_or(|test| test.is_consistent())
            && self.warm.iter().flatten().all(|warm| warm.is_consistent(space.dimensions()))
    }

    fn needed(&self) -> usize {
        NEEDED
    }

    fn propose<R: Rng + ?Sized>(
        &mut self,
        evidence: &Evidence<'_, D, F>,
        count: usize,
        batch: &mut Vec<Proposal<D>, MAX_BATCH>,
        rng: &mut R,
        scratch: &mut Surrogates<N, D, S, Q>,
    ) -> Result<(), ModelError> {
        self.fit_scratch(evidence, scratch)?;
        self.warm = Some(hyperparameters(scratch));

        let space = evidence.space;
        let (lower, mut upper) = ([0.0; D], [0.0; D]);
        for (upper, axis) in upper.iter_mut().zip(space.axes()) {
            *upper = if axis.levels() > 1 { 1.0 } else { 0.0 };
        }
        let mut pending: Vec<[f64; D], N> = Vec::new();
        for trial in evidence.trials.iter().filter(|t| t.is_pending()) {
            let mut x = [0.0; D];
            space.encode(&trial.point, &mut x);
            let _ = pending.push(x);
        }
        let exploit =
            self.cheapest(evidence, Safety { deviations: EXPLOIT_DEVIATIONS, margin: 0.0 }, scratch)?;
        let known = evidence.trials.iter().any(|trial| trial.point == exploit.point);
        let trials = evidence.trials.len();
        let mut taken: Vec<Point<D>, MAX_BATCH> = Vec::new();
        if !known && (trials..trials + count).any(|trial| trial % EXPLOIT_EVERY == 0) {
            let mut x = [0.0; D];
            space.encode(&exploit.point, &mut x);
            let _ = pending.push(x);
            let _ = taken.push(exploit.point.clone());
        }
        let first = taken.len();
        let mut x = [[0.0; D]; MAX_BATCH];
        let x = x.head_mut(count.clamp(1, MAX_BATCH).saturating_sub(first));
        let mut ln_improvements: Vec<f64, MAX_BATCH> = part::list(taken.iter().map(|_| 0.0));
        let settle = |acquisition: &mut Acquisition<N, D, S, Q>, flat: &mut [f64]| {
            let value = settle(space, evidence.trials, &mut taken, acquisition, flat);
            let ln_improvement = match self.config.sampling.improvement {
                Improvement::LogNei => value,
                Improvement::Nei => float::ln(value),
            };
            let _ = ln_improvements.resize(taken.len(), ln_improvement);
        };
        if !x.is_empty() {
            scratch.search(&self.config.sampling, &pending, &lower, &upper, x, settle, rng)?;
        }
        let worthwhile = |ln_improvement: f64| ln_improvement >= float::ln(WORTHWHILE);
        let mut best = None;
        if !ln_improvements.iter().all(|&ln| worthwhile(ln)) {
            let recommended = self.cheapest(evidence, Safety::of(evidence.objective), scratch)?;
            best = Some(recommended.point).filter(|point| recommended.qualified && !taken.contains(point));
        }
        for (point, &ln_improvement) in taken.iter().zip(&ln_improvements) {
            let mut point = point.clone();
            if !worthwhile(ln_improvement)
                && let Some(best) = best.take()
            {
                point = best;
            }
            let expected = Some(expectation(evidence, &point, scratch)?);
            if batch.push(Proposal { point, expected }).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn verdicts(
        &self,
        evidence: &Evidence<'_, D, F>,
        verdicts: &mut [Verdict],
        scratch: &mut Surrogates<N, D, S, Q>,
    ) -> Result<(), ModelError> {
        let (expected, found) = (evidence.trials.len(), verdicts.len());
        if expected != found {
            return Err(GpError::Length { expected, found }.into());
        }
        self.fit(evidence, verdicts, scratch)
            .and_then(|()| match self.config.anomalies {
                Some(_) => Ok(()),
                // Nothing was left out, so nothing was judged.
                None => Ok(judge_all(evidence, &AnomalyTest::default(), verdicts, scratch)?),
            })
            .inspect_err(|_| verdicts.fill(Verdict::Untested))
    }

    fn recommend(
        &self,
        evidence: &Evidence<'_, D, F>,
        scratch: &mut Surrogates<N, D, S, Q>,
    ) -> Result<Recommendation<D>, ModelError> {
        self.fit_scratch(evidence, scratch)?;
        self.cheapest(evidence, Safety::of(evidence.objective), scratch)
    }

    fn posterior(
        &self,
        evidence: &Evidence<'_, D, F>,
        points: &[Point<D>],
        posteriors: &mut [Posterior],
        scratch: &mut Surrogates<N, D, S, Q>,
    ) -> Result<(), ModelError> {
        self.fit_scratch(evidence, scratch)?;
        for (point, posterior) in points.iter().zip(posteriors) {
            *posterior = posterior_at(evidence, point, scratch)?;
        }
        Ok(())
    }
}

/// What the fitted processes believe of `point`. They are of minus ln cost, and of ln latency over the limit.
fn posterior_at<const D: usize, const N: usize, const S: usize, const Q: usize, const F: usize>(
    evidence: &Evidence<'_, D, F>,
    point: &Point<D>,
    scratch: &Surrogates<N, D, S, Q>,
) -> Result<Posterior, GpError> {
    let mut x = [0.0; D];
    evidence.space.encode(point, &mut x);
    let x = &x[..evidence.space.dimensions()];
    let (cost, latency) = scratch.processes();
    let (cost, latency) = (cost.posterior(x)?, latency.posterior(x)?);
    let limit = float::ln(evidence.objective.latency_limit);
    Ok(Posterior {
        ln_cost: Normal { mean: -cost.mean, ..cost },
        ln_latency: Normal { mean: latency.mean + limit, ..latency },
    })
}

impl Safety {
    /// What a recommendation must have.
    fn of(objective: Objective) -> Self {
        let deviations = normal::quantile(objective.confidence).max(SAFETY_DEVIATIONS);
        Self { deviations, margin: SAFETY_MARGIN }
    }
}

/// What one invocation will show.
fn expectation<const D: usize, const N: usize, const S: usize, const Q: usize, const F: usize>(
    evidence: &Evidence<'_, D, F>,
    point: &Point<D>,
    scratch: &Surrogates<N, D, S, Q>,
) -> Result<Expectation, GpError> {
    let Posterior { ln_cost, ln_latency } = posterior_at(evidence, point, scratch)?;
    let noise = |gp: &Gp<N, D>| gp.noise().iter().sum::<f64>() / gp.len().max(1) as f64;
    let (cost, latency) = scratch.processes();
    let seen = |normal: Normal, gp| Normal { variance: normal.variance + noise(gp), ..normal };
    Ok(Expectation { ln_cost: seen(ln_cost, cost), ln_latency: seen(ln_latency, latency) })
}

/// Variances of ln cost and ln latency of one trial: measured, or from the profile.
fn noise_of<const D: usize, const F: usize>(
    evidence: &Evidence<'_, D, F>,
    trial: &Trial<D, F>,
) -> Option<[f64; 2]> {
    let Some(outcome) = trial.outcome() else { return Some([0.0; 2]) };
    // In this order, and bounded, because the square of a tiny mean is 0.
    let relative = |variance: Option<f64>, mean: f64| variance.map(|v| (v / mean / mean).min(MOST_NOISE));
    let profile = evidence.baseline.map(|baseline| &baseline.profile);
    let square = |deviation: f64| deviation * deviation;
    Some([
        relative(outcome.cost_variance(), outcome.cost()).or(profile.map(|p| square(p.cost.deviation)))?,
        relative(outcome.latency_variance(), outcome.latency())
            .or(profile.map(|p| square(p.latency.deviation)))?,
    ])
}

/// Puts the complete trials that are not anomalous into both processes, and after them the baseline if it is still
/// true and there is room; `inferred` are the noise variances of trials that bring none.
fn load<const D: usize, const N: usize, const S: usize, const Q: usize, const F: usize>(
    evidence: &Evidence<'_, D, F>,
    verdicts: &[Verdict],
    inferred: [f64; 2],
    scratch: &mut Surrogates<N, D, S, Q>,
) -> Result<(), GpError> {
    let d = evidence.space.dimensions();
    scratch.reset(d)?;
    for (trial, verdict) in evidence.trials.iter().zip(verdicts) {
        let Some(outcome) = trial.outcome().filter(|_| !verdict.is_anomalous()) else { continue };
        let mut x = [0.0; D];
        evidence.space.encode(&trial.point, &mut x);
        let [cost, latency] = noise_of(evidence, trial).unwrap_or(inferred);
        scratch.push(
            &x[..d],
            outcome.cost(),
            outcome.latency() / evidence.objective.latency_limit,
            cost,
            latency,
        )?;
    }
    if let Some(Baseline { point, profile }) = evidence.baseline.filter(|_| !evidence.changed)
        && scratch.processes().0.len() < N
    {
        let mut x = [0.0; D];
        evidence.space.encode(point, &mut x);
        scratch.push(
            &x[..d],
            float::exp(profile.cost.median),
            float::exp(profile.latency.median) / evidence.objective.latency_limit,
            profile.cost.variance_of_median(profile.samples),
            profile.latency.variance_of_median(profile.samples),
        )?;
    }
    Ok(())
}

/// Judges the observations of both processes and puts the verdicts at the places of their trials. All complete
/// trials must be loaded.
fn judge_all<const D: usize, const N: usize, const S: usize, const Q: usize, const F: usize>(
    evidence: &Evidence<'_, D, F>,
    test: &AnomalyTest,
    verdicts: &mut [Verdict],
    scratch: &mut Surrogates<N, D, S, Q>,
) -> Result<(), GpError> {
    let mut judged = [Verdict::Untested; N];
    let judged = &mut judged[..scratch.processes().0.len()];
    scratch.judge(test, judged)?;
    let mut judged = judged.iter();
    for (verdict, trial) in verdicts.iter_mut().zip(evidence.trials) {
        *verdict = match trial.outcome() {
            Some(_) => judged.next().copied().unwrap_or_default(),
            None => Verdict::Untested,
        };
    }
    Ok(())
}

fn hyperparameters<const D: usize, const N: usize, const S: usize, const Q: usize>(
    scratch: &Surrogates<N, D, S, Q>,
) -> [Hyperparameters<D>; 2] {
    let (cost, latency) = scratch.processes();
    [cost, latency].map(|process| process.hyperparameters().clone())
}

/// Moves a group of candidates (row-major) to the grid: to the nearest levels, then axis by axis to a neighbouring
/// level where the acquisition is higher, in one pass. Points already measured, pending or `taken` are avoided as
/// long as there are others next to them. Appends the points to `taken` and returns the acquisition value.
fn settle<const D: usize, const N: usize, const S: usize, const Q: usize, const F: usize>(
    space: &SearchSpace<D>,
    trials: &[Trial<D, F>],
    taken: &mut Vec<Point<D>, MAX_BATCH>,
    acquisition: &mut Acquisition<N, D, S, Q>,
    flat: &mut [f64],
) -> f64 {
    let d = space.dimensions();
    let first = taken.len();
    for x in flat.chunks_exact_mut(d.max(1)) {
        let point: Point<D> =
            Point(part::list(space.axes().iter().zip(x.iter()).map(|(axis, &x)| axis.decode(x))));
        space.encode(&point, x);
        let _ = taken.push(point);
    }
    let known = |taken: &[Point<D>], j: usize| {
        let others = taken.iter().enumerate().filter(|&(k, _)| k != j).map(|(_, p)| p);
        let own = taken.get(j);
        others.chain(trials.iter().map(|t| &t.point)).any(|p| Some(p) == own)
    };
    let mut value = acquisition.value(flat);
    for j in first..taken.len() {
        let mut settled = !known(taken, j);
        for (u, axis) in space.axes().iter().enumerate() {
            let at = (j - first) * d + u;
            let move_to = |taken: &mut [Point<D>], flat: &mut [f64], (level, coordinate): (u16, f64)| {
                let place = taken.get_mut(j).and_then(|point| point.0.get_mut(u));
                if let (Some(place), Some(x)) = (place, flat.get_mut(at)) {
                    (*place, *x) = (level, coordinate);
                }
            };
            let level = taken.get(j).and_then(|point| point.0.get(u));
            let (Some(&level), Some(&coordinate)) = (level, flat.get(at)) else { continue };
            let (below, above) = (level.checked_sub(1), (level + 1 < axis.levels()).then_some(level + 1));
            let mut best = (level, coordinate);
            for neighbour in [below, above].into_iter().flatten() {
                let neighbour = (neighbour, axis.encode(neighbour));
                move_to(taken, flat, neighbour);
                if known(taken, j) {
                    continue;
                }
                let moved = acquisition.value(flat);
                if moved > value || !settled {
                    (value, best, settled) = (moved, neighbour, true);
                }
            }
            move_to(taken, flat, best);
        }
    }
    value
}

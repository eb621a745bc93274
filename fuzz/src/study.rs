//! Arbitrary operations on a study, under any model, with what must hold after each of them.

use crate::number::Number;
use aquatope_core::bo::model::{Model, Objective};
use aquatope_core::bo::profile::Profile;
use aquatope_core::bo::space::{Axis, Point, SearchSpace};
use aquatope_core::bo::study::{Study, StudyConfig};
use aquatope_core::bo::trial::{Outcome, Trial, TrialId};
use aquatope_core::random::SplitMix64;
use arbitrary::Arbitrary;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a study is made of: in a quarter of the cases, anything.
#[derive(Arbitrary, Debug)]
pub struct Setup {
    strange: u8,
    axes: [AxisSetup; 3],
    dimensions: u8,
    latency_limit: Number,
    confidence: Number,
    initial: u8,
    seed: u64,
}

#[derive(Arbitrary, Debug)]
struct AxisSetup {
    min: u8,
    step: u8,
    steps: u8,
    log: bool,
    strange: [Number; 3],
}

/// One call of a study's interface.
#[derive(Arbitrary, Debug)]
pub enum Operation {
    /// `ask` for one trial, which is measured and told: how studies usually go on.
    Round(Measured),
    /// `ask`.
    Ask(u8),
    /// `tell`.
    Tell(u8, Measured),
    /// `screen`.
    Screen(u8, Measured),
    /// `reject`.
    Reject(u8, Measured),
    /// `fail`.
    Fail(u8),
    /// `record` at these levels, each taken modulo those there are.
    Record([u16; 3], Measured),
    /// `set_baseline` at the largest levels, of the same outcome, slightly varied.
    Profile(Measured),
    /// `verdicts`.
    Verdicts,
    /// `recommendation`.
    Recommend,
    /// Replaces the study by one restored from its snapshot.
    Restore,
}

/// What an evaluation measured.
#[derive(Arbitrary, Debug)]
pub enum Measured {
    /// What a platform may say, each in eighths; durations of two functions.
    Everyday {
        /// Cost.
        cost: u8,
        /// Latency, seconds.
        latency: u8,
        /// Durations, seconds.
        durations: Option<[u8; 2]>,
    },
    /// Anything.
    Any {
        /// Cost.
        cost: Number,
        /// Latency, seconds.
        latency: Number,
        /// Their variances.
        variances: Option<(Number, Number)>,
        /// Durations, seconds.
        durations: Vec<Number>,
    },
}

impl Measured {
    /// Numbers from 1/8 to 32.
    pub fn eighths(bytes: [u8; 2]) -> [f64; 2] {
        bytes.map(|x| f64::from(x) / 8.0 + 0.125)
    }

    /// Durations of two functions, and nothing else: whoever tells them works out latency and cost.
    pub fn durations(&self) -> [f64; 2] {
        match *self {
            Self::Everyday { cost, latency, durations } => {
                Self::eighths(durations.unwrap_or([cost, latency]))
            }
            Self::Any { cost, latency, .. } => [cost, latency].map(Number::positive),
        }
    }

    /// The outcome, if it is one.
    pub fn outcome<const F: usize>(&self) -> Option<Outcome<F>> {
        match self {
            Self::Everyday { cost, latency, durations } => {
                let [cost, latency] = Self::eighths([*cost, *latency]);
                let outcome = Outcome::new(cost, latency).ok()?;
                match durations {
                    Some(durations) => outcome.with_durations(&Self::eighths(*durations)).ok(),
                    None => Some(outcome),
                }
            }
            Self::Any { cost, latency, variances, durations } => {
                let mut outcome = Outcome::new(cost.get(), latency.get()).ok()?;
                if let Some((cost, latency)) = variances {
                    outcome = outcome.with_variances(cost.get(), latency.get()).ok()?;
                }
                let durations: Vec<f64> = durations.iter().map(|d| d.get()).collect();
                if durations.is_empty() { Some(outcome) } else { outcome.with_durations(&durations).ok() }
            }
        }
    }
}

impl Setup {
    /// The search space, if it is one.
    pub fn space<const D: usize>(&self) -> Option<SearchSpace<D>> {
        let axes = self.axes.iter().take(1 + usize::from(self.dimensions % 4));
        let axes: Option<Vec<Axis>> = axes.map(|axis| axis.axis(self.is_strange())).collect();
        SearchSpace::new(&axes?).ok()
    }

    /// A study of `model`, if the numbers make one.
    pub fn study<M: Model<D, F>, const D: usize, const N: usize, const F: usize>(
        &self,
        model: M,
    ) -> Option<Study<M, D, N, F>> {
        let objective = match self.is_strange() {
            true => Objective { latency_limit: self.latency_limit.get(), confidence: self.confidence.get() },
            false => Objective { latency_limit: self.latency_limit.positive(), confidence: 0.9 },
        };
        let config = StudyConfig { objective, initial: 1 + u16::from(self.initial % 6), seed: self.seed };
        Study::new(self.space()?, config, model).ok()
    }

    fn is_strange(&self) -> bool {
        self.strange < 64
    }
}

impl AxisSetup {
    fn axis(&self, strange: bool) -> Option<Axis> {
        let (min, step) = (f64::from(self.min) / 8.0 + 0.125, f64::from(self.step) / 16.0 + 0.0625);
        let everyday = [min, min + step * f64::from(self.steps), step];
        let [min, max, step] = if strange { self.strange.map(Number::get) } else { everyday };
        let axis = Axis::new(min, max, step).ok()?;
        let axis = if self.log { axis.log_scaled().ok()? } else { axis };
        check_axis(&axis);
        Some(axis)
    }
}

/// Levels grow, lie in the unit interval for the models, and come back from there.
pub fn check_axis(axis: &Axis) {
    let top = axis.levels() - 1;
    assert!(axis.min().is_finite() && axis.max().is_finite());
    for index in [0, 1, top / 2, top.saturating_sub(1), top, u16::MAX] {
        let x = axis.encode(index);
        assert!((0.0..=1.0 + 1e-9).contains(&x), "{axis:?} encodes level {index} as {x}");
        assert!((axis.min()..=axis.max()).contains(&axis.value(index)));
        assert_eq!(axis.round(axis.fraction(index)), index.min(top), "{axis:?}");
        assert!(axis.decode(x) <= top);
    }
    assert_eq!(axis.decode(f64::NAN), 0);
}

/// Applies `operations` and checks the study after each. `outcome` is what was measured at a point.
pub fn drive<'o, M, const D: usize, const N: usize, const F: usize>(
    mut study: Study<M, D, N, F>,
    operations: impl IntoIterator<Item = &'o Operation>,
    scratch: &mut M::Scratch,
    outcome: impl Fn(&Measured, &Point<D>) -> Option<Outcome<F>>,
) where
    M: Model<D, F> + Serialize + DeserializeOwned + PartialEq + Clone + core::fmt::Debug,
{
    let mut rng = SplitMix64(1);
    let mut buffer = vec![0; 64 + 4 * size_of::<Study<M, D, N, F>>()];
    let top: Vec<u16> = study.space().axes().iter().map(|axis| axis.levels() - 1).collect();
    let top = study.space().point(&top).expect("a level of every axis");
    // Of a trial that there is not, anything may be told.
    let outcome_of = |study: &Study<M, D, N, F>, id: u8, measured: &Measured| {
        outcome(measured, study.trial(trial_id(id)).map_or(&top, |trial| &trial.point))
    };
    for operation in operations {
        match operation {
            Operation::Round(measured) => {
                for id in study.ask(1, &mut rng, scratch).into_iter().flatten() {
                    let point = &study.trial(id).expect("an asked trial is kept").point;
                    if let Some(outcome) = outcome(measured, point) {
                        study.tell(id, outcome).expect("it was asked for");
                    }
                }
            }
            Operation::Ask(count) => {
                let before = study.trials().last().map(|t| t.id);
                for id in study.ask(usize::from(*count), &mut rng, scratch).into_iter().flatten() {
                    assert!(Some(id) > before, "an id is used twice");
                    check_trial(&study, study.trial(id).expect("an asked trial is kept"));
                }
            }
            Operation::Tell(id, measured) => {
                let Some(outcome) = outcome_of(&study, *id, measured) else { continue };
                if study.tell(trial_id(*id), outcome.clone()).is_ok() {
                    assert!(study.tell(trial_id(*id), outcome).is_err(), "told twice");
                }
            }
            Operation::Screen(id, measured) => {
                let Some(outcome) = outcome_of(&study, *id, measured) else { continue };
                let before = study.clone();
                if let Ok(verdict) = study.screen(trial_id(*id), &outcome, scratch) {
                    check_verdict(verdict);
                }
                assert_eq!(study, before, "screening changed the study");
            }
            Operation::Reject(id, measured) => {
                let Some(outcome) = outcome_of(&study, *id, measured) else { continue };
                let _ = study.reject(trial_id(*id), outcome);
            }
            Operation::Fail(id) => drop(study.fail(trial_id(*id))),
            Operation::Record(levels, measured) => {
                let point = point_at(study.space(), *levels);
                let Some(outcome) = outcome(measured, &point) else { continue };
                let _ = study.record(point, outcome);
            }
            Operation::Profile(measured) => {
                let Some(outcome) = outcome(measured, &top) else { continue };
                if let Ok(profile) = Profile::measure(&vec![outcome; 6]) {
                    study.set_baseline(top.clone(), profile).expect("a point of the space");
                }
            }
            Operation::Verdicts => {
                if let Ok(verdicts) = study.verdicts(scratch) {
                    assert_eq!(verdicts.len(), study.trials().len());
                    verdicts.into_iter().for_each(check_verdict);
                }
            }
            Operation::Recommend => {
                if let Ok(best) = study.recommendation(scratch) {
                    assert!(study.space().contains(&best.point), "off the grid");
                    assert!((0.0..=1.0).contains(&best.feasible), "{best:?}");
                    for normal in [best.ln_cost, best.ln_latency] {
                        assert!(normal.mean.is_finite() && normal.variance >= 0.0, "{best:?}");
                    }
                }
            }
            Operation::Restore => {
                let bytes = study.snapshot(&mut buffer).expect("room for the snapshot");
                let restored: Study<M, D, N, F> =
                    Study::restore(bytes).expect("what was written is read back");
                assert_eq!(restored, study);
                study.resume(bytes).expect("it is of this study");
                assert_eq!(restored, study);
            }
        }
        assert!(study.trials().is_sorted_by(|a, b| a.id < b.id));
        assert_eq!(study.evidence().trials.len(), {
            study.trials().iter().filter(|t| t.id >= study.window_start()).count()
        });
    }
    for trial in study.trials() {
        check_trial(&study, trial);
    }
}

/// The point at these levels, each taken modulo those there are.
pub fn point_at<const D: usize>(space: &SearchSpace<D>, levels: [u16; 3]) -> Point<D> {
    let levels = space.axes().iter().zip(levels).map(|(axis, level)| level % axis.levels());
    space.point(&levels.collect::<Vec<_>>()).expect("a level of every axis")
}

/// Mostly one that there is.
fn trial_id(id: u8) -> TrialId {
    TrialId(u32::from(if id < 224 { id % 8 } else { id }))
}

fn check_trial<M: Model<D, F>, const D: usize, const N: usize, const F: usize>(
    study: &Study<M, D, N, F>,
    trial: &Trial<D, F>,
) {
    assert!(study.space().contains(&trial.point), "off the grid");
    assert!(study.space().values(&trial.point).all(f64::is_finite));
    if let Some(expected) = &trial.expected {
        for normal in [expected.ln_cost, expected.ln_latency] {
            assert!(normal.mean.is_finite() && normal.variance >= 0.0, "{expected:?}");
        }
    }
}

fn check_verdict(verdict: aquatope_core::anomaly::Verdict) {
    use aquatope_core::anomaly::Verdict::{Anomalous, Consistent};
    if let Anomalous { z } | Consistent { z } = verdict {
        assert!(!z.is_nan(), "{verdict:?}");
    }
}

//! A trial: one configuration, asked for, and what came of it.

use super::space::Point;
use crate::math::normal::Normal;
use core::fmt;
use heapless::Vec;

/// The number of a trial in its study, counted from 0 and never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TrialId(pub u32);

/// What one evaluation of a configuration measured. Checked: every number is finite and positive (variances may be
/// zero).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Outcome<const F: usize> {
    cost: f64,
    latency: f64,
    cost_variance: Option<f64>,
    latency_variance: Option<f64>,
    durations: Vec<f64, F>,
}

impl<const F: usize> Outcome<F> {
    /// Cost (any unit of money) and end-to-end latency (the unit of the QoS, usually seconds).
    ///
    /// # Errors
    /// [`OutcomeError::NotPositive`] when one is NaN, infinite, negative or zero.
    pub fn new(cost: f64, latency: f64) -> Result<Self, OutcomeError> {
        let cost = positive(Field::Cost, cost)?;
        let latency = positive(Field::Latency, latency)?;
        Ok(Self { cost, latency, cost_variance: None, latency_variance: None, durations: Vec::new() })
    }

    /// Adds the variances of the two means, when the evaluation was the mean of several invocations.
    ///
    /// # Errors
    /// [`OutcomeError::Variance`] when one is NaN, infinite or negative.
    pub fn with_variances(mut self, cost: f64, latency: f64) -> Result<Self, OutcomeError> {
        for (field, value) in [(Field::Cost, cost), (Field::Latency, latency)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(OutcomeError::Variance { field, value });
            }
        }
        (self.cost_variance, self.latency_variance) = (Some(cost), Some(latency));
        Ok(self)
    }

    /// Adds the duration of every function, in the order of the workflow.
    ///
    /// # Errors
    /// [`OutcomeError::NotPositive`], or [`OutcomeError::Capacity`] for more than `F` functions.
    pub fn with_durations(mut self, durations: &[f64]) -> Result<Self, OutcomeError> {
        for (index, &duration) in durations.iter().enumerate() {
            positive(Field::Duration(index), duration)?;
        }
        self.durations = Vec::from_slice(durations).map_err(|_| OutcomeError::Capacity { capacity: F })?;
        Ok(self)
    }

    /// Cost.
    pub const fn cost(&self) -> f64 {
        self.cost
    }

    /// End-to-end latency.
    pub const fn latency(&self) -> f64 {
        self.latency
    }

    /// Variance of the cost, when it was measured.
    pub const fn cost_variance(&self) -> Option<f64> {
        self.cost_variance
    }

    /// Variance of the latency, when it was measured.
    pub const fn latency_variance(&self) -> Option<f64> {
        self.latency_variance
    }

    /// Whether a decoded outcome can be one.
    #[cfg(feature = "serde")]
    fn is_consistent(&self) -> bool {
        let variances = [self.cost_variance, self.latency_variance];
        Self::new(self.cost, self.latency).and_then(|o| o.with_durations(&self.durations)).is_ok()
            && variances.into_iter().flatten().all(|v| v >= 0.0 && v.is_finite())
    }

    /// Duration of every function; empty when unknown.
    pub fn durations(&self) -> &[f64] {
        &self.durations
    }
}

fn positive(field: Field, value: f64) -> Result<f64, OutcomeError> {
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err(OutcomeError::NotPositive { field, value }) }
}

/// A number of an [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The cost.
    Cost,
    /// The end-to-end latency.
    Latency,
    /// The duration of the function with this index.
    Duration(usize),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cost => write!(f, "cost"),
            Self::Latency => write!(f, "latency"),
            Self::Duration(index) => write!(f, "duration of function {index}"),
        }
    }
}

/// Why an outcome was refused.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum OutcomeError {
    /// The number is NaN, infinite, negative or zero.
    NotPositive {
        /// Which number.
        field: Field,
        /// Its value.
        value: f64,
    },
    /// The variance is NaN, infinite or negative.
    Variance {
        /// Of which number.
        field: Field,
        /// Its value.
        value: f64,
    },
    /// More durations than the study holds.
    Capacity {
        /// The number of functions it holds.
        capacity: usize,
    },
}

impl fmt::Display for OutcomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPositive { field, value } => {
                write!(
                    f,
                    "{field} is {value}, not a positive number; report the evaluation as failed instead"
                )
            }
            Self::Variance { field, value } => {
                write!(f, "variance of the {field} is {value}; leave it out when it is unknown")
            }
            Self::Capacity { capacity } => {
                write!(f, "more than {capacity} durations; build with a larger const parameter F")
            }
        }
    }
}

impl core::error::Error for OutcomeError {}

/// Where a trial stands.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TrialState<const F: usize> {
    /// Asked for, not told yet.
    Pending,
    /// Told; the models see it, unless they judge it anomalous.
    Complete(Outcome<F>),
    /// Told and ruled out by the caller; kept for the report, never seen by a model.
    Rejected(Outcome<F>),
    /// The evaluation itself failed.
    Failed,
}

/// What a model expected of a trial when it proposed it: predictive distributions of ln cost and ln latency, the
/// noise of one observation included.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Expectation {
    /// Of ln cost.
    pub ln_cost: Normal,
    /// Of ln latency.
    pub ln_latency: Normal,
}

impl Expectation {
    /// Whether both are distributions.
    pub(super) fn is_consistent(&self) -> bool {
        self.ln_cost.is_consistent() && self.ln_latency.is_consistent()
    }

    /// How far an outcome is from what was expected, in standard deviations: of cost or latency, whichever is
    /// further.
    pub fn surprise(&self, ln_cost: f64, ln_latency: f64) -> f64 {
        let z = |expected: &Normal, seen: f64| (seen - expected.mean) / expected.standard_deviation();
        let (cost, latency) = (z(&self.ln_cost, ln_cost), z(&self.ln_latency, ln_latency));
        if cost.abs() > latency.abs() { cost } else { latency }
    }
}

/// One configuration and its state.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Trial<const D: usize, const F: usize> {
    /// Its number.
    pub id: TrialId,
    /// The configuration.
    pub point: Point<D>,
    /// Where it stands.
    pub state: TrialState<F>,
    /// What the model expected; `None` for a point of the initial design.
    pub expected: Option<Expectation>,
}

impl<const D: usize, const F: usize> Trial<D, F> {
    /// The outcome the models see: that of a complete trial.
    pub const fn outcome(&self) -> Option<&Outcome<F>> {
        match &self.state {
            TrialState::Complete(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Whether a decoded trial can be one.
    #[cfg(feature = "serde")]
    pub(super) fn is_consistent(&self) -> bool {
        let outcome = match &self.state {
            TrialState::Pending | TrialState::Failed => None,
            TrialState::Complete(outcome) | TrialState::Rejected(outcome) => Some(outcome),
        };
        outcome.is_none_or(Outcome::is_consistent)
            && self.expected.as_ref().is_none_or(Expectation::is_consistent)
    }

    /// Whether the trial waits for its outcome.
    pub const fn is_pending(&self) -> bool {
        matches!(self.state, TrialState::Pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_names_the_number_it_refuses() {
        for bad in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            assert!(matches!(
                Outcome::<2>::new(bad, 1.0),
                Err(OutcomeError::NotPositive { field: Field::Cost, .. })
            ));
            assert!(matches!(
                Outcome::<2>::new(1.0, bad),
                Err(OutcomeError::NotPositive { field: Field::Latency, .. })
            ));
        }
        let outcome = Outcome::<2>::new(1.0, 2.0).unwrap();
        assert_eq!(
            outcome.clone().with_durations(&[1.0, -3.0]),
            Err(OutcomeError::NotPositive { field: Field::Duration(1), value: -3.0 })
        );
        assert_eq!(outcome.clone().with_durations(&[1.0; 3]), Err(OutcomeError::Capacity { capacity: 2 }));
        assert!(matches!(
            outcome.with_variances(0.0, -1.0),
            Err(OutcomeError::Variance { field: Field::Latency, .. })
        ));
        let text = std::format!("{}", OutcomeError::NotPositive { field: Field::Duration(1), value: -3.0 });
        assert!(text.starts_with("duration of function 1 is -3"), "{text}");
    }

    #[test]
    fn an_outcome_gives_back_what_it_was_given() {
        let outcome = Outcome::<2>::new(1.0, 2.0).unwrap();
        assert_eq!((outcome.cost_variance(), outcome.latency_variance()), (None, None));
        let outcome = outcome.with_variances(0.0, 0.5).unwrap().with_durations(&[1.5, 0.5]).unwrap();
        assert_eq!((outcome.cost(), outcome.latency()), (1.0, 2.0));
        assert_eq!((outcome.cost_variance(), outcome.latency_variance()), (Some(0.0), Some(0.5)));
        assert_eq!(outcome.durations(), [1.5, 0.5]);
    }
}

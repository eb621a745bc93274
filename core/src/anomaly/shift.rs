//! Change of behaviour: a run of surprises, told apart from single outliers.
//!
//! Every told trial is compared with what the model expected when it proposed it. Page's two-sided cumulative sum
//! ("Continuous inspection schemes", Biometrika 41, 1954) adds up the standardised surprises; each one counts for
//! at most `CLIP`, so that no single outlier can pass the threshold, and a drift of `DRIFT` is taken off, so that
//! ordinary noise, optimism of the proposals and a steady share of outliers never add up.

use crate::bo::trial::TrialId;

/// The largest surprise one trial counts for, in standard deviations.
const CLIP: f64 = 4.0;
/// Taken off every surprise, in standard deviations. Proposals are where the model is most optimistic, so that
/// surprises have a mean of 0.5 to 0.9 and a deviation of 1.2 to 2.0 even when nothing changes (measured over 60
/// studies of the shipped workflows, noise 0.05 to 0.4, up to a quarter of outliers).
const DRIFT: f64 = 2.0;
/// The sum that means a change: at least four trials in a row far off. The same studies reached 7.2 at most.
const THRESHOLD: f64 = 7.9;

/// The two running sums.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct ShiftDetector {
    up: Run,
    down: Run,
}

#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Run {
    sum: f64,
    start: Option<TrialId>,
}

impl Run {
    fn add(&mut self, trial: TrialId, surprise: f64) {
        self.sum += surprise.min(CLIP) - DRIFT;
        if self.sum <= 0.0 {
            *self = Self::default();
        } else {
            self.start.get_or_insert(trial);
        }
    }
}

impl ShiftDetector {
    /// Whether a decoded detector can have seen trials below `next`.
    #[cfg(feature = "serde")]
    pub(crate) fn is_consistent(&self, next: TrialId) -> bool {
        [self.up, self.down].into_iter().all(|run| match run.start {
            None => run.sum == 0.0,
            Some(start) => run.sum > 0.0 && run.sum <= THRESHOLD && start < next,
        })
    }

    /// A detector that has seen nothing.
    pub(crate) const fn new() -> Self {
        Self { up: Run { sum: 0.0, start: None }, down: Run { sum: 0.0, start: None } }
    }

    /// Takes in the surprise of one trial, in standard deviations of what was expected (NaN counts as none). When
    /// the behaviour has changed, returns the first trial of the run and starts afresh.
    pub(crate) fn observe(&mut self, trial: TrialId, surprise: f64) -> Option<TrialId> {
        let surprise = if surprise.is_nan() { 0.0 } else { surprise };
        self.up.add(trial, surprise);
        self.down.add(trial, -surprise);
        let run = [self.up, self.down].into_iter().find(|run| run.sum > THRESHOLD)?;
        *self = Self::new();
        run.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::SeedableRng;

    fn first_alarm(surprises: impl Iterator<Item = f64>) -> Option<(usize, TrialId)> {
        let mut detector = ShiftDetector::new();
        surprises.enumerate().find_map(|(i, z)| Some((i, detector.observe(TrialId(i as u32), z)?)))
    }

    #[test]
    fn a_single_outlier_is_no_change_however_large() {
        let surprises = (0..100).map(|i| if i % 10 == 3 { 1e9 } else { 0.0 });
        assert_eq!(first_alarm(surprises), None);
    }

    #[test]
    fn a_run_of_surprises_is_a_change_and_starts_where_the_run_does() {
        for sign in [1.0, -1.0] {
            let surprises = (0..60).map(|i| if i < 30 { 0.0 } else { 5.0 * sign });
            assert_eq!(first_alarm(surprises), Some((33, TrialId(30))));
        }
    }

    /// 200 studies of 100 trials with noise as expected, and with a quarter of the trials slowed by interference.
    #[test]
    fn noise_and_interference_rarely_alarm() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        for (share, limit) in [(0.0, 0), (0.1, 0), (0.25, 2)] {
            let mut alarms = 0;
            for _ in 0..200 {
                let mut draw = || {
                    let slow = if random::uniform(&mut rng) < share { 2.5 } else { 0.0 };
                    random::standard_normal(&mut rng) + slow
                };
                alarms += usize::from(first_alarm((0..100).map(|_| draw())).is_some());
            }
            assert!(alarms <= limit, "{alarms} of 200 at a share of {share}");
        }
    }

    #[test]
    fn nan_is_no_surprise() {
        assert_eq!(first_alarm(core::iter::repeat_n(f64::NAN, 50)), None);
    }
}

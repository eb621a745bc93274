//! What the light model sees of a function's past: a [`Reading`] a minute, from fixed memory.
//!
//! Lags, rolling statistics, timer phases and periods, the calendar, and the recent activity of the upstream stages;
//! container and invocation numbers enter as `ln(1 + x)`. Beside them stand the *experts*: simple forecasts (last
//! value, means of the last minutes, repeats of timer periods, the same time on the days before) together with how wrong
//! each of them was lately, in the unit the network answers in. Unknown minutes read as 0.
//!
//! State per function: [`FunctionState`], 8,924 bytes with [`FULL_HISTORY`] minutes.

mod history;
mod profile;

pub(crate) use history::saturate;
pub use history::{COUNT_MINUTES, History};
pub use profile::{LONGEST_PERIOD, PERIOD_WINDOW, Profile};

use core::fmt;

use crate::math::float;
use crate::time::Minute;
use history::{DAY, DAYS, WINDOWS};

/// Minutes of history every feature can be computed from: three days and the few minutes around that time of day.
pub const FULL_HISTORY: usize = DAYS * DAY + 32;

/// Number of features.
pub const FEATURES: usize = 105;

/// Number of simple forecasts the network weighs against each other.
pub const EXPERTS: usize = 11;

/// Lags given as they are.
const LAGS: [usize; 13] = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 60];
/// Timer periods, minutes, that schedulers offer and users pick.
const CRON: [usize; 5] = [5, 10, 15, 30, 60];
/// Repeats of a period that are looked at.
const REPEATS: usize = 4;
/// Minutes over which an expert's error is remembered.
const ERROR_MEMORY: f32 = 128.0;

/// Recent minutes of the stages before this one in its workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Upstream {
    /// Invocations of the parent stage 1 to 4 minutes ago.
    pub parent_counts: [u16; 4],
    /// Peak of the parent stage in the last minute.
    pub parent_peak: u16,
    /// Invocations of the grandparent stage 1 to 3 minutes ago.
    pub grandparent_counts: [u16; 3],
}

impl Upstream {
    /// What a stage sees of the histories of its parent and grandparent.
    pub fn of<const N: usize>(parent: &History<N>, grandparent: Option<&History<N>>) -> Self {
        Self {
            parent_counts: [1, 2, 3, 4].map(|lag| parent.count(lag)),
            parent_peak: parent.peak(1).unwrap_or(0),
            grandparent_counts: grandparent.map_or([0; 3], |g| [1, 2, 3].map(|lag| g.count(lag))),
        }
    }
}

/// What a forecast is computed from: see [`FunctionState::read`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The network's input.
    pub features: [f32; FEATURES],
    /// Simple forecasts of the minute, containers.
    pub experts: [f32; EXPERTS],
    /// The unit the network states spread in, containers: about the deviation of a Poisson count of the size to
    /// expect.
    pub unit: f32,
}

/// Everything the light model keeps of one function.
#[derive(Clone, Debug)]
pub struct FunctionState<const N: usize> {
    history: History<N>,
    profile: Profile,
    /// Mean absolute error of every expert over the last minutes.
    errors: [f32; EXPERTS],
}

/// Why a minute was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// The minute lies before the one expected next.
    Past {
        /// The minute offered.
        minute: Minute,
        /// The minute expected.
        expected: Minute,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Past { minute, expected } => write!(
                f,
                "minute {} is already closed (expected {} or later); count late events before closing the minute",
                minute.0, expected.0
            ),
        }
    }
}

impl core::error::Error for StateError {}

impl<const N: usize> FunctionState<N> {
    /// A function that has not been observed; its first minute is `first`.
    pub const fn new(first: Minute, profile: Profile) -> Self {
        Self { history: History::new(first), profile, errors: [0.0; EXPERTS] }
    }

    /// The minutes observed.
    pub const fn history(&self) -> &History<N> {
        &self.history
    }

    /// The function's own parameters.
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Read the history with other parameters from now on. The error of the expert that repeats the period is that of
    /// the old period at first; it is forgotten within about two hours.
    pub const fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
    }

    /// Close `minute` with `count` invocations and `peak` busy containers. Minutes left out since the last call were
    /// quiet. Work: that of [`Self::push`], `N` times at most for a gap.
    ///
    /// # Errors
    /// [`StateError::Past`] for a minute that is closed already; nothing changes then.
    pub fn observe(&mut self, minute: Minute, count: u32, peak: u32) -> Result<(), StateError> {
        let expected = self.history.next();
        let Some(gap) = minute.0.checked_sub(expected.0) else {
            return Err(StateError::Past { minute, expected });
        };
        let skipped = gap.saturating_sub(N as u32);
        self.history.skip(skipped);
        for _ in skipped..gap {
            self.push(0, 0);
        }
        self.push(count, peak);
        Ok(())
    }

    /// Close the minute to come. Work: about 60 minutes read from the ring.
    pub fn push(&mut self, count: u32, peak: u32) {
        let experts = self.experts();
        let seen = self.history.seen() as f32;
        let share = (1.0 / (seen + 1.0)).max(1.0 / ERROR_MEMORY);
        for (error, expert) in self.errors.iter_mut().zip(experts) {
            *error += share * ((f32::from(saturate(peak)) - expert).abs() - *error);
        }
        self.history.push(count, peak);
    }

    fn period(&self) -> usize {
        usize::from(self.profile.period).clamp(2, LONGEST_PERIOD)
    }

    /// Simple forecasts of the minute to come; where the past is too short, the mean of the last hour.
    fn experts(&self) -> [f32; EXPERTS] {
        let history = &self.history;
        let period = self.period();
        let hour = history.mean(2);
        let repeats = |period, count| history.repeats(period, count).mean().unwrap_or(hour);
        let lag = |minutes| history.peak(minutes).map_or(hour, f32::from);
        [
            lag(1),
            history.mean(0),
            history.mean(1),
            hour,
            lag(period),
            repeats(period, REPEATS),
            repeats(10, REPEATS),
            repeats(15, REPEATS),
            repeats(60, REPEATS),
            history.days_mean().unwrap_or(hour),
            repeats(DAY, DAYS),
        ]
    }

    /// What the forecast of the minute to come is computed from. Work: about 450 minutes read from the ring, 50
    /// logarithms.
    pub fn read(&self, upstream: Option<&Upstream>) -> Reading {
        let experts = self.experts();
        let (history, profile) = (&self.history, &self.profile);
        let expected = [profile.mean(), experts[1], experts[3], experts[5]].into_iter().fold(0.0, f32::max);
        let unit = float::sqrt_f32(expected + 0.05);
        let mut reading = Reading { features: [0.0; FEATURES], experts, unit };
        let mut row = Row { out: &mut reading.features, at: 0 };
        let lag = |minutes: usize| f32::from(history.peak(minutes).unwrap_or(0));

        for minutes in LAGS {
            row.log(lag(minutes));
        }
        rolling(history, &mut row);
        row.log(profile.mean());
        row.log(unit);

        // Timers: the function's own strongest period, and the usual ones.
        let period = self.period();
        let since = history.since_busy().map_or(DAY as u32, |minutes| minutes.min(DAY as u32)) as f32;
        row.log(since);
        row.put(profile.period_correlation());
        row.put((since / period as f32).min(8.0));
        for minutes in [period - 1, period, period + 1, 2 * period, 3 * period] {
            row.log(lag(minutes));
        }
        let own = history.repeats(period, REPEATS);
        row.log(own.mean().unwrap_or(0.0));
        row.log(f32::from(own.max));
        row.log(f32::from(own.min));
        for minutes in CRON {
            row.log(history.repeats(minutes, REPEATS).mean().unwrap_or(0.0));
        }
        let minute = history.next().0 as usize;
        for minutes in CRON {
            row.put((minute % minutes) as f32 / minutes as f32 - 0.5);
        }
        row.one_hot(minute % 5, 5);
        row.one_hot(minute % 10, 10);

        // Calendar and the same time on the days before.
        let angle = (minute % DAY) as f64 * (core::f64::consts::TAU / DAY as f64);
        row.put(float::sin(angle) as f32);
        row.put(float::cos(angle) as f32);
        row.flag((minute / DAY) % 7 >= 5);
        let yesterday = history.span(DAY - 3..=DAY + 3);
        row.flag(yesterday.known > 0);
        row.log(lag(DAY));
        row.log(yesterday.mean().unwrap_or(0.0));
        row.log(f32::from(yesterday.max));
        row.log(history.days_mean().unwrap_or(0.0));

        // What the experts say and how wrong they were lately, in the unit the network answers in.
        for (expert, error) in experts.into_iter().zip(self.errors) {
            row.put(expert / unit);
            row.put(error / unit);
        }

        row.flag(upstream.is_some());
        let upstream = upstream.copied().unwrap_or_default();
        for count in upstream.parent_counts {
            row.log(f32::from(count));
        }
        row.log(f32::from(upstream.parent_peak));
        for count in upstream.grandparent_counts {
            row.log(f32::from(count));
        }
        row.finish();
        reading
    }
}

/// Means, maxima and spread of the last minutes, peaks and counts.
fn rolling<const N: usize>(history: &History<N>, row: &mut Row<'_>) {
    let recent = history.recent::<240>();
    let (mut max, mut start) = (0u16, recent.len());
    for (index, window) in WINDOWS.into_iter().enumerate() {
        let from = recent.len() - window;
        max = recent[from..start].iter().fold(max, |max, &peak| max.max(peak));
        start = from;
        row.log(history.mean(index));
        row.log(f32::from(max));
    }
    let fifteen = &recent[recent.len() - 15..];
    let mean = fifteen.iter().map(|&p| f32::from(p)).sum::<f32>() / 15.0;
    let variance = fifteen.iter().map(|&p| (f32::from(p) - mean) * (f32::from(p) - mean)).sum::<f32>() / 14.0;
    row.log(float::sqrt_f32(variance));

    for minutes in 1..=3 {
        row.log(f32::from(history.count(minutes)));
    }
    let known = history.seen().max(1) as usize;
    let mut sum = 0u32;
    let mut start = 1;
    for window in [5, 15, 60] {
        for minutes in start..=window {
            sum += u32::from(history.count(minutes));
        }
        start = window + 1;
        row.log(sum as f32 / window.min(known) as f32);
    }
}

/// Fills a feature row from the left.
struct Row<'a> {
    out: &'a mut [f32; FEATURES],
    at: usize,
}

impl Row<'_> {
    fn put(&mut self, value: f32) {
        if let Some(slot) = self.out.get_mut(self.at) {
            *slot = value;
        }
        self.at += 1;
    }

    fn log(&mut self, value: f32) {
        self.put(float::ln_1p_f32(value));
    }

    fn flag(&mut self, set: bool) {
        self.put(f32::from(u8::from(set)));
    }

    fn one_hot(&mut self, position: usize, len: usize) {
        for at in 0..len {
            self.flag(at == position);
        }
    }

    fn finish(self) {
        debug_assert_eq!(self.at, FEATURES, "FEATURES states how many are written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type State = FunctionState<FULL_HISTORY>;

    fn after(peaks: impl Iterator<Item = u32>, period: u16) -> State {
        let profile = Profile { mean: 1.0, period, period_correlation: 0.9 };
        let mut state = State::new(Minute(0), profile);
        peaks.for_each(|peak| state.push(2 * peak, peak));
        state
    }

    #[test]
    fn the_state_has_the_size_the_documents_state() {
        assert_eq!(size_of::<State>(), 8_924);
        assert_eq!(size_of::<FunctionState<256>>(), 8_924 - 2 * (FULL_HISTORY - 256));
    }

    #[test]
    fn a_gap_is_quiet_and_the_past_is_refused() {
        let mut state = FunctionState::<256>::new(Minute(10), Profile::UNKNOWN);
        state.observe(Minute(12), 3, 2).unwrap();
        let peaks = [1, 2, 3, 4].map(|lag| state.history().peak(lag));
        assert_eq!(peaks, [Some(2), Some(0), Some(0), None]);
        assert_eq!((state.history().count(1), state.history().count(2)), (3, 0));
        let refused = state.observe(Minute(11), 1, 1);
        assert_eq!(refused, Err(StateError::Past { minute: Minute(11), expected: Minute(13) }));
        state.observe(Minute(3_000_000_000), 1, 70_000).unwrap();
        assert_eq!([1, 2].map(|lag| state.history().peak(lag)), [Some(u16::MAX), Some(0)]);
        assert_eq!(state.history().next(), Minute(3_000_000_001));
    }

    #[test]
    fn experts_of_a_timer_by_hand() {
        // Every 7 minutes 3 containers; minute 1,400 = 7 * 200 is the next of them.
        let state = after((0..1400).map(|m| if m % 7 == 0 { 3 } else { 0 }), 7);
        let experts = state.experts();
        assert_eq!((experts[0], experts[4], experts[5]), (0.0, 3.0, 3.0));
        // The last five minutes were quiet; the last hour holds eight runs.
        assert_eq!((experts[1], experts[3]), (0.0, 8.0 * 3.0 / 60.0));
        // A day has not passed: the same time yesterday reads as the mean of the last hour.
        assert_eq!((experts[9], experts[10]), (experts[3], experts[3]));
        // The period's expert is always right; the last value is wrong by 3 in two of seven minutes.
        assert!(state.errors[4] < 1e-3 && (state.errors[0] - 6.0 / 7.0).abs() < 0.05, "{:?}", state.errors);
    }

    #[test]
    fn yesterday_is_looked_up_around_the_same_time() {
        let state = after((0..3 * 1440).map(|m| m % 1440 / 60), 60);
        // Minute 0 of the day: 23 in the seven minutes before midnight, 0 from then on; the first of the three days
        // lacks the minutes before it.
        let days = 2.0 * 7.0 * 23.0 / (15.0 + 15.0 + 8.0);
        assert!((state.history().days_mean().unwrap() - days).abs() < 1e-4);
        assert_eq!(state.experts()[10], 0.0);
    }

    #[test]
    fn the_upstream_stage_shows_in_its_own_features_only() {
        let state = after((0..500).map(|m| m % 3), 3);
        let upstream =
            Upstream { parent_counts: [4, 0, 1, 2], parent_peak: 3, grandparent_counts: [1, 1, 1] };
        let (alone, child) = (state.read(None), state.read(Some(&upstream)));
        assert_eq!(alone.features[..FEATURES - 9], child.features[..FEATURES - 9]);
        assert_eq!(child.features[FEATURES - 9..FEATURES - 7], [1.0, 5.0f32.ln()]);
        assert_eq!((alone.experts, alone.unit), (child.experts, child.unit));
    }

    proptest! {
        #[test]
        fn readings_are_finite_whatever_happened(
            peaks in proptest::collection::vec(proptest::num::u32::ANY, 0..400),
            mean in proptest::num::f32::ANY,
            period in proptest::num::u16::ANY,
            first in proptest::num::u32::ANY,
        ) {
            let mut state = State::new(Minute(first), Profile { mean, period, period_correlation: f32::NAN });
            for peak in peaks {
                state.push(peak / 2, peak);
            }
            let reading = state.read(None);
            prop_assert!(reading.features.iter().all(|f| f.is_finite()), "{:?}", reading);
            prop_assert!(reading.experts.iter().all(|e| (0.0..=65_535.0).contains(e)), "{:?}", reading);
            prop_assert!(reading.unit > 0.0 && reading.unit.is_finite());
        }
    }
}

//! What the light model sees of a function's past: [`FEATURES`] numbers a minute, from fixed memory.
//!
//! Lags, rolling statistics, timer phases and periods, the calendar, and the recent activity of the upstream stages.
//! Container and invocation numbers enter as `ln(1 + x)`; the few most telling ones once more in the function's own
//! unit ([`Profile::scale`]), which is also the unit the model answers in. Unknown minutes read as 0.
//!
//! Bytes of state per function: [`History`] with [`FULL_HISTORY`] minutes (8,852) and [`Profile`] (12).

mod history;
mod profile;

pub use history::{COUNT_MINUTES, History, HistoryError};
pub use profile::{LONGEST_PERIOD, Profile};

use crate::math::float;

/// Minutes of history every feature can be computed from: three days and the few minutes around yesterday's.
pub const FULL_HISTORY: usize = 3 * DAY + 32;

/// Number of features.
pub const FEATURES: usize = 91;

const DAY: usize = 1440;
/// Lags given as they are.
const LAGS: [usize; 13] = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 60];
/// Rolling windows, minutes, in nested order.
const WINDOWS: [usize; 4] = [5, 15, 60, 240];
/// Timer periods, minutes, that schedulers offer and users pick.
const CRON: [usize; 5] = [5, 10, 15, 30, 60];

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

/// Write the features of the minute to come. Work: about 450 minutes read from the ring, 60 logarithms.
pub fn write<const N: usize>(
    history: &History<N>,
    profile: &Profile,
    upstream: Option<&Upstream>,
    out: &mut [f32; FEATURES],
) {
    let mut row = Row { out, at: 0 };
    let unit = 1.0 / profile.scale();
    let lag = |minutes: usize| f32::from(history.peak(minutes).unwrap_or(0));

    for minutes in LAGS {
        row.log(lag(minutes));
    }
    rolling(history, unit, &mut row);
    row.log(profile.mean);

    // Timers: the function's own strongest period, and the usual ones.
    let period = usize::from(profile.period).clamp(2, LONGEST_PERIOD);
    let since = history.since_busy().map_or(DAY as u32, |minutes| minutes.min(DAY as u32)) as f32;
    row.log(since);
    row.put(profile.period_correlation);
    row.put((since / period as f32).min(8.0));
    for minutes in [period - 1, period, period + 1, 2 * period, 3 * period] {
        row.log(lag(minutes));
    }
    let own = repeats(history, period);
    row.log(own.mean());
    row.log(f32::from(own.max));
    for minutes in CRON {
        row.log(repeats(history, minutes).mean());
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
    let yesterday = history.span(DAY - 3, DAY + 3);
    let mut days = history.span(DAY - 7, DAY + 7);
    for day in [2 * DAY, 3 * DAY] {
        let span = history.span(day - 7, day + 7);
        days.sum += span.sum;
        days.known += span.known;
    }
    row.flag(yesterday.known > 0);
    row.log(lag(DAY));
    row.log(yesterday.mean());
    row.log(f32::from(yesterday.max));
    row.log(days.mean());

    // The same in the function's own unit, the one the model answers in.
    for minutes in [1, 2, 3, period] {
        row.put(lag(minutes) * unit);
    }
    row.put(own.mean() * unit);
    row.put(days.mean() * unit);

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
}

/// Means, maxima and spread of the last minutes, peaks and counts.
fn rolling<const N: usize>(history: &History<N>, unit: f32, row: &mut Row<'_>) {
    let recent = history.recent::<240>();
    let known = history.seen().max(1) as usize;
    let (mut sum, mut max, mut start) = (0u32, 0u16, recent.len());
    for window in WINDOWS {
        let from = recent.len() - window;
        for &peak in &recent[from..start] {
            sum += u32::from(peak);
            max = max.max(peak);
        }
        start = from;
        let mean = sum as f32 / window.min(known) as f32;
        row.log(mean);
        row.put(mean * unit);
        row.log(f32::from(max));
    }
    let fifteen = &recent[recent.len() - 15..];
    let mean = fifteen.iter().map(|&p| f32::from(p)).sum::<f32>() / 15.0;
    let variance = fifteen.iter().map(|&p| (f32::from(p) - mean) * (f32::from(p) - mean)).sum::<f32>() / 14.0;
    row.log(float::sqrt_f32(variance));

    for minutes in 1..=3 {
        row.log(f32::from(history.count(minutes)));
    }
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

/// The last four repeats of a period.
fn repeats<const N: usize>(history: &History<N>, period: usize) -> history::Span {
    let mut span = history::Span::default();
    for repeat in 1..=4 {
        let one = history.span(repeat * period, repeat * period);
        span.sum += one.sum;
        span.max = span.max.max(one.max);
        span.known += one.known;
    }
    span
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

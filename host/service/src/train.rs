//! When to train a model, on what, and by whom.
//!
//! Training itself is not the service's: it is handed a [`Trainer`]. It runs on a thread of its own; the planner goes on
//! with the old model, or with recent peaks, until the new one is there.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aquatope_core::activation::FunctionId;
use aquatope_core::forecast::features::Profile;
use aquatope_core::time::{Minute, Timestamp};
use aquatope_core::window::Window;
use serde::{Deserialize, Serialize};

/// Functions trained on at most: the network is shared by all, and more functions teach it little.
pub const FUNCTIONS: usize = 400;
/// Minutes trained on at most.
const MINUTES: u32 = 14 * 1440;
/// A function that was busy in fewer minutes has nothing to teach.
const BUSY_MINUTES: u32 = 10;

/// The past of one function: a number a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Invocations.
    pub counts: Vec<u32>,
    /// Peak busy containers.
    pub peaks: Vec<u32>,
    /// Index of the upstream stage among the series.
    pub parent: Option<usize>,
}

/// Trains light models.
pub trait Trainer: Send + Sync + 'static {
    /// The weight file, as little-endian words; `stop` breaks off.
    ///
    /// # Errors
    /// Why there is none, for the log.
    fn train(&self, series: &[Series], stop: &AtomicBool) -> Result<Vec<u32>, String>;

    /// What the features need to know of a function, from its peaks.
    fn profile(&self, peaks: &[u32]) -> Profile;
}

/// A model as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The weight file.
    pub weights: Vec<u32>,
    /// When it was trained.
    pub trained: Timestamp,
}

/// The name of the model in the store.
pub const MODEL: &str = "model/light";

/// When to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Minutes of history before the first time.
    pub first_after_min: u32,
    /// Between two trainings.
    pub every: Duration,
}

/// After a drift or a failure, the next training waits this long at least.
const PATIENCE: Duration = Duration::from_secs(3600);

impl Schedule {
    /// Whether to train now. `history_min` minutes have been observed; `last` is when a training ended, well or not.
    pub fn is_due(
        &self,
        now: Timestamp,
        history_min: u32,
        last: Option<Timestamp>,
        trained: bool,
        drifted: bool,
    ) -> bool {
        if history_min < self.first_after_min {
            return false;
        }
        let Some(last) = last else { return true };
        let since = Duration::from_millis(now.0.saturating_sub(last.0));
        let wait = if drifted || !trained { PATIENCE.min(self.every) } else { self.every };
        since >= wait
    }
}

/// The first minute to train on before `end`: `history_min` minutes were observed, and windows are kept for
/// `history_days`. Those of minutes that were deleted would be read as idle.
pub fn first(end: Minute, history_min: u32, history_days: u32) -> Minute {
    let kept_min = history_days.saturating_mul(1440);
    Minute(end.0.saturating_sub(history_min.min(MINUTES).min(kept_min)))
}

/// The series of the functions with most busy minutes, of the minutes from `first` to before `end`; `clones` are left out.
/// `upstream` names the stage before a stage. `each` hands out all windows of these minutes, and is asked twice: they need
/// not fit in memory.
///
/// # Errors
/// Those of `each`.
pub fn select<E>(
    first: Minute,
    end: Minute,
    upstream: &HashMap<FunctionId, FunctionId>,
    clones: &HashSet<FunctionId>,
    mut each: impl FnMut(&mut dyn FnMut(FunctionId, Window)) -> Result<(), E>,
) -> Result<Vec<Series>, E> {
    let minutes = end.0.saturating_sub(first.0) as usize;
    let mut busy: HashMap<FunctionId, u32> = HashMap::new();
    each(&mut |id, _| *busy.entry(id).or_default() += 1)?;
    let mut chosen: Vec<(FunctionId, u32)> =
        busy.into_iter().filter(|(id, busy)| *busy >= BUSY_MINUTES && !clones.contains(id)).collect();
    chosen.sort_by_key(|&(id, busy)| (std::cmp::Reverse(busy), id));
    chosen.truncate(FUNCTIONS);
    let index: HashMap<FunctionId, usize> =
        chosen.iter().enumerate().map(|(index, &(id, _))| (id, index)).collect();
    let parent = |id: &FunctionId| upstream.get(id).and_then(|parent| index.get(parent)).copied();
    let mut series: Vec<Series> = chosen
        .iter()
        .map(|(id, _)| Series { counts: vec![0; minutes], peaks: vec![0; minutes], parent: parent(id) })
        .collect();
    each(&mut |id, window| {
        let (Some(&index), Some(at)) = (index.get(&id), window.minute.0.checked_sub(first.0)) else { return };
        if let Some(count) = series[index].counts.get_mut(at as usize) {
            *count = window.invocations;
            series[index].peaks[at as usize] = window.peak;
        }
    })?;
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule { first_after_min: 1440, every: Duration::from_secs(86_400) };

    #[test]
    fn trained_once_there_is_history_then_daily_or_on_drift() {
        let hour = |hours: u64| Timestamp(hours * 3_600_000);
        assert!(!SCHEDULE.is_due(hour(100), 1439, None, false, false));
        assert!(SCHEDULE.is_due(hour(100), 1440, None, false, false));
        assert!(!SCHEDULE.is_due(hour(110), 2000, Some(hour(100)), true, false));
        assert!(SCHEDULE.is_due(hour(124), 2000, Some(hour(100)), true, false));
        assert!(SCHEDULE.is_due(hour(101), 2000, Some(hour(100)), true, true));
        assert!(SCHEDULE.is_due(hour(101), 2000, Some(hour(100)), false, false), "again after a failure");
        assert!(!SCHEDULE.is_due(hour(90), 2000, Some(hour(100)), false, true), "the clock stepped back");
    }

    #[test]
    fn trained_on_what_is_kept() {
        let end = Minute(1_000_000);
        let minutes = |history_min, history_days| end.0 - first(end, history_min, history_days).0;
        assert_eq!([minutes(600, 15), minutes(600, 1)], [600, 600]);
        assert_eq!([minutes(100_000, 15), minutes(100_000, 3)], [MINUTES, 3 * 1440]);
    }

    #[test]
    fn the_busiest_functions_are_chosen() {
        let window =
            |minute, peak| Window { minute: Minute(minute), invocations: peak, peak, ..Window::default() };
        let mut windows: Vec<_> = (0..20).map(|m| (FunctionId(3), window(100 + m, 2))).collect();
        windows.extend((0..15).map(|m| (FunctionId(1), window(100 + m, 1))));
        windows.extend((0..5).map(|m| (FunctionId(2), window(100 + m, 1))));
        windows.extend((0..25).map(|m| (FunctionId(0), window(100 + m, 1))));
        let clones = HashSet::from([FunctionId(0)]);
        let upstream = HashMap::from([(FunctionId(1), FunctionId(3))]);
        let each = |take: &mut dyn FnMut(FunctionId, Window)| -> Result<(), ()> {
            windows.iter().for_each(|&(id, window)| take(id, window));
            Ok(())
        };
        let series = select(Minute(100), Minute(130), &upstream, &clones, each).unwrap();
        assert_eq!(series.len(), 2);
        assert_eq!((series[0].peaks[19], series[0].peaks[20]), (2, 0));
        assert_eq!((series[0].parent, series[1].parent), (None, Some(0)));
    }
}

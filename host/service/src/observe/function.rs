//! One function: its description, and its open runs.

use super::runs::Runs;
use super::{Finished, FunctionInfo};

/// See the module's header.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) info: FunctionInfo,
    pub(super) runs: Runs,
    /// What the store was told last; `None`: nothing.
    pub(super) stored: Option<Means>,
}

/// What of a function's description changes all the time: runs, and the means of execution, initialisation and cold
/// starts. It is told again when one of them moved by a tenth.
pub(super) type Means = [f64; 4];

impl Function {
    pub(super) fn restored(info: FunctionInfo) -> Self {
        let mut function = Self { info, runs: Runs::default(), stored: None };
        function.stored = Some(function.means());
        function
    }

    pub(super) fn means(&self) -> Means {
        let info = &self.info;
        [(info.warm_runs + info.cold_runs) as f64, info.duration_ms, info.init_ms, info.cold_start_ms]
    }

    pub(super) fn is_changed(&self) -> bool {
        let moved = |stored: &Means| {
            stored.iter().zip(self.means()).any(|(&was, is)| (is - was).abs() > 0.1 * was.abs())
        };
        self.stored.as_ref().is_none_or(moved)
    }
}

/// Take one run into the description of its function; true: its memory or kind changed. New limits and new code make
/// new containers, so the first run after such a change is a cold start.
pub(super) fn describe(info: &mut FunctionInfo, finished: &Finished<'_>) -> bool {
    let mut changed = false;
    if finished.init_ms > 0 {
        if info.memory_mb != finished.memory_mb && finished.memory_mb != 0 {
            info.memory_mb = finished.memory_mb;
            changed = true;
        }
        // OpenWhisk says "unknown" of an action it could not fetch.
        if info.kind != finished.kind && finished.kind != "unknown" {
            finished.kind.clone_into(&mut info.kind);
            changed = true;
        }
    }
    let mean = |mean: &mut f64, runs: u64, value: f64| *mean += (value - *mean) / runs.min(64) as f64;
    let (wait, init) = (finished.wait_ms as f64, finished.init_ms as f64);
    if finished.init_ms == 0 {
        info.warm_runs += 1;
        mean(&mut info.wait_ms, info.warm_runs, wait);
    } else {
        info.cold_runs += 1;
        mean(&mut info.init_ms, info.cold_runs, init);
        mean(&mut info.cold_start_ms, info.cold_runs, init + (wait - info.wait_ms).max(0.0));
    }
    let run = finished.duration_ms.saturating_sub(finished.init_ms) as f64;
    mean(&mut info.duration_ms, info.warm_runs + info.cold_runs, run);
    changed
}

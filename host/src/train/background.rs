//! Training for the service: the light model, in the background.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use aquatope_core::forecast::features::Profile;
use aquatope_service::train::{Series, Trainer};

use super::light::{self, Options, Outcome};

/// Trains the light model with its usual options; one thread, at most 25 passes over the minutes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Background;

impl Trainer for Background {
    fn train(&self, series: &[Series], stop: &AtomicBool) -> Result<Vec<u32>, String> {
        let minutes = series.iter().map(|series| series.peaks.len()).min().unwrap_or(0);
        if minutes == 0 {
            return Err("no function has a history to learn from".to_owned());
        }
        let series: Vec<light::Series<'_>> = series
            .iter()
            .map(|s| light::Series { counts: &s.counts, peaks: &s.peaks, parent: s.parent })
            .collect();
        let watch = |_: &light::Checkpoint| {
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        match light::train(&series, minutes, &Options::default(), None, watch, |_| {}) {
            Ok(Outcome::Finished(trained)) => Ok(trained.weights),
            Ok(Outcome::Stopped(_)) => Err("the service is stopping".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn profile(&self, peaks: &[u32]) -> Profile {
        super::profile::fit(peaks)
    }
}

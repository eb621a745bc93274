//! What a controller keeps of a function as a stage of a workflow: recent invocations for the stages after it, and
//! the edges from the stages before it.
//!
//! A stage with edges has two forecasts: its own, from its history, and what its upstream stages imply (see
//! [`implied`]). They are combined with weights inverse to their recent mean squared errors (Bates and Granger, *The
//! Combination of Forecasts*, Operational Research Quarterly 1969). Before there are errors the edges are believed: an
//! operator stated them. Where a stage is also started otherwise, they fall short, and lose their weight. Errors are taken
//! from final minutes; invocations and run lengths from all up to the present.

use heapless::{Deque, Vec};

use super::controller::PROVISIONAL;
use super::upstream::{Upstream, combine, implied};
use crate::activation::FunctionId;
use crate::forecast::{Forecast, MEDIAN};
use crate::time::Minute;
use crate::window::Window;

/// Minutes of invocations kept: an edge's delay and the run that follows may take so long together.
pub const MEMORY: usize = 8;
/// Upstream stages of one function at most.
pub const MAX_EDGES: usize = 4;

/// Share of a new minute in what is remembered of run lengths and errors.
const FRESH: f32 = 1.0 / 64.0;

/// One function as a stage.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    edges: Vec<(FunctionId, Upstream), MAX_EDGES>,
    /// The final minutes.
    observed: Lately,
    /// The minutes forecast that are not final, oldest first, and the medians forecast: its own, and the edges'.
    said: Deque<(Minute, [f32; 2]), { PROVISIONAL + 1 }>,
    /// Mean squared errors of both.
    errors: [f32; 2],
}

/// What the last minutes were like.
#[derive(Clone, Copy, Debug)]
struct Lately {
    /// Invocations of every minute, newest first.
    counts: [u32; MEMORY],
    /// Invocations, peaks and busy seconds a minute.
    invocations: f32,
    peaks: f32,
    busy_s: f32,
}

impl Lately {
    const NOTHING: Self = Self { counts: [0; MEMORY], invocations: 0.0, peaks: 0.0, busy_s: 0.0 };

    fn push(&mut self, window: &Window) {
        self.counts.rotate_right(1);
        self.counts[0] = window.invocations;
        let seen = [window.invocations as f32, window.peak as f32, window.busy_ms as f32 / 1e3];
        for (mean, value) in [&mut self.invocations, &mut self.peaks, &mut self.busy_s].into_iter().zip(seen)
        {
            *mean += FRESH * (value - *mean);
        }
    }

    /// With the provisional minutes.
    fn with(mut self, so_far: impl Iterator<Item = Window>) -> Self {
        so_far.for_each(|window| self.push(&window));
        self
    }

    /// Invocations to a container of the peak.
    fn per_peak(&self) -> f32 {
        if self.peaks > 0.0 { self.invocations / self.peaks } else { 1.0 }
    }

    /// Seconds a run takes.
    fn run_s(&self) -> f32 {
        if self.invocations > 0.0 { self.busy_s / self.invocations } else { 1.0 }
    }
}

/// What a stage is to the stages after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// Invocations of every minute up to the present, newest first.
    counts: [u32; MEMORY],
    /// Invocations expected in the minute to come.
    expected: f32,
}

impl Stage {
    pub(super) const fn new() -> Self {
        Self { edges: Vec::new(), observed: Lately::NOTHING, said: Deque::new(), errors: [1.0, 0.0] }
    }

    /// Add an edge from `from`; `false` when there are [`MAX_EDGES`].
    pub(super) fn add_edge(&mut self, from: FunctionId, edge: Upstream) -> bool {
        self.edges.push((from, edge)).is_ok()
    }

    /// Take in the next final minute.
    pub(super) fn observe(&mut self, window: &Window) {
        self.observed.push(window);
        while let Some(&(minute, said)) = self.said.front()
            && minute <= window.minute
        {
            self.said.pop_front();
            // A quiet minute that both saw coming tells nothing about either.
            if minute == window.minute && (window.peak > 0 || said != [0.0; 2]) {
                self.learn(said, window.peak);
            }
        }
    }

    fn learn(&mut self, said: [f32; 2], peak: u32) {
        for (error, said) in self.errors.iter_mut().zip(said) {
            let miss = said - peak as f32;
            *error += FRESH * (miss * miss - *error);
        }
    }

    /// What it is to the stages after it, given its provisional minutes and its `forecast` of the minute to come.
    pub(super) fn source(&self, so_far: impl Iterator<Item = Window>, forecast: &Forecast) -> Source {
        let recent = self.observed.with(so_far);
        Source { counts: recent.counts, expected: forecast.mean * recent.per_peak() }
    }

    /// What the minute to come is planned by, given the stage's `own` forecast of it and its provisional minutes, and the
    /// medians of that and of what the edges imply, for [`Self::announce`]. `source` tells of the stages before this one, which
    /// have been forecast. Work: `so_far`, `source` of every edge, and [`implied`] with [`MEMORY`] minutes.
    pub(super) fn forecast(
        &self,
        own: Forecast,
        so_far: impl Iterator<Item = Window>,
        source: impl Fn(FunctionId) -> Option<Source>,
    ) -> (Forecast, [f32; 2]) {
        if self.edges.is_empty() {
            return (own, [0.0; 2]);
        }
        let mut edges = [Upstream { fan_out: 0.0, delay_s: 0.0 }; MAX_EDGES];
        let mut from = [None; MAX_EDGES];
        for ((slot, upstream), &(id, edge)) in edges.iter_mut().zip(&mut from).zip(&self.edges) {
            (*slot, *upstream) = (edge, source(id));
        }
        let counts = |edge: usize, minutes_ago: usize| -> f32 {
            let Some(&Some(upstream)) = from.get(edge) else { return 0.0 };
            match minutes_ago.checked_sub(1) {
                None => upstream.expected,
                Some(at) => upstream.counts.get(at).map_or(0.0, |&count| count as f32),
            }
        };
        let of_edges = implied(&edges, counts, self.observed.with(so_far).run_s(), MEMORY);
        let [error_own, error_edges] = self.errors;
        let share = error_edges / (error_own + error_edges).max(f32::MIN_POSITIVE);
        let said = [own.quantiles[MEDIAN], of_edges.quantiles[MEDIAN]];
        (combine(&own, &of_edges, share), said)
    }

    /// Remember the medians forecast for `minute`.
    pub(super) fn announce(&mut self, minute: Minute, said: [f32; 2]) {
        if !self.edges.is_empty() {
            // There is room for all minutes that are not final.
            let _ = self.said.push_back((minute, said));
        }
    }
}

//! What the model learns from: the durations of every complete trial, and the repeated baseline configuration.

use super::change::SHAPE_VARIANCE;
use super::kernel::{AXES, Place, trend};
use super::noise::{Noise, Repeated};
use crate::bo::profile::median;
use crate::math::float;
use heapless::Vec;

/// At most `N` observations of `F` functions. The repeated baseline, if there is one, is the last.
pub(super) struct Observations<const F: usize, const N: usize> {
    pub(super) functions: usize,
    pub(super) len: usize,
    /// Coordinates by function, axis and observation.
    pub(super) places: [[[f64; N]; AXES]; F],
    /// ln duration without level and trend.
    pub(super) residuals: [[f64; N]; F],
    /// Level of every function's ln duration: that of the baseline, or the median of the trials.
    pub(super) level: [f64; F],
    /// Position in the evidence of every observed trial.
    pub(super) trials: Vec<u16, N>,
    /// Samples behind the last observation, if it is the repeated baseline: all, and the undisturbed ones.
    pub(super) repeated: Option<(f64, f64)>,
    /// First trial since every function's last change (see [`super::change`]); 0 when it has not changed.
    pub(super) changed_at: [usize; F],
}

impl<const F: usize, const N: usize> Observations<F, N> {
    pub(super) const fn new() -> Self {
        Self {
            functions: 0,
            len: 0,
            places: [[[0.0; N]; AXES]; F],
            residuals: [[0.0; N]; F],
            level: [0.0; F],
            trials: Vec::new(),
            repeated: None,
            changed_at: [0; F],
        }
    }

    pub(super) fn clear(&mut self, functions: usize) {
        self.functions = functions.min(F);
        self.len = 0;
        self.trials.clear();
        self.repeated = None;
        self.changed_at = [0; F];
    }

    /// Adds a trial's durations; ignored when full.
    pub(super) fn push(&mut self, trial: usize, place: impl Fn(usize) -> Place, durations: &[f64]) {
        if self.trials.push(trial as u16).is_err() {
            return;
        }
        for (i, duration) in durations.iter().take(self.functions).enumerate() {
            self.put(i, place(i), float::ln(*duration));
        }
        self.len += 1;
    }

    /// Ends the list: adds the baseline (ignored when full) and settles the levels.
    pub(super) fn finish(&mut self, baseline: Option<(&Repeated<F>, &[Place; F])>) {
        if let Some((repeated, places)) = baseline
            && self.len < N
        {
            for (i, level) in repeated.level.iter().take(self.functions).enumerate() {
                self.put(i, places[i], *level);
            }
            self.len += 1;
            self.repeated = Some((repeated.noise.samples, repeated.undisturbed));
        }
        for i in 0..self.functions {
            self.level[i] = if self.repeated.is_some() {
                self.residuals[i][self.len - 1]
            } else {
                let mut sorted = self.residuals[i];
                median(&mut sorted[..self.len])
            };
            for residual in &mut self.residuals[i][..self.len] {
                *residual -= self.level[i];
            }
        }
    }

    /// Coordinates of observation `s` of function `i`.
    #[inline(always)]
    pub(super) fn place(&self, i: usize, s: usize) -> Place {
        let [cpu, memory, concurrency] = &self.places[i];
        [cpu[s], memory[s], concurrency[s]]
    }

    /// Variance of the function's own noise in observation `s`.
    #[inline(always)]
    pub(super) fn variance(&self, noise: &Noise<F>, i: usize, s: usize) -> f64 {
        let own = noise.own.get(i).copied().unwrap_or(1.0);
        let measured = match self.repeated {
            Some((samples, _)) if s + 1 == self.len => own / samples,
            _ => own,
        };
        if self.is_outdated(i, s) { measured + SHAPE_VARIANCE } else { measured }
    }

    /// Whether function `i` has changed since observation `s`.
    #[inline(always)]
    pub(super) fn is_outdated(&self, i: usize, s: usize) -> bool {
        s < self.changed_at[i] || (self.changed_at[i] > 0 && !self.is_trial(s))
    }

    /// Whether observation `s` is a trial that may have been disturbed, not the baseline.
    pub(super) fn is_trial(&self, s: usize) -> bool {
        self.repeated.is_none() || s + 1 < self.len
    }

    fn put(&mut self, function: usize, place: Place, ln_duration: f64) {
        for (axis, coordinate) in place.iter().enumerate() {
            self.places[function][axis][self.len] = *coordinate;
        }
        self.residuals[function][self.len] = ln_duration - trend(&place);
    }
}

//! What the model learns from: the durations of every complete trial, and the repeated baseline configuration.

use super::change::SHAPE_VARIANCE;
use super::kernel::{AXES, Place, trend};
use super::noise::{Noise, Repeated};
use crate::bo::profile::median;
use crate::math::float;
use crate::part::Part;
use heapless::Vec;

/// At most `N` observations of `F` functions. The repeated baseline, if there is one, is the last.
pub(super) struct Observations<const F: usize, const N: usize> {
    functions: usize,
    len: usize,
    /// Coordinates by function, axis and observation.
    pub(super) places: [[[f64; N]; AXES]; F],
    /// ln duration without level and trend.
    pub(super) residuals: [[f64; N]; F],
    /// Level of every function's ln duration: that of the baseline, or the median of the trials.
    pub(super) level: [f64; F],
    /// Position in the evidence of every observed trial.
    trials: Vec<u16, N>,
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

    /// Functions observed: at most `F`, which the compiler does not know.
    #[inline(always)]
    pub(super) fn functions(&self) -> usize {
        self.functions.min(F)
    }

    /// Observations of each, the baseline included: at most `N`.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len.min(N)
    }

    /// Position in the evidence of every observed trial.
    #[inline(always)]
    pub(super) fn trials(&self) -> &[u16] {
        self.trials.head(N)
    }

    /// Adds a trial's durations; ignored when full.
    pub(super) fn push(&mut self, trial: usize, place: impl Fn(usize) -> Place, durations: &[f64]) {
        if self.trials.push(trial as u16).is_err() {
            return;
        }
        for (i, duration) in durations.iter().take(self.functions()).enumerate() {
            self.put(i, place(i), float::ln(*duration));
        }
        self.len = self.len() + 1;
    }

    /// Ends the list: adds the baseline (ignored when full) and settles the levels.
    pub(super) fn finish(&mut self, baseline: Option<(&Repeated<F>, &[Place; F])>) {
        if let Some((repeated, places)) = baseline
            && self.len() < N
        {
            let levels = repeated.level.iter().zip(places).take(self.functions());
            for (i, (level, place)) in levels.enumerate() {
                self.put(i, *place, *level);
            }
            self.len = self.len() + 1;
            self.repeated = Some((repeated.noise.samples, repeated.undisturbed));
        }
        let (functions, len) = (self.functions(), self.len());
        for (level, residuals) in self.level.iter_mut().zip(&mut self.residuals).take(functions) {
            let residuals = &mut residuals[..len];
            *level = match residuals {
                [.., baseline] if self.repeated.is_some() => *baseline,
                _ => {
                    let mut sorted = [0.0; N];
                    sorted[..len].copy_from_slice(residuals);
                    median(&mut sorted[..len])
                }
            };
            for residual in residuals {
                *residual -= *level;
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
            Some((samples, _)) if s + 1 == self.len() => own / samples,
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
        self.repeated.is_none() || s + 1 < self.len()
    }

    fn put(&mut self, function: usize, place: Place, ln_duration: f64) {
        let at = self.len();
        let (Some(places), Some(residuals)) =
            (self.places.get_mut(function), self.residuals.get_mut(function))
        else {
            return;
        };
        let coordinates = places.iter_mut().zip(place).chain([(residuals, ln_duration - trend(&place))]);
        for (observed, value) in coordinates {
            if let Some(observed) = observed.get_mut(at) {
                *observed = value;
            }
        }
    }
}

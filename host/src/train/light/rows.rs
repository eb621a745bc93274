//! What the light model trains on: rows drawn at random minutes, with features from the core's own code.

use std::ops::Range;

use aquatope_core::forecast::features::{EXPERTS, FEATURES, Profile};
use aquatope_core::random;
use aquatope_core::time::Minute;
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Series, State, upstream};

/// Rows of features with what happened in the minute.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) features: Vec<[f32; FEATURES]>,
    pub(super) targets: Vec<Target>,
}

/// What happened in a row's minute, and what the network's answer is relative to; all in units of the loss.
#[derive(Clone, Copy, Default)]
pub(super) struct Target {
    pub(super) peak: f32,
    pub(super) unit: f32,
    pub(super) experts: [f32; EXPERTS],
}

impl Rows {
    /// Draw `count` rows, uniformly over functions and `minutes`.
    pub(super) fn draw(
        &mut self,
        series: &[Series<'_>],
        profiles: &[Profile],
        minutes: Range<usize>,
        count: usize,
        seed: u64,
        round: usize,
    ) {
        self.features.clear();
        self.targets.clear();
        if series.is_empty() || minutes.is_empty() {
            return;
        }
        let mut rng =
            Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(round as u64));
        let mut wanted: Vec<(u32, u32)> = (0..count)
            .map(|_| {
                let minute = minutes.start as u32 + random::below(&mut rng, minutes.len() as u32);
                (minute, random::below(&mut rng, series.len() as u32))
            })
            .collect();
        wanted.sort_unstable();
        let parents: Vec<Option<usize>> = series.iter().map(|s| s.parent).collect();
        let mut wanted = wanted.into_iter().peekable();
        let mut states: Vec<State> = profiles.iter().map(|&p| State::new(Minute(0), p)).collect();
        for minute in 0..minutes.end {
            while let Some((_, function)) = wanted.next_if(|&(m, _)| m as usize == minute) {
                let function = function as usize;
                let upstream = upstream(&parents, &states, function);
                let reading = states[function].read(upstream.as_ref());
                // Halfway between the function's scale and the moment's: a burst out of proportion must not
                // drown everything else, nor count for nothing.
                let scale = 1.0 / (reading.unit * profiles[function].scale()).sqrt();
                self.features.push(reading.features);
                self.targets.push(Target {
                    peak: series[function].peaks[minute] as f32 * scale,
                    unit: reading.unit * scale,
                    experts: reading.experts.map(|expert| expert * scale),
                });
            }
            for (state, series) in states.iter_mut().zip(series) {
                state.push(series.counts[minute], series.peaks[minute]);
            }
        }
    }

    /// The rows in a random order.
    pub(super) fn order(&self, seed: u64, round: usize) -> Vec<u32> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_add(round as u64));
        let mut order: Vec<u32> = (0..self.features.len() as u32).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, random::below(&mut rng, at as u32 + 1) as usize);
        }
        order
    }
}

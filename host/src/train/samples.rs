//! What the hybrid network trains on: windows of minutes, external features, and what happened next.

use std::ops::Range;

use aquatope_core::forecast::features::{EXPERTS, Profile};
use aquatope_core::forecast::hybrid::{Recipe, SEQUENCE};
use aquatope_core::random;
use aquatope_core::time::Minute;
use aquatope_core::window::calendar;
use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::light::{Series, State, upstream};

/// The step of input of every minute of every function, `[function][minute]`.
pub struct Sequences {
    rows: Vec<Vec<[f32; SEQUENCE]>>,
}

impl Sequences {
    /// From the first `end` minutes of every series.
    pub fn new(recipe: Recipe, series: &[Series<'_>], end: usize) -> Self {
        let rows = series.iter().map(|s| {
            (0..end.min(s.peaks.len()))
                .map(|minute| {
                    let parent = s.parent.and_then(|p| series.get(p)).map_or(0, |p| p.counts[minute]);
                    recipe.step(s.peaks[minute], s.counts[minute], parent, Minute(minute as u32))
                })
                .collect()
        });
        Self { rows: rows.collect() }
    }

    /// Standardise every step.
    pub fn standardise(&mut self, scaling: &Scaling) {
        for rows in &mut self.rows {
            scaling.apply(rows.as_flattened_mut());
        }
    }

    /// The `window` minutes before `minute`.
    pub fn before(&self, function: usize, minute: usize, window: usize) -> &[[f32; SEQUENCE]] {
        &self.rows[function][minute - window..minute]
    }
}

/// Minutes to learn from or to validate on.
#[derive(Default)]
pub struct Samples {
    /// Function and minute of every sample.
    pub places: Vec<(u32, u32)>,
    /// External features, `[sample][externals]`.
    pub externals: Vec<f32>,
    /// Peak in the minute, containers.
    pub peaks: Vec<f32>,
    /// What the repaired recipe's answer hangs on; empty for the release recipe.
    pub anchors: Vec<Anchor>,
}

/// What the answer to one sample hangs on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anchor {
    /// Simple forecasts of the minute, containers.
    pub experts: [f32; EXPERTS],
    /// The unit of spread, containers.
    pub unit: f32,
    /// Weight of the sample's error. Halfway between the function's scale and the moment's: a burst out of proportion
    /// must not drown everything else, nor count for nothing.
    pub weight: f32,
}

impl Samples {
    /// At most `limit` samples from `minutes` of all functions: all of them when there are not more, else drawn.
    pub fn draw(
        recipe: Recipe,
        series: &[Series<'_>],
        profiles: &[Profile],
        minutes: Range<usize>,
        limit: usize,
        seed: u64,
    ) -> Self {
        let mut places: Vec<(u32, u32)> = Vec::new();
        if series.len() * minutes.len() <= limit {
            places.extend(minutes.clone().flat_map(|m| (0..series.len()).map(move |f| (f as u32, m as u32))));
        } else {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            places.extend((0..limit).map(|_| {
                let function = random::below(&mut rng, series.len() as u32);
                (function, minutes.start as u32 + random::below(&mut rng, minutes.len() as u32))
            }));
            places.sort_unstable_by_key(|&(function, minute)| (minute, function));
        }
        let peak = |f: u32, m: u32| series[f as usize].peaks[m as usize] as f32;
        let mut samples = Self {
            externals: Vec::with_capacity(places.len() * recipe.externals()),
            peaks: places.iter().map(|&(f, m)| peak(f, m)).collect(),
            anchors: Vec::new(),
            places,
        };
        match recipe {
            Recipe::Release => {
                for &(_, minute) in &samples.places {
                    samples.externals.extend(calendar(Minute(minute)));
                }
            }
            Recipe::Repaired => samples.write_features(series, profiles, minutes.end),
        }
        samples
    }

    /// The engineered features of every place, which are in order of time: all series are replayed once.
    fn write_features(&mut self, series: &[Series<'_>], profiles: &[Profile], end: usize) {
        let parents: Vec<Option<usize>> = series.iter().map(|s| s.parent).collect();
        let mut states: Vec<State> = profiles.iter().map(|&p| State::new(Minute(0), p)).collect();
        let mut places = self.places.iter().peekable();
        for minute in 0..end {
            while let Some(&(function, _)) = places.next_if(|&&(_, m)| m as usize == minute) {
                let upstream = upstream(&parents, &states, function as usize);
                let reading = states[function as usize].read(upstream.as_ref());
                self.externals.extend(reading.features);
                self.anchors.push(Anchor {
                    experts: reading.experts,
                    unit: reading.unit,
                    weight: 1.0 / (reading.unit * profiles[function as usize].scale()).sqrt(),
                });
            }
            for (state, series) in states.iter_mut().zip(series) {
                state.push(series.counts[minute], series.peaks[minute]);
            }
        }
    }

    /// Function and minute of a sample.
    pub fn place(&self, sample: u32) -> (usize, usize) {
        let (function, minute) = self.places[sample as usize];
        (function as usize, minute as usize)
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// Offset and gain that give every column mean 0 and deviation 1.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scaling {
    /// What is subtracted.
    pub offset: Vec<f32>,
    /// What the difference is multiplied by.
    pub gain: Vec<f32>,
}

impl Scaling {
    /// From rows of `columns` values.
    pub fn fit<'r>(rows: impl Iterator<Item = &'r [f32]> + Clone, columns: usize) -> Self {
        let count = rows.clone().count().max(1) as f64;
        let moment = |column: usize, centre: f64, power: i32| {
            rows.clone().map(|row| (f64::from(row[column]) - centre).powi(power)).sum::<f64>() / count
        };
        let mean: Vec<f64> = (0..columns).map(|column| moment(column, 0.0, 1)).collect();
        let gain = (0..columns).map(|column| 1.0 / (moment(column, mean[column], 2).sqrt() + 1e-3));
        Self { gain: gain.map(|g| g as f32).collect(), offset: mean.iter().map(|&m| m as f32).collect() }
    }

    /// The scaling of `columns` columns that changes nothing.
    pub fn none(columns: usize) -> Self {
        Self { offset: vec![0.0; columns], gain: vec![1.0; columns] }
    }

    /// Standardise rows in place, held within [`aquatope_core::forecast::hybrid::CLIP`].
    pub fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.offset.len()) {
            aquatope_core::forecast::hybrid::standardise(row, &self.offset, &self.gain);
        }
    }
}

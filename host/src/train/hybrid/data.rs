//! What a run learns from and validates on: samples drawn from the two parts of a load, standardised.

use aquatope_core::forecast::features::Profile;
use aquatope_core::forecast::hybrid::SEQUENCE;

use super::{AHEAD, Options, Parts, WINDOW};
use crate::train::light::Series;
use crate::train::samples::{Samples, Scaling, Sequences};

/// What a run learns from and validates on, standardised.
pub struct Data {
    /// The step of input of every minute.
    pub sequences: Sequences,
    /// Samples of the training part.
    pub train: Samples,
    /// Samples of the validation part.
    pub valid: Samples,
    pub(super) sequence_scaling: Scaling,
    pub(super) external_scaling: Scaling,
}

impl Data {
    /// From `series`, drawn as `options` say.
    pub fn new(series: &[Series<'_>], profiles: &[Profile], parts: Parts, options: &Options) -> Self {
        let recipe = options.recipe;
        let mut sequences = Sequences::new(recipe, series, parts.valid_end);
        let first = (2 * 1440).min(parts.train_end / 4).max(WINDOW);
        let last = parts.train_end - AHEAD;
        let mut train = Samples::draw(recipe, series, profiles, first..last, options.samples, options.seed);
        let minutes = parts.train_end..parts.valid_end - AHEAD;
        let mut valid = Samples::draw(recipe, series, profiles, minutes, options.validation, options.seed);
        let steps =
            train.places.iter().step_by(7).flat_map(|&(f, m)| sequences.before(f as usize, m as usize, 1));
        let sequence_scaling = Scaling::fit(steps.map(<[f32; SEQUENCE]>::as_slice), SEQUENCE);
        let externals = recipe.externals();
        let external_scaling = Scaling::fit(train.externals.chunks_exact(externals), externals);
        sequences.standardise(&sequence_scaling);
        external_scaling.apply(&mut train.externals);
        external_scaling.apply(&mut valid.externals);
        Self { sequences, train, valid, sequence_scaling, external_scaling }
    }

    pub(super) fn samples(&self, part: Part) -> &Samples {
        match part {
            Part::Train => &self.train,
            Part::Validation => &self.valid,
        }
    }
}

/// Which samples.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Validation,
}

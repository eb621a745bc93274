//! How the hybrid network is trained: phases, rates and sizes.

use aquatope_core::forecast::hybrid::{HybridShape, Recipe, SEQUENCE};
use aquatope_core::forecast::mc_dropout::Rates;
use aquatope_core::forecast::predictor::Nonlinearity;
use aquatope_core::nn::Dropout;

use crate::train::network::Architecture;

/// Minutes of history the model reads, as in the paper.
pub const WINDOW: usize = 48;
/// Minutes the decoder forecasts in phase 1, as in the paper.
pub const AHEAD: usize = 12;

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Options {
    /// The recipe.
    pub recipe: Recipe,
    /// Samples drawn from the training part; all of them when it has fewer.
    pub samples: usize,
    /// Samples drawn from the validation part.
    pub validation: usize,
    /// The three phases.
    pub phases: [Phase; PHASES],
    /// Dropout between and after the encoder's layers.
    pub encoder_dropout: f64,
    /// Dropout in the prediction network.
    pub predictor_dropout: f64,
    /// Rounds without a better validation loss after which a phase ends.
    pub patience: usize,
    /// Everything random follows from this.
    pub seed: u64,
}

/// One phase of training.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Phase {
    /// Rounds at most; none leaves the phase out.
    pub rounds: usize,
    /// Samples of a round, all there are at most.
    pub samples: usize,
    /// Samples of one step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
}

/// Number of phases.
pub const PHASES: usize = 3;

impl Options {
    /// What measured best for the repaired recipe, in minutes.
    pub const REPAIRED: Self = Self {
        recipe: Recipe::Repaired,
        samples: 1 << 18,
        validation: 1 << 12,
        phases: [
            Phase { rounds: 1, samples: 1 << 15, batch: 128, rate: 2e-3 },
            Phase { rounds: 3, samples: 1 << 15, batch: 128, rate: 3e-3 },
            Phase { rounds: 32, samples: usize::MAX, batch: 512, rate: 4e-3 },
        ],
        encoder_dropout: 0.05,
        predictor_dropout: 0.02,
        patience: 32,
        seed: 1,
    };

    /// The repaired recipe in seconds instead of minutes: half of the samples, and the encoder learns only together with
    /// the prediction network, which for the same time gave the lower loss.
    pub const BRIEF: Self = Self {
        samples: 1 << 17,
        phases: [
            Phase { rounds: 0, ..Self::REPAIRED.phases[0] },
            Phase { rounds: 2, samples: 1 << 14, ..Self::REPAIRED.phases[1] },
            Phase { rounds: 24, ..Self::REPAIRED.phases[2] },
        ],
        ..Self::REPAIRED
    };

    /// The published code's settings: constant small rates, 128 rounds of each of its two phases.
    pub const RELEASE: Self = Self {
        recipe: Recipe::Release,
        phases: [
            Phase { rounds: 128, samples: usize::MAX, batch: 128, rate: 1e-4 },
            Phase { rounds: 0, samples: 0, batch: 1, rate: 0.0 },
            Phase { rounds: 128, samples: usize::MAX, batch: 128, rate: 1e-3 },
        ],
        encoder_dropout: 0.25,
        predictor_dropout: 0.2,
        patience: 128,
        ..Self::REPAIRED
    };

    /// The sizes of the model these options train: the paper's in the release recipe, with one latent unit.
    pub fn shape(&self) -> HybridShape {
        let (latent, second) = if self.recipe == Recipe::Release { (1, 16) } else { (16, 64) };
        HybridShape { recipe: self.recipe, window: WINDOW, encoder: [64, latent], predictor: [64, second] }
    }

    pub(super) fn architecture(&self) -> Architecture {
        let shape = self.shape();
        Architecture {
            features: SEQUENCE,
            window: shape.window,
            encoder: shape.encoder,
            latent: shape.latent(),
            externals: shape.recipe.externals(),
            predictor: shape.predictor,
            outputs: shape.outputs(),
            nonlinearity: Nonlinearity::Relu,
            decoder: 16,
            bridge: 32,
            ahead: AHEAD,
        }
    }

    pub(super) fn dropout(&self) -> Rates {
        let [encoder, predictor] = [self.encoder_dropout, self.predictor_dropout]
            .map(|rate| Dropout::new(rate).unwrap_or(Dropout::NONE));
        let before = if self.recipe == Recipe::Release { predictor } else { Dropout::NONE };
        Rates { between: encoder, latent: encoder, before, first: predictor, second: predictor }
    }
}

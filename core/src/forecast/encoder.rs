//! The LSTM encoder: a window of minutes to latent features, once per stochastic pass.
//!
//! Two LSTM layers (64 and 16 units in the paper) with variational dropout on their outputs. The first layer sees no
//! dropout, so it runs once for all passes; and since a mask does not change over time, the second layer's input
//! products are formed once as well and each pass only takes out the terms of its few dropped units. Both are exact.

use crate::nn::{Dropout, Lstm, Mask, Real, ShapeError, lstm::Variational};
use crate::part::{self, Part};

/// What of the second layer becomes the latent features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latent {
    /// Its state after the last step.
    LastStep,
    /// Its state after every step, negative values set to 0 (the release recipe, with one unit).
    EveryStepRectified,
}

/// A two-layer LSTM encoder.
#[derive(Clone, Copy, Debug)]
pub struct Encoder<'w, R> {
    first: Lstm<'w, R>,
    second: Lstm<'w, R>,
    latent: Latent,
}

/// The two masks of one pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncoderMasks {
    /// Dropped outputs of the first layer.
    pub between: Mask,
    /// Dropped outputs of the second layer.
    pub latent: Mask,
}

impl<'w, R: Real> Encoder<'w, R> {
    /// An encoder from its two layers.
    ///
    /// # Errors
    /// [`ShapeError`] when the second layer does not read the first one's outputs.
    pub fn new(first: Lstm<'w, R>, second: Lstm<'w, R>, latent: Latent) -> Result<Self, ShapeError> {
        ShapeError::check("input of the second LSTM", first.hidden(), second.inputs())?;
        Ok(Self { first, second, latent })
    }

    /// Values a step of input has.
    pub fn inputs(&self) -> usize {
        self.first.inputs()
    }

    /// Latent features from a window of `steps`.
    pub fn latent_len(&self, steps: usize) -> usize {
        match self.latent {
            Latent::LastStep => self.second.hidden(),
            Latent::EveryStepRectified => steps.saturating_mul(self.second.hidden()),
        }
    }

    /// Length of what [`Self::prepare`] writes for a window of `steps`.
    pub fn prepared_len(&self, steps: usize) -> usize {
        steps.saturating_mul(self.first.hidden() + 4 * self.second.hidden())
    }

    /// Length of the scratch memory of [`Self::prepare`], and of [`Self::pass`] for `passes` at a time.
    pub fn scratch_len(&self, passes: usize) -> usize {
        self.first.scratch_len().max((6 * self.second.hidden()).saturating_mul(passes))
    }

    /// What all passes share: `x` `[steps][inputs]`, `between` the dropout of their masks; `prepared` of [`Self::prepared_len`] takes the scaled outputs of
    /// the first layer `[steps][hidden 1]` and their products `[steps][4 hidden 2]`.
    ///
    /// # Errors
    /// [`ShapeError`] when the lengths do not agree.
    pub fn prepare(
        &self,
        x: &[R],
        between: Dropout,
        prepared: &mut [R],
        scratch: &mut [R],
    ) -> Result<(), ShapeError> {
        let steps = x.len() / self.inputs().max(1);
        ShapeError::check("prepared encoder", self.prepared_len(steps), prepared.len())?;
        ShapeError::check(
            "scratch of an encoder",
            self.scratch_len(1),
            scratch.len().min(self.scratch_len(1)),
        )?;
        let (hidden, products) =
            ShapeError::split("prepared encoder", steps.saturating_mul(self.first.hidden()), prepared)?;
        let (scratch, _) = ShapeError::split("scratch of an encoder", self.first.scratch_len(), scratch)?;
        self.first.forward(x, &Variational::NONE, hidden, scratch)?;
        let scale = R::from_f64(between.scale());
        for value in hidden.iter_mut() {
            *value *= scale;
        }
        self.second.project(hidden, products)
    }

    /// The latent features of one pass per element of `masks`: `latents` is `[passes][latent_len]`, `scratch` of
    /// [`Self::scratch_len`]. Work per pass and step: 4 hidden 2 * (dropped units + hidden 2) products.
    ///
    /// # Errors
    /// [`ShapeError`] when the lengths do not agree.
    pub fn pass(
        &self,
        prepared: &[R],
        masks: &[EncoderMasks],
        latents: &mut [R],
        scratch: &mut [R],
    ) -> Result<(), ShapeError> {
        let (width, inner) = (self.second.hidden(), self.first.hidden());
        let (row, passes) = (self.prepared_len(1), masks.len());
        let steps = prepared.len().checked_div(row).unwrap_or(0);
        ShapeError::check("prepared encoder", self.prepared_len(steps), prepared.len())?;
        ShapeError::check("latent features", passes.saturating_mul(self.latent_len(steps)), latents.len())?;
        let state = width.saturating_mul(passes);
        let (scratch, _) = ShapeError::split("scratch of an encoder", state.saturating_mul(6), scratch)?;
        let (gates, rest) = ShapeError::split("scratch of an encoder", state.saturating_mul(4), scratch)?;
        let (h, rest) = ShapeError::split("scratch of an encoder", state, rest)?;
        let (c, _) = ShapeError::split("scratch of an encoder", state, rest)?;
        h.fill(R::ZERO);
        c.fill(R::ZERO);
        let (hidden, products) = prepared.split_at_checked(steps.saturating_mul(inner)).unwrap_or_default();
        for (step, x) in part::rows(hidden, inner).enumerate() {
            let product = part::row(products, 4 * width, step, 0..4 * width);
            for (gates, masks) in part::rows_mut(gates, 4 * width).zip(masks) {
                part::copy(gates, product);
                self.second.unproject(x, masks.between, gates);
            }
            self.second.step(gates, h, c)?;
            let keep = match self.latent {
                Latent::LastStep if step + 1 < steps => continue,
                Latent::LastStep => 0,
                Latent::EveryStepRectified => step * width,
            };
            let rows = part::rows_mut(latents, self.latent_len(steps)).zip(part::rows(h, width));
            for ((latent, h), masks) in rows.zip(masks) {
                let latent = latent.part_mut(keep..keep + width);
                part::copy(latent, h);
                masks.latent.apply(latent);
                if self.latent == Latent::EveryStepRectified {
                    crate::nn::nonlinearity::relu(latent);
                }
            }
        }
        Ok(())
    }
}

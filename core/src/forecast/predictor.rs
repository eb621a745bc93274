//! The prediction network: three linear layers on latent features and external ones.
//!
//! ```text
//! a = f(drop_0(W1 [latent; external] + b1));  b = f(W2 drop_1(a) + b2);  y = W3 drop_2(b) + b3
//! ```
//!
//! f is tanh (the paper) or the rectifier (the release recipe). The external features are the same in every pass, so
//! their share of the first layer is formed once.

use crate::nn::linear::accumulate;
use crate::nn::{Linear, Mask, Real, ShapeError, nonlinearity};
use crate::part;

/// The non-linear function between the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonlinearity {
    /// Hyperbolic tangent.
    Tanh,
    /// max(x, 0).
    Relu,
}

/// A three-layer prediction network.
#[derive(Clone, Copy, Debug)]
pub struct Predictor<'w, R> {
    latent: &'w [R],
    external: Linear<'w, R>,
    second: Linear<'w, R>,
    third: Linear<'w, R>,
    nonlinearity: Nonlinearity,
}

/// The masks of one pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictorMasks {
    /// Dropped sums of the first layer, before its non-linear function.
    pub before: Mask,
    /// Dropped outputs of the first layer.
    pub first: Mask,
    /// Dropped outputs of the second layer.
    pub second: Mask,
}

impl<'w, R: Real> Predictor<'w, R> {
    /// A network from its layers; `first` `[latent + external][width]` takes the latent features first, and its bias
    /// is `bias`.
    ///
    /// # Errors
    /// [`ShapeError`] when the layers do not fit one another.
    pub fn new(
        latents: usize,
        first: &'w [R],
        bias: &'w [R],
        second: Linear<'w, R>,
        third: Linear<'w, R>,
        nonlinearity: Nonlinearity,
    ) -> Result<Self, ShapeError> {
        let latent_weights = latents.saturating_mul(bias.len());
        let short =
            ShapeError { what: "first weight of a predictor", expected: latent_weights, found: first.len() };
        let (latent, external) = first.split_at_checked(latent_weights).ok_or(short)?;
        let external = Linear::new(external, bias)?;
        ShapeError::check("input of the second layer", external.outputs(), second.inputs())?;
        ShapeError::check("input of the third layer", second.outputs(), third.inputs())?;
        Ok(Self { latent, external, second, third, nonlinearity })
    }

    /// External features.
    pub fn externals(&self) -> usize {
        self.external.inputs()
    }

    /// Width of the first layer, the length of what [`Self::prepare`] writes.
    pub fn prepared_len(&self) -> usize {
        self.external.outputs()
    }

    /// Values a pass gives.
    pub fn outputs(&self) -> usize {
        self.third.outputs()
    }

    /// Length of the scratch memory of [`Self::pass`].
    pub fn scratch_len(&self) -> usize {
        self.external.outputs() + self.second.outputs()
    }

    /// What all passes share: the external features' share of the first layer.
    ///
    /// # Errors
    /// [`ShapeError`] when the lengths do not agree.
    pub fn prepare(&self, external: &[R], prepared: &mut [R]) -> Result<(), ShapeError> {
        ShapeError::check("prepared predictor", self.prepared_len(), prepared.len())?;
        self.external.forward(external, prepared)
    }

    /// One pass per element of `masks`: `latents` `[passes][latent]`, `out` `[passes][outputs]`.
    ///
    /// # Errors
    /// [`ShapeError`] when the lengths do not agree.
    pub fn pass(
        &self,
        prepared: &[R],
        latents: &[R],
        masks: &[PredictorMasks],
        out: &mut [R],
        scratch: &mut [R],
    ) -> Result<(), ShapeError> {
        let width = self.prepared_len();
        let latent_len = self.latent.len().checked_div(width).unwrap_or(0);
        ShapeError::check("prepared predictor", width, prepared.len())?;
        ShapeError::check("latent features", masks.len().saturating_mul(latent_len), latents.len())?;
        ShapeError::check("output of a predictor", masks.len().saturating_mul(self.outputs()), out.len())?;
        let needed = width.saturating_add(self.second.outputs());
        let (scratch, _) = ShapeError::split("scratch of a predictor", needed, scratch)?;
        let (first, rest) = ShapeError::split("scratch of a predictor", width, scratch)?;
        let (second, _) = ShapeError::split("scratch of a predictor", self.second.outputs(), rest)?;
        for ((row, masks), out) in masks.iter().enumerate().zip(part::rows_mut(out, self.outputs())) {
            part::copy(first, prepared);
            accumulate(self.latent, part::row(latents, latent_len, row, 0..latent_len), first);
            masks.before.apply(first);
            self.nonlinear(first);
            masks.first.apply(first);
            self.second.forward(first, second)?;
            self.nonlinear(second);
            masks.second.apply(second);
            self.third.forward(second, out)?;
        }
        Ok(())
    }

    fn nonlinear(&self, values: &mut [R]) {
        match self.nonlinearity {
            Nonlinearity::Tanh => nonlinearity::tanh(values),
            Nonlinearity::Relu => nonlinearity::relu(values),
        }
    }
}

//! A classifier of any of the networks for it.

use candle_core::{Result, Tensor};

use super::{Cnn, Dense, ModelName, Residual};
use crate::learning::{LearnError, Parameters};
use crate::weights::Weights;

/// A network that gives each image one logit a class.
#[derive(Clone, Debug, PartialEq)]
pub enum Classifier {
    /// A plain convolutional network.
    Cnn(Cnn),
    /// A residual network.
    Residual(Residual),
    /// One hidden layer.
    Dense(Dense),
}

impl Classifier {
    /// The classifier of this name for `side` x `side` images and `classes` classes.
    ///
    /// # Errors
    /// [`LearnError::Model`] when the model is none for classification, the side cannot be halved
    /// as often as the model does, or there are fewer than two classes.
    pub fn new(
        name: ModelName,
        side: usize,
        classes: usize,
    ) -> std::result::Result<Self, LearnError> {
        Ok(match name {
            ModelName::CnnLight => Self::Cnn(Cnn::new(&Cnn::LIGHT, side, classes)?),
            ModelName::Cnn => Self::Cnn(Cnn::new(&Cnn::WIDE, side, classes)?),
            ModelName::Residual => Self::Residual(Residual::new(&Residual::WIDTHS, side, classes)?),
            ModelName::Dense => Self::Dense(Dense::new(Dense::HIDDEN, side, classes)?),
            ModelName::UnetLight | ModelName::Unet => return Err(name.misfit("classification")),
        })
    }

    /// Side of the images, in pixels.
    #[must_use]
    pub fn side(&self) -> usize {
        match self {
            Self::Cnn(model) => model.side(),
            Self::Residual(model) => model.side(),
            Self::Dense(model) => model.side(),
        }
    }

    /// First weights, fixed by `seed`.
    ///
    /// # Errors
    /// Only if the model's own layout is wrong.
    pub fn initial_weights(&self, seed: u64) -> std::result::Result<Weights, LearnError> {
        match self {
            Self::Cnn(model) => model.initial_weights(seed),
            Self::Residual(model) => model.initial_weights(seed),
            Self::Dense(model) => model.initial_weights(seed),
        }
    }

    /// Logits of `images`: `[b, 1, s, s]` to `[b, classes]`.
    ///
    /// # Errors
    /// When the parameters are of another model or the images of another side.
    pub fn logits(&self, p: &Parameters, images: &Tensor) -> Result<Tensor> {
        match self {
            Self::Cnn(model) => model.logits(p, images),
            Self::Residual(model) => model.logits(p, images),
            Self::Dense(model) => model.logits(p, images),
        }
    }
}

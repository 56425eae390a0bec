//! A classifier of any of the networks for it.

use candle_core::{Result, Tensor};

use super::check::{check_classes, misfit};
use super::cnn::Cnn;
use super::dense::Dense;
use super::layers::initial;
use super::name::ModelName;
use super::residual::Residual;
use crate::error::LearnError;
use crate::parameters::Parameters;
use crate::task::name::TaskName;
use ringfence_weights::Weights;

/// A network that gives each image one logit a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    network: Network,
    side: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Network {
    Cnn(Cnn),
    Residual(Residual),
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
        check_classes(classes)?;
        let cnn = |widths| Ok::<_, LearnError>(Network::Cnn(Cnn::new(widths, side, classes)?));
        let network = match name {
            ModelName::CnnLight => cnn(&Cnn::LIGHT)?,
            ModelName::Cnn => cnn(&Cnn::WIDE)?,
            ModelName::Residual => {
                Network::Residual(Residual::new(&Residual::WIDTHS, side, classes)?)
            }
            ModelName::Dense => Network::Dense(Dense::new(Dense::HIDDEN, side, classes)?),
            ModelName::UnetLight | ModelName::Unet => {
                return Err(misfit(name, TaskName::Classification));
            }
        };
        Ok(Self { network, side })
    }

    /// Side of the images, in pixels.
    #[must_use]
    pub fn side(&self) -> usize {
        self.side
    }

    /// First weights, fixed by `seed`.
    ///
    /// # Errors
    /// Only if the model's own layout is wrong.
    pub fn initial_weights(&self, seed: u64) -> std::result::Result<Weights, LearnError> {
        let shapes = match &self.network {
            Network::Cnn(model) => model.shapes(),
            Network::Residual(model) => model.shapes(),
            Network::Dense(model) => model.shapes(),
        };
        initial(shapes, 0.0, seed)
    }

    /// Logits of `images`: `[b, 1, s, s]` to `[b, classes]`.
    ///
    /// # Errors
    /// When the parameters are of another model or the images of another side.
    pub fn logits(&self, p: &Parameters, images: &Tensor) -> Result<Tensor> {
        match &self.network {
            Network::Cnn(model) => model.logits(p, images),
            Network::Residual(model) => model.logits(p, images),
            Network::Dense(model) => model.logits(p, images),
        }
    }
}

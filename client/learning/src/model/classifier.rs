//! A classifier of any of the networks for it.

use candle_core::{Result, Tensor, bail};

use super::check::{check_channels, check_classes, misfit};
use super::cnn::Cnn;
use super::dense::Dense;
use super::layers::initial;
use super::lenet::Lenet;
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
    /// `None` is the LeNet, which has no name that a study could choose.
    name: Option<ModelName>,
    channels: usize,
    side: usize,
    classes: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Network {
    Cnn(Cnn),
    Residual(Residual),
    Dense(Dense),
    Lenet(Lenet),
}

impl Network {
    fn new(
        name: Option<ModelName>,
        shape: (usize, usize),
        classes: usize,
    ) -> std::result::Result<Self, LearnError> {
        check_channels(shape.0)?;
        check_classes(classes)?;
        let Some(name) = name else { return Ok(Self::Lenet(Lenet::new(shape, classes)?)) };
        Ok(match name {
            ModelName::CnnLight => Self::Cnn(Cnn::new(&Cnn::LIGHT, shape, classes)?),
            ModelName::Cnn => Self::Cnn(Cnn::new(&Cnn::WIDE, shape, classes)?),
            ModelName::Residual => {
                Self::Residual(Residual::new(&Residual::WIDTHS, shape, classes)?)
            }
            ModelName::Dense => Self::Dense(Dense::new(Dense::HIDDEN, shape, classes)?),
            ModelName::UnetLight | ModelName::Unet => {
                return Err(misfit(name, TaskName::Classification));
            }
        })
    }
}

impl Classifier {
    /// The classifier of this name for grey `side` x `side` images and `classes` classes.
    ///
    /// # Errors
    /// [`LearnError::Model`] when the model is none for classification, the side cannot be halved
    /// as often as the model does, or there are fewer than two classes.
    pub fn new(
        name: ModelName,
        side: usize,
        classes: usize,
    ) -> std::result::Result<Self, LearnError> {
        Self::of(Some(name), side, classes)
    }

    /// The sigmoid LeNet that gradient leakage was first shown on, of grey `side` x `side` images:
    /// for attacks, and no study can name it.
    ///
    /// # Errors
    /// [`LearnError::Model`] when the side is no multiple of 4, or there are fewer than two classes.
    pub fn sigmoid_lenet(side: usize, classes: usize) -> std::result::Result<Self, LearnError> {
        Self::of(None, side, classes)
    }

    fn of(
        name: Option<ModelName>,
        side: usize,
        classes: usize,
    ) -> std::result::Result<Self, LearnError> {
        let (network, channels) = (Network::new(name, (1, side), classes)?, 1);
        Ok(Self { network, name, channels, side, classes })
    }

    /// The same of images of so many channels: 1 is grey, and 3 colour.
    ///
    /// # Errors
    /// [`LearnError::Model`] for other numbers.
    pub fn with_channels(self, channels: usize) -> std::result::Result<Self, LearnError> {
        let network = Network::new(self.name, (channels, self.side), self.classes)?;
        Ok(Self { network, channels, ..self })
    }

    /// Channels of the images.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
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
            Network::Lenet(model) => return model.initial_weights(seed),
        };
        initial(shapes, 0.0, seed)
    }

    /// Logits of `images`: `[b, c, s, s]` to `[b, classes]`.
    ///
    /// # Errors
    /// When the parameters are of another model or the images of another side.
    pub fn logits(&self, p: &Parameters, images: &Tensor) -> Result<Tensor> {
        match &self.network {
            Network::Cnn(model) => model.logits(p, images),
            Network::Residual(model) => model.logits(p, images),
            Network::Dense(model) => model.logits(p, images),
            Network::Lenet(model) => model.logits(p, images),
        }
    }

    /// What the last convolutional block gives: `[b, c, s, s]` to `[b, h, w, width]`. `None` for a
    /// network without convolutions.
    ///
    /// # Errors
    /// As [`Classifier::logits`].
    pub fn last_block(&self, p: &Parameters, images: &Tensor) -> Result<Option<Tensor>> {
        match &self.network {
            Network::Cnn(model) => model.last_block(p, images).map(Some),
            Network::Residual(model) => model.last_block(p, images).map(Some),
            Network::Dense(_) => Ok(None),
            Network::Lenet(model) => model.last_block(p, images).map(Some),
        }
    }

    /// The logits that follow from what the last convolutional block gives: `[b, classes]`.
    ///
    /// # Errors
    /// As [`Classifier::logits`], and for a network without convolutions.
    pub fn logits_after(&self, p: &Parameters, block: &Tensor) -> Result<Tensor> {
        match &self.network {
            Network::Cnn(model) => model.logits_after(p, block),
            Network::Residual(model) => model.logits_after(p, block),
            Network::Dense(_) => bail!("expected a network with convolutions, found none"),
            Network::Lenet(model) => model.logits_after(p, block),
        }
    }
}

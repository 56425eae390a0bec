//! The network that gradient leakage was first shown on, for attacks alone.

use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;
use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use ringfence_nn::Conv2d;

use super::check::check_side;
use super::layers::{Shapes, channels_last, conv, dense, dense_shapes};
use crate::error::LearnError;
use crate::parameters::Parameters;
use ringfence_weights::Weights;

/// The sigmoid LeNet of Zhu, Liu and Han, "Deep Leakage from Gradients", 2019: three 5x5
/// convolutions of 12 channels, each followed by a sigmoid, the first two of stride 2, and a dense
/// layer to one logit a class. Nothing normalises, and its second derivatives exist everywhere.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lenet {
    channels: usize,
    side: usize,
    classes: usize,
}

impl Lenet {
    /// Channels of each convolution.
    const WIDTH: usize = 12;
    /// Strides of the convolutions.
    const STRIDES: [usize; 3] = [2, 2, 1];

    /// A classifier of `side` x `side` images of so many channels.
    ///
    /// # Errors
    /// [`LearnError::Model`] when the side is no multiple of 4.
    pub(super) fn new(
        (channels, side): (usize, usize),
        classes: usize,
    ) -> std::result::Result<Self, LearnError> {
        check_side(side, 4)?;
        Ok(Self { channels, side, classes })
    }

    /// Names and shapes of the parameters.
    pub(super) fn shapes(&self) -> Shapes {
        let mut shapes = Vec::new();
        let mut from = self.channels;
        for depth in 0..Self::STRIDES.len() {
            shapes.push((format!("block{depth}.conv.kernel"), vec![Self::WIDTH, from, 5, 5]));
            shapes.push((format!("block{depth}.conv.bias"), vec![Self::WIDTH]));
            from = Self::WIDTH;
        }
        let pixels = (self.side / 4).pow(2);
        shapes.extend(dense_shapes("head", from * pixels, self.classes));
        shapes
    }

    /// First weights as in the paper, uniform in [-0.5, 0.5).
    pub(super) fn initial_weights(&self, seed: u64) -> std::result::Result<Weights, LearnError> {
        let mut shapes = self.shapes();
        shapes.sort();
        let count = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let values = std::iter::repeat_with(|| rng.random::<f32>() - 0.5).take(count).collect();
        Ok(Weights::from_values(&shapes, values)?)
    }

    /// Logits of `images`: `[b, c, s, s]` to `[b, classes]`.
    ///
    /// # Errors
    /// When the parameters are of another model or the images of another side.
    pub(super) fn logits(&self, p: &Parameters, images: &Tensor) -> Result<Tensor> {
        self.logits_after(p, &self.last_block(p, images)?)
    }

    /// What the last convolution gives: `[b, h, w, 12]`.
    ///
    /// # Errors
    /// As [`Lenet::logits`].
    pub(super) fn last_block(&self, p: &Parameters, images: &Tensor) -> Result<Tensor> {
        let mut x = channels_last(images)?;
        for (depth, stride) in Self::STRIDES.into_iter().enumerate() {
            let settings = Conv2d { stride, padding: 2, ..Conv2d::default() };
            let (kernel, bias) =
                (format!("block{depth}.conv.kernel"), format!("block{depth}.conv.bias"));
            x = sigmoid(&conv(p, settings, (&kernel, Some(&bias)), &x)?)?;
        }
        Ok(x)
    }

    /// The logits that follow from it.
    ///
    /// # Errors
    /// As [`Lenet::logits`].
    pub(super) fn logits_after(&self, p: &Parameters, block: &Tensor) -> Result<Tensor> {
        dense(p, "head", &block.flatten_from(1)?)
    }
}

//! A small convolutional network for classification, with group normalisation.

use candle_core::{Result, Tensor};
use ringfence_nn::mean_pool2;

use super::check::{check_side, check_widths};
use super::layers::{
    Shapes, channels_last, conv_norm_relu, conv_norm_shapes, dense, dense_shapes, relu,
};
use crate::error::LearnError;
use crate::parameters::Parameters;

/// A classifier of images: per width (3x3 convolution, group normalisation, ReLU, 2x2 mean),
/// then a dense layer of the last width, ReLU, and a dense layer to one logit a class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cnn {
    widths: Vec<usize>,
    channels: usize,
    side: usize,
    classes: usize,
}

/// Groups of the normalisation. Four, so that the light model's eight channels make whole groups.
const GROUPS: usize = 4;

impl Cnn {
    /// Widths of the light model: about 90,000 parameters at 64 px.
    pub(super) const LIGHT: [usize; 4] = [8, 16, 32, 64];
    /// The wider model: about 360,000 parameters at 64 px.
    pub(super) const WIDE: [usize; 4] = [16, 32, 64, 128];

    /// A classifier of `side` x `side` images of so many channels into `classes` classes.
    ///
    /// # Errors
    /// [`LearnError::Model`] when a width is not a positive multiple of 4, or the side cannot be
    /// halved once a width.
    pub(super) fn new(
        widths: &[usize],
        (channels, side): (usize, usize),
        classes: usize,
    ) -> std::result::Result<Self, LearnError> {
        check_widths(widths, GROUPS)?;
        check_side(side, 1 << widths.len())?;
        Ok(Self { widths: widths.to_vec(), channels, side, classes })
    }

    /// Logits of `images`: `[b, c, s, s]` to `[b, classes]`.
    ///
    /// # Errors
    /// When the parameters are of another model or the images of another side.
    pub(super) fn logits(&self, p: &Parameters, images: &Tensor) -> Result<Tensor> {
        self.logits_after(p, &self.last_block(p, images)?)
    }

    /// What the last convolution gives, before it is halved: `[b, h, w, last width]`.
    ///
    /// # Errors
    /// As [`Cnn::logits`].
    pub(super) fn last_block(&self, p: &Parameters, images: &Tensor) -> Result<Tensor> {
        let mut x = channels_last(images)?;
        for depth in 0..self.widths.len() {
            let halved = if depth == 0 { x } else { mean_pool2(&x)? };
            x = conv_norm_relu(p, &format!("block{depth}"), GROUPS, &halved)?;
        }
        Ok(x)
    }

    /// The logits that follow from it.
    ///
    /// # Errors
    /// As [`Cnn::logits`].
    pub(super) fn logits_after(&self, p: &Parameters, block: &Tensor) -> Result<Tensor> {
        let x = mean_pool2(block)?;
        let hidden = relu(p, &dense(p, "hidden", &x.flatten_from(1)?)?)?;
        dense(p, "head", &hidden)
    }

    /// Names and shapes of the parameters.
    pub(super) fn shapes(&self) -> Shapes {
        let mut shapes = Vec::new();
        let mut from = self.channels;
        for (depth, &width) in self.widths.iter().enumerate() {
            shapes.extend(conv_norm_shapes(&format!("block{depth}"), from, width));
            from = width;
        }
        let pixels = (self.side >> self.widths.len()).pow(2);
        shapes.extend(dense_shapes("hidden", from * pixels, from));
        shapes.extend(dense_shapes("head", from, self.classes));
        shapes
    }
}

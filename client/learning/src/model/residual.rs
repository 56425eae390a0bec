//! A small residual network for classification, with group normalisation.

use candle_core::{Result, Tensor};
use ringfence_nn::{Conv2d, mean_pool2};

use super::check::{check_side, check_widths};
use super::layers::{
    Shapes, THREE, channels_last, conv, conv_then_norm, dense, dense_shapes, norm_relu,
};
use crate::error::LearnError;
use crate::parameters::Parameters;

/// A classifier of images: a pre-activation residual network (He et al., "Identity Mappings in
/// Deep Residual Networks", 2016).
///
/// Stem: 3x3 convolution, 2x2 mean. Then a stage a width, the second and later ones after a 2x2
/// mean, each of two blocks `x + conv(act(conv(act(x))))` with 3x3 convolutions and
/// `act` = group normalisation and ReLU. Where the width changes, a 1x1 convolution of
/// `act(x)` stands for `x`, as in the paper. Last: `act`, mean over all pixels, dense layer.
///
/// The mean over all pixels makes the number of parameters independent of the images' side.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Residual {
    widths: Vec<usize>,
    channels: usize,
    classes: usize,
}

/// Groups of the normalisation, as in the other models.
const GROUPS: usize = 4;
/// Blocks a stage.
const BLOCKS: usize = 2;

impl Residual {
    /// Widths of the model by name: 174,258 parameters for two classes.
    pub(super) const WIDTHS: [usize; 3] = [16, 32, 64];

    /// A classifier of `side` x `side` images of so many channels into `classes` classes, with a stage for each width.
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
        Ok(Self { widths: widths.to_vec(), channels, classes })
    }

    /// Logits of `images`: `[b, c, s, s]` to `[b, classes]`.
    ///
    /// # Errors
    /// When the parameters are of another model or the images of another side.
    pub(super) fn logits(&self, p: &Parameters, images: &Tensor) -> Result<Tensor> {
        self.logits_after(p, &self.last_block(p, images)?)
    }

    /// What the last block gives, normalised: `[b, h, w, last width]`.
    ///
    /// # Errors
    /// As [`Residual::logits`].
    pub(super) fn last_block(&self, p: &Parameters, images: &Tensor) -> Result<Tensor> {
        let mut x = conv3(p, "stem", &channels_last(images)?)?;
        for block in self.blocks() {
            if block.index == 0 {
                x = mean_pool2(&x)?;
            }
            x = block.apply(p, &x)?;
        }
        activate(p, "last", &x)
    }

    /// The logits that follow from it.
    ///
    /// # Errors
    /// As [`Residual::logits`].
    pub(super) fn logits_after(&self, p: &Parameters, block: &Tensor) -> Result<Tensor> {
        let (b, h, w, c) = block.dims4()?;
        dense(p, "head", &block.reshape((b, h * w, c))?.mean(1)?)
    }

    fn blocks(&self) -> impl Iterator<Item = Block> {
        // The stem already has the first width.
        let before = self.widths.first().into_iter().chain(&self.widths);
        let stages = self.widths.iter().zip(before).enumerate();
        stages.flat_map(|(stage, (&to, &before))| {
            (0..BLOCKS).map(move |index| {
                let from = if index == 0 { before } else { to };
                Block { stage, index, from, to }
            })
        })
    }

    /// Names and shapes of the parameters.
    pub(super) fn shapes(&self) -> Shapes {
        let (first, last) =
            (self.widths.first().copied().unwrap_or(0), self.widths.last().copied().unwrap_or(0));
        let mut shapes = vec![kernel_shape("stem", self.channels, first, 3)];
        shapes.extend(self.blocks().flat_map(|block| block.shapes()));
        shapes.extend(norm_shapes("last", last));
        shapes.extend(dense_shapes("head", last, self.classes));
        shapes
    }
}

/// One residual block.
#[derive(Clone, Copy, Debug)]
struct Block {
    stage: usize,
    index: usize,
    from: usize,
    to: usize,
}

impl Block {
    fn name(self, part: &str) -> String {
        format!("stage{}.block{}.{part}", self.stage, self.index)
    }

    fn apply(self, p: &Parameters, x: &Tensor) -> Result<Tensor> {
        let active = activate(p, &self.name("first"), x)?;
        let second = self.name("second");
        let between = conv_then_norm(p, (&self.name("first"), &second), GROUPS, &active)?;
        let change = conv3(p, &second, &between)?;
        if self.from == self.to {
            return x + change;
        }
        let kernel = format!("{}.conv.kernel", self.name("shortcut"));
        conv(p, Conv2d::default(), (&kernel, None), &active)? + change
    }

    fn shapes(self) -> Shapes {
        let (first, second) = (self.name("first"), self.name("second"));
        let mut shapes = norm_shapes(&first, self.from);
        shapes.push(kernel_shape(&first, self.from, self.to, 3));
        shapes.extend(norm_shapes(&second, self.to));
        shapes.push(kernel_shape(&second, self.to, self.to, 3));
        if self.from != self.to {
            shapes.push(kernel_shape(&self.name("shortcut"), self.from, self.to, 1));
        }
        shapes
    }
}

fn conv3(p: &Parameters, name: &str, x: &Tensor) -> Result<Tensor> {
    conv(p, THREE, (&format!("{name}.conv.kernel"), None), x)
}

/// Group normalisation and ReLU.
fn activate(p: &Parameters, name: &str, x: &Tensor) -> Result<Tensor> {
    norm_relu(p, name, GROUPS, x)
}

fn kernel_shape(name: &str, from: usize, to: usize, size: usize) -> (String, Vec<usize>) {
    (format!("{name}.conv.kernel"), vec![to, from, size, size])
}

fn norm_shapes(name: &str, width: usize) -> Shapes {
    vec![(format!("{name}.norm.bias"), vec![width]), (format!("{name}.norm.scale"), vec![width])]
}

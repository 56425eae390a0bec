//! A network of one hidden layer: what is learnt without convolutions, the baseline.

use candle_core::{Result, Tensor};

use super::check::check_side;
use super::layers::{Shapes, dense, dense_shapes, relu};
use crate::error::LearnError;
use crate::parameters::Parameters;

/// A classifier of images: all values to a dense layer, ReLU, and a dense layer to one logit
/// a class.
///
/// Its first layer gives away images: the gradient of a hidden unit's kernel is the image times
/// that of its bias. No model shows better what encryption of updates is for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dense {
    hidden: usize,
    channels: usize,
    side: usize,
    classes: usize,
}

impl Dense {
    /// Hidden units of the model by name: 262,338 parameters for two classes at 64 px.
    pub(super) const HIDDEN: usize = 64;

    /// A classifier of `side` x `side` images of so many channels into `classes` classes, with
    /// `hidden` hidden units.
    ///
    /// # Errors
    /// [`LearnError::Model`] when there is no pixel or hidden unit.
    pub(super) fn new(
        hidden: usize,
        (channels, side): (usize, usize),
        classes: usize,
    ) -> std::result::Result<Self, LearnError> {
        if hidden == 0 {
            return Err(LearnError::Model("expected at least one hidden unit, found none".into()));
        }
        check_side(side, 1)?;
        Ok(Self { hidden, channels, side, classes })
    }

    /// Names and shapes of the parameters.
    pub(super) fn shapes(&self) -> Shapes {
        let values = self.channels * self.side * self.side;
        let mut shapes = dense_shapes("hidden", values, self.hidden);
        shapes.extend(dense_shapes("head", self.hidden, self.classes));
        shapes
    }

    /// Logits of `images`: `[b, c, s, s]` to `[b, classes]`.
    ///
    /// # Errors
    /// When the parameters are of another model or the images of another side.
    pub(super) fn logits(&self, p: &Parameters, images: &Tensor) -> Result<Tensor> {
        let hidden = relu(p, &dense(p, "hidden", &images.flatten_from(1)?)?)?;
        dense(p, "head", &hidden)
    }
}

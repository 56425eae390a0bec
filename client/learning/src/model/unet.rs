//! A 2-D U-Net for segmentation (Ronneberger et al., 2015) with group normalisation.

use candle_core::{Result, Tensor};
use ringfence_nn::{Conv2d, join_upsampled, mean_pool2};

use super::check::{check_channels, check_widths};
use super::layers::{Shapes, channels_last, conv, conv_norm_relu, conv_norm_shapes, initial};
use crate::error::LearnError;
use crate::parameters::Parameters;
use ringfence_weights::Weights;

/// A U-Net from one grey channel, or three of colour, to one logit a pixel.
///
/// A level is twice (3x3 convolution, group normalisation, ReLU). Down: 2x2 mean. Up: 1x1
/// convolution to the level's width, nearest x2, concatenation with the level's skip, level.
/// The 1x1 convolution comes before the repetition: the two commute, and so it costs a quarter.
#[derive(Clone, Debug, PartialEq)]
pub struct UNet {
    widths: Vec<usize>,
    channels: usize,
}

/// Groups of the normalisation. Four, so that the light model's eight channels make whole groups.
const GROUPS: usize = 4;

/// First logit of every pixel: ln(0.05 / 0.95), lesions covering some 5 % of an image. Without it
/// the first steps of training go into learning that most pixels are healthy (Lin et al., "Focal
/// Loss", 2017, section 4.1).
const PRIOR: f32 = -2.944;

impl UNet {
    /// Widths of the light model: 112,913 parameters.
    pub const LIGHT: [usize; 4] = [8, 16, 32, 64];
    /// Widths of PPPML-HMI's model (arXiv 2302.11571): about 1.8 million parameters here.
    pub const PAPER: [usize; 5] = [16, 32, 64, 128, 256];

    /// A U-Net of grey images, of these channel widths, from full resolution down.
    ///
    /// # Errors
    /// [`LearnError::Model`] when there is no width, or one is not a positive multiple of 4.
    pub fn new(widths: &[usize]) -> std::result::Result<Self, LearnError> {
        check_widths(widths, GROUPS)?;
        Ok(Self { widths: widths.to_vec(), channels: 1 })
    }

    /// The same of images of so many channels: 1 is grey, and 3 colour.
    ///
    /// # Errors
    /// [`LearnError::Model`] for other numbers.
    pub fn with_channels(self, channels: usize) -> std::result::Result<Self, LearnError> {
        check_channels(channels)?;
        Ok(Self { channels, ..self })
    }

    /// Channels of the images.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The side of an image must be a multiple of this, so that every level halves exactly.
    #[must_use]
    pub fn side_multiple(&self) -> usize {
        1 << (self.widths.len() - 1)
    }

    /// First weights, fixed by `seed`.
    ///
    /// # Errors
    /// Only if the model's own layout is wrong.
    pub fn initial_weights(&self, seed: u64) -> std::result::Result<Weights, LearnError> {
        initial(self.shapes(), PRIOR, seed)
    }

    /// Logits of `images`: `[b, c, s, s]` to `[b, 1, s, s]`; `sigmoid(logit)` is the
    /// probability that the pixel belongs to the lesion.
    ///
    /// # Errors
    /// When the parameters are of another model, or `s` is no multiple of
    /// [`UNet::side_multiple`].
    pub fn logits(&self, p: &Parameters, images: &Tensor) -> Result<Tensor> {
        let (b, _, h, w) = images.dims4()?;
        let mut x = level(p, "down0", &channels_last(images)?)?;
        let mut skips = Vec::new();
        for depth in 1..self.widths.len() {
            let down = level(p, &format!("down{depth}"), &mean_pool2(&x)?)?;
            skips.push(x);
            x = down;
        }
        for (depth, skip) in skips.iter().enumerate().rev() {
            let kernel = format!("up{depth}.narrow.kernel");
            let narrow = conv(p, Conv2d::default(), (&kernel, None), &x)?;
            x = level(p, &format!("up{depth}"), &join_upsampled(skip, &narrow)?)?;
        }
        let head = conv(p, Conv2d::default(), ("head.kernel", Some("head.bias")), &x)?;
        head.reshape((b, 1, h, w))
    }

    fn shapes(&self) -> Shapes {
        let mut shapes = Vec::new();
        let mut from = self.channels;
        for (depth, &width) in self.widths.iter().enumerate() {
            shapes.extend(level_shapes(&format!("down{depth}"), from, width));
            from = width;
        }
        for (depth, pair) in self.widths.windows(2).enumerate() {
            let (width, below) = (pair[0], pair[1]);
            shapes.push((format!("up{depth}.narrow.kernel"), vec![width, below, 1, 1]));
            shapes.extend(level_shapes(&format!("up{depth}"), 2 * width, width));
        }
        shapes.push(("head.kernel".to_string(), vec![1, self.widths[0], 1, 1]));
        shapes.push(("head.bias".to_string(), vec![1]));
        shapes
    }
}

fn level(p: &Parameters, name: &str, x: &Tensor) -> Result<Tensor> {
    let x = conv_norm_relu(p, &format!("{name}.first"), GROUPS, x)?;
    conv_norm_relu(p, &format!("{name}.second"), GROUPS, &x)
}

fn level_shapes(name: &str, from: usize, to: usize) -> Shapes {
    let mut shapes = conv_norm_shapes(&format!("{name}.first"), from, to);
    shapes.extend(conv_norm_shapes(&format!("{name}.second"), to, to));
    shapes
}

//! The shadow model: a small decoder that draws one image.

use candle_core::{D, Tensor};
use candle_nn::ops::sigmoid;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};
use ringfence_nn::{Conv2d, upsample2};

use super::matching::Matching;
use crate::compute::device;
use crate::error::LearnError;
use crate::model::layers::{Shapes, conv_norm_relu, conv_norm_shapes};
use crate::parameters::Parameters;
use crate::train::optimizer::{Optimizer, Stepper};
use ringfence_weights::Weights;

/// Channels of the latent grid and after each doubling of its side.
const WIDTHS: [usize; 4] = [16, 16, 8, 8];
/// Groups of the normalisation.
const GROUPS: usize = 4;
/// Step size of Adam, and the smaller one of a fitted decoder that is trained to match gradients.
const RATE: f64 = 0.02;
const MATCHING_RATE: f64 = 0.005;
/// Weights of the total variation, the mean absolute difference of neighbouring pixels, and of one
/// minus the cosine of the gradients, beside the mean square error.
const TOTAL_VARIATION: f64 = 1e-3;
const GRADIENTS: f64 = 1e-2;

/// A decoder for images of so many channels and this side: a latent grid of an eighth of the side, with
/// 16 channels, is as often convolved, normalised and doubled as makes the side, and a last 3x3
/// convolution with a sigmoid gives grey values in `(0, 1)`. Grid and kernels are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoder {
    channels: usize,
    side: usize,
}

impl Decoder {
    /// The decoder of images of this shape.
    #[must_use]
    pub fn new(channels: usize, side: usize) -> Self {
        Self { channels, side }
    }

    /// How often the grid is doubled: three times, or as often as the side can be halved.
    fn doublings(self) -> usize {
        (self.side.max(1).trailing_zeros() as usize).min(WIDTHS.len() - 1)
    }

    fn shapes(self) -> Shapes {
        let doublings = self.doublings();
        let grid = self.side >> doublings;
        let mut shapes = vec![("latent".to_owned(), vec![1, grid, grid, WIDTHS[0]])];
        let mut from = WIDTHS[0];
        for (depth, width) in WIDTHS.into_iter().enumerate().take(doublings + 1) {
            shapes.extend(conv_norm_shapes(&format!("block{depth}"), from, width));
            from = width;
        }
        shapes.push(("draw.kernel".to_owned(), vec![self.channels, from, 3, 3]));
        shapes.push(("draw.bias".to_owned(), vec![self.channels]));
        shapes.sort();
        shapes
    }

    /// How many values its weights have.
    #[must_use]
    pub fn len(self) -> usize {
        self.shapes().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Whether it has no weights, which none is.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// First weights by a key: normal ones, kernels of variance `2 / fan_in`; scales are 1, and the rest
    /// is 0.
    ///
    /// # Errors
    /// Only if the layout is wrong.
    pub fn initial(self, key: &[u8; 32]) -> Result<Weights, LearnError> {
        let shapes = self.shapes();
        let mut rng = ChaCha20Rng::from_seed(*key);
        let mut values = Vec::new();
        for (name, shape) in &shapes {
            let count = shape.iter().product::<usize>();
            let deviation = match name.as_str() {
                "latent" => 1.0,
                name if name.ends_with("kernel") => {
                    let fan_in = shape.iter().skip(1).product::<usize>().max(1);
                    (2.0 / fan_in as f32).sqrt()
                }
                name => {
                    let value = if name.ends_with("scale") { 1.0 } else { 0.0 };
                    values.extend(std::iter::repeat_n(value, count));
                    continue;
                }
            };
            let normal = StandardNormal.sample_iter(&mut rng).take(count);
            values.extend(normal.map(|value: f32| deviation * value));
        }
        Ok(Weights::from_values(&shapes, values)?)
    }

    /// Weights of these values, as [`Weights::values`] gave them.
    ///
    /// # Errors
    /// [`LearnError::Weights`] for another number of values.
    pub fn weights(self, values: &[f32]) -> Result<Weights, LearnError> {
        Ok(Weights::from_values(&self.shapes(), values.to_vec())?)
    }

    /// The image that it draws: grey values, one channel after the other.
    ///
    /// # Errors
    /// When the weights are another decoder's.
    pub fn draw(self, weights: &Weights) -> Result<Vec<f32>, LearnError> {
        Ok(self.image(&Parameters::fixed(weights)?)?.flatten_all()?.to_vec1()?)
    }

    /// `[1, c, side, side]`.
    fn image(self, p: &Parameters) -> candle_core::Result<Tensor> {
        let mut x = p.get("latent")?.clone();
        for depth in 0..=self.doublings() {
            if depth > 0 {
                x = upsample2(&x)?;
            }
            x = conv_norm_relu(p, &format!("block{depth}"), GROUPS, &x)?;
        }
        let three = Conv2d { padding: 1, ..Conv2d::default() };
        let x = three.apply(&x, p.get("draw.kernel")?, Some(p.get("draw.bias")?))?;
        sigmoid(&x)?.permute((0, 3, 1, 2))?.contiguous()
    }

    /// Weights after so many steps of Adam from `weights`, on the mean square error from `image`;
    /// with a `matching` also on total variation, and on how far the gradient of what is
    /// drawn points from the true one.
    ///
    /// # Errors
    /// When image and weights are of another shape, or as [`Matching::at`].
    pub fn trained(
        self,
        weights: &Weights,
        (image, matching): (&[f32], Option<&Matching<'_>>),
        steps: usize,
    ) -> Result<Weights, LearnError> {
        let parameters = Parameters::trainable(weights)?;
        let variables = parameters.variables();
        let rate = if matching.is_some() { MATCHING_RATE } else { RATE };
        let mut stepper = Stepper::new(Optimizer::Adam, rate, variables.clone())?;
        let truth = Tensor::from_slice(image, (1, self.channels, self.side, self.side), device())?;
        for _ in 0..steps {
            let drawn = self.image(&parameters)?;
            let mut loss = (&drawn - &truth)?.sqr()?.mean_all()?;
            if let Some(matching) = matching {
                let input = normalised(&drawn)?;
                let flat = input.detach().flatten_all()?.to_vec1::<f32>()?;
                let (_, slope) = matching.at(&flat)?;
                let slope = Tensor::from_vec(slope, input.shape(), device())?;
                // Its value says nothing; its gradient is that of the gradients' distance.
                let matched = ((input * slope)?.sum_all()? * GRADIENTS)?;
                loss = ((loss + matched)? + (total_variation(&drawn)? * TOTAL_VARIATION)?)?;
            }
            let found = loss.backward()?;
            let gradients = variables.iter().map(|variable| match found.get(variable) {
                Some(gradient) => Ok(gradient.clone()),
                None => variable.zeros_like(),
            });
            stepper.step(&gradients.collect::<candle_core::Result<Vec<_>>>()?)?;
        }
        let last = parameters.to_weights()?;
        last.check_finite()?;
        Ok(last)
    }
}

/// Mean 0 and variance 1, as a model gets images.
fn normalised(image: &Tensor) -> candle_core::Result<Tensor> {
    let centred = image.broadcast_sub(&image.mean_all()?)?;
    let deviation = (centred.sqr()?.mean_all()? + 1e-8)?.sqrt()?;
    centred.broadcast_div(&deviation)
}

fn total_variation(image: &Tensor) -> candle_core::Result<Tensor> {
    let along = |dimension: D| -> candle_core::Result<Tensor> {
        let side = image.dim(dimension)?;
        let ahead = image.narrow(dimension, 1, side - 1)?;
        (ahead - image.narrow(dimension, 0, side - 1)?)?.abs()?.mean_all()
    };
    along(D::Minus1)? + along(D::Minus2)?
}

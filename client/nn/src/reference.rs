//! Two networks to measure and to check the operations on, by these operations and by candle's
//! own: a small classifier and a U-Net, as others publish them.
//!
//! Both take images `[b, 1, s, s]`; weights of one way do for the other, since only the order of
//! the classifier's flattened pixels differs.

use candle_core::{DType, Device, Result, Tensor, Var, bail};
use rayon::prelude::*;

use crate::{Conv2d, ConvNorm, ConvNormParameters, GroupNorm, join_upsampled, max_pool2};

/// Groups of each normalisation.
const GROUPS: usize = 8;

/// Which network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Four times (3x3 convolution, normalisation, ReLU, max-pool 2) with 16, 32, 64, 128
    /// channels; dense to 128, ReLU, dense to 2 logits. 360,162 parameters at 64 px.
    Cnn,
    /// Widths 16, 32, 64, 128, 256; a block is twice (3x3 convolution, normalisation, ReLU); down:
    /// max-pool 2; up: nearest x2, 1x1 convolution to half the channels, the skip joined, block;
    /// head 1x1 to one logit a pixel. 1,813,201 parameters.
    UNet,
}

/// By which operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// This crate's.
    Own,
    /// candle's.
    Candle,
}

impl Network {
    /// Shapes of the parameters, in the order in which they are used.
    #[must_use]
    pub fn shapes(self, side: usize) -> Vec<Vec<usize>> {
        let mut shapes = Vec::new();
        let mut normed = |from: usize, to: usize| {
            shapes.extend([vec![to, from, 3, 3], vec![to], vec![to], vec![to]]);
        };
        match self {
            Self::Cnn => {
                for (from, to) in [(1, 16), (16, 32), (32, 64), (64, 128)] {
                    normed(from, to);
                }
                let flat = 128 * (side / 16) * (side / 16);
                shapes.extend([vec![128, flat], vec![128], vec![2, 128], vec![2]]);
            }
            Self::UNet => {
                for (from, to) in [(1, 16), (16, 32), (32, 64), (64, 128), (128, 256)] {
                    normed(from, to);
                    normed(to, to);
                }
                for to in [128, 64, 32, 16] {
                    shapes.extend([vec![to, 2 * to, 1, 1], vec![to]]);
                    let mut normed = |from: usize| {
                        shapes.extend([vec![to, from, 3, 3], vec![to], vec![to], vec![to]]);
                    };
                    normed(2 * to);
                    normed(to);
                }
                shapes.extend([vec![1, 16, 1, 1], vec![1]]);
            }
        }
        shapes
    }

    /// First parameters, the same in every run: kernels spread evenly with variance `2 / fan_in`,
    /// the rest as if drawn with mean 1 for scales and 0 for biases (small, but not zero, so that
    /// no gradient vanishes by accident).
    ///
    /// # Errors
    /// When the tensor library refuses a shape.
    pub fn parameters(self, side: usize, dtype: DType) -> Result<Vec<Var>> {
        let shapes = self.shapes(side);
        let mut after_kernel = 0;
        let mut state = 1_u32;
        let mut variables = Vec::new();
        for shape in shapes {
            after_kernel = if shape.len() > 1 { 0 } else { after_kernel + 1 };
            let fan_in: usize = shape.iter().skip(1).product();
            let (middle, spread) = match after_kernel {
                0 => (0.0, (6.0 / fan_in as f64).sqrt()),
                2 => (1.0, 0.1),
                _ => (0.0, 0.1),
            };
            let values: Vec<f64> = (0..shape.iter().product())
                .map(|_| {
                    // A linear congruential generator (Numerical Recipes) is random enough here.
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    middle + spread * (f64::from(state >> 8) / f64::from(1 << 23) - 1.0)
                })
                .collect();
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?;
            variables.push(Var::from_tensor(&tensor)?);
        }
        Ok(variables)
    }

    /// The logits of images `[b, 1, s, s]`: `[b, 2]` or `[b, 1, s, s]`.
    ///
    /// # Errors
    /// When the parameters are not those of [`Network::parameters`] for this side.
    pub fn logits(self, engine: Engine, parameters: &[Var], images: &Tensor) -> Result<Tensor> {
        let (b, _, h, w) = images.dims4()?;
        let mut layers = Layers { engine, left: parameters };
        let mut x = match engine {
            Engine::Own => images.reshape((b, h, w, 1))?,
            Engine::Candle => images.clone(),
        };
        match self {
            Self::Cnn => {
                for _ in 0..4 {
                    x = layers.normed(&x)?;
                    x = layers.max_pool(&x)?;
                }
                let hidden = layers.dense(&x.flatten_from(1)?)?.relu()?;
                layers.dense(&hidden)
            }
            Self::UNet => {
                let mut skips = Vec::new();
                for depth in 0..5 {
                    if depth > 0 {
                        let pooled = layers.max_pool(&x)?;
                        skips.push(std::mem::replace(&mut x, pooled));
                    }
                    x = layers.normed(&x)?;
                    x = layers.normed(&x)?;
                }
                while let Some(skip) = skips.pop() {
                    x = layers.up(&skip, &x)?;
                    x = layers.normed(&x)?;
                    x = layers.normed(&x)?;
                }
                layers.conv(&x, 0)?.reshape((b, 1, h, w))
            }
        }
    }

    /// The mean loss for targets: classes `[b]` (`u32`) by cross-entropy, or masks `[b, 1, s, s]`
    /// by binary cross-entropy.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn loss(self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        match self {
            Self::Cnn => {
                let most = logits.max_keepdim(1)?.detach();
                let shifted = logits.broadcast_sub(&most)?;
                let sums = shifted.exp()?.sum_keepdim(1)?.log()?;
                let right = shifted.broadcast_sub(&sums)?.gather(&targets.unsqueeze(1)?, 1)?;
                right.mean_all()?.neg()
            }
            // max(z, 0) - z y + ln(1 + exp(-|z|)).
            Self::UNet => {
                let softplus = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
                ((logits.relu()? - (logits * targets)?)? + softplus)?.mean_all()
            }
        }
    }
}

/// Gradient descent on a network, to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Descent {
    /// Which network.
    pub network: Network,
    /// By which operations.
    pub engine: Engine,
    /// Images in a part of a batch; each part runs on one thread.
    pub part: usize,
    /// Length of a step.
    pub rate: f64,
}

impl Descent {
    /// One step, `p <- p - rate * gradient`, on a batch taken in parts. Gradients of parts are
    /// added in their order, so that the number of threads changes no bit.
    ///
    /// # Errors
    /// When the shapes do not fit, or the batch is not a multiple of the part.
    pub fn step(&self, parameters: &[Var], (images, targets): (&Tensor, &Tensor)) -> Result<()> {
        let Self { network, engine, part, rate } = *self;
        let batch = images.dim(0)?;
        if part == 0 || batch == 0 || batch % part != 0 {
            bail!("expected a batch in parts of {part} images, found {batch}");
        }
        let share = part as f64 / batch as f64;
        let parts: Vec<Vec<Tensor>> = (0..batch / part)
            .into_par_iter()
            .map(|index| {
                let logits =
                    network.logits(engine, parameters, &images.narrow(0, index * part, part)?)?;
                let loss = network.loss(&logits, &targets.narrow(0, index * part, part)?)?;
                let mut found = (loss * share)?.backward()?;
                let gradient = |parameter: &Var| match found.remove(parameter) {
                    Some(gradient) => Ok(gradient),
                    None => parameter.zeros_like(),
                };
                parameters.iter().map(gradient).collect()
            })
            .collect::<Result<_>>()?;
        parameters.par_iter().enumerate().try_for_each(|(index, parameter)| {
            let mut sum: Option<Tensor> = None;
            for gradient in parts.iter().filter_map(|part| part.get(index)) {
                sum = Some(match sum {
                    Some(sum) => (sum + gradient)?,
                    None => gradient.clone(),
                });
            }
            match sum {
                Some(sum) => parameter.set(&(parameter.as_tensor() - (sum * rate)?)?),
                None => Ok(()),
            }
        })
    }
}

struct Layers<'a> {
    engine: Engine,
    left: &'a [Var],
}

impl<'a> Layers<'a> {
    fn take<const N: usize>(&mut self) -> Result<&'a [Var; N]> {
        match self.left.split_first_chunk() {
            Some((taken, left)) => {
                self.left = left;
                Ok(taken)
            }
            None => bail!("expected {N} more parameters, found {}", self.left.len()),
        }
    }

    fn conv(&mut self, x: &Tensor, padding: usize) -> Result<Tensor> {
        let [kernel, bias] = self.take()?;
        match self.engine {
            Engine::Own => Conv2d { padding, ..Conv2d::default() }.apply(x, kernel, Some(bias)),
            Engine::Candle => {
                let bias = bias.reshape((1, (), 1, 1))?;
                x.conv2d(kernel, padding, 1, 1, 1)?.broadcast_add(&bias)
            }
        }
    }

    /// 3x3 convolution, normalisation, ReLU.
    fn normed(&mut self, x: &Tensor) -> Result<Tensor> {
        let padding = 1;
        match self.engine {
            Engine::Own => {
                let [kernel, bias, scale, shift] = self.take()?;
                let bias = Some(bias.as_tensor());
                let conv = Conv2d { padding, ..Conv2d::default() };
                let norm = GroupNorm::new(GROUPS).with_relu();
                let parameters = ConvNormParameters { kernel, bias, scale, shift };
                ConvNorm { conv, norm }.apply(x, &parameters)
            }
            // As candle_nn::GroupNorm does it, except that this one has second derivatives.
            Engine::Candle => {
                let x = self.conv(x, padding)?;
                let [scale, bias] = self.take()?;
                let shape = x.dims().to_vec();
                let (b, c) = (x.dim(0)?, x.dim(1)?);
                let grouped = x.reshape((b, GROUPS, ()))?;
                let centred = grouped.broadcast_sub(&grouped.mean_keepdim(2)?)?;
                let variance = centred.sqr()?.mean_keepdim(2)?;
                let normed = centred.broadcast_div(&(variance + 1e-5)?.sqrt()?)?.reshape(shape)?;
                let scaled = normed.broadcast_mul(&scale.reshape((1, c, 1, 1))?)?;
                scaled.broadcast_add(&bias.reshape((1, c, 1, 1))?)?.relu()
            }
        }
    }

    fn max_pool(&mut self, x: &Tensor) -> Result<Tensor> {
        match self.engine {
            Engine::Own => max_pool2(x),
            Engine::Candle => x.max_pool2d(2),
        }
    }

    /// Nearest x2, 1x1 convolution, the skip joined. Repeating pixels and a 1x1 convolution
    /// commute: the cheaper order here.
    fn up(&mut self, skip: &Tensor, x: &Tensor) -> Result<Tensor> {
        match self.engine {
            Engine::Own => join_upsampled(skip, &self.conv(x, 0)?),
            Engine::Candle => {
                let (_, _, h, w) = skip.dims4()?;
                let narrow = self.conv(&x.upsample_nearest2d(h, w)?, 0)?;
                Tensor::cat(&[skip, &narrow], 1)
            }
        }
    }

    fn dense(&mut self, x: &Tensor) -> Result<Tensor> {
        let [kernel, bias] = self.take()?;
        x.matmul(&kernel.t()?)?.broadcast_add(bias)
    }
}

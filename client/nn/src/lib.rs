//! Fast operations of convolutional networks for [candle](candle_core) on the CPU, closed under
//! differentiation.
//!
//! candle's own convolution runs a training step at a tenth or less of PyTorch's speed, its
//! max-pooling's gradient is wrong, and that of its nearest upsampling overwrites what another
//! consumer of the same tensor added. Here are [`Conv2d`] (stride, padding, dilation, groups,
//! bias), [`GroupNorm`] (with ReLU), [`max_pool2`], [`mean_pool2`], [`upsample2`] and
//! [`join_upsampled`] (upsampling and a U-Net's skip at once), as custom operations: they work on
//! candle's tensors and variables like any other.
//!
//! ```
//! use candle_core::{DType, Device, Tensor, Var};
//! use ringfence_nn::{Conv2d, GroupNorm, max_pool2};
//!
//! # fn main() -> candle_core::Result<()> {
//! let images = Tensor::rand(0_f32, 1.0, (4, 32, 32, 3), &Device::Cpu)?; // [b, h, w, c]
//! let kernel = Var::rand(-0.1_f32, 0.1, (16, 3, 3, 3), &Device::Cpu)?; // [o, c, i, j]
//! let scale = Var::ones(16, DType::F32, &Device::Cpu)?;
//! let bias = Var::zeros(16, DType::F32, &Device::Cpu)?;
//!
//! let conv = Conv2d { padding: 1, ..Conv2d::default() };
//! let x = conv.apply(&images, &kernel, None)?;
//! let x = max_pool2(&GroupNorm::new(8).with_relu().apply(&x, &scale, &bias)?)?;
//! assert_eq!(x.dims(), [4, 16, 16, 16]);
//! let gradients = x.sqr()?.mean_all()?.backward()?;
//! assert_eq!(gradients.get(&kernel).map(|g| g.dims().to_vec()), Some(vec![16, 3, 3, 3]));
//! # Ok(())
//! # }
//! ```
//!
//! # How
//!
//! - Images have their channels **last**, `[b, h, w, c]`. Then a convolution, its input's gradient
//!   and its kernel's gradient are all sums of *one value of a pixel times a row of channels*, which
//!   need neither transposing nor padding, and lose nothing at the small sides of deep layers.
//!   Kernels are laid out as everywhere else; [`Conv2d::apply_channels_first`] is there for other
//!   images.
//! - No patches are copied (except for images of a few channels). A table says which pixel each tap
//!   of each output meets (Dukhan, "The Indirect Convolution Algorithm", 2019): that is the
//!   same code for every stride, padding and dilation, and with the table turned round for the
//!   input's gradient. A tile of 12 or 24 pixels by 32 or 16 channels (AVX-512; half of it for AVX2)
//!   is summed in registers over all taps and channels, from a kernel packed once a call. 1x1
//!   convolutions are the case of one tap. Vector units are reached through pulp's safe tokens.
//! - Normalisation, scale, bias and ReLU are one operation of three passes forward and two back;
//!   [`ConvNorm`] joins the convolution before them to it, so that candle neither clears nor adds
//!   up a gradient of what lies between.
//! - Values are `f32`. `f64` works too, written as the definitions read, so that derivatives can be
//!   checked by finite differences: all of them are, first and second, in every configuration.
//! - Threads are those of the rayon pool from which an operation is called. No sum depends on
//!   their number or timing: results are the same to the bit.
//! - A gradient's own graph is kept only where candle keeps it: with `CANDLE_GRAD_DO_NOT_DETACH` in
//!   the environment, which candle and this crate read once a thread.
//!
//! For differential privacy, layers can leave each image's part in their parameters' gradients in a
//! [`Record`] instead of summing them over the batch ([`ConvNorm::apply_recorded`] and others).
//!
//! Tensors on another device go through [`portable`], the same operations put together from candle's.
//!
//! 3x3 convolutions at stride 1 with eight channels or more on both sides, their inputs' gradients and
//! their kernels' are computed by Winograd's algorithm (Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2016), on tiles of 4x4 outputs: a quarter of the multiplications,
//! for errors of about ten times those of the direct sums, within `1e-5` of the largest value. Whether
//! it is used depends on the layer's shape alone, never on the batch. Where a bound on rounding
//! matters (gradients of which only the length was taken, for differential privacy), sums stay direct.

mod block;
mod buffer;
mod conv;
mod norm;
mod pool;
pub mod portable;
mod record;
pub mod reference;
mod resample;
mod storage;
mod vector;

pub use block::{ConvNorm, ConvNormParameters};
pub use conv::{Conv2d, dense, dense_recorded};
pub use norm::GroupNorm;
pub use pool::max_pool2;
pub use record::{LayerGradient, Record, UnitGradients};
pub use resample::{join_upsampled, mean_pool2, sum_to_channels, upsample2};

//! The same operations put together from candle's own, for devices other than the CPU, where candle
//! brings its own fast ones.
//!
//! This crate's functions come here by themselves when a tensor is not on the CPU. On the CPU these
//! are the definitions that the fast operations are tested against; they are slow there.

use candle_core::{D, Result, Tensor, bail};

use crate::conv::element::Shape;
use crate::conv::settings::Conv2d;
use crate::norm::passes::Sizes;
use crate::norm::settings::GroupNorm;

/// [`Conv2d::apply`].
///
/// # Errors
/// When shapes do not fit each other or the settings.
pub fn convolution(
    settings: Conv2d,
    x: &Tensor,
    kernel: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    Shape::of(&settings, x.dims4()?, kernel.dims4()?)?;
    let Conv2d { stride, padding, dilation, groups } = settings;
    let first = x.permute((0, 3, 1, 2))?.contiguous()?;
    let out = first.conv2d(kernel, padding, stride, dilation, groups)?;
    let out = out.permute((0, 2, 3, 1))?.contiguous()?;
    match bias {
        Some(bias) => out.broadcast_add(bias),
        None => Ok(out),
    }
}

/// [`GroupNorm::apply`].
///
/// # Errors
/// When shapes do not fit.
pub fn group_norm(
    settings: GroupNorm,
    x: &Tensor,
    scale: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let sizes = Sizes::of(&settings, x.shape())?;
    let grouped =
        x.reshape((sizes.images, sizes.pixels, sizes.groups, sizes.channels / sizes.groups))?;
    let centred = grouped.broadcast_sub(&grouped.mean_keepdim((1, 3))?)?;
    let variance = centred.sqr()?.mean_keepdim((1, 3))?;
    let normed = centred.broadcast_div(&(variance + settings.epsilon)?.sqrt()?)?;
    let out = normed.reshape(x.shape())?.broadcast_mul(scale)?.broadcast_add(bias)?;
    if settings.relu { out.relu() } else { Ok(out) }
}

/// [`max_pool2`](crate::max_pool2). candle's own maximum gives its gradient to all of equal values;
/// a choice between two gives it to one.
///
/// # Errors
/// When a side is odd.
pub fn max_pool2(x: &Tensor) -> Result<Tensor> {
    let squares = squares(x)?;
    let pixel = |row: usize, column: usize| {
        squares.narrow(2, row, 1)?.narrow(4, column, 1)?.squeeze(4)?.squeeze(2)?.contiguous()
    };
    let larger = |first: Tensor, second: Tensor| first.ge(&second)?.where_cond(&first, &second);
    let upper = larger(pixel(0, 0)?, pixel(0, 1)?)?;
    larger(upper, larger(pixel(1, 0)?, pixel(1, 1)?)?)
}

/// [`mean_pool2`](crate::mean_pool2).
///
/// # Errors
/// When a side is odd.
pub fn mean_pool2(x: &Tensor) -> Result<Tensor> {
    squares(x)?.sum((2, 4))? * 0.25
}

/// [`upsample2`](crate::upsample2).
///
/// # Errors
/// When the tensor has not four dimensions.
pub fn upsample2(x: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    let pixels = x.reshape((b, h, 1, w, 1, c))?;
    pixels.broadcast_as((b, h, 2, w, 2, c))?.contiguous()?.reshape((b, 2 * h, 2 * w, c))
}

/// [`join_upsampled`](crate::join_upsampled).
///
/// # Errors
/// When the shapes do not fit.
pub fn join_upsampled(skip: &Tensor, below: &Tensor) -> Result<Tensor> {
    Tensor::cat(&[skip, &upsample2(below)?], D::Minus1)
}

/// [`sum_to_channels`](crate::sum_to_channels).
///
/// # Errors
/// When the tensor has no dimension.
pub fn sum_to_channels(x: &Tensor) -> Result<Tensor> {
    x.reshape(((), x.dim(D::Minus1)?))?.sum(0)
}

/// `[b, h, w, c]` to `[b, h/2, 2, w/2, 2, c]`.
fn squares(x: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = x.dims4()?;
    if h % 2 == 1 || w % 2 == 1 {
        bail!("expected even sides, found {:?}", x.shape());
    }
    x.reshape((b, h / 2, 2, w / 2, 2, c))
}

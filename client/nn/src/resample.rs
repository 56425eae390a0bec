//! Nearest upsampling, taking, joining and adding up channels: linear operations on images with
//! their channels last, each with its adjoint as gradient.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::portable;
use crate::storage::{for_float, values};
use crate::vector::{Float, Loop, vectorized};

/// Each pixel repeated to a 2x2 square: `[b, h, w, c]` to `[b, 2h, 2w, c]`.
///
/// # Errors
/// When the tensor has not four dimensions or no floats.
pub fn upsample2(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return portable::upsample2(x);
    }
    let channels = x.dims4()?.3;
    Resample { factor: 2, start: 0, total: channels }.widen(x)
}

/// The mean of each 2x2 square: `[b, h, w, c]` to `[b, h/2, w/2, c]`.
///
/// # Errors
/// When a side is odd, or the tensor has not four dimensions or no floats.
pub fn mean_pool2(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return portable::mean_pool2(x);
    }
    let channels = x.dims4()?.3;
    Resample { factor: 2, start: 0, total: channels }.narrow(x, channels)? * 0.25
}

/// `skip` `[b, 2h, 2w, c]` and `below` `[b, h, w, d]`, each pixel repeated to a 2x2 square, joined
/// to `[b, 2h, 2w, c + d]`: the upward step of a U-Net.
///
/// # Errors
/// When the shapes do not fit.
pub fn join_upsampled(skip: &Tensor, below: &Tensor) -> Result<Tensor> {
    if !skip.device().is_cpu() {
        return portable::join_upsampled(skip, below);
    }
    skip.contiguous()?.apply_op2(&below.contiguous()?, JoinUpsampled)
}

/// The sum over all but the last dimension: `[.., c]` to `[c]`.
///
/// # Errors
/// When the tensor has no dimension or no floats.
pub fn sum_to_channels(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return portable::sum_to_channels(x);
    }
    x.contiguous()?.apply_op1(SumToChannels)
}

/// Two adjoint operations between an image of `total` channels, `factor` times as high and wide,
/// and one that goes with some of the channels, from `start`.
#[derive(Clone, Copy, Debug)]
struct Resample {
    factor: usize,
    start: usize,
    total: usize,
}

/// Sums over squares of `channels` channels from `start`: `[b, f h, f w, total]` to
/// `[b, h, w, channels]`.
#[derive(Clone, Copy, Debug)]
struct Narrow(Resample, usize);

/// Pixels repeated to squares, zeros in the other channels: the adjoint of [`Narrow`].
#[derive(Clone, Copy, Debug)]
struct Widen(Resample);

impl Resample {
    fn narrow(self, x: &Tensor, channels: usize) -> Result<Tensor> {
        x.contiguous()?.apply_op1(Narrow(self, channels))
    }

    fn widen(self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply_op1(Widen(self))
    }
}

impl CustomOp1 for Narrow {
    fn name(&self) -> &'static str {
        "sum-squares"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_at: &Layout) -> Result<(CpuStorage, Shape)> {
        let Self(Resample { factor, start, total }, channels) = *self;
        let (b, h, w, c) = x_at.shape().dims4()?;
        if h % factor != 0 || w % factor != 0 || c != total || start + channels > total {
            bail!(
                "expected sides that are multiples of {factor} and {total} channels, found {:?}",
                x_at.shape()
            );
        }
        let (w_out, row) = (w / factor, w * total);
        let out = for_float!(x, T => {
            let x = values::<T>(x, x_at)?;
            let mut out = vec![T::default(); b * (h / factor) * w_out * channels];
            if !out.is_empty() {
                out.par_chunks_mut(w_out * channels).zip(x.par_chunks(factor * row)).for_each(
                    |(out, rows)| {
                        let squares = Squares { factor, start, total, channels, row };
                        vectorized(SumSquares { squares, rows, out });
                    },
                );
            }
            out
        });
        Ok((out, Shape::from((b, h / factor, w_out, channels))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        self.0.widen(g).map(Some)
    }
}

impl CustomOp1 for Widen {
    fn name(&self) -> &'static str {
        "repeat-squares"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_at: &Layout) -> Result<(CpuStorage, Shape)> {
        let Resample { factor, start, total } = self.0;
        let (b, h, w, channels) = x_at.shape().dims4()?;
        if start + channels > total {
            bail!("expected at most {} channels, found {channels}", total - start);
        }
        let row = factor * w * total;
        let out = for_float!(x, T => {
            let x = values::<T>(x, x_at)?;
            let mut out = vec![T::default(); b * factor * h * row];
            if !x.is_empty() {
                out.par_chunks_mut(factor * row).zip(x.par_chunks(w * channels)).for_each(
                    |(rows, x)| {
                        let squares = Squares { factor, start, total, channels, row };
                        squares.repeat(x, rows);
                    },
                );
            }
            out
        });
        Ok((out, Shape::from((b, factor * h, factor * w, total))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        self.0.narrow(g, x.dims4()?.3).map(Some)
    }
}

/// One row of the smaller image beside `factor` rows of the larger one.
#[derive(Clone, Copy)]
struct Squares {
    factor: usize,
    start: usize,
    total: usize,
    channels: usize,
    /// Values in a row of the larger image.
    row: usize,
}

impl Squares {
    fn repeat<T: Float>(&self, x: &[T], rows: &mut [T]) {
        for row in rows.chunks_exact_mut(self.row) {
            let squares = row.chunks_exact_mut(self.factor * self.total);
            for (x, square) in x.chunks_exact(self.channels).zip(squares) {
                for pixel in square.chunks_exact_mut(self.total) {
                    pixel[self.start..self.start + self.channels].copy_from_slice(x);
                }
            }
        }
    }
}

struct SumSquares<'a, T> {
    squares: Squares,
    rows: &'a [T],
    out: &'a mut [T],
}

impl<T: Float> Loop for SumSquares<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Squares { factor, start, total, channels, row } = self.squares;
        for row in self.rows.chunks_exact(row) {
            let squares = row.chunks_exact(factor * total);
            for (out, square) in self.out.chunks_exact_mut(channels).zip(squares) {
                for pixel in square.chunks_exact(total) {
                    for (sum, value) in out.iter_mut().zip(&pixel[start..start + channels]) {
                        *sum += *value;
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct JoinUpsampled;

impl CustomOp2 for JoinUpsampled {
    fn name(&self) -> &'static str {
        "join-upsampled"
    }

    fn cpu_fwd(
        &self,
        skip: &CpuStorage,
        skip_at: &Layout,
        below: &CpuStorage,
        below_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (b, h, w, c) = skip_at.shape().dims4()?;
        let (below_b, below_h, below_w, d) = below_at.shape().dims4()?;
        if (below_b, 2 * below_h, 2 * below_w) != (b, h, w) {
            bail!(
                "expected images of half the side of {:?}, found {:?}",
                skip_at.shape(),
                below_at.shape()
            );
        }
        let out = for_float!(skip, T => {
            let (skip, below) = (values::<T>(skip, skip_at)?, values::<T>(below, below_at)?);
            let mut out = vec![T::default(); b * h * w * (c + d)];
            if !out.is_empty() {
                let rows = skip.par_chunks(2 * w * c).zip(below.par_chunks(w / 2 * d));
                out.par_chunks_mut(2 * w * (c + d)).zip(rows).for_each(|(out, (skip, below))| {
                    let row = w * (c + d);
                    let total = c + d;
                    for (out, skip) in out.chunks_exact_mut(total).zip(skip.chunks_exact(c)) {
                        out[..c].copy_from_slice(skip);
                    }
                    Squares { factor: 2, start: c, total, channels: d, row }.repeat(below, out);
                });
            }
            out
        });
        Ok((out, Shape::from((b, h, w, c + d))))
    }

    fn bwd(
        &self,
        skip: &Tensor,
        below: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (c, d) = (skip.dims4()?.3, below.dims4()?.3);
        let of_skip = Resample { factor: 1, start: 0, total: c + d }.narrow(g, c)?;
        let of_below = Resample { factor: 2, start: c, total: c + d }.narrow(g, d)?;
        Ok((Some(of_skip), Some(of_below)))
    }
}

#[derive(Clone, Copy, Debug)]
struct SumToChannels;

/// Values that one task adds: fixed, so that the order of additions is, too.
const SUMMED: usize = 1 << 16;

/// The sums over pixels of `channels` channels each.
pub(crate) fn channel_sums<T: Float>(x: &[T], channels: usize) -> Vec<T> {
    let task = (SUMMED / channels).max(1) * channels;
    let parts: Vec<Vec<T>> =
        x.par_chunks(task).map(|part| vectorized(AddPixels { channels, part })).collect();
    let mut sums = vec![T::default(); channels];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    sums
}

impl CustomOp1 for SumToChannels {
    fn name(&self) -> &'static str {
        "sum-to-channels"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_at: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some(&channels) = x_at.dims().last().filter(|channels| **channels > 0) else {
            bail!("expected a tensor with channels, found {:?}", x_at.shape());
        };
        let out = for_float!(x, T => channel_sums(values::<T>(x, x_at)?, channels));
        Ok((out, Shape::from(channels)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        g.broadcast_as(x.shape())?.contiguous().map(Some)
    }
}

struct AddPixels<'a, T> {
    channels: usize,
    part: &'a [T],
}

impl<T: Float> Loop for AddPixels<'_, T> {
    type Output = Vec<T>;
    #[inline(always)]
    fn run(self) -> Vec<T> {
        // Four pixels side by side, so that additions need not wait for each other.
        let mut sums = vec![T::default(); 4 * self.channels];
        for pixels in self.part.chunks(4 * self.channels) {
            sums.iter_mut().zip(pixels).for_each(|(sum, value)| *sum += *value);
        }
        let (first, others) = sums.split_at_mut(self.channels);
        for other in others.chunks_exact(self.channels) {
            first.iter_mut().zip(other).for_each(|(sum, value)| *sum += *value);
        }
        first.to_vec()
    }
}

//! Max-pooling of 2x2 squares, with a gradient that goes to the first of equal maxima.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::portable;
use crate::storage::{for_float, values};
use crate::vector::{Float, Loop, vectorized};

/// The maximum of each 2x2 square: `[b, h, w, c]` to `[b, h/2, w/2, c]`, channels last. Of equal
/// maxima the first in reading order gets the whole gradient, as in PyTorch.
///
/// # Errors
/// When a side is odd, or the tensor has not four dimensions or no floats.
pub fn max_pool2(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return portable::max_pool2(x);
    }
    x.contiguous()?.apply_op1(MaxPool { places: OnceLock::new() })
}

/// Which of its square's four pixels each output is.
type Places = Arc<[u8]>;

#[derive(Debug)]
struct MaxPool {
    places: OnceLock<Places>,
}

/// Row lengths of one image: `w * c` of the larger, and channels.
#[derive(Clone, Copy)]
struct Rows {
    large: usize,
    channels: usize,
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool-2x2"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_at: &Layout) -> Result<(CpuStorage, Shape)> {
        let (b, h, w, c) = x_at.shape().dims4()?;
        if h % 2 == 1 || w % 2 == 1 {
            bail!("expected even sides, found {:?}", x_at.shape());
        }
        let rows = Rows { large: w * c, channels: c };
        let mut places = vec![0_u8; b * (h / 2) * (w / 2) * c];
        let out = for_float!(x, T => {
            let mut out = vec![T::default(); places.len()];
            if !out.is_empty() {
                out.par_chunks_mut(w / 2 * c)
                    .zip(places.par_chunks_mut(w / 2 * c))
                    .zip(values::<T>(x, x_at)?.par_chunks(2 * w * c))
                    .for_each(|((out, places), x)| vectorized(Maxima { rows, x, out, places }));
            }
            out
        });
        // Fails if the operation runs a second time, on the same input then: the same places.
        let _ = self.places.set(places.into());
        Ok((out, Shape::from((b, h / 2, w / 2, c))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let Some(places) = self.places.get() else {
            bail!("expected the maxima's places from the forward pass, found none");
        };
        g.contiguous()?.apply_op1(Scatter(places.clone())).map(Some)
    }
}

/// Values to their places in 2x2 squares of zeros.
#[derive(Debug)]
struct Scatter(Places);

/// Values from their places: the adjoint of [`Scatter`].
#[derive(Debug)]
struct Pick(Places);

impl CustomOp1 for Scatter {
    fn name(&self) -> &'static str {
        "scatter-2x2"
    }

    fn cpu_fwd(&self, g: &CpuStorage, g_at: &Layout) -> Result<(CpuStorage, Shape)> {
        let (b, h, w, c) = g_at.shape().dims4()?;
        check(&self.0, g_at.shape().elem_count())?;
        let rows = Rows { large: 2 * w * c, channels: c };
        let out = for_float!(g, T => {
            let mut out = vec![T::default(); 4 * b * h * w * c];
            if !out.is_empty() {
                out.par_chunks_mut(2 * rows.large)
                    .zip(self.0.par_chunks(w * c))
                    .zip(values::<T>(g, g_at)?.par_chunks(w * c))
                    .for_each(|((out, places), g)| vectorized(ToPlaces { rows, places, g, out }));
            }
            out
        });
        Ok((out, Shape::from((b, 2 * h, 2 * w, c))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        g.contiguous()?.apply_op1(Pick(self.0.clone())).map(Some)
    }
}

impl CustomOp1 for Pick {
    fn name(&self) -> &'static str {
        "pick-2x2"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_at: &Layout) -> Result<(CpuStorage, Shape)> {
        let (b, h, w, c) = x_at.shape().dims4()?;
        check(&self.0, x_at.shape().elem_count() / 4)?;
        let out = for_float!(x, T => {
            let x = values::<T>(x, x_at)?;
            let at = |(index, place): (usize, &u8)| {
                let (pixel, channel) = (index / c, index % c);
                let (row, column) = (pixel / (w / 2), pixel % (w / 2));
                let (i, j) = (usize::from(*place / 2), usize::from(*place % 2));
                x[((2 * row + i) * w + 2 * column + j) * c + channel]
            };
            self.0.iter().enumerate().map(at).collect()
        });
        Ok((out, Shape::from((b, h / 2, w / 2, c))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        g.contiguous()?.apply_op1(Scatter(self.0.clone())).map(Some)
    }
}

fn check(places: &Places, values: usize) -> Result<()> {
    if places.len() != values {
        bail!("expected {} pooled values, found {values}", places.len());
    }
    Ok(())
}

struct Maxima<'a, T> {
    rows: Rows,
    x: &'a [T],
    out: &'a mut [T],
    places: &'a mut [u8],
}

impl<T: Float> Loop for Maxima<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let c = self.rows.channels;
        let (upper, lower) = self.x.split_at(self.rows.large);
        let pairs = upper.chunks_exact(2 * c).zip(lower.chunks_exact(2 * c));
        let outs = self.out.chunks_exact_mut(c).zip(self.places.chunks_exact_mut(c));
        for ((upper, lower), (out, places)) in pairs.zip(outs) {
            let ((p0, p1), (p2, p3)) = (upper.split_at(c), lower.split_at(c));
            for ((((out, place), x0), x1), (x2, x3)) in
                out.iter_mut().zip(places).zip(p0).zip(p1).zip(p2.iter().zip(p3))
            {
                let (mut most, mut at) = (*x0, 0);
                (most, at) = if *x1 > most { (*x1, 1) } else { (most, at) };
                (most, at) = if *x2 > most { (*x2, 2) } else { (most, at) };
                (most, at) = if *x3 > most { (*x3, 3) } else { (most, at) };
                (*out, *place) = (most, at);
            }
        }
    }
}

struct ToPlaces<'a, T> {
    rows: Rows,
    places: &'a [u8],
    g: &'a [T],
    out: &'a mut [T],
}

impl<T: Float> Loop for ToPlaces<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let c = self.rows.channels;
        let (upper, lower) = self.out.split_at_mut(self.rows.large);
        let pairs = upper.chunks_exact_mut(2 * c).zip(lower.chunks_exact_mut(2 * c));
        let values = self.g.chunks_exact(c).zip(self.places.chunks_exact(c));
        for ((upper, lower), (g, places)) in pairs.zip(values) {
            for (i, pair) in [upper, lower].into_iter().enumerate() {
                for (j, pixel) in pair.chunks_exact_mut(c).enumerate() {
                    let here = (2 * i + j) as u8;
                    for ((out, g), place) in pixel.iter_mut().zip(g).zip(places) {
                        *out = if *place == here { *g } else { T::default() };
                    }
                }
            }
        }
    }
}

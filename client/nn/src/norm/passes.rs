//! The passes over memory of a group normalisation.

use candle_core::{Result, Shape, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::settings::GroupNorm;
use crate::vector::Float;

/// Sizes of images `[images, pixels, channels]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) images: usize,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
    pub(crate) groups: usize,
}

/// Mean, and one over the deviation, of one image's group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    mean: f64,
    inverse: f64,
}

/// Gradients for scale and bias.
pub(crate) struct Gradients<T> {
    /// Of bias and scale, for each image.
    pub(crate) images: Vec<(Vec<T>, Vec<T>)>,
}

impl<T: Float> Gradients<T> {
    /// Of scale and bias, over all images.
    pub(crate) fn scale_and_bias(&self, channels: usize) -> (Vec<T>, Vec<T>) {
        let mut sums = (vec![T::default(); channels], vec![T::default(); channels]);
        for (bias, scale) in &self.images {
            sums.0.iter_mut().zip(scale).for_each(|(sum, value)| *sum += *value);
            sums.1.iter_mut().zip(bias).for_each(|(sum, value)| *sum += *value);
        }
        sums
    }
}

impl Sizes {
    /// The sizes of a normalisation of `[b, h, w, c]`.
    ///
    /// # Errors
    /// When the channels do not fall into the groups, or there is no value.
    pub(crate) fn of(settings: &GroupNorm, x: &Shape) -> Result<Self> {
        let (images, h, w, channels) = x.dims4()?;
        if settings.groups == 0 || channels % settings.groups != 0 || x.elem_count() == 0 {
            bail!("expected images with channels in {} equal groups, found {x:?}", settings.groups);
        }
        Ok(Self { images, pixels: h * w, channels, groups: settings.groups })
    }

    fn image(&self) -> usize {
        self.pixels * self.channels
    }

    /// For each channel what `of` says of its group.
    fn of_channels<T: Float>(&self, of: impl Fn(usize) -> f64) -> Vec<T> {
        let each = self.channels / self.groups;
        (0..self.channels).map(|channel| T::from_f64(of(channel / each))).collect()
    }

    /// For each group the mean over its values, from the sums of its channels.
    fn group_means(&self, sums: impl Iterator<Item = f64>) -> Vec<f64> {
        let each = self.channels / self.groups;
        let sums: Vec<f64> = sums.collect();
        let count = (each * self.pixels) as f64;
        sums.chunks_exact(each).map(|group| group.iter().sum::<f64>() / count).collect()
    }
}

/// A normalisation with its channels' scale and bias.
#[derive(Clone, Copy)]
pub(crate) struct Passes<'a, T> {
    pub(crate) sizes: Sizes,
    /// Whether negative results become 0.
    pub(crate) relu: bool,
    pub(crate) scale: &'a [T],
    pub(crate) bias: &'a [T],
}

impl<T: Float> Passes<'_, T> {
    /// The result, and each image's groups' moments.
    pub(crate) fn forward(&self, epsilon: f64, x: &[T]) -> (Vec<T>, Vec<Moments>) {
        let Self { sizes, relu, .. } = *self;
        let mut out = vec![T::default(); x.len()];
        let arch = Arch::new();
        let moments: Vec<Vec<Moments>> = out
            .par_chunks_mut(sizes.image())
            .zip(x.par_chunks(sizes.image()))
            .map(|(out, x)| {
                let mut sums = vec![T::default(); sizes.channels];
                arch.dispatch(Sum { x, mean: None, sums: &mut sums });
                let means = sizes.group_means(sums.iter().map(|sum| sum.to_f64()));
                let mean: Vec<T> = sizes.of_channels(|group| means[group]);
                arch.dispatch(Sum { x, mean: Some(&mean), sums: &mut sums });
                let variances = sizes.group_means(sums.iter().map(|sum| sum.to_f64()));
                let moments: Vec<Moments> = means
                    .iter()
                    .zip(&variances)
                    .map(|(mean, variance)| Moments {
                        mean: *mean,
                        inverse: 1.0 / (variance + epsilon).sqrt(),
                    })
                    .collect();
                let (factor, offset) = self.affine(&moments);
                arch.dispatch(Write { relu, x, factor: &factor, offset: &offset, out });
                moments
            })
            .collect();
        (out, moments.into_iter().flatten().collect())
    }

    /// For each channel the two numbers that lead from an input to its result.
    fn affine(&self, moments: &[Moments]) -> (Vec<T>, Vec<T>) {
        let Self { sizes, scale, bias, .. } = *self;
        let factor: Vec<T> = sizes.of_channels(|group| moments[group].inverse);
        let mean: Vec<T> = sizes.of_channels(|group| moments[group].mean);
        let factor: Vec<T> =
            factor.iter().zip(scale).map(|(inverse, scale)| *inverse * *scale).collect();
        let offset =
            bias.iter().zip(&mean).zip(&factor).map(|((bias, mean), f)| *bias - *mean * *f);
        let offset = offset.collect();
        (factor, offset)
    }

    /// With `n = (x - mean) / deviation`, `g' = g` where the result is positive, `u = g' scale`:
    /// `sum g'` for the bias, `sum g' n` for the scale,
    /// `(u - mean(u) - n mean(u n)) / deviation` for `x`, with means over groups.
    ///
    /// Every value of `of_x` is written.
    pub(crate) fn backward(
        &self,
        moments: &[Moments],
        (x, g): (&[T], &[T]),
        of_x: &mut [T],
    ) -> Gradients<T> {
        let Self { sizes, relu, scale, .. } = *self;
        let arch = Arch::new();
        let least = if relu { T::default() } else { T::from_f64(f64::NEG_INFINITY) };
        let sums: Vec<(Vec<T>, Vec<T>)> = of_x
            .par_chunks_mut(sizes.image())
            .zip(x.par_chunks(sizes.image()))
            .zip(g.par_chunks(sizes.image()))
            .zip(moments.par_chunks(sizes.groups))
            .map(|(((out, x), g), moments)| {
                let (factor, offset) = self.affine(moments);
                let mean: Vec<T> = sizes.of_channels(|group| moments[group].mean);
                let inverse: Vec<T> = sizes.of_channels(|group| moments[group].inverse);
                let masked = Masked { least, x, g, factor: &factor, offset: &offset, mean: &mean };
                let mut of_g = vec![T::default(); sizes.channels];
                let mut of_gx = vec![T::default(); sizes.channels];
                arch.dispatch(MaskedSums { masked, of_g: &mut of_g, of_gx: &mut of_gx });
                let of_gn: Vec<T> = of_gx.iter().zip(&inverse).map(|(sum, i)| *sum * *i).collect();
                let weighted = |sums: &[T]| -> Vec<f64> {
                    let products = sums.iter().zip(scale).map(|(sum, s)| sum.to_f64() * s.to_f64());
                    sizes.group_means(products)
                };
                let (mean_u, mean_un) = (weighted(&of_g), weighted(&of_gn));
                let constant: Vec<T> =
                    sizes.of_channels(|group| mean_u[group] * moments[group].inverse);
                let slope: Vec<T> =
                    sizes.of_channels(|group| mean_un[group] * moments[group].inverse.powi(2));
                arch.dispatch(WriteGradient { masked, constant: &constant, slope: &slope, out });
                (of_g, of_gn)
            })
            .collect();
        Gradients { images: sums }
    }
}

/// Pixels taken side by side, so that additions need not wait for each other.
const AHEAD: usize = 4;

/// Each channel's sum of its values or, with the channels' `mean`, of the squares of their
/// distances from it.
struct Sum<'a, T> {
    x: &'a [T],
    mean: Option<&'a [T]>,
    sums: &'a mut [T],
}

impl<T: Float> WithSimd for Sum<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (channels, count) = (self.sums.len(), T::count::<S>());
        for (block, out) in self.sums.chunks_mut(count).enumerate() {
            let (first, width) = (block * count, out.len());
            let zero = T::splat(simd, T::default());
            let mean = self.mean.map(|mean| T::load(simd, &mean[first..first + width]));
            let mut sums = [zero; AHEAD];
            for pixels in self.x.chunks(AHEAD * channels) {
                for (sum, pixel) in sums.iter_mut().zip(pixels.chunks_exact(channels)) {
                    let x = T::load(simd, &pixel[first..first + width]);
                    *sum = match mean {
                        None => T::sum(simd, *sum, x),
                        Some(mean) => {
                            let centred = T::difference(simd, x, mean);
                            T::multiply_add(simd, centred, centred, *sum)
                        }
                    };
                }
            }
            let [a, b, c, d] = sums;
            T::write(simd, T::sum(simd, T::sum(simd, a, b), T::sum(simd, c, d)), out);
        }
    }
}

/// `max(x factor + offset, 0)`, or without the maximum.
struct Write<'a, T> {
    relu: bool,
    x: &'a [T],
    factor: &'a [T],
    offset: &'a [T],
    out: &'a mut [T],
}

impl<T: Float> WithSimd for Write<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (channels, count) = (self.factor.len(), T::count::<S>());
        let zero = T::splat(simd, T::default());
        let parameters = self.factor.chunks(count).zip(self.offset.chunks(count));
        for (block, (factor, offset)) in parameters.enumerate() {
            let (first, width) = (block * count, factor.len());
            let (factor, offset) = (T::load(simd, factor), T::load(simd, offset));
            let pixels = self.out.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels));
            for (out, x) in pixels {
                let x = T::load(simd, &x[first..first + width]);
                let y = T::multiply_add(simd, x, factor, offset);
                let y = if self.relu { T::where_greater(simd, y, zero, y) } else { y };
                T::write(simd, y, &mut out[first..first + width]);
            }
        }
    }
}

/// Inputs of the way back: `g` counts where `x factor + offset` is above `least`.
#[derive(Clone, Copy)]
struct Masked<'a, T> {
    least: T,
    x: &'a [T],
    g: &'a [T],
    factor: &'a [T],
    offset: &'a [T],
    mean: &'a [T],
}

/// Each channel's sums of `g'` and of `g' (x - mean)`.
struct MaskedSums<'a, T> {
    masked: Masked<'a, T>,
    of_g: &'a mut [T],
    of_gx: &'a mut [T],
}

impl<T: Float> WithSimd for MaskedSums<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Masked { least, x, g, factor, offset, mean } = self.masked;
        let (channels, count) = (factor.len(), T::count::<S>());
        let (zero, least) = (T::splat(simd, T::default()), T::splat(simd, least));
        let outs = self.of_g.chunks_mut(count).zip(self.of_gx.chunks_mut(count));
        for (block, (of_g, of_gx)) in outs.enumerate() {
            let here = block * count..block * count + of_g.len();
            let factor = T::load(simd, &factor[here.clone()]);
            let offset = T::load(simd, &offset[here.clone()]);
            let mean = T::load(simd, &mean[here.clone()]);
            let mut sums = [(zero, zero); AHEAD];
            for (x, g) in x.chunks(AHEAD * channels).zip(g.chunks(AHEAD * channels)) {
                let pixels = x.chunks_exact(channels).zip(g.chunks_exact(channels));
                for ((of_g, of_gx), (x, g)) in sums.iter_mut().zip(pixels) {
                    let x = T::load(simd, &x[here.clone()]);
                    let g = T::load(simd, &g[here.clone()]);
                    let y = T::multiply_add(simd, x, factor, offset);
                    let g = T::where_greater(simd, y, least, g);
                    *of_g = T::sum(simd, *of_g, g);
                    *of_gx = T::multiply_add(simd, g, T::difference(simd, x, mean), *of_gx);
                }
            }
            let [a, b, c, d] = sums;
            let total = |a, b, c, d| T::sum(simd, T::sum(simd, a, b), T::sum(simd, c, d));
            T::write(simd, total(a.0, b.0, c.0, d.0), of_g);
            T::write(simd, total(a.1, b.1, c.1, d.1), of_gx);
        }
    }
}

/// `g' factor - constant - (x - mean) slope`.
struct WriteGradient<'a, T> {
    masked: Masked<'a, T>,
    constant: &'a [T],
    slope: &'a [T],
    out: &'a mut [T],
}

impl<T: Float> WithSimd for WriteGradient<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Masked { least, x, g, factor, offset, mean } = self.masked;
        let (channels, count) = (factor.len(), T::count::<S>());
        let least = T::splat(simd, least);
        for first in (0..channels).step_by(count) {
            let here = first..(first + count).min(channels);
            let factor = T::load(simd, &factor[here.clone()]);
            let offset = T::load(simd, &offset[here.clone()]);
            let mean = T::load(simd, &mean[here.clone()]);
            let constant = T::load(simd, &self.constant[here.clone()]);
            let slope = T::load(simd, &self.slope[here.clone()]);
            let inputs = x.chunks_exact(channels).zip(g.chunks_exact(channels));
            for (out, (x, g)) in self.out.chunks_exact_mut(channels).zip(inputs) {
                let x = T::load(simd, &x[here.clone()]);
                let g = T::load(simd, &g[here.clone()]);
                let y = T::multiply_add(simd, x, factor, offset);
                let g = T::where_greater(simd, y, least, g);
                // (mean - x) slope - constant, then g' factor added to it.
                let away = T::difference(simd, mean, x);
                let rest = T::difference(
                    simd,
                    T::multiply_add(simd, away, slope, T::splat(simd, T::default())),
                    constant,
                );
                T::write(simd, T::multiply_add(simd, g, factor, rest), &mut out[here.clone()]);
            }
        }
    }
}

//! The passes over memory of a group normalisation.

use rayon::prelude::*;

use crate::vector::{Float, Loop, vectorized};

/// Sizes of images `[images, pixels, channels]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) images: usize,
    pub(super) pixels: usize,
    pub(super) channels: usize,
    pub(super) groups: usize,
}

/// Mean, and one over the deviation, of one image's group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    mean: f64,
    inverse: f64,
}

/// Gradients for the three inputs.
pub(super) struct Gradients<T> {
    pub(super) x: Vec<T>,
    pub(super) scale: Vec<T>,
    pub(super) bias: Vec<T>,
}

impl Sizes {
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

/// The result, and each image's groups' moments.
pub(super) fn forward<T: Float>(
    sizes: Sizes,
    epsilon: f64,
    relu: bool,
    x: &[T],
    scale: &[T],
    bias: &[T],
) -> (Vec<T>, Vec<Moments>) {
    let mut out = vec![T::default(); x.len()];
    let moments: Vec<Vec<Moments>> = out
        .par_chunks_mut(sizes.image())
        .zip(x.par_chunks(sizes.image()))
        .map(|(out, x)| {
            let zeros = vec![T::default(); sizes.channels];
            let sums = reduce(Sum { x, mean: &zeros });
            let means = sizes.group_means(sums.iter().map(|sum| sum.to_f64()));
            let mean: Vec<T> = sizes.of_channels(|group| means[group]);
            let squares = reduce(Squares { x, mean: &mean });
            let variances = sizes.group_means(squares.iter().map(|sum| sum.to_f64()));
            let moments: Vec<Moments> = means
                .iter()
                .zip(&variances)
                .map(|(mean, variance)| Moments {
                    mean: *mean,
                    inverse: 1.0 / (variance + epsilon).sqrt(),
                })
                .collect();
            let (factor, offset) = affine(sizes, &moments, scale, bias);
            vectorized(Write { relu, x, factor: &factor, offset: &offset, out });
            moments
        })
        .collect();
    (out, moments.into_iter().flatten().collect())
}

/// For each channel the two numbers that lead from an input to its result.
fn affine<T: Float>(
    sizes: Sizes,
    moments: &[Moments],
    scale: &[T],
    bias: &[T],
) -> (Vec<T>, Vec<T>) {
    let factor: Vec<T> = sizes.of_channels(|group| moments[group].inverse);
    let mean: Vec<T> = sizes.of_channels(|group| moments[group].mean);
    let factor: Vec<T> =
        factor.iter().zip(scale).map(|(inverse, scale)| *inverse * *scale).collect();
    let offset = bias.iter().zip(&mean).zip(&factor).map(|((bias, mean), f)| *bias - *mean * *f);
    let offset = offset.collect();
    (factor, offset)
}

/// With `n = (x - mean) / deviation`, `g' = g` where the result is positive, `u = g' scale`:
/// `sum g'` for the bias, `sum g' n` for the scale, `(u - mean(u) - n mean(u n)) / deviation` for
/// `x`, with means over groups.
pub(super) fn backward<T: Float>(
    sizes: Sizes,
    relu: bool,
    moments: &[Moments],
    x: &[T],
    scale: &[T],
    bias: &[T],
    g: &[T],
) -> Gradients<T> {
    let mut of_x = vec![T::default(); x.len()];
    let sums: Vec<(Vec<T>, Vec<T>)> = of_x
        .par_chunks_mut(sizes.image())
        .zip(x.par_chunks(sizes.image()))
        .zip(g.par_chunks(sizes.image()))
        .zip(moments.par_chunks(sizes.groups))
        .map(|(((out, x), g), moments)| {
            let (factor, offset) = affine(sizes, moments, scale, bias);
            let mean: Vec<T> = sizes.of_channels(|group| moments[group].mean);
            let inverse: Vec<T> = sizes.of_channels(|group| moments[group].inverse);
            let masked = Masked { relu, x, g, factor: &factor, offset: &offset, mean: &mean };
            let (of_g, of_gx) = masked.sums();
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
            vectorized(WriteGradient { masked, constant: &constant, slope: &slope, out });
            (of_g, of_gn)
        })
        .collect();
    let mut out = Gradients {
        x: of_x,
        scale: vec![T::default(); sizes.channels],
        bias: vec![T::default(); sizes.channels],
    };
    for (of_g, of_gn) in sums {
        out.bias.iter_mut().zip(of_g).for_each(|(sum, value)| *sum += value);
        out.scale.iter_mut().zip(of_gn).for_each(|(sum, value)| *sum += value);
    }
    out
}

/// Channels summed at a time in registers.
const LANES: usize = 16;
/// Pixels taken side by side, so that additions need not wait for each other.
const AHEAD: usize = 4;

/// Something summed over pixels for each channel.
trait Reduction<T: Float>: Copy {
    fn channels(&self) -> usize;
    fn pixels(&self) -> usize;
    /// Adds the terms of `N` channels of a pixel, starting at `index` in the image and at
    /// `channel` in the pixel.
    fn add<const N: usize>(&self, index: usize, channel: usize, sums: &mut [T; N]);
}

#[derive(Clone, Copy)]
struct Sum<'a, T> {
    x: &'a [T],
    mean: &'a [T],
}

impl<T: Float> Reduction<T> for Sum<'_, T> {
    #[inline(always)]
    fn channels(&self) -> usize {
        self.mean.len()
    }
    #[inline(always)]
    fn pixels(&self) -> usize {
        self.x.len() / self.mean.len()
    }
    #[inline(always)]
    fn add<const N: usize>(&self, index: usize, _: usize, sums: &mut [T; N]) {
        let x = &self.x[index..index + N];
        for lane in 0..N {
            sums[lane] += x[lane];
        }
    }
}

#[derive(Clone, Copy)]
struct Squares<'a, T> {
    x: &'a [T],
    mean: &'a [T],
}

impl<T: Float> Reduction<T> for Squares<'_, T> {
    #[inline(always)]
    fn channels(&self) -> usize {
        self.mean.len()
    }
    #[inline(always)]
    fn pixels(&self) -> usize {
        self.x.len() / self.mean.len()
    }
    #[inline(always)]
    fn add<const N: usize>(&self, index: usize, channel: usize, sums: &mut [T; N]) {
        let x = &self.x[index..index + N];
        let mean = &self.mean[channel..channel + N];
        for lane in 0..N {
            let centred = x[lane] - mean[lane];
            sums[lane] += centred * centred;
        }
    }
}

/// The sums of each channel.
fn reduce<T: Float, R: Reduction<T>>(of: R) -> Vec<T> {
    struct Reduce<T, R>(R, std::marker::PhantomData<T>);
    impl<T: Float, R: Reduction<T>> Loop for Reduce<T, R> {
        type Output = Vec<T>;
        #[inline(always)]
        fn run(self) -> Vec<T> {
            let (channels, pixels) = (self.0.channels(), self.0.pixels());
            let mut out = vec![T::default(); channels];
            let (blocks, rest) = out.as_chunks_mut::<LANES>();
            let whole = blocks.len() * LANES;
            for (block, out) in blocks.iter_mut().enumerate() {
                *out = sum_channels(self.0, channels, pixels, block * LANES);
            }
            let (blocks, rest) = rest.as_chunks_mut::<4>();
            let tail = whole + blocks.len() * 4;
            for (block, out) in blocks.iter_mut().enumerate() {
                *out = sum_channels(self.0, channels, pixels, whole + block * 4);
            }
            for (k, out) in rest.iter_mut().enumerate() {
                [*out] = sum_channels(self.0, channels, pixels, tail + k);
            }
            out
        }
    }
    vectorized(Reduce(of, std::marker::PhantomData))
}

#[inline(always)]
fn sum_channels<T: Float, R: Reduction<T>, const N: usize>(
    of: R,
    channels: usize,
    pixels: usize,
    channel: usize,
) -> [T; N] {
    let mut sums = [[T::default(); N]; AHEAD];
    let whole = pixels / AHEAD * AHEAD;
    for first in (0..whole).step_by(AHEAD) {
        for (ahead, sums) in sums.iter_mut().enumerate() {
            of.add((first + ahead) * channels + channel, channel, sums);
        }
    }
    for pixel in whole..pixels {
        of.add(pixel * channels + channel, channel, &mut sums[0]);
    }
    let [mut total, others @ ..] = sums;
    for other in others {
        for lane in 0..N {
            total[lane] += other[lane];
        }
    }
    total
}

/// The gradient with what ReLU stopped left out.
#[derive(Clone, Copy)]
struct Masked<'a, T> {
    relu: bool,
    x: &'a [T],
    g: &'a [T],
    factor: &'a [T],
    offset: &'a [T],
    mean: &'a [T],
}

/// Sum of `g'`.
#[derive(Clone, Copy)]
struct OfG<'a, T>(Masked<'a, T>);
/// Sum of `g' (x - mean)`.
#[derive(Clone, Copy)]
struct OfGx<'a, T>(Masked<'a, T>);

impl<T: Float> Masked<'_, T> {
    fn sums(&self) -> (Vec<T>, Vec<T>) {
        (reduce(OfG(*self)), reduce(OfGx(*self)))
    }

    #[inline(always)]
    fn masked<const N: usize>(&self, index: usize, channel: usize) -> [T; N] {
        let (x, g) = (&self.x[index..index + N], &self.g[index..index + N]);
        let factor = &self.factor[channel..channel + N];
        let offset = &self.offset[channel..channel + N];
        let mut masked = [T::default(); N];
        for lane in 0..N {
            let positive = !self.relu || x[lane] * factor[lane] + offset[lane] > T::default();
            masked[lane] = if positive { g[lane] } else { T::default() };
        }
        masked
    }
}

impl<T: Float> Reduction<T> for OfG<'_, T> {
    #[inline(always)]
    fn channels(&self) -> usize {
        self.0.mean.len()
    }
    #[inline(always)]
    fn pixels(&self) -> usize {
        self.0.x.len() / self.0.mean.len()
    }
    #[inline(always)]
    fn add<const N: usize>(&self, index: usize, channel: usize, sums: &mut [T; N]) {
        let masked = self.0.masked::<N>(index, channel);
        for lane in 0..N {
            sums[lane] += masked[lane];
        }
    }
}

impl<T: Float> Reduction<T> for OfGx<'_, T> {
    #[inline(always)]
    fn channels(&self) -> usize {
        self.0.mean.len()
    }
    #[inline(always)]
    fn pixels(&self) -> usize {
        self.0.x.len() / self.0.mean.len()
    }
    #[inline(always)]
    fn add<const N: usize>(&self, index: usize, channel: usize, sums: &mut [T; N]) {
        let masked = self.0.masked::<N>(index, channel);
        let x = &self.0.x[index..index + N];
        let mean = &self.0.mean[channel..channel + N];
        for lane in 0..N {
            sums[lane] += masked[lane] * (x[lane] - mean[lane]);
        }
    }
}

struct Write<'a, T> {
    relu: bool,
    x: &'a [T],
    factor: &'a [T],
    offset: &'a [T],
    out: &'a mut [T],
}

impl<T: Float> Loop for Write<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let channels = self.factor.len();
        let pixels = self.out.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels));
        for (out, x) in pixels {
            let affine = self.factor.iter().zip(self.offset);
            for ((out, x), (factor, offset)) in out.iter_mut().zip(x).zip(affine) {
                let y = *x * *factor + *offset;
                *out = if self.relu && y < T::default() { T::default() } else { y };
            }
        }
    }
}

struct WriteGradient<'a, T> {
    masked: Masked<'a, T>,
    constant: &'a [T],
    slope: &'a [T],
    out: &'a mut [T],
}

impl<T: Float> Loop for WriteGradient<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Masked { relu, x, g, factor, offset, mean } = self.masked;
        let channels = factor.len();
        let inputs = x.chunks_exact(channels).zip(g.chunks_exact(channels));
        for (out, (x, g)) in self.out.chunks_exact_mut(channels).zip(inputs) {
            let affine = factor.iter().zip(offset).zip(mean);
            let means = self.constant.iter().zip(self.slope);
            let values = out.iter_mut().zip(x).zip(g).zip(affine).zip(means);
            for ((((out, x), g), ((factor, offset), mean)), (constant, slope)) in values {
                let positive = !relu || *x * *factor + *offset > T::default();
                let g = if positive { *g } else { T::default() };
                *out = g * *factor - *constant - (*x - *mean) * *slope;
            }
        }
    }
}

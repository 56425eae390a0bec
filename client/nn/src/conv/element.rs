//! The products of a convolution for each type of number.

use std::ops::Range;
use std::slice::from_ref;

use candle_core::{Result, WithDType, bail};
use pulp::Arch;
use rayon::prelude::*;

use super::gather::{Direction, Gather};
use super::kernel_gradient::KernelGradient;
use super::settings::Conv2d;
pub(crate) use super::window::NONE;
use super::window::Window;
use super::winograd::{Gradient, Into, Tiles, Winograd};

/// A type of numbers that can be convolved. `f32` runs on vector units; `f64` is written as the
/// definition reads, for checking derivatives by finite differences.
pub(crate) trait Element: WithDType {
    /// The convolution of `x` `[b, inputs, groups * depth]` with a kernel and perhaps a bias to
    /// `[b, outputs, groups * width]`, every value of which is written.
    fn convolve(shape: &Shape, of: Factors<'_, Self>, out: &mut [Self]);

    /// The gradient for `x`, from that of the outputs.
    fn input_gradient(shape: &Shape, g: &[Self], kernel: &[Self]) -> Vec<Self>;

    /// The gradient for the kernel, from `x` and the gradient of the outputs.
    fn kernel_gradient(shape: &Shape, x: &[Self], g: &[Self]) -> Vec<Self>;
}

/// What a convolution is of: `x`, the kernel and the bias.
pub(crate) type Factors<'a, T> = (&'a [T], &'a [T], Option<&'a [T]>);

/// A convolution's sizes: the kernel is `[groups * width, depth, taps]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(super) images: usize,
    pub(super) window: Window,
    pub(super) groups: usize,
    /// Input channels a group.
    pub(super) depth: usize,
    /// Output channels a group.
    pub(super) width: usize,
}

/// Below this number of channels patches are copied after all, so that the products have rows to
/// run along.
const FEW_CHANNELS: usize = 8;
/// Patches are filled up to a multiple of this: the most rows of a tile of the kernel's gradient.
const PATCH: usize = 16;

impl Shape {
    /// The sizes of a convolution of `[b, h, w, c]` with a kernel `[o, c / groups, i, j]`.
    ///
    /// # Errors
    /// When they do not fit each other or the settings.
    pub(crate) fn of(
        settings: &Conv2d,
        (images, h, w, channels): (usize, usize, usize, usize),
        (o, depth, kh, kw): (usize, usize, usize, usize),
    ) -> Result<Self> {
        let groups = settings.groups;
        if groups == 0 || o % groups != 0 || o == 0 || depth == 0 || channels != depth * groups {
            bail!(
                "expected a kernel [o, {channels} / {groups}, i, j] with o a multiple of {groups}, found [{o}, {depth}, {kh}, {kw}]"
            );
        }
        let window = Window::new(*settings, (h, w), (kh, kw))?;
        Ok(Self { images, window, groups, depth, width: o / groups })
    }

    /// `[b, h, w, o]` of the outputs.
    pub(crate) fn output(&self) -> (usize, usize, usize, usize) {
        let (h, w) = self.window.output;
        (self.images, h, w, self.groups * self.width)
    }

    /// The tiles of Winograd's algorithm where it is faster.
    fn tiles(&self) -> Option<Tiles> {
        let many = self.groups == 1 && self.depth >= FEW_CHANNELS && self.width >= FEW_CHANNELS;
        many.then(|| Tiles::of(&self.window)).flatten()
    }

    /// Values of a patch if patches are to be copied.
    fn patch(&self) -> Option<usize> {
        let few = self.groups == 1 && self.depth < FEW_CHANNELS && self.window.taps() > 1;
        few.then(|| (self.depth * self.window.taps()).next_multiple_of(PATCH))
    }

    /// `[b * outputs, patch]`: what each output pixel's kernel meets, in the kernel's order.
    fn patches(&self, x: &[f32], patch: usize) -> Vec<f32> {
        let Self { images, window, depth, .. } = *self;
        let taps = window.taps();
        let table = window.inputs_of_outputs();
        let mut patches = vec![0.0; images * window.outputs() * patch];
        let images = patches
            .par_chunks_mut(window.outputs() * patch)
            .zip(x.par_chunks(window.inputs() * depth));
        images.for_each(|(patches, x)| {
            for (patch, table) in patches.chunks_exact_mut(patch).zip(table.chunks_exact(taps)) {
                for (tap, input) in table.iter().enumerate().filter(|(_, input)| **input != NONE) {
                    let from = &x[*input as usize * depth..][..depth];
                    for (value, out) in from.iter().zip(patch[tap..].iter_mut().step_by(taps)) {
                        *out = *value;
                    }
                }
            }
        });
        patches
    }

    /// The product over copied patches: a 1x1 convolution of `patch` channels.
    fn over_patches<'a>(&self, table: &'a [u32], patch: usize) -> Gather<'a> {
        let pixels = self.window.outputs();
        Gather {
            table,
            taps: 1,
            source_pixels: pixels,
            target_pixels: pixels,
            groups: 1,
            depth: patch,
            width: self.width,
        }
    }
}

impl Element for f32 {
    fn convolve(shape: &Shape, (x, kernel, bias): Factors<'_, f32>, out: &mut [f32]) {
        let Shape { window, groups, depth, width, .. } = *shape;
        if let Some(patch) = shape.patch() {
            let table: Vec<u32> = (0..window.outputs() as u32).collect();
            let gather = shape.over_patches(&table, patch);
            let mut padded = vec![0.0; width * patch];
            let rows =
                padded.chunks_exact_mut(patch).zip(kernel.chunks_exact(depth * window.taps()));
            rows.for_each(|(padded, row)| padded[..row.len()].copy_from_slice(row));
            let packed = gather.pack(&padded, Direction::Forward);
            return gather.run(&shape.patches(x, patch), &packed, bias, out);
        }
        if let Some(tiles) = shape.tiles() {
            let (source, direction) = (x, Direction::Forward);
            let of = Winograd { tiles, depth, width, source, kernel, direction, bias };
            return Arch::new().dispatch(Into(of, out));
        }
        let gather = Gather {
            table: &window.inputs_of_outputs(),
            taps: window.taps(),
            source_pixels: window.inputs(),
            target_pixels: window.outputs(),
            groups,
            depth,
            width,
        };
        gather.run(x, &gather.pack(kernel, Direction::Forward), bias, out);
    }

    fn input_gradient(shape: &Shape, g: &[f32], kernel: &[f32]) -> Vec<f32> {
        let Shape { images, window, groups, depth, width } = *shape;
        let mut out = vec![0.0; images * window.inputs() * groups * depth];
        if let Some(tiles) = shape.tiles() {
            let of = Winograd {
                tiles: tiles.turned(),
                depth: width,
                width: depth,
                source: g,
                kernel,
                direction: Direction::Backward,
                bias: None,
            };
            Arch::new().dispatch(Into(of, &mut out));
            return out;
        }
        let gather = Gather {
            table: &window.outputs_of_inputs(),
            taps: window.taps(),
            source_pixels: window.outputs(),
            target_pixels: window.inputs(),
            groups,
            depth: width,
            width: depth,
        };
        gather.run(g, &gather.pack(kernel, Direction::Backward), None, &mut out);
        out
    }

    fn kernel_gradient(shape: &Shape, x: &[f32], g: &[f32]) -> Vec<f32> {
        let all = 0..shape.images;
        shape.unit_kernel_gradients(x, g, from_ref(&all)).pop().unwrap_or_default()
    }
}

impl Shape {
    /// The gradients for the kernel of some units of images, each the sum over the images of its
    /// range, from all images' `x` and the gradient of the outputs.
    pub(crate) fn unit_kernel_gradients(
        &self,
        x: &[f32],
        g: &[f32],
        units: &[Range<usize>],
    ) -> Vec<Vec<f32>> {
        let Self { window, depth, width, .. } = *self;
        let Some(tiles) = self.tiles() else {
            return self.direct_kernel_gradients(x, g, units);
        };
        let (of_x, of_g) = (window.inputs() * depth, window.outputs() * width);
        let run = |unit: &Range<usize>| {
            let x = &x[unit.start * of_x..unit.end * of_x];
            let g = &g[unit.start * of_g..unit.end * of_g];
            Arch::new().dispatch(Gradient { tiles, depth, width, x, g })
        };
        units.par_iter().map(run).collect()
    }

    /// The same as plain sums of products: each is off by at most the roundings of its own terms.
    pub(crate) fn direct_kernel_gradients(
        &self,
        x: &[f32],
        g: &[f32],
        units: &[Range<usize>],
    ) -> Vec<Vec<f32>> {
        let Self { window, groups, depth, width, .. } = *self;
        let (taps, outputs) = (window.taps(), window.outputs());
        if let Some(patch) = self.patch() {
            let product = KernelGradient {
                table: &(0..outputs as u32).collect::<Vec<_>>(),
                taps: 1,
                input_pixels: outputs,
                output_pixels: outputs,
                groups: 1,
                depth: patch,
                width,
            };
            let padded = product.run_each(&self.patches(x, patch), g, units);
            let cut = |padded: Vec<f32>| -> Vec<f32> {
                let rows = padded.chunks_exact(patch);
                rows.flat_map(|row| &row[..depth * taps]).copied().collect()
            };
            return padded.into_iter().map(cut).collect();
        }
        let product = KernelGradient {
            table: &window.inputs_of_taps(),
            taps,
            input_pixels: window.inputs(),
            output_pixels: outputs,
            groups,
            depth,
            width,
        };
        product.run_each(x, g, units)
    }

    /// Values of all outputs.
    pub(crate) fn outputs(&self) -> usize {
        self.images * self.window.outputs() * self.groups * self.width
    }

    pub(crate) fn images(&self) -> usize {
        self.images
    }

    /// Pixels of an output.
    pub(crate) fn pixels(&self) -> usize {
        self.window.outputs()
    }

    /// Pixels of an input.
    pub(crate) fn input_pixels(&self) -> usize {
        self.window.inputs()
    }

    pub(crate) fn taps(&self) -> usize {
        self.window.taps()
    }

    /// Whether outputs see a part of the inputs only.
    pub(crate) fn grouped(&self) -> bool {
        self.groups > 1
    }

    /// `[output pixel][tap]`: the input pixel that the tap meets.
    pub(crate) fn inputs_of_outputs(&self) -> Vec<u32> {
        self.window.inputs_of_outputs()
    }
}

impl Element for f64 {
    fn convolve(shape: &Shape, (x, kernel, bias): Factors<'_, f64>, out: &mut [f64]) {
        let channels = shape.groups * shape.width;
        match bias {
            Some(bias) => {
                out.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(bias));
            }
            None => out.fill(0.0),
        }
        shape.each_product(|input, weight, output| out[output] += x[input] * kernel[weight]);
    }

    fn input_gradient(shape: &Shape, g: &[f64], kernel: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; shape.images * shape.window.inputs() * shape.groups * shape.depth];
        shape.each_product(|input, weight, output| out[input] += g[output] * kernel[weight]);
        out
    }

    fn kernel_gradient(shape: &Shape, x: &[f64], g: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; shape.groups * shape.width * shape.depth * shape.window.taps()];
        shape.each_product(|input, weight, output| out[weight] += x[input] * g[output]);
        out
    }
}

impl Shape {
    /// Every `(input value, kernel value, output value)` that are multiplied and added, by index.
    fn each_product(&self, mut found: impl FnMut(usize, usize, usize)) {
        let Self { images, window, groups, depth, width } = *self;
        let taps = window.taps();
        let table = window.inputs_of_outputs();
        for image in 0..images {
            for (at, input) in table.iter().enumerate().filter(|(_, input)| **input != NONE) {
                let (output, tap) = (image * window.outputs() + at / taps, at % taps);
                let input = image * window.inputs() + *input as usize;
                for o in 0..groups * width {
                    for c in 0..depth {
                        let channel = o / width * depth + c;
                        found(
                            input * groups * depth + channel,
                            (o * depth + c) * taps + tap,
                            output * groups * width + o,
                        );
                    }
                }
            }
        }
    }
}

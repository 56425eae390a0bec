//! The product behind the gradient of a convolution's kernel.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::lanes::Tile;
use super::window::NONE;

/// Output pixels whose products are added before the next tile's turn: few enough that their
/// rows stay in the first-level cache, enough that loading and storing the tile costs little.
const STRIP: usize = 256;

/// `kernel[o, c, t] = sum over b, p of x[b, table[t, p], c] * g[b, p, o]`, for each group.
#[derive(Clone, Copy, Debug)]
pub(super) struct KernelGradient<'a> {
    /// `[taps][output pixels]`.
    pub(super) table: &'a [u32],
    pub(super) taps: usize,
    pub(super) input_pixels: usize,
    pub(super) output_pixels: usize,
    pub(super) groups: usize,
    /// Input channels a group.
    pub(super) depth: usize,
    /// Output channels a group.
    pub(super) width: usize,
}

impl KernelGradient<'_> {
    /// The kernel's gradient of each unit of images.
    pub(super) fn run_each(&self, x: &[f32], g: &[f32], units: &[Range<usize>]) -> Vec<Vec<f32>> {
        let of_x = self.input_pixels * self.groups * self.depth;
        let of_g = self.output_pixels * self.groups * self.width;
        let part = |values: &[f32], unit: &Range<usize>, image: usize| {
            unit.start * image..(unit.end * image).min(values.len())
        };
        let run = |unit: &Range<usize>| self.run(&x[part(x, unit, of_x)], &g[part(g, unit, of_g)]);
        units.par_iter().map(run).collect()
    }

    /// The kernel's gradient, `[o, c / groups, taps]`.
    pub(super) fn run(&self, x: &[f32], g: &[f32]) -> Vec<f32> {
        let tile = Tile::of(self.width);
        let rows = tile.gradient_rows();
        let row_blocks = self.depth.div_ceil(rows);
        let padded = self.width.next_multiple_of(tile.columns());
        // `[group][block of input channels][tap][channel][output channel]`.
        let mut sums = vec![0.0; self.groups * row_blocks * self.taps * rows * padded];
        let arch = Arch::new();
        sums.par_chunks_mut((self.taps * rows * padded).max(1)).enumerate().for_each(
            |(index, sums)| {
                let (group, channel) = (index / row_blocks, index % row_blocks * rows);
                arch.dispatch(Task { product: self, tile, x, g, group, channel, padded, sums });
            },
        );
        let Self { taps, depth, width, groups, .. } = *self;
        Order { taps, groups, depth, width, rows, padded }.kernel(&sums)
    }
}

/// The order in which sums are made: `[group][block of input channels][tap][channel][output channel]`.
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) taps: usize,
    pub(super) groups: usize,
    /// Input and output channels a group.
    pub(super) depth: usize,
    pub(super) width: usize,
    /// Channels of a block.
    pub(super) rows: usize,
    /// Output channels filled up.
    pub(super) padded: usize,
}

impl Order {
    /// From this order to `[o, c / groups, taps]`.
    pub(super) fn kernel(&self, sums: &[f32]) -> Vec<f32> {
        let Self { taps, groups, depth, width, rows, padded } = *self;
        let row_blocks = depth.div_ceil(rows);
        let mut kernel = vec![0.0; groups * width * depth * taps];
        // Sixteen output channels at a time: a line of the sums is read as a whole, and the
        // sixteen lines written stay in the cache until they are full.
        kernel.par_chunks_mut((width * depth * taps).max(1)).enumerate().for_each(
            |(group, kernel)| {
                for (block, rows_out) in kernel.chunks_mut(16 * depth * taps).enumerate() {
                    let first = block * 16;
                    let count = rows_out.len() / (depth * taps);
                    for c in 0..depth {
                        let start = (group * row_blocks + c / rows) * taps * rows + c % rows;
                        let at = |tap: usize| (start + tap * rows) * padded + first;
                        if taps == 9 && count == 16 {
                            let lines = std::array::from_fn(|tap| &sums[at(tap)..][..16]);
                            scatter(&lines, &mut rows_out[c * 9..], depth * 9);
                            continue;
                        }
                        for tap in 0..taps {
                            let to = rows_out[c * taps + tap..].iter_mut().step_by(depth * taps);
                            for (out, value) in to.zip(&sums[at(tap)..][..count]) {
                                *out = *value;
                            }
                        }
                    }
                }
            },
        );
        kernel
    }
}

/// Writes the nine taps of sixteen output channels, `apart` from one channel's to the next's.
fn scatter(lines: &[&[f32]; 9], out: &mut [f32], apart: usize) {
    for (o, out) in out.chunks_mut(apart).enumerate().take(16) {
        if let Some(out) = out.first_chunk_mut::<9>() {
            *out = lines.map(|line| line[o]);
        }
    }
}

struct Task<'a> {
    product: &'a KernelGradient<'a>,
    tile: Tile,
    x: &'a [f32],
    g: &'a [f32],
    group: usize,
    channel: usize,
    padded: usize,
    sums: &'a mut [f32],
}

/// What a tile is summed over, and where in the kernel it lies.
#[derive(Clone, Copy)]
struct Place<'a> {
    images: &'a Range<usize>,
    pixels: &'a Range<usize>,
    tap: usize,
    /// The first output channel, within the group.
    first: usize,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.tile.many, self.tile.registers) {
            (true, 1) => self.strips::<S, 16, 1>(simd),
            (true, _) => self.strips::<S, 8, 2>(simd),
            (false, 1) => self.strips::<S, 8, 1>(simd),
            (false, _) => self.strips::<S, 4, 2>(simd),
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn strips<S: Simd, const ROWS: usize, const REGISTERS: usize>(mut self, simd: S) {
        let KernelGradient { output_pixels, groups, width, .. } = *self.product;
        if output_pixels == 0 {
            return;
        }
        let images = self.g.len() / (output_pixels * groups * width);
        if output_pixels >= STRIP {
            for image in 0..images {
                for first in (0..output_pixels).step_by(STRIP) {
                    let last = (first + STRIP).min(output_pixels);
                    self.strip::<S, ROWS, REGISTERS>(simd, image..image + 1, first..last);
                }
            }
        } else {
            let several = STRIP.div_ceil(output_pixels);
            for image in (0..images).step_by(several) {
                let end = (image + several).min(images);
                self.strip::<S, ROWS, REGISTERS>(simd, image..end, 0..output_pixels);
            }
        }
    }

    /// Adds the products of some pixels of some images to every tile.
    #[inline(always)]
    fn strip<S: Simd, const ROWS: usize, const REGISTERS: usize>(
        &mut self,
        simd: S,
        images: Range<usize>,
        pixels: Range<usize>,
    ) {
        let KernelGradient { taps, depth, width, .. } = *self.product;
        let (columns, padded) = (self.tile.columns(), self.padded);
        let whole_rows = self.channel + ROWS <= depth;
        for first in (0..width).step_by(columns) {
            let whole = whole_rows && first + columns <= width;
            for tap in 0..taps {
                let mut tile = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
                let place = Place { images: &images, pixels: &pixels, tap, first };
                if whole {
                    self.tile::<S, ROWS, REGISTERS, true>(simd, &mut tile, place);
                } else {
                    self.tile::<S, ROWS, REGISTERS, false>(simd, &mut tile, place);
                }
                let sums =
                    self.sums[tap * ROWS * padded..][..ROWS * padded].chunks_exact_mut(padded);
                for (tile, sums) in tile.iter().zip(sums) {
                    let (sums, _) = S::as_mut_simd_f32s(&mut sums[first..first + columns]);
                    for (sum, more) in sums.iter_mut().zip(tile) {
                        *sum = simd.add_f32s(*sum, *more);
                    }
                }
            }
        }
    }

    /// The products of one tile. `WHOLE`: it lies within the kernel.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const REGISTERS: usize, const WHOLE: bool>(
        &self,
        simd: S,
        tile: &mut [[S::f32s; REGISTERS]; ROWS],
        Place { images, pixels, tap, first }: Place<'_>,
    ) {
        let KernelGradient { table, input_pixels, output_pixels, groups, depth, width, .. } =
            *self.product;
        let (inputs, outputs) = (groups * depth, groups * width);
        let (from, to) = (self.group * depth + self.channel, self.group * width + first);
        let columns = self.tile.columns();
        let mut local = *tile;
        for image in images.clone() {
            let table = &table[tap * output_pixels..][pixels.clone()];
            let x = &self.x[image * input_pixels * inputs..][..input_pixels * inputs];
            let g = &self.g[(image * output_pixels + pixels.start) * outputs..];
            for (pixel, g) in table.iter().zip(g.chunks_exact(outputs)) {
                if *pixel == NONE {
                    continue;
                }
                let start = *pixel as usize * inputs + from;
                let mut factors = [simd.splat_f32s(0.0); REGISTERS];
                let mut part = [0.0; ROWS];
                let values = if WHOLE {
                    let (whole, _) = S::as_simd_f32s(&g[to..to + columns]);
                    let Some(whole) = whole.first_chunk::<REGISTERS>() else { continue };
                    let Some(values) = x[start..].first_chunk::<ROWS>() else { continue };
                    factors = *whole;
                    values
                } else {
                    let some = &g[to..to + columns.min(width - first)];
                    for (factor, some) in factors.iter_mut().zip(some.chunks(S::F32_LANES)) {
                        *factor = simd.partial_load_f32s(some);
                    }
                    let some = &x[start..start + ROWS.min(depth - self.channel)];
                    part[..some.len()].copy_from_slice(some);
                    &part
                };
                for (sums, value) in local.iter_mut().zip(values) {
                    let value = simd.splat_f32s(*value);
                    for (sum, factor) in sums.iter_mut().zip(&factors) {
                        *sum = simd.mul_add_e_f32s(value, *factor, *sum);
                    }
                }
            }
        }
        *tile = local;
    }
}

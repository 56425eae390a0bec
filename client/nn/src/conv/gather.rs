//! The product behind a convolution and its gradient for the input: every target pixel gathers
//! source pixels, one a tap, and multiplies their channels with the tap's matrix.
//!
//! No patches are copied: a table says which source pixel each tap of a target pixel meets, and
//! rows of the source are read where they lie (Dukhan, "The Indirect Convolution Algorithm",
//! 2019). That serves any stride, padding and dilation, and both directions: only the table
//! differs. A tile of pixels by channels is summed in registers over all taps and channels.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::lanes::Tile;
use super::window::NONE;

/// Channels of a row taken at a time, so that one bounds check serves several products.
const STEP: usize = 8;
/// Target pixels that one task computes; any number gives the same sums. A multiple of every
/// tile's rows.
const TASK: usize = 192;

/// `target[b, p, n] = sum over taps t, channels k of source[b, table[p, t], k] * matrix[t, k, n]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gather<'a> {
    /// `[target pixels][taps]`.
    pub(super) table: &'a [u32],
    pub(super) taps: usize,
    pub(super) source_pixels: usize,
    pub(super) target_pixels: usize,
    pub(super) groups: usize,
    /// Source channels a group.
    pub(super) depth: usize,
    /// Target channels a group.
    pub(super) width: usize,
}

/// A kernel as the product reads it: `[group][block of columns][tap][channel][column]`, the last
/// block of a group filled up with zeros.
#[derive(Debug)]
pub(super) struct Packed {
    values: Vec<f32>,
    tile: Tile,
}

/// Which side of the kernel `[o, c / groups, taps]` the source's channels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Source channels are `c`: the convolution.
    Forward,
    /// Source channels are `o`: the input's gradient.
    Backward,
}

impl Gather<'_> {
    fn blocks(&self, tile: Tile) -> usize {
        self.width.div_ceil(tile.columns())
    }

    pub(super) fn pack(&self, kernel: &[f32], direction: Direction) -> Packed {
        let tile = Tile::of(self.width);
        let (columns, blocks) = (tile.columns(), self.blocks(tile));
        let (taps, depth, width) = (self.taps, self.depth, self.width);
        let block = taps * depth * columns;
        let mut values = vec![0.0; self.groups * blocks * block];
        values.par_chunks_mut(block.max(1)).enumerate().for_each(|(index, packed)| {
            let (group, first) = (index / blocks, index % blocks * columns);
            let used = columns.min(width - first);
            let to = packed.chunks_exact_mut(columns);
            match direction {
                // A column's values are a row of the kernel: lines of all the rows stay in the
                // cache while their taps and channels are taken one after another.
                Direction::Forward => {
                    let rows = &kernel[(group * width + first) * depth * taps..];
                    for (at, packed) in to.enumerate() {
                        let (tap, channel) = (at / depth, at % depth);
                        let values = rows[channel * taps + tap..].iter().step_by(depth * taps);
                        packed.iter_mut().take(used).zip(values).for_each(|(to, of)| *to = *of);
                    }
                }
                Direction::Backward => {
                    for (at, packed) in to.enumerate() {
                        let (tap, channel) = (at / depth, at % depth);
                        let row = ((group * depth + channel) * width + first) * taps;
                        let values = kernel[row + tap..].iter().step_by(taps);
                        packed.iter_mut().take(used).zip(values).for_each(|(to, of)| *to = *of);
                    }
                }
            }
        });
        Packed { values, tile }
    }

    /// Writes every pixel of the target; `bias`, if any, is `[groups * width]`.
    pub(super) fn run(
        &self,
        source: &[f32],
        packed: &Packed,
        bias: Option<&[f32]>,
        target: &mut [f32],
    ) {
        let channels = self.groups * self.width;
        let zeros = vec![0.0; self.depth];
        let arch = Arch::new();
        target.par_chunks_mut((TASK * channels).max(1)).enumerate().for_each(|(index, target)| {
            arch.dispatch(Task {
                gather: self,
                source,
                packed,
                bias,
                zeros: &zeros,
                first: index * TASK,
                target,
            });
        });
    }
}

struct Task<'a> {
    gather: &'a Gather<'a>,
    source: &'a [f32],
    packed: &'a Packed,
    bias: Option<&'a [f32]>,
    zeros: &'a [f32],
    first: usize,
    target: &'a mut [f32],
}

/// The part of a kernel that a tile's source pixels are multiplied with.
#[derive(Clone, Copy)]
struct Factors<'a, V, const REGISTERS: usize> {
    /// The first source channel.
    channel: usize,
    panel: &'a [[V; REGISTERS]],
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.packed.tile.many, self.packed.tile.registers) {
            (true, 1) => self.tiles::<S, 24, 1>(simd),
            (true, _) => self.tiles::<S, 12, 2>(simd),
            (false, 1) => self.tiles::<S, 12, 1>(simd),
            (false, _) => self.tiles::<S, 6, 2>(simd),
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const ROWS: usize, const REGISTERS: usize>(self, simd: S) {
        let Gather { taps, depth, width, groups, .. } = *self.gather;
        let columns = self.packed.tile.columns();
        let channels = groups * width;
        let pixels = self.target.len() / channels;
        let block = taps * depth * columns;
        let blocks = self.gather.blocks(self.packed.tile);
        for index in 0..groups * blocks {
            let (group, first) = (index / blocks, index % blocks * columns);
            let used = columns.min(width - first);
            let column = group * width + first;
            let (panel, _) = S::as_simd_f32s(&self.packed.values[index * block..][..block]);
            let (panel, _) = panel.as_chunks::<REGISTERS>();
            let mut start = [simd.splat_f32s(0.0); REGISTERS];
            if let Some(bias) = self.bias {
                let bias = &bias[column..column + used];
                for (register, part) in start.iter_mut().zip(bias.chunks(S::F32_LANES)) {
                    *register = simd.partial_load_f32s(part);
                }
            }
            for first_row in (0..pixels).step_by(ROWS) {
                let rows = self.rows::<ROWS>(first_row, pixels);
                let mut sums = [start; ROWS];
                self.sum(simd, &mut sums, rows, Factors { channel: group * depth, panel });
                let outs = self.target[first_row * channels..].chunks_exact_mut(channels);
                for (sums, out) in sums.iter().zip(outs) {
                    let out = &mut out[column..column + used];
                    for (sum, part) in sums.iter().zip(out.chunks_mut(S::F32_LANES)) {
                        match S::as_mut_simd_f32s(part) {
                            ([whole], _) => *whole = *sum,
                            _ => simd.partial_store_f32s(part, *sum),
                        }
                    }
                }
            }
        }
    }

    /// For each row of a tile its image's first source pixel and its row of the table; `None`
    /// beyond the last pixel.
    #[inline(always)]
    fn rows<const ROWS: usize>(
        &self,
        first: usize,
        pixels: usize,
    ) -> [Option<(usize, &[u32])>; ROWS] {
        let Gather { table, taps, source_pixels, target_pixels, .. } = *self.gather;
        let mut image = (self.first + first) / target_pixels;
        let mut pixel = (self.first + first) % target_pixels;
        let mut rows = [None; ROWS];
        for row in rows.iter_mut().take(pixels - first) {
            *row = Some((image * source_pixels, &table[pixel * taps..(pixel + 1) * taps]));
            pixel += 1;
            if pixel == target_pixels {
                (image, pixel) = (image + 1, 0);
            }
        }
        rows
    }

    /// Adds all products of a tile.
    #[inline(always)]
    fn sum<S: Simd, const ROWS: usize, const REGISTERS: usize>(
        &self,
        simd: S,
        sums: &mut [[S::f32s; REGISTERS]; ROWS],
        rows: [Option<(usize, &[u32])>; ROWS],
        Factors { channel, panel }: Factors<'_, S::f32s, REGISTERS>,
    ) {
        let Gather { depth, groups, .. } = *self.gather;
        let channels = groups * depth;
        let mut local = *sums;
        for (tap, panel) in panel.chunks_exact(depth).enumerate() {
            let mut sources = [self.zeros; ROWS];
            for (source, row) in sources.iter_mut().zip(&rows) {
                if let Some((image, table)) = row {
                    let pixel = table[tap];
                    if pixel != NONE {
                        let start = (image + pixel as usize) * channels + channel;
                        *source = &self.source[start..start + depth];
                    }
                }
            }
            multiply(simd, &mut local, &sources, panel);
        }
        *sums = local;
    }
}

/// Adds the products of a tile's rows of source channels and a panel of the kernel.
#[inline(always)]
pub(super) fn multiply<S: Simd, const ROWS: usize, const REGISTERS: usize>(
    simd: S,
    sums: &mut [[S::f32s; REGISTERS]; ROWS],
    sources: &[&[f32]; ROWS],
    panel: &[[S::f32s; REGISTERS]],
) {
    let mut local = *sums;
    let (steps, rest) = panel.as_chunks::<STEP>();
    for (step, factors) in steps.iter().enumerate() {
        let mut values = [&[0.0; STEP]; ROWS];
        for (values, source) in values.iter_mut().zip(sources) {
            let (chunks, _) = source.as_chunks::<STEP>();
            *values = &chunks[step];
        }
        for pair in 0..STEP / 2 {
            for (sums, values) in local.iter_mut().zip(&values) {
                for k in [2 * pair, 2 * pair + 1] {
                    let value = simd.splat_f32s(values[k]);
                    for (sum, factor) in sums.iter_mut().zip(&factors[k]) {
                        *sum = simd.mul_add_e_f32s(value, *factor, *sum);
                    }
                }
            }
        }
    }
    for (k, factors) in (steps.len() * STEP..).zip(rest) {
        for (sums, source) in local.iter_mut().zip(sources) {
            let value = simd.splat_f32s(source[k]);
            for (sum, factor) in sums.iter_mut().zip(factors) {
                *sum = simd.mul_add_e_f32s(value, *factor, *sum);
            }
        }
    }
    *sums = local;
}

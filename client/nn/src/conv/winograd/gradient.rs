//! The gradient of a 3x3 kernel: `G^T (sum over tiles of (B^T d B) * (A e A^T)) G`, with `d` a tile's
//! inputs and `e` the gradients of its outputs. It is the adjoint of the convolution's steps.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::super::kernel_gradient::Order;
use super::super::lanes::Tile;
use super::matrices::{KernelAdjoint, square};
use super::transform::{input_points, output_adjoint_points};
use super::{GAP, IN, POINTS, Planes, Tiles, tiles_of_task};
use crate::buffer::Buffer;
use crate::vector::Float;

/// The gradient of a kernel `[width, depth, 3, 3]`.
#[derive(Clone, Copy)]
pub(in super::super) struct Gradient<'a> {
    pub(in super::super) tiles: Tiles,
    /// Input channels.
    pub(in super::super) depth: usize,
    /// Output channels.
    pub(in super::super) width: usize,
    pub(in super::super) x: &'a [f32],
    pub(in super::super) g: &'a [f32],
}

impl WithSimd for Gradient<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        self.run(simd)
    }
}

/// Sizes that follow.
#[derive(Clone, Copy)]
struct Sizes {
    tile: Tile,
    /// Input channels of a block.
    rows: usize,
    /// Input and output channels in whole blocks.
    depth: usize,
    width: usize,
}

impl Gradient<'_> {
    /// The gradient, `[o, c, 9]`.
    pub(super) fn run<S: Simd>(self, simd: S) -> Vec<f32> {
        let Self { depth, width, .. } = self;
        let (sums, Sizes { rows, width: padded, .. }) = self.sums(simd);
        Order { taps: 9, groups: 1, depth, width, rows, padded }.kernel(&sums)
    }

    /// `[block of input channels][tap][input channel][output channel]`, the blocks filled up.
    fn sums<S: Simd>(self, simd: S) -> (Vec<f32>, Sizes) {
        let tile = Tile::of_unit::<S>(self.width);
        let rows = tile.gradient_rows();
        let sizes = Sizes {
            tile,
            rows,
            depth: self.depth.next_multiple_of(rows),
            width: self.width.next_multiple_of(tile.columns()),
        };
        let (h, w) = self.tiles.output;
        let count = self.g.len() / (h * w * self.width).max(1) * self.tiles.each();
        let step = tiles_of_task(sizes.depth + sizes.width, 48);
        let mut sums = vec![0.0; sizes.depth * 9 * sizes.width];
        let blocks = sums.par_chunks_mut(9 * rows * sizes.width).enumerate();
        if count <= step {
            let points = self.points(simd, sizes, 0..count);
            // A block's sums go no further than the cache.
            blocks.for_each(|(index, sums)| {
                let mut slab = Buffer::of(sizes.slab());
                let product = Block { sizes, points: &points, index, slab: &mut slab };
                simd.vectorize(Multiply { product, anew: true });
                simd.vectorize(Finish { sizes, slab: &slab, sums });
            });
            return (sums, sizes);
        }
        let mut slabs = Buffer::of(sizes.depth / rows * sizes.slab());
        for first in (0..count).step_by(step) {
            let points = self.points(simd, sizes, first..(first + step).min(count));
            slabs.par_chunks_mut(sizes.slab()).enumerate().for_each(|(index, slab)| {
                let product = Block { sizes, points: &points, index, slab };
                simd.vectorize(Multiply { product, anew: first == 0 });
            });
        }
        blocks.zip(slabs.par_chunks(sizes.slab())).for_each(|((_, sums), slab)| {
            simd.vectorize(Finish { sizes, slab, sums });
        });
        (sums, sizes)
    }

    /// The transformed tiles of inputs and of gradients.
    fn points<S: Simd>(&self, simd: S, sizes: Sizes, range: Range<usize>) -> Points {
        let count = range.len();
        let (x, g) = (Planes::of(count, sizes.depth), Planes::of(count, sizes.width));
        let (mut of_x, mut of_g) = (Buffer::of(x.len()), Buffer::of(g.len()));
        // What fills up the last block adds nothing.
        if sizes.depth > self.depth {
            of_x.fill(0.0);
        }
        if sizes.width > self.width {
            of_g.fill(0.0);
        }
        let tiles = &self.tiles;
        let inputs = Inputs { tiles, x: self.x, channels: self.depth, range: range.clone() };
        let outputs = Inputs { tiles, x: self.g, channels: self.width, range };
        rayon::join(
            || simd.vectorize(TransformInputs(inputs, &mut of_x, x)),
            || simd.vectorize(TransformOutputs(outputs, &mut of_g, g)),
        );
        Points { count, x: (of_x, x), g: (of_g, g) }
    }
}

impl Sizes {
    fn plane(&self) -> usize {
        self.rows * self.width + GAP
    }

    /// Values of a block's sums at all points.
    fn slab(&self) -> usize {
        POINTS * self.plane()
    }
}

/// Transformed tiles.
struct Points {
    count: usize,
    x: (Buffer<f32>, Planes),
    g: (Buffer<f32>, Planes),
}

struct Inputs<'a> {
    tiles: &'a Tiles,
    x: &'a [f32],
    channels: usize,
    range: Range<usize>,
}

struct TransformInputs<'a>(Inputs<'a>, &'a mut [f32], Planes);

impl WithSimd for TransformInputs<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(Inputs { tiles, x, channels, range }, points, planes) = self;
        input_points(simd, tiles, (x, channels), range, (points, planes));
    }
}

struct TransformOutputs<'a>(Inputs<'a>, &'a mut [f32], Planes);

impl WithSimd for TransformOutputs<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(Inputs { tiles, x, channels, range }, points, planes) = self;
        output_adjoint_points(simd, tiles, (x, channels), range, (points, planes));
    }
}

/// The products of one block of input channels with all output channels.
struct Block<'a> {
    sizes: Sizes,
    points: &'a Points,
    index: usize,
    /// `[point][input channel][output channel]`.
    slab: &'a mut [f32],
}

struct Multiply<'a> {
    product: Block<'a>,
    /// Whether the sums begin here.
    anew: bool,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let tile = self.product.sizes.tile;
        match (tile.many, tile.registers) {
            (true, 1) => self.run::<S, 16, 1>(simd),
            (true, _) => self.run::<S, 8, 2>(simd),
            (false, 1) => self.run::<S, 8, 1>(simd),
            (false, _) => self.run::<S, 4, 2>(simd),
        }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn run<S: Simd, const ROWS: usize, const REGISTERS: usize>(self, simd: S) {
        let Block { sizes, points, index, slab } = self.product;
        let Points { count, x: (x, of_x), g: (g, of_g) } = points;
        let columns = sizes.tile.columns();
        let x = x.chunks_exact(of_x.plane).zip(g.chunks_exact(of_g.plane));
        for ((x, g), slab) in x.zip(slab.chunks_exact_mut(sizes.plane())) {
            let x = &x[index * ROWS..];
            for first in (0..sizes.width).step_by(columns) {
                let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; ROWS];
                let rows = x.chunks(of_x.channels).zip(g.chunks_exact(of_g.channels));
                for (x, g) in rows.take(*count) {
                    let (factors, _) = S::as_simd_f32s(&g[first..first + columns]);
                    let Some(factors) = factors.first_chunk::<REGISTERS>() else { continue };
                    let Some(values) = x.first_chunk::<ROWS>() else { continue };
                    for (sums, value) in sums.iter_mut().zip(values) {
                        let value = simd.splat_f32s(*value);
                        for (sum, factor) in sums.iter_mut().zip(factors) {
                            *sum = simd.mul_add_e_f32s(value, *factor, *sum);
                        }
                    }
                }
                for (sums, slab) in sums.iter().zip(slab.chunks_exact_mut(sizes.width)) {
                    let (slab, _) = S::as_mut_simd_f32s(&mut slab[first..first + columns]);
                    for (slab, sum) in slab.iter_mut().zip(sums) {
                        *slab = if self.anew { *sum } else { simd.add_f32s(*slab, *sum) };
                    }
                }
            }
        }
    }
}

/// From the points to the taps.
struct Finish<'a> {
    sizes: Sizes,
    slab: &'a [f32],
    /// `[tap][input channel][output channel]`.
    sums: &'a mut [f32],
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sizes, slab, sums } = self;
        let zero = simd.splat_f32s(0.0);
        let block = sizes.rows * sizes.width;
        for first in (0..block).step_by(S::F32_LANES) {
            let here = first..first + S::F32_LANES;
            let mut u = [[zero; IN]; IN];
            let planes = slab.chunks_exact(sizes.plane());
            for (u, plane) in u.as_flattened_mut().iter_mut().zip(planes) {
                *u = f32::load(simd, &plane[here.clone()]);
            }
            let found = square(simd, KernelAdjoint, u);
            for (found, sums) in found.as_flattened().iter().zip(sums.chunks_exact_mut(block)) {
                f32::write(simd, *found, &mut sums[here.clone()]);
            }
        }
    }
}

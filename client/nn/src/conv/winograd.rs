//! Winograd's algorithm for 3x3 kernels at stride 1: a quarter of the multiplications.
//!
//! `F(4x4, 3x3)` (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016): a tile
//! of 4x4 outputs comes from 6x6 inputs. With `d` the inputs, `g` the kernel and constant matrices
//! `A`, `B`, `G` it is `A^T ((G g G^T) * (B^T d B)) A`, `*` value by value: 36 products where the
//! definition has 144. Summed over channels, the products are 36 products of matrices, one for each
//! point of the transformed tile. The input's gradient is the same with the kernel turned round;
//! the kernel's gradient is the adjoint ([`gradient`]).
//!
//! Tiles are transformed some at a time, few enough that what lies between stays in the second-level
//! cache. Rounding errors are some ten times those of the direct sums, which is what the tests bound.

mod gradient;
mod kernel;
mod matrices;
mod product;
#[cfg(test)]
mod tests;
mod transform;

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::gather::Direction;
use super::lanes::Tile;
use super::window::Window;
use crate::buffer::Buffer;
pub(super) use gradient::Gradient;
use kernel::Pack;
use product::Multiply;
use transform::{Target, from_points, input_points};

/// Outputs of a tile's side.
const OUT: usize = 4;
/// Inputs of a tile's side.
const IN: usize = 6;
/// Values of a transformed tile.
const POINTS: usize = IN * IN;
/// Between the planes of two points, so that their lines do not fall onto each other in the cache.
const GAP: usize = 16;
/// Values of a task's transformed tiles, of source and target together: half a megabyte.
const TASK: usize = 1 << 17;

/// How a convolution falls into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    input: (usize, usize),
    output: (usize, usize),
    padding: usize,
}

impl Tiles {
    /// `None` where the algorithm does not serve: other kernels than 3x3 of neighbours, strides, and
    /// sides of which tiles would leave half unused.
    pub(super) fn of(window: &Window) -> Option<Self> {
        let (input, output) = (window.input, window.output);
        let padding = window.padding_of_three()?;
        let tiles = Self { input, output, padding };
        (2 * output.0 * output.1 >= tiles.each() * OUT * OUT).then_some(tiles)
    }

    /// Those of the input's gradient.
    pub(super) fn turned(&self) -> Self {
        Self { input: self.output, output: self.input, padding: IN - OUT - self.padding }
    }

    fn across(&self) -> usize {
        self.output.1.div_ceil(OUT)
    }

    fn down(&self) -> usize {
        self.output.0.div_ceil(OUT)
    }

    /// Tiles of an image.
    fn each(&self) -> usize {
        self.across() * self.down()
    }

    /// A tile's image, row and column of outputs.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (image, tile) = (tile / self.each(), tile % self.each());
        (image, tile / self.across() * OUT, tile % self.across() * OUT)
    }

    /// The first pixel that a tile's outputs see, if none lies in the padding.
    fn inside(&self, tile: usize) -> Option<usize> {
        let (image, y, x) = self.place(tile);
        let (h, w) = self.input;
        let (y, x) = (y.checked_sub(self.padding)?, x.checked_sub(self.padding)?);
        (y + IN <= h && x + IN <= w).then_some((image * h + y) * w + x)
    }

    /// The 6x6 pixels that a tile's outputs see, as rows of channels; `outside` for the padding.
    #[inline(always)]
    fn seen<'a>(
        &self,
        tile: usize,
        x: &'a [f32],
        (channels, outside): (usize, &'a [f32]),
    ) -> [[&'a [f32]; IN]; IN] {
        let (image, y, x_first) = self.place(tile);
        let (h, w) = self.input;
        let image = &x[image * h * w * channels..][..h * w * channels];
        let mut seen = [[outside; IN]; IN];
        for (i, seen) in seen.iter_mut().enumerate() {
            let Some(row) = (y + i).checked_sub(self.padding).filter(|row| *row < h) else {
                continue;
            };
            let row = &image[row * w * channels..][..w * channels];
            for (j, seen) in seen.iter_mut().enumerate() {
                if let Some(at) = (x_first + j).checked_sub(self.padding)
                    && at < w
                {
                    *seen = &row[at * channels..][..channels];
                }
            }
        }
        seen
    }
}

/// How many tiles a task takes, for so many channels of source and target together.
fn tiles_of_task(channels: usize, least: usize) -> usize {
    (TASK / (POINTS * channels)).clamp(least, 96)
}

/// `target[b, y, x, n] = bias[n] + sum over channels k, taps i, j of
/// source[b, y + i - padding, x + j - padding, k] * kernel[k, n, i, j]`.
#[derive(Clone, Copy)]
pub(super) struct Winograd<'a> {
    pub(super) tiles: Tiles,
    /// Source channels.
    pub(super) depth: usize,
    /// Target channels.
    pub(super) width: usize,
    pub(super) source: &'a [f32],
    pub(super) kernel: &'a [f32],
    pub(super) direction: Direction,
    pub(super) bias: Option<&'a [f32]>,
}

/// A convolution and where it goes: every value is written.
pub(super) struct Into<'a>(pub(super) Winograd<'a>, pub(super) &'a mut [f32]);

impl WithSimd for Into<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.run(simd, self.1);
    }
}

impl Winograd<'_> {
    fn run<S: Simd>(self, simd: S, target: &mut [f32]) {
        let Self { tiles, depth, width, .. } = self;
        let tile = Tile::of_unit::<S>(width);
        let (h, w) = tiles.output;
        let (line, image) = (OUT * w * width, h * w * width);
        let images = target.len() / image.max(1);
        let sizes = Sizes { tile, depth, blocks: width.div_ceil(tile.columns()) };
        let count = images * tiles.each();
        if count <= tiles_of_task(depth + width, 24) {
            return self.few(simd, sizes, target);
        }
        let mut packed = Buffer::of(sizes.blocks * sizes.factors());
        packed.par_chunks_mut(sizes.factors()).enumerate().for_each(|(index, packed)| {
            simd.vectorize(Pack { of: &self, tile, index, packed });
        });
        let packed = &*packed;
        // Several whole images, or some lines of tiles of one.
        let each = tiles_of_task(depth + width, 24);
        let images = (each / tiles.each()).max(1);
        let lines = (each / tiles.across()).clamp(1, tiles.down());
        let part = if tiles.each() > each { lines * line } else { images * image };
        target.par_chunks_mut(images * image).enumerate().for_each(|(chunk, target)| {
            target.par_chunks_mut(part).enumerate().for_each(|(index, target)| {
                let pixel = chunk * images * h * w + index * part / width;
                let first = chunk * images * tiles.each() + index * lines * tiles.across();
                let whole = target.len() / image * tiles.each();
                let rest = (target.len() % image).div_ceil(line) * tiles.across();
                let range = first..first + whole + rest;
                let part = Part { winograd: &self, sizes, range, pixel };
                simd.vectorize(Task { part, packed, target });
            });
        });
    }

    /// The same where there are few tiles for many channels: a block's factors are used while they
    /// are in the cache.
    fn few<S: Simd>(&self, simd: S, sizes: Sizes, target: &mut [f32]) {
        let Self { tiles, width, .. } = *self;
        let count = target.len() / (tiles.output.0 * tiles.output.1 * width).max(1) * tiles.each();
        let part = Part { winograd: self, sizes, range: 0..count, pixel: 0 };
        let from = Planes::of(count, sizes.depth);
        let to = Planes::of(count, sizes.tile.columns());
        let mut of_source = Buffer::of(from.len());
        let mut of_target = Buffer::of(sizes.blocks * to.len());
        simd.vectorize(Transform { part: &part, points: &mut of_source });
        let blocks = of_target.par_chunks_mut(to.len()).enumerate();
        blocks.for_each(|(index, of_target)| {
            let mut packed = Buffer::of(sizes.factors());
            simd.vectorize(Pack { of: self, tile: sizes.tile, index, packed: &mut packed });
            let points = (&*of_source, of_target);
            simd.vectorize(Multiply { sizes, count, packed: &packed, points });
        });
        simd.vectorize(TransformBack { part: &part, points: &of_target, target });
    }
}

/// Sizes of the products.
#[derive(Clone, Copy)]
struct Sizes {
    tile: Tile,
    depth: usize,
    /// Blocks of a tile's columns.
    blocks: usize,
}

impl Sizes {
    /// Values of a point's factors in a block.
    fn panel(&self) -> usize {
        self.depth * self.tile.columns() + GAP
    }

    /// Values of a block's factors.
    fn factors(&self) -> usize {
        POINTS * self.panel()
    }
}

/// Some of the tiles.
struct Part<'a> {
    winograd: &'a Winograd<'a>,
    sizes: Sizes,
    range: Range<usize>,
    /// The first pixel of what is written.
    pixel: usize,
}

/// Rows of a point's plane of transformed tiles, `[tiles][channels]`.
#[derive(Clone, Copy)]
struct Planes {
    channels: usize,
    plane: usize,
}

impl Planes {
    fn of(tiles: usize, channels: usize) -> Self {
        Self { channels, plane: tiles * channels + GAP }
    }

    fn len(&self) -> usize {
        POINTS * self.plane
    }
}

/// All steps for some tiles.
struct Task<'a> {
    part: Part<'a>,
    packed: &'a [f32],
    target: &'a mut [f32],
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { part, packed, target } = self;
        let (sizes, count) = (part.sizes, part.range.len());
        let from = Planes::of(count, sizes.depth);
        let to = Planes::of(count, sizes.tile.columns());
        let mut of_source = Buffer::of(from.len());
        let mut of_target = Buffer::of(sizes.blocks * to.len());
        Transform { part: &part, points: &mut of_source }.with_simd(simd);
        let blocks = of_target.chunks_exact_mut(to.len());
        for (packed, of_target) in packed.chunks_exact(sizes.factors()).zip(blocks) {
            let points = (&*of_source, of_target);
            Multiply { sizes, count, packed, points }.with_simd(simd);
        }
        TransformBack { part: &part, points: &of_target, target }.with_simd(simd);
    }
}

struct Transform<'a> {
    part: &'a Part<'a>,
    points: &'a mut [f32],
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Part { winograd, sizes, range, .. } = self.part;
        let planes = Planes::of(range.len(), sizes.depth);
        let from = (winograd.source, sizes.depth);
        input_points(simd, &winograd.tiles, from, range.clone(), (self.points, planes));
    }
}

struct TransformBack<'a> {
    part: &'a Part<'a>,
    points: &'a [f32],
    target: &'a mut [f32],
}

impl WithSimd for TransformBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Part { winograd, sizes, range, pixel } = self.part;
        let Winograd { tiles, width, bias, .. } = **winograd;
        let columns = sizes.tile.columns();
        let planes = Planes::of(range.len(), columns);
        let (h, w) = tiles.output;
        for (index, tile) in range.clone().enumerate() {
            let (image, y, x) = tiles.place(tile);
            let at = (image * h + y) * w + x - pixel;
            let sides = (OUT.min(h - y), OUT.min(w - x));
            for (block, points) in self.points.chunks_exact(planes.len()).enumerate() {
                let channels = block * columns..width.min((block + 1) * columns);
                let target = Target { values: &mut self.target[at * width..], w, width, sides };
                from_points(simd, (points, planes, index), bias, (target, channels));
            }
        }
    }
}

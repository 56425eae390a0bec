//! Tiles to points and back.

use std::ops::Range;

use pulp::Simd;

use super::matrices::{Input, Output, OutputAdjoint, square};
use super::{IN, OUT, Planes, Tiles};

/// A register of `count` values, which are all of it if it is to be `WHOLE`.
#[inline(always)]
fn read<S: Simd, const WHOLE: bool>(simd: S, values: &[f32], at: usize, count: usize) -> S::f32s {
    let count = if WHOLE { S::F32_LANES } else { count };
    match S::as_simd_f32s(&values[at..at + count]) {
        ([whole], _) => *whole,
        (_, part) => simd.partial_load_f32s(part),
    }
}

/// The reverse of [`read`].
#[inline(always)]
fn write<S: Simd, const WHOLE: bool>(
    simd: S,
    lanes: S::f32s,
    values: &mut [f32],
    (at, count): (usize, usize),
) {
    let count = if WHOLE { S::F32_LANES } else { count };
    match S::as_mut_simd_f32s(&mut values[at..at + count]) {
        ([whole], _) => *whole = lanes,
        (_, part) => simd.partial_store_f32s(part, lanes),
    }
}

/// Writes `B^T d B` of some tiles, an image's channels being `x`'s.
#[inline(always)]
pub(super) fn input_points<S: Simd>(
    simd: S,
    tiles: &Tiles,
    (x, channels): (&[f32], usize),
    range: Range<usize>,
    (points, planes): (&mut [f32], Planes),
) {
    let zeros = vec![0.0; channels];
    let line = tiles.input.1 * channels;
    for (index, tile) in range.enumerate() {
        let at = index * planes.channels;
        let seen = match tiles.inside(tile) {
            Some(pixel) => Seen::Inside(&x[pixel * channels..], line),
            None => Seen::Edge(tiles.seen(tile, x, (channels, &zeros))),
        };
        for first in (0..channels).step_by(S::F32_LANES) {
            let count = S::F32_LANES.min(channels - first);
            let to = (&mut *points, planes, at + first);
            if count == S::F32_LANES {
                seen.transform::<S, true>(simd, channels, (first, count), to);
            } else {
                seen.transform::<S, false>(simd, channels, (first, count), to);
            }
        }
    }
}

/// The pixels that a tile's outputs see.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, on the stack")]
enum Seen<'a> {
    /// Values from the first pixel's on, and how many there are in a line.
    Inside(&'a [f32], usize),
    /// Each pixel.
    Edge([[&'a [f32]; IN]; IN]),
}

impl Seen<'_> {
    #[inline(always)]
    fn transform<S: Simd, const WHOLE: bool>(
        &self,
        simd: S,
        channels: usize,
        (first, count): (usize, usize),
        to: (&mut [f32], Planes, usize),
    ) {
        let mut d = [[simd.splat_f32s(0.0); IN]; IN];
        match self {
            Self::Inside(x, line) => {
                for (i, d) in d.iter_mut().enumerate() {
                    let row = &x[i * line..][..IN * channels];
                    for (j, d) in d.iter_mut().enumerate() {
                        *d = read::<S, WHOLE>(simd, row, j * channels + first, count);
                    }
                }
            }
            Self::Edge(pixels) => {
                for (d, pixel) in d.as_flattened_mut().iter_mut().zip(pixels.as_flattened()) {
                    *d = read::<S, WHOLE>(simd, pixel, first, count);
                }
            }
        }
        put::<S, WHOLE>(simd, &square(simd, Input, d), to, count);
    }
}

/// Writes `A g A^T` of some tiles of the gradient `g` of the outputs.
#[inline(always)]
pub(super) fn output_adjoint_points<S: Simd>(
    simd: S,
    tiles: &Tiles,
    (g, channels): (&[f32], usize),
    range: Range<usize>,
    (points, planes): (&mut [f32], Planes),
) {
    let (h, w) = tiles.output;
    for (index, tile) in range.enumerate() {
        let (image, y, x) = tiles.place(tile);
        let g = &g[((image * h + y) * w + x) * channels..];
        let sides = (OUT.min(h - y), OUT.min(w - x));
        let gradient = Outputs { g, line: w * channels, channels, sides };
        let at = index * planes.channels;
        for first in (0..channels).step_by(S::F32_LANES) {
            let count = S::F32_LANES.min(channels - first);
            let to = (&mut *points, planes, at + first);
            if count == S::F32_LANES {
                gradient.transform::<S, true>(simd, (first, count), to);
            } else {
                gradient.transform::<S, false>(simd, (first, count), to);
            }
        }
    }
}

/// The gradients of a tile's outputs.
struct Outputs<'a> {
    g: &'a [f32],
    line: usize,
    channels: usize,
    sides: (usize, usize),
}

impl Outputs<'_> {
    #[inline(always)]
    fn transform<S: Simd, const WHOLE: bool>(
        &self,
        simd: S,
        (first, count): (usize, usize),
        to: (&mut [f32], Planes, usize),
    ) {
        let Self { g, line, channels, sides } = *self;
        let mut values = [[simd.splat_f32s(0.0); OUT]; OUT];
        for (i, values) in values.iter_mut().enumerate() {
            for (j, value) in values.iter_mut().enumerate() {
                if i < sides.0 && j < sides.1 {
                    *value = read::<S, WHOLE>(simd, g, i * line + j * channels + first, count);
                }
            }
        }
        put::<S, WHOLE>(simd, &square(simd, OutputAdjoint, values), to, count);
    }
}

/// Writes some channels of a transformed tile, a value to each plane.
#[inline(always)]
fn put<S: Simd, const WHOLE: bool>(
    simd: S,
    found: &[[S::f32s; IN]; IN],
    (points, planes, at): (&mut [f32], Planes, usize),
    count: usize,
) {
    let planes = points.chunks_exact_mut(planes.plane);
    for (found, plane) in found.as_flattened().iter().zip(planes) {
        write::<S, WHOLE>(simd, *found, plane, (at, count));
    }
}

/// Where a tile of outputs goes.
pub(super) struct Target<'a> {
    /// Values from its first on.
    pub(super) values: &'a mut [f32],
    /// Pixels of a line, and channels of a pixel.
    pub(super) w: usize,
    pub(super) width: usize,
    /// Rows and columns that there are.
    pub(super) sides: (usize, usize),
}

/// Writes `A^T m A + bias` of the tile of this index to some of the target's channels, those of the
/// planes.
#[inline(always)]
pub(super) fn from_points<S: Simd>(
    simd: S,
    (points, planes, index): (&[f32], Planes, usize),
    bias: Option<&[f32]>,
    (mut target, channels): (Target<'_>, Range<usize>),
) {
    let zero = simd.splat_f32s(0.0);
    for first in channels.clone().step_by(S::F32_LANES) {
        let count = S::F32_LANES.min(channels.end - first);
        let at = index * planes.channels + first - channels.start;
        let mut m = [[zero; IN]; IN];
        let values = points.chunks_exact(planes.plane);
        for (m, plane) in m.as_flattened_mut().iter_mut().zip(values) {
            *m = read::<S, true>(simd, plane, at, S::F32_LANES);
        }
        let mut found = square(simd, Output, m);
        if let Some(bias) = bias {
            let bias = read::<S, false>(simd, bias, first, count);
            for value in found.as_flattened_mut() {
                *value = simd.add_f32s(*value, bias);
            }
        }
        if count == S::F32_LANES {
            target.write::<S, true>(simd, &found, (first, count));
        } else {
            target.write::<S, false>(simd, &found, (first, count));
        }
    }
}

impl Target<'_> {
    #[inline(always)]
    fn write<S: Simd, const WHOLE: bool>(
        &mut self,
        simd: S,
        found: &[[S::f32s; OUT]; OUT],
        (first, count): (usize, usize),
    ) {
        let Self { w, width, sides, .. } = *self;
        for (i, found) in found.iter().enumerate() {
            for (j, found) in found.iter().enumerate() {
                if i < sides.0 && j < sides.1 {
                    let at = ((i * w + j) * width + first, count);
                    write::<S, WHOLE>(simd, *found, self.values, at);
                }
            }
        }
    }
}

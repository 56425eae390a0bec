//! The constant matrices of `F(4x4, 3x3)` at the points 0, 1, -1, 2, -2 and infinity.
//!
//! Each function multiplies a vector of registers with a matrix; [`square`] does it from both sides.

use std::ops::Range;

use pulp::Simd;

use super::{IN, OUT, Planes, Tiles};

/// `B^T d`, of six inputs.
pub(super) struct Input;

impl Matrix<6, 6> for Input {
    #[inline(always)]
    fn times<S: Simd>(simd: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
        let (two, minus_two) = (simd.splat_f32s(2.0), simd.splat_f32s(-2.0));
        let (four, minus_four) = (simd.splat_f32s(4.0), simd.splat_f32s(-4.0));
        let minus_five = simd.splat_f32s(-5.0);
        let (even, odd) = (
            simd.mul_add_e_f32s(minus_four, d[2], d[4]),
            simd.mul_add_e_f32s(minus_four, d[1], d[3]),
        );
        let (outer, inner) = (simd.sub_f32s(d[4], d[2]), simd.sub_f32s(d[3], d[1]));
        [
            simd.mul_add_e_f32s(four, d[0], simd.mul_add_e_f32s(minus_five, d[2], d[4])),
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            simd.mul_add_e_f32s(two, inner, outer),
            simd.mul_add_e_f32s(minus_two, inner, outer),
            simd.mul_add_e_f32s(four, d[1], simd.mul_add_e_f32s(minus_five, d[3], d[5])),
        ]
    }
}

/// `A^T m`: four outputs.
pub(super) struct Output;

impl Matrix<6, 4> for Output {
    #[inline(always)]
    fn times<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
        let two = simd.splat_f32s(2.0);
        let four = simd.splat_f32s(4.0);
        let eight = simd.splat_f32s(8.0);
        let (s1, d1) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
        let (s2, d2) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
        [
            simd.add_f32s(simd.add_f32s(m[0], s1), s2),
            simd.mul_add_e_f32s(two, d2, d1),
            simd.mul_add_e_f32s(four, s2, s1),
            simd.mul_add_e_f32s(eight, d2, simd.add_f32s(d1, m[5])),
        ]
    }
}

/// `A g`, of the gradients of four outputs: the adjoint of [`Output`].
pub(super) struct OutputAdjoint;

impl Matrix<4, 6> for OutputAdjoint {
    #[inline(always)]
    fn times<S: Simd>(simd: S, g: [S::f32s; 4]) -> [S::f32s; 6] {
        let two = simd.splat_f32s(2.0);
        let four = simd.splat_f32s(4.0);
        let (even, odd) = (simd.add_f32s(g[0], g[2]), simd.add_f32s(g[1], g[3]));
        let (far_even, far_odd) =
            (simd.mul_add_e_f32s(four, g[2], g[0]), simd.mul_add_e_f32s(four, g[3], g[1]));
        [
            g[0],
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            simd.mul_add_e_f32s(two, far_odd, far_even),
            simd.mul_add_e_f32s(simd.neg_f32s(two), far_odd, far_even),
            g[3],
        ]
    }
}

/// `G g`, of three values of a kernel.
pub(super) struct Kernel;

impl Matrix<3, 6> for Kernel {
    #[inline(always)]
    fn times<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; 6] {
        let quarter = simd.splat_f32s(1.0 / 4.0);
        let sixth = simd.splat_f32s(1.0 / 6.0);
        let twelfth = simd.splat_f32s(1.0 / 12.0);
        let twenty_fourth = simd.splat_f32s(1.0 / 24.0);
        let minus_sixth = simd.neg_f32s(sixth);
        let (even, odd) = (
            simd.mul_f32s(minus_sixth, simd.add_f32s(g[0], g[2])),
            simd.mul_f32s(minus_sixth, g[1]),
        );
        let far_even = simd.mul_add_e_f32s(twenty_fourth, g[0], simd.mul_f32s(sixth, g[2]));
        let far_odd = simd.mul_f32s(twelfth, g[1]);
        [
            simd.mul_f32s(quarter, g[0]),
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            simd.add_f32s(far_even, far_odd),
            simd.sub_f32s(far_even, far_odd),
            g[2],
        ]
    }
}

/// `G^T u`: the adjoint of [`Kernel`].
pub(super) struct KernelAdjoint;

impl Matrix<6, 3> for KernelAdjoint {
    #[inline(always)]
    fn times<S: Simd>(simd: S, u: [S::f32s; 6]) -> [S::f32s; 3] {
        let quarter = simd.splat_f32s(1.0 / 4.0);
        let sixth = simd.splat_f32s(1.0 / 6.0);
        let twelfth = simd.splat_f32s(1.0 / 12.0);
        let twenty_fourth = simd.splat_f32s(1.0 / 24.0);
        let minus_sixth = simd.neg_f32s(sixth);
        let (s1, d1) = (simd.add_f32s(u[1], u[2]), simd.sub_f32s(u[1], u[2]));
        let (s2, d2) = (simd.add_f32s(u[3], u[4]), simd.sub_f32s(u[3], u[4]));
        let near = simd.mul_f32s(minus_sixth, s1);
        [
            simd.mul_add_e_f32s(quarter, u[0], simd.mul_add_e_f32s(twenty_fourth, s2, near)),
            simd.mul_add_e_f32s(twelfth, d2, simd.mul_f32s(minus_sixth, d1)),
            simd.add_f32s(simd.mul_add_e_f32s(sixth, s2, near), u[5]),
        ]
    }
}

/// A constant matrix.
///
/// Not a function handed over: what is not always inlined knows nothing of the vector unit.
pub(super) trait Matrix<const FROM: usize, const TO: usize> {
    /// Its product with a vector of registers.
    fn times<S: Simd>(simd: S, x: [S::f32s; FROM]) -> [S::f32s; TO];
}

/// `M x M^T`.
#[inline(always)]
pub(super) fn square<S: Simd, M: Matrix<FROM, TO>, const FROM: usize, const TO: usize>(
    simd: S,
    _: M,
    x: [[S::f32s; FROM]; FROM],
) -> [[S::f32s; TO]; TO] {
    let zero = simd.splat_f32s(0.0);
    let mut half = [[zero; FROM]; TO];
    for j in 0..FROM {
        let mut column = [zero; FROM];
        for i in 0..FROM {
            column[i] = x[i][j];
        }
        let column = M::times(simd, column);
        for i in 0..TO {
            half[i][j] = column[i];
        }
    }
    let mut found = [[zero; TO]; TO];
    for i in 0..TO {
        found[i] = M::times(simd, half[i]);
    }
    found
}

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

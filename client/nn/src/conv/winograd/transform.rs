//! The constant matrices of `F(4x4, 3x3)` at the points 0, 1, -1, 2, -2 and infinity.
//!
//! Each function multiplies a vector of registers with a matrix; [`square`] does it from both sides.

use std::ops::Range;

use pulp::Simd;

use super::{IN, OUT, Planes, Tiles};
use crate::vector::Float;

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
    let zero = simd.splat_f32s(0.0);
    for (index, tile) in range.enumerate() {
        let seen = tiles.seen(tile, x, (channels, &zeros));
        for first in (0..channels).step_by(S::F32_LANES) {
            let last = (first + S::F32_LANES).min(channels);
            let mut d = [[zero; IN]; IN];
            for i in 0..IN {
                for j in 0..IN {
                    d[i][j] = f32::load(simd, &seen[i][j][first..last]);
                }
            }
            let found = square(simd, Input, d);
            put(simd, &found, (points, planes, index), first..last);
        }
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
    let zero = simd.splat_f32s(0.0);
    let (h, w) = tiles.output;
    for (index, tile) in range.enumerate() {
        let (image, y, x) = tiles.place(tile);
        let (rows, columns) = (OUT.min(h - y), OUT.min(w - x));
        for first in (0..channels).step_by(S::F32_LANES) {
            let last = (first + S::F32_LANES).min(channels);
            let mut values = [[zero; OUT]; OUT];
            for (i, values) in values.iter_mut().enumerate().take(rows) {
                let row = ((image * h + y + i) * w + x) * channels;
                let row = g[row..].chunks_exact(channels);
                for (value, pixel) in values.iter_mut().zip(row).take(columns) {
                    *value = f32::load(simd, &pixel[first..last]);
                }
            }
            let found = square(simd, OutputAdjoint, values);
            put(simd, &found, (points, planes, index), first..last);
        }
    }
}

/// Writes some channels of a transformed tile, a value to each plane.
#[inline(always)]
fn put<S: Simd>(
    simd: S,
    found: &[[S::f32s; IN]; IN],
    (points, planes, index): (&mut [f32], Planes, usize),
    channels: Range<usize>,
) {
    let at = index * planes.channels + channels.start;
    let planes = points.chunks_exact_mut(planes.plane);
    for (found, plane) in found.as_flattened().iter().zip(planes) {
        f32::write(simd, *found, &mut plane[at..at + channels.len()]);
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
    (target, channels): (Target<'_>, Range<usize>),
) {
    let zero = simd.splat_f32s(0.0);
    let Target { values: target, w, width, sides } = target;
    for first in channels.clone().step_by(S::F32_LANES) {
        let last = (first + S::F32_LANES).min(channels.end);
        let at = index * planes.channels + first - channels.start;
        let mut m = [[zero; IN]; IN];
        let values = points.chunks_exact(planes.plane);
        for (m, plane) in m.as_flattened_mut().iter_mut().zip(values) {
            *m = f32::load(simd, &plane[at..at + S::F32_LANES]);
        }
        let found = square(simd, Output, m);
        let bias = match bias {
            Some(bias) => f32::load(simd, &bias[first..last]),
            None => zero,
        };
        for (i, found) in found.iter().enumerate().take(sides.0) {
            let pixels = target[i * w * width..].chunks_mut(width);
            for (found, pixel) in found.iter().zip(pixels).take(sides.1) {
                f32::write(simd, simd.add_f32s(*found, bias), &mut pixel[first..last]);
            }
        }
    }
}

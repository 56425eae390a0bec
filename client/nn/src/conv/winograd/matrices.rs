//! The constant matrices of `F(4x4, 3x3)` at the points 0, 1, -1, 2, -2 and infinity (Lavin and Gray).

use pulp::Simd;

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

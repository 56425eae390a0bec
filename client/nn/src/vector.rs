//! Vector units without unsafe code: registers of either floating-point type, and plain loops
//! compiled for several units and chosen when the program runs.

use candle_core::{CpuStorage, WithDType};
use pulp::{Arch, Simd, WithSimd};

use crate::buffer::Kept;

/// A floating-point type of the memory-bound operations, and its registers.
pub(crate) trait Float: WithDType + Default + Kept {
    /// A register.
    type Lanes<S: Simd>: Copy;

    /// The tensor library's storage of these values.
    fn store(values: Vec<Self>) -> CpuStorage;
    /// Values in a register.
    fn count<S: Simd>() -> usize;
    /// One value in every lane.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Lanes<S>;
    /// At most a register's values; zeros beyond them.
    fn load<S: Simd>(simd: S, values: &[Self]) -> Self::Lanes<S>;
    /// The first lanes to at most a register's values.
    fn write<S: Simd>(simd: S, lanes: Self::Lanes<S>, values: &mut [Self]);
    /// `a + b`.
    fn sum<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// `a - b`.
    fn difference<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// `a * b + c`.
    fn multiply_add<S: Simd>(
        simd: S,
        a: Self::Lanes<S>,
        b: Self::Lanes<S>,
        c: Self::Lanes<S>,
    ) -> Self::Lanes<S>;
    /// `value` where `a > b`, else 0.
    fn where_greater<S: Simd>(
        simd: S,
        a: Self::Lanes<S>,
        b: Self::Lanes<S>,
        value: Self::Lanes<S>,
    ) -> Self::Lanes<S>;
}

macro_rules! float {
    ($type:ident, $storage:ident, $lanes:ident, $count:ident, $splat:ident, $slice:ident,
     $slice_mut:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul_add:ident,
     $less:ident, $select:ident) => {
        impl Float for $type {
            type Lanes<S: Simd> = S::$lanes;

            fn store(values: Vec<Self>) -> CpuStorage {
                CpuStorage::$storage(values)
            }
            #[inline(always)]
            fn count<S: Simd>() -> usize {
                S::$count
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> S::$lanes {
                simd.$splat(value)
            }
            #[inline(always)]
            fn load<S: Simd>(simd: S, values: &[Self]) -> S::$lanes {
                match S::$slice(values) {
                    ([whole], _) => *whole,
                    _ => simd.$load(values),
                }
            }
            #[inline(always)]
            fn write<S: Simd>(simd: S, lanes: S::$lanes, values: &mut [Self]) {
                match S::$slice_mut(values) {
                    ([whole], _) => *whole = lanes,
                    _ => simd.$store(values, lanes),
                }
            }
            #[inline(always)]
            fn sum<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn difference<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$sub(a, b)
            }
            #[inline(always)]
            fn multiply_add<S: Simd>(
                simd: S,
                a: S::$lanes,
                b: S::$lanes,
                c: S::$lanes,
            ) -> S::$lanes {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn where_greater<S: Simd>(
                simd: S,
                a: S::$lanes,
                b: S::$lanes,
                value: S::$lanes,
            ) -> S::$lanes {
                simd.$select(simd.$less(b, a), value, simd.$splat(0.0))
            }
        }
    };
}

float!(
    f32,
    F32,
    f32s,
    F32_LANES,
    splat_f32s,
    as_simd_f32s,
    as_mut_simd_f32s,
    partial_load_f32s,
    partial_store_f32s,
    add_f32s,
    sub_f32s,
    mul_add_e_f32s,
    less_than_f32s,
    select_f32s
);
float!(
    f64,
    F64,
    f64s,
    F64_LANES,
    splat_f64s,
    as_simd_f64s,
    as_mut_simd_f64s,
    partial_load_f64s,
    partial_store_f64s,
    add_f64s,
    sub_f64s,
    mul_add_e_f64s,
    less_than_f64s,
    select_f64s
);

/// A loop as a value: plain code, inlined into functions compiled for AVX-512, for AVX2 and
/// portably.
pub(crate) trait Loop {
    /// What it computes.
    type Output;
    /// Runs it. Must be `#[inline(always)]`.
    fn run(self) -> Self::Output;
}

/// Runs the loop as compiled for the best unit that the processor has.
pub(crate) fn vectorized<L: Loop>(of: L) -> L::Output {
    struct Dispatched<L>(L);
    impl<L: Loop> WithSimd for Dispatched<L> {
        type Output = L::Output;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> L::Output {
            self.0.run()
        }
    }
    Arch::new().dispatch(Dispatched(of))
}

//! Loops compiled for several vector units, chosen when the program runs.

use pulp::{Arch, Simd, WithSimd};

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

/// A floating-point type of the memory-bound operations.
pub(crate) trait Float: candle_core::WithDType + Default {
    /// The tensor library's storage of these values.
    fn store(values: Vec<Self>) -> candle_core::CpuStorage;
}

impl Float for f32 {
    fn store(values: Vec<f32>) -> candle_core::CpuStorage {
        candle_core::CpuStorage::F32(values)
    }
}

impl Float for f64 {
    fn store(values: Vec<f64>) -> candle_core::CpuStorage {
        candle_core::CpuStorage::F64(values)
    }
}

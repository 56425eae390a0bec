//! Residues modulo q side by side: eight with AVX-512, four with AVX2, else one.

use ringfence_crypto::ring::params::MODULUS;

/// `2^64 mod q`, which is also `2^64 - q`.
pub(super) const EPSILON: u64 = 0xFFFF_FFFF;

/// Words of one vector unit and what it does to them, the same to each. No step depends on what
/// they hold.
pub(super) trait Lanes: Copy {
    /// Words side by side.
    const WIDTH: usize;
    type Words: Copy;

    /// The first words of a slice that has at least `WIDTH`.
    fn load(self, words: &[u64]) -> Self::Words;
    fn store(self, words: Self::Words, out: &mut [u64]);
    fn splat(self, word: u64) -> Self::Words;
    /// Modulo `2^64`, as the next one.
    fn wrapping_add(self, a: Self::Words, b: Self::Words) -> Self::Words;
    fn wrapping_sub(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// `words + EPSILON` where `a < b`, else `words`.
    fn add_epsilon_if_less(self, words: Self::Words, a: Self::Words, b: Self::Words)
    -> Self::Words;
    /// `words - EPSILON` where `a < b`, else `words`.
    fn sub_epsilon_if_less(self, words: Self::Words, a: Self::Words, b: Self::Words)
    -> Self::Words;
    /// Product of the lower halves.
    fn mul_low(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// For public `by < 64`.
    fn shl(self, words: Self::Words, by: u32) -> Self::Words;
    fn shr(self, words: Self::Words, by: u32) -> Self::Words;
    /// The lower halves of `low` below those of `high`.
    fn join_halves(self, low: Self::Words, high: Self::Words) -> Self::Words;
    /// Transposes the `WIDTH x WIDTH` matrix whose rows are the first `WIDTH` vectors.
    fn transpose(self, rows: &mut [Self::Words]);
}

/// Arithmetic modulo q. Words are residues of any size below `2^64` unless said to be *reduced*,
/// that is, below q. A sum of two words that needs a second correction would have to be at least
/// `2^65 - 2^32 + 1`, which takes two words above q; so one reduced operand is enough, and
/// likewise for the subtrahend of a difference.
pub(super) trait Residues: Lanes {
    /// The reduced residue.
    #[inline(always)]
    fn reduce(self, a: Self::Words) -> Self::Words {
        self.add_epsilon_if_less(a, self.splat(MODULUS - 1), a)
    }

    /// `a + b`, `b` reduced.
    #[inline(always)]
    fn add(self, a: Self::Words, b: Self::Words) -> Self::Words {
        let sum = self.wrapping_add(a, b);
        self.add_epsilon_if_less(sum, sum, b)
    }

    /// `a - b`, `b` reduced.
    #[inline(always)]
    fn sub(self, a: Self::Words, b: Self::Words) -> Self::Words {
        let difference = self.wrapping_sub(a, b);
        self.sub_epsilon_if_less(difference, a, b)
    }

    /// `a b`.
    #[inline(always)]
    fn mul(self, a: Self::Words, b: Self::Words) -> Self::Words {
        let (a_high, b_high) = (self.shr(a, 32), self.shr(b, 32));
        let low = self.mul_low(a, b);
        // Neither sum overflows: (2^32 - 1)^2 + 2 (2^32 - 1) = 2^64 - 1.
        let middle = self.wrapping_add(self.mul_low(a_high, b), self.shr(low, 32));
        let middle_low = self.shr(self.shl(middle, 32), 32);
        let other = self.wrapping_add(self.mul_low(a, b_high), middle_low);
        let high = self.wrapping_add(self.mul_low(a_high, b_high), self.shr(middle, 32));
        let high = self.wrapping_add(high, self.shr(other, 32));
        let low = self.join_halves(low, other);
        // 2^64 = EPSILON and 2^96 = -1.
        let difference = self.sub(low, self.shr(high, 32));
        self.add(difference, self.mul_low(high, self.splat(EPSILON)))
    }

    /// `a 2^by` for a public `by < 96`.
    #[inline(always)]
    fn mul_power_of_two(self, a: Self::Words, by: u32) -> Self::Words {
        // What is shifted out is a multiple of 2^64 (its lower half: EPSILON) and of 2^96 (-1).
        let epsilon = self.splat(EPSILON);
        match by {
            0 => a,
            1..=32 => {
                let above = self.mul_low(self.shr(a, 64 - by), epsilon);
                self.add(self.shl(a, by), above)
            }
            33..=63 => {
                let above = self.mul_low(self.shr(a, 64 - by), epsilon);
                let sum = self.add(self.shl(a, by), above);
                self.sub(sum, self.shr(a, 96 - by))
            }
            _ => {
                let above = self.mul_low(self.shl(a, by - 64), epsilon);
                self.sub(above, self.shr(a, 96 - by))
            }
        }
    }
}

impl<L: Lanes> Residues for L {}

/// One word at a time.
#[derive(Clone, Copy)]
pub(super) struct Scalar;

impl Lanes for Scalar {
    const WIDTH: usize = 1;
    type Words = u64;

    #[inline(always)]
    fn load(self, words: &[u64]) -> u64 {
        words[0]
    }
    #[inline(always)]
    fn store(self, words: u64, out: &mut [u64]) {
        out[0] = words;
    }
    #[inline(always)]
    fn splat(self, word: u64) -> u64 {
        word
    }
    #[inline(always)]
    fn wrapping_add(self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn wrapping_sub(self, a: u64, b: u64) -> u64 {
        a.wrapping_sub(b)
    }
    #[inline(always)]
    fn add_epsilon_if_less(self, words: u64, a: u64, b: u64) -> u64 {
        words.wrapping_add(EPSILON & u64::from(a < b).wrapping_neg())
    }
    #[inline(always)]
    fn sub_epsilon_if_less(self, words: u64, a: u64, b: u64) -> u64 {
        words.wrapping_sub(EPSILON & u64::from(a < b).wrapping_neg())
    }
    #[inline(always)]
    fn mul_low(self, a: u64, b: u64) -> u64 {
        (a & EPSILON) * (b & EPSILON)
    }
    #[inline(always)]
    fn shl(self, words: u64, by: u32) -> u64 {
        words << by
    }
    #[inline(always)]
    fn shr(self, words: u64, by: u32) -> u64 {
        words >> by
    }
    #[inline(always)]
    fn join_halves(self, low: u64, high: u64) -> u64 {
        low & EPSILON | high << 32
    }
    #[inline(always)]
    fn transpose(self, _: &mut [u64]) {}
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::__m256i;

    use pulp::cast;
    use pulp::x86::V3;

    use super::Lanes;

    /// The highest bit of every word: AVX2 compares signed numbers only.
    const FLIP: [u64; 4] = [1 << 63; 4];

    /// `EPSILON` where `a < b`, else zero.
    #[inline(always)]
    fn epsilon_if_less(simd: V3, a: __m256i, b: __m256i) -> __m256i {
        let flip = |words| simd.avx2._mm256_xor_si256(words, cast(FLIP));
        let less = simd.avx2._mm256_cmpgt_epi64(flip(b), flip(a));
        simd.avx2._mm256_srli_epi64::<32>(less)
    }

    impl Lanes for V3 {
        const WIDTH: usize = 4;
        type Words = __m256i;

        #[inline(always)]
        fn load(self, words: &[u64]) -> __m256i {
            let mut all = [0; 4];
            all.copy_from_slice(&words[..4]);
            cast(all)
        }
        #[inline(always)]
        fn store(self, words: __m256i, out: &mut [u64]) {
            out[..4].copy_from_slice(&cast::<_, [u64; 4]>(words));
        }
        #[inline(always)]
        fn splat(self, word: u64) -> __m256i {
            self.avx._mm256_set1_epi64x(word as i64)
        }
        #[inline(always)]
        fn wrapping_add(self, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_add_epi64(a, b)
        }
        #[inline(always)]
        fn wrapping_sub(self, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_sub_epi64(a, b)
        }
        #[inline(always)]
        fn add_epsilon_if_less(self, words: __m256i, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_add_epi64(words, epsilon_if_less(self, a, b))
        }
        #[inline(always)]
        fn sub_epsilon_if_less(self, words: __m256i, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_sub_epi64(words, epsilon_if_less(self, a, b))
        }
        #[inline(always)]
        fn mul_low(self, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_mul_epu32(a, b)
        }
        #[inline(always)]
        fn shl(self, words: __m256i, by: u32) -> __m256i {
            self.avx2._mm256_sll_epi64(words, self.sse2._mm_set_epi64x(0, i64::from(by)))
        }
        #[inline(always)]
        fn shr(self, words: __m256i, by: u32) -> __m256i {
            self.avx2._mm256_srl_epi64(words, self.sse2._mm_set_epi64x(0, i64::from(by)))
        }
        #[inline(always)]
        fn join_halves(self, low: __m256i, high: __m256i) -> __m256i {
            self.avx2._mm256_blend_epi32::<0b1010_1010>(low, self.shl(high, 32))
        }
        #[inline(always)]
        fn transpose(self, rows: &mut [__m256i]) {
            let [a, b, c, d] = [rows[0], rows[1], rows[2], rows[3]];
            let avx2 = self.avx2;
            let even = |a, b| avx2._mm256_unpacklo_epi64(a, b);
            let odd = |a, b| avx2._mm256_unpackhi_epi64(a, b);
            let first = |a, b| avx2._mm256_permute2x128_si256::<0x20>(a, b);
            let second = |a, b| avx2._mm256_permute2x128_si256::<0x31>(a, b);
            let (ab, cd) = ([even(a, b), odd(a, b)], [even(c, d), odd(c, d)]);
            for i in 0..2 {
                rows[i] = first(ab[i], cd[i]);
                rows[i + 2] = second(ab[i], cd[i]);
            }
        }
    }
}

#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
mod avx512 {
    use std::arch::x86_64::__m512i;

    use pulp::cast;
    use pulp::x86::V4;

    use super::{EPSILON, Lanes};

    impl Lanes for V4 {
        const WIDTH: usize = 8;
        type Words = __m512i;

        #[inline(always)]
        fn load(self, words: &[u64]) -> __m512i {
            let mut all = [0; 8];
            all.copy_from_slice(&words[..8]);
            cast(all)
        }
        #[inline(always)]
        fn store(self, words: __m512i, out: &mut [u64]) {
            out[..8].copy_from_slice(&cast::<_, [u64; 8]>(words));
        }
        #[inline(always)]
        fn splat(self, word: u64) -> __m512i {
            self.avx512f._mm512_set1_epi64(word as i64)
        }
        #[inline(always)]
        fn wrapping_add(self, a: __m512i, b: __m512i) -> __m512i {
            self.avx512f._mm512_add_epi64(a, b)
        }
        #[inline(always)]
        fn wrapping_sub(self, a: __m512i, b: __m512i) -> __m512i {
            self.avx512f._mm512_sub_epi64(a, b)
        }
        #[inline(always)]
        fn add_epsilon_if_less(self, words: __m512i, a: __m512i, b: __m512i) -> __m512i {
            let less = self.avx512f._mm512_cmplt_epu64_mask(a, b);
            self.avx512f._mm512_mask_add_epi64(words, less, words, self.splat(EPSILON))
        }
        #[inline(always)]
        fn sub_epsilon_if_less(self, words: __m512i, a: __m512i, b: __m512i) -> __m512i {
            let less = self.avx512f._mm512_cmplt_epu64_mask(a, b);
            self.avx512f._mm512_mask_sub_epi64(words, less, words, self.splat(EPSILON))
        }
        #[inline(always)]
        fn mul_low(self, a: __m512i, b: __m512i) -> __m512i {
            self.avx512f._mm512_mul_epu32(a, b)
        }
        #[inline(always)]
        fn shl(self, words: __m512i, by: u32) -> __m512i {
            self.avx512f._mm512_sll_epi64(words, self.sse2._mm_set_epi64x(0, i64::from(by)))
        }
        #[inline(always)]
        fn shr(self, words: __m512i, by: u32) -> __m512i {
            self.avx512f._mm512_srl_epi64(words, self.sse2._mm_set_epi64x(0, i64::from(by)))
        }
        #[inline(always)]
        fn join_halves(self, low: __m512i, high: __m512i) -> __m512i {
            let low = self.avx512f._mm512_and_si512(low, self.splat(EPSILON));
            self.avx512f._mm512_or_si512(low, self.shl(high, 32))
        }
        #[inline(always)]
        fn transpose(self, rows: &mut [__m512i]) {
            let rows = &mut rows[..8];
            let f = self.avx512f;
            // Pairs of words, then pairs of pairs, then halves change places.
            for i in [0, 2, 4, 6] {
                let (a, b) = (rows[i], rows[i + 1]);
                rows[i] = f._mm512_unpacklo_epi64(a, b);
                rows[i + 1] = f._mm512_unpackhi_epi64(a, b);
            }
            for i in [0, 1, 4, 5] {
                let (a, b) = (rows[i], rows[i + 2]);
                // Parts 0 and 2 (of 128 bits) of both, then parts 1 and 3.
                rows[i] = f._mm512_shuffle_i64x2::<0b10_00_10_00>(a, b);
                rows[i + 2] = f._mm512_shuffle_i64x2::<0b11_01_11_01>(a, b);
            }
            for i in 0..4 {
                let (a, b) = (rows[i], rows[i + 4]);
                rows[i] = f._mm512_shuffle_i64x2::<0b10_00_10_00>(a, b);
                rows[i + 4] = f._mm512_shuffle_i64x2::<0b11_01_11_01>(a, b);
            }
        }
    }
}

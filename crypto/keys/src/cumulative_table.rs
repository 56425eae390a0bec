//! Numbers of a cumulative table's entries that uniform numbers reach, in constant time: how samples
//! of a discrete distribution are drawn from a table of its cumulative probabilities.
//!
//! `table[k] = floor(2^128 * P(X <= k))`, and the sample is the number of entries that a uniform
//! 128-bit number reaches. No branch and no memory access depends on it: all entries are compared,
//! or, with AVX-512, six steps of a binary search look the table up inside registers.
//!
//! The upper 64 bits of the uniform numbers are independent; the lower 64 may be shared by some of
//! them. They matter only to a sample whose upper bits equal an entry's, a chance of at most 2^-58.
//! Unless two samples with the same lower half are such, nothing differs from independent numbers.

use ringfence_crypto::vectorized;

/// Entries of a table.
pub(crate) const ENTRIES: usize = 64;

/// For each entry, what the upper half of a number with the given lower half must exceed to reach
/// it: `u >= T` if and only if `u_high > T_high - [u_low >= T_low]`. No entry's upper half may be
/// zero.
pub(crate) fn limits(table: &[u128; ENTRIES], low: u64) -> [u64; ENTRIES] {
    table.map(|entry| ((entry >> 64) as u64) - u64::from(low >= entry as u64))
}

/// Replaces each number by how many limits it exceeds. There are whole rows of eight numbers.
pub(crate) fn count_reached(limits: &[u64; ENTRIES], numbers: &mut [u64]) {
    #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return search::count_reached(simd, limits, numbers);
    }
    scan(limits, numbers);
}

vectorized! {
    fn scan(limits: &[u64; ENTRIES], numbers: &mut [u64]) {
        // AVX2 compares signed numbers only: the highest bit of both sides is flipped.
        let flip = |number: u64| (number ^ (1 << 63)) as i64;
        let limits = limits.map(flip);
        let (rows, _) = numbers.as_chunks_mut::<8>();
        for row in rows {
            let flipped = row.map(flip);
            let mut counts = [0u64; 8];
            for limit in limits {
                for (count, number) in counts.iter_mut().zip(flipped) {
                    *count += u64::from(number > limit);
                }
            }
            *row = counts;
        }
    }
}

/// The binary search with the table in registers.
#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
mod search {
    use std::arch::x86_64::__m512i;

    use pulp::x86::V4;
    use pulp::{NullaryFnOnce, cast};

    use super::ENTRIES;

    pub(super) fn count_reached(simd: V4, limits: &[u64; ENTRIES], numbers: &mut [u64]) {
        simd.vectorize(Search { simd, limits, numbers });
    }

    struct Search<'a> {
        simd: V4,
        limits: &'a [u64; ENTRIES],
        numbers: &'a mut [u64],
    }

    impl NullaryFnOnce for Search<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let Self { simd, limits, numbers } = self;
            let vector = simd.avx512f;
            // At depth d, candidate i of 2^d is the limit in the middle of the i-th part; eight
            // candidates a register, repeated while there are fewer.
            let candidates = |depth: u32, from: usize| -> __m512i {
                cast(std::array::from_fn::<u64, 8, _>(|i| {
                    let part = (i + from) % (1 << depth);
                    limits[(2 * part + 1) * (32 >> depth) - 1]
                }))
            };
            let (one, fifteen) = (cast([1u64; 8]), cast([15u64; 8]));
            let [d0, d1, d2, d3] = [0, 1, 2, 3].map(|depth| candidates(depth, 0));
            let [d4, d4_high] = [0, 8].map(|from| candidates(4, from));
            let [d5, d5_1, d5_2, d5_3] = [0, 8, 16, 24].map(|from| candidates(5, from));
            let last: __m512i = cast([limits[63]; 8]);
            let (rows, _) = numbers.as_chunks_mut::<8>();
            for row in rows {
                let number: __m512i = cast(*row);
                let step = |place: __m512i, candidate: __m512i| {
                    let reached = vector._mm512_cmpgt_epu64_mask(number, candidate);
                    let place = vector._mm512_add_epi64(place, place);
                    vector._mm512_mask_add_epi64(place, reached, place, one)
                };
                let place = step(cast([0u64; 8]), d0);
                let place = step(place, vector._mm512_permutexvar_epi64(place, d1));
                let place = step(place, vector._mm512_permutexvar_epi64(place, d2));
                let place = step(place, vector._mm512_permutexvar_epi64(place, d3));
                let place = step(place, vector._mm512_permutex2var_epi64(d4, place, d4_high));
                let lower = vector._mm512_permutex2var_epi64(d5, place, d5_1);
                let upper = vector._mm512_permutex2var_epi64(d5_2, place, d5_3);
                let is_upper = vector._mm512_cmpgt_epu64_mask(place, fifteen);
                let place = step(place, vector._mm512_mask_blend_epi64(is_upper, lower, upper));
                // 63 limits are searched; the last one is compared by itself.
                let reached = vector._mm512_cmpgt_epu64_mask(number, last);
                *row = cast(vector._mm512_mask_add_epi64(place, reached, place, one));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::encrypt::rlwe_noise;
    use crate::testing::rng;
    use crate::update::site_noise::discrete_gaussian;

    /// Number of entries that a 128-bit number reaches, by the definition.
    fn reached(table: &[u128; ENTRIES], uniform: u128) -> u64 {
        table.iter().filter(|entry| uniform >= **entry).count() as u64
    }

    /// Numbers at, below and above every entry's upper half, and many others.
    fn numbers(table: &[u128; ENTRIES], seed: u64) -> [u64; 1024] {
        let mut rng = rng(seed);
        std::array::from_fn(|k| {
            let high = (table[k / 3 % ENTRIES] >> 64) as u64;
            match k {
                0..192 => high.wrapping_add(k as u64 % 3).wrapping_sub(1),
                192 => 0,
                193 => u64::MAX,
                _ => rng.next_u64(),
            }
        })
    }

    #[test]
    fn every_way_counts_the_entries_that_a_number_reaches() {
        for table in [&rlwe_noise::TABLE, &discrete_gaussian::HALF] {
            let lows = [0, u64::MAX, 1 << 63].into_iter().chain(table.map(|entry| entry as u64));
            for low in lows.flat_map(|low| [low.wrapping_sub(1), low]) {
                let drawn = numbers(table, low);
                let limits = limits(table, low);
                let number = |high| u128::from(high) << 64 | u128::from(low);
                let expected = drawn.map(|high| reached(table, number(high)));
                let mut scanned = drawn;
                scan(&limits, &mut scanned);
                assert!(scanned == expected, "scan, low half {low:#x}");
                let mut best = drawn;
                count_reached(&limits, &mut best);
                assert!(best == expected, "best, low half {low:#x}");
            }
            assert_eq!(reached(table, u128::MAX), ENTRIES as u64);
            assert!(table.iter().all(|entry| entry >> 64 > 0), "limits would underflow");
        }
    }
}

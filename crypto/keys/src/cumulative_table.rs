//! Numbers of a cumulative table's entries that uniform numbers reach, in constant time: how samples
//! of a discrete distribution are drawn from a table of its cumulative probabilities.
//!
//! `table[k] = floor(2^128 * P(X <= k))`, and the sample is the number of entries that a uniform
//! 128-bit number reaches. No branch and no memory access depends on it: all entries are compared,
//! or, with AVX2 and AVX-512, six steps of a binary search look the table up inside registers.
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
        return search::count_reached(search::Eight(simd), limits, numbers);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return search::count_reached(search::TwiceFour(simd), limits, numbers);
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
#[cfg(target_arch = "x86_64")]
mod search {
    #[cfg(feature = "avx512")]
    use std::arch::x86_64::__m512i;
    use std::arch::x86_64::{__m256, __m256i};

    use pulp::x86::V3;
    #[cfg(feature = "avx512")]
    use pulp::x86::V4;
    use pulp::{NullaryFnOnce, cast};

    use super::ENTRIES;

    /// Rows that are searched side by side: a step of one waits for the step before, and the
    /// processor looks ahead only so far.
    const ROWS: usize = 4;

    /// Eight limits each: for depths 0 to 3 one; for depth 4 two; for depth 5 four; and the last limit.
    /// At depth `d`, candidate `i` of `2^d` is the limit in the middle of the `i`-th part, and
    /// candidates are repeated while there are fewer than eight. 63 limits are searched; the last one
    /// is compared by itself.
    type Candidates = [[u64; 8]; 11];

    fn candidates(limits: &[u64; ENTRIES]) -> Candidates {
        let at = |depth: u32, from: usize| {
            std::array::from_fn(|i| {
                let part = (i + from) % (1 << depth);
                limits[(2 * part + 1) * (32 >> depth) - 1]
            })
        };
        let [d0, d1, d2, d3] = [0, 1, 2, 3].map(|depth| at(depth, 0));
        let ([d4, e4], [d5, e5, f5, g5]) =
            ([0, 8].map(|from| at(4, from)), [0, 8, 16, 24].map(|from| at(5, from)));
        [d0, d1, d2, d3, d4, e4, d5, e5, f5, g5, [limits[ENTRIES - 1]; 8]]
    }

    /// A vector unit that searches.
    pub(super) trait Unit: Copy {
        /// Candidates as it takes them.
        type Tables;

        fn tables(candidates: Candidates) -> Self::Tables;
        /// Searches whole rows of eight numbers side by side.
        fn search<const ROWS: usize>(self, tables: &Self::Tables, rows: &mut [[u64; 8]; ROWS]);
        fn run(self, search: impl NullaryFnOnce<Output = ()>);
    }

    pub(super) fn count_reached<U: Unit>(unit: U, limits: &[u64; ENTRIES], numbers: &mut [u64]) {
        let tables = U::tables(candidates(limits));
        unit.run(Search { unit, tables: &tables, numbers });
    }

    struct Search<'a, U: Unit> {
        unit: U,
        tables: &'a U::Tables,
        numbers: &'a mut [u64],
    }

    impl<U: Unit> NullaryFnOnce for Search<'_, U> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let Self { unit, tables, numbers } = self;
            let (rows, _) = numbers.as_chunks_mut::<8>();
            let (groups, rest) = rows.as_chunks_mut::<ROWS>();
            for group in groups {
                unit.search(tables, group);
            }
            for row in rest.as_chunks_mut::<1>().0 {
                unit.search(tables, row);
            }
        }
    }

    /// AVX-512: a row is a vector.
    #[cfg(feature = "avx512")]
    #[derive(Clone, Copy)]
    pub(super) struct Eight(pub(super) V4);

    #[cfg(feature = "avx512")]
    impl Unit for Eight {
        type Tables = Candidates;

        fn tables(candidates: Candidates) -> Candidates {
            candidates
        }

        fn run(self, search: impl NullaryFnOnce<Output = ()>) {
            self.0.vectorize(search);
        }

        #[inline(always)]
        fn search<const ROWS: usize>(self, tables: &Candidates, rows: &mut [[u64; 8]; ROWS]) {
            let f = self.0.avx512f;
            let [d0, d1, d2, d3, d4, e4, d5, e5, f5, g5, last] = tables;
            let mut numbers = [f._mm512_setzero_si512(); ROWS];
            for (number, row) in numbers.iter_mut().zip(rows.iter()) {
                *number = cast(*row);
            }
            let mut places = [f._mm512_setzero_si512(); ROWS];
            self.step(&numbers, &mut places, [cast(*d0); ROWS]);
            for table in [d1, d2, d3] {
                let found = places.map(|place| f._mm512_permutexvar_epi64(place, cast(*table)));
                self.step(&numbers, &mut places, found);
            }
            let (low, high) = (cast(*d4), cast(*e4));
            let found = places.map(|place| f._mm512_permutex2var_epi64(low, place, high));
            self.step(&numbers, &mut places, found);
            let (t0, t1, t2, t3) = (cast(*d5), cast(*e5), cast(*f5), cast(*g5));
            let fifteen = f._mm512_set1_epi64(15);
            let found = places.map(|place| {
                let lower = f._mm512_permutex2var_epi64(t0, place, t1);
                let upper = f._mm512_permutex2var_epi64(t2, place, t3);
                let is_upper = f._mm512_cmpgt_epu64_mask(place, fifteen);
                f._mm512_mask_blend_epi64(is_upper, lower, upper)
            });
            self.step(&numbers, &mut places, found);
            let (last, one) = (cast(*last), f._mm512_set1_epi64(1));
            for ((row, number), place) in rows.iter_mut().zip(numbers).zip(places) {
                let reached = f._mm512_cmpgt_epu64_mask(number, last);
                *row = cast(f._mm512_mask_add_epi64(place, reached, place, one));
            }
        }
    }

    #[cfg(feature = "avx512")]
    impl Eight {
        /// To the upper or the lower half of the part at each place.
        #[inline(always)]
        fn step<const ROWS: usize>(
            self,
            numbers: &[__m512i; ROWS],
            places: &mut [__m512i; ROWS],
            candidates: [__m512i; ROWS],
        ) {
            let f = self.0.avx512f;
            let one = f._mm512_set1_epi64(1);
            for ((place, number), candidate) in places.iter_mut().zip(numbers).zip(candidates) {
                let reached = f._mm512_cmpgt_epu64_mask(*number, candidate);
                let twice = f._mm512_add_epi64(*place, *place);
                *place = f._mm512_mask_add_epi64(twice, reached, twice, one);
            }
        }
    }

    /// AVX2, which looks up and compares 32 bits: a row is a vector of upper and one of lower
    /// halves.
    #[derive(Clone, Copy)]
    pub(super) struct TwiceFour(pub(super) V3);

    /// Upper and lower halves, the highest bit of each flipped: AVX2 compares signed numbers only.
    #[derive(Clone, Copy)]
    struct Halves {
        high: __m256i,
        low: __m256i,
    }

    const FLIP: [u32; 8] = [1 << 31; 8];

    impl Unit for TwiceFour {
        type Tables = [[[u32; 8]; 2]; 11];

        fn tables(candidates: Candidates) -> Self::Tables {
            candidates.map(|eight| {
                let half = |shift: u32| eight.map(|limit| (limit >> shift) as u32 ^ (1 << 31));
                [half(32), half(0)]
            })
        }

        fn run(self, search: impl NullaryFnOnce<Output = ()>) {
            self.0.vectorize(search);
        }

        #[inline(always)]
        fn search<const ROWS: usize>(self, tables: &Self::Tables, rows: &mut [[u64; 8]; ROWS]) {
            // Two at a time are as many as there are registers for.
            let (pairs, rest) = rows.as_chunks_mut::<2>();
            for pair in pairs {
                self.search_rows(tables, pair);
            }
            for row in rest.as_chunks_mut::<1>().0 {
                self.search_rows(tables, row);
            }
        }
    }

    impl TwiceFour {
        #[inline(always)]
        fn search_rows<const ROWS: usize>(
            self,
            tables: &[[[u32; 8]; 2]; 11],
            rows: &mut [[u64; 8]; ROWS],
        ) {
            let Self(V3 { avx, avx2, .. }) = self;
            let zero = avx._mm256_setzero_si256();
            let table = |at: usize| Halves { high: cast(tables[at][0]), low: cast(tables[at][1]) };
            let mut numbers = [Halves { high: zero, low: zero }; ROWS];
            for (number, row) in numbers.iter_mut().zip(rows.iter()) {
                *number = self.halves(row);
            }
            let mut places = [zero; ROWS];
            let mut found = [table(0); ROWS];
            self.step(&numbers, &mut places, found);
            for depth in 1..4 {
                for (found, place) in found.iter_mut().zip(places) {
                    *found = self.look(table(depth), place);
                }
                self.step(&numbers, &mut places, found);
            }
            for (found, place) in found.iter_mut().zip(places) {
                *found = self.look_twice(table(4), table(5), place);
            }
            self.step(&numbers, &mut places, found);
            for (found, place) in found.iter_mut().zip(places) {
                let lower = self.look_twice(table(6), table(7), place);
                let upper = self.look_twice(table(8), table(9), place);
                *found = self.blend(lower, upper, self.has_bit::<16>(place));
            }
            self.step(&numbers, &mut places, found);
            for ((row, number), place) in rows.iter_mut().zip(numbers).zip(places) {
                let place = avx2._mm256_sub_epi32(place, self.exceeds(number, table(10)));
                let first: [u64; 4] = cast(avx2._mm256_unpacklo_epi32(place, zero));
                let second: [u64; 4] = cast(avx2._mm256_unpackhi_epi32(place, zero));
                row[..4].copy_from_slice(&first);
                row[4..].copy_from_slice(&second);
            }
        }

        /// The candidate at each place of eight.
        #[inline(always)]
        fn look(self, Halves { high, low }: Halves, place: __m256i) -> Halves {
            let avx2 = self.0.avx2;
            Halves {
                high: avx2._mm256_permutevar8x32_epi32(high, place),
                low: avx2._mm256_permutevar8x32_epi32(low, place),
            }
        }

        /// The candidate at each place of sixteen.
        #[inline(always)]
        fn look_twice(self, first: Halves, second: Halves, place: __m256i) -> Halves {
            let (first, second) = (self.look(first, place), self.look(second, place));
            self.blend(first, second, self.has_bit::<8>(place))
        }

        /// All bits set where a place has this one, else none.
        #[inline(always)]
        fn has_bit<const BIT: i32>(self, place: __m256i) -> __m256i {
            let Self(V3 { avx, avx2, .. }) = self;
            let bit = avx._mm256_set1_epi32(BIT);
            avx2._mm256_cmpeq_epi32(avx2._mm256_and_si256(place, bit), bit)
        }

        /// `b` where all bits are set, `a` where none is.
        #[inline(always)]
        fn blend(self, a: Halves, b: Halves, which: __m256i) -> Halves {
            let avx2 = self.0.avx2;
            Halves {
                high: avx2._mm256_blendv_epi8(a.high, b.high, which),
                low: avx2._mm256_blendv_epi8(a.low, b.low, which),
            }
        }

        /// Halves of four numbers and four, in the order in which unpacking takes them apart again.
        #[inline(always)]
        fn halves(self, row: &[u64; 8]) -> Halves {
            let Self(V3 { avx, avx2, .. }) = self;
            let (mut first, mut second) = ([0u64; 4], [0u64; 4]);
            first.copy_from_slice(&row[..4]);
            second.copy_from_slice(&row[4..]);
            let (first, second): (__m256, __m256) = (cast(first), cast(second));
            let low: __m256i = cast(avx._mm256_shuffle_ps::<0b10_00_10_00>(first, second));
            let high: __m256i = cast(avx._mm256_shuffle_ps::<0b11_01_11_01>(first, second));
            Halves {
                high: avx2._mm256_xor_si256(high, cast(FLIP)),
                low: avx2._mm256_xor_si256(low, cast(FLIP)),
            }
        }

        /// All bits set where a number exceeds a candidate, else none.
        #[inline(always)]
        fn exceeds(self, number: Halves, candidate: Halves) -> __m256i {
            let avx2 = self.0.avx2;
            let above = avx2._mm256_cmpgt_epi32(number.high, candidate.high);
            let level = avx2._mm256_cmpeq_epi32(number.high, candidate.high);
            let low = avx2._mm256_cmpgt_epi32(number.low, candidate.low);
            avx2._mm256_or_si256(above, avx2._mm256_and_si256(level, low))
        }

        /// To the upper or the lower half of the part at each place.
        #[inline(always)]
        fn step<const ROWS: usize>(
            self,
            numbers: &[Halves; ROWS],
            places: &mut [__m256i; ROWS],
            candidates: [Halves; ROWS],
        ) {
            let avx2 = self.0.avx2;
            for ((place, number), candidate) in places.iter_mut().zip(numbers).zip(candidates) {
                let twice = avx2._mm256_add_epi32(*place, *place);
                *place = avx2._mm256_sub_epi32(twice, self.exceeds(*number, candidate));
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
                // Rows by the group, and left over.
                for numbers in [1024, 1016, 8] {
                    let mut best = drawn;
                    count_reached(&limits, &mut best[..numbers]);
                    assert!(best[..numbers] == expected[..numbers], "best, low half {low:#x}");
                    #[cfg(target_arch = "x86_64")]
                    if let Some(simd) = pulp::x86::V3::try_new() {
                        let mut found = drawn;
                        let found = &mut found[..numbers];
                        search::count_reached(search::TwiceFour(simd), &limits, found);
                        assert!(*found == expected[..numbers], "AVX2, low half {low:#x}");
                    }
                }
            }
            assert_eq!(reached(table, u128::MAX), ENTRIES as u64);
            assert!(table.iter().all(|entry| entry >> 64 > 0), "limits would underflow");
        }
    }
}

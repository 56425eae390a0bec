//! Wire words: rounding a residue to `w` bits, laying words out in bytes, adding laid-out words.
//!
//! A block is eight *groups* of 512 words. A group is eight *lanes*: lane `i` carries words
//! `8 j + i` of its group for `j = 0..63`, as one little-endian string of `64 w` bits in which word
//! `8 j + i` takes bits `j w` up to `(j + 1) w`. The string's `w` 64-bit pieces lie eight apart:
//! piece `t` of lane `i` is the `(8 t + i)`-th little-endian 64-bit number of the group. So every
//! step below does the same to eight neighbouring numbers, which is what vector units are for, and
//! a word of any width costs exactly `w` bits.

use crate::ring::params::RING_DEGREE;
use crate::vectorized;

/// Words of a group.
pub const GROUP: usize = LANES * PER_LANE;
const LANES: usize = 8;
const PER_LANE: usize = 64;

/// Bytes of one block of `w`-bit words: `N w / 8`.
pub const fn block_bytes(wire_bits: u8) -> usize {
    RING_DEGREE / 8 * wire_bits as usize
}

/// Two buffers of words could not be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected {expected} bytes, a multiple of {group} (whole groups of {wire_bits}-bit words), got {got}",
    group = 64 * usize::from(*wire_bits)
)]
pub struct LengthError {
    /// Bits of a word.
    pub wire_bits: u8,
    /// Bytes of the running sum.
    pub expected: usize,
    /// Bytes of what was to be added.
    pub got: usize,
}

/// The wire word of a residue: `round(c 2^w / q) mod 2^w`, for `1 <= w <= 64`.
///
/// Since `(2^32 - 1) 2^32 = q - 1`, `c 2^64 / q = c + c / 2^32 - d` with `0 <= d < 2^-32`, and
/// `d = 0` for `c = 0` only. So the quotient is `floor((2^32 c + c + 2^(95-w) - 1) / 2^(96-w))`:
/// no division, no branch on `c`.
#[inline(always)]
pub const fn to_word(residue: u64, wire_bits: u8) -> u64 {
    if wire_bits == 64 {
        return residue + ((residue + ((1 << 31) - 1)) >> 32);
    }
    // The upper 64 bits of 2^32 c + c; its lower 32 are those of c and, with the rounding
    // constant's, carry unless they are zero.
    let upper = residue + (residue >> 32);
    let carry = ((residue & 0xFFFF_FFFF) + 0xFFFF_FFFF) >> 32;
    let half = (1u64 << (63 - wire_bits)) - 1;
    upper.wrapping_add(half).wrapping_add(carry) >> (64 - wire_bits)
}

/// The residue of a word (of one body or of a sum): `round(W q / 2^w) mod q`. The one tie,
/// `W = 2^(w-1)`, is rounded up.
#[inline(always)]
pub const fn from_word(word: u64, wire_bits: u8) -> u64 {
    // W q / 2^w = (W' 2^64 - W' 2^32 + W') / 2^64 with W' = W 2^(64-w).
    let aligned = word << (64 - wire_bits);
    let (rounded, borrow) = (aligned & 0xFFFF_FFFF, aligned >> 32);
    // (W' - 2^32 W'_low32 ... + 2^63) / 2^64, in 64-bit steps: W' 2^32 - W' = W' (2^32 - 1).
    let product = (rounded << 32).wrapping_sub(aligned);
    let below = ((rounded << 32) < aligned) as u64;
    let high = borrow - below;
    // W q / 2^w = W' - (high 2^64 + product) / 2^64, rounded to the nearest.
    let up = (product > 1 << 63) as u64;
    crate::ring::field::canonical(aligned.wrapping_sub(high).wrapping_sub(up))
}

vectorized! {
    /// Lays `w`-bit words out in bytes.
    ///
    /// `words` are whole groups and `bytes` is `w / 8` times as many; what is left over of the
    /// longer one is not touched.
    pub fn pack(words: &[u64], wire_bits: u8, bytes: &mut [u8]) {
        let width = u32::from(wire_bits);
        let (groups, _) = words.as_chunks::<GROUP>();
        for (group, bytes) in groups.iter().zip(bytes.chunks_exact_mut(LANES * 8 * width as usize)) {
            let (rows, _) = group.as_chunks::<LANES>();
            let (pieces, _) = bytes.as_chunks_mut::<{ LANES * 8 }>();
            let mut pieces = pieces.iter_mut();
            let (mut piece, mut filled) = ([0; LANES], 0);
            for row in rows {
                for (piece, word) in piece.iter_mut().zip(row) {
                    *piece |= word << filled;
                }
                filled += width;
                if filled >= 64 {
                    if let Some(out) = pieces.next() {
                        store(out, &piece);
                    }
                    filled -= 64;
                    for (piece, word) in piece.iter_mut().zip(row) {
                        *piece = if filled == 0 { 0 } else { word >> (width - filled) };
                    }
                }
            }
        }
    }
}

vectorized! {
    /// Reads `w`-bit words out of bytes: the inverse of [`pack`].
    pub fn unpack(bytes: &[u8], wire_bits: u8, words: &mut [u64]) {
        let width = u32::from(wire_bits);
        let mask = u64::MAX >> (64 - width);
        let (groups, _) = words.as_chunks_mut::<GROUP>();
        for (group, bytes) in groups.iter_mut().zip(bytes.chunks_exact(LANES * 8 * width as usize)) {
            let (rows, _) = group.as_chunks_mut::<LANES>();
            let (pieces, _) = bytes.as_chunks::<{ LANES * 8 }>();
            let mut pieces = pieces.iter().map(load);
            let (mut piece, mut left) = ([0; LANES], 0);
            for row in rows {
                if left >= width {
                    for (word, piece) in row.iter_mut().zip(&mut piece) {
                        *word = *piece & mask;
                        // A whole piece is used up by a shift of 64, which is zero here.
                        *piece = (*piece >> 1) >> (width - 1);
                    }
                    left -= width;
                } else {
                    let next = pieces.next().unwrap_or_default();
                    let taken = width - left;
                    for ((word, piece), next) in row.iter_mut().zip(&mut piece).zip(next) {
                        *word = (*piece | next << left) & mask;
                        *piece = (next >> 1) >> (taken - 1);
                    }
                    left = 64 - taken;
                }
            }
        }
    }
}

#[inline(always)]
fn load(bytes: &[u8; LANES * 8]) -> [u64; LANES] {
    let (numbers, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_le_bytes(numbers[i]))
}

#[inline(always)]
fn store(bytes: &mut [u8; LANES * 8], numbers: &[u64; LANES]) {
    let (out, _) = bytes.as_chunks_mut::<8>();
    for (out, number) in out.iter_mut().zip(numbers) {
        *out = number.to_le_bytes();
    }
}

/// Adds the words of `body` into `sum`, modulo `2^w`: all that an aggregator does to ciphertexts.
///
/// Words are added where they lie: with every word's highest bit set aside, no carry leaves a word,
/// so a lane is one long addition; the highest bits are then added without carry.
///
/// # Errors
/// [`LengthError`] when the lengths differ or are no whole number of groups; `sum` is untouched.
pub fn add_words(sum: &mut [u8], body: &[u8], wire_bits: u8) -> Result<(), LengthError> {
    let group = LANES * 8 * usize::from(wire_bits);
    if sum.len() != body.len() || group == 0 || wire_bits > 64 || !sum.len().is_multiple_of(group) {
        return Err(LengthError { wire_bits, expected: sum.len(), got: body.len() });
    }
    let mut highest = [0u64; 64];
    for j in 1..=PER_LANE {
        let bit = j * usize::from(wire_bits) - 1;
        if let Some(piece) = highest.get_mut(bit / 64) {
            *piece |= 1 << (bit % 64);
        }
    }
    let highest = &highest[..usize::from(wire_bits)];
    add_groups(sum, body, highest);
    Ok(())
}

/// Pieces of a body, a cache line each, by which memory is read ahead of the addition. The
/// processor's own prefetching leaves it waiting: with this it adds 9 % more from memory, with 4
/// pieces or 64 alike.
const AHEAD: usize = 8;

vectorized! {
    fn add_groups(sum: &mut [u8], body: &[u8], highest: &[u64]) {
        let (sums, _) = sum.as_chunks_mut::<{ LANES * 8 }>();
        let (bodies, _) = body.as_chunks::<{ LANES * 8 }>();
        let mut ahead = bodies.iter().skip(AHEAD).map(|piece| piece[0]);
        let mut read = 0;
        for (sums, bodies) in sums.chunks_exact_mut(highest.len()).zip(bodies.chunks_exact(highest.len()))
        {
            let mut carry = [0u64; LANES];
            for ((sum, body), top) in sums.iter_mut().zip(bodies).zip(highest) {
                read |= ahead.next().unwrap_or_default();
                let (a, b) = (load(sum), load(body));
                let mut out = [0; LANES];
                for i in 0..LANES {
                    let low = a[i] & !top;
                    let part = low.wrapping_add(b[i] & !top);
                    let whole = part.wrapping_add(carry[i]);
                    carry[i] = u64::from(part < low) | u64::from(whole < part);
                    out[i] = whole ^ ((a[i] ^ b[i]) & top);
                }
                store(sum, &out);
            }
        }
        std::hint::black_box(read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::field;
    use crate::ring::params::MODULUS;
    use proptest::prelude::*;

    fn naive_word(residue: u64, wire_bits: u8) -> u64 {
        // round(c 2^w / q) by long division: c 2^w = (c 2^w div q) q + rest, bit by bit.
        let (mut quotient, mut rest) = (0u128, u128::from(residue));
        for _ in 0..wire_bits {
            (quotient, rest) = (quotient << 1, rest << 1);
            if rest >= u128::from(MODULUS) {
                (quotient, rest) = (quotient + 1, rest - u128::from(MODULUS));
            }
        }
        let rounded = quotient + u128::from(2 * rest > u128::from(MODULUS));
        (rounded % (1 << wire_bits)) as u64
    }

    fn naive_residue(word: u64, wire_bits: u8) -> u64 {
        let product = u128::from(word) * u128::from(MODULUS);
        let rounded = (product >> wire_bits) + (product >> (wire_bits - 1) & 1);
        (rounded % u128::from(MODULUS)) as u64
    }

    fn residue() -> impl Strategy<Value = u64> {
        let q = MODULUS;
        let edges =
            [0, 1, 2, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, q / 2, q / 2 + 1, q - 2, q - 1];
        prop_oneof![
            prop::sample::select(edges.to_vec()),
            0..MODULUS,
            (0u32..64, 0..3u64)
                .prop_map(|(shift, off)| field::sub(field::canonical(1 << shift), off)),
        ]
    }

    proptest! {
        #[test]
        fn words_are_the_rounded_quotients(value in residue(), bits in 8u8..=64) {
            prop_assert_eq!(to_word(value, bits), naive_word(value, bits));
            let word = to_word(value, bits);
            let back = from_word(word, bits);
            prop_assert_eq!(back, naive_residue(word, bits));
            let error = field::sub(back, value);
            let bound = ((u128::from(MODULUS) >> (bits + 1)) + 1) as u64;
            prop_assert!(error <= bound || error >= MODULUS - bound, "{}", error);
        }

        #[test]
        fn any_word_lifts_to_the_nearest_residue(word: u64, bits in 8u8..=64) {
            let word = word >> (64 - bits);
            prop_assert_eq!(from_word(word, bits), naive_residue(word, bits));
        }
    }

    /// Words of two groups that reach every edge: all ones, zero, the highest bit.
    fn words(seed: u64, bits: u8) -> Vec<u64> {
        let mask = u64::MAX >> (64 - bits);
        (0..2 * GROUP as u64)
            .map(|k| match (k + seed) % 7 {
                0 => mask,
                1 => 0,
                2 => mask / 2 + 1,
                3 => mask / 2,
                _ => (k + 1).wrapping_mul(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1) & mask,
            })
            .collect()
    }

    #[test]
    fn laid_out_words_come_back_and_add_one_by_one_at_every_width() {
        for bits in 1..=64u8 {
            let mask = u64::MAX >> (64 - bits);
            let bytes_of = |words: &[u64]| {
                let mut bytes = vec![0; words.len() / 8 * usize::from(bits)];
                pack(words, bits, &mut bytes);
                bytes
            };
            let (a, b) = (words(3, bits), words(12, bits));
            let mut sum = bytes_of(&a);
            let mut back = vec![0; a.len()];
            unpack(&sum, bits, &mut back);
            assert_eq!(back, a, "{bits} bits");
            add_words(&mut sum, &bytes_of(&b), bits).unwrap();
            unpack(&sum, bits, &mut back);
            let expected: Vec<u64> =
                a.iter().zip(&b).map(|(a, b)| a.wrapping_add(*b) & mask).collect();
            assert_eq!(back, expected, "{bits} bits");
            assert_eq!(sum, bytes_of(&expected), "{bits} bits: stray bits");
        }
    }

    #[test]
    fn layout_of_the_bytes_is_the_specified_one() {
        let bits = 44;
        let words = words(5, bits);
        let mut bytes = vec![0; words.len() / 8 * usize::from(bits)];
        pack(&words, bits, &mut bytes);
        for (index, word) in words.iter().enumerate() {
            let (group, lane, j) = (index / GROUP, index % LANES, index % GROUP / LANES);
            for bit in 0..usize::from(bits) {
                let place = j * usize::from(bits) + bit;
                let number = group * LANES * usize::from(bits) + place / 64 * LANES + lane;
                let byte = bytes[number * 8 + place % 64 / 8];
                assert_eq!(u64::from(byte >> (place % 8) & 1), word >> bit & 1, "word {index}");
            }
        }
    }

    #[test]
    fn refuses_other_lengths() {
        let mut sum = vec![1u8; 64 * 44];
        assert!(add_words(&mut sum, &[0; 64], 44).is_err());
        assert!(add_words(&mut sum[..64], &[0; 64], 44).is_err());
        assert!(add_words(&mut sum, &[0; 64 * 44], 0).is_err());
        assert!(add_words(&mut sum, &[0; 64 * 44], 65).is_err());
        let error = add_words(&mut sum, &[0; 64 * 43], 44).unwrap_err().to_string();
        assert!(error.contains("a multiple of 2816"), "{error}");
        assert_eq!(sum, vec![1u8; 64 * 44]);
    }
}

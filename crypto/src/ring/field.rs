//! Arithmetic in `F_q`, `q = 2^64 - 2^32 + 1`, without secret-dependent branches or indexes.
//!
//! Every function takes and returns canonical residues (`< q`). Since `2^64 = 2^32 - 1` and
//! `2^96 = -1` modulo q, a product is reduced by shifts and additions only.

use crate::ring::params::MODULUS;

/// `2^64 mod q`.
const EPSILON: u64 = 0xFFFF_FFFF;

/// A residue on the wire was not below q.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResidueError {
    /// A word was at or above the modulus.
    #[error(
        "word {index} is {value}, expected a residue below q = {MODULUS}; the sender's encoding is broken or the bytes were altered"
    )]
    TooLarge {
        /// Position of the word.
        index: usize,
        /// What came.
        value: u64,
    },
    /// The bytes are no whole number of words, or another number of words than expected.
    #[error("expected {expected} bytes of 8-byte residues, got {got}")]
    Length {
        /// Bytes expected.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
}

const fn mask(bit: bool) -> u64 {
    (bit as u64).wrapping_neg()
}

/// `value mod q` for any `u64`.
#[inline]
pub const fn canonical(value: u64) -> u64 {
    let (reduced, borrow) = value.overflowing_sub(MODULUS);
    reduced.wrapping_add(MODULUS & mask(borrow))
}

/// `a + b mod q`.
#[inline]
pub const fn add(a: u64, b: u64) -> u64 {
    // a - (q - b) lies above -q and below q; a borrow means that the sum was below q.
    let (difference, borrow) = a.overflowing_sub(MODULUS.wrapping_sub(b));
    difference.wrapping_add(MODULUS & mask(borrow))
}

/// `a - b mod q`.
#[inline]
pub const fn sub(a: u64, b: u64) -> u64 {
    let (difference, borrow) = a.overflowing_sub(b);
    difference.wrapping_add(MODULUS & mask(borrow))
}

/// `-a mod q`.
#[inline]
pub const fn neg(a: u64) -> u64 {
    sub(0, a)
}

/// `a * b mod q`.
#[inline]
pub const fn mul(a: u64, b: u64) -> u64 {
    reduce(a as u128 * b as u128)
}

/// `value mod q` for any `u128`.
#[inline]
pub const fn reduce(value: u128) -> u64 {
    reduce_halves((value >> 64) as u64, value as u64)
}

/// `a * b mod q` by products of 32-bit halves: as many steps more than [`mul`] as vector units,
/// which have no wider product, are wider. For loops over many elements.
#[inline(always)]
pub const fn mul_by_halves(a: u64, b: u64) -> u64 {
    let (a_high, a_low, b_high, b_low) = (a >> 32, a & EPSILON, b >> 32, b & EPSILON);
    let low = a_low * b_low;
    // Neither sum overflows: (2^32 - 1)^2 + 2 (2^32 - 1) = 2^64 - 1.
    let middle = a_high * b_low + (low >> 32);
    let other = a_low * b_high + (middle & EPSILON);
    let high = a_high * b_high + (middle >> 32) + (other >> 32);
    reduce_halves(high, other << 32 | low & EPSILON)
}

/// `high 2^64 + low mod q`.
#[inline(always)]
const fn reduce_halves(high: u64, low: u64) -> u64 {
    // 2^96 = -1 and 2^64 = 2^32 - 1.
    let (high_high, high_low) = (high >> 32, high & EPSILON);
    let (mut t, borrow) = low.overflowing_sub(high_high);
    t = t.wrapping_sub(EPSILON & mask(borrow));
    let (mut r, carry) = t.overflowing_add((high_low << 32) - high_low);
    r = r.wrapping_add(EPSILON & mask(carry));
    canonical(r)
}

/// `base^exponent mod q`; the exponent is public.
pub const fn pow(base: u64, mut exponent: u64) -> u64 {
    let mut square = base;
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = mul(result, square);
        }
        square = mul(square, square);
        exponent >>= 1;
    }
    result
}

/// The inverse of `a`, or `None` for zero (Fermat).
pub const fn inv(a: u64) -> Option<u64> {
    if a == 0 { None } else { Some(pow(a, MODULUS - 2)) }
}

/// A small signed integer as a residue. The branch-free form matters: errors pass through it.
#[inline]
pub const fn from_signed(value: i64) -> u64 {
    (value as u64).wrapping_add(MODULUS & mask(value < 0))
}

/// Residues as 8-byte little-endian words.
pub fn to_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Parses exactly `count` residues.
///
/// # Errors
/// [`ResidueError`] when the length is off or a word is not below q.
pub fn parse_residues(bytes: &[u8], count: usize) -> Result<Vec<u64>, ResidueError> {
    let (words, rest) = bytes.as_chunks::<8>();
    if words.len() != count || !rest.is_empty() {
        return Err(ResidueError::Length { expected: count * 8, got: bytes.len() });
    }
    let mut residues = Vec::with_capacity(count);
    for (index, word) in words.iter().enumerate() {
        let value = u64::from_le_bytes(*word);
        if value >= MODULUS {
            return Err(ResidueError::TooLarge { index, value });
        }
        residues.push(value);
    }
    Ok(residues)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EDGES: [u64; 8] = [0, 1, 2, EPSILON, EPSILON + 1, 1 << 63, MODULUS - 2, MODULUS - 1];

    fn residue() -> impl Strategy<Value = u64> {
        prop_oneof![prop::sample::select(EDGES.to_vec()), 0..MODULUS]
    }

    proptest! {
        #[test]
        fn agrees_with_wide_integers(a in residue(), b in residue()) {
            let (wide_a, wide_b, q) = (u128::from(a), u128::from(b), u128::from(MODULUS));
            prop_assert_eq!(u128::from(add(a, b)), (wide_a + wide_b) % q);
            prop_assert_eq!(u128::from(sub(a, b)), (wide_a + q - wide_b) % q);
            prop_assert_eq!(u128::from(mul(a, b)), wide_a * wide_b % q);
            prop_assert_eq!(mul_by_halves(a, b), mul(a, b));
            if let Some(inverse) = inv(a) {
                prop_assert_eq!(mul(a, inverse), 1);
            }
        }

        #[test]
        fn reduces_any_double_word(high in any::<u64>(), low in any::<u64>()) {
            let value = u128::from(high) << 64 | u128::from(low);
            prop_assert_eq!(u128::from(reduce(value)), value % u128::from(MODULUS));
            prop_assert_eq!(canonical(low), low % MODULUS);
        }

        #[test]
        fn bytes_round_trip(words in prop::collection::vec(residue(), 0..20)) {
            prop_assert_eq!(parse_residues(&to_bytes(&words), words.len()), Ok(words));
        }
    }

    #[test]
    fn refuses_residues_at_or_above_q_and_wrong_lengths() {
        let bytes = to_bytes(&[1, MODULUS]);
        assert_eq!(
            parse_residues(&bytes, 2),
            Err(ResidueError::TooLarge { index: 1, value: MODULUS })
        );
        assert_eq!(
            parse_residues(&bytes[..15], 2),
            Err(ResidueError::Length { expected: 16, got: 15 })
        );
    }

    #[test]
    fn signed_integers_wrap_around_zero() {
        assert_eq!(from_signed(-1), MODULUS - 1);
        assert_eq!(from_signed(64), 64);
    }
}

//! Public polynomials and the one operation on bodies: addition of words.
//!
//! A body is a sequence of blocks of N coefficients. A coefficient `c` (mod q) travels as the
//! 64-bit little-endian word `round(c * 2^64 / q)`, and words add modulo 2^64: whoever adds them
//! needs neither q nor any key.

use crate::digest::Digest;
use crate::params::{MODULUS, RING_DEGREE};

/// Bytes of one coefficient on the wire.
pub const WORD_BYTES: usize = 8;

/// Bytes of one block.
pub const BLOCK_BYTES: usize = RING_DEGREE * WORD_BYTES;

const PUBLIC_POLYNOMIAL_LABEL: &[u8] = b"ringfence/a/1";

/// Fills `residues` with words below q from an extendable output; words at or above q are skipped.
///
/// The chance of a skip is 2^-32 a word, and what is skipped is public.
pub fn residues_from_xof(reader: &mut blake3::OutputReader, residues: &mut [u64]) {
    let mut buffer = [0u8; 1024];
    let mut filled = 0;
    while filled < residues.len() {
        reader.fill(&mut buffer);
        let (words, _) = buffer.as_chunks::<8>();
        for word in words.iter().map(|word| u64::from_le_bytes(*word)).filter(|w| *w < MODULUS) {
            let Some(residue) = residues.get_mut(filled) else { break };
            *residue = word;
            filled += 1;
        }
    }
}

/// The public polynomial `a_j` of a round: word `k` is its value at `psi^(2 bitrev(k) + 1)`,
/// `psi = 7^((q-1)/8192)`.
///
/// It is seeded by the digest of the whole manifest: a site that was shown another model, roster
/// or policy has another `a`, and its contribution decodes with nobody else's.
pub fn public_polynomial(round: &Digest, block: u64, values: &mut [u64; RING_DEGREE]) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(PUBLIC_POLYNOMIAL_LABEL).update(&round.0).update(&block.to_le_bytes());
    residues_from_xof(&mut hasher.finalize_xof(), values);
}

/// The wire word of a residue: `round(c * 2^64 / q)`.
///
/// Since `2^64 = q + (2^32 - 1)` and `(2^32 - 1) * 2^32 = q - 1`, this is `c` plus the rounding of
/// `c (2^32 - 1) / q = (c - c/q) / 2^32`, and `0 < c/q < 1` for `c > 0`: no division is needed.
#[inline]
pub const fn to_word(residue: u64) -> u64 {
    residue + ((residue + ((1 << 31) - 1)) >> 32)
}

/// The residue of a word (of one body or of a sum): `round(W * q / 2^64) mod q`.
#[inline]
pub const fn from_word(word: u64) -> u64 {
    let scaled = word as u128 * MODULUS as u128 + (1 << 63);
    crate::field::canonical((scaled >> 64) as u64)
}

/// Two buffers of words could not be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} bytes of whole 8-byte words, got {got}")]
pub struct LengthError {
    /// Bytes of the running sum.
    pub expected: usize,
    /// Bytes of what was to be added.
    pub got: usize,
}

/// Adds the words of `body` into `sum`, modulo 2^64: all that an aggregator does to ciphertexts.
///
/// # Errors
/// [`LengthError`] when the lengths differ or are no whole number of words; `sum` is untouched.
pub fn add_words(sum: &mut [u8], body: &[u8]) -> Result<(), LengthError> {
    if sum.len() != body.len() || !sum.len().is_multiple_of(WORD_BYTES) {
        return Err(LengthError { expected: sum.len(), got: body.len() });
    }
    let (sum_words, _) = sum.as_chunks_mut::<WORD_BYTES>();
    let (body_words, _) = body.as_chunks::<WORD_BYTES>();
    for (sum, word) in sum_words.iter_mut().zip(body_words) {
        *sum = u64::from_le_bytes(*sum).wrapping_add(u64::from_le_bytes(*word)).to_le_bytes();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_round_trip_and_add(values in prop::collection::vec(0..MODULUS, 1..40)) {
            let mut sum = vec![0u8; 8];
            let mut expected = 0;
            for value in &values {
                prop_assert_eq!(from_word(to_word(*value)), *value);
                add_words(&mut sum, &to_word(*value).to_le_bytes()).unwrap();
                expected = field::add(expected, *value);
            }
            let word = u64::from_le_bytes(sum.try_into().unwrap());
            let error = field::sub(from_word(word), expected);
            // Every word is off by at most half a unit, and so is the lift.
            let bound = values.len() as u64 / 2 + 1;
            prop_assert!(error <= bound || error >= MODULUS - bound, "{}", error);
        }

        #[test]
        fn word_is_the_rounded_quotient(value in 0..MODULUS) {
            // round(c * 2^64 / q) by 192-bit reasoning: |word * q - c * 2^64| <= q / 2 (mod 2^64 * q).
            let difference = i128::from(to_word(value)) * i128::from(MODULUS)
                - ((i128::from(value)) << 64);
            prop_assert!(difference.abs() <= i128::from(MODULUS / 2) + 1, "{}", difference);
        }
    }

    #[test]
    fn refuses_other_lengths() {
        let mut sum = vec![1u8; 16];
        assert!(add_words(&mut sum, &[0; 8]).is_err());
        assert!(add_words(&mut sum[..12], &[0; 12]).is_err());
        assert_eq!(sum, vec![1u8; 16]);
    }

    #[test]
    fn polynomials_differ_by_round_and_block() {
        let polynomial = |round: &[u8], block| {
            let mut values = [0; RING_DEGREE];
            public_polynomial(&Digest::of(round), block, &mut values);
            values
        };
        assert_eq!(polynomial(b"r", 0), polynomial(b"r", 0));
        assert_ne!(polynomial(b"r", 0), polynomial(b"r", 1));
        assert_ne!(polynomial(b"r", 0), polynomial(b"s", 0));
        assert!(polynomial(b"r", 0).iter().all(|word| *word < MODULUS));
    }
}

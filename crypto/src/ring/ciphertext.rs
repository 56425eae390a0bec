//! Public polynomials and the one operation on bodies: addition of words.
//!
//! A body is a sequence of blocks of N coefficients. A coefficient `c` (mod q) travels as the word
//! `round(c * p / q) mod p`, `p` the largest prime below `2^w`, and words add modulo `p`: whoever
//! adds them needs neither q nor any key.

pub use super::words::{LengthError, WordSum, add_words, block_bytes};

use super::params::{MODULUS, RING_DEGREE};
use super::xof::Xof;
use crate::id::ManifestId;
use crate::vectorized;

const PUBLIC_POLYNOMIAL_LABEL: &[u8] = b"ringfence/a/1";

/// Fills `residues` from an extendable output, read as 8-byte little-endian words: words at or
/// above q are skipped, the next one takes their place.
///
/// The chance of a skip is 2^-32 a word, and what is skipped is public or never used.
pub fn residues_from_xof(reader: &mut Xof, residues: &mut [u64]) {
    let mut filled = 0;
    while filled < residues.len() {
        // Large reads let the hash function work on many of its blocks at a time.
        let out = &mut residues[filled..];
        reader.fill(pulp::bytemuck::cast_slice_mut(out));
        filled += match words_in_place(out) {
            0 => out.len(),
            _ => skip_large(out),
        };
    }
}

vectorized! {
    /// Makes words of their little-endian bytes; returns how many are at or above q.
    fn words_in_place(words: &mut [u64]) -> u64 {
        let mut large = 0;
        for word in words {
            *word = u64::from_le(*word);
            large += u64::from(*word >= MODULUS);
        }
        large
    }
}

/// Moves the words below q to the front, in order; returns how many there are.
fn skip_large(words: &mut [u64]) -> usize {
    let mut kept = 0;
    for index in 0..words.len() {
        let word = words[index];
        words[kept] = word;
        kept += usize::from(word < MODULUS);
    }
    kept
}

/// The public polynomial `a_j` of a round: word `k` is its value at `psi^(2 bitrev(k) + 1)`,
/// `psi = 7^((q-1)/8192)`. The words are those that [`residues_from_xof`] takes from BLAKE3 over
/// `"ringfence/a/1" || manifest digest || LE64(j)`.
///
/// It is seeded by the name of the whole manifest: a site that was shown another model, roster
/// or policy has another `a`, and its contribution decodes with nobody else's.
pub fn public_polynomial(manifest: ManifestId, block: u64, values: &mut [u64; RING_DEGREE]) {
    let seed = [PUBLIC_POLYNOMIAL_LABEL, &manifest.0.0, &block.to_le_bytes()];
    residues_from_xof(&mut Xof::new(&seed), values);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn polynomials_differ_by_manifest_and_block() {
        let polynomial = |manifest: &[u8], block| {
            let mut values = [0; RING_DEGREE];
            public_polynomial(Digest::of(manifest).into(), block, &mut values);
            values
        };
        assert_eq!(polynomial(b"r", 0), polynomial(b"r", 0));
        assert_ne!(polynomial(b"r", 0), polynomial(b"r", 1));
        assert_ne!(polynomial(b"r", 0), polynomial(b"s", 0));
        assert!(polynomial(b"r", 0).iter().all(|word| *word < MODULUS));
    }

    #[test]
    fn large_words_are_skipped_in_order() {
        let mut words = [5, MODULUS, 7, u64::MAX, MODULUS - 1];
        words.iter_mut().for_each(|word| *word = word.to_le());
        assert_eq!(words_in_place(&mut words), 2);
        assert_eq!(skip_large(&mut words), 3);
        assert_eq!(words[..3], [5, 7, MODULUS - 1]);
    }

    #[test]
    fn the_same_residues_however_many_are_asked_for() {
        let reader = || Xof::new(&[b"x"]);
        let (mut all, mut some) = ([0; 3000], [0; 3000]);
        residues_from_xof(&mut reader(), &mut all);
        let mut reader = reader();
        for part in some.chunks_mut(7) {
            residues_from_xof(&mut reader, part);
        }
        assert_eq!(all, some);
    }
}

//! Check words and keyed digests: what the study's check key is for.
//!
//! The check key is known to every site and to no aggregator. From it and the round digest come
//! two vectors `rho` over `F_q`; a site's check words are `tau = sum_k rho_k m_k` over its packed
//! coefficients. Their sum opens with the key sum and never passes the aggregator, so an
//! aggregator that shifts the sum of the bodies is caught but for a chance of 2^-128.

use std::fmt;

use rand::CryptoRng;
use ringfence_crypto::Digest;
use ringfence_crypto::ciphertext::residues_from_xof;
use ringfence_crypto::field;
use ringfence_crypto::params::{CHECK_WORDS, RING_DEGREE};
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

/// The study's check key.
#[derive(ZeroizeOnDrop)]
pub struct CheckKey([u8; 32]);

/// A check key of a wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a check key of 32 bytes, got {0}")]
pub struct CheckKeyError(usize);

impl CheckKey {
    /// A fresh key, drawn by whoever makes the study file.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Self([0; 32]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// A key from its bytes.
    ///
    /// # Errors
    /// [`CheckKeyError`] unless there are 32 of them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckKeyError> {
        bytes.try_into().map(Self).map_err(|_| CheckKeyError(bytes.len()))
    }

    /// The key's bytes, to be sealed to a site.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest that stands in the study, so that every site sees that all got the same key. The
    /// key has 256 bits of entropy: the digest tells nothing of it.
    pub fn commitment(&self) -> Digest {
        self.keyed(b"ringfence/check-key/1", &[])
    }

    /// The digest under which a model is named to the aggregator, which cannot test a guess.
    pub fn model(&self, model: &Digest) -> Digest {
        self.keyed(b"ringfence/model/1", &model.0)
    }

    fn keyed(&self, label: &[u8], bytes: &[u8]) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(label).update(bytes);
        Digest::finish(&hasher)
    }

    /// Starts the check words over a round's packed coefficients.
    pub(crate) fn start(&self, round: &Digest) -> CheckSum<'_> {
        CheckSum { key: self, round: *round, block: 0, words: CheckWords([0; CHECK_WORDS]) }
    }
}

impl fmt::Debug for CheckKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckKey(not shown)")
    }
}

/// Check words of one site, or of a sum: secret until the sum is opened.
#[derive(ZeroizeOnDrop)]
pub(crate) struct CheckWords(pub(crate) [u64; CHECK_WORDS]);

impl CheckWords {
    /// Constant-time comparison.
    pub(crate) fn matches(&self, other: &[u64]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

/// Running check words, block by block.
pub(crate) struct CheckSum<'a> {
    key: &'a CheckKey,
    round: Digest,
    block: u64,
    words: CheckWords,
}

impl CheckSum<'_> {
    /// Adds the packed coefficients of the next block. The vectors of block `j` come from the
    /// keyed BLAKE3 output over label, round digest and `j`: first `rho_0`, then `rho_1`.
    pub(crate) fn add_block(&mut self, coefficients: &[u64; RING_DEGREE]) {
        let mut hasher = blake3::Hasher::new_keyed(&self.key.0);
        hasher.update(b"ringfence/check/1").update(&self.round.0).update(&self.block.to_le_bytes());
        let mut reader = hasher.finalize_xof();
        let mut rho = [0; RING_DEGREE];
        for word in &mut self.words.0 {
            residues_from_xof(&mut reader, &mut rho);
            for (rho, coefficient) in rho.iter().zip(coefficients) {
                *word = field::add(*word, field::mul(*rho, *coefficient));
            }
        }
        self.block += 1;
    }

    pub(crate) fn finish(self) -> CheckWords {
        self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;

    #[test]
    fn linear_and_sensitive_to_every_coefficient_and_block() {
        let key = CheckKey::generate(&mut rng(1));
        let round = Digest::of(b"round");
        let words = |blocks: &[[u64; RING_DEGREE]]| {
            let mut sum = key.start(&round);
            blocks.iter().for_each(|block| sum.add_block(block));
            sum.finish().0
        };
        let (mut a, mut b) = ([0; RING_DEGREE], [0; RING_DEGREE]);
        (a[0], a[17], b[17], b[4095]) = (5, 7, 11, 13);
        let both = std::array::from_fn(|k| a[k] + b[k]);
        for word in 0..CHECK_WORDS {
            let sum = field::add(words(&[a])[word], words(&[b])[word]);
            assert_eq!(words(&[both])[word], sum);
        }
        assert_ne!(words(&[a, b]), words(&[b, a]));
        assert_ne!(words(&[a]), words(&[[0; RING_DEGREE], a]));
    }
}

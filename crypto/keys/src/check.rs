//! Check words and keyed digests: what the study's check key is for.
//!
//! The check key is known to every site and to no aggregator. From it and the round digest come
//! two vectors `rho` over `F_q`; a site's check words are `tau = sum rho_{j,k} m_{j,k}` over its
//! packed coefficients. Their sum opens with the key sum and never passes the aggregator, so an
//! aggregator that shifts the sum of the bodies is caught but for a chance of 2^-126.

use std::fmt;

use rand::CryptoRng;
use ringfence_crypto::Digest;
use ringfence_crypto::ciphertext::residues_from_xof;
use ringfence_crypto::field;
use ringfence_crypto::params::{CHECK_WORDS, RING_DEGREE};
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use crate::secret::SecretWords;

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

    /// A digest that stands in the study, so that every site sees that all got the same key: keyed
    /// BLAKE3 over `"ringfence/check-key/1"`. The
    /// key has 256 bits of entropy: the digest tells nothing of it.
    pub fn commitment(&self) -> Digest {
        self.keyed(b"ringfence/check-key/1", &[])
    }

    /// The digest under which a model is named to the aggregator, which cannot test a guess: keyed
    /// BLAKE3 over `"ringfence/model/1" || model digest`.
    pub fn model(&self, model: &Digest) -> Digest {
        self.keyed(b"ringfence/model/1", &model.0)
    }

    fn keyed(&self, label: &[u8], bytes: &[u8]) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(label).update(bytes);
        Digest::finish(&hasher)
    }

    /// The vectors of a round.
    pub(crate) fn vectors(&self, round: &Digest) -> CheckVectors<'_> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"ringfence/check/1").update(&round.0);
        let mut reader = hasher.finalize_xof();
        let mut inside = [SecretWords::zeros(RING_DEGREE), SecretWords::zeros(RING_DEGREE)];
        for rho in &mut inside {
            residues_from_xof(&mut reader, rho.as_mut_slice());
        }
        CheckVectors { key: self, round: *round, inside }
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
    /// No block yet.
    pub(crate) fn zero() -> Self {
        Self([0; CHECK_WORDS])
    }

    /// Adds another block's words.
    pub(crate) fn add(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word = field::add(*word, *other);
        }
    }

    /// Constant-time comparison.
    pub(crate) fn matches(&self, other: &[u64]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

/// The vectors of a round: `rho_{j,k} = sigma_j rho_k` for coefficient `k` of block `j`, twice.
///
/// All are residues ([`residues_from_xof`]) of BLAKE3's extendable output under the check key: first
/// the N of the first `rho`, then the N of the second, over `"ringfence/check/1" || round digest`;
/// and for each block both `sigma_j`, over `"ringfence/check-block/1" || round digest || LE64(j)`.
///
/// A difference of sums that is not zero has, in some block, an inner product with `rho` that is
/// not zero but for a chance of 1/q; then the combination of blocks with the `sigma_j` is not zero
/// but for another 1/q (universal hashing composed with itself: Stinson 1994). Two independent
/// words leave a chance of `(2/q)^2`, 2^-126.
pub(crate) struct CheckVectors<'a> {
    key: &'a CheckKey,
    round: Digest,
    /// `rho` of each check word.
    inside: [SecretWords; CHECK_WORDS],
}

impl CheckVectors<'_> {
    /// What a block's packed coefficients add to the check words.
    ///
    /// Coefficients are below `q / Delta`, and `Delta` is at least 2^8 wherever the noise of three
    /// sites fits below it: so are 2^8 products below 2^128.
    pub(crate) fn of_block(&self, block: usize, coefficients: &[u64; RING_DEGREE]) -> CheckWords {
        let mut hasher = blake3::Hasher::new_keyed(&self.key.0);
        hasher.update(b"ringfence/check-block/1").update(&self.round.0);
        hasher.update(&(block as u64).to_le_bytes());
        let mut words = CheckWords([0; CHECK_WORDS]);
        residues_from_xof(&mut hasher.finalize_xof(), &mut words.0);
        for (word, rho) in words.0.iter_mut().zip(&self.inside) {
            let parts = rho.as_slice().chunks(1 << 8).zip(coefficients.chunks(1 << 8));
            let inside = parts.fold(0, |sum, (rho, coefficients)| {
                let products = rho.iter().zip(coefficients);
                let part = products.fold(0u128, |sum, (rho, coefficient)| {
                    sum.wrapping_add(u128::from(*rho) * u128::from(*coefficient))
                });
                field::add(sum, field::reduce(part))
            });
            *word = field::mul(*word, inside);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;
    use ringfence_crypto::params::MODULUS;

    #[test]
    fn linear_and_sensitive_to_every_coefficient_and_block() {
        let key = CheckKey::generate(&mut rng(1));
        let round = Digest::of(b"round");
        let vectors = key.vectors(&round);
        let words = |blocks: &[[u64; RING_DEGREE]]| {
            let mut sum = CheckWords::zero();
            let parts = blocks.iter().enumerate().map(|(j, block)| vectors.of_block(j, block));
            parts.for_each(|part| sum.add(&part));
            sum.0
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
        // The largest coefficients that a packing allows: lazily reduced products do not overflow.
        let largest = [(MODULUS - 1) >> 8; RING_DEGREE];
        for (word, rho) in words(&[largest]).iter().zip(&vectors.inside) {
            let sum = rho.as_slice().iter().fold(0, |sum, rho| field::add(sum, *rho));
            let ones = words(&[[1; RING_DEGREE]]);
            assert_eq!(field::mul(ones[0], largest[0]), words(&[largest])[0]);
            assert!(*word != 0 && sum != 0);
        }
    }
}

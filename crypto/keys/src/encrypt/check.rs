//! Check words and keyed digests: what the study's check key is for.
//!
//! The check key is known to every site and to no aggregator. From it and the manifest digest come
//! two vectors `rho` over `F_q`; a site's check words are `tau = sum rho_{j,k} m_{j,k}` over its
//! packed coefficients. Their sum opens with the key sum and never passes the aggregator, so an
//! aggregator that shifts the sum of the bodies is caught but for a chance of 2^-126.

use std::fmt;

use rand::CryptoRng;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{ManifestId, ModelId};
use ringfence_crypto::ring::ciphertext::residues_from_xof;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::ring::params::{CHECK_WORDS, RING_DEGREE};
use ringfence_crypto::vectorized;
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
    /// BLAKE3 over `"ringfence/check-key/1"`. The key has 256 bits of entropy: the digest tells
    /// nothing of it.
    pub fn commitment(&self) -> Digest {
        self.keyed(b"ringfence/check-key/1", &[])
    }

    /// The digest under which a model is named to the aggregator, which cannot test a guess: keyed
    /// BLAKE3 over `"ringfence/model/1" || model digest`.
    pub fn model(&self, model: &ModelId) -> Digest {
        self.keyed(b"ringfence/model/1", &model.0.0)
    }

    fn keyed(&self, label: &[u8], bytes: &[u8]) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(label).update(bytes);
        Digest::finish(&hasher)
    }

    /// The vectors of a round.
    pub(crate) fn vectors(&self, manifest: ManifestId, packing: &Packing) -> CheckVectors<'_> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"ringfence/check/1").update(&manifest.0.0);
        let mut reader = hasher.finalize_xof();
        let mut inside = [SecretWords::zeros(RING_DEGREE), SecretWords::zeros(RING_DEGREE)];
        for rho in &mut inside {
            residues_from_xof(&mut reader, rho.as_mut_slice());
        }
        let bits = u64::BITS - u32::from(packing.delta_bits);
        CheckVectors { key: self, manifest, inside, bits }
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
/// All are residues ([`residues_from_xof`]) of BLAKE3's extendable output under the check key:
/// first the N of the first `rho`, then the N of the second, over `"ringfence/check/1" || manifest
/// digest`; and for each block both `sigma_j`, over `"ringfence/check-block/1" || manifest digest
/// || LE64(j)`.
///
/// A difference of sums that is not zero has, in some block, an inner product with `rho` that is
/// not zero but for a chance of 1/q; then the combination of blocks with the `sigma_j` is not zero
/// but for another 1/q (universal hashing composed with itself: Stinson 1994). Two independent
/// words leave a chance of `(2/q)^2`, 2^-126.
pub(crate) struct CheckVectors<'a> {
    key: &'a CheckKey,
    manifest: ManifestId,
    /// `rho` of each check word.
    inside: [SecretWords; CHECK_WORDS],
    /// Bits of a coefficient: it is below `q / Delta`.
    bits: u32,
}

impl CheckVectors<'_> {
    /// What a block's packed coefficients add to the check words.
    pub(crate) fn of_block(&self, block: usize, coefficients: &[u64; RING_DEGREE]) -> CheckWords {
        let mut hasher = blake3::Hasher::new_keyed(&self.key.0);
        hasher.update(b"ringfence/check-block/1").update(&self.manifest.0.0);
        hasher.update(&(block as u64).to_le_bytes());
        let mut words = CheckWords([0; CHECK_WORDS]);
        residues_from_xof(&mut hasher.finalize_xof(), &mut words.0);
        for (word, rho) in words.0.iter_mut().zip(&self.inside) {
            *word = field::mul(*word, inner_product(rho.as_slice(), coefficients, self.bits));
        }
        words
    }
}

/// Bits of a piece of a coefficient: a product with half a residue has 52 bits, and 2^12 of them
/// add up to 64.
const PIECE: u32 = 20;

/// `sum_k rho_k m_k mod q` for coefficients of so many bits, with few reductions at the end.
fn inner_product(rho: &[u64], coefficients: &[u64; RING_DEGREE], bits: u32) -> u64 {
    let mut sum = 0;
    for shift in (0..bits).step_by(PIECE as usize) {
        let [low, high] = piece_product(rho, coefficients, shift);
        let part = field::reduce(u128::from(low) + (u128::from(high) << 32));
        sum = field::add(sum, field::mul(part, field::pow(2, u64::from(shift))));
    }
    sum
}

vectorized! {
    /// Inner products of the lower and the upper halves of residues with the 20 bits of each
    /// coefficient that start at `shift`.
    fn piece_product(rho: &[u64], coefficients: &[u64; RING_DEGREE], shift: u32) -> [u64; 2] {
        let (mut low, mut high) = (0u64, 0u64);
        for (rho, coefficient) in rho.iter().zip(coefficients) {
            let piece = coefficient >> shift & ((1 << PIECE) - 1);
            low = low.wrapping_add((rho & 0xFFFF_FFFF) * piece);
            high = high.wrapping_add((rho >> 32) * piece);
        }
        [low, high]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::rng;
    use ringfence_crypto::ring::params::MODULUS;

    #[test]
    fn linear_and_sensitive_to_every_coefficient_and_block() {
        let key = CheckKey::generate(&mut rng(1));
        let manifest = Digest::of(b"round").into();
        let vectors = key.vectors(manifest, &Packing::derive(16, 10).unwrap());
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
        // The largest words there are: lazily reduced products do not overflow.
        let largest = [MODULUS - 1; RING_DEGREE];
        let naive = |rho: &[u64]| rho.iter().fold(0, |sum, rho| field::sub(sum, *rho));
        for rho in &vectors.inside {
            assert_eq!(inner_product(rho.as_slice(), &largest, 64), naive(rho.as_slice()));
            assert_eq!(inner_product(&largest, &largest, 64), RING_DEGREE as u64);
        }
    }
}

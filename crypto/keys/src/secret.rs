//! Secret words: no Clone, no Serialize, no telling Debug, zeroized on drop.

use std::fmt;

use rand::CryptoRng;
use ringfence_crypto::ring::params::MODULUS;
use zeroize::ZeroizeOnDrop;

/// A vector of secret residues.
#[derive(ZeroizeOnDrop)]
pub(crate) struct SecretWords(Vec<u64>);

impl SecretWords {
    pub(crate) fn zeros(length: usize) -> Self {
        Self(vec![0; length])
    }

    /// Uniform residues; words at or above q are skipped (which tells nothing of those kept).
    pub(crate) fn uniform(length: usize, rng: &mut impl CryptoRng) -> Self {
        // Full length at once: growing would leave copies of secrets behind.
        let mut words = Self::zeros(length);
        for word in &mut words.0 {
            *word = loop {
                let candidate = rng.next_u64();
                if candidate < MODULUS {
                    break candidate;
                }
            };
        }
        words
    }

    pub(crate) fn as_slice(&self) -> &[u64] {
        &self.0
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u64] {
        &mut self.0
    }
}

impl From<Vec<u64>> for SecretWords {
    fn from(words: Vec<u64>) -> Self {
        Self(words)
    }
}

impl fmt::Debug for SecretWords {
    /// The length only: a log line must never hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretWords({} words)", self.0.len())
    }
}

//! A share of a sum of keys, or of one key that is opened: what key holders open.
//!
//! Masks are no part of it. What one holder was dealt is a [`DealtShare`], which no opening takes:
//! its masks must stay closed, or a review would be a linear equation of the key. This compiles:
//!
//! ```
//! # use ringfence_crypto::threshold::Threshold;
//! # use ringfence_keys::share::{reconstruct::KeySum, share::Share};
//! fn open(openings: &[(usize, Share)], threshold: &Threshold) {
//!     let _ = KeySum::reconstruct(openings, threshold, 1);
//! }
//! ```
//!
//! Shares as they were dealt do not:
//!
//! ```compile_fail
//! # use ringfence_crypto::threshold::Threshold;
//! # use ringfence_keys::share::{dealt::DealtShare, reconstruct::KeySum};
//! fn open(openings: &[(usize, DealtShare)], threshold: &Threshold) {
//!     let _ = KeySum::reconstruct(openings, threshold, 1);
//! }
//! ```

use std::fmt;

pub use ringfence_crypto::api::share_words;
use ringfence_crypto::ring::field::{self, ResidueError};
use ringfence_crypto::threshold::Threshold;

use super::dealt::DealtShare;
use crate::secret::SecretWords;

/// One holder's share of a sum of keys, or of one key.
pub struct Share(SecretWords);

impl Share {
    /// A share, or a sum of shares, from its words.
    ///
    /// # Errors
    /// [`ResidueError`] when the length is off or a word is not below q.
    pub fn from_bytes(bytes: &[u8], threshold: &Threshold) -> Result<Self, ResidueError> {
        field::parse_residues(bytes, share_words(threshold)).map(|words| Self(words.into()))
    }

    /// A share, or a sum of shares, from residues; none where their number is not that of a share.
    pub fn from_words(words: &[u64], threshold: &Threshold) -> Option<Self> {
        (words.len() == share_words(threshold)).then(|| Self(words.to_vec().into()))
    }

    /// The share's bytes, to be sealed at once.
    pub(crate) fn to_bytes(&self) -> zeroize::Zeroizing<Vec<u8>> {
        zeroize::Zeroizing::new(field::to_bytes(self.0.as_slice()))
    }

    /// The sum of the shares that one holder was dealt, without their masks: its share of the sum
    /// of the keys.
    pub(crate) fn sum<'a>(
        shares: impl Iterator<Item = &'a DealtShare>,
        threshold: &Threshold,
    ) -> Self {
        let mut total = SecretWords::zeros(share_words(threshold));
        for share in shares {
            for (sum, word) in total.as_mut_slice().iter_mut().zip(share.key_words()) {
                *sum = field::add(*sum, *word);
            }
        }
        Self(total)
    }

    pub(crate) fn words(&self) -> &[u64] {
        self.0.as_slice()
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({:?})", self.0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::dealt::tests::dealt;
    use super::*;
    use crate::testing::rng;
    use ringfence_crypto::ring::params::{KEY_WORDS, MODULUS};

    pub(crate) fn shares_of(secret: &[u64], threshold: &Threshold, seed: u64) -> Vec<Share> {
        let shares = dealt(secret, threshold, seed);
        shares.iter().map(|share| Share::sum(std::iter::once(share), threshold)).collect()
    }

    pub(crate) fn secret(seed: u64) -> Vec<u64> {
        SecretWords::uniform(KEY_WORDS, &mut rng(seed)).as_slice().to_vec()
    }

    #[test]
    fn refuses_residues_at_or_above_q() {
        let threshold = Threshold::derive(3, 1, 1, 3).unwrap();
        let mut bytes = vec![0; share_words(&threshold) * 8];
        assert!(Share::from_bytes(&bytes, &threshold).is_ok());
        assert!(Share::from_bytes(&bytes[8..], &threshold).is_err());
        bytes[..8].copy_from_slice(&MODULUS.to_le_bytes());
        let error = Share::from_bytes(&bytes, &threshold).unwrap_err();
        assert!(matches!(error, ResidueError::TooLarge { index: 0, .. }), "{error}");
    }

    #[test]
    fn a_sum_has_the_key_s_words_and_no_masks() {
        let threshold = Threshold::derive(5, 1, 2, 5).unwrap();
        let (a, b) = (dealt(&secret(1), &threshold, 1), dealt(&secret(2), &threshold, 2));
        let sum = Share::sum([&a[3], &b[3]].into_iter(), &threshold);
        assert_eq!(sum.words().len(), share_words(&threshold));
        let added = a[3].key_words().iter().zip(b[3].key_words());
        assert!(added.map(|(a, b)| field::add(*a, *b)).eq(sum.words().iter().copied()));
        let bytes = field::to_bytes(a[3].words());
        assert!(Share::from_bytes(&bytes, &threshold).is_err(), "masks came with it");
    }
}

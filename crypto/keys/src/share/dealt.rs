//! What a dealer deals to one holder: a share of its key, and masks for the holder's review.
//!
//! A share dealt is `W + 2` words: the holder's values of the `W` polynomials that carry the key's
//! words, and of two polynomials that carry nothing, the *masks* `g_0` and `g_1`. A holder's review
//! adds a mask to each random functional of its share that it publishes
//! ([`Challenge`](super::challenge::Challenge)).
//!
//! The first `t - l` holders' shares are expanded from 32-byte seeds, and only the seeds are dealt
//! to them: what is random need not travel in full. A seed's share is the `W + 2` residues
//! ([`residues_from_xof`]) of BLAKE3's extendable output over `"ringfence/share/1" || seed`. The
//! other holders are dealt their share's words as 8-byte little-endian numbers.

use std::fmt;

use ringfence_crypto::ring::ciphertext::residues_from_xof;
use ringfence_crypto::ring::field::{self, ResidueError};
use ringfence_crypto::ring::xof::Xof;
use ringfence_crypto::threshold::Threshold;

use super::share::share_words;
use crate::secret::SecretWords;

/// Masks of a dealing: one for each of a review's two words.
pub const MASKS: usize = 2;

/// Words that one holder is dealt: `W` of the key's polynomials, and the masks.
pub fn dealt_words(threshold: &Threshold) -> usize {
    share_words(threshold) + MASKS
}

/// Bytes of a seed.
pub(super) const SEED_BYTES: usize = 32;

/// Holders at the start of the window that are dealt a seed: `t - l`, at least `c`.
pub(super) fn seeded(threshold: &Threshold) -> usize {
    usize::from(threshold.opening.saturating_sub(threshold.packing).min(threshold.holders))
}

/// Bytes that a dealer seals to the holder at a window offset.
pub fn dealt_bytes(threshold: &Threshold, offset: usize) -> usize {
    if offset < seeded(threshold) { SEED_BYTES } else { dealt_words(threshold) * 8 }
}

/// What a dealer seals to one holder.
pub(crate) struct Dealt(pub(super) zeroize::Zeroizing<Vec<u8>>);

impl Dealt {
    /// The bytes to seal.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// One holder's share of one dealer's key, with its masks. It answers challenges and gives
/// functionals of the key; what is opened is a [`Share`](super::share::Share) made of it.
pub struct DealtShare {
    /// `W` words of the key's polynomials, then the masks.
    words: SecretWords,
    key_words: usize,
}

impl DealtShare {
    /// The share that a holder at a window offset was dealt.
    ///
    /// # Errors
    /// [`ResidueError`] when the length is off or a word is not below q.
    pub(crate) fn from_dealt(
        bytes: &[u8],
        threshold: &Threshold,
        offset: usize,
    ) -> Result<Self, ResidueError> {
        let expected = dealt_bytes(threshold, offset);
        if bytes.len() != expected {
            return Err(ResidueError::Length { expected, got: bytes.len() });
        }
        if offset < seeded(threshold) {
            return Ok(Self::from_seed(bytes, threshold));
        }
        let words = field::parse_residues(bytes, dealt_words(threshold))?;
        Ok(Self::from_words(words.into(), threshold))
    }

    /// A share of these `W + 2` words.
    pub(super) fn from_words(words: SecretWords, threshold: &Threshold) -> Self {
        Self { words, key_words: share_words(threshold) }
    }

    /// The share that a seed stands for: residues from BLAKE3's extendable output.
    pub(super) fn from_seed(seed: &[u8], threshold: &Threshold) -> Self {
        let mut words = SecretWords::zeros(dealt_words(threshold));
        residues_from_xof(&mut Xof::new(&[b"ringfence/share/1", seed]), words.as_mut_slice());
        Self::from_words(words, threshold)
    }

    /// All words in full, to be sealed at once.
    pub(super) fn into_dealt(self) -> Dealt {
        Dealt(zeroize::Zeroizing::new(field::to_bytes(self.words.as_slice())))
    }

    /// The `W` values of the polynomials that carry the key's words.
    pub(crate) fn key_words(&self) -> &[u64] {
        self.words.as_slice().split_at(self.key_words).0
    }

    /// The values of `g_0` and `g_1`.
    pub(super) fn masks(&self) -> &[u64] {
        self.words.as_slice().split_at(self.key_words).1
    }

    /// All `W + 2` words: the key's, then the masks.
    pub(crate) fn words(&self) -> &[u64] {
        self.words.as_slice()
    }
}

impl fmt::Debug for DealtShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DealtShare({:?})", self.words)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::deal::share_vector;
    use super::*;
    use crate::testing::rng;
    use ringfence_crypto::ring::params::MODULUS;

    /// What all holders are dealt of this key vector.
    pub(crate) fn dealt(secret: &[u64], threshold: &Threshold, seed: u64) -> Vec<DealtShare> {
        let dealt = share_vector(&secret.to_vec().into(), threshold, &mut rng(seed));
        let shares = dealt.iter().enumerate();
        shares
            .map(|(k, dealt)| DealtShare::from_dealt(dealt.as_bytes(), threshold, k).unwrap())
            .collect()
    }

    /// The share with one of its words raised by one.
    pub(crate) fn altered(share: &DealtShare, word: usize, threshold: &Threshold) -> DealtShare {
        let mut words = share.words().to_vec();
        words[word] = field::add(words[word], 1);
        DealtShare::from_words(words.into(), threshold)
    }

    #[test]
    fn masks_are_dealt_and_counted() {
        // (5, 1, 2): t = 3, so the first holder is dealt a seed.
        let threshold = Threshold::derive(5, 1, 2, 5).unwrap();
        assert_eq!([0, 1, 4].map(|k| dealt_bytes(&threshold, k)), [32, 2050 * 8, 2050 * 8]);
        let mut bytes = vec![0; dealt_bytes(&threshold, 4)];
        let share = DealtShare::from_dealt(&bytes, &threshold, 4).unwrap();
        assert_eq!((share.key_words().len(), share.masks().len()), (2048, 2));
        let short = DealtShare::from_dealt(&bytes[16..], &threshold, 4).unwrap_err();
        assert_eq!(short, ResidueError::Length { expected: 2050 * 8, got: 2048 * 8 });
        bytes[2049 * 8..].copy_from_slice(&MODULUS.to_le_bytes());
        let error = DealtShare::from_dealt(&bytes, &threshold, 4).unwrap_err();
        assert_eq!(error, ResidueError::TooLarge { index: 2049, value: MODULUS });
        // A seed stands for as many words.
        let seeded = DealtShare::from_dealt(&bytes[..32], &threshold, 0).unwrap();
        assert_eq!(seeded.words().len(), 2050);
        assert_eq!(format!("{seeded:?}"), "DealtShare(SecretWords(2050 words))");
    }
}

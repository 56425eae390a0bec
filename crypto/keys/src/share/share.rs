//! Sharing a key vector among the key holders: Shamir over `F_q`, `l` words a polynomial.
//!
//! The vector is padded with zeros to a multiple of l; its words `w l` up to `w l + l - 1` are the
//! secrets of polynomial `w`, and word `w` of a share is that polynomial's value.
//!
//! A polynomial of degree t - 1 has its secrets at 0, -1, ..., -(l-1) and its shares at 1..m. It is
//! fixed by its t values at the secrets' points and at the first t - l holders' points; the latter
//! are drawn at random, so any t - l >= c shares are independent of the secrets, and the remaining
//! shares are public linear combinations of those t values (Shamir 1979; Franklin and Yung 1992).
//!
//! The first t - l holders' shares are expanded from 32-byte seeds, and only the seeds are dealt to
//! them: what is random need not travel in full. A seed's share is the residues
//! ([`residues_from_xof`]) of BLAKE3's extendable output over `"ringfence/share/1" || seed`. The
//! other holders are dealt their share's words as 8-byte little-endian numbers.

use std::fmt;

use rand::CryptoRng;
use ringfence_crypto::ring::ciphertext::residues_from_xof;
use ringfence_crypto::ring::codeword::{holder_point, lagrange, secret_point};
use ringfence_crypto::ring::field::{self, ResidueError};
use ringfence_crypto::ring::params::KEY_WORDS;
use ringfence_crypto::threshold::Threshold;

use crate::encrypt::one_time_key::UsedKey;
use crate::secret::SecretWords;

/// One holder's share of one key vector, or of a sum of them.
pub struct Share(SecretWords);

/// Words of one share: one for each polynomial.
pub fn share_words(threshold: &Threshold) -> usize {
    KEY_WORDS.div_ceil(usize::from(threshold.packing))
}

/// What a dealer seals to one holder.
pub(crate) struct Dealt(zeroize::Zeroizing<Vec<u8>>);

impl Dealt {
    /// The bytes to seal.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Bytes of a seed.
const SEED_BYTES: usize = 32;

/// Holders at the start of the window that are dealt a seed: `t - l`, at least `c`.
fn seeded(threshold: &Threshold) -> usize {
    usize::from(threshold.opening.saturating_sub(threshold.packing).min(threshold.holders))
}

/// Bytes that a dealer seals to the holder at a window offset.
pub fn dealt_bytes(threshold: &Threshold, offset: usize) -> usize {
    if offset < seeded(threshold) { SEED_BYTES } else { share_words(threshold) * 8 }
}

impl UsedKey {
    /// Shares the key among `m` holders and destroys it. Entry `k` is for the holder at offset `k`
    /// of the window.
    pub(crate) fn share(self, threshold: &Threshold, rng: &mut impl CryptoRng) -> Vec<Dealt> {
        share_vector(&self.into_key_vector(), threshold, rng)
    }
}

pub(crate) fn share_vector(
    secret: &SecretWords,
    threshold: &Threshold,
    rng: &mut impl CryptoRng,
) -> Vec<Dealt> {
    let (m, l) = (usize::from(threshold.holders), usize::from(threshold.packing));
    // `Threshold` guarantees t >= c + l, so t - l >= c shares are free.
    let free = seeded(threshold);
    let mut dealt = Vec::with_capacity(m);
    let mut known = Vec::with_capacity(free);
    for _ in 0..free {
        let mut seed = zeroize::Zeroizing::new(vec![0; SEED_BYTES]);
        rng.fill_bytes(&mut seed);
        known.push(Share::from_seed(&seed, threshold));
        dealt.push(Dealt(seed));
    }
    let nodes: Vec<u64> = (0..l).map(secret_point).chain((0..free).map(holder_point)).collect();
    for offset in free..m {
        let weights = lagrange(&nodes, holder_point(offset));
        let (of_secrets, of_shares) = weights.split_at(l);
        let mut share = SecretWords::zeros(share_words(threshold));
        for (w, word) in share.as_mut_slice().iter_mut().enumerate() {
            for (i, weight) in of_secrets.iter().enumerate() {
                // Zero-padded to a multiple of l; the index is public.
                let value = secret.as_slice().get(w * l + i).copied().unwrap_or(0);
                *word = field::add(*word, field::mul(*weight, value));
            }
            for (known, weight) in known.iter().zip(of_shares) {
                *word = field::add(*word, field::mul(*weight, known.words()[w]));
            }
        }
        dealt.push(Dealt(Share(share).to_bytes()));
    }
    dealt
}

impl Share {
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
        match (bytes.len() == expected, offset < seeded(threshold)) {
            (false, _) => Err(ResidueError::Length { expected, got: bytes.len() }),
            (true, true) => Ok(Self::from_seed(bytes, threshold)),
            (true, false) => Self::from_bytes(bytes, threshold),
        }
    }

    /// The share that a seed stands for: residues from BLAKE3's extendable output.
    fn from_seed(seed: &[u8], threshold: &Threshold) -> Self {
        let mut hasher = zeroize::Zeroizing::new(blake3::Hasher::new());
        hasher.update(b"ringfence/share/1").update(seed);
        let mut reader = zeroize::Zeroizing::new(hasher.finalize_xof());
        let mut words = SecretWords::zeros(share_words(threshold));
        residues_from_xof(&mut reader, words.as_mut_slice());
        Self(words)
    }

    /// A share, or a sum of shares, from its words.
    ///
    /// # Errors
    /// [`ResidueError`] when the length is off or a word is not below q.
    pub fn from_bytes(bytes: &[u8], threshold: &Threshold) -> Result<Self, ResidueError> {
        field::parse_residues(bytes, share_words(threshold)).map(|words| Self(words.into()))
    }

    /// The share's bytes, to be sealed at once.
    pub(crate) fn to_bytes(&self) -> zeroize::Zeroizing<Vec<u8>> {
        zeroize::Zeroizing::new(field::to_bytes(self.0.as_slice()))
    }

    /// The sum of the shares that one holder was dealt: its share of the sum of the keys.
    pub(crate) fn sum<'a>(shares: impl Iterator<Item = &'a Self>, threshold: &Threshold) -> Self {
        let mut total = SecretWords::zeros(share_words(threshold));
        for share in shares {
            for (sum, word) in total.as_mut_slice().iter_mut().zip(share.0.as_slice()) {
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
    use super::*;
    use crate::testing::rng;
    use ringfence_crypto::ring::params::MODULUS;

    pub(crate) fn shares_of(secret: &[u64], threshold: &Threshold, seed: u64) -> Vec<Share> {
        let dealt = share_vector(&secret.to_vec().into(), threshold, &mut rng(seed));
        let shares = dealt.iter().enumerate();
        shares
            .map(|(k, dealt)| Share::from_dealt(dealt.as_bytes(), threshold, k).unwrap())
            .collect()
    }

    pub(crate) fn secret(seed: u64) -> Vec<u64> {
        SecretWords::uniform(KEY_WORDS, &mut rng(seed)).as_slice().to_vec()
    }

    #[test]
    fn any_c_shares_are_consistent_with_any_secret() {
        // For every c holders there is a polynomial with the same shares and another secret: the
        // c + l points are at most t. Here: the map from free values to c shares has full rank.
        for (m, c, l) in [(3, 1, 1), (5, 1, 1), (10, 2, 2), (8, 2, 1)] {
            let threshold = Threshold::derive(m, c, l, usize::from(m)).unwrap();
            let free = usize::from(threshold.opening - l);
            assert!(free >= usize::from(c));
            let nodes: Vec<u64> =
                (0..usize::from(l)).map(secret_point).chain((0..free).map(holder_point)).collect();
            // c = 1 or 2: one share, or two, as linear forms in the free values.
            let forms: Vec<Vec<u64>> = (0..usize::from(m))
                .map(|k| lagrange(&nodes, holder_point(k))[usize::from(l)..].to_vec())
                .collect();
            for (i, a) in forms.iter().enumerate() {
                assert!(a.iter().any(|weight| *weight != 0), "holder {i} sees the secret alone");
                for b in forms.iter().skip(i + 1).filter(|_| c == 2) {
                    let dependent = (0..free).all(|r| {
                        (0..free).all(|s| field::mul(a[r], b[s]) == field::mul(a[s], b[r]))
                    });
                    assert!(!dependent, "two holders see a combination of secrets");
                }
            }
        }
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
}

//! Sharing a key vector among the key holders: Shamir over `F_q`, `l` words a polynomial.
//!
//! The vector is padded with zeros to a multiple of l; its words `w l` up to `w l + l - 1` are the
//! secrets of polynomial `w`, and word `w` of a share is that polynomial's value. The two
//! polynomials after them are the masks, whose secrets are drawn at random too.
//!
//! A polynomial of degree t - 1 has its secrets at 0, -1, ..., -(l-1) and its shares at 1..m. It is
//! fixed by its t values at the secrets' points and at the first t - l holders' points; the latter
//! are drawn at random, so any t - l >= c shares are independent of the secrets, and the remaining
//! shares are public linear combinations of those t values (Shamir 1979; Franklin and Yung 1992).
//! A mask is random in all t values, so the values that t holders have of it are independent.
//!
//! Randomness is drawn in this order: the seeds, in window order; the l secrets of `g_0`, then
//! those of `g_1`, each a uniform residue.

use rand::CryptoRng;
use ringfence_crypto::ring::codeword::{holder_point, lagrange, secret_point};
use ringfence_crypto::ring::field;
use ringfence_crypto::threshold::Threshold;

use super::dealt::{Dealt, DealtShare, MASKS, SEED_BYTES, dealt_words, seeded};
use super::share::share_words;
use crate::encrypt::one_time_key::UsedKey;
use crate::encrypt::self_check::SelfCheckError;
use crate::secret::SecretWords;

impl UsedKey {
    /// Shares the key among `m` holders and destroys it. Entry `k` is for the holder at offset `k`
    /// of the window.
    ///
    /// # Errors
    /// [`SelfCheckError::Shares`] when what was dealt is not a sharing of the key that encrypted.
    pub(crate) fn share(
        self,
        threshold: &Threshold,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Dealt>, SelfCheckError> {
        let (key, copy) = self.into_key_vectors();
        let dealt = share_vector(&key, threshold, rng);
        match carries(&dealt, &copy, threshold) {
            true => Ok(dealt),
            false => Err(SelfCheckError::Shares),
        }
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
        known.push(DealtShare::from_seed(&seed, threshold));
        dealt.push(Dealt(seed));
    }
    let masks = SecretWords::uniform(MASKS * l, rng);
    let secrets = Secrets { key: secret, masks: &masks, l, key_words: share_words(threshold) };
    let nodes: Vec<u64> = (0..l).map(secret_point).chain((0..free).map(holder_point)).collect();
    for offset in free..m {
        let weights = lagrange(&nodes, holder_point(offset));
        let (of_secrets, of_shares) = weights.split_at(l);
        let mut share = SecretWords::zeros(dealt_words(threshold));
        for (w, word) in share.as_mut_slice().iter_mut().enumerate() {
            for (i, weight) in of_secrets.iter().enumerate() {
                *word = field::add(*word, field::mul(*weight, secrets.get(w, i)));
            }
            for (known, weight) in known.iter().zip(of_shares) {
                *word = field::add(*word, field::mul(*weight, known.words()[w]));
            }
        }
        dealt.push(DealtShare::from_words(share, threshold).into_dealt());
    }
    dealt
}

/// The secrets of all polynomials.
struct Secrets<'a> {
    key: &'a SecretWords,
    masks: &'a SecretWords,
    l: usize,
    key_words: usize,
}

impl Secrets<'_> {
    /// The i-th secret of polynomial `w`; both are public. Keys are zero-padded to a multiple of l.
    fn get(&self, w: usize, i: usize) -> u64 {
        let word = match w.checked_sub(self.key_words) {
            None => self.key.as_slice().get(w * self.l + i),
            Some(mask) => self.masks.as_slice().get(mask * self.l + i),
        };
        word.copied().unwrap_or(0)
    }
}

/// Whether what was dealt lies on polynomials of degree below t whose secrets are the key, by
/// interpolation from other points than it was made from. In constant time.
fn carries(dealt: &[Dealt], key: &SecretWords, threshold: &Threshold) -> bool {
    let (t, l) = (usize::from(threshold.opening), usize::from(threshold.packing));
    let shares = (dealt.iter().enumerate())
        .map(|(k, dealt)| DealtShare::from_dealt(dealt.as_bytes(), threshold, k));
    let shares: Result<Vec<DealtShare>, _> = shares.collect();
    let Ok(shares) = shares else { return false };
    if shares.len() != usize::from(threshold.holders) {
        return false;
    }
    let Some((base, rest)) = shares.split_at_checked(t) else { return false };
    let nodes: Vec<u64> = (0..t).map(holder_point).collect();
    let mut difference = 0;
    for (share, offset) in rest.iter().zip(t..) {
        let weights = lagrange(&nodes, holder_point(offset));
        for (w, word) in share.words().iter().enumerate() {
            difference |= combine(base, &weights, w) ^ word;
        }
    }
    for i in 0..l {
        let weights = lagrange(&nodes, secret_point(i));
        for w in 0..share_words(threshold) {
            let word = key.as_slice().get(w * l + i).copied().unwrap_or(0);
            difference |= combine(base, &weights, w) ^ word;
        }
    }
    difference == 0
}

/// A combination of word `w` of the shares.
fn combine(shares: &[DealtShare], weights: &[u64], w: usize) -> u64 {
    shares
        .iter()
        .zip(weights)
        .fold(0, |sum, (share, weight)| field::add(sum, field::mul(*weight, share.words()[w])))
}

#[cfg(test)]
mod tests {
    use super::super::dealt::tests::altered;
    use super::super::share::tests::secret;
    use super::*;
    use crate::testing::rng;

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
    fn a_dealing_with_a_wrong_word_anywhere_is_noticed() {
        // (3, 1, 1) and (7, 1, 3): l does not divide 4096 in the latter.
        for (m, c, l) in [(3, 1, 1), (7, 1, 3), (10, 2, 2)] {
            let threshold = Threshold::derive(m, c, l, usize::from(m)).unwrap();
            let key: SecretWords = secret(3).into();
            let deal = || share_vector(&key, &threshold, &mut rng(4));
            assert!(carries(&deal(), &key, &threshold), "({m}, {c}, {l})");
            let words = dealt_words(&threshold);
            for offset in 0..usize::from(m) {
                for word in [0, 1, words - 3, words - 2, words - 1] {
                    let mut dealt = deal();
                    if offset < seeded(&threshold) {
                        // Another share, all of it.
                        dealt[offset].0[word % SEED_BYTES] ^= 1;
                    } else {
                        let bytes = dealt[offset].as_bytes();
                        let share = DealtShare::from_dealt(bytes, &threshold, offset).unwrap();
                        dealt[offset] = altered(&share, word, &threshold).into_dealt();
                    }
                    assert!(!carries(&dealt, &key, &threshold), "holder {offset}, word {word}");
                }
            }
            // A sound sharing of another vector.
            let mut other = secret(3);
            other[4095] = field::add(other[4095], 1);
            assert!(!carries(&deal(), &other.into(), &threshold));
            let few = &deal()[..usize::from(m) - 1];
            assert!(!carries(few, &key, &threshold), "a share is missing");
        }
    }
}

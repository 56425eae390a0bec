//! The challenge that a freeze poses, and what a holder answers of a share that it was dealt.
//!
//! The factors `gamma_{e,p}` are the residues ([`residues_from_xof`]) of BLAKE3's extendable output
//! over `"ringfence/review/2" || digest of the freeze`: `gamma_{0,0}` to `gamma_{0,W-1}`, then
//! `gamma_{1,0}` to `gamma_{1,W-1}`. The answer's words are
//! `y_e = g_e(k) + sum_p gamma_{e,p} P_p(k)` at the holder's point `k`.
//!
//! For an honest dealer the answers of all holders lie on polynomials of degree below t. The masks
//! `g_e` are uniform, so those polynomials are too, whatever the key is: answers to one challenge
//! tell nothing. Answers to two challenges would: their difference has no mask.

use ringfence_crypto::id::FreezeId;
use ringfence_crypto::ring::ciphertext::residues_from_xof;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::xof::Xof;
use ringfence_crypto::threshold::Threshold;

use super::dealt::{DealtShare, MASKS};
use super::share::share_words;

/// The factors of a freeze's challenge, the same for every dealer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// `gamma_e` for each mask, `W` factors each.
    factors: [Vec<u64>; MASKS],
}

impl Challenge {
    /// The challenge of a freeze, which is given by its digest, in a study with these thresholds.
    pub fn of(freeze: FreezeId, threshold: &Threshold) -> Self {
        let mut reader = Xof::new(&[b"ringfence/review/2", &freeze.0.0]);
        let factors = std::array::from_fn(|_| {
            let mut factors = vec![0; share_words(threshold)];
            residues_from_xof(&mut reader, &mut factors);
            factors
        });
        Self { factors }
    }
}

impl DealtShare {
    /// The answer to a challenge of the same study: two masked functionals of the share. In
    /// constant time.
    pub fn answer(&self, challenge: &Challenge) -> [u64; MASKS] {
        let mut answer = [0; MASKS];
        for ((word, mask), factors) in answer.iter_mut().zip(self.masks()).zip(&challenge.factors) {
            debug_assert_eq!(factors.len(), self.key_words().len(), "another study's challenge");
            *word = factors
                .iter()
                .zip(self.key_words())
                .fold(*mask, |sum, (factor, value)| field::add(sum, field::mul(*factor, *value)));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use ringfence_crypto::Digest;
    use ringfence_crypto::ring::codeword::{Words, holder_point, lagrange, secret_point};

    use super::super::dealt::tests::{altered, dealt};
    use super::super::dealt::{dealt_words, seeded};
    use super::super::share::tests::secret;
    use super::*;

    /// `(m, c, l)`: with as many holders as need be, and with more; in the third l divides no 4096.
    const CASES: [(u16, u16, u16); 6] =
        [(3, 1, 1), (5, 1, 2), (7, 1, 3), (7, 2, 1), (10, 2, 2), (16, 4, 4)];

    fn threshold((m, c, l): (u16, u16, u16)) -> Threshold {
        Threshold::derive(m, c, l, usize::from(m)).unwrap()
    }

    fn challenge(threshold: &Threshold) -> Challenge {
        Challenge::of(Digest::of(b"freeze").into(), threshold)
    }

    /// The holders' answers, a codeword for each mask.
    fn answers(shares: &[DealtShare], challenge: &Challenge) -> [Words; MASKS] {
        let answers: Vec<[u64; MASKS]> = shares.iter().map(|s| s.answer(challenge)).collect();
        std::array::from_fn(|e| Words {
            points: (0..shares.len()).map(holder_point).collect(),
            values: answers.iter().map(|answer| answer[e]).collect(),
        })
    }

    /// The value at a point of the polynomial through the first t words.
    fn value_at(words: &Words, t: usize, x: u64) -> u64 {
        let weights = lagrange(&words.points[..t], x);
        let terms = weights.iter().zip(&words.values);
        terms.fold(0, |sum, (weight, value)| field::add(sum, field::mul(*weight, *value)))
    }

    #[test]
    fn honest_answers_lie_on_a_polynomial_and_those_of_a_wrong_share_do_not() {
        for case in CASES {
            let threshold = threshold(case);
            let (m, t) = (usize::from(threshold.holders), usize::from(threshold.opening));
            let challenge = challenge(&threshold);
            let mut shares = dealt(&secret(1), &threshold, 2);
            for words in answers(&shares, &challenge) {
                assert_eq!(words.strays(t, m), Some(vec![]), "{case:?}");
            }
            for (holder, word) in [(0, 0), (1, 7), (m - 1, dealt_words(&threshold) - 3)] {
                let wrong = altered(&shares[holder], word, &threshold);
                let right = std::mem::replace(&mut shares[holder], wrong);
                for words in answers(&shares, &challenge) {
                    assert_eq!(words.strays(t, m), None, "{case:?}: word {word} of {holder}");
                    if m >= t + 2 {
                        assert_eq!(words.strays(t, m - 1), Some(vec![holder]), "{case:?}");
                    }
                }
                shares[holder] = right;
            }
        }
    }

    #[test]
    fn answers_of_a_key_are_masked_anew_in_each_dealing() {
        for case in CASES {
            let threshold = threshold(case);
            let (t, challenge) = (usize::from(threshold.opening), challenge(&threshold));
            let key = secret(1);
            let [first, second] =
                [2, 3].map(|seed| answers(&dealt(&key, &threshold, seed), &challenge));
            for e in 0..MASKS {
                let pairs = first[e].values.iter().zip(&second[e].values);
                assert!(pairs.into_iter().all(|(a, b)| a != b), "{case:?}");
                for i in 0..usize::from(threshold.packing) {
                    // What holders together could compute of the key, were there no mask: the same
                    // combination of its words in every dealing.
                    let at = secret_point(i);
                    let words = key.iter().skip(i).step_by(usize::from(threshold.packing));
                    let of_key = challenge.factors[e]
                        .iter()
                        .zip(words)
                        .fold(0, |sum, (f, word)| field::add(sum, field::mul(*f, *word)));
                    assert_ne!(value_at(&first[e], t, at), of_key, "{case:?}: secret {i}");
                    assert_ne!(value_at(&first[e], t, at), value_at(&second[e], t, at), "{case:?}");
                }
            }
            assert!(first[0] != first[1], "{case:?}: one mask for both words");
        }
    }

    /// Rank of a matrix over `F_q`.
    fn rank(mut rows: Vec<Vec<u64>>) -> usize {
        let mut rank = 0;
        for column in 0..rows.first().map_or(0, Vec::len) {
            let Some(pivot) = (rank..rows.len()).find(|r| rows[*r][column] != 0) else { continue };
            rows.swap(rank, pivot);
            let inverse = field::inv(rows[rank][column]).unwrap();
            for r in rank + 1..rows.len() {
                let factor = field::mul(rows[r][column], inverse);
                for c in column..rows[r].len() {
                    rows[r][c] = field::sub(rows[r][c], field::mul(factor, rows[rank][c]));
                }
            }
            rank += 1;
        }
        rank
    }

    #[test]
    fn any_t_answers_are_uniform_whatever_the_key_is() {
        for case in CASES {
            let threshold = threshold(case);
            let (m, l) = (usize::from(threshold.holders), usize::from(threshold.packing));
            let (t, challenge) = (usize::from(threshold.opening), challenge(&threshold));
            // The mask's value is added to an answer as it is, and to the one it is for.
            let shares = dealt(&secret(1), &threshold, 2);
            for e in 0..MASKS {
                let masked = altered(&shares[m - 1], share_words(&threshold) + e, &threshold);
                let mut expected = shares[m - 1].answer(&challenge);
                expected[e] = field::add(expected[e], 1);
                assert_eq!(masked.answer(&challenge), expected, "{case:?}");
            }
            // The t values that a mask is drawn by, its secrets and the seeded holders' words, give
            // the t values of any t holders one to one.
            let nodes: Vec<u64> =
                (0..l).map(secret_point).chain((0..seeded(&threshold)).map(holder_point)).collect();
            assert_eq!(nodes.len(), t);
            for first in 0..=m - t {
                let row = |k| lagrange(&nodes, holder_point(k));
                assert_eq!(rank((first..first + t).map(row).collect()), t, "{case:?}");
            }
        }
    }

    #[test]
    fn factors_follow_from_the_freeze_in_one_stream() {
        let threshold = threshold((5, 1, 2));
        let challenge = challenge(&threshold);
        let mut all = vec![0; 2 * share_words(&threshold)];
        let freeze = Digest::of(b"freeze");
        residues_from_xof(&mut Xof::new(&[b"ringfence/review/2", &freeze.0]), &mut all);
        assert_eq!(challenge.factors.concat(), all);
        assert_ne!(challenge, Challenge::of(Digest::of(b"another").into(), &threshold));
    }
}

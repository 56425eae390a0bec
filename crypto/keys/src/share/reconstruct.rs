//! From openings to the sum of the keys: interpolation, and correction of lies.
//!
//! The openings at one position are a Reed-Solomon codeword of dimension t. All openings present
//! are used: `k` of them correct `(k - t) / 2` lies at each position (Berlekamp and Welch). Of the
//! holders whose openings count at most `c'` lie, the round's number of corrupt sites that no entry
//! of the trust stands for: `free` in what follows. With fewer than `t + c'` openings on one codeword
//! it is not determined, and there may be several: each that comes from leaving out up to `c'`
//! openings is a candidate, and the one whose sum decodes is right.
//!
//! One site's key is reconstructed from the holders' whole shares of it in the same way.

use ringfence_crypto::ring::codeword::{Words, holder_point, lagrange, secret_point};
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::KEY_WORDS;
use ringfence_crypto::threshold::Threshold;

use crate::secret::SecretWords;
use crate::share::share::{Share, share_words};

/// The sum of the keys over a certified set, or the key of one site.
#[derive(Debug)]
pub struct KeySum {
    words: SecretWords,
    /// Window offsets whose openings are not on the codeword: a lying holder, or a dealer who lied
    /// to it. Only where the sum is determined: with fewer than `t + c'` openings on one codeword an
    /// honest holder might be named, and nobody is.
    pub disagreeing: Vec<usize>,
    /// Openings that lie on the codeword.
    pub agreeing: usize,
}

/// Most sets of openings that are left out one after the other in search of a sum that decodes.
const MAX_CANDIDATES: usize = 512;

/// The openings do not determine the sum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconstructError {
    /// Too few of them.
    #[error("{got} openings came, needed {needed}: too few key holders answered")]
    TooFew {
        /// t.
        needed: u16,
        /// Openings that came.
        got: usize,
    },
    /// More lies than can be corrected.
    #[error(
        "the {got} openings disagree, and at most {correctable} lies can be corrected (t = {needed}); more openings are needed"
    )]
    Inconsistent {
        /// t.
        needed: u16,
        /// Openings that came.
        got: usize,
        /// `(k - t) / 2`.
        correctable: usize,
    },
}

impl KeySum {
    /// Whether `t + c'` openings lie on the codeword, `c'` being `free`: at most `c'` of them lie, so
    /// the other `t` fix it.
    pub fn is_determined(&self, threshold: &Threshold, free: usize) -> bool {
        self.agreeing >= usize::from(threshold.opening).saturating_add(free)
    }

    /// The sums that the openings may stand for: the one that corrects the fewest lies first, and,
    /// unless that is determined, those that leave out up to `free` openings, where these are not
    /// too many to try. The right one is the one that decodes; with more openings there are fewer.
    ///
    /// # Errors
    /// [`ReconstructError`] when there are too few openings, or no candidate.
    pub fn candidates(
        openings: &[(usize, Share)],
        threshold: &Threshold,
        free: usize,
    ) -> Result<impl Iterator<Item = Self>, ReconstructError> {
        let first = Self::reconstruct(openings, threshold, free);
        if let Err(error @ ReconstructError::TooFew { .. }) = first {
            return Err(error);
        }
        let t = usize::from(threshold.opening);
        let most = free.min(openings.len().saturating_sub(t));
        let left_out = match &first {
            Ok(sum) if sum.is_determined(threshold, free) => Vec::new(),
            _ => subsets(openings.len(), most),
        };
        let rest = left_out.into_iter().filter_map(move |left_out| {
            let kept = openings.iter().enumerate().filter(|(place, _)| !left_out.contains(place));
            let kept: Vec<&(usize, Share)> = kept.map(|(_, opening)| opening).collect();
            Self::agreed(&kept, threshold)
        });
        let mut rest = rest.peekable();
        let first = match first {
            Err(error) if rest.peek().is_none() => return Err(error),
            first => first.ok(),
        };
        Ok(first.into_iter().chain(rest))
    }

    /// The sum that openings stand for, if they all lie on one codeword.
    fn agreed(openings: &[&(usize, Share)], threshold: &Threshold) -> Option<Self> {
        let (t, l) = (usize::from(threshold.opening), usize::from(threshold.packing));
        let points: Vec<u64> = openings.iter().map(|(k, _)| holder_point(*k)).collect();
        let consistent = openings.len() >= t
            && first_disagreement(openings, &points, t, share_words(threshold)).is_none();
        let (disagreeing, agreeing) = (Vec::new(), openings.len());
        consistent.then(|| Self {
            words: interpolate(openings, &points, t, l),
            disagreeing,
            agreeing,
        })
    }

    /// Reconstructs from openings by different holders, each with its window offset, of which at
    /// most `free` lie: the holders that may open, and no others.
    ///
    /// # Errors
    /// [`ReconstructError`] when there are too few or too many of them lie.
    pub fn reconstruct(
        openings: &[(usize, Share)],
        threshold: &Threshold,
        free: usize,
    ) -> Result<Self, ReconstructError> {
        let (needed, l) = (threshold.opening, usize::from(threshold.packing));
        let (t, got) = (usize::from(needed), openings.len());
        if got < t {
            return Err(ReconstructError::TooFew { needed, got });
        }
        let correctable = (got - t) / 2;
        let mut trusted: Vec<&(usize, Share)> = openings.iter().collect();
        let mut disagreeing = Vec::new();
        // Each pass either agrees everywhere or unmasks at least one liar, who is then left out.
        loop {
            let points: Vec<u64> = trusted.iter().map(|(k, _)| holder_point(*k)).collect();
            let Some(position) = first_disagreement(&trusted, &points, t, share_words(threshold))
            else {
                let (words, agreeing) = (interpolate(&trusted, &points, t, l), trusted.len());
                let mut sum = Self { words, disagreeing, agreeing };
                if !sum.is_determined(threshold, free) {
                    sum.disagreeing.clear();
                }
                return Ok(sum);
            };
            let values: Vec<u64> = trusted.iter().map(|(_, s)| s.words()[position]).collect();
            let agreeing = trusted.len() - (trusted.len() - t) / 2;
            let liars = Words { points, values }.strays(t, agreeing).filter(|liars| {
                !liars.is_empty() && disagreeing.len() + liars.len() <= correctable
            });
            let Some(liars) = liars else {
                return Err(ReconstructError::Inconsistent { needed, got, correctable });
            };
            disagreeing.extend(liars.iter().filter_map(|i| trusted.get(*i)).map(|(k, _)| *k));
            disagreeing.sort_unstable();
            trusted.retain(|(k, _)| !disagreeing.contains(k));
        }
    }

    /// This sum less the keys of some of its sites. It counts as determined if all of them do, and
    /// the holders that disagree with any of them are named.
    #[must_use]
    pub fn without<'a>(&self, keys: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut words = SecretWords::zeros(KEY_WORDS);
        words.as_mut_slice().copy_from_slice(self.words());
        let (mut disagreeing, mut agreeing) = (self.disagreeing.clone(), self.agreeing);
        for key in keys {
            for (word, of_site) in words.as_mut_slice().iter_mut().zip(key.words()) {
                *word = field::sub(*word, *of_site);
            }
            disagreeing.extend(&key.disagreeing);
            agreeing = agreeing.min(key.agreeing);
        }
        disagreeing.sort_unstable();
        disagreeing.dedup();
        Self { words, disagreeing, agreeing }
    }

    /// Key words (NTT order). Nobody sees those of one site but of one that a verdict names.
    pub fn words(&self) -> &[u64] {
        self.words.as_slice()
    }
}

/// The sets of 1 to `most` of the numbers below `all`, smaller ones first; none of a size of which
/// there are too many.
fn subsets(all: usize, most: usize) -> Vec<Vec<usize>> {
    let (mut subsets, mut smaller) = (Vec::new(), vec![Vec::new()]);
    for _ in 0..most {
        let larger = smaller.iter().flat_map(|set: &Vec<usize>| {
            let from = set.last().map_or(0, |last| last + 1);
            (from..all).map(move |next| [&set[..], &[next]].concat())
        });
        smaller = larger.take(MAX_CANDIDATES + 1).collect();
        if subsets.len() + smaller.len() > MAX_CANDIDATES {
            break;
        }
        subsets.extend(smaller.iter().cloned());
    }
    subsets
}

/// The first word position at which the openings are no codeword: the polynomial through the first
/// t of them misses another one.
fn first_disagreement(
    openings: &[&(usize, Share)],
    points: &[u64],
    t: usize,
    words: usize,
) -> Option<usize> {
    let (base, rest) = openings.split_at(t);
    let weights: Vec<Vec<u64>> = points[t..].iter().map(|x| lagrange(&points[..t], *x)).collect();
    (0..words).find(|position| {
        rest.iter().zip(&weights).any(|((_, share), weights)| {
            combine(base, weights, *position) != share.words()[*position]
        })
    })
}

fn combine(base: &[&(usize, Share)], weights: &[u64], position: usize) -> u64 {
    base.iter().zip(weights).fold(0, |sum, ((_, share), weight)| {
        field::add(sum, field::mul(*weight, share.words()[position]))
    })
}

/// Values at the secrets' points of the polynomials through the first t openings.
fn interpolate(openings: &[&(usize, Share)], points: &[u64], t: usize, l: usize) -> SecretWords {
    let weights: Vec<Vec<u64>> = (0..l).map(|i| lagrange(&points[..t], secret_point(i))).collect();
    let mut words = SecretWords::zeros(KEY_WORDS);
    for (place, word) in words.as_mut_slice().iter_mut().enumerate() {
        *word = combine(&openings[..t], &weights[place % l], place / l);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::share::tests::{secret, shares_of};
    use proptest::prelude::*;

    /// Opens a sharing with some holders silent and some lying in some words.
    fn open(
        (m, c, l): (u16, u16, u16),
        silent: &[usize],
        liars: &[usize],
    ) -> (Vec<u64>, Result<KeySum, ReconstructError>) {
        let threshold = Threshold::derive(m, c, l, usize::from(m)).unwrap();
        let secret = secret(5);
        let openings: Vec<(usize, Share)> = shares_of(&secret, &threshold, 6)
            .into_iter()
            .enumerate()
            .filter(|(k, _)| !silent.contains(k))
            .map(|(k, share)| {
                let mut words = share.words().to_vec();
                if liars.contains(&k) {
                    for word in words.iter_mut().skip(3 + k).step_by(5) {
                        *word = field::add(*word, 77 + k as u64);
                    }
                }
                (k, Share::from_bytes(&field::to_bytes(&words), &threshold).unwrap())
            })
            .collect();
        let sum = KeySum::reconstruct(&openings, &threshold, usize::from(c));
        (secret, sum)
    }

    #[test]
    fn every_window_opens_with_all_holders_and_with_just_t() {
        for window in [(3, 1, 1), (5, 1, 1), (10, 2, 2), (16, 4, 4)] {
            let (secret, sum) = open(window, &[], &[]);
            assert_eq!(sum.unwrap().words(), secret, "{window:?}");
            let threshold = Threshold::derive(window.0, window.1, window.2, 64).unwrap();
            let spare: Vec<usize> =
                (0..usize::from(threshold.holders - threshold.opening)).collect();
            let (secret, sum) = open(window, &spare, &[]);
            assert_eq!(sum.unwrap().words(), secret, "{window:?}");
            let too_many: Vec<usize> = (0..=spare.len()).collect();
            assert!(matches!(open(window, &too_many, &[]).1, Err(ReconstructError::TooFew { .. })));
        }
    }

    #[test]
    fn c_lies_are_corrected_and_named() {
        for (window, liars) in [
            ((5, 1, 1), vec![0]),
            ((5, 1, 1), vec![4]),
            ((10, 2, 2), vec![1, 7]),
            ((16, 4, 4), vec![0, 2, 9, 15]),
        ] {
            let (secret, sum) = open(window, &[], &liars);
            let sum = sum.unwrap();
            assert_eq!(sum.words(), secret, "{window:?}");
            assert_eq!(sum.disagreeing, liars, "{window:?}");
        }
    }

    #[test]
    fn more_lies_than_can_be_corrected_are_an_error_never_a_wrong_sum() {
        // Three holders, c = 1: t = 2, one lie is seen but not corrected.
        let result = open((3, 1, 1), &[], &[1]).1;
        assert!(matches!(result, Err(ReconstructError::Inconsistent { correctable: 0, .. })));
        let result = open((5, 1, 1), &[], &[1, 3]).1;
        assert!(matches!(result, Err(ReconstructError::Inconsistent { correctable: 1, .. })));
    }

    /// Openings by these holders, with these liars among them.
    fn openings(threshold: &Threshold, holders: &[usize], liars: &[usize]) -> Vec<(usize, Share)> {
        let shares = shares_of(&secret(5), threshold, 6).into_iter().enumerate();
        let there = shares.filter(|(k, _)| holders.contains(k));
        let lie = |(k, share): (usize, Share)| {
            let mut words = share.words().to_vec();
            let wrong = words.iter_mut().filter(|_| liars.contains(&k));
            wrong.for_each(|word| *word = field::add(*word, 77 + k as u64));
            (k, Share::from_bytes(&field::to_bytes(&words), threshold).unwrap())
        };
        there.map(lie).collect()
    }

    #[test]
    fn one_candidate_is_right_with_one_truthful_opening_more_than_t() {
        let threshold = Threshold::derive(5, 1, 1, 5).unwrap();
        // t = 3, four openings, one lie: nothing is corrected, and nobody is named.
        let four = openings(&threshold, &[0, 1, 2, 3], &[1]);
        let error = KeySum::reconstruct(&four, &threshold, 1).unwrap_err();
        assert!(matches!(error, ReconstructError::Inconsistent { correctable: 0, .. }));
        let candidates: Vec<KeySum> = KeySum::candidates(&four, &threshold, 1).unwrap().collect();
        assert_eq!(candidates.len(), 4);
        let right = candidates.iter().filter(|sum| sum.words() == secret(5));
        assert_eq!(right.count(), 1);
        assert!(candidates.iter().all(|sum| sum.disagreeing.is_empty()));
        assert!(candidates.iter().all(|sum| !sum.is_determined(&threshold, 1)));
        // At exactly t there is one candidate, right or wrong, and it is not determined.
        let three = openings(&threshold, &[0, 1, 2], &[1]);
        let only: Vec<KeySum> = KeySum::candidates(&three, &threshold, 1).unwrap().collect();
        assert_eq!((only.len(), only[0].is_determined(&threshold, 1)), (1, false));
        assert_ne!(only[0].words(), secret(5));
        // With all five the sum is determined and the liar named.
        let five = openings(&threshold, &[0, 1, 2, 3, 4], &[1]);
        let only: Vec<KeySum> = KeySum::candidates(&five, &threshold, 1).unwrap().collect();
        assert_eq!((only.len(), &only[0].disagreeing[..]), (1, &[1][..]));
        assert_eq!(only[0].words(), secret(5));
    }

    #[test]
    fn nobody_is_named_by_fewer_than_t_and_free_openings() {
        // (8, 2, 2): t = 4. Six openings, one lie: corrected by five on one codeword, of which two
        // might lie.
        let threshold = Threshold::derive(8, 2, 2, 8).unwrap();
        let six = openings(&threshold, &[0, 1, 2, 3, 4, 5], &[2]);
        let sum = KeySum::reconstruct(&six, &threshold, 2).unwrap();
        assert_eq!((sum.agreeing, &sum.disagreeing[..]), (5, &[][..]));
        assert_eq!(sum.words(), secret(5));
        let seven = openings(&threshold, &[0, 1, 2, 3, 4, 5, 6], &[2]);
        let sum = KeySum::reconstruct(&seven, &threshold, 2).unwrap();
        assert_eq!((sum.agreeing, &sum.disagreeing[..]), (6, &[2][..]));
        // When one corrupt site is known, and set aside, six openings do that five agree on.
        let sum = KeySum::reconstruct(&six, &threshold, 1).unwrap();
        assert!(sum.is_determined(&threshold, 1) && !sum.is_determined(&threshold, 2));
        assert_eq!((sum.agreeing, &sum.disagreeing[..]), (5, &[2][..]));
    }

    #[test]
    fn no_more_openings_are_left_out_than_can_lie() {
        // (8, 2, 2): t = 4. Five openings, one lie: nothing is corrected.
        let threshold = Threshold::derive(8, 2, 2, 8).unwrap();
        let five = openings(&threshold, &[0, 1, 2, 3, 4], &[2]);
        let count = |free| KeySum::candidates(&five, &threshold, free).map(Iterator::count);
        assert!(matches!(count(0), Err(ReconstructError::Inconsistent { .. })));
        assert_eq!((count(1), count(2)), (Ok(5), Ok(5)));
        // Six of which two lie: only without both there is a sum.
        let six = openings(&threshold, &[0, 1, 2, 3, 4, 5], &[2, 3]);
        let count = |free| KeySum::candidates(&six, &threshold, free).map(Iterator::count);
        assert!(matches!(count(1), Err(ReconstructError::Inconsistent { .. })));
        assert!(count(2).unwrap() > 0);
        // At most none lies: t on one codeword determine it.
        let four = openings(&threshold, &[0, 1, 2, 3], &[]);
        assert!(KeySum::reconstruct(&four, &threshold, 0).unwrap().is_determined(&threshold, 0));
    }

    #[test]
    fn a_sum_without_a_key_is_that_of_the_others_and_as_determined_as_either() {
        let threshold = Threshold::derive(5, 1, 1, 5).unwrap();
        let (own, others) = (secret(5), secret(8));
        let shares = shares_of(&others, &threshold, 9).into_iter().enumerate();
        let key = openings(&threshold, &[0, 1, 2, 3, 4], &[4]);
        let both: Vec<(usize, Share)> = (shares.zip(&openings(&threshold, &[0, 1, 2, 3, 4], &[])))
            .map(|((k, share), (_, own))| {
                let words = share.words().iter().zip(own.words());
                let words: Vec<u64> = words.map(|(a, b)| field::add(*a, *b)).collect();
                (k, Share::from_words(&words, &threshold).unwrap())
            })
            .collect();
        let sum = KeySum::reconstruct(&both, &threshold, 1).unwrap();
        let key = KeySum::reconstruct(&key, &threshold, 1).unwrap();
        assert_eq!(key.words(), own);
        let rest = sum.without([&key]);
        assert_eq!(rest.words(), others);
        assert_eq!((rest.agreeing, &rest.disagreeing[..]), (4, &[4][..]));
        assert_eq!(sum.without([]).words(), sum.words());
        // An undetermined key leaves an undetermined rest.
        let three = KeySum::reconstruct(&openings(&threshold, &[0, 1, 2], &[]), &threshold, 1);
        assert!(sum.is_determined(&threshold, 1));
        assert!(!sum.without([&three.unwrap()]).is_determined(&threshold, 1));
    }

    #[test]
    fn the_candidates_of_wide_windows_are_not_too_many() {
        assert_eq!(subsets(4, 2).len(), 4 + 6);
        assert_eq!(subsets(3, 1), [[0], [1], [2]]);
        assert!(subsets(64, 16).len() <= MAX_CANDIDATES);
        assert_eq!(subsets(16, 2).len(), 16 + 120);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_subset_of_t_opens(subset in prop::sample::subsequence((0..8usize).collect::<Vec<_>>(), 4)) {
            // (8, 2, 1): t = max(3, 4) = 4.
            let (secret, sum) = open((8, 2, 1), &subset, &[]);
            let sum = sum.unwrap();
            prop_assert_eq!(sum.words(), secret);
        }
    }
}

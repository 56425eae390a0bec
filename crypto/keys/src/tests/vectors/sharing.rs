//! Sharing of a key vector among the holders, and its reconstruction.

use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::KEY_WORDS;
use ringfence_crypto::statement::HexBytes;
use ringfence_crypto::threshold::Threshold;
use serde::Deserialize;

use super::FOLDER;
use super::contributions::Contributions;
use super::files::{self, Word, numbers, refused};
use super::story::{Script, Shown};
use crate::share::dealt::{Dealt, DealtShare, dealt_bytes, dealt_words};
use crate::share::reconstruct::{KeySum, ReconstructError};
use crate::share::share::{Share, share_words};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sharing {
    of: String,
    secret: Shown,
    cases: Vec<SharingCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SharingCase {
    threshold: Threshold,
    seeds: Vec<HexBytes>,
    masks: Vec<Word>,
    share_words: usize,
    dealt_words: usize,
    dealt_bytes: Vec<usize>,
    shares: Vec<Shown>,
    subset: Vec<usize>,
    lies: Vec<usize>,
}

impl Sharing {
    /// The shares of a case, dealt by the shipped code, and the vector that they share.
    fn deal(&self, case: &SharingCase) -> (Vec<DealtShare>, Vec<u64>) {
        let file: Contributions = files::read(FOLDER, "contribution");
        let used = || file.used_key(&self.of);
        let masks = field::to_bytes(&numbers(&case.masks));
        let mut parts: Vec<&[u8]> = case.seeds.iter().map(|seed| &seed.0[..]).collect();
        parts.push(&masks);
        let mut script = Script::new(&parts);
        let dealt = used().share(&case.threshold, &mut script).unwrap();
        script.finish();
        assert!(dealt.iter().map(|dealt| dealt.as_bytes().len()).eq(case.dealt_bytes.clone()));
        let share = |(k, dealt): (usize, &Dealt)| {
            DealtShare::from_dealt(dealt.as_bytes(), &case.threshold, k).unwrap()
        };
        let shares = dealt.iter().enumerate().map(share).collect();
        (shares, used().into_key_vectors().0.as_slice().to_vec())
    }
}

/// A share with the lies that the file states.
fn lie(share: &Share, offset: usize, threshold: &Threshold) -> Share {
    let mut words = share.words().to_vec();
    for word in words.iter_mut().skip(3 + offset).step_by(5) {
        *word = field::add(*word, 77 + offset as u64);
    }
    Share::from_bytes(&field::to_bytes(&words), threshold).unwrap()
}

fn reconstruct(
    shares: &[DealtShare],
    present: &[usize],
    lies: &[usize],
    threshold: &Threshold,
) -> Result<KeySum, ReconstructError> {
    let opening = |k: &usize| {
        let share = Share::sum(std::iter::once(&shares[*k]), threshold);
        let share = if lies.contains(k) { lie(&share, *k, threshold) } else { share };
        (*k, share)
    };
    let openings: Vec<_> = present.iter().map(opening).collect();
    KeySum::reconstruct(&openings, threshold, usize::from(threshold.collusion))
}

pub(super) fn sharing(_: &str, file: Sharing) {
    for case in &file.cases {
        let threshold = &case.threshold;
        threshold.check(usize::from(threshold.holders)).unwrap();
        assert_eq!(share_words(threshold), case.share_words);
        assert_eq!(dealt_words(threshold), case.dealt_words);
        let lengths = (0..case.dealt_bytes.len()).map(|k| dealt_bytes(threshold, k));
        assert!(lengths.eq(case.dealt_bytes.iter().copied()));
        let (shares, secret) = file.deal(case);
        file.secret.check(&secret);
        assert_eq!(secret.len(), KEY_WORDS);
        assert_eq!(shares.len(), case.shares.len());
        shares.iter().zip(&case.shares).for_each(|(share, shown)| shown.check(share.words()));
        let sum = reconstruct(&shares, &case.subset, &[], threshold).unwrap();
        assert_eq!(sum.words(), secret);
        let everybody: Vec<usize> = (0..shares.len()).collect();
        let sum = reconstruct(&shares, &everybody, &case.lies, threshold).unwrap();
        assert_eq!(sum.words(), secret);
        assert_eq!(sum.disagreeing, case.lies);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BadSharing {
    case: usize,
    present: Vec<usize>,
    lies: Vec<usize>,
    error: String,
}

pub(super) fn sharing_bad(_: &str, file: BadSharing) {
    let good: Sharing = files::read(FOLDER, "sharing");
    let case = &good.cases[file.case];
    let (shares, _) = good.deal(case);
    refused(reconstruct(&shares, &file.present, &file.lies, &case.threshold), &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BadShare {
    threshold: Threshold,
    offset: usize,
    dealt: HexBytes,
    error: String,
}

pub(super) fn share_bad(_: &str, file: BadShare) {
    refused(DealtShare::from_dealt(&file.dealt.0, &file.threshold, file.offset), &file.error);
}

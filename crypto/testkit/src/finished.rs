//! What a round leaves: what a recipient opens it with, and what must come out.

use std::sync::Arc;

use ringfence_crypto::api::{CheckedOpening, share_words};
use ringfence_crypto::id::ManifestId;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{Closing, Header, Manifest, Subject};
use ringfence_keys::encrypt::check::CheckWords;
use ringfence_keys::open::{
    CheckedPart, OpenError, OpenedMean, OpenedSum, OpeningContext, SumContext,
};
use ringfence_keys::share::reconstruct::KeySum;
use ringfence_keys::update::quantize;

use crate::parties::Parties;

/// A finished round.
#[derive(Debug)]
pub struct FinishedRound {
    /// Everybody's keys.
    pub parties: Arc<Parties>,
    /// The round's manifest.
    pub manifest: Manifest,
    /// Its certified closing.
    pub closing: Signed<Closing>,
    /// The signed headers of the closing's set.
    pub headers: Vec<Signed<Header>>,
    /// The last site's body.
    pub body: Vec<u8>,
    /// Wire words of the sum.
    pub sum: Vec<u8>,
    /// The plain sum, which nobody has in a real round: an opening must give it.
    pub plain: Vec<u64>,
    /// The holders' openings.
    pub openings: Vec<CheckedOpening>,
}

impl FinishedRound {
    /// The name of the manifest.
    pub fn manifest_id(&self) -> ManifestId {
        self.manifest.id()
    }

    /// A recipient's work: check and unseal its parts of the openings, reconstruct the key sum.
    pub fn key_sum(&self, recipient: usize) -> KeySum {
        let context = OpeningContext {
            study: &self.parties.study,
            round: self.manifest.round,
            manifest: self.manifest_id(),
            closing: self.closing.id(),
            subject: Subject::Sum,
            words: share_words(&self.parties.study.threshold),
        };
        let identity = self.parties.identities.get(recipient).unwrap();
        let unseal = |opening: &CheckedOpening| {
            let part = opening.part(recipient).unwrap();
            CheckedPart::check(identity, context, part).unwrap().unseal().unwrap()
        };
        let openings: Vec<_> = self.openings.iter().map(unseal).collect();
        let threshold = &self.parties.study.threshold;
        KeySum::reconstruct(&openings, threshold, threshold.collusion.into()).unwrap()
    }

    /// What the sum's check words must be.
    pub fn check(&self) -> CheckWords {
        let headers = self.headers.iter().map(|header| &header.statement);
        let wire_bits = self.parties.study.packing.wire_bits;
        self.parties.check_key.sum_of_headers(headers, wire_bits).unwrap()
    }

    fn context<'a>(&'a self, keys: &'a KeySum, check: &'a CheckWords) -> SumContext<'a> {
        let included = self.closing.statement.included.iter().map(|entry| &entry.site);
        SumContext {
            study: &self.parties.study,
            manifest: self.manifest_id(),
            summands: self.parties.study.summands_of(included),
            keys,
            check,
            check_key: &self.parties.check_key,
        }
    }

    /// A recipient's work: decrypt and check the sum.
    pub fn open(&self, keys: &KeySum) -> OpenedSum {
        OpenedSum::open(self.context(keys, &self.check()), &mut self.sum.as_slice()).unwrap()
    }

    /// A recipient's work: decrypt and check the sum, to the mean alone.
    pub fn open_mean(&self, keys: &KeySum) -> OpenedMean {
        OpenedMean::open(self.context(keys, &self.check()), &mut self.sum.as_slice()).unwrap()
    }

    /// Decrypts and checks any sum, to the sums and to the mean, which must say the same.
    ///
    /// # Errors
    /// [`OpenError`] with what is out of bounds.
    pub fn try_open(&self, keys: &KeySum, sum: &[u8]) -> Result<OpenedSum, OpenError> {
        let check = self.check();
        let context = self.context(keys, &check);
        let opened = OpenedSum::open(context, &mut &*sum);
        match (&opened, &OpenedMean::open(context, &mut &*sum)) {
            (Ok(opened), Ok(mean)) => {
                let (study, sites) = (context.study, context.summands.sites);
                let sums = opened.sums();
                let expected = quantize::mean(sums, sites, &study.layout, &study.packing);
                assert!(mean.mean() == expected && mean.noise == opened.noise);
                assert_eq!(mean.sites, sites);
            }
            (Err(opened), Err(mean)) => assert_eq!(opened.to_string(), mean.to_string()),
            (opened, mean) => panic!("{opened:?}, but {mean:?}"),
        }
        opened
    }
}

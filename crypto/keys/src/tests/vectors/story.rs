//! What several checks need: scripted randomness, the study, the sites' identities.

use std::collections::VecDeque;
use std::convert::Infallible;

use rand::{TryCryptoRng, TryRng};
use ringfence_crypto::Digest;
use ringfence_crypto::id::ModelId;
use ringfence_crypto::log::{LogEntry, StudyLog};
use ringfence_crypto::ring::field;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Closing, Freeze, Header, HexBytes, Manifest, Receipt, Review, RoundKeys, SignedStudy, Study,
};
use serde::Deserialize;
use serde_json::Value;

use super::FOLDER;
use super::files::{self, Word, numbers};
use crate::duties::logged::LogProofs;
use crate::identity::Identity;
use crate::round_secret::RoundSecret;

/// Randomness that is written down: gives these bytes, in order, and fails after the last.
pub(super) struct Script(VecDeque<u8>);

impl Script {
    pub(super) fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat().into())
    }

    /// Everything was drawn.
    pub(super) fn finish(self) {
        assert_eq!(self.0.len(), 0, "bytes of the script that nobody drew");
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.iter_mut().for_each(|byte| *byte = self.0.pop_front().expect("the script has ended"));
        Ok(())
    }
}

impl TryCryptoRng for Script {}

/// The ends and the digest of a long vector of words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    first: Vec<Word>,
    last: Vec<Word>,
    digest: Digest,
}

impl Shown {
    pub(super) fn check(&self, words: &[u64]) {
        let (first, last) = (numbers(&self.first), numbers(&self.last));
        assert!(!first.is_empty() && !last.is_empty());
        assert_eq!(words[..first.len()], first);
        assert_eq!(words[words.len() - last.len()..], last);
        assert_eq!(Digest::of(&field::to_bytes(words)), self.digest);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identities {
    pub(super) sites: Vec<SiteSecrets>,
    pub(super) aggregator_seed: HexBytes,
    pub(super) check_key: HexBytes,
    pub(super) commitment: Digest,
    pub(super) models: Vec<Model>,
    pub(super) round_key_seeds: Vec<HexBytes>,
    pub(super) round_keys: Signed<RoundKeys>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteSecrets {
    pub(super) site: String,
    pub(super) signing_seed: HexBytes,
    pub(super) kem_seed: HexBytes,
    pub(super) seal_randomness: HexBytes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    pub(super) model: ModelId,
    pub(super) keyed: Digest,
}

/// What a study's log holds, in order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Logged {
    label: String,
    digest: Digest,
}

/// Proofs that a closing's checkpoint, which must be that of these entries, contains all that the
/// closing names.
pub(super) fn proofs(entries: &[Logged], manifest: &Manifest, closing: &Closing) -> LogProofs {
    let entry = |logged: &Logged| match logged.label.as_str() {
        Manifest::LABEL => LogEntry::of::<Manifest>(logged.digest.into()),
        Header::LABEL => LogEntry::of::<Header>(logged.digest.into()),
        Receipt::LABEL => LogEntry::of::<Receipt>(logged.digest),
        Freeze::LABEL => LogEntry::of::<Freeze>(logged.digest.into()),
        Review::LABEL => LogEntry::of::<Review>(logged.digest),
        label => panic!("nothing of kind {label:?} comes before the closing"),
    };
    let log: StudyLog = entries.iter().map(entry).collect();
    assert_eq!(log.checkpoint(), closing.checkpoint);
    let proof = |entry: &LogEntry| log.inclusion(entry.leaf(), log.size()).unwrap();
    let inclusion = closing.logged(manifest, None).iter().map(proof).collect();
    LogProofs { inclusion, consistency: None }
}

/// The study of study.json.
pub(super) fn study() -> Study {
    let file: Value = files::read(FOLDER, "study");
    let signed: SignedStudy = serde_json::from_value(file["signed"].clone()).unwrap();
    signed.study
}

pub(super) fn identities() -> Identities {
    files::read(FOLDER, "identities")
}

/// A site's identity, by the file format that it would be stored in.
pub(super) fn identity(site: &str) -> Identity {
    let all = identities().sites;
    let secrets = all.iter().find(|secrets| secrets.site == site).unwrap();
    let [signing, kem] =
        [&secrets.signing_seed, &secrets.kem_seed].map(|seed| hex::encode(&seed.0));
    Identity::from_file(&format!("{site}\n{signing}\n{kem}\n")).unwrap()
}

/// A holder's secret for round 0, if it has one besides its long-term key.
pub(super) fn round_secret(site: &str) -> Option<RoundSecret> {
    let file = identities();
    let of_site = file.round_keys.statement.site.as_str() == site;
    of_site.then(|| RoundSecret::from_bytes(&file.round_key_seeds[0].0).unwrap())
}

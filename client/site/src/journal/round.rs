//! One round at one site, among it the decisions that are made once. What it opened and what it said in
//! disputes is in `disputes`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{ModelId, RoundNumber, SiteId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Closing, Endorsement, Freeze, Header, Manifest, Receipt, Review,
};
use ringfence_crypto::wire::{frame, json};
use ringfence_durable::{Readers, UNFINISHED, Unfinished};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::error::JournalError;
use super::files;
use super::records::{Record, Records};
use crate::fingerprint::Fingerprint;

/// What stands in a `contribution`: with it on disk, one is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContributionRecord {
    /// The base model itself.
    pub base_model: ModelId,
    /// The signed header.
    pub header: Signed<Header>,
    /// Which update it was made of, to tell a repeat from another one. Records of earlier versions do
    /// not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Digest>,
}

const CONTRIBUTION: &str = "contribution";
const DEALT: &str = "dealt";
const SETTLED: &str = "settled";

/// What is on disk of one round at one site.
#[derive(Clone, Debug)]
pub struct RoundJournal {
    /// How its files begin.
    pub(super) stem: PathBuf,
    pub(super) records: Arc<Records>,
}

macro_rules! json_record {
    ($read:ident, $write:ident, $name:literal, $type:ty) => {
        #[doc = concat!("Reads the `", $name, "`, if it is there.")]
        ///
        /// # Errors
        /// [`JournalError`].
        pub fn $read(&self) -> Result<Option<$type>, JournalError> {
            self.records.read($name)
        }

        #[doc = concat!("Notes the `", $name, "`: durable with what is decided next.")]
        ///
        /// # Errors
        /// [`JournalError`].
        pub fn $write(&self, value: &$type) -> Result<(), JournalError> {
            self.records.note(&[Record::new($name, &json::compact(value))])
        }
    };
}

impl RoundJournal {
    json_record!(acknowledgement, save_acknowledgement, "acknowledgement", Signed<Acknowledgement>);
    json_record!(base_model, save_base_model, "base-model", Fingerprint);
    json_record!(certificate, save_certificate, "certificate", Certificate);
    json_record!(closing, save_closing, "closing", Signed<Closing>);
    json_record!(freeze, save_freeze, "freeze", Signed<Freeze>);
    json_record!(manifest, save_manifest, "manifest", Signed<Manifest>);
    json_record!(receipt, save_receipt, "receipt", Signed<Receipt>);
    json_record!(judged_trust, save_judged_trust, "judged", Trust);
    json_record!(trust_before, save_trust_before, "trust-before", Trust);

    /// The round.
    pub(crate) fn number(&self) -> Option<RoundNumber> {
        super::number(&self.stem).map(RoundNumber)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        super::beside(&self.stem, name)
    }

    /// Makes all that is on disk of the round durable, before what it says is sent again: a process that
    /// was killed may have left it unsynced.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn sync(&self) -> Result<(), JournalError> {
        self.records.sync()
    }

    /// Whether a manifest is on disk.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub(crate) fn has_manifest(&self) -> Result<bool, JournalError> {
        self.records.has("manifest")
    }

    /// Whether a certificate is on disk.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub(crate) fn has_certificate(&self) -> Result<bool, JournalError> {
        self.records.has("certificate")
    }

    /// Writes a statement that was fetched again over a record that is damaged, if it is the same to the
    /// byte: no second one is ever believed. Answers whether it is.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn put_back<T: Serialize>(
        &self,
        name: &str,
        statement: &T,
    ) -> Result<bool, JournalError> {
        self.records.put_back(name, &json::compact(statement))
    }

    /// Reads the `contribution`, if one was made.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn contribution(&self) -> Result<Option<ContributionRecord>, JournalError> {
        self.records.read(CONTRIBUTION)
    }

    /// Where the encrypted body lies.
    pub fn body(&self) -> PathBuf {
        self.file("body.bin")
    }

    /// Sees that the body on disk is the one that a header promises.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when it is not, [`JournalError::Missing`] when it is gone.
    pub fn check_body(&self, promised: Digest) -> Result<(), JournalError> {
        let path = self.body();
        if !path.exists() {
            let path = path.display().to_string();
            return Err(JournalError::Missing { path, kind: "the encrypted body" });
        }
        let mut hasher = blake3::Hasher::new();
        let hashed = File::open(&path).and_then(|file| hasher.update_reader(file).map(drop));
        hashed.map_err(|source| JournalError::io(&path, source))?;
        let got = Digest::finish(&hasher);
        if got != promised {
            let reason = format!("its digest is {got}, this site's header promises {promised}");
            return Err(JournalError::damaged(&path, reason));
        }
        Ok(())
    }

    /// Writes the body, and then envelopes and record: with the record on disk, the contribution is
    /// made and will be sent exactly as it is. `body` writes the body and returns what it made.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when a contribution was made before; whatever `body` returns.
    pub fn contribute<E: From<JournalError>>(
        &self,
        body: impl FnOnce(&mut BufWriter<&mut Unfinished>) -> Result<(Vec<u8>, ContributionRecord), E>,
    ) -> Result<ContributionRecord, E> {
        let path = self.body();
        let at = |source| E::from(JournalError::io(&path, source));
        let mut file = Unfinished::new(&path, Readers::Owner).map_err(at)?;
        let mut buffered = BufWriter::with_capacity(1 << 20, &mut file);
        let (envelopes, record) = body(&mut buffered)?;
        buffered.flush().map_err(at)?;
        drop(buffered);
        if self.records.has(CONTRIBUTION)? {
            // Another one's body is not written over.
            return Err(JournalError::Exists(path.display().to_string()).into());
        }
        file.put().map_err(at)?;
        // Its name is durable before the record is.
        self.records.sync_names_next()?;
        let made = json::compact(&record);
        self.records
            .decide(&[Record::new("envelopes", &envelopes), Record::new(CONTRIBUTION, &made)])?;
        Ok(record)
    }

    /// The envelopes' frame.
    ///
    /// # Errors
    /// [`JournalError`]; [`JournalError::Missing`] when they are gone.
    pub fn envelopes(&self) -> Result<Vec<u8>, JournalError> {
        let missing = || JournalError::Missing {
            path: format!("{}: envelopes", self.records.path().display()),
            kind: "the sealed shares in it",
        };
        self.records.bytes("envelopes")?.ok_or_else(missing)
    }

    /// Reads the `endorsement`, if this round number was endorsed.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn endorsement(&self) -> Result<Option<Endorsement>, JournalError> {
        self.records.read("endorsement")
    }

    /// Records the one endorsement of this round number, and the closing that it is of.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one already, whatever it says.
    pub fn endorse(
        &self,
        endorsement: &Endorsement,
        closing: &Signed<Closing>,
    ) -> Result<(), JournalError> {
        let (endorsement, closing) = (json::compact(endorsement), json::compact(closing));
        self.records
            .decide(&[Record::new("closing", &closing), Record::new("endorsement", &endorsement)])
    }

    /// Reads the `review`, if this site reviewed.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn review(&self) -> Result<Option<Signed<Review>>, JournalError> {
        self.records.read("review")
    }

    /// Records the one review of this round number, and the envelopes that it is of, by dealer, until
    /// the round is settled: a dispute may need them when nobody else has them.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one already, whatever it says.
    pub fn save_review(
        &self,
        review: &Signed<Review>,
        dealt: &BTreeMap<SiteId, Vec<u8>>,
    ) -> Result<(), JournalError> {
        let dealt: Vec<(&SiteId, &Vec<u8>)> = dealt.iter().collect();
        let dealt = frame::encode(&dealt).map_err(|error| {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
            JournalError::io(self.records.path(), source)
        })?;
        let review = json::compact(review);
        self.records.decide(&[Record::blankable(DEALT, &dealt), Record::new("review", &review)])
    }

    /// The envelopes that were sealed to this site, by dealer, as they came.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn envelopes_dealt(&self) -> Result<Option<BTreeMap<SiteId, Vec<u8>>>, JournalError> {
        // What is damaged is fetched again: each is held against its header's digest.
        let bytes = self.records.bytes(DEALT)?;
        let Some(bytes) = bytes else { return Ok(None) };
        let dealt: Option<Vec<(SiteId, Vec<u8>)>> = frame::decode(&bytes, "dealt envelopes").ok();
        Ok(dealt.map(|dealt| dealt.into_iter().collect()))
    }

    /// Notes that Q sites hold one model of this round, and blanks the envelopes that it was dealt.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn settle(&self) -> Result<(), JournalError> {
        if !self.records.has(SETTLED)? {
            self.records.note(&[Record::new(SETTLED, b"true")])?;
        }
        self.records.blank(DEALT)
    }

    /// Whether Q sites hold one model of this round, as far as this site has seen.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn is_settled(&self) -> Result<bool, JournalError> {
        self.records.has(SETTLED)
    }

    /// Keeps a closing whose log this site refuses, as evidence: `refused-` and its id.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn save_refused(&self, closing: &Signed<Closing>) -> Result<(), JournalError> {
        self.set_aside(&closing.id(), closing)
    }

    /// Takes another manifest than the one that is kept, which stays as `refused-` and its id.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn replace_manifest(
        &self,
        kept: &Signed<Manifest>,
        by: &Signed<Manifest>,
    ) -> Result<(), JournalError> {
        self.set_aside(&kept.id(), kept)?;
        self.save_manifest(by)
    }

    /// The same of a freeze.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn replace_freeze(
        &self,
        kept: &Signed<Freeze>,
        by: &Signed<Freeze>,
    ) -> Result<(), JournalError> {
        self.set_aside(&kept.id(), kept)?;
        self.save_freeze(by)
    }

    fn set_aside<T: Serialize>(&self, id: &dyn Display, kept: &T) -> Result<(), JournalError> {
        files::write(&self.file(&format!("refused-{id}.json")), &json::pretty(kept))
    }

    /// Whether this site has signed anything in the round: contributed, reviewed or endorsed.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn has_signed(&self) -> Result<bool, JournalError> {
        let held = self.review()?.is_some() || self.endorsement()?.is_some();
        Ok(held || self.contribution()?.is_some())
    }

    /// The reviews in `reviews.json`, unchecked; none where they are missing or damaged, for they can
    /// be fetched again.
    pub fn reviews(&self) -> Option<Vec<Signed<Review>>> {
        files::read(&self.reviews_file()).ok().flatten()
    }

    /// Keeps the reviews that the round's closing lists, in `reviews.json`, as long as no power cut
    /// takes them: they can be fetched again.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn save_reviews(&self, reviews: &[Signed<Review>]) -> Result<(), JournalError> {
        files::write_passing(&self.reviews_file(), &json::compact(&reviews))
    }

    /// Keeps them for good: they show others why trust has changed.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn keep_reviews(&self, reviews: &[Signed<Review>]) -> Result<(), JournalError> {
        files::write(&self.reviews_file(), &json::pretty(&reviews))
    }

    /// Deletes them.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn delete_reviews(&self) -> Result<(), JournalError> {
        files::delete(&self.reviews_file())
    }

    /// Where they are kept.
    pub fn reviews_file(&self) -> PathBuf {
        self.file("reviews.json")
    }

    /// A scratch file for the sum, deleted when dropped.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn scratch(&self) -> Result<NamedTempFile, JournalError> {
        let folder = self.stem.parent().unwrap_or(&self.stem);
        // Named so that what a crash leaves is removed with the other unfinished files.
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(folder)
            .map_err(ringfence_durable::without_path)
            .map_err(|source| JournalError::io(folder, source))
    }
}

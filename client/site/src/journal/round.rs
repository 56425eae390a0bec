//! The files of one round at one site, among them the decisions that are made once. What it opened
//! and what it said in disputes is in `disputes`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

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
use crate::fingerprint::Fingerprint;

/// What stands in `contribution.json`: with it on disk, a contribution is made.
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

/// The files of one round at one site.
#[derive(Clone, Debug)]
pub struct RoundJournal {
    pub(super) folder: PathBuf,
}

macro_rules! json_file {
    ($read:ident, $write:ident, $file:literal, $type:ty) => {
        #[doc = concat!("Reads `", $file, "`, if it is there.")]
        ///
        /// # Errors
        /// [`JournalError`].
        pub fn $read(&self) -> Result<Option<$type>, JournalError> {
            files::read(&self.folder.join($file))
        }

        #[doc = concat!("Writes `", $file, "`, durably.")]
        ///
        /// # Errors
        /// [`JournalError`].
        pub fn $write(&self, value: &$type) -> Result<(), JournalError> {
            files::write(&self.folder.join($file), &json::pretty(value))
        }
    };
}

impl RoundJournal {
    json_file!(
        acknowledgement,
        save_acknowledgement,
        "acknowledgement.json",
        Signed<Acknowledgement>
    );
    json_file!(base_model, save_base_model, "base-model.json", Fingerprint);
    json_file!(certificate, save_certificate, "certificate.json", Certificate);
    json_file!(closing, save_closing, "closing.json", Signed<Closing>);
    json_file!(freeze, save_freeze, "freeze.json", Signed<Freeze>);
    json_file!(manifest, save_manifest, "manifest.json", Signed<Manifest>);
    json_file!(receipt, save_receipt, "receipt.json", Signed<Receipt>);
    json_file!(judged_trust, save_judged_trust, "judged.json", Trust);
    json_file!(trust, save_trust, "trust.json", Trust);

    /// The round.
    pub(crate) fn number(&self) -> Option<RoundNumber> {
        super::number(&self.folder).map(RoundNumber)
    }

    /// Writes a statement that was fetched again over the one in a file that is damaged, if it is the
    /// same to the byte: no second one is ever believed. Answers whether it is.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn put_back<T: Serialize>(
        &self,
        file: &str,
        statement: &T,
    ) -> Result<bool, JournalError> {
        files::put_back(&self.folder.join(file), &json::pretty(statement))
    }

    /// Reads `contribution.json`, if a contribution was made.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn contribution(&self) -> Result<Option<ContributionRecord>, JournalError> {
        files::read(&self.folder.join("contribution.json"))
    }

    /// Where the encrypted body lies.
    pub fn body(&self) -> PathBuf {
        self.folder.join("body.bin")
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

    /// Writes body, envelopes and, last, the record: with the record on disk, the contribution is
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
        // Its name is durable with that of the envelopes, before the record is written.
        file.put().map_err(at)?;
        files::write(&self.folder.join("envelopes.bin"), &envelopes)?;
        files::decide(&self.folder.join("contribution.json"), &json::pretty(&record))?;
        Ok(record)
    }

    /// The envelopes' frame.
    ///
    /// # Errors
    /// [`JournalError`]; [`JournalError::Missing`] when the file is gone.
    pub fn envelopes(&self) -> Result<Vec<u8>, JournalError> {
        let path = self.folder.join("envelopes.bin");
        let missing = || JournalError::Missing {
            path: path.display().to_string(),
            kind: "the sealed shares in it",
        };
        files::bytes(&path)?.ok_or_else(missing)
    }

    /// Reads `endorsement.json`, if this round number was endorsed.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn endorsement(&self) -> Result<Option<Endorsement>, JournalError> {
        files::read(&self.folder.join("endorsement.json"))
    }

    /// Records the one endorsement of this round number, and keeps the closing that it is of.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one already, whatever it says.
    pub fn endorse(
        &self,
        endorsement: &Endorsement,
        closing: &Signed<Closing>,
    ) -> Result<(), JournalError> {
        let (path, beside) =
            (self.folder.join("endorsement.json"), self.folder.join("closing.json"));
        files::decide_with((&path, &json::pretty(endorsement)), (&beside, &json::pretty(closing)))
    }

    /// Reads `review.json`, if this site reviewed.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn review(&self) -> Result<Option<Signed<Review>>, JournalError> {
        files::read(&self.folder.join("review.json"))
    }

    /// Records the one review of this round number, and keeps the envelopes that it is of, by dealer,
    /// until the round is settled: a dispute may need them when nobody else has them.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one already, whatever it says.
    pub fn save_review(
        &self,
        review: &Signed<Review>,
        dealt: &BTreeMap<SiteId, Vec<u8>>,
    ) -> Result<(), JournalError> {
        let (path, beside) = (self.folder.join("review.json"), self.folder.join("dealt.bin"));
        let dealt: Vec<(&SiteId, &Vec<u8>)> = dealt.iter().collect();
        let dealt = frame::encode(&dealt).map_err(|error| {
            JournalError::io(&beside, std::io::Error::new(std::io::ErrorKind::InvalidData, error))
        })?;
        files::decide_with((&path, &json::pretty(review)), (&beside, &dealt))
    }

    /// The envelopes that were sealed to this site, by dealer, as they came.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn envelopes_dealt(&self) -> Result<Option<BTreeMap<SiteId, Vec<u8>>>, JournalError> {
        let path = self.folder.join("dealt.bin");
        let bytes = match files::bytes(&path) {
            // What is damaged is fetched again.
            Err(JournalError::Damaged { .. }) => None,
            bytes => bytes?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let dealt: Option<Vec<(SiteId, Vec<u8>)>> = frame::decode(&bytes, "dealt envelopes").ok();
        Ok(dealt.map(|dealt| dealt.into_iter().collect()))
    }

    /// Notes that Q sites hold one model of this round, and removes the envelopes.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn settle(&self) -> Result<(), JournalError> {
        let path = self.folder.join("settled.json");
        if !path.exists() {
            files::write(&path, b"true\n")?;
        }
        files::delete(&self.folder.join("dealt.bin"))
    }

    /// Whether Q sites hold one model of this round, as far as this site has seen.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn is_settled(&self) -> Result<bool, JournalError> {
        Ok(files::read(&self.folder.join("settled.json"))?.unwrap_or(false))
    }

    /// Keeps a closing whose log this site refuses, as evidence: `refused-` and its id.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn save_refused(&self, closing: &Signed<Closing>) -> Result<(), JournalError> {
        let name = format!("refused-{}.json", closing.id());
        files::write(&self.folder.join(name), &json::pretty(closing))
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
        files::write(&self.folder.join(format!("refused-{id}.json")), &json::pretty(kept))
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

    /// Keeps the reviews that the round's closing lists, in `reviews.json`.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn save_reviews(&self, reviews: &[Signed<Review>]) -> Result<(), JournalError> {
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
        self.folder.join("reviews.json")
    }

    /// A scratch file for the sum, deleted when dropped.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn scratch(&self) -> Result<NamedTempFile, JournalError> {
        // Named so that what a crash leaves is removed with the other unfinished files.
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&self.folder)
            .map_err(ringfence_durable::without_path)
            .map_err(|source| JournalError::io(&self.folder, source))
    }
}

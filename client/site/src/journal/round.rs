//! The files of one round at one site, among them the decisions that are made once.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use ringfence_crypto::id::ModelId;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, Certificate, Closing, Endorsement, Header, Manifest, Receipt, Review,
};
use ringfence_crypto::wire::json;
use ringfence_durable::{Readers, UNFINISHED, Unfinished};
use ringfence_keys::open::Evidence;
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
    json_file!(manifest, save_manifest, "manifest.json", Signed<Manifest>);
    json_file!(receipt, save_receipt, "receipt.json", Signed<Receipt>);
    json_file!(review, save_review, "review.json", Signed<Review>);

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
        file.replace().map_err(at)?;
        files::write(&self.folder.join("envelopes.bin"), &envelopes)?;
        files::decide(&self.folder.join("contribution.json"), &json::pretty(&record))?;
        Ok(record)
    }

    /// The envelopes' frame.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn envelopes(&self) -> Result<Vec<u8>, JournalError> {
        let path = self.folder.join("envelopes.bin");
        fs::read(&path).map_err(|source| JournalError::io(&path, source))
    }

    /// Reads `endorsement.json`, if this round number was endorsed.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn endorsement(&self) -> Result<Option<Endorsement>, JournalError> {
        files::read(&self.folder.join("endorsement.json"))
    }

    /// Records the one endorsement of this round number.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one already, whatever it says.
    pub fn endorse(&self, endorsement: &Endorsement) -> Result<(), JournalError> {
        files::decide(&self.folder.join("endorsement.json"), &json::pretty(endorsement))
    }

    /// Keeps a closing whose log this site refuses, as evidence: `refused-` and its id.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn save_refused(&self, closing: &Signed<Closing>) -> Result<(), JournalError> {
        let name = format!("refused-{}.json", closing.id());
        files::write(&self.folder.join(name), &json::pretty(closing))
    }

    /// Keeps what was found out about others, in `evidence.json`. Counting again finds the same.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn save_evidence(&self, evidence: &[Evidence]) -> Result<(), JournalError> {
        files::write(&self.evidence(), &json::pretty(&evidence))
    }

    /// Where that is kept.
    pub fn evidence(&self) -> PathBuf {
        self.folder.join("evidence.json")
    }

    /// The opening's frame, if it was made.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn opening(&self) -> Result<Option<Vec<u8>>, JournalError> {
        files::bytes(&self.folder.join("opening.bin"))
    }

    /// Records the opening's frame before it leaves.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one already.
    pub fn save_opening(&self, frame: &[u8]) -> Result<(), JournalError> {
        files::decide(&self.folder.join("opening.bin"), frame)
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
            .map_err(|source| JournalError::io(&self.folder, source))
    }
}

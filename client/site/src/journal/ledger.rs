//! What this site has seen of the privacy ledgers that its rounds are charged to. It is noted with
//! each charge, before a header is signed: so a ledger that was copied back is known.

use ringfence_crypto::Digest;
use ringfence_crypto::id::{StudyId, UnixSeconds};
use ringfence_crypto::wire::json;
use serde::{Deserialize, Serialize};

use super::records::Record;
use super::{Journal, JournalError, files};

/// Its name in a study's journal.
const LEDGER: &str = "ledger";

/// A ledger as it stood when a study's last round was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerNote {
    /// Digest of its terms: which ledger.
    pub ledger: Digest,
    /// Its entries.
    pub entries: u64,
    /// What named the last of them.
    pub last: Digest,
    /// The last restore from a backup whose forgotten rounds are charged; none where there was none.
    pub restored_at: Option<UnixSeconds>,
}

impl Journal {
    /// What is noted of the ledger that a study's rounds are charged to.
    ///
    /// # Errors
    /// [`JournalError`] when the note cannot be read.
    pub fn ledger_note(&self, study: StudyId) -> Result<Option<LedgerNote>, JournalError> {
        self.study_unbegun(study).read(LEDGER)
    }

    /// What is noted of ledgers in all studies.
    ///
    /// # Errors
    /// [`JournalError`] when a note cannot be read.
    pub fn ledger_notes(&self) -> Result<Vec<(StudyId, LedgerNote)>, JournalError> {
        let mut notes = Vec::new();
        for folder in files::children(&self.root.join("studies"))? {
            let name = folder.file_name().and_then(|name| name.to_str());
            let Some(study) = name.and_then(|name| name.parse().ok()) else { continue };
            notes.extend(self.ledger_note(study)?.map(|note| (study, note)));
        }
        Ok(notes)
    }

    /// Notes how a ledger stands, durably.
    ///
    /// # Errors
    /// [`JournalError`] when the note cannot be written.
    pub(crate) fn note_ledger(
        &self,
        study: StudyId,
        note: &LedgerNote,
    ) -> Result<(), JournalError> {
        let journal = self.study(study)?;
        journal.note(&[Record::new(LEDGER, &json::compact(note))])?;
        journal.sync()
    }
}

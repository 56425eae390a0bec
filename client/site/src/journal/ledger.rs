//! What this site has seen of the privacy ledgers that its rounds are charged to. It is noted with
//! each charge, before a header is signed: so a ledger that was copied back is known.

use std::path::PathBuf;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, StudyId};
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
    /// Digest of the restores from backups whose forgotten rounds are charged, all that are
    /// noted in the study; none where none is. A time would not do: two restores may be of one second.
    pub settled: Option<Digest>,
    /// Whether nothing but what restores made it forget was ever charged to it for the study: then
    /// nothing shows that it is the right one, and the study may be charged to another.
    #[serde(default)]
    pub assumed: bool,
}

/// Restores from backups in a study with a privacy budget whose forgotten rounds are not charged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// The study.
    pub study: StudyId,
    /// Digest of all restores in it, with which they are noted as settled.
    pub restores: Digest,
    /// Through which round they are to be charged; none while that is not known.
    pub through: Option<RoundNumber>,
    /// The ledger that the study is known to be charged to.
    pub ledger: Option<Digest>,
    /// The ledger that they are charged to, which is not known to be the right one.
    pub assumed: Option<Digest>,
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
        for study in self.studies()? {
            notes.extend(self.ledger_note(study)?.map(|note| (study, note)));
        }
        Ok(notes)
    }

    /// The restores of all studies that are not settled with a ledger yet.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read.
    pub fn unsettled(&self) -> Result<Vec<Unsettled>, JournalError> {
        let mut unsettled = Vec::new();
        for study in self.studies()? {
            let of = self.restores_to_settle(study)?;
            unsettled.extend(of.filter(|of| of.assumed.is_none()));
        }
        Ok(unsettled)
    }

    /// The restores of a study that are not settled yet, or only with a ledger of which it is not known
    /// that it is the right one.
    ///
    /// # Errors
    /// [`JournalError`] when a record cannot be read.
    pub fn restores_to_settle(&self, study: StudyId) -> Result<Option<Unsettled>, JournalError> {
        let records = self.restores(study)?;
        let Some(last) = records.last().filter(|last| last.private) else { return Ok(None) };
        let restores = Digest::of(&json::compact(&records));
        let noted = self.ledger_note(study)?;
        // What is not known yet was not charged, whatever is noted.
        let through = last.through.and(records.iter().filter_map(|of| of.through).max());
        let open = through.is_none() || noted.and_then(|noted| noted.settled) != Some(restores);
        let known = noted.filter(|noted| !noted.assumed).map(|noted| noted.ledger);
        let assumed = noted.filter(|noted| noted.assumed && !open).map(|noted| noted.ledger);
        let to_settle = Unsettled { study, restores, through, ledger: known, assumed };
        Ok((open || assumed.is_some()).then_some(to_settle))
    }

    /// Every study that this state knows of.
    fn studies(&self) -> Result<Vec<StudyId>, JournalError> {
        let folders = files::children(&self.root.join("studies"))?;
        let named = |folder: &PathBuf| folder.file_name()?.to_str()?.parse().ok();
        Ok(folders.iter().filter_map(named).collect())
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

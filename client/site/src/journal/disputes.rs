//! What a site opened in a round, what it said in disputes, and what it found out about others.

use std::path::PathBuf;

use ringfence_crypto::statement::{Dispute, Verdict};
use ringfence_crypto::threshold::MAX_HOLDERS;
use ringfence_crypto::wire::json;
use ringfence_keys::open::Evidence;
use serde::de::DeserializeOwned;

use super::error::JournalError;
use super::files;
use super::records::Record;
use super::round::RoundJournal;
use crate::transport::Openings;

impl RoundJournal {
    /// Reads the disputes that this site endorsed.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn disputes(&self) -> Result<Vec<Dispute>, JournalError> {
        self.indexed("dispute")
    }

    /// Records the one endorsed dispute with its index.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one already, whatever it says.
    pub fn save_dispute(&self, dispute: &Dispute) -> Result<(), JournalError> {
        let name = numbered("dispute", dispute.index);
        self.records.decide(&[Record::new(&name, &json::compact(dispute))])
    }

    /// Reads the verdicts that this site endorsed.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn verdicts(&self) -> Result<Vec<Verdict>, JournalError> {
        self.indexed("verdict")
    }

    /// Records the one endorsed verdict of the dispute with an index, or of check words with index 0.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one already, whatever it says.
    pub fn save_verdict(&self, index: u16, verdict: &Verdict) -> Result<(), JournalError> {
        let name = numbered("verdict", index);
        self.records.decide(&[Record::new(&name, &json::compact(verdict))])
    }

    /// The frame of this site's opening, if it was made.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn opening(&self, of: Openings) -> Result<Option<Vec<u8>>, JournalError> {
        self.records.bytes(&opening(of))
    }

    /// Records the frame of an opening before it leaves.
    ///
    /// # Errors
    /// [`JournalError::Exists`] when there is one already.
    pub fn save_opening(&self, of: Openings, frame: &[u8]) -> Result<(), JournalError> {
        self.records.decide(&[Record::new(&opening(of), frame)])
    }

    /// The frames of all openings that this site made, of the sum and in disputes.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn openings(&self) -> Result<Vec<Vec<u8>>, JournalError> {
        let mut found = Vec::from_iter(self.opening(Openings::Sum)?);
        for index in 1..=MAX_HOLDERS {
            found.extend(self.opening(Openings::Functionals(index))?);
            found.extend(self.opening(Openings::Keys(index))?);
        }
        Ok(found)
    }

    /// The records of a kind, from index 0; at most `c + 1`, and none is left out.
    fn indexed<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, JournalError> {
        let mut found = Vec::new();
        for index in 0..=MAX_HOLDERS {
            found.extend(self.records.read(&numbered(kind, index))?);
        }
        Ok(found)
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
        self.file("evidence.json")
    }
}

/// What an opening is called.
fn opening(of: Openings) -> String {
    match of {
        Openings::Sum => "opening".to_owned(),
        Openings::Functionals(index) => numbered("functionals", index),
        Openings::Keys(index) => numbered("keys", index),
    }
}

fn numbered(kind: &str, index: u16) -> String {
    format!("{kind}-{index}")
}

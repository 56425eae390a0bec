//! What a site keeps as a witness of the log, in files that a person can read and pass on: the last
//! checkpoint that it cosigned, and the proof of two histories.
//!
//! ```text
//! STATE/studies/<study>/checkpoint       a signed note with this site's cosignature
//! STATE/studies/<study>/log-fork.json    both signed heads of a forked log
//! ```

use std::fs;
use std::io;
use std::path::PathBuf;

use ringfence_crypto::id::{StudyId, UnixSeconds};
use ringfence_crypto::log::note::{MAX_NOTE, NoteError};
use ringfence_crypto::log::{Checkpoint, SignedNote};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Closing;
use ringfence_crypto::wire::json;
use ringfence_durable as durable;
use serde::{Deserialize, Serialize};

use super::error::JournalError;
use super::{Journal, files};

/// A state of the log as somebody has it, signed by the aggregator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// Size and root.
    pub checkpoint: Checkpoint,
    /// The note that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The closing that says so, where it is no note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Box<Signed<Closing>>>,
}

/// The proof that an aggregator keeps two histories of one study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// The study, as it was first signed.
    pub study: StudyId,
    /// When it was found, by this site's clock.
    pub found_at: UnixSeconds,
    /// Who had seen the first of both heads.
    pub seen_by: String,
    /// That head.
    pub seen: SignedHead,
    /// The head that the aggregator showed this site.
    pub shown: SignedHead,
    /// Why one does not continue the other.
    pub reason: String,
    /// What the aggregator signs for the size of the first head, if it does: another root there convicts
    /// it by these two notes alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_at_that_size: Option<String>,
}

impl Journal {
    fn checkpoint_file(&self, study: StudyId) -> PathBuf {
        self.folder(study).join("checkpoint")
    }

    /// Where the proof of a fork lies, if there is one.
    pub fn fork_file(&self, study: StudyId) -> PathBuf {
        self.folder(study).join("log-fork.json")
    }

    /// The last checkpoint of a study's log that this site has cosigned.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be read, or is none.
    pub fn witnessed(&self, study: StudyId) -> Result<Option<SignedNote>, JournalError> {
        let path = self.checkpoint_file(study);
        let bytes = match durable::read(&path, MAX_NOTE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(JournalError::io(&path, source)),
        };
        let read = String::from_utf8(bytes).map_err(|error| error.to_string());
        let note = read.and_then(|note| note.parse().map_err(|error: NoteError| error.to_string()));
        note.map(Some).map_err(|reason| self.damaged_checkpoint(study, reason))
    }

    /// The checkpoint that is kept is none.
    pub(crate) fn damaged_checkpoint(&self, study: StudyId, reason: String) -> JournalError {
        JournalError::damaged(&self.checkpoint_file(study), reason)
    }

    /// Keeps a checkpoint that this site cosigns, durably: before the cosignature leaves.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn save_witnessed(&self, study: StudyId, note: &SignedNote) -> Result<(), JournalError> {
        self.study(study)?;
        files::write(&self.checkpoint_file(study), note.to_string().as_bytes())
    }

    /// Keeps the proof of a fork; the first one stays.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn save_fork(&self, fork: &Fork) -> Result<PathBuf, JournalError> {
        self.study(fork.study)?;
        let path = self.fork_file(fork.study);
        if !self.is_forked(fork.study)? {
            files::write(&path, &json::pretty(fork))?;
        }
        Ok(path)
    }

    /// Whether the log of a study was found to be forked.
    ///
    /// # Errors
    /// [`JournalError::Io`] when that cannot be told.
    pub fn is_forked(&self, study: StudyId) -> Result<bool, JournalError> {
        let path = self.fork_file(study);
        fs::exists(&path).map_err(|source| JournalError::io(&path, source))
    }
}

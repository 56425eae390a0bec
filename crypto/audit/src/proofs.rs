//! For every statement a file that others can check alone: a C2SP tlog-proof
//! (<https://c2sp.org/tlog-proof>) of its leaf, with the leaf's data as extra data.

use std::fs;
use std::io;
use std::path::Path;

use ringfence_crypto::evidence::{RoundProof, Verifier};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::{LogEntry, TlogProof};
use ringfence_crypto::statement::SignedStudy;

use crate::audit::AuditError;
use crate::files::Files;
use crate::folder::Folder;
use crate::whole::WholeLog;

/// Why no proofs were written.
#[derive(Debug, thiserror::Error)]
pub enum ProofsError {
    /// No study to hold anything against.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The log is not there, or not the one that was signed.
    #[error("the log proves nothing: {0}")]
    Log(String),
    /// The round's file does not say which leaves are its.
    #[error("round {round}: {reason}")]
    Round {
        /// The round.
        round: RoundNumber,
        /// What is wrong with its file.
        reason: String,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Writes a proof of each leaf of the log, or of the statements of one round: `LEAF-KIND.tlog-proof` in the
/// folder `out`, and `log.vkey`, the key that signed the checkpoint in all of them. Answers with how
/// many there are.
///
/// # Errors
/// [`ProofsError`].
pub fn write_proofs(
    files: &dyn Files,
    round: Option<RoundNumber>,
    out: &Path,
) -> Result<usize, ProofsError> {
    let folder = Folder(files);
    let study = folder.study().map_err(AuditError::from)?;
    let study = study.ok_or_else(|| AuditError::NoStudy(files.name()))?;
    let study = SignedStudy::parse(&study).map_err(AuditError::from)?;
    let verifier = Verifier::new(study).map_err(AuditError::from)?;
    let whole = WholeLog::read(folder, &verifier);
    if let Some(words) = whole.why_not() {
        return Err(ProofsError::Log(words.to_owned()));
    }
    let leaves = match round {
        None => whole.leaves().collect(),
        Some(round) => of_round(folder, round)?,
    };
    fs::create_dir_all(out).map_err(|source| failed(out, source))?;
    for (leaf, entry) in &leaves {
        let proof = whole.proof(*leaf, entry).map_err(ProofsError::Log)?;
        let path = out.join(format!("{leaf:06}-{}.tlog-proof", entry.label()));
        fs::write(&path, proof.to_string()).map_err(|source| failed(&path, source))?;
    }
    let path = out.join("log.vkey");
    let key = format!("{}\n", verifier.log_key());
    fs::write(&path, key).map_err(|source| failed(&path, source))?;
    Ok(leaves.len())
}

fn failed(path: &Path, source: io::Error) -> ProofsError {
    ProofsError::Write { path: path.display().to_string(), source }
}

fn of_round(folder: Folder<'_>, round: RoundNumber) -> Result<Vec<(u64, LogEntry)>, ProofsError> {
    let wrong = |reason: String| ProofsError::Round { round, reason };
    let bytes = folder.proof(round).map_err(|error| wrong(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| wrong("the folder has no file of it".to_owned()))?;
    let proof = RoundProof::parse(&bytes).map_err(|error| wrong(error.to_string()))?;
    Ok(proof.entries())
}

impl WholeLog {
    /// The proof of one leaf, if this entry is it.
    fn proof(&self, leaf: u64, entry: &LogEntry) -> Result<TlogProof, String> {
        let inclusion = self.inclusion(leaf, entry)?;
        let note = self.note().parse().map_err(|error| format!("{error}"))?;
        TlogProof::new(inclusion, note, entry.data()).map_err(|error| error.to_string())
    }
}

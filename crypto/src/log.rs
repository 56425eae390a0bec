//! The transparency log of a study: an append-only Merkle tree over the digests of statements.
//!
//! Hashing and proofs are those of RFC 6962 with SHA-256; texts are C2SP's signed note
//! (<https://c2sp.org/signed-note>), checkpoint (<https://c2sp.org/tlog-checkpoint>), cosignature
//! (<https://c2sp.org/tlog-cosignature>) and proof (<https://c2sp.org/tlog-proof>), and its parts those of
//! tiles (<https://c2sp.org/tlog-tiles>), so that other people's witnesses and monitors can read them.
//! There is one log a study; its origin is `ringfence/` and the study's digest ([`origin`]).
//!
//! Nothing here has IO, a clock or a key: [`Tree`] holds hashes, [`note::NoteKey::sign`] is handed
//! a signer.
#![warn(clippy::indexing_slicing, reason = "texts and proofs come from strangers")]

pub mod checkpoint;
mod cosignature;
mod entry;
mod hash;
pub mod note;
pub mod proof;
mod study_log;
mod text;
pub mod tile;
pub mod tlog_proof;
mod tree;

pub use checkpoint::{Checkpoint, CheckpointText};
pub use cosignature::{Cosignature, MAX_COSIGNATURES, Witness};
pub use entry::{KINDS, LogEntry, LogEntryError};
pub use hash::LogHash;
pub use note::{NoteKey, SignedNote};
pub use proof::{ConsistencyProof, InclusionProof, LeavesProof, ProofError};
pub use study_log::{StudyLog, StudyLogError};
pub use tile::Tile;
pub use tlog_proof::TlogProof;
pub use tree::{BeyondEnd, Tree};

use crate::id::StudyId;

/// The origin of a study's log, and the name of the key that signs its checkpoints.
pub fn origin(study: StudyId) -> String {
    format!("ringfence/{study}")
}

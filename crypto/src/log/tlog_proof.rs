//! A leaf's inclusion with the checkpoint that it is proved for, as one file that verifies offline
//! (<https://c2sp.org/tlog-proof>).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, CheckpointError, CheckpointText};
use super::hash::LogHash;
use super::note::{MAX_NOTE, NoteError, NoteKey, SignedNote};
use super::proof::{InclusionProof, MAX_HASHES, ProofError};
use super::text::{decimal, shown};

/// The first line.
const FIRST: &str = "c2sp.org/tlog-proof@v1";

/// Most bytes of extra data. Ringfence needs some 500: the proved statement itself.
pub const MAX_EXTRA: usize = 64 << 10;

/// Most bytes of a proof: note, hashes of 45 bytes a line, extra data in base64, and two lines.
const MAX_PROOF: usize = MAX_NOTE + 45 * MAX_HASHES + MAX_EXTRA.div_ceil(3) * 4 + 100;

/// A proof file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    extra: Vec<u8>,
    index: u64,
    hashes: Vec<LogHash>,
    note: SignedNote,
}

/// A proof file that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// More bytes than are read.
    #[error("expected a log proof of at most {MAX_PROOF} bytes, got {0}")]
    TooLong(usize),
    /// Another kind of file.
    #[error("expected a log proof that begins with the line {FIRST:?}, got {0:?}")]
    First(String),
    /// Extra data that are empty, too long or no base64.
    #[error("expected extra data of 1 to {MAX_EXTRA} bytes in base64, got {0:?}")]
    Extra(String),
    /// No index line.
    #[error("expected a line `index N`, N in decimal digits without leading zeros, got {0:?}")]
    Index(String),
    /// A line that is no hash.
    #[error("expected a hash of 32 bytes in padded base64, got {0:?}")]
    Hash(String),
    /// More hashes than a proof has.
    #[error("expected at most {MAX_HASHES} hashes and then an empty line")]
    Hashes,
    /// The note or its signature.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The checkpoint in the note.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The inclusion.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl TlogProof {
    /// Puts a proof and its signed checkpoint together. `extra` is not authenticated by itself;
    /// empty means none.
    ///
    /// # Errors
    /// [`TlogProofError::Extra`].
    pub fn new(
        inclusion: InclusionProof,
        note: SignedNote,
        extra: Vec<u8>,
    ) -> Result<Self, TlogProofError> {
        if extra.len() > MAX_EXTRA {
            return Err(TlogProofError::Extra(format!("{} bytes", extra.len())));
        }
        let InclusionProof { index, size: _, hashes } = inclusion;
        Ok(Self { extra, index, hashes, note })
    }

    /// Where the leaf stands.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Data that came with the proof. Whoever uses them checks them against the leaf.
    pub fn extra(&self) -> &[u8] {
        &self.extra
    }

    /// Checks that `key`, whose name is the log's origin, signed a checkpoint that contains `leaf`;
    /// returns that checkpoint.
    ///
    /// # Errors
    /// [`TlogProofError`] with the first thing that is wrong.
    pub fn verify(&self, leaf: LogHash, key: &NoteKey) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = CheckpointText::verified(&self.note, key)?.checkpoint();
        let index = self.index;
        let proof = InclusionProof { index, size: checkpoint.size, hashes: self.hashes.clone() };
        proof.verify(leaf, &checkpoint)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST}")?;
        if !self.extra.is_empty() {
            writeln!(f, "extra {}", STANDARD.encode(&self.extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.note)
    }
}

impl FromStr for TlogProof {
    type Err = TlogProofError;

    fn from_str(text: &str) -> Result<Self, TlogProofError> {
        if text.len() > MAX_PROOF {
            return Err(TlogProofError::TooLong(text.len()));
        }
        let (first, mut rest) = split_line(text);
        if first != FIRST {
            return Err(TlogProofError::First(shown(first)));
        }
        let mut next = || {
            let line;
            (line, rest) = split_line(rest);
            line
        };
        let mut line = next();
        let mut extra = Vec::new();
        if let Some(base64) = line.strip_prefix("extra ") {
            let bytes = STANDARD.decode(base64).ok();
            let bytes = bytes.filter(|bytes| (1..=MAX_EXTRA).contains(&bytes.len()));
            extra = bytes.ok_or_else(|| TlogProofError::Extra(shown(base64)))?;
            line = next();
        }
        let index = line.strip_prefix("index ").and_then(decimal);
        let index = index.ok_or_else(|| TlogProofError::Index(shown(line)))?;
        let mut hashes = Vec::new();
        loop {
            let line = next();
            if line.is_empty() {
                break;
            }
            if hashes.len() == MAX_HASHES {
                return Err(TlogProofError::Hashes);
            }
            let hash = LogHash::from_base64(line);
            hashes.push(hash.ok_or_else(|| TlogProofError::Hash(shown(line)))?);
        }
        Ok(Self { extra, index, hashes, note: rest.parse()? })
    }
}

/// The first line without its newline, and what follows.
fn split_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

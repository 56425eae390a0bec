//! The log of one study: what its rounds append, and the proofs that it gives.

use std::collections::HashMap;

use super::checkpoint::Checkpoint;
use super::entry::LogEntry;
use super::hash::LogHash;
use super::proof::{ConsistencyProof, InclusionProof, LeavesProof};
use super::tree::{BeyondEnd, Tree};

/// The log of a study. Every statement that becomes an event of its rounds is a leaf, in the order
/// in which the events became durable: [`KINDS`](super::KINDS). The same entries in the same order give
/// the same log.
#[derive(Clone, Debug, Default)]
pub struct StudyLog {
    tree: Tree,
    // An entry that came twice is found at its first place.
    positions: HashMap<LogHash, u64>,
}

/// A proof that this log cannot give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StudyLogError {
    /// Not a leaf.
    #[error(
        "the log has no leaf {0}; expected the hash of a leaf, made from a statement's label and digest"
    )]
    Unknown(LogHash),
    /// A leaf, but later than asked.
    #[error(
        "leaf {leaf} stands at index {index}, not among the first {size}; ask for a later size"
    )]
    Later {
        /// The leaf.
        leaf: LogHash,
        /// Where it stands.
        index: u64,
        /// Leaves that were asked about.
        size: u64,
    },
    /// Ahead of the log.
    #[error(transparent)]
    Beyond(#[from] BeyondEnd),
}

impl StudyLog {
    /// Appends what became durable; returns its index.
    pub fn append(&mut self, entry: LogEntry) -> u64 {
        let leaf = entry.leaf();
        let index = self.tree.append(leaf);
        self.positions.entry(leaf).or_insert(index);
        index
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Size and root.
    pub fn checkpoint(&self) -> Checkpoint {
        self.tree.checkpoint()
    }

    /// Size and root of the log when it had `size` leaves.
    ///
    /// # Errors
    /// [`StudyLogError::Beyond`].
    pub fn checkpoint_at(&self, size: u64) -> Result<Checkpoint, StudyLogError> {
        Ok(self.tree.checkpoint_at(size)?)
    }

    /// The leaves from index `from` on, in order.
    pub fn leaves(&self, from: u64) -> impl Iterator<Item = LogHash> {
        (from..self.size()).map_while(|index| self.tree.leaf(index).ok())
    }

    /// The hashes of `width` subtrees of `2^level` leaves each, from the `start`th on; none where the log
    /// does not have all of them yet.
    pub fn subtrees(&self, level: u32, start: u64, width: u16) -> Option<&[LogHash]> {
        self.tree.subtrees(level, start, width)
    }

    /// Where a leaf stands among the first `size`.
    ///
    /// # Errors
    /// [`StudyLogError`].
    pub fn index(&self, leaf: LogHash, size: u64) -> Result<u64, StudyLogError> {
        if size > self.size() {
            return Err(BeyondEnd { size: self.size(), asked: size }.into());
        }
        let index = *self.positions.get(&leaf).ok_or(StudyLogError::Unknown(leaf))?;
        match index < size {
            true => Ok(index),
            false => Err(StudyLogError::Later { leaf, index, size }),
        }
    }

    /// Proves that the leaves at these ascending indices are among the first `size`.
    ///
    /// # Errors
    /// [`StudyLogError::Beyond`].
    pub fn leaves_proof(&self, indices: &[u64], size: u64) -> Result<LeavesProof, StudyLogError> {
        Ok(self.tree.leaves_proof(indices, size)?)
    }

    /// Proves that a leaf is among the first `size`.
    ///
    /// # Errors
    /// [`StudyLogError`].
    pub fn inclusion(&self, leaf: LogHash, size: u64) -> Result<InclusionProof, StudyLogError> {
        Ok(self.tree.inclusion(self.index(leaf, size)?, size)?)
    }

    /// Proves that the leaf at an index is among the first `size`, whether or not the same entry stands
    /// before it, too.
    ///
    /// # Errors
    /// [`StudyLogError::Beyond`].
    pub fn inclusion_at(&self, index: u64, size: u64) -> Result<InclusionProof, StudyLogError> {
        Ok(self.tree.inclusion(index, size)?)
    }

    /// Proves that the first `to` leaves begin with the first `from`.
    ///
    /// # Errors
    /// [`StudyLogError::Beyond`].
    pub fn consistency(&self, from: u64, to: u64) -> Result<ConsistencyProof, StudyLogError> {
        Ok(self.tree.consistency(from, to)?)
    }
}

impl FromIterator<LogEntry> for StudyLog {
    fn from_iter<I: IntoIterator<Item = LogEntry>>(entries: I) -> Self {
        let mut log = Self::default();
        entries.into_iter().for_each(|entry| {
            log.append(entry);
        });
        log
    }
}

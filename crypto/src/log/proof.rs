//! Proofs about the log and their verification, which needs no log.
//!
//! The algorithms are those of RFC 9162, sections 2.1.3.2 and 2.1.4.2. They fix the length of a
//! proof by index and sizes: a hash too few or too many is refused.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::hash::LogHash;
use super::tree::split;

/// Most hashes of a proof: one a level below the root, and sizes have 64 bits. A consistency proof
/// has one more, the hash that it starts from.
pub const MAX_HASHES: usize = 65;

/// Proves that a leaf is in the log of `size` leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct InclusionProof {
    /// Where the leaf stands, from 0.
    pub index: u64,
    /// Leaves of the log that it is proved for.
    pub size: u64,
    /// Siblings, from the leaf's own up to the root's child.
    pub hashes: Vec<LogHash>,
}

/// Proves that the log of `to` leaves begins with the log of `from` leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConsistencyProof {
    /// Leaves of the earlier log.
    pub from: u64,
    /// Leaves of the later log.
    pub to: u64,
    /// Hashes in the order of RFC 6962, 2.1.2.
    pub hashes: Vec<LogHash>,
}

/// Proves that several leaves are in the log of `size` leaves: one proof for all of them, which is
/// far shorter than one for each.
///
/// The tree is walked from its root, left before right. A subtree that holds none of the leaves is
/// one hash of the list; a leaf that is proved is itself; every other subtree is hashed from its two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeavesProof {
    /// Leaves of the log that it is proved for.
    pub size: u64,
    /// Roots of the largest subtrees without any of the leaves, from left to right.
    pub hashes: Vec<LogHash>,
}

/// A proof that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// For another checkpoint.
    #[error("the proof is for a log of {got} leaves, expected one for the checkpoint's {expected}")]
    Size {
        /// The checkpoint's.
        expected: u64,
        /// The proof's.
        got: u64,
    },
    /// No such leaf.
    #[error("the proof is for leaf {index} of a log with {size} leaves, expected an index below")]
    Index {
        /// As stated.
        index: u64,
        /// As stated.
        size: u64,
    },
    /// Leaves that are not in the order of the log, or stand twice.
    #[error("leaf {0} does not come after the leaf before it, expected leaves in the log's order")]
    Unordered(u64),
    /// The later log is the smaller one.
    #[error("the proof goes from {from} to {to} leaves, but a log never shrinks")]
    Order {
        /// As stated.
        from: u64,
        /// As stated.
        to: u64,
    },
    /// Too few hashes or too many.
    #[error("a proof of {got} hashes does not fit its index and sizes; expected no more, no fewer")]
    Length {
        /// Hashes that came.
        got: usize,
    },
    /// Another root comes out.
    #[error(
        "the proof leads to root {got} at {size} leaves, the checkpoint says {expected}: leaf, proof or checkpoint was altered, or the log was forked"
    )]
    Root {
        /// Leaves of the log.
        size: u64,
        /// The checkpoint's.
        expected: LogHash,
        /// What the proof leads to.
        got: LogHash,
    },
}

impl InclusionProof {
    /// Checks that `leaf` is in the log that `checkpoint` names.
    ///
    /// # Errors
    /// [`ProofError`] with the first thing that is wrong.
    pub fn verify(&self, leaf: LogHash, checkpoint: &Checkpoint) -> Result<(), ProofError> {
        let Self { index, size, hashes } = self;
        expect_size(checkpoint, *size)?;
        if index >= size {
            return Err(ProofError::Index { index: *index, size: *size });
        }
        let length = || ProofError::Length { got: hashes.len() };
        // Position of the node in its level, and of the level's last node.
        let (mut node, mut last) = (*index, *size - 1);
        let mut root = leaf;
        for sibling in hashes {
            if last == 0 {
                return Err(length());
            }
            root = match joins_left(&mut node, &mut last) {
                true => LogHash::node(sibling, &root),
                false => LogHash::node(&root, sibling),
            };
            (node, last) = (node >> 1, last >> 1);
        }
        if last != 0 {
            return Err(length());
        }
        expect_root(checkpoint, root)
    }
}

impl LeavesProof {
    /// Checks that the log that `checkpoint` names has each of these leaves at its index. They are
    /// given in ascending order of their indices.
    ///
    /// # Errors
    /// [`ProofError`] with the first thing that is wrong.
    pub fn verify(
        &self,
        leaves: &[(u64, LogHash)],
        checkpoint: &Checkpoint,
    ) -> Result<(), ProofError> {
        let Self { size, hashes } = self;
        expect_size(checkpoint, *size)?;
        let mut next = 0;
        for (index, _) in leaves {
            if *index >= *size {
                return Err(ProofError::Index { index: *index, size: *size });
            }
            if *index < next {
                return Err(ProofError::Unordered(*index));
            }
            next = *index + 1;
        }
        let length = || ProofError::Length { got: hashes.len() };
        let mut left = hashes.iter();
        let root = match *size {
            0 => LogHash::empty(),
            _ => root_of(0..*size, leaves, &mut left).ok_or_else(length)?,
        };
        if left.next().is_some() {
            return Err(length());
        }
        expect_root(checkpoint, root)
    }
}

/// The root over a range of leaves; none where there are too few hashes. It goes down at most one
/// level for each bit of the range's length.
fn root_of<'a>(
    range: Range<u64>,
    leaves: &[(u64, LogHash)],
    hashes: &mut impl Iterator<Item = &'a LogHash>,
) -> Option<LogHash> {
    let Some((_, first)) = leaves.first() else { return hashes.next().copied() };
    if range.end - range.start <= 1 {
        return Some(*first);
    }
    let middle = range.start + split(range.end - range.start);
    let (left, right) = leaves.split_at(leaves.partition_point(|(index, _)| *index < middle));
    let left = root_of(range.start..middle, left, hashes)?;
    let right = root_of(middle..range.end, right, hashes)?;
    Some(LogHash::node(&left, &right))
}

impl ConsistencyProof {
    /// Checks that the log that `new` names begins with the log that `old` names.
    ///
    /// # Errors
    /// [`ProofError`] with the first thing that is wrong.
    pub fn verify(&self, old: &Checkpoint, new: &Checkpoint) -> Result<(), ProofError> {
        let Self { from, to, hashes } = self;
        expect_size(old, *from)?;
        expect_size(new, *to)?;
        if from > to {
            return Err(ProofError::Order { from: *from, to: *to });
        }
        let length = || ProofError::Length { got: hashes.len() };
        if *from == 0 || from == to {
            // Nothing to prove: every log begins with the empty one, and each with itself.
            if !hashes.is_empty() {
                return Err(length());
            }
            let expected = if *from == 0 { LogHash::empty() } else { new.root };
            return expect_root(old, expected).and_then(|()| match *to {
                0 => expect_root(new, expected),
                _ => Ok(()),
            });
        }
        // A first tree that is a whole subtree of the second is where the proof starts from; else
        // the largest whole subtree at the first one's right edge, by the proof's first hash.
        let (mut node, mut last) = (*from - 1, *to - 1);
        let whole = node.trailing_ones();
        (node, last) = (node >> whole, last >> whole);
        let mut hashes = hashes.iter();
        let start = match from.is_power_of_two() {
            true => old.root,
            false => *hashes.next().ok_or_else(length)?,
        };
        let (mut old_root, mut new_root) = (start, start);
        for hash in hashes {
            if last == 0 {
                return Err(length());
            }
            if joins_left(&mut node, &mut last) {
                old_root = LogHash::node(hash, &old_root);
                new_root = LogHash::node(hash, &new_root);
            } else {
                new_root = LogHash::node(&new_root, hash);
            }
            (node, last) = (node >> 1, last >> 1);
        }
        if last != 0 {
            return Err(length());
        }
        expect_root(old, old_root)?;
        expect_root(new, new_root)
    }
}

/// Whether the next hash stands to the left of `node`. A node at the right edge without a right
/// sibling rises to the level where it has a left one.
fn joins_left(node: &mut u64, last: &mut u64) -> bool {
    let right_child = *node & 1 == 1;
    if !right_child && node != last {
        return false;
    }
    // `node == last` and even: not zero, since then `last` would be zero.
    let rise = if right_child { 0 } else { node.trailing_zeros() };
    // A shift by 64 is none; it would need node = 0.
    (*node, *last) = (node.checked_shr(rise).unwrap_or(0), last.checked_shr(rise).unwrap_or(0));
    true
}

fn expect_size(checkpoint: &Checkpoint, got: u64) -> Result<(), ProofError> {
    match checkpoint.size == got {
        true => Ok(()),
        false => Err(ProofError::Size { expected: checkpoint.size, got }),
    }
}

fn expect_root(checkpoint: &Checkpoint, got: LogHash) -> Result<(), ProofError> {
    match checkpoint.root == got {
        true => Ok(()),
        false => {
            let (size, expected) = (checkpoint.size, checkpoint.root);
            Err(ProofError::Root { size, expected, got })
        }
    }
}

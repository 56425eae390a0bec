//! A part of a body, checked against the body's digest alone.
//!
//! A body's digest is the root of BLAKE3's tree over chunks of 1024 bytes, so it commits to every
//! part already: no more than the chaining values beside the way up is needed to check one. Parts
//! are *groups* of 16 chunks, 16 KiB, of which the last one may be shorter. The tree over `n >= 2`
//! groups splits at the largest power of two below `n`, as BLAKE3's does.

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::digest::Digest;

/// Bytes of a group: 16 chunks.
pub const GROUP_BYTES: usize = 16 * 1024;

/// One group of a body, and what leads from it to the body's digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkGroup<'a> {
    /// Bytes of the whole body, by its signed header.
    pub body_bytes: u64,
    /// Which group it is, from 0.
    pub index: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Chaining values of the subtrees beside it, from its own sibling up to the root's child.
    pub siblings: &'a [ChainingValue],
}

/// A group that is not the body's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkGroupError {
    /// Beyond the body's end.
    #[error(
        "a body of {body_bytes} bytes has {groups} groups of {GROUP_BYTES} bytes, got group {index}"
    )]
    Index {
        /// Bytes of the body.
        body_bytes: u64,
        /// Groups of it.
        groups: u64,
        /// What came.
        index: u64,
    },
    /// Too short or too long.
    #[error("group {index} of a body of {body_bytes} bytes has {expected} bytes, got {got}")]
    Bytes {
        /// Bytes of the body.
        body_bytes: u64,
        /// Which group.
        index: u64,
        /// By its place.
        expected: u64,
        /// What came.
        got: usize,
    },
    /// Too few chaining values or too many.
    #[error("group {index} of {groups} has {expected} siblings on its way up, got {got}")]
    Siblings {
        /// Groups of the body.
        groups: u64,
        /// Which group.
        index: u64,
        /// By its place.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// Another body's group, or altered.
    #[error(
        "group {index} leads to the digest {got}, the body's is {expected}: group, siblings or place were altered"
    )]
    Root {
        /// Which group.
        index: u64,
        /// The body's digest.
        expected: Digest,
        /// What the group leads to.
        got: Digest,
    },
}

impl ChunkGroup<'_> {
    /// Checks that the group stands at its place in the body with the digest `expected`.
    ///
    /// # Errors
    /// [`ChunkGroupError`] with the first thing that is wrong.
    pub fn verify(&self, expected: Digest) -> Result<(), ChunkGroupError> {
        let Self { body_bytes, index, bytes, siblings } = *self;
        let group = GROUP_BYTES as u64;
        // An empty body is one group without bytes.
        let groups = body_bytes.div_ceil(group).max(1);
        if index >= groups {
            return Err(ChunkGroupError::Index { body_bytes, groups, index });
        }
        let start = index * group;
        let length = (body_bytes - start).min(group);
        if bytes.len() as u64 != length {
            let (expected, got) = (length, bytes.len());
            return Err(ChunkGroupError::Bytes { body_bytes, index, expected, got });
        }
        // On the way down from the root: whether the group is in the left subtree.
        let (mut turns, mut at, mut left) = (Vec::new(), index, groups);
        while left > 1 {
            let split = 1 << (left - 1).ilog2();
            turns.push(at < split);
            (at, left) = if at < split { (at, split) } else { (at - split, left - split) };
        }
        if turns.len() != siblings.len() {
            let (expected, got) = (turns.len(), siblings.len());
            return Err(ChunkGroupError::Siblings { groups, index, expected, got });
        }
        let mut hasher = Hasher::new();
        let got = match siblings.split_last() {
            None => Digest::finish(hasher.update(bytes)),
            Some((last, below)) => {
                let own = hasher.set_input_offset(start).update(bytes).finalize_non_root();
                // `turns` is from the root down: its first one belongs to the last sibling.
                let mut ways = turns.iter().rev();
                let mut subtree = own;
                for (sibling, in_left) in below.iter().zip(ways.by_ref()) {
                    let (left, right) = ordered(&subtree, sibling, *in_left);
                    subtree = merge_subtrees_non_root(left, right, Mode::Hash);
                }
                let in_left = ways.next().copied().unwrap_or(true);
                let (left, right) = ordered(&subtree, last, in_left);
                Digest(*merge_subtrees_root(left, right, Mode::Hash).as_bytes())
            }
        };
        match got == expected {
            true => Ok(()),
            false => Err(ChunkGroupError::Root { index, expected, got }),
        }
    }
}

fn ordered<'a>(
    own: &'a ChainingValue,
    sibling: &'a ChainingValue,
    in_left: bool,
) -> (&'a ChainingValue, &'a ChainingValue) {
    if in_left { (own, sibling) } else { (sibling, own) }
}

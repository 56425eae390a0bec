//! The append-only tree.

use super::checkpoint::Checkpoint;
use super::hash::LogHash;
use super::proof::{ConsistencyProof, InclusionProof, LeavesProof};

/// The hashes of a log: `levels[k]` holds the roots of its whole subtrees of `2^k` leaves, left to
/// right. That is about two hashes a leaf in memory; a leaf costs one node on average to append,
/// and a root or a proof of any size so far `O(log n)` nodes.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    levels: Vec<Vec<LogHash>>,
}

/// A leaf or size that this log does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log has {size} leaves, {asked} were asked for")]
pub struct BeyondEnd {
    /// Leaves of the log.
    pub size: u64,
    /// Leaves that the question needs.
    pub asked: u64,
}

impl Tree {
    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, Vec::len) as u64
    }

    /// Appends a leaf by its hash; returns its index.
    pub fn append(&mut self, leaf: LogHash) -> u64 {
        let index = self.size();
        let (mut hash, mut level) = (leaf, 0);
        loop {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let Some(row) = self.levels.get_mut(level) else { return index };
            row.push(hash);
            // Every second subtree completes one of twice its size.
            match row.as_slice() {
                [.., left, right] if row.len().is_multiple_of(2) => {
                    hash = LogHash::node(left, right);
                }
                _ => return index,
            }
            level += 1;
        }
    }

    /// The hash of one leaf.
    ///
    /// # Errors
    /// [`BeyondEnd`].
    pub fn leaf(&self, index: u64) -> Result<LogHash, BeyondEnd> {
        self.whole(0, index).ok_or_else(|| self.beyond(index.saturating_add(1)))
    }

    /// The hashes of `width` subtrees of `2^level` leaves each, from the `start`th on; none where the log
    /// does not have all of them yet.
    pub fn subtrees(&self, level: u32, start: u64, width: u16) -> Option<&[LogHash]> {
        let row = self.levels.get(level as usize)?;
        let start = usize::try_from(start).ok()?;
        row.get(start..start.checked_add(width.into())?)
    }

    /// Size and root of the whole log.
    pub fn checkpoint(&self) -> Checkpoint {
        let size = self.size();
        Checkpoint { size, root: self.range(0, size).unwrap_or_else(LogHash::empty) }
    }

    /// Size and root of the log when it had `size` leaves.
    ///
    /// # Errors
    /// [`BeyondEnd`].
    pub fn checkpoint_at(&self, size: u64) -> Result<Checkpoint, BeyondEnd> {
        let root = match size {
            0 => LogHash::empty(),
            _ => self.range(0, size).ok_or_else(|| self.beyond(size))?,
        };
        Ok(Checkpoint { size, root })
    }

    /// Proves that leaf `index` is in the log of `size` leaves: `PATH(m, D[n])` of RFC 6962, 2.1.1.
    ///
    /// # Errors
    /// [`BeyondEnd`].
    pub fn inclusion(&self, index: u64, size: u64) -> Result<InclusionProof, BeyondEnd> {
        let (mut start, mut end) = (0, size);
        if index >= size || size > self.size() {
            return Err(self.beyond(size.max(index.saturating_add(1))));
        }
        let mut hashes = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            // At most one of these ranges is no whole subtree: right of the last whole one.
            let sibling = match index < middle {
                true => (middle, std::mem::replace(&mut end, middle)),
                false => (std::mem::replace(&mut start, middle), middle),
            };
            hashes.push(self.range(sibling.0, sibling.1).ok_or_else(|| self.beyond(size))?);
        }
        hashes.reverse();
        Ok(InclusionProof { index, size, hashes })
    }

    /// Proves that the leaves at these ascending indices are in the log of `size` leaves.
    ///
    /// # Errors
    /// [`BeyondEnd`].
    pub fn leaves_proof(&self, indices: &[u64], size: u64) -> Result<LeavesProof, BeyondEnd> {
        let last = indices.last().map_or(0, |index| index.saturating_add(1));
        if last > size || size > self.size() {
            return Err(self.beyond(size.max(last)));
        }
        let (mut hashes, mut open) = (Vec::new(), vec![(0, size, indices)]);
        while let Some((start, end, indices)) = open.pop() {
            if indices.is_empty() {
                hashes.extend(self.range(start, end));
            } else if end - start > 1 {
                let middle = start + split(end - start);
                let at = indices.partition_point(|index| *index < middle);
                let (left, right) = indices.split_at(at);
                // The left one next.
                open.extend([(middle, end, right), (start, middle, left)]);
            }
        }
        Ok(LeavesProof { size, hashes })
    }

    /// Proves that the log of `to` leaves begins with that of `from`: `PROOF(m, D[n])` of RFC 6962,
    /// 2.1.2.
    ///
    /// # Errors
    /// [`BeyondEnd`].
    pub fn consistency(&self, from: u64, to: u64) -> Result<ConsistencyProof, BeyondEnd> {
        if from > to || to > self.size() {
            return Err(self.beyond(from.max(to)));
        }
        let mut hashes = Vec::new();
        let (mut start, mut end) = (0, to);
        // The first tree's own root is known to who checks, so it is not repeated when it is a
        // whole subtree at the left edge.
        while from > 0 && from != end {
            let middle = start + split(end - start);
            let sibling = match from <= middle {
                true => (middle, std::mem::replace(&mut end, middle)),
                false => (std::mem::replace(&mut start, middle), middle),
            };
            hashes.push(self.range(sibling.0, sibling.1).ok_or_else(|| self.beyond(to))?);
        }
        if start > 0 {
            hashes.push(self.range(start, end).ok_or_else(|| self.beyond(to))?);
        }
        hashes.reverse();
        Ok(ConsistencyProof { from, to, hashes })
    }

    /// `MTH(D[start:end])` for a `start` that is a multiple of the next power of two at or above
    /// `end - start`; none for an empty range and beyond the end.
    fn range(&self, start: u64, end: u64) -> Option<LogHash> {
        let (mut root, mut end) = (None, end);
        // From the right: smaller subtrees hang below larger ones.
        while end > start {
            let level = (end - start).trailing_zeros();
            end -= 1 << level;
            let left = self.whole(level, end >> level)?;
            root = Some(match root {
                None => left,
                Some(right) => LogHash::node(&left, &right),
            });
        }
        root
    }

    fn whole(&self, level: u32, position: u64) -> Option<LogHash> {
        let row = self.levels.get(level as usize)?;
        row.get(usize::try_from(position).ok()?).copied()
    }

    fn beyond(&self, asked: u64) -> BeyondEnd {
        BeyondEnd { size: self.size(), asked }
    }
}

/// The largest power of two below `leaves`, which is at least 2.
pub(super) fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}

//! A body's digest from the hashes of its ranges, each made by whoever has that range.
//!
//! A digest is the root of BLAKE3's tree over chunks of 1024 bytes. A range that begins at a chunk
//! holds whole subtrees of that tree: their chaining values are what the range has to say, and those
//! of all ranges lead to the root. So ranges can be hashed on several machines, in any order, and
//! nobody needs to read the whole.

use std::ops::Range;

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::digest::Digest;

/// Bytes of a chunk of BLAKE3's: ranges begin at chunks.
pub const CHUNK_BYTES: u64 = 1024;

/// How a body is divided into ranges: all of one length but the last, which may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashRanges {
    whole: u64,
    range: u64,
}

/// Ranges that do not begin at chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected ranges of a multiple of {CHUNK_BYTES} bytes, one chunk or more, got {0} bytes")]
pub struct RangeError(u64);

impl HashRanges {
    /// A body of so many bytes in ranges of so many bytes.
    ///
    /// # Errors
    /// [`RangeError`] when the ranges are not of whole chunks.
    pub fn new(whole: u64, range: u64) -> Result<Self, RangeError> {
        match range > 0 && range.is_multiple_of(CHUNK_BYTES) {
            true => Ok(Self { whole, range }),
            false => Err(RangeError(range)),
        }
    }

    /// A body of so many bytes as one range.
    pub fn one(whole: u64) -> Self {
        Self { whole, range: whole.max(1).next_multiple_of(CHUNK_BYTES) }
    }

    /// How many there are: one, without bytes, of an empty body.
    pub fn count(&self) -> u64 {
        self.whole.div_ceil(self.range).max(1)
    }

    /// The bytes of a range, counted from 0; none behind the last range.
    pub fn bytes(&self, index: u64) -> Range<u64> {
        let start = index.saturating_mul(self.range).min(self.whole);
        start..start.saturating_add(self.range).min(self.whole)
    }

    /// What hashes a range.
    pub fn hasher(&self, index: u64) -> RangeHasher {
        let (bytes, root) = (self.bytes(index), 0..self.whole);
        let (mut subtrees, mut open) = (Vec::new(), vec![root]);
        while let Some(node) = open.pop() {
            if node.end <= bytes.start || bytes.end <= node.start {
                continue;
            }
            match self.split(&node) {
                Some([left, right]) => open.extend([right, left]),
                None => subtrees.push(node),
            }
        }
        // So that the next one is the last.
        subtrees.reverse();
        let (hasher, hashes) = (Hasher::new(), Vec::with_capacity(subtrees.len()));
        RangeHasher { is_root: self.is_chunk(), subtrees, left: 0, hasher, hashes, over: false }
    }

    /// The body's digest by the hashes of all ranges, in the order of the ranges and within each as
    /// [`RangeHasher::finish`] gave them. Nothing where there are too few or too many.
    pub fn root(&self, hashes: impl IntoIterator<Item = ChainingValue>) -> Option<Digest> {
        let mut hashes = hashes.into_iter();
        let root = match self.split(&(0..self.whole)) {
            Some([left, right]) => {
                let left = self.subtree(left, &mut hashes)?;
                let right = self.subtree(right, &mut hashes)?;
                *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
            }
            None if self.whole == 0 => *blake3::hash(&[]).as_bytes(),
            None => hashes.next()?,
        };
        hashes.next().is_none().then_some(Digest(root))
    }

    fn subtree(
        &self,
        node: Range<u64>,
        hashes: &mut impl Iterator<Item = ChainingValue>,
    ) -> Option<ChainingValue> {
        match self.split(&node) {
            Some([left, right]) => {
                let left = self.subtree(left, hashes)?;
                let right = self.subtree(right, hashes)?;
                Some(merge_subtrees_non_root(&left, &right, Mode::Hash))
            }
            None => hashes.next(),
        }
    }

    /// The two subtrees of a node that more than one range has a part of, and of the root: that one
    /// is hashed in another way than all below it.
    fn split(&self, node: &Range<u64>) -> Option<[Range<u64>; 2]> {
        let length = node.end - node.start;
        let is_root = length == self.whole;
        let of_one = node.start / self.range == node.end.saturating_sub(1) / self.range;
        if length <= CHUNK_BYTES || (of_one && !is_root) {
            return None;
        }
        let middle = node.start + left_subtree_len(length);
        Some([node.start..middle, middle..node.end])
    }

    /// Whether the root is a chunk itself.
    fn is_chunk(&self) -> bool {
        self.whole <= CHUNK_BYTES
    }
}

/// Hashes one range, as its bytes come.
#[derive(Clone, Debug)]
pub struct RangeHasher {
    is_root: bool,
    /// Those that have not begun; the next one is the last.
    subtrees: Vec<Range<u64>>,
    /// Bytes that the subtree still takes that has begun.
    left: u64,
    hasher: Hasher,
    hashes: Vec<ChainingValue>,
    /// More came than the range has.
    over: bool,
}

impl RangeHasher {
    /// Takes the next bytes of the range.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let Some(next) = self.subtrees.pop() else {
                    self.over = true;
                    return;
                };
                self.hasher = Hasher::new();
                if !self.is_root {
                    self.hasher.set_input_offset(next.start);
                }
                self.left = next.end - next.start;
            }
            let most = usize::try_from(self.left).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(most));
            self.hasher.update(now);
            self.left -= now.len() as u64;
            if self.left == 0 {
                self.hashes.push(match self.is_root {
                    true => *self.hasher.finalize().as_bytes(),
                    false => self.hasher.finalize_non_root(),
                });
            }
            bytes = later;
        }
    }

    /// The range's hashes; nothing unless exactly its bytes came.
    pub fn finish(self) -> Option<Vec<ChainingValue>> {
        let is_whole = self.left == 0 && self.subtrees.is_empty() && !self.over;
        is_whole.then_some(self.hashes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    /// The hashes of all ranges; each range comes in pieces of so many bytes.
    fn hashes(ranges: HashRanges, body: &[u8], piece: usize) -> Vec<ChainingValue> {
        let hash = |index| {
            let bytes = ranges.bytes(index);
            let mut hasher = ranges.hasher(index);
            let bytes = &body[bytes.start as usize..bytes.end as usize];
            bytes.chunks(piece).for_each(|piece| hasher.update(piece));
            hasher.finish().unwrap()
        };
        (0..ranges.count()).flat_map(hash).collect()
    }

    #[test]
    fn ranges_of_any_length_lead_to_the_digest() {
        for length in [0, 1, 1023, 1024, 1025, 2048, 5000, 16384, 100_000, 131_072, 131_073] {
            let body = body(length);
            for range in [1024, 2048, 3072, 7168, 16384, 43 * 1024, 1 << 20] {
                let ranges = HashRanges::new(length as u64, range).unwrap();
                for piece in [1000, 4096, 1 << 20] {
                    let root = ranges.root(hashes(ranges, &body, piece));
                    assert_eq!(root, Some(Digest::of(&body)), "{length} in {range}");
                }
            }
            let one = HashRanges::one(length as u64);
            assert_eq!(one.count(), 1);
            assert_eq!(one.root(hashes(one, &body, 999)), Some(Digest::of(&body)));
        }
    }

    #[test]
    fn a_range_of_many_chunks_says_little() {
        let ranges = HashRanges::new(100 << 20, 43 << 18).unwrap();
        for index in 0..ranges.count() {
            assert!(ranges.hasher(index).subtrees.len() <= 12, "range {index}");
        }
    }

    #[test]
    fn another_byte_or_another_place_leads_elsewhere() {
        let mut body = body(10_000);
        let ranges = HashRanges::new(10_000, 2048).unwrap();
        let right = hashes(ranges, &body, 512);
        let mut swapped = right.clone();
        swapped.swap(0, 1);
        assert_ne!(ranges.root(swapped), Some(Digest::of(&body)));
        assert_eq!(ranges.root(right[1..].iter().copied()), None, "too few");
        assert_eq!(ranges.root(right.iter().chain(&right).copied()), None, "too many");
        let digest = Digest::of(&body);
        body[7000] ^= 1;
        assert_ne!(ranges.root(hashes(ranges, &body, 512)), Some(digest));
    }

    #[test]
    fn a_range_is_as_long_as_it_is() {
        let ranges = HashRanges::new(10_000, 4096).unwrap();
        for (bytes, right) in [(4095, false), (4096, true), (4097, false)] {
            let mut hasher = ranges.hasher(1);
            hasher.update(&body(bytes));
            assert_eq!(hasher.finish().is_some(), right, "{bytes}");
        }
        assert_eq!(HashRanges::new(10_000, 1000), Err(RangeError(1000)));
        assert_eq!(HashRanges::new(10_000, 0), Err(RangeError(0)));
        assert_eq!(ranges.bytes(2), 8192..10_000);
        assert_eq!(ranges.bytes(3), 10_000..10_000);
    }
}

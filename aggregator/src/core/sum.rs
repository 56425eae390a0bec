//! The sum of a closed round's bodies: the only thing that is ever computed from them.
//!
//! A [`Sum`] can be made here only, and only from the bodies of a `ClosedSet`, which the round
//! machine makes only when its set is fixed, or of a closing. It is made in ranges: one, where this
//! aggregator makes it alone; else each by whoever is free (`together`). Every byte that is added is
//! hashed on the way, and the hashes of all ranges lead to the digests in the signed headers.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use ringfence_crypto::Digest;
use ringfence_crypto::hash_ranges::{HashRanges, RangeError, RangeHasher};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::ring::ciphertext::{LengthError, WordSum, block_bytes};
use serde::{Deserialize, Serialize};

use crate::core::lease::Lease;
use crate::core::refusal::Refusal;
use crate::store::blobs::{Blob, Blobs};
use crate::store::terms::{RoundId, StoreError};

/// Blocks of every body that are added at a time, about half a megabyte: the running sum, eight
/// bytes a word, stays in the processor's cache. Memory is a few such chunks, whatever the number of sites and the size of
/// the model.
const CHUNK_BLOCKS: usize = 20;

/// Chunks that are read ahead while one is added.
const READ_AHEAD: usize = 2;

/// A sum that several aggregators make has so many ranges at least, unless they were too small.
const RANGES: u64 = 16;

/// A range is at least so long, if the body is: each costs some requests of its own.
const SMALLEST_RANGE: u64 = 256 << 10;

/// A range is at most so long: it is held in memory, sent while a lease lasts, and what a lost
/// aggregator was at is done anew.
const LARGEST_RANGE: u64 = 8 << 20;

/// The sum could not be made; nothing was published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SumError {
    /// The store failed.
    #[error("adding up failed: {0}")]
    Store(#[from] StoreError),
    /// Bodies that have receipts are missing, short or altered.
    #[error("the stored bodies of {} are missing, short or altered", names(.0))]
    Damaged(Vec<SiteId>),
    /// The bodies are what their headers say, and the sum is not what the closing says.
    #[error("the bodies add up to digest {got}, the closing says {expected}")]
    Differs {
        /// By the closing.
        expected: Digest,
        /// As added up.
        got: Digest,
    },
    /// The study's body length is no whole number of words.
    #[error(transparent)]
    Words(#[from] LengthError),
    /// An abort has no sum.
    #[error("an empty set has no sum")]
    Empty,
    /// The ranges of a body are no whole chunks.
    #[error(transparent)]
    Ranges(#[from] RangeError),
    /// This aggregator was too slow for its lease.
    #[error("another aggregator has taken over a range of the sum")]
    Outrun,
}

impl From<SumError> for Refusal {
    fn from(error: SumError) -> Self {
        match error {
            SumError::Store(error) => error.into(),
            SumError::Damaged(_)
            | SumError::Differs { .. }
            | SumError::Words(_)
            | SumError::Empty
            | SumError::Ranges(_)
            | SumError::Outrun => Self::internal(&error),
        }
    }
}

/// Names for a message.
pub(crate) fn names(sites: &[SiteId]) -> String {
    sites.iter().map(SiteId::as_str).collect::<Vec<_>>().join(", ")
}

/// A body of the set, and what its site's signed header says of it.
#[derive(Clone, Debug)]
pub(crate) struct Promised {
    /// Whose body.
    pub(crate) site: SiteId,
    /// Its digest.
    pub(crate) digest: Digest,
}

/// A body while a range of it is added.
struct Part {
    blob: Blob,
    hasher: RangeHasher,
    /// A piece of it is not there.
    lost: bool,
}

/// Where the bodies of a round are, and what their words look like.
#[derive(Clone, Debug)]
pub(crate) struct Addition {
    /// The store.
    pub(crate) blobs: Arc<dyn Blobs>,
    /// The round.
    pub(crate) round: RoundId,
    /// How long every body is.
    pub(crate) body_bytes: u64,
    /// Bits of a word.
    pub(crate) wire_bits: u8,
}

/// What a range of the sum, and of each body in the set's order, hashes to; nothing of a body that is
/// missing or short there.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RangeHashes {
    sum: Vec<[u8; 32]>,
    bodies: Vec<Option<Vec<[u8; 32]>>>,
}

/// The sum over a closed set, whose bodies are what their headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    digest: Digest,
}

impl Sum {
    /// BLAKE3 root of the sum.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// The sum that was made in these ranges, of which each has said what it hashes to.
    ///
    /// # Errors
    /// [`SumError::Damaged`] names the bodies that are not what their headers say.
    pub(crate) fn of(
        ranges: HashRanges,
        set: &[Promised],
        hashes: &[RangeHashes],
    ) -> Result<Self, SumError> {
        let is_damaged = |place: usize, promised: &Promised| {
            let of_body = hashes.iter().map(|range| range.bodies.get(place)?.as_ref());
            let of_body = of_body.collect::<Option<Vec<_>>>();
            let root = of_body.and_then(|all| ranges.root(all.into_iter().flatten().copied()));
            root != Some(promised.digest)
        };
        let damaged = set.iter().enumerate().filter(|(place, body)| is_damaged(*place, body));
        let damaged: Vec<SiteId> = damaged.map(|(_, body)| body.site.clone()).collect();
        if !damaged.is_empty() {
            return Err(SumError::Damaged(damaged));
        }
        let of_sum = hashes.iter().flat_map(|range| &range.sum).copied();
        // Without a body there is none.
        ranges.root(of_sum).map(|digest| Self { digest }).ok_or(SumError::Empty)
    }
}

/// How long a range is: of whole subtrees of BLAKE3's tree, so that it can be hashed alone, and of
/// whole groups of words, so that it can be added alone.
fn range_bytes(body_bytes: u64, wire_bits: u8) -> u64 {
    // A group of words has 64 bytes for each bit of a word; a chunk of BLAKE3's has 1024.
    let twos = wire_bits.trailing_zeros().min(6);
    let unit = u64::from(wire_bits >> twos) << (6 + twos).max(10);
    let wanted = (body_bytes / RANGES).clamp(SMALLEST_RANGE, LARGEST_RANGE);
    // Doubled, not multiplied: a range of a few large subtrees has few hashes.
    unit << (wanted / unit.max(1)).max(1).ilog2()
}

impl Addition {
    /// How the sum is divided where several aggregators make it.
    ///
    /// # Errors
    /// [`SumError::Ranges`] for words without a bit, which no study has.
    pub(crate) fn ranges(&self) -> Result<HashRanges, SumError> {
        Ok(HashRanges::new(self.body_bytes, range_bytes(self.body_bytes, self.wire_bits))?)
    }

    /// Adds up these bodies into the round's sum, which must have the digest that is `expected`, if
    /// any. Nothing is stored unless all of them are what their headers say.
    ///
    /// It is a pure function of the set: a crash in the middle only means doing it again.
    pub(crate) async fn add_up(
        &self,
        set: &[Promised],
        expected: Option<Digest>,
    ) -> Result<Sum, SumError> {
        let whole = HashRanges::one(self.body_bytes);
        let mut adding = Adding::begin(self, set, (whole, 0)).await?;
        let mut writer = self.blobs.write_sum(self.round).await?;
        while let Some(total) = adding.next(None).await? {
            writer.write(total).await?;
        }
        let sum = Sum::of(whole, set, &[adding.finish()])?;
        let got = sum.digest;
        if let Some(expected) = expected.filter(|expected| *expected != got) {
            return Err(SumError::Differs { expected, got });
        }
        writer.finish().await?;
        Ok(sum)
    }

    /// Adds up one range of these bodies: its bytes, and what it hashes to.
    ///
    /// # Errors
    /// [`SumError::Outrun`] when it is another one's meanwhile.
    pub(crate) async fn add_range(
        &self,
        set: &[Promised],
        range: (HashRanges, u64),
        lease: &mut Lease,
    ) -> Result<(Bytes, RangeHashes), SumError> {
        let mut adding = Adding::begin(self, set, range).await?;
        let mut sum = Vec::new();
        while let Some(total) = adding.next(Some(lease)).await? {
            sum.extend_from_slice(&total);
        }
        Ok((sum.into(), adding.finish()))
    }
}

/// A range of all bodies while it is added, chunk by chunk.
struct Adding<'a> {
    addition: &'a Addition,
    bodies: Vec<Part>,
    sum: RangeHasher,
    rest: Range<u64>,
}

impl<'a> Adding<'a> {
    /// Begins with one of these ranges, by its place.
    async fn begin(
        addition: &'a Addition,
        set: &[Promised],
        (ranges, index): (HashRanges, u64),
    ) -> Result<Self, SumError> {
        if set.is_empty() {
            return Err(SumError::Empty);
        }
        let is_last = index + 1 == ranges.count();
        let mut bodies = Vec::new();
        for Promised { site, .. } in set {
            let blob = Blob::Body(site.clone());
            // What follows in a longer one would not be hashed.
            let lost = match is_last {
                true => {
                    let stored = addition.blobs.extent(addition.round, &blob).await?;
                    stored.is_none_or(|stored| stored.bytes != addition.body_bytes)
                }
                false => false,
            };
            bodies.push(Part { blob, hasher: ranges.hasher(index), lost });
        }
        Ok(Self { addition, bodies, sum: ranges.hasher(index), rest: ranges.bytes(index) })
    }

    /// The next chunk of the sum, hashed; nothing at the end. The lease is kept as long as bytes come.
    async fn next(&mut self, mut lease: Option<&mut Lease>) -> Result<Option<Bytes>, SumError> {
        let addition = self.addition;
        let chunk = (CHUNK_BLOCKS * block_bytes(addition.wire_bits)) as u64;
        let range = self.rest.start..self.rest.end.min(self.rest.start + chunk);
        if range.is_empty() {
            return Ok(None);
        }
        let blobs: Vec<Blob> = self.bodies.iter().map(|part| part.blob.clone()).collect();
        let lost: Vec<bool> = self.bodies.iter().map(|part| part.lost).collect();
        let read = |(blob, lost): (_, bool)| {
            let range = range.clone();
            async move {
                match lost {
                    true => Ok(None),
                    false => addition.blobs.read(addition.round, blob, range).await.map(Some),
                }
            }
        };
        let mut parts = stream::iter(blobs.iter().zip(lost)).map(read).buffered(READ_AHEAD);
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut total = WordSum::new(addition.wire_bits, length)?;
        for part in &mut self.bodies {
            let words = match parts.next().await {
                Some(Ok(Some(words))) => words,
                // The others are hashed to their ends, so that all that is damaged is known.
                Some(Err(StoreError::Lost(_)) | Ok(None)) | None => {
                    part.lost = true;
                    continue;
                }
                Some(Err(error)) => return Err(error.into()),
            };
            part.hasher.update(&words);
            total.add(&words)?;
            if let Some(lease) = &mut lease {
                lease.keep().await?;
            }
        }
        let total = total.finish();
        self.sum.update(&total);
        self.rest.start = range.end;
        Ok(Some(total.into()))
    }

    /// What the range hashes to.
    fn finish(self) -> RangeHashes {
        let of_body = |part: Part| part.hasher.finish().filter(|_| !part.lost);
        let bodies = self.bodies.into_iter().map(of_body).collect();
        RangeHashes { sum: self.sum.finish().unwrap_or_default(), bodies }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the words and the length, a range is of whole chunks and whole groups of words.
    #[test]
    fn a_sum_is_divided_where_hashes_and_words_are() {
        for wire_bits in 32..=64 {
            let group = 64 * u64::from(wire_bits);
            for blocks in [1, 3, 10, 100, 1000, 10_000] {
                let body_bytes = blocks * block_bytes(wire_bits) as u64;
                let bytes = range_bytes(body_bytes, wire_bits);
                assert!(bytes.is_multiple_of(group), "{wire_bits}");
                let ranges = HashRanges::new(body_bytes, bytes).unwrap();
                assert!(bytes <= LARGEST_RANGE);
                match body_bytes > RANGES * SMALLEST_RANGE {
                    true => assert!(ranges.count() >= RANGES, "{wire_bits} {blocks}"),
                    false => assert!(ranges.count() <= 2 * RANGES, "{wire_bits} {blocks}"),
                }
            }
        }
    }
}

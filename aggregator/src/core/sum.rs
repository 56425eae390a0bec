//! The sum of a closed round's bodies: the only thing that is ever computed from them.
//!
//! A [`Sum`] can be made here only, and only from the bodies of a `ClosedSet`, which the round
//! machine makes only when its set is fixed, or of a closing.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::ring::ciphertext::{LengthError, WordSum, block_bytes};

use crate::core::refusal::Refusal;
use crate::store::blobs::{Blob, Blobs};
use crate::store::terms::{RoundId, StoreError};

/// Blocks of every body that are added at a time, about half a megabyte: the running sum, eight
/// bytes a word, stays in the processor's cache. Memory is a few such chunks, whatever the number of sites and the size of
/// the model.
const CHUNK_BLOCKS: usize = 20;

/// Chunks that are read ahead while one is added.
const READ_AHEAD: usize = 2;

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
}

impl From<SumError> for Refusal {
    fn from(error: SumError) -> Self {
        match error {
            SumError::Store(error) => error.into(),
            SumError::Damaged(_)
            | SumError::Differs { .. }
            | SumError::Words(_)
            | SumError::Empty => Self::internal(&error),
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

/// A body while it is added.
struct Part {
    blob: Blob,
    site: SiteId,
    digest: Digest,
    hasher: blake3::Hasher,
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

/// The sum over a closed set, stored and durable.
#[derive(Debug)]
pub(crate) struct Sum {
    digest: Digest,
}

impl Sum {
    /// BLAKE3 root of the sum.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }
}

impl Addition {
    /// Adds up these bodies into the round's sum, which must have the digest that is `expected`, if
    /// any. Every body is hashed on the way: nothing is stored unless all of them are what their
    /// headers say.
    ///
    /// It is a pure function of the set: a crash in the middle only means doing it again.
    pub(crate) async fn add_up(
        &self,
        set: &[Promised],
        expected: Option<Digest>,
    ) -> Result<Sum, SumError> {
        if set.is_empty() {
            return Err(SumError::Empty);
        }
        let mut bodies = Vec::new();
        for Promised { site, digest } in set {
            let (site, digest) = (site.clone(), *digest);
            let blob = Blob::Body(site.clone());
            let stored = self.blobs.extent(self.round, &blob).await?;
            // What follows in a longer one would not be hashed.
            let lost = stored.is_none_or(|stored| stored.bytes != self.body_bytes);
            bodies.push(Part { blob, site, digest, hasher: blake3::Hasher::new(), lost });
        }
        let mut sum = self.blobs.write_sum(self.round).await?;
        let mut hasher = blake3::Hasher::new();
        let chunk = (CHUNK_BLOCKS * block_bytes(self.wire_bits)) as u64;
        let mut offset = 0;
        while offset < self.body_bytes {
            let end = self.body_bytes.min(offset + chunk);
            let total = self.add_range(&mut bodies, offset..end).await?;
            hasher.update(&total);
            sum.write(total).await?;
            offset = end;
        }
        let damaged = |part: &Part| part.lost || Digest::finish(&part.hasher) != part.digest;
        let damaged: Vec<SiteId> =
            bodies.into_iter().filter(damaged).map(|part| part.site).collect();
        if !damaged.is_empty() {
            return Err(SumError::Damaged(damaged));
        }
        let got = Digest::finish(&hasher);
        if let Some(expected) = expected.filter(|expected| *expected != got) {
            return Err(SumError::Differs { expected, got });
        }
        sum.finish().await?;
        Ok(Sum { digest: got })
    }

    /// Adds up one range of every body, and hashes it.
    async fn add_range(
        &self,
        bodies: &mut [Part],
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, SumError> {
        let blobs: Vec<Blob> = bodies.iter().map(|part| part.blob.clone()).collect();
        let lost: Vec<bool> = bodies.iter().map(|part| part.lost).collect();
        let read = |(blob, lost): (_, bool)| {
            let range = range.clone();
            async move {
                match lost {
                    true => Ok(None),
                    false => self.blobs.read(self.round, blob, range).await.map(Some),
                }
            }
        };
        let mut parts = stream::iter(blobs.iter().zip(lost)).map(read).buffered(READ_AHEAD);
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut total = WordSum::new(self.wire_bits, length)?;
        for part in bodies {
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
        }
        Ok(total.finish().into())
    }
}

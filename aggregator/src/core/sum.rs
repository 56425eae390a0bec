//! The sum of a closed round's bodies: the only thing that is ever computed from them.
//!
//! A [`Sum`] can be made here only, and only from a [`ClosedSet`], which the round machine makes
//! only when its set is fixed.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::ring::ciphertext::{LengthError, WordSum, block_bytes};
use ringfence_crypto::round::ClosedSet;

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
    /// A body that has a receipt is not whole.
    #[error("the body of {site} has {got} bytes in the store, expected {expected}: it lost some")]
    Length {
        /// Whose body.
        site: SiteId,
        /// By the study.
        expected: u64,
        /// As stored.
        got: u64,
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
            SumError::Length { .. } | SumError::Words(_) | SumError::Empty => {
                Self::internal(&error)
            }
        }
    }
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
    /// Adds up the bodies of `set` into the round's sum.
    ///
    /// It is a pure function of the set: a crash in the middle only means doing it again.
    pub(crate) async fn add_up(&self, set: &ClosedSet) -> Result<Sum, SumError> {
        if set.included().is_empty() {
            return Err(SumError::Empty);
        }
        let bodies: Vec<Blob> =
            set.included().iter().map(|entry| Blob::Body(entry.site.clone())).collect();
        for entry in set.included() {
            self.check_length(&entry.site).await?;
        }
        let mut sum = self.blobs.write_sum(self.round).await?;
        let mut hasher = blake3::Hasher::new();
        let chunk = (CHUNK_BLOCKS * block_bytes(self.wire_bits)) as u64;
        let mut offset = 0;
        while offset < self.body_bytes {
            let end = self.body_bytes.min(offset + chunk);
            let total = self.add_range(&bodies, offset..end).await?;
            hasher.update(&total);
            sum.write(total).await?;
            offset = end;
        }
        sum.finish().await?;
        Ok(Sum { digest: Digest::finish(&hasher) })
    }

    async fn check_length(&self, site: &SiteId) -> Result<(), SumError> {
        let stored = self.blobs.extent(self.round, &Blob::Body(site.clone())).await?;
        let (expected, got) = (self.body_bytes, stored.map_or(0, |stored| stored.bytes));
        match got == expected {
            true => Ok(()),
            false => Err(SumError::Length { site: site.clone(), expected, got }),
        }
    }

    /// Adds up one range of every body.
    async fn add_range(
        &self,
        bodies: &[Blob],
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, SumError> {
        let read = |body| self.blobs.read(self.round, body, range.clone());
        let mut parts = stream::iter(bodies).map(read).buffered(READ_AHEAD);
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut total = WordSum::new(self.wire_bits, length)?;
        while let Some(words) = parts.try_next().await? {
            total.add(&words)?;
        }
        Ok(total.finish().into())
    }
}

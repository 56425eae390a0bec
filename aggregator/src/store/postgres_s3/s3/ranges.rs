//! Ranges of a sum, from when they are added until they are joined.

use bytes::Bytes;
use object_store::ObjectStoreExt;

use super::{RoundPaths, S3Blobs, read_failed, write_failed};
use crate::store::terms::{RoundId, StoreError};

impl S3Blobs {
    /// Stores a range of a sum under the token of a lease.
    pub(in crate::store::postgres_s3) async fn put_range(
        &self,
        round: RoundId,
        token: u64,
        sum: Bytes,
    ) -> Result<(), StoreError> {
        let path = RoundPaths::of(round).range(token);
        self.store.put(&path, sum.into()).await.map(drop).map_err(write_failed)
    }

    /// A range of a sum, whole.
    pub(in crate::store::postgres_s3) async fn range_of_sum(
        &self,
        round: RoundId,
        token: u64,
    ) -> Result<Bytes, StoreError> {
        let found = self.store.get(&RoundPaths::of(round).range(token)).await;
        found.map_err(read_failed)?.bytes().await.map_err(read_failed)
    }

    /// Removes a range of a sum.
    pub(in crate::store::postgres_s3) async fn remove_range(
        &self,
        round: RoundId,
        token: u64,
    ) -> Result<(), StoreError> {
        self.remove(&RoundPaths::of(round).range(token)).await
    }

    /// Removes all ranges of a round's sum.
    pub(in crate::store::postgres_s3) async fn remove_ranges(
        &self,
        round: RoundId,
    ) -> Result<(), StoreError> {
        self.remove_parts(&RoundPaths::of(round).ranges()).await
    }
}

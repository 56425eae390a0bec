//! Envelopes and bodies of small contributions, in the database of their statements: durable with
//! them by one sync, where files would take five.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::Header;
use sqlx::QueryBuilder;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use crate::store::blobs::{BodyCheck, EnvelopePlace, Extent};
use crate::store::pieces;
use crate::store::statements::Small;
use crate::store::terms::{RoundId, StoreError};

/// The bytes of small contributions.
#[derive(Clone, Debug)]
pub(crate) struct SmallBytes {
    pool: SqlitePool,
}

/// Stores contributions in a transaction.
pub(super) async fn insert(
    transaction: &mut SqliteConnection,
    round: RoundId,
    small: &[Small],
) -> Result<(), StoreError> {
    for Small { site, envelopes, body } in small {
        sqlx::query(
            "INSERT OR REPLACE INTO small (study, round, site, envelopes, body, at)
             VALUES (?, ?, ?, ?, ?, unixepoch())",
        )
        .bind(round.study.to_string())
        .bind(round.round.0)
        .bind(site.as_str())
        .bind(envelopes.as_ref())
        .bind(body.as_ref())
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}

impl SmallBytes {
    /// Those of a database that is open.
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// How large a body is, if it is here.
    pub(super) async fn extent(
        &self,
        round: RoundId,
        site: &SiteId,
    ) -> Result<Option<Extent>, StoreError> {
        let row: Option<(i64, i64)> = sqlx::query_as(
            "SELECT length(body), at FROM small
             WHERE study = ? AND round = ? AND site = ? AND body IS NOT NULL",
        )
        .bind(round.study.to_string())
        .bind(round.round.0)
        .bind(site.as_str())
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|(bytes, at)| Extent {
            bytes: bytes.cast_unsigned(),
            modified: UNIX_EPOCH + Duration::from_secs(at.cast_unsigned()),
        }))
    }

    /// A range of a body; as far as it goes, where the range goes further. Nothing if it is not here.
    pub(super) async fn read(
        &self,
        round: RoundId,
        site: &SiteId,
        range: &Range<u64>,
    ) -> Result<Option<Bytes>, StoreError> {
        let row: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT substr(body, ?, ?) FROM small
             WHERE study = ? AND round = ? AND site = ? AND body IS NOT NULL",
        )
        // SQLite counts from 1.
        .bind(range.start.saturating_add(1).cast_signed())
        .bind(range.end.saturating_sub(range.start).cast_signed())
        .bind(round.study.to_string())
        .bind(round.round.0)
        .bind(site.as_str())
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(Bytes::from))
    }

    /// Compares a body with the digest in its header, and discards another one; nothing if it is not
    /// here.
    pub(super) async fn check(
        &self,
        round: RoundId,
        header: &Header,
    ) -> Result<Option<BodyCheck>, StoreError> {
        let Some(Extent { bytes, .. }) = self.extent(round, &header.site).await? else {
            return Ok(None);
        };
        let Some(body) = self.read(round, &header.site, &(0..bytes)).await? else {
            return Ok(None);
        };
        let got = Digest::of(&body);
        if got == header.body {
            return Ok(Some(BodyCheck::Right));
        }
        self.discard(round, &header.site).await?;
        Ok(Some(BodyCheck::Discarded { got }))
    }

    /// Removes a body; one that is not here is no error.
    pub(super) async fn discard(&self, round: RoundId, site: &SiteId) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE small SET body = NULL
             WHERE study = ? AND round = ? AND site = ? AND body IS NOT NULL",
        )
        .bind(round.study.to_string())
        .bind(round.round.0)
        .bind(site.as_str())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Whether a site's envelopes are here.
    pub(super) async fn has_envelopes(
        &self,
        round: RoundId,
        site: &SiteId,
    ) -> Result<bool, StoreError> {
        let row: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM small WHERE study = ? AND round = ? AND site = ?")
                .bind(round.study.to_string())
                .bind(round.round.0)
                .bind(site.as_str())
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.is_some())
    }

    /// One envelope, if the site's are here.
    pub(super) async fn envelope(
        &self,
        round: RoundId,
        site: &SiteId,
        place: EnvelopePlace,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let lengths = 0..(place.count * pieces::NUMBER) as u64;
        let Some(lengths) = self.envelope_bytes(round, site, &lengths).await? else {
            return Ok(None);
        };
        let lost = || StoreError::Lost(format!("the envelopes of {site}"));
        let range = pieces::envelope(&lengths, place.index).ok_or_else(lost)?;
        let found = self.envelope_bytes(round, site, &range).await?;
        let whole = |found: &Vec<u8>| found.len() as u64 == range.end.saturating_sub(range.start);
        found.filter(whole).map(Some).ok_or_else(lost)
    }

    /// The envelope at one place of each of some sites, of those whose envelopes are here and whole.
    pub(super) async fn envelopes(
        &self,
        round: RoundId,
        sites: &[&SiteId],
        place: EnvelopePlace,
    ) -> Result<BTreeMap<SiteId, Vec<u8>>, StoreError> {
        if sites.is_empty() {
            return Ok(BTreeMap::new());
        }
        // All envelopes of a site: SQLite reads a value whole in any case.
        let mut query = QueryBuilder::new("SELECT site, envelopes FROM small WHERE study = ");
        query.push_bind(round.study.to_string()).push(" AND round = ").push_bind(round.round.0);
        query.push(" AND site IN (");
        let mut names = query.separated(", ");
        sites.iter().for_each(|site| _ = names.push_bind(site.as_str()));
        query.push(")");
        let rows: Vec<(String, Vec<u8>)> = query.build_query_as().fetch_all(&self.pool).await?;
        let envelope = |(site, envelopes): (String, Vec<u8>)| {
            let lengths = envelopes.get(..place.count * pieces::NUMBER)?;
            let Range { start, end } = pieces::envelope(lengths, place.index)?;
            let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
            Some((site.parse().ok()?, envelopes.get(range)?.to_vec()))
        };
        Ok(rows.into_iter().filter_map(envelope).collect())
    }

    /// A range of what is stored of a site's envelopes.
    async fn envelope_bytes(
        &self,
        round: RoundId,
        site: &SiteId,
        range: &Range<u64>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let query = sqlx::query_scalar(
            "SELECT substr(envelopes, ?, ?) FROM small
             WHERE study = ? AND round = ? AND site = ?",
        );
        Ok(query
            .bind(range.start.saturating_add(1).cast_signed())
            .bind(range.end.saturating_sub(range.start).cast_signed())
            .bind(round.study.to_string())
            .bind(round.round.0)
            .bind(site.as_str())
            .fetch_optional(&self.pool)
            .await?)
    }
}

//! What waits for signatures, in PostgreSQL.

use futures_util::FutureExt;
use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};
use ringfence_crypto::statement::SiteSignature;
use ringfence_crypto::wire::json;
use sqlx::postgres::PgPool;

use crate::store::drafts::{Drafts, NextProposal, StoredDraft, StoredProposal};
use crate::store::sql::{DraftRow, ProposalRow, draft_of, proposal_of, signatures_of, sites_of};
use crate::store::terms::Answer;

/// The drafts in a database whose schema is up to date.
#[derive(Debug)]
pub(super) struct PgDrafts {
    pool: PgPool,
}

impl PgDrafts {
    /// Those of an open database.
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

impl Drafts for PgDrafts {
    fn insert_draft<'a>(
        &'a self,
        study: StudyId,
        file: &'a [u8],
        posted_at: UnixSeconds,
    ) -> Answer<'a, ()> {
        async move {
            sqlx::query(
                "INSERT INTO drafts (study, file, posted_at) VALUES ($1, $2, $3)
                 ON CONFLICT (study) DO UPDATE SET posted_at = excluded.posted_at",
            )
            .bind(study.to_string())
            .bind(file)
            .bind(posted_at.0.cast_signed())
            .execute(&self.pool)
            .await?;
            Ok(())
        }
        .boxed()
    }

    fn drafts(&self) -> Answer<'_, Vec<StoredDraft>> {
        async move {
            let rows: Vec<DraftRow> = sqlx::query_as(
                "SELECT study, octet_length(file)::bigint, posted_at FROM drafts
                 ORDER BY posted_at, study",
            )
            .fetch_all(&self.pool)
            .await?;
            rows.into_iter().map(draft_of).collect()
        }
        .boxed()
    }

    fn draft(&self, study: StudyId) -> Answer<'_, Option<StoredDraft>> {
        async move {
            let row: Option<DraftRow> = sqlx::query_as(
                "SELECT study, octet_length(file)::bigint, posted_at FROM drafts WHERE study = $1",
            )
            .bind(study.to_string())
            .fetch_optional(&self.pool)
            .await?;
            row.map(draft_of).transpose()
        }
        .boxed()
    }

    fn draft_file(&self, study: StudyId) -> Answer<'_, Option<Vec<u8>>> {
        async move {
            let query = sqlx::query_scalar("SELECT file FROM drafts WHERE study = $1");
            Ok(query.bind(study.to_string()).fetch_optional(&self.pool).await?)
        }
        .boxed()
    }

    fn sign_draft<'a>(
        &'a self,
        study: StudyId,
        signatures: &'a [SiteSignature],
    ) -> Answer<'a, usize> {
        async move {
            let sites: Vec<&str> = signatures.iter().map(|signed| signed.site.as_str()).collect();
            let signed: Vec<Vec<u8>> = signatures.iter().map(json::compact).collect();
            // The draft's row is held: whoever removes it comes before or after this.
            let done = sqlx::query(
                "WITH draft AS (SELECT study FROM drafts WHERE study = $1 FOR KEY SHARE)
                 INSERT INTO draft_signatures (study, site, signature)
                 SELECT draft.study, new.site, new.signature
                 FROM draft, unnest($2::text[], $3::bytea[]) AS new (site, signature)
                 ON CONFLICT DO NOTHING",
            )
            .bind(study.to_string())
            .bind(sites)
            .bind(signed)
            .execute(&self.pool)
            .await?;
            Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
        }
        .boxed()
    }

    fn draft_signers(&self, study: StudyId) -> Answer<'_, Vec<SiteId>> {
        async move {
            let rows: Vec<String> = sqlx::query_scalar(
                "SELECT site FROM draft_signatures WHERE study = $1 ORDER BY site COLLATE \"C\"",
            )
            .bind(study.to_string())
            .fetch_all(&self.pool)
            .await?;
            sites_of(rows)
        }
        .boxed()
    }

    fn draft_signatures(&self, study: StudyId) -> Answer<'_, Vec<SiteSignature>> {
        async move {
            let rows: Vec<Vec<u8>> = sqlx::query_scalar(
                "SELECT signature FROM draft_signatures WHERE study = $1
                 ORDER BY site COLLATE \"C\"",
            )
            .bind(study.to_string())
            .fetch_all(&self.pool)
            .await?;
            signatures_of(rows, study)
        }
        .boxed()
    }

    fn remove_draft(&self, study: StudyId) -> Answer<'_, bool> {
        async move {
            let done = sqlx::query("DELETE FROM drafts WHERE study = $1")
                .bind(study.to_string())
                .execute(&self.pool)
                .await?;
            Ok(done.rows_affected() > 0)
        }
        .boxed()
    }

    fn propose<'a>(&'a self, study: StudyId, next: NextProposal<'a>) -> Answer<'a, ()> {
        async move {
            let (study, digest) = (study.to_string(), next.digest.to_string());
            let number = i64::from(next.number);
            let mut transaction = self.pool.begin().await?;
            // One at a time in a study; the others hear of it.
            let change: i64 = sqlx::query_scalar(
                "UPDATE changes SET number = number + 1 WHERE study = $1 RETURNING number",
            )
            .bind(&study)
            .fetch_one(&mut *transaction)
            .await?;
            sqlx::query("DELETE FROM proposals WHERE study = $1 AND (number < $2 OR at < $3)")
                .bind(&study)
                .bind(number)
                .bind(next.over_before.0.cast_signed())
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "INSERT INTO proposals (study, digest, number, file, at)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            )
            .bind(&study)
            .bind(&digest)
            .bind(number)
            .bind(next.file)
            .bind(next.at.0.cast_signed())
            .execute(&mut *transaction)
            .await?;
            let signatures: Vec<Vec<u8>> = next.signatures.iter().map(json::compact).collect();
            sqlx::query(
                "INSERT INTO proposal_signatures (study, digest, signature)
                 SELECT $1, $2, unnest($3::bytea[]) ON CONFLICT DO NOTHING",
            )
            .bind(&study)
            .bind(&digest)
            .bind(signatures)
            .execute(&mut *transaction)
            .await?;
            sqlx::query(
                "INSERT INTO proposers (study, site, digest, change) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (study, site)
                 DO UPDATE SET digest = excluded.digest, change = excluded.change",
            )
            .bind(&study)
            .bind(next.by.as_str())
            .bind(&digest)
            .bind(change)
            .execute(&mut *transaction)
            .await?;
            sqlx::query(
                "DELETE FROM proposals WHERE study = $1 AND digest NOT IN (
                     SELECT digest FROM proposers WHERE study = $1)",
            )
            .bind(&study)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("SELECT pg_notify('ringfence', $1)")
                .bind(&study)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(())
        }
        .boxed()
    }

    fn proposals(&self, study: StudyId) -> Answer<'_, Vec<StoredProposal>> {
        async move {
            let name = study.to_string();
            // As it all was at one moment: what is removed meanwhile is there with its signatures.
            let mut transaction = self.pool.begin().await?;
            sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                .execute(&mut *transaction)
                .await?;
            let rows: Vec<ProposalRow> = sqlx::query_as(
                "SELECT digest, number, file, at FROM proposals WHERE study = $1
                 ORDER BY at, digest",
            )
            .bind(&name)
            .fetch_all(&mut *transaction)
            .await?;
            let mut found = Vec::new();
            for row in rows {
                let by: Vec<String> = sqlx::query_scalar(
                    "SELECT site FROM proposers WHERE study = $1 AND digest = $2
                     ORDER BY site COLLATE \"C\"",
                )
                .bind(&name)
                .bind(&row.0)
                .fetch_all(&mut *transaction)
                .await?;
                let signatures: Vec<Vec<u8>> = sqlx::query_scalar(
                    "SELECT signature FROM proposal_signatures WHERE study = $1 AND digest = $2
                     ORDER BY signature",
                )
                .bind(&name)
                .bind(&row.0)
                .fetch_all(&mut *transaction)
                .await?;
                found.push(proposal_of(row, sites_of(by)?, signatures_of(signatures, study)?));
            }
            Ok(found)
        }
        .boxed()
    }

    fn void_proposals(&self, study: StudyId, number: u32) -> Answer<'_, ()> {
        async move {
            sqlx::query("DELETE FROM proposals WHERE study = $1 AND number <= $2")
                .bind(study.to_string())
                .bind(i64::from(number))
                .execute(&self.pool)
                .await?;
            Ok(())
        }
        .boxed()
    }
}

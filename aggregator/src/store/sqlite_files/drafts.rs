//! What waits for signatures, in SQLite.

use futures_util::FutureExt;
use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};
use ringfence_crypto::statement::SiteSignature;
use ringfence_crypto::wire::json;
use sqlx::sqlite::SqlitePool;

use crate::store::drafts::{Drafts, NextProposal, StoredDraft, StoredProposal};
use crate::store::sql::{DraftRow, ProposalRow, draft_of, proposal_of, signatures_of, sites_of};
use crate::store::terms::Answer;

/// The drafts in a database whose schema is up to date.
#[derive(Debug)]
pub(super) struct SqliteDrafts {
    pool: SqlitePool,
}

impl SqliteDrafts {
    /// Those of an open database.
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }
}

impl Drafts for SqliteDrafts {
    fn insert_draft<'a>(
        &'a self,
        study: StudyId,
        file: &'a [u8],
        posted_at: UnixSeconds,
    ) -> Answer<'a, ()> {
        async move {
            sqlx::query(
                "INSERT INTO drafts (study, file, posted_at) VALUES (?, ?, ?)
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
                "SELECT study, length(file), posted_at FROM drafts ORDER BY posted_at, study",
            )
            .fetch_all(&self.pool)
            .await?;
            rows.into_iter().map(draft_of).collect()
        }
        .boxed()
    }

    fn draft(&self, study: StudyId) -> Answer<'_, Option<StoredDraft>> {
        async move {
            let row: Option<DraftRow> =
                sqlx::query_as("SELECT study, length(file), posted_at FROM drafts WHERE study = ?")
                    .bind(study.to_string())
                    .fetch_optional(&self.pool)
                    .await?;
            row.map(draft_of).transpose()
        }
        .boxed()
    }

    fn draft_file(&self, study: StudyId) -> Answer<'_, Option<Vec<u8>>> {
        async move {
            let query = sqlx::query_scalar("SELECT file FROM drafts WHERE study = ?");
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
            let (mut transaction, mut new) = (self.pool.begin().await?, 0);
            for signature in signatures {
                let done = sqlx::query(
                    "INSERT INTO draft_signatures (study, site, signature)
                     SELECT study, ?2, ?3 FROM drafts WHERE study = ?1
                     ON CONFLICT DO NOTHING",
                )
                .bind(study.to_string())
                .bind(signature.site.as_str())
                .bind(json::compact(signature))
                .execute(&mut *transaction)
                .await?;
                new += usize::from(done.rows_affected() > 0);
            }
            transaction.commit().await?;
            Ok(new)
        }
        .boxed()
    }

    fn draft_signers(&self, study: StudyId) -> Answer<'_, Vec<SiteId>> {
        async move {
            let rows: Vec<String> = sqlx::query_scalar(
                "SELECT site FROM draft_signatures WHERE study = ? ORDER BY site",
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
                "SELECT signature FROM draft_signatures WHERE study = ? ORDER BY site",
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
            let done = sqlx::query("DELETE FROM drafts WHERE study = ?")
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
            let mut transaction = self.pool.begin().await?;
            sqlx::query("DELETE FROM proposals WHERE study = ? AND (number < ? OR at < ?)")
                .bind(&study)
                .bind(next.number)
                .bind(next.over_before.0.cast_signed())
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "INSERT INTO proposals (study, digest, number, file, at) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT DO NOTHING",
            )
            .bind(&study)
            .bind(&digest)
            .bind(next.number)
            .bind(next.file)
            .bind(next.at.0.cast_signed())
            .execute(&mut *transaction)
            .await?;
            for signature in next.signatures {
                sqlx::query(
                    "INSERT INTO proposal_signatures (study, digest, signature) VALUES (?, ?, ?)
                     ON CONFLICT DO NOTHING",
                )
                .bind(&study)
                .bind(&digest)
                .bind(json::compact(signature))
                .execute(&mut *transaction)
                .await?;
            }
            sqlx::query(
                "INSERT INTO proposers (study, site, digest) VALUES (?, ?, ?)
                 ON CONFLICT (study, site) DO UPDATE SET digest = excluded.digest",
            )
            .bind(&study)
            .bind(next.by.as_str())
            .bind(&digest)
            .execute(&mut *transaction)
            .await?;
            sqlx::query(
                "DELETE FROM proposals WHERE study = ?1 AND digest NOT IN (
                     SELECT digest FROM proposers WHERE study = ?1)",
            )
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
            let mut transaction = self.pool.begin().await?;
            let rows: Vec<ProposalRow> = sqlx::query_as(
                "SELECT digest, number, file, at FROM proposals WHERE study = ?
                 ORDER BY at, digest",
            )
            .bind(&name)
            .fetch_all(&mut *transaction)
            .await?;
            let mut found = Vec::new();
            for row in rows {
                let by: Vec<String> = sqlx::query_scalar(
                    "SELECT site FROM proposers WHERE study = ? AND digest = ? ORDER BY site",
                )
                .bind(&name)
                .bind(&row.0)
                .fetch_all(&mut *transaction)
                .await?;
                let signatures: Vec<Vec<u8>> = sqlx::query_scalar(
                    "SELECT signature FROM proposal_signatures WHERE study = ? AND digest = ?
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
            sqlx::query("DELETE FROM proposals WHERE study = ? AND number <= ?")
                .bind(study.to_string())
                .bind(number)
                .execute(&self.pool)
                .await?;
            Ok(())
        }
        .boxed()
    }
}

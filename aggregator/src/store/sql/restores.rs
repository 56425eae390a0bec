//! Restore requests and their answers: the same statements for both databases.
//!
//! Sorted here, not by the databases: they do not agree on which of two names comes first.

use futures_util::FutureExt;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{RestoreRequest, Standing};
use ringfence_crypto::wire::json;

use crate::store::postgres_s3::PgStatements;
use crate::store::restores::Restores;
use crate::store::sql::parsed;
use crate::store::sqlite_files::SqliteStatements;
use crate::store::terms::Answer;

// A macro, because sqlx's bounds for "either database" are longer than what they would save.
macro_rules! restores_in {
    ($statements:ty) => {
        impl Restores for $statements {
            fn put_restore_request<'a>(
                &'a self,
                study: StudyId,
                signed: &'a Signed<RestoreRequest>,
            ) -> Answer<'a, bool> {
                async move {
                    let RestoreRequest { site, restored_at, .. } = &signed.statement;
                    let mut transaction = self.pool().begin().await?;
                    let put = sqlx::query(
                        "INSERT INTO restores (study, site, restored_at, digest, request)
                         VALUES ($1, $2, $3, $4, $5)
                         ON CONFLICT (study, site) DO UPDATE SET restored_at = excluded.restored_at,
                             digest = excluded.digest, request = excluded.request
                         WHERE restores.restored_at < excluded.restored_at",
                    )
                    .bind(study.to_string())
                    .bind(site.as_str())
                    .bind(restored_at.0.cast_signed())
                    .bind(signed.id().to_string())
                    .bind(json::compact(signed))
                    .execute(&mut *transaction)
                    .await?;
                    let is_new = put.rows_affected() == 1;
                    if is_new {
                        sqlx::query("DELETE FROM standings WHERE study = $1 AND asking = $2")
                            .bind(study.to_string())
                            .bind(site.as_str())
                            .execute(&mut *transaction)
                            .await?;
                    }
                    transaction.commit().await?;
                    Ok(is_new)
                }
                .boxed()
            }

            fn restore_requests(&self, study: StudyId) -> Answer<'_, Vec<Signed<RestoreRequest>>> {
                async move {
                    let rows: Vec<Vec<u8>> =
                        sqlx::query_scalar("SELECT request FROM restores WHERE study = $1")
                            .bind(study.to_string())
                            .fetch_all(self.pool())
                            .await?;
                    let place = || format!("a restore request of study {study}");
                    let read = |row: &Vec<u8>| parsed(row, "signed restore request", place);
                    let mut all: Vec<Signed<RestoreRequest>> =
                        rows.iter().map(read).collect::<Result<_, _>>()?;
                    all.sort_by(|one, other| one.statement.site.cmp(&other.statement.site));
                    Ok(all)
                }
                .boxed()
            }

            fn put_standing<'a>(
                &'a self,
                study: StudyId,
                asking: &'a SiteId,
                signed: &'a Signed<Standing>,
            ) -> Answer<'a, ()> {
                async move {
                    sqlx::query(
                        "INSERT INTO standings (study, asking, site, digest, standing)
                         SELECT $1, $2, $3, $4, $5 WHERE EXISTS (
                             SELECT 1 FROM restores WHERE study = $1 AND site = $2 AND digest = $4)
                         ON CONFLICT (study, asking, site)
                         DO UPDATE SET digest = excluded.digest, standing = excluded.standing",
                    )
                    .bind(study.to_string())
                    .bind(asking.as_str())
                    .bind(signed.statement.site.as_str())
                    .bind(signed.statement.request.to_string())
                    .bind(json::compact(signed))
                    .execute(self.pool())
                    .await?;
                    Ok(())
                }
                .boxed()
            }

            fn standings<'a>(
                &'a self,
                study: StudyId,
                asking: &'a SiteId,
                request: Digest,
            ) -> Answer<'a, Vec<Signed<Standing>>> {
                async move {
                    let rows: Vec<Vec<u8>> = sqlx::query_scalar(
                        "SELECT standing FROM standings
                         WHERE study = $1 AND asking = $2 AND digest = $3",
                    )
                    .bind(study.to_string())
                    .bind(asking.as_str())
                    .bind(request.to_string())
                    .fetch_all(self.pool())
                    .await?;
                    let place = || format!("an answer to {asking} in study {study}");
                    let read = |row: &Vec<u8>| parsed(row, "signed standing", place);
                    let mut all: Vec<Signed<Standing>> = rows.iter().map(read).collect::<Result<_, _>>()?;
                    all.sort_by(|one, other| one.statement.site.cmp(&other.statement.site));
                    Ok(all)
                }
                .boxed()
            }
        }
    };
}

restores_in!(SqliteStatements);
restores_in!(PgStatements);

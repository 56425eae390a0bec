//! Cosignatures: the same statements for both databases.

use futures_util::FutureExt;
use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};

use crate::store::postgres_s3::PgStatements;
use crate::store::sql::place;
use crate::store::sqlite_files::SqliteStatements;
use crate::store::terms::{Answer, StoreError};
use crate::store::witnesses::{Cosigned, Which, Witnesses};

/// A cosignature's row: site, size, when, note.
type CosignedRow = (String, i64, i64, String);

/// The cosignature in a row.
fn cosigned_of((site, size, at, note): CosignedRow) -> Result<Cosigned, StoreError> {
    let unreadable = || StoreError::Failed(format!("the cosignature of {site:?} is none").into());
    Ok(Cosigned {
        site: site.parse().map_err(|_| unreadable())?,
        size: size.cast_unsigned(),
        at: UnixSeconds(at.cast_unsigned()),
        note: note.parse().map_err(|_| unreadable())?,
    })
}

// A macro, because sqlx's bounds for "either database" are longer than what they would save.
macro_rules! witnesses_in {
    ($statements:ty) => {
        impl Witnesses for $statements {
            fn put_cosignature<'a>(
                &'a self,
                study: StudyId,
                cosigned: &'a Cosigned,
            ) -> Answer<'a, bool> {
                async move {
                    let Cosigned { site, size, at, note } = cosigned;
                    let put = sqlx::query(
                        "INSERT INTO cosignatures (study, site, size, at, note)
                         VALUES ($1, $2, $3, $4, $5)
                         ON CONFLICT (study, site) DO UPDATE SET size = excluded.size,
                             at = excluded.at, note = excluded.note
                         WHERE cosignatures.size < excluded.size
                             OR (cosignatures.size = excluded.size AND cosignatures.at < excluded.at)",
                    )
                    .bind(study.to_string())
                    .bind(site.as_str())
                    .bind(place(*size))
                    .bind(place(at.0))
                    .bind(note.to_string())
                    .execute(self.pool())
                    .await?;
                    Ok(put.rows_affected() == 1)
                }
                .boxed()
            }

            fn cosignatures<'a>(
                &'a self,
                study: StudyId,
                which: Which<'a>,
            ) -> Answer<'a, Vec<Cosigned>> {
                async move {
                    let (site, size) = match which {
                        Which::All => (None, None),
                        Which::OfSize(size) => (None, Some(place(size))),
                        Which::By(site) => (Some(site), None),
                    };
                    let rows: Vec<CosignedRow> = sqlx::query_as(
                        "SELECT site, size, at, note FROM cosignatures
                         WHERE study = $1
                             AND (CAST($2 AS TEXT) IS NULL OR site = $2)
                             AND (CAST($3 AS BIGINT) IS NULL OR size = $3)",
                    )
                    .bind(study.to_string())
                    .bind(site.map(SiteId::as_str))
                    .bind(size)
                    .fetch_all(self.pool())
                    .await?;
                    let mut all: Vec<Cosigned> =
                        rows.into_iter().map(cosigned_of).collect::<Result<_, _>>()?;
                    // Sorted here: databases do not agree on which of two names comes first.
                    all.sort_by(|one, other| (one.size, &one.site).cmp(&(other.size, &other.site)));
                    Ok(all)
                }
                .boxed()
            }
        }
    };
}

witnesses_in!(SqliteStatements);
witnesses_in!(PgStatements);

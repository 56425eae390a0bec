//! Studies, manifests and events in SQLite: what must survive any crash.
//!
//! Every write is its own transaction and is on the disk (`synchronous = FULL`) before it returns.

use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt;
use ringfence_crypto::Digest;
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::Event;
use ringfence_crypto::statement::{Manifest, RoundKeys, Signed, SiteId};
use ringfence_crypto::wire::json::{self, JsonError};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

/// Versioned and embedded: an older database is brought up to date when it is opened.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// SQLite's primary result code for a full disk (`SQLITE_FULL`).
const SQLITE_FULL: i32 = 13;

/// The database failed or holds what this program did not write.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite failed.
    #[error("the statement database failed: {0}")]
    Sqlite(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the statement database could not be migrated: {0}")]
    Migration(#[from] MigrateError),
    /// A stored statement does not parse.
    #[error("the statement database holds an unreadable row: {0}")]
    Row(#[from] JsonError),
    /// Events are missing.
    #[error("round {round} of study {study} lacks event {expected}: the database was altered")]
    Gap {
        /// The study.
        study: Digest,
        /// The round.
        round: u32,
        /// The first sequence number that is not there.
        expected: u64,
    },
    /// A statement of the log is missing, stands twice or is none.
    #[error(
        "the log of study {study} lacks leaf {expected}: the database was altered, or is of a version without a log"
    )]
    LogGap {
        /// The study.
        study: Digest,
        /// The first leaf that is not there.
        expected: u64,
    },
}

impl StoreError {
    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        let Self::Sqlite(sqlx::Error::Database(error)) = self else { return false };
        // Extended result codes carry the primary one in their low byte.
        error
            .code()
            .and_then(|code| code.parse::<i32>().ok())
            .is_some_and(|code| code & 0xff == SQLITE_FULL)
    }
}

/// The statements of all studies.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens or creates the database and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`] when the file is no such database or cannot be written.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
        MIGRATIONS.run(&pool).await?;
        Ok(Self { pool })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Stores a signed study as it was posted; one that is there already stays as it is.
    pub(crate) async fn insert_study(&self, study: Digest, file: &[u8]) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO studies (study, file) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(study.to_string())
            .bind(file)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A signed study, byte for byte as it was posted.
    pub(crate) async fn study(&self, study: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar("SELECT file FROM studies WHERE study = ?")
            .bind(study.to_string())
            .fetch_optional(&self.pool)
            .await?)
    }

    /// Digests of all studies, as text.
    pub(crate) async fn studies(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT study FROM studies ORDER BY rowid")
            .fetch_all(&self.pool)
            .await?)
    }

    /// Stores a manifest as a leaf of the log unless the round has one; returns the one that the
    /// round has, and whether it is at that leaf.
    pub(crate) async fn insert_round(
        &self,
        study: Digest,
        manifest: &Signed<Manifest>,
        leaf: u64,
    ) -> Result<(Signed<Manifest>, bool), StoreError> {
        let round = manifest.statement.round;
        sqlx::query(
            "INSERT INTO rounds (study, round, manifest, leaf) VALUES (?, ?, ?, ?) ON CONFLICT (study, round) DO NOTHING",
        )
        .bind(study.to_string())
        .bind(round)
        .bind(json::compact(manifest))
        .bind(leaf.cast_signed())
        .execute(&self.pool)
        .await?;
        let (stored, at): (Vec<u8>, Option<i64>) =
            sqlx::query_as("SELECT manifest, leaf FROM rounds WHERE study = ? AND round = ?")
                .bind(study.to_string())
                .bind(round)
                .fetch_one(&self.pool)
                .await?;
        let stored = json::parse(&stored, json::MAX_MESSAGE, "signed manifest")?;
        Ok((stored, at == Some(leaf.cast_signed())))
    }

    /// All manifests of a study in the order of their rounds.
    pub(crate) async fn rounds(&self, study: Digest) -> Result<Vec<Signed<Manifest>>, StoreError> {
        let rows: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT manifest FROM rounds WHERE study = ? ORDER BY round")
                .bind(study.to_string())
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(|row| Ok(json::parse(row, json::MAX_MESSAGE, "signed manifest")?)).collect()
    }

    /// Stores a round's next event, and its leaf of the log if it is a statement. A sequence number
    /// and a leaf are used once: the keys see to it.
    pub(crate) async fn append(
        &self,
        study: Digest,
        round: u32,
        sequence: u64,
        event: &Event,
        leaf: Option<u64>,
    ) -> Result<(), StoreError> {
        let insert =
            "INSERT INTO events (study, round, sequence, event, leaf) VALUES (?, ?, ?, ?, ?)";
        sqlx::query(insert)
            .bind(study.to_string())
            .bind(round)
            // SQLite's integers are signed; no round sees 2^63 events.
            .bind(sequence.cast_signed())
            .bind(json::compact(event))
            .bind(leaf.map(u64::cast_signed))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The entries of a study's log, in order, from its statements.
    pub(crate) async fn log(&self, study: Digest) -> Result<Vec<LogEntry>, StoreError> {
        let mut rows = sqlx::query_as::<_, (Option<i64>, bool, Vec<u8>)>(
            "SELECT leaf, TRUE, manifest FROM rounds WHERE study = ?1
             UNION ALL SELECT leaf, FALSE, event FROM events WHERE study = ?1 AND leaf IS NOT NULL
             ORDER BY leaf",
        )
        .bind(study.to_string())
        .fetch(&self.pool);
        let mut entries = Vec::new();
        while let Some((leaf, opens, row)) = rows.try_next().await? {
            let expected = entries.len() as u64;
            let entry = match opens {
                true => {
                    let manifest: Signed<Manifest> =
                        json::parse(&row, json::MAX_MESSAGE, "signed manifest")?;
                    Some(LogEntry::of_signed(&manifest))
                }
                false => json::parse::<Event>(&row, json::MAX_MESSAGE, "event")?.entry(),
            };
            let entry = entry.filter(|_| leaf == Some(expected.cast_signed()));
            entries.push(entry.ok_or(StoreError::LogGap { study, expected })?);
        }
        Ok(entries)
    }

    /// Hands a round's events to `apply`, in order.
    pub(crate) async fn replay(
        &self,
        study: Digest,
        round: u32,
        mut apply: impl FnMut(Event),
    ) -> Result<(), StoreError> {
        let mut rows = sqlx::query_as::<_, (i64, Vec<u8>)>(
            "SELECT sequence, event FROM events WHERE study = ? AND round = ? ORDER BY sequence",
        )
        .bind(study.to_string())
        .bind(round)
        .fetch(&self.pool);
        let mut expected = 0u64;
        while let Some((sequence, event)) = rows.try_next().await? {
            if sequence.cast_unsigned() != expected {
                return Err(StoreError::Gap { study, round, expected });
            }
            apply(json::parse(&event, json::MAX_MESSAGE, "event")?);
            expected += 1;
        }
        Ok(())
    }

    /// Stores a site's round keys unless it has published others for one of their rounds; returns
    /// what is stored for the first of them, or nothing when a later one is taken.
    pub(crate) async fn insert_round_keys(
        &self,
        signed: &Signed<RoundKeys>,
    ) -> Result<Option<Signed<RoundKeys>>, StoreError> {
        let RoundKeys { study, site, first_round, keys } = &signed.statement;
        let end_round = u64::from(*first_round) + keys.len() as u64;
        // One statement, so that two requests at the same time cannot both find the rounds free.
        sqlx::query(
            "INSERT INTO round_keys (study, site, first_round, end_round, statement)
             SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (
                 SELECT 1 FROM round_keys
                 WHERE study = ?1 AND site = ?2 AND first_round < ?4 AND end_round > ?3)",
        )
        .bind(study.to_string())
        .bind(site.as_str())
        .bind(first_round)
        .bind(end_round.cast_signed())
        .bind(json::compact(signed))
        .execute(&self.pool)
        .await?;
        self.round_keys(*study, site, *first_round).await
    }

    /// The round keys of a site that cover a round.
    pub(crate) async fn round_keys(
        &self,
        study: Digest,
        site: &SiteId,
        round: u32,
    ) -> Result<Option<Signed<RoundKeys>>, StoreError> {
        let row: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT statement FROM round_keys
             WHERE study = ? AND site = ? AND first_round <= ? AND end_round > ?",
        )
        .bind(study.to_string())
        .bind(site.as_str())
        .bind(round)
        .bind(round)
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Ok(json::parse(&row, json::MAX_MESSAGE, "signed round keys")?)).transpose()
    }

    /// Closes the database after the last write.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use tempfile::TempDir;

    use crate::problem::Refusal;

    #[tokio::test]
    async fn a_full_disk_is_told_from_a_broken_one() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("statements.sqlite");
        let store = Store::open(&path).await.unwrap();
        let study = Digest::of(b"study");
        // SQLite's own limit gives the very error of a full disk. It holds for one connection, so
        // all of the pool get it.
        let mut connections = Vec::new();
        for _ in 0..store.pool.options().get_max_connections() {
            let mut connection = store.pool.acquire().await.unwrap();
            let limit = sqlx::query("PRAGMA max_page_count = 64");
            limit.execute(&mut *connection).await.unwrap();
            connections.push(connection);
        }
        drop(connections);
        let full = store.insert_study(study, &vec![1; 1 << 20]).await.unwrap_err();
        assert!(full.is_full(), "{full}");
        let status = |error: StoreError| Refusal::from(error).into_response().status();
        assert_eq!(status(full), StatusCode::INSUFFICIENT_STORAGE);
        assert_eq!(store.study(study).await.unwrap(), None);
        store.insert_study(study, b"small").await.unwrap();
        assert_eq!(store.study(study).await.unwrap().unwrap(), b"small");
        store.close().await;
        let broken = store.ping().await.unwrap_err();
        assert!(!broken.is_full());
        assert_eq!(status(broken), StatusCode::INTERNAL_SERVER_ERROR);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let status = Refusal::from(full).into_response().status();
        assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
    }

    #[tokio::test]
    async fn a_gap_in_the_events_is_not_skipped() {
        let folder = TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("statements.sqlite")).await.unwrap();
        let study = Digest::of(b"study");
        store.insert_study(study, b"file").await.unwrap();
        sqlx::query("INSERT INTO rounds VALUES (?, 0, x'00', 0)")
            .bind(study.to_string())
            .execute(&store.pool)
            .await
            .unwrap();
        for sequence in [0, 1, 3] {
            let frozen = Event::Frozen { at: sequence };
            store.append(study, 0, sequence, &frozen, None).await.unwrap();
        }
        store.append(study, 0, 1, &Event::Frozen { at: 9 }, None).await.unwrap_err();
        let mut seen = Vec::new();
        let error = store.replay(study, 0, |event| seen.push(event)).await.unwrap_err();
        assert_eq!(seen, [Event::Frozen { at: 0 }, Event::Frozen { at: 1 }]);
        assert!(matches!(error, StoreError::Gap { round: 0, expected: 2, .. }), "{error}");
    }
}

//! Studies, manifests, events and round keys in SQLite: what must survive any crash.
//!
//! Every write is a transaction and is on the disk (`synchronous = FULL`) before it returns.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Manifest, RoundKeys};
use ringfence_crypto::wire::json;
use sqlx::QueryBuilder;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::small::{self, SmallBytes};
use crate::store::held::{Counted, Dialect, of_rows, questions};
use crate::store::sql::{
    epochs_of, events_of, log_of, manifest_of, migrator, parsed, place, study_of,
};
use crate::store::statements::{
    NextEpoch, NextEvent, Small, Statements, StoredManifest, StoredRoundKeys,
};
use crate::store::terms::{Answer, RoundId, StoreError};

/// The schema, step by step.
const MIGRATIONS: [(i64, &str, &str); 9] = [
    (1, "statements", include_str!("migrations/0001_statements.sql")),
    (2, "log", include_str!("migrations/0002_log.sql")),
    (3, "round keys", include_str!("migrations/0003_round_keys.sql")),
    (4, "ready", include_str!("migrations/0004_ready.sql")),
    (5, "epochs", include_str!("migrations/0005_epochs.sql")),
    (6, "small", include_str!("migrations/0006_small.sql")),
    (7, "drafts", include_str!("migrations/0007_drafts.sql")),
    (8, "restores", include_str!("migrations/0008_restores.sql")),
    (9, "cosignatures", include_str!("migrations/0009_cosignatures.sql")),
];

/// Events that one statement inserts.
const ROWS: usize = 64;

/// Pages of the write-ahead log, 16 MiB, before they are moved into the database: that takes two syncs,
/// for which a write waits. Four times as many as usual: a contribution has some 20.
const CHECKPOINT_PAGES: &str = "4000";

/// The statements of all studies.
#[derive(Debug)]
pub(crate) struct SqliteStatements {
    pool: SqlitePool,
}

impl SqliteStatements {
    /// Opens or creates the database and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`] when the file is no such database or cannot be written.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
        migrator(&MIGRATIONS).run(&pool).await?;
        Ok(Self { pool })
    }

    /// The bytes of small contributions, which lie in the same database.
    pub(crate) fn small(&self) -> SmallBytes {
        SmallBytes::new(self.pool.clone())
    }

    /// The connections to the database.
    pub(in crate::store) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    async fn stored_manifest(&self, round: RoundId) -> Result<StoredManifest, StoreError> {
        let (manifest, leaf): (Vec<u8>, Option<i64>) =
            sqlx::query_as("SELECT manifest, leaf FROM rounds WHERE study = ? AND round = ?")
                .bind(round.study.to_string())
                .bind(round.round.0)
                .fetch_one(&self.pool)
                .await?;
        Ok(StoredManifest { manifest: manifest_of(&manifest)?, leaf: leaf.map(i64::cast_unsigned) })
    }

    async fn keys_of(
        &self,
        study: StudyId,
        of: StudyId,
        site: &SiteId,
        round: RoundNumber,
    ) -> Result<Option<StoredRoundKeys>, StoreError> {
        let row: Option<(Vec<u8>, i64)> = sqlx::query_as(
            "SELECT statement, leaf FROM round_keys
             WHERE study = ? AND under = ? AND site = ? AND first_round <= ? AND end_round > ?",
        )
        .bind(study.to_string())
        .bind(of.to_string())
        .bind(site.as_str())
        .bind(round.0)
        .bind(round.0)
        .fetch_optional(&self.pool)
        .await?;
        let place = || format!("the round keys of {site} in study {study} for round {round}");
        row.map(|(keys, leaf)| {
            let keys = parsed(&keys, "signed round keys", place)?;
            Ok(StoredRoundKeys { keys, leaf: leaf.cast_unsigned() })
        })
        .transpose()
    }
}

impl Statements for SqliteStatements {
    fn ping(&self) -> Answer<'_, ()> {
        async move {
            sqlx::query(
                "INSERT INTO ready VALUES (1, unixepoch())
                 ON CONFLICT (id) DO UPDATE SET at = excluded.at",
            )
            .execute(&self.pool)
            .await?;
            Ok(())
        }
        .boxed()
    }

    fn insert_study<'a>(&'a self, study: StudyId, file: &'a [u8]) -> Answer<'a, ()> {
        async move {
            sqlx::query("INSERT INTO studies (study, file) VALUES (?, ?) ON CONFLICT DO NOTHING")
                .bind(study.to_string())
                .bind(file)
                .execute(&self.pool)
                .await?;
            Ok(())
        }
        .boxed()
    }

    fn study(&self, study: StudyId) -> Answer<'_, Option<Vec<u8>>> {
        async move {
            let query = sqlx::query_scalar("SELECT file FROM studies WHERE study = ?");
            Ok(query.bind(study.to_string()).fetch_optional(&self.pool).await?)
        }
        .boxed()
    }

    fn studies(&self) -> Answer<'_, Vec<StudyId>> {
        async move {
            let rows: Vec<String> = sqlx::query_scalar("SELECT study FROM studies ORDER BY rowid")
                .fetch_all(&self.pool)
                .await?;
            rows.iter().map(|row| study_of(row)).collect()
        }
        .boxed()
    }

    fn insert_epoch<'a>(&'a self, study: StudyId, next: NextEpoch<'a>) -> Answer<'a, ()> {
        async move {
            let NextEpoch { number, digest, file, leaf } = next;
            sqlx::query(
                "INSERT INTO epochs (study, number, digest, file, leaf) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(study.to_string())
            .bind(number)
            .bind(digest.to_string())
            .bind(file)
            .bind(leaf.cast_signed())
            .execute(&self.pool)
            .await?;
            Ok(())
        }
        .boxed()
    }

    fn epochs(&self, study: StudyId) -> Answer<'_, Vec<Vec<u8>>> {
        async move {
            let rows: Vec<(i64, Vec<u8>)> =
                sqlx::query_as("SELECT number, file FROM epochs WHERE study = ? ORDER BY number")
                    .bind(study.to_string())
                    .fetch_all(&self.pool)
                    .await?;
            epochs_of(rows, study)
        }
        .boxed()
    }

    fn insert_round<'a>(
        &'a self,
        study: StudyId,
        manifest: &'a Signed<Manifest>,
        leaf: u64,
    ) -> Answer<'a, StoredManifest> {
        async move {
            let Manifest { round, .. } = manifest.statement;
            sqlx::query(
                "INSERT INTO rounds (study, round, manifest, leaf) VALUES (?, ?, ?, ?)
                 ON CONFLICT (study, round) DO NOTHING",
            )
            .bind(study.to_string())
            .bind(round.0)
            .bind(json::compact(manifest))
            .bind(leaf.cast_signed())
            .execute(&self.pool)
            .await?;
            self.stored_manifest(RoundId { study, round }).await
        }
        .boxed()
    }

    fn rounds(&self, study: StudyId) -> Answer<'_, Vec<Signed<Manifest>>> {
        async move {
            let rows: Vec<Vec<u8>> =
                sqlx::query_scalar("SELECT manifest FROM rounds WHERE study = ? ORDER BY round")
                    .bind(study.to_string())
                    .fetch_all(&self.pool)
                    .await?;
            rows.iter().map(|row| manifest_of(row)).collect()
        }
        .boxed()
    }

    fn append<'a>(
        &'a self,
        round: RoundId,
        next: &'a [NextEvent<'a>],
        small: &'a [Small],
    ) -> Answer<'a, ()> {
        async move {
            let mut transaction = self.pool.begin().await?;
            for part in next.chunks(ROWS) {
                let mut rows =
                    QueryBuilder::new("INSERT INTO events (study, round, sequence, event, leaf) ");
                rows.push_values(part, |mut row, next| {
                    row.push_bind(round.study.to_string())
                        .push_bind(round.round.0)
                        // SQLite's integers are signed; no round sees 2^63 events.
                        .push_bind(next.sequence.cast_signed())
                        .push_bind(json::compact(next.event))
                        .push_bind(next.leaf.map(u64::cast_signed));
                });
                rows.build().execute(&mut *transaction).await?;
            }
            small::insert(&mut transaction, round, small).await?;
            transaction.commit().await?;
            Ok(())
        }
        .boxed()
    }

    fn keeps_small(&self) -> bool {
        true
    }

    fn events(&self, id: RoundId) -> Answer<'_, Vec<Event>> {
        async move {
            let RoundId { study, round } = id;
            let rows = sqlx::query_as::<_, (i64, Vec<u8>)>(
                "SELECT sequence, event FROM events WHERE study = ? AND round = ? ORDER BY sequence",
            )
            .bind(study.to_string())
            .bind(round.0)
            .fetch(&self.pool);
            events_of(rows, id, 0).await
        }
        .boxed()
    }

    fn log(&self, study: StudyId, leaves: Range<u64>) -> Answer<'_, Vec<LogEntry>> {
        async move {
            let Range { start, end } = leaves;
            // Each part is read by its index on leaves; merged, not sorted.
            let rows = sqlx::query_as::<_, (Option<i64>, String, Vec<u8>)>(
                "SELECT leaf, 'manifest', manifest FROM rounds
                 WHERE study = ?1 AND leaf >= ?2 AND leaf < ?3
                 UNION ALL
                 SELECT leaf, 'round keys', statement FROM round_keys
                 WHERE study = ?1 AND leaf >= ?2 AND leaf < ?3
                 UNION ALL
                 SELECT leaf, 'event', event FROM events
                 WHERE study = ?1 AND leaf >= ?2 AND leaf < ?3
                 UNION ALL
                 SELECT leaf, 'epoch', CAST(digest AS BLOB) FROM epochs
                 WHERE study = ?1 AND leaf >= ?2 AND leaf < ?3
                 ORDER BY leaf",
            )
            .bind(study.to_string())
            .bind(place(start))
            .bind(place(end))
            .fetch(&self.pool);
            log_of(rows, study, start).await
        }
        .boxed()
    }

    fn insert_round_keys<'a>(
        &'a self,
        study: StudyId,
        signed: &'a Signed<RoundKeys>,
        leaf: u64,
    ) -> Answer<'a, Option<StoredRoundKeys>> {
        async move {
            let RoundKeys { study: of, site, first_round, keys } = &signed.statement;
            let end_round = u64::from(first_round.0) + keys.len() as u64;
            // One statement, so that two requests at the same time cannot both find them free.
            sqlx::query(
                "INSERT INTO round_keys (study, site, first_round, end_round, statement, leaf, under)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (
                     SELECT 1 FROM round_keys
                     WHERE study = ?1 AND under = ?7 AND site = ?2
                     AND first_round < ?4 AND end_round > ?3)",
            )
            .bind(study.to_string())
            .bind(site.as_str())
            .bind(first_round.0)
            .bind(end_round.cast_signed())
            .bind(json::compact(signed))
            .bind(leaf.cast_signed())
            .bind(of.to_string())
            .execute(&self.pool)
            .await?;
            self.keys_of(study, *of, site, *first_round).await
        }
        .boxed()
    }

    fn round_keys<'a>(
        &'a self,
        study: StudyId,
        of: StudyId,
        site: &'a SiteId,
        round: RoundNumber,
    ) -> Answer<'a, Option<StoredRoundKeys>> {
        self.keys_of(study, of, site, round).boxed()
    }

    fn held(&self, study: StudyId) -> Answer<'_, Counted> {
        async move {
            let schema = sqlx::query_as(
                "SELECT tables.name, columns.name, columns.type
                 FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns
                 WHERE tables.type = 'table'",
            );
            let mut counted = Counted::default();
            for (table, question) in questions(Dialect::Sqlite, schema.fetch_all(&self.pool).await?)
            {
                // Made of names of the schema alone.
                let rows = sqlx::query_as(sqlx::AssertSqlSafe(question));
                let rows = rows.bind(study.to_string()).fetch_all(&self.pool).await?;
                counted.held.extend(of_rows(&table, rows));
            }
            Ok(counted)
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.pool.close().boxed()
    }
}

#[cfg(test)]
mod tests {
    use ringfence_crypto::Digest;
    use ringfence_crypto::id::UnixSeconds;
    use tempfile::TempDir;

    use super::*;

    async fn open(folder: &TempDir) -> SqliteStatements {
        SqliteStatements::open(&folder.path().join("statements.sqlite")).await.unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_is_told_from_a_broken_one() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder).await;
        let study = StudyId(Digest::of(b"study"));
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
        assert!(matches!(full, StoreError::Full(_)), "{full}");
        assert_eq!(store.study(study).await.unwrap(), None);
        store.insert_study(study, b"small").await.unwrap();
        assert_eq!(store.study(study).await.unwrap().unwrap(), b"small");
        store.close().await;
        let broken = store.ping().await.unwrap_err();
        assert!(matches!(broken, StoreError::Failed(_)), "{broken}");
    }

    #[tokio::test]
    async fn a_database_that_may_only_be_read_is_not_ready() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder).await;
        store.ping().await.unwrap();
        let mut connections = Vec::new();
        for _ in 0..store.pool.options().get_max_connections() {
            let mut connection = store.pool.acquire().await.unwrap();
            sqlx::query("PRAGMA query_only = 1").execute(&mut *connection).await.unwrap();
            connections.push(connection);
        }
        drop(connections);
        let study = StudyId(Digest::of(b"study"));
        for refused in [store.ping().await, store.insert_study(study, b"file").await] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, StoreError::ReadOnly(_)), "{refused}");
        }
        assert_eq!(store.study(study).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_gap_in_the_events_is_not_skipped() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder).await;
        let id = RoundId { study: StudyId(Digest::of(b"study")), round: RoundNumber(0) };
        store.insert_study(id.study, b"file").await.unwrap();
        sqlx::query("INSERT INTO rounds VALUES (?, 0, x'00', 0)")
            .bind(id.study.to_string())
            .execute(&store.pool)
            .await
            .unwrap();
        for sequence in [0, 1, 3] {
            let site = "site-0".parse().unwrap();
            let event = Event::Damaged { site, at: UnixSeconds(sequence) };
            let next = NextEvent { sequence, event: &event, leaf: None };
            store.append(id, &[next], &[]).await.unwrap();
        }
        let error = store.events(id).await.unwrap_err();
        assert!(matches!(error, StoreError::Gap { expected: 2, .. }), "{error}");
    }
}

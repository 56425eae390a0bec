//! Statements in PostgreSQL. Each write is one transaction, and what must be unique is so by the
//! tables' own keys.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Manifest, RoundKeys};
use ringfence_crypto::wire::json;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::sync::Mutex;

use crate::store::sql::{manifest_of, migrator, parsed, study_of};
use crate::store::statements::{NextEvent, Statements, StoredManifest, StoredRoundKeys};
use crate::store::terms::{Answer, RoundId, StoreError, StoreOpenError};

/// The schema, step by step.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "statements", include_str!("migrations/0001_statements.sql"))];

/// Connections at the same time; each is a process of the server's.
const CONNECTIONS: u32 = 8;

/// A connection must be had after so long.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// The advisory lock that an aggregator holds while it runs, in its database.
const LOCK: i64 = 0x5269_6e67_6665_6e63;

/// How often the lock is tried, and what lies between.
const LOCK_TRIES: u32 = 15;
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// The statements of all studies.
#[derive(Debug)]
pub(crate) struct PgStatements {
    pool: PgPool,
    /// Holds the lock for as long as it is open.
    lock: Mutex<Option<PgConnection>>,
    /// How to get another one.
    options: PgConnectOptions,
}

impl PgStatements {
    /// Connects, takes the lock and brings the schema up to date.
    ///
    /// # Errors
    /// [`StoreOpenError`] when the server cannot be reached or refuses, or another aggregator has
    /// the database.
    pub(crate) async fn open(options: PgConnectOptions) -> Result<Self, StoreOpenError> {
        let place = place(&options);
        let options = options.application_name("ringfence-aggregator").options([
            // The server soon notices a machine that is gone, and gives its lock back.
            ("tcp_keepalives_idle", "20"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
        ]);
        let connect = |source: sqlx::Error| StoreOpenError::Engine {
            advice: advice(&source),
            place: place.clone(),
            source: source.into(),
        };
        let mut lock = in_time(options.connect()).await.map_err(connect)?;
        if !take(&mut lock).await.map_err(connect)? {
            return Err(StoreOpenError::Engine {
                place,
                source: "another aggregator has it".into(),
                advice: "stop that one; after its machine died, the database gives it up within a minute",
            });
        }
        let fsync: String =
            sqlx::query_scalar("SHOW fsync").fetch_one(&mut lock).await.map_err(connect)?;
        if fsync != "on" {
            tracing::warn!(
                "{place} runs with fsync = off: a power cut loses what was acknowledged"
            );
        }
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT_TIME)
            .after_connect(|connection, _| durable(connection).boxed())
            .connect_with(options.clone())
            .await
            .map_err(connect)?;
        migrator(&MIGRATIONS).run(&pool).await.map_err(|error| StoreOpenError::Engine {
            place,
            source: error.into(),
            advice: "the user must own the database's tables or may make them, and an older program does not open a newer database",
        })?;
        Ok(Self { pool, lock: Mutex::new(Some(lock)), options })
    }

    /// Takes the lock again where its connection broke, as when the server was started again.
    async fn keep_lock(&self) -> Result<(), StoreError> {
        let mut lock = self.lock.lock().await;
        let is_there = match lock.as_mut() {
            Some(connection) => in_time(connection.ping()).await.is_ok(),
            None => false,
        };
        if !is_there {
            let mut connection = in_time(self.options.connect()).await?;
            if !take(&mut connection).await? {
                let another = "another aggregator has taken the database: stop one of the two";
                return Err(StoreError::Failed(another.into()));
            }
            *lock = Some(connection);
        }
        Ok(())
    }

    async fn stored_manifest(&self, round: RoundId) -> Result<StoredManifest, StoreError> {
        let (manifest, leaf): (Vec<u8>, i64) =
            sqlx::query_as("SELECT manifest, leaf FROM rounds WHERE study = $1 AND round = $2")
                .bind(round.study.to_string())
                .bind(i64::from(round.round.0))
                .fetch_one(&self.pool)
                .await?;
        Ok(StoredManifest { manifest: manifest_of(&manifest)?, leaf: Some(leaf.cast_unsigned()) })
    }

    async fn keys_of(
        &self,
        study: StudyId,
        site: &SiteId,
        round: RoundNumber,
    ) -> Result<Option<StoredRoundKeys>, StoreError> {
        let row: Option<(Vec<u8>, i64)> = sqlx::query_as(
            "SELECT statement, leaf FROM round_keys
             WHERE study = $1 AND site = $2 AND first_round <= $3 AND end_round > $3",
        )
        .bind(study.to_string())
        .bind(site.as_str())
        .bind(i64::from(round.0))
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

/// Waits for the server, but not for ever.
async fn in_time<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
    tokio::time::timeout(CONNECT_TIME, answer).await.unwrap_or_else(silent)
}

/// Takes the lock, if it is free within a moment: of an aggregator that was killed and is started
/// again, the server still hears.
async fn take(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    for _ in 0..LOCK_TRIES {
        let taken = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK);
        if taken.fetch_one(&mut *connection).await? {
            return Ok(true);
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Ok(false)
}

/// Where the database is, without the password.
fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    format!("the database {database} of {} at {host}", options.get_username())
}

/// What to do about a database that cannot be opened.
fn advice(error: &sqlx::Error) -> &'static str {
    let code = match error {
        sqlx::Error::Database(database) => database.code(),
        sqlx::Error::Io(_) => return "is the server running, and are host and port right?",
        sqlx::Error::Tls(_) => {
            return "the server must speak TLS with a certificate for this name from the root in sslrootcert";
        }
        _ => return "see the aggregator's guide, docs/operating.md",
    };
    match code.as_deref() {
        Some("28P01" | "28000") => {
            "look at the user, at the file of --postgres-password-file, and at the server's pg_hba.conf"
        }
        Some("3D000") => "make it first: createdb --owner=USER DATABASE",
        Some("42501") => "grant the user CREATE on the schema public, or make it the owner",
        Some(code) if code.starts_with("53") => {
            "the server has too few connections left: an aggregator takes 9"
        }
        _ => "see the aggregator's guide, docs/operating.md",
    }
}

/// What is committed is on the server's disk, whatever the server does for others.
async fn durable(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection
        .execute(
            "SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') = 'off'",
        )
        .await?;
    Ok(())
}

impl Statements for PgStatements {
    fn ping(&self) -> Answer<'_, ()> {
        async move {
            sqlx::query(
                "INSERT INTO ready VALUES (1, now())
                 ON CONFLICT (id) DO UPDATE SET at = excluded.at",
            )
            .execute(&self.pool)
            .await?;
            self.keep_lock().await
        }
        .boxed()
    }

    fn insert_study<'a>(&'a self, study: StudyId, file: &'a [u8]) -> Answer<'a, ()> {
        async move {
            sqlx::query("INSERT INTO studies (study, file) VALUES ($1, $2) ON CONFLICT DO NOTHING")
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
            let query = sqlx::query_scalar("SELECT file FROM studies WHERE study = $1");
            Ok(query.bind(study.to_string()).fetch_optional(&self.pool).await?)
        }
        .boxed()
    }

    fn studies(&self) -> Answer<'_, Vec<StudyId>> {
        async move {
            let rows: Vec<String> =
                sqlx::query_scalar("SELECT study FROM studies ORDER BY arrival")
                    .fetch_all(&self.pool)
                    .await?;
            rows.iter().map(|row| study_of(row)).collect()
        }
        .boxed()
    }

    fn insert_round<'a>(
        &'a self,
        manifest: &'a Signed<Manifest>,
        leaf: u64,
    ) -> Answer<'a, StoredManifest> {
        async move {
            let Manifest { study, round, .. } = manifest.statement;
            sqlx::query(
                "WITH new AS (
                     INSERT INTO rounds (study, round, manifest, leaf) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (study, round) DO NOTHING RETURNING study, leaf)
                 INSERT INTO leaves (study, leaf) SELECT study, leaf FROM new",
            )
            .bind(study.to_string())
            .bind(i64::from(round.0))
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
                sqlx::query_scalar("SELECT manifest FROM rounds WHERE study = $1 ORDER BY round")
                    .bind(study.to_string())
                    .fetch_all(&self.pool)
                    .await?;
            rows.iter().map(|row| manifest_of(row)).collect()
        }
        .boxed()
    }

    fn append<'a>(&'a self, round: RoundId, next: NextEvent<'a>) -> Answer<'a, ()> {
        async move {
            sqlx::query(
                "WITH new AS (
                     INSERT INTO events (study, round, sequence, event, leaf)
                     VALUES ($1, $2, $3, $4, $5) RETURNING study, leaf)
                 INSERT INTO leaves (study, leaf) SELECT study, leaf FROM new WHERE leaf IS NOT NULL",
            )
            .bind(round.study.to_string())
            .bind(i64::from(round.round.0))
            // The database's integers are signed; no round sees 2^63 events.
            .bind(next.sequence.cast_signed())
            .bind(json::compact(next.event))
            .bind(next.leaf.map(u64::cast_signed))
            .execute(&self.pool)
            .await?;
            Ok(())
        }
        .boxed()
    }

    fn events(&self, id: RoundId) -> Answer<'_, Vec<Event>> {
        async move {
            let RoundId { study, round } = id;
            let mut rows = sqlx::query_as::<_, (i64, Vec<u8>)>(
                "SELECT sequence, event FROM events WHERE study = $1 AND round = $2
                 ORDER BY sequence",
            )
            .bind(study.to_string())
            .bind(i64::from(round.0))
            .fetch(&self.pool);
            let mut events = Vec::new();
            while let Some((sequence, event)) = rows.try_next().await? {
                let expected = events.len() as u64;
                if sequence.cast_unsigned() != expected {
                    return Err(StoreError::Gap { study, round, expected });
                }
                let place = || format!("event {expected} of round {round} of study {study}");
                events.push(parsed(&event, "event", place)?);
            }
            Ok(events)
        }
        .boxed()
    }

    fn log(&self, study: StudyId) -> Answer<'_, Vec<LogEntry>> {
        async move {
            let mut rows = sqlx::query_as::<_, (i64, String, Vec<u8>)>(
                "SELECT leaf, 'manifest', manifest FROM rounds WHERE study = $1
                 UNION ALL
                 SELECT leaf, 'round keys', statement FROM round_keys WHERE study = $1
                 UNION ALL
                 SELECT leaf, 'event', event FROM events WHERE study = $1 AND leaf IS NOT NULL
                 ORDER BY leaf",
            )
            .bind(study.to_string())
            .fetch(&self.pool);
            let mut entries = Vec::new();
            while let Some((leaf, kind, row)) = rows.try_next().await? {
                let expected = entries.len() as u64;
                let place = || format!("leaf {expected} of study {study}");
                let entry = match kind.as_str() {
                    "manifest" => Some(LogEntry::of_signed(&manifest_of(&row)?)),
                    "round keys" => {
                        let keys: Signed<RoundKeys> = parsed(&row, "signed round keys", place)?;
                        Some(LogEntry::of_signed(&keys))
                    }
                    _ => parsed::<Event>(&row, "event", place)?.entry(),
                };
                let entry = entry.filter(|_| leaf == expected.cast_signed());
                entries.push(entry.ok_or(StoreError::LogGap { study, expected })?);
            }
            Ok(entries)
        }
        .boxed()
    }

    fn insert_round_keys<'a>(
        &'a self,
        signed: &'a Signed<RoundKeys>,
        leaf: u64,
    ) -> Answer<'a, Option<StoredRoundKeys>> {
        async move {
            let RoundKeys { study, site, first_round, keys } = &signed.statement;
            let end_round = u64::from(first_round.0) + keys.len() as u64;
            let mut transaction = self.pool.begin().await?;
            // One at a time in a study, so that two requests cannot both find the rounds free.
            sqlx::query("SELECT 1 FROM studies WHERE study = $1 FOR NO KEY UPDATE")
                .bind(study.to_string())
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "WITH new AS (
                     INSERT INTO round_keys (study, site, first_round, end_round, statement, leaf)
                     SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (
                         SELECT 1 FROM round_keys
                         WHERE study = $1 AND site = $2 AND first_round < $4 AND end_round > $3)
                     RETURNING study, leaf)
                 INSERT INTO leaves (study, leaf) SELECT study, leaf FROM new",
            )
            .bind(study.to_string())
            .bind(site.as_str())
            .bind(i64::from(first_round.0))
            .bind(end_round.cast_signed())
            .bind(json::compact(signed))
            .bind(leaf.cast_signed())
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            self.keys_of(*study, site, *first_round).await
        }
        .boxed()
    }

    fn round_keys<'a>(
        &'a self,
        study: StudyId,
        site: &'a SiteId,
        round: RoundNumber,
    ) -> Answer<'a, Option<StoredRoundKeys>> {
        self.keys_of(study, site, round).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            self.pool.close().await;
            if let Some(lock) = self.lock.lock().await.take()
                && let Err(error) = lock.close().await
            {
                tracing::warn!(%error, "the database was left without a word");
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use ringfence_crypto::Digest;
    use ringfence_crypto::id::UnixSeconds;

    use super::*;
    use crate::engines::{new_database, psql};

    async fn open(url: &str) -> PgStatements {
        PgStatements::open(url.parse().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn one_aggregator_at_a_time_has_a_database() {
        let Some(url) = new_database() else { return };
        let first = open(&url).await;
        let second = PgStatements::open(url.parse().unwrap()).await.unwrap_err().to_string();
        assert!(second.contains("another aggregator has it"), "{second}");
        first.close().await;
        open(&url).await;
    }

    #[tokio::test]
    async fn what_the_database_refuses_is_told_apart() {
        let Some(url) = new_database() else { return };
        let store = open(&url).await;
        let refused = async |code: &str| {
            let raise =
                format!("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$");
            let error = sqlx::raw_sql(sqlx::AssertSqlSafe(raise)).execute(&store.pool).await;
            StoreError::from(error.unwrap_err())
        };
        assert!(matches!(refused("53100").await, StoreError::Full(_)));
        assert!(matches!(refused("25006").await, StoreError::ReadOnly(_)));
        assert!(matches!(refused("57P03").await, StoreError::Gone(_)));
        assert!(matches!(refused("22012").await, StoreError::Failed(_)));
        // As on a server that became a standby.
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut connection = store.pool.acquire().await.unwrap();
            connection.execute("SET default_transaction_read_only = on").await.unwrap();
            connections.push(connection);
        }
        drop(connections);
        let read_only = store.ping().await.unwrap_err();
        assert!(matches!(read_only, StoreError::ReadOnly(_)), "{read_only}");
        // Connections that the server ends are made anew, and the lock is taken again.
        psql(
            &url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
        );
        store.ping().await.unwrap();
        let second = PgStatements::open(url.parse().unwrap()).await.unwrap_err().to_string();
        assert!(second.contains("another aggregator has it"), "{second}");
    }

    #[tokio::test]
    async fn a_place_that_another_one_used_is_taken() {
        let Some(url) = new_database() else { return };
        let store = open(&url).await;
        let id = RoundId { study: StudyId(Digest::of(b"study")), round: RoundNumber(0) };
        store.insert_study(id.study, b"file").await.unwrap();
        psql(
            &url,
            &format!(
                "WITH s AS (INSERT INTO leaves VALUES ('{0}', 0)) INSERT INTO rounds VALUES ('{0}', 0, '', 0)",
                id.study
            ),
        );
        let append = async |sequence, leaf| {
            let event = Event::Damaged { site: "site".parse().unwrap(), at: UnixSeconds(1) };
            store.append(id, NextEvent { sequence, event: &event, leaf }).await
        };
        append(0, Some(1)).await.unwrap();
        for (sequence, leaf) in [(0, None), (0, Some(2)), (1, Some(0)), (1, Some(1))] {
            let taken = append(sequence, leaf).await.unwrap_err();
            assert!(matches!(taken, StoreError::Taken(_)), "{taken}");
        }
        assert_eq!(psql(&url, "SELECT count(*) FROM events"), "1");
        assert_eq!(psql(&url, "SELECT count(*) FROM leaves"), "2");
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_opened_says_what_to_do() {
        let Some(url) = new_database() else { return };
        let missing = url.replace("test_", "no_test_");
        let closed = "postgres://test@127.0.0.1:1/test";
        for (url, words) in [
            (&*missing, &["no_test_", "does not exist", "createdb"][..]),
            (closed, &["127.0.0.1:1", "is the server running"]),
        ] {
            let error = PgStatements::open(url.parse().unwrap()).await.unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "{error}");
            }
        }
    }
}

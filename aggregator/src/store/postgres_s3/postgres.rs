//! Statements in PostgreSQL. Each write is one transaction, and what must be unique is so by the
//! tables' own keys.

mod clock;
mod listen;

use std::ops::Range;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ringfence_clock::Ahead;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Manifest, RoundKeys};
use ringfence_crypto::wire::json;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::sync::mpsc;

use self::clock::{check_clock, follow_clock, read_clock};
use self::listen::listen;
use super::s3::S3Blobs;
use super::sharing::SharedEngines;
use crate::identity::IdentityError;
use crate::store::held::{Counted, Dialect, of_rows, questions};
use crate::store::sql::{
    epochs_of, events_of, log_of, manifest_of, migrator, parsed, place, study_of,
};
use crate::store::statements::{
    News, NextEpoch, NextEvent, Small, Statements, StoredManifest, StoredRoundKeys,
};
use crate::store::terms::{Answer, RoundId, StoreError, StoreOpenError};

/// The schema, step by step.
const MIGRATIONS: [(i64, &str, &str); 6] = [
    (1, "statements", include_str!("migrations/0001_statements.sql")),
    (2, "epochs", include_str!("migrations/0002_epochs.sql")),
    (3, "drafts", include_str!("migrations/0003_drafts.sql")),
    (4, "sharing", include_str!("migrations/0004_sharing.sql")),
    (5, "restores", include_str!("migrations/0005_restores.sql")),
    (6, "cosignatures", include_str!("migrations/0006_cosignatures.sql")),
];

/// Connections at the same time; each is a process of the server's.
const CONNECTIONS: u32 = 8;

/// A connection must be had after so long.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Studies that were named and not yet asked for; whoever is behind by more looks at all.
const NAMED: usize = 1024;

/// The statements of all studies.
#[derive(Debug)]
pub(crate) struct PgStatements {
    pool: PgPool,
    /// How far the database's clock is ahead of this machine's.
    ahead: Ahead,
}

impl PgStatements {
    /// Connects, compares the clocks and brings the schema up to date.
    ///
    /// # Errors
    /// [`StoreOpenError`] when the server cannot be reached or refuses, or shows another time.
    pub(crate) async fn open(options: PgConnectOptions) -> Result<Self, StoreOpenError> {
        let place = server(&options);
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
        let mut first = in_time(options.connect()).await.map_err(connect)?;
        let ahead = Ahead::default();
        let [database, here] = read_clock(&mut first, &ahead).await.map_err(connect)?;
        check_clock(database, here).map_err(|reason| StoreOpenError::Engine {
            place: place.clone(),
            source: reason.into(),
            advice: "one of both is wrong: set them by NTP",
        })?;
        let fsync: String =
            sqlx::query_scalar("SHOW fsync").fetch_one(&mut first).await.map_err(connect)?;
        first.close().await.map_err(connect)?;
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
        tokio::spawn(follow_clock(pool.clone(), ahead.clone()));
        Ok(Self { pool, ahead })
    }

    /// What is shared beside the statements.
    ///
    /// # Errors
    /// [`StoreOpenError`] when the system has no random numbers.
    pub(super) fn sharing(&self, blobs: S3Blobs) -> Result<SharedEngines, StoreOpenError> {
        let mut holder = [0; 8];
        getrandom::fill(&mut holder).map_err(IdentityError::Random)?;
        let (pool, ahead) = (self.pool.clone(), self.ahead.clone());
        Ok(SharedEngines { pool, blobs, holder: i64::from_le_bytes(holder), ahead })
    }

    /// The connections to the database.
    pub(in crate::store) fn pool(&self) -> &PgPool {
        &self.pool
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
        of: StudyId,
        site: &SiteId,
        round: RoundNumber,
    ) -> Result<Option<StoredRoundKeys>, StoreError> {
        let row: Option<(Vec<u8>, i64)> = sqlx::query_as(
            "SELECT statement, leaf FROM round_keys
             WHERE study = $1 AND site = $2 AND first_round <= $3 AND end_round > $3 AND under = $4",
        )
        .bind(study.to_string())
        .bind(site.as_str())
        .bind(i64::from(round.0))
        .bind(of.to_string())
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

/// Where the database is, without the password.
fn server(options: &PgConnectOptions) -> String {
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
            "the server has too few connections left: an aggregator takes 8"
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
            Ok(())
        }
        .boxed()
    }

    fn insert_study<'a>(&'a self, study: StudyId, file: &'a [u8]) -> Answer<'a, ()> {
        async move {
            let written = sqlx::query(
                "WITH new AS (
                     INSERT INTO studies (study, file) VALUES ($1, $2)
                     ON CONFLICT DO NOTHING RETURNING study),
                 counted AS (INSERT INTO changes (study, number) SELECT study, 0 FROM new)
                 SELECT pg_notify('ringfence', study) FROM new",
            );
            written.bind(study.to_string()).bind(file).execute(&self.pool).await?;
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

    fn insert_epoch<'a>(&'a self, study: StudyId, next: NextEpoch<'a>) -> Answer<'a, ()> {
        async move {
            let NextEpoch { number, digest, file, leaf } = next;
            let written = sqlx::query(
                "WITH change AS (
                     UPDATE changes SET number = number + 1 WHERE study = $1 RETURNING number),
                 new AS (
                     INSERT INTO epochs (study, number, digest, file, leaf, change)
                     SELECT $1, $2, $3, $4, $5, number FROM change RETURNING study, leaf),
                 place AS (INSERT INTO leaves (study, leaf) SELECT study, leaf FROM new)
                 SELECT pg_notify('ringfence', study) FROM new",
            )
            .bind(study.to_string())
            .bind(i64::from(number))
            .bind(digest.to_string())
            .bind(file)
            .bind(leaf.cast_signed())
            .fetch_optional(&self.pool)
            .await?;
            let unknown = || StoreError::Failed(format!("there is no study {study}").into());
            written.map(drop).ok_or_else(unknown)
        }
        .boxed()
    }

    fn epochs(&self, study: StudyId) -> Answer<'_, Vec<Vec<u8>>> {
        async move {
            let rows: Vec<(i64, Vec<u8>)> =
                sqlx::query_as("SELECT number, file FROM epochs WHERE study = $1 ORDER BY number")
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
                "WITH change AS (
                     UPDATE changes SET number = number + 1 WHERE study = $1 RETURNING number),
                 new AS (
                     INSERT INTO rounds (study, round, manifest, leaf, change)
                     SELECT $1, $2, $3, $4, number FROM change
                     ON CONFLICT (study, round) DO NOTHING RETURNING study, leaf),
                 place AS (INSERT INTO leaves (study, leaf) SELECT study, leaf FROM new)
                 SELECT pg_notify('ringfence', study) FROM new",
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

    fn append<'a>(
        &'a self,
        round: RoundId,
        next: &'a [NextEvent<'a>],
        small: &'a [Small],
    ) -> Answer<'a, ()> {
        async move {
            if !small.is_empty() {
                return Err(StoreError::Failed("bytes of contributions lie in the bucket".into()));
            }
            // The database's integers are signed; no round sees 2^63 events.
            let sequences: Vec<i64> = next.iter().map(|next| next.sequence.cast_signed()).collect();
            let events: Vec<Vec<u8>> = next.iter().map(|next| json::compact(next.event)).collect();
            let leaves: Vec<Option<i64>> =
                next.iter().map(|next| next.leaf.map(u64::cast_signed)).collect();
            let written = sqlx::query(
                "WITH change AS (
                     UPDATE changes SET number = number + 1 WHERE study = $1
                     RETURNING study, number),
                 new AS (
                     INSERT INTO events (study, round, sequence, event, leaf, change)
                     SELECT $1, $2, next.sequence, next.event, next.leaf, number
                     FROM change, unnest($3::bigint[], $4::bytea[], $5::bigint[])
                         AS next (sequence, event, leaf)
                     RETURNING study, leaf),
                 place AS (
                     INSERT INTO leaves (study, leaf)
                     SELECT study, leaf FROM new WHERE leaf IS NOT NULL)
                 SELECT pg_notify('ringfence', study) FROM change",
            )
            .bind(round.study.to_string())
            .bind(i64::from(round.round.0))
            .bind(sequences)
            .bind(events)
            .bind(leaves)
            .fetch_optional(&self.pool)
            .await?;
            let unknown =
                || StoreError::Failed(format!("there is no study {}", round.study).into());
            written.map(drop).ok_or_else(unknown)
        }
        .boxed()
    }

    fn events(&self, round: RoundId) -> Answer<'_, Vec<Event>> {
        self.events_from(round, 0)
    }

    fn events_from(&self, id: RoundId, from: u64) -> Answer<'_, Vec<Event>> {
        async move {
            let RoundId { study, round } = id;
            let rows = sqlx::query_as::<_, (i64, Vec<u8>)>(
                "SELECT sequence, event FROM events
                 WHERE study = $1 AND round = $2 AND sequence >= $3 ORDER BY sequence",
            )
            .bind(study.to_string())
            .bind(i64::from(round.0))
            .bind(from.cast_signed())
            .fetch(&self.pool);
            events_of(rows, id, from).await
        }
        .boxed()
    }

    fn log(&self, study: StudyId, leaves: Range<u64>) -> Answer<'_, Vec<LogEntry>> {
        async move {
            let Range { start, end } = leaves;
            let rows = sqlx::query_as::<_, (Option<i64>, String, Vec<u8>)>(
                "SELECT leaf, 'manifest', manifest FROM rounds
                 WHERE study = $1 AND leaf >= $2 AND leaf < $3
                 UNION ALL
                 SELECT leaf, 'round keys', statement FROM round_keys
                 WHERE study = $1 AND leaf >= $2 AND leaf < $3
                 UNION ALL
                 SELECT leaf, 'event', event FROM events
                 WHERE study = $1 AND leaf >= $2 AND leaf < $3
                 UNION ALL
                 SELECT leaf, 'epoch', convert_to(digest, 'UTF8') FROM epochs
                 WHERE study = $1 AND leaf >= $2 AND leaf < $3
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

    fn news(&self, study: StudyId, since: u64) -> Answer<'_, Option<News>> {
        async move {
            let name = study.to_string();
            let number: Option<i64> =
                sqlx::query_scalar("SELECT number FROM changes WHERE study = $1 AND number > $2")
                    .bind(&name)
                    .bind(since.cast_signed())
                    .fetch_optional(&self.pool)
                    .await?;
            let Some(change) = number else { return Ok(None) };
            let manifests: Vec<Vec<u8>> = sqlx::query_scalar(
                "SELECT manifest FROM rounds WHERE study = $1 AND change > $2 ORDER BY round",
            )
            .bind(&name)
            .bind(since.cast_signed())
            .fetch_all(&self.pool)
            .await?;
            let epochs: i64 = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM epochs WHERE study = $1 AND change > $2)
                      + (SELECT count(*) FROM proposers WHERE study = $1 AND change > $2)",
            )
            .bind(&name)
            .bind(since.cast_signed())
            .fetch_one(&self.pool)
            .await?;
            let rounds: Vec<i64> = sqlx::query_scalar(
                "SELECT DISTINCT round FROM events WHERE study = $1 AND change > $2 ORDER BY round",
            )
            .bind(&name)
            .bind(since.cast_signed())
            .fetch_all(&self.pool)
            .await?;
            let number = |round: i64| u32::try_from(round).ok().map(RoundNumber);
            Ok(Some(News {
                change: change.cast_unsigned(),
                epochs: epochs > 0,
                manifests: manifests
                    .iter()
                    .map(|row| manifest_of(row))
                    .collect::<Result<_, _>>()?,
                rounds: rounds.into_iter().filter_map(number).collect(),
            }))
        }
        .boxed()
    }

    fn follow(&self) -> Option<mpsc::Receiver<Option<StudyId>>> {
        let (sender, receiver) = mpsc::channel(NAMED);
        tokio::spawn(listen(self.pool.clone(), sender));
        Some(receiver)
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
            let mut transaction = self.pool.begin().await?;
            // One at a time in a study, so that two requests cannot both find the rounds free.
            sqlx::query("UPDATE changes SET number = number + 1 WHERE study = $1")
                .bind(study.to_string())
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "WITH new AS (
                     INSERT INTO round_keys
                         (study, site, first_round, end_round, statement, leaf, under)
                     SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (
                         SELECT 1 FROM round_keys
                         WHERE study = $1 AND under = $7 AND site = $2
                         AND first_round < $4 AND end_round > $3)
                     RETURNING study, leaf),
                 place AS (INSERT INTO leaves (study, leaf) SELECT study, leaf FROM new)
                 SELECT pg_notify('ringfence', study) FROM new",
            )
            .bind(study.to_string())
            .bind(site.as_str())
            .bind(i64::from(first_round.0))
            .bind(end_round.cast_signed())
            .bind(json::compact(signed))
            .bind(leaf.cast_signed())
            .bind(of.to_string())
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
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
                "SELECT table_name::text, column_name::text, data_type::text
                 FROM information_schema.columns WHERE table_schema = current_schema()",
            );
            let schema = schema.fetch_all(&self.pool).await?;
            let mut counted = Counted::default();
            for (table, question) in questions(Dialect::Postgres, schema) {
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
mod tests;

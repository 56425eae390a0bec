//! What both databases have in common: migrations, errors, and what rows hold.

mod restores;
mod witnesses;

use std::borrow::Cow;

use futures_util::{Stream, TryStreamExt};
use ringfence_crypto::Digest;
use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Epoch, Manifest, RoundKeys, SiteSignature};
use ringfence_crypto::wire::json;
use serde::de::DeserializeOwned;
use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;
use sqlx::{SqlSafeStr, SqlStr};

use crate::store::drafts::{StoredDraft, StoredProposal};
use crate::store::terms::{Cause, RoundId, StoreError};

/// A database's versioned schema: version, name and text of each step. An older database is brought
/// up to date when it is opened, a newer one is refused.
pub(crate) fn migrator(steps: &[(i64, &'static str, &'static str)]) -> Migrator {
    let step = |(version, name, text): &(i64, &'static str, &'static str)| {
        let text: SqlStr = text.into_sql_str();
        Migration::new(*version, Cow::Borrowed(name), MigrationType::Simple, text, false)
    };
    Migrator::with_migrations(steps.iter().map(step).collect())
}

/// SQLite's primary result codes for a full disk, and for a database that it may only read
/// (`SQLITE_FULL`, `SQLITE_READONLY`).
const SQLITE_FULL: i32 = 13;
const SQLITE_READONLY: i32 = 8;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        type Kind = fn(Cause) -> StoreError;
        let kind: Kind = match &error {
            sqlx::Error::Database(database) => match database.try_downcast_ref::<SqliteError>() {
                Some(sqlite) => match primary_code(sqlite) {
                    Some(SQLITE_FULL) => Self::Full,
                    Some(SQLITE_READONLY) => Self::ReadOnly,
                    _ => Self::Failed,
                },
                None => match database.try_downcast_ref::<PgDatabaseError>() {
                    Some(postgres) => by_sqlstate(postgres),
                    None => Self::Failed,
                },
            },
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut => Self::Gone,
            _ => Self::Failed,
        };
        kind(error.into())
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            MigrateError::VersionMissing(version) => Self::Failed(
                format!("the statement database was made by a newer ringfence-aggregator (its schema has step {version}, which this one does not know): run that version, or put back a backup from before").into(),
            ),
            error => Self::Failed(
                format!("the statement database could not be migrated: {error}").into(),
            ),
        }
    }
}

fn primary_code(error: &SqliteError) -> Option<i32> {
    let code = error.code().and_then(|code| code.parse::<i32>().ok());
    // Extended result codes carry the primary one in their low byte.
    code.map(|code| code & 0xff)
}

/// PostgreSQL's classes of errors: Appendix A of its manual.
fn by_sqlstate(error: &PgDatabaseError) -> fn(Cause) -> StoreError {
    match error.code() {
        // disk_full
        "53100" => StoreError::Full,
        // read_only_sql_transaction (a standby, or an operator's setting), insufficient_privilege
        "25006" | "42501" => StoreError::ReadOnly,
        // unique_violation: another one was first
        "23505" => StoreError::Taken,
        // Out of connections or memory, shut down, starting, or the connection broke: later it works.
        code if ["08", "53", "57P"].iter().any(|class| code.starts_with(class)) => StoreError::Gone,
        _ => StoreError::Failed,
    }
}

/// A place in a log as databases number them, which have no unsigned numbers.
pub(crate) fn place(leaf: u64) -> i64 {
    i64::try_from(leaf).unwrap_or(i64::MAX)
}

/// The signed manifest in a row.
pub(crate) fn manifest_of(row: &[u8]) -> Result<Signed<Manifest>, StoreError> {
    parsed(row, "signed manifest", || "a manifest".to_owned())
}

/// What a row holds; `place` says which row it is.
pub(crate) fn parsed<T: DeserializeOwned>(
    row: &[u8],
    expected: &'static str,
    place: impl FnOnce() -> String,
) -> Result<T, StoreError> {
    json::parse(row, json::MAX_MESSAGE, expected)
        .map_err(|reason| StoreError::Unreadable { place: place(), reason })
}

/// The study that a row is of.
pub(crate) fn study_of<T: std::str::FromStr>(row: &str) -> Result<T, StoreError> {
    let unnamed = || format!("a study's row is called {row:?}, which is no digest");
    row.parse().map_err(|_| StoreError::Failed(unnamed().into()))
}

/// A round's events from rows of sequence and event, the first of which has this number.
///
/// # Errors
/// [`StoreError`] when one is missing or does not parse.
pub(crate) async fn events_of(
    mut rows: impl Stream<Item = Result<(i64, Vec<u8>), sqlx::Error>> + Unpin,
    id: RoundId,
    from: u64,
) -> Result<Vec<Event>, StoreError> {
    let RoundId { study, round } = id;
    let mut events = Vec::new();
    while let Some((sequence, event)) = rows.try_next().await? {
        let expected = from + events.len() as u64;
        if sequence.cast_unsigned() != expected {
            return Err(StoreError::Gap { study, round, expected });
        }
        let place = || format!("event {expected} of round {round} of study {study}");
        events.push(parsed(&event, "event", place)?);
    }
    Ok(events)
}

/// The epochs of a study from rows of number and file.
///
/// # Errors
/// [`StoreError::EpochGap`] when one is missing.
pub(crate) fn epochs_of(
    rows: Vec<(i64, Vec<u8>)>,
    study: StudyId,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let numbered = (1..).zip(rows).map(|(expected, (number, file))| {
        (number == i64::from(expected))
            .then_some(file)
            .ok_or(StoreError::EpochGap { study, expected })
    });
    numbered.collect()
}

/// A draft's row: study, bytes of its file, when it was posted.
pub(crate) type DraftRow = (String, i64, i64);

/// The draft in a row.
///
/// # Errors
/// [`StoreError`] when it names no study.
pub(crate) fn draft_of((study, bytes, posted_at): DraftRow) -> Result<StoredDraft, StoreError> {
    let (bytes, posted_at) = (bytes.cast_unsigned(), UnixSeconds(posted_at.cast_unsigned()));
    Ok(StoredDraft { study: study_of(&study)?, bytes, posted_at })
}

/// A proposed epoch's row: digest, number, file, when it was first sent.
pub(crate) type ProposalRow = (String, i64, Vec<u8>, i64);

/// The proposed epoch in a row, with who proposes it and its signatures.
pub(crate) fn proposal_of(
    (_, number, file, at): ProposalRow,
    by: Vec<SiteId>,
    signatures: Vec<SiteSignature>,
) -> StoredProposal {
    // No study has 2^32 epochs.
    let number = u32::try_from(number).unwrap_or_default();
    StoredProposal { number, file, by, signatures, at: UnixSeconds(at.cast_unsigned()) }
}

/// The sites that rows name.
///
/// # Errors
/// [`StoreError`] for what is no site's name.
pub(crate) fn sites_of(rows: Vec<String>) -> Result<Vec<SiteId>, StoreError> {
    let unnamed = |row: &str| format!("a site's row is called {row:?}, which is no site's name");
    let site = |row: String| row.parse().map_err(|_| StoreError::Failed(unnamed(&row).into()));
    rows.into_iter().map(site).collect()
}

/// The signatures in rows, of a study or of one of its epochs.
///
/// # Errors
/// [`StoreError`] for one that does not parse.
pub(crate) fn signatures_of(
    rows: Vec<Vec<u8>>,
    study: StudyId,
) -> Result<Vec<SiteSignature>, StoreError> {
    let place = || format!("a signature that was gathered for study {study}");
    rows.iter().map(|row| parsed(row, "site's signature", place)).collect()
}

/// The entries of a study's log from rows of leaf, kind and statement, the first of which is this leaf.
///
/// # Errors
/// [`StoreError`] when one is missing, stands twice or does not parse.
pub(crate) async fn log_of(
    mut rows: impl Stream<Item = Result<(Option<i64>, String, Vec<u8>), sqlx::Error>> + Unpin,
    study: StudyId,
    from: u64,
) -> Result<Vec<LogEntry>, StoreError> {
    let mut entries = Vec::new();
    while let Some((leaf, kind, row)) = rows.try_next().await? {
        let expected = from + entries.len() as u64;
        let place = || format!("leaf {expected} of study {study}");
        let entry = match kind.as_str() {
            "manifest" => Some(LogEntry::of_signed(&manifest_of(&row)?)),
            "epoch" => {
                let digest = String::from_utf8_lossy(&row).parse();
                digest.ok().map(|digest: Digest| LogEntry::of::<Epoch>(digest))
            }
            "round keys" => {
                let keys: Signed<RoundKeys> = parsed(&row, "signed round keys", place)?;
                Some(LogEntry::of_signed(&keys))
            }
            _ => parsed::<Event>(&row, "event", place)?.entry(),
        };
        let entry = entry.filter(|_| leaf == Some(expected.cast_signed()));
        entries.push(entry.ok_or(StoreError::LogGap { study, expected })?);
    }
    Ok(entries)
}

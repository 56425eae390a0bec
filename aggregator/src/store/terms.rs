//! The contract's terms: what a round is called, what a backend answers, and its errors.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use futures_util::future::BoxFuture;
use ringfence_crypto::id::{RoundNumber, StudyId};
use ringfence_crypto::wire::json::JsonError;

use crate::identity::IdentityError;

/// What a backend answers.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// One round of one study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RoundId {
    /// The study.
    pub(crate) study: StudyId,
    /// The round's number in it.
    pub(crate) round: RoundNumber,
}

/// The backend failed, or holds what this program did not write.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room for more.
    #[error("the store is full: {0}")]
    Full(Cause),
    /// It may only be read.
    #[error("the store may only be read: {0}")]
    ReadOnly(Cause),
    /// It failed.
    #[error("the store failed: {0}")]
    Failed(Cause),
    /// It cannot be reached now, or takes nothing at the moment.
    #[error("the store cannot be reached: {0}")]
    Gone(Cause),
    /// Somebody else has used the place.
    #[error("another one has used this place in the store: {0}")]
    Taken(Cause),
    /// A stored statement does not parse.
    #[error("{place} is unreadable ({reason}): the database was altered")]
    Unreadable {
        /// Which one.
        place: String,
        /// Why.
        reason: JsonError,
    },
    /// What a statement names is not there.
    #[error("the store lacks {0}: it was altered, or the disk lost it")]
    Lost(String),
    /// Events are missing.
    #[error("round {round} of study {study} lacks event {expected}: the database was altered")]
    Gap {
        /// The study.
        study: StudyId,
        /// The round.
        round: RoundNumber,
        /// The first sequence number that is not there.
        expected: u64,
    },
    /// An epoch is missing.
    #[error("study {study} lacks epoch {expected}: the database was altered")]
    EpochGap {
        /// The study.
        study: StudyId,
        /// The first number that is not there.
        expected: u32,
    },
    /// A statement of the log is missing, stands twice or is none.
    #[error(
        "the log of study {study} lacks leaf {expected}: the database was altered, or is of a version without a log"
    )]
    LogGap {
        /// The study.
        study: StudyId,
        /// The first leaf that is not there.
        expected: u64,
    },
}

/// Why a backend failed, in its own words.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(error.into()),
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}

/// A backend that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// Another server has the data.
    #[error("{0} is in use by another aggregator; two must not share a data folder")]
    Locked(PathBuf),
    /// The data folder cannot be used.
    #[error("the data folder {path} cannot be used: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The settings do not say where.
    #[error("{0}")]
    Settings(String),
    /// A secret cannot be read.
    #[error(transparent)]
    Secret(#[from] IdentityError),
    /// The database or the bucket cannot be used.
    #[error("{place} cannot be used: {source}; {advice}")]
    Engine {
        /// Which one, without a secret.
        place: String,
        /// Why.
        source: Cause,
        /// What to do.
        advice: &'static str,
    },
    /// The backend failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

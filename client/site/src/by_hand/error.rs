//! What can be wrong with a bundle, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};
use ringfence_crypto::signature::PublicKey;

use crate::error::SiteError;
use crate::transport::TransportError;

/// A bundle that is not taken, or not carried.
#[derive(Debug, thiserror::Error)]
pub enum ByHandError {
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Not the bytes that were written.
    #[error(
        "{path} is not as it was written: {reason}; nothing of it was used: copy it again, or have it made again"
    )]
    Altered {
        /// The bundle.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No bundle at all.
    #[error(
        "{0} is no bundle of this program's: expected one that `ringfence bundle export` or `ringfence bundle carry` wrote"
    )]
    NoBundle(PathBuf),
    /// The other kind of bundle.
    #[error("{path} goes {got}, and one that goes {expected} is needed here")]
    Direction {
        /// The bundle.
        path: PathBuf,
        /// Which way it must go.
        expected: &'static str,
        /// Which way it goes.
        got: &'static str,
    },
    /// Another study's.
    #[error("{path} is of study {got}, and this is study {expected}; give the bundle of this one")]
    OtherStudy {
        /// The bundle.
        path: PathBuf,
        /// The study here.
        expected: StudyId,
        /// The bundle's.
        got: StudyId,
    },
    /// Another site's.
    #[error("{path} is for site {got}, and this is site {expected}; give the bundle of this one")]
    OtherSite {
        /// The bundle.
        path: PathBuf,
        /// The site here.
        expected: SiteId,
        /// The bundle's.
        got: SiteId,
    },
    /// Of another aggregator.
    #[error(
        "{path} is of an aggregator with the key {got}, and the study's has the key {expected}"
    )]
    OtherAggregator {
        /// The bundle.
        path: PathBuf,
        /// The study's key.
        expected: Box<PublicKey>,
        /// The bundle's.
        got: Box<PublicKey>,
    },
    /// Older than what is here.
    #[error(
        "{path} is older than the bundle that was imported last: it was fetched at {}, and that one at {}; import the newest, or have another one fetched",
        .made_at.utc(), .known.utc()
    )]
    Older {
        /// The bundle.
        path: PathBuf,
        /// When it was fetched.
        made_at: UnixSeconds,
        /// When the last one was.
        known: UnixSeconds,
    },
    /// Another carrier's.
    #[error(
        "{path} permits the carrier with the key {permitted}, and --key is the identity {carrier} with the key {got}; have the site export it with --carrier {carrier}.public.json"
    )]
    OtherCarrier {
        /// The bundle.
        path: PathBuf,
        /// Whom the site permits.
        permitted: Box<PublicKey>,
        /// Who carries.
        carrier: SiteId,
        /// With which key.
        got: Box<PublicKey>,
    },
    /// A request that no bundle has.
    #[error(
        "{path} asks for {what:?}, which is nothing of study {study}; nothing was sent: have the site export again"
    )]
    Place {
        /// The bundle.
        path: PathBuf,
        /// The path that it names.
        what: String,
        /// The study.
        study: StudyId,
    },
    /// A carrier's key or a study that does not fit the permit.
    #[error(transparent)]
    Permit(#[from] ringfence_crypto::statement::PermitError),
    /// The study as the aggregator has it.
    #[error(transparent)]
    Study(#[from] ringfence_crypto::statement::StudyError),
    /// A change of the roster that does not hold.
    #[error(transparent)]
    Site(Box<SiteError>),
    /// The aggregator.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl From<SiteError> for ByHandError {
    fn from(error: SiteError) -> Self {
        match error {
            SiteError::Transport(error) => Self::Transport(error),
            other => Self::Site(Box::new(other)),
        }
    }
}

impl ByHandError {
    pub(super) fn file(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }
}

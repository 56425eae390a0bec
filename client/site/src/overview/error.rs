//! Why a look at a study failed.

use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::signature::SignatureError;
use ringfence_crypto::statement::{CertificateError, ClosingError, EpochError, StudyError};

use super::look::MOST_ROUNDS;
use crate::error::SiteError;
use crate::transport::TransportError;

/// A look at a study that failed.
#[derive(Debug, thiserror::Error)]
pub enum OverviewError {
    /// A change of the roster does not hold.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The study file.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// Another study than was asked for.
    #[error("asked for the study {expected}, the aggregator sent {got}; give the file as --study")]
    OtherStudy {
        /// As asked.
        expected: StudyId,
        /// As sent.
        got: StudyId,
    },
    /// The aggregator does not answer, or refuses.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// More rounds than are looked at.
    #[error("the aggregator says that {0} rounds are open; expected at most {MOST_ROUNDS}")]
    Rounds(u32),
    /// A status or manifest of something else.
    #[error(
        "asked for round {round} of the study, the aggregator sent {what} that is not the study's; this is no Ringfence aggregator, or it was altered"
    )]
    NotTheRound {
        /// The round.
        round: RoundNumber,
        /// What was sent.
        what: &'static str,
    },
    /// A site that the study does not have.
    #[error("the status of round {round} names {site}, which is not on the study's roster")]
    Stranger {
        /// The round.
        round: RoundNumber,
        /// Who is named.
        site: SiteId,
    },
    /// A signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A certificate that certifies nothing.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Reviews that do not fit their closing.
    #[error(transparent)]
    Closing(#[from] ClosingError),
    /// Proceedings that do not fit their closing.
    #[error(transparent)]
    Proceedings(Box<SiteError>),
    /// Statements that bar others than the manifests name.
    #[error(
        "the aggregator's reviews and verdicts before round {0} bar other sites than that round's manifest says; keep both as evidence"
    )]
    Trust(RoundNumber),
}

impl OverviewError {
    /// Whether the same look may succeed later: the aggregator is away, busy, or has failed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_transient(),
            Self::Proceedings(error) => {
                matches!(&**error, SiteError::Transport(error) if error.is_transient())
            }
            _ => false,
        }
    }
}

impl From<SiteError> for OverviewError {
    fn from(error: SiteError) -> Self {
        Self::Proceedings(Box::new(error))
    }
}

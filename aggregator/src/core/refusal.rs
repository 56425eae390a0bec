//! Refusals: whose fault, why, and what to do. How one is told to the peer, the transport decides.

use std::fmt::Display;

use ringfence_crypto::api::OpeningFrameError;
use ringfence_crypto::log::StudyLogError;
use ringfence_crypto::log::checkpoint::CheckpointError;
use ringfence_crypto::log::note::NoteError;
use ringfence_crypto::round::{Fault, RoundError};
use ringfence_crypto::statement::{EpochError, RoundKeysError, StudyError};
use ringfence_crypto::wire::frame::FrameError;
use ringfence_crypto::wire::json::JsonError;

use crate::store::terms::StoreError;

/// The kinds of refusals; there are no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not parseable as what was expected.
    Malformed,
    /// No signature or token, or one that is unknown.
    Unauthorised,
    /// Signed by a clock that differs too much from ours.
    Clock,
    /// The sender may not say this.
    Sender,
    /// What is named does not exist.
    Missing,
    /// What is named was deleted when its time was over.
    Gone,
    /// What is named cannot be asked for like this.
    Method,
    /// The sender went silent in the middle.
    Slow,
    /// It contradicts what came before, or comes at the wrong time.
    Conflict,
    /// An upload that does not go on where the stored bytes end.
    Offset,
    /// More bytes than are taken.
    TooLong,
    /// A range outside of what there is.
    Range,
    /// Wrong whatever the state.
    Message,
    /// Too much at once; the same works later.
    Busy,
    /// Bytes that we lost are wanted again from a site.
    Wanted,
    /// Our database is behind what we have acknowledged.
    Behind,
    /// Our database was altered.
    Altered,
    /// Our fault.
    Internal,
    /// No room to store more: ours, too.
    Full,
    /// The store may only be read: ours, too.
    ReadOnly,
}

impl Kind {
    /// Whether it is our fault and not the peer's.
    pub(crate) fn is_ours(self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::Wanted
                | Self::Behind
                | Self::Altered
                | Self::Internal
                | Self::Full
                | Self::ReadOnly
        )
    }
}

/// A request that is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    kind: Kind,
    detail: String,
    retry_after: Option<u16>,
}

impl Refusal {
    /// A refusal with what was expected, what came, and what to do.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None }
    }

    /// Not parseable as what was expected.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, detail)
    }

    /// No signature or token, or one that is unknown.
    pub(crate) fn unauthorised(detail: impl Into<String>) -> Self {
        Self::new(Kind::Unauthorised, detail)
    }

    /// The sender may not say this.
    pub(crate) fn sender(detail: impl Into<String>) -> Self {
        Self::new(Kind::Sender, detail)
    }

    /// What is named does not exist.
    pub(crate) fn missing(detail: impl Into<String>) -> Self {
        Self::new(Kind::Missing, detail)
    }

    /// The sender went silent in the middle.
    pub(crate) fn slow(detail: impl Into<String>) -> Self {
        Self::new(Kind::Slow, detail)
    }

    /// It contradicts what came before, or comes at the wrong time.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, detail)
    }

    /// More bytes than are taken.
    pub(crate) fn too_long(detail: impl Into<String>) -> Self {
        Self::new(Kind::TooLong, detail)
    }

    /// Wrong whatever the state.
    pub(crate) fn message(detail: impl Into<String>) -> Self {
        Self::new(Kind::Message, detail)
    }

    /// Too much at once; the same works later.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(Kind::Busy, detail).retry_after(5)
    }

    /// Our fault. The cause goes to the log, not to the peer.
    pub(crate) fn internal(cause: &dyn Display) -> Self {
        tracing::error!(%cause, "a request failed by our fault");
        let detail =
            "the aggregator failed and changed nothing; try again, and tell its administrator";
        Self::new(Kind::Internal, detail)
    }

    /// What is asked for was lost or damaged here, and its site is asked for it again.
    pub(crate) fn wanted(detail: impl Into<String>) -> Self {
        Self::new(Kind::Wanted, detail).retry_after(5)
    }

    fn full(cause: &dyn Display) -> Self {
        tracing::error!(%cause, "the disk is full");
        let detail = "the aggregator's disk is full; what was sent before is kept: tell its administrator, and try again";
        Self::new(Kind::Full, detail).retry_after(60)
    }

    fn read_only(cause: &dyn Display) -> Self {
        tracing::error!(%cause, "the store may only be read");
        let detail = "the aggregator's store may only be read now; what was sent before is kept: tell its administrator, and try again";
        Self::new(Kind::ReadOnly, detail).retry_after(60)
    }

    fn gone(cause: &dyn Display) -> Self {
        tracing::error!(%cause, "the store cannot be reached");
        Self::busy(
            "the aggregator cannot reach its store now; what was sent before is kept: try again, and tell its administrator if that lasts",
        )
    }

    fn taken(cause: &dyn Display) -> Self {
        tracing::warn!(%cause, "another one was first");
        let detail =
            "something else was stored at the same moment, and this changed nothing; send it again";
        Self::new(Kind::Busy, detail).retry_after(1)
    }

    /// The same request works after so many seconds.
    pub(crate) fn retry_after(self, seconds: u16) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// What kind it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Why, in words.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// After how many seconds the same request works, where that is known.
    pub(crate) fn retry_seconds(&self) -> Option<u16> {
        self.retry_after
    }
}

impl From<RoundError> for Refusal {
    fn from(error: RoundError) -> Self {
        let detail = error.to_string();
        match error.fault() {
            Fault::Message => Self::message(detail),
            Fault::Sender => Self::sender(detail),
            Fault::Missing => Self::missing(detail),
            Fault::Conflict => Self::conflict(detail),
        }
    }
}

impl From<RoundKeysError> for Refusal {
    fn from(error: RoundKeysError) -> Self {
        match error {
            RoundKeysError::Signature(_) => Self::sender(error.to_string()),
            _ => Self::message(error.to_string()),
        }
    }
}

impl From<StudyError> for Refusal {
    fn from(error: StudyError) -> Self {
        let detail = error.to_string();
        match error {
            StudyError::Signature(_) | StudyError::Signer(_) => Self::sender(detail),
            _ => Self::message(detail),
        }
    }
}

impl From<EpochError> for Refusal {
    fn from(error: EpochError) -> Self {
        let detail = error.to_string();
        match error {
            EpochError::Signature(_) | EpochError::Signer(_) => Self::sender(detail),
            EpochError::Number { .. } | EpochError::Before { .. } => Self::conflict(detail),
            _ => Self::message(detail),
        }
    }
}

impl From<OpeningFrameError> for Refusal {
    fn from(error: OpeningFrameError) -> Self {
        Self::message(error.to_string())
    }
}

impl From<StudyLogError> for Refusal {
    fn from(error: StudyLogError) -> Self {
        Self::missing(error.to_string())
    }
}

impl From<CheckpointError> for Refusal {
    /// Of a checkpoint that we sign ourselves.
    fn from(error: CheckpointError) -> Self {
        Self::internal(&error)
    }
}

impl From<NoteError> for Refusal {
    /// Of a note, or the name of a key, that is ours.
    fn from(error: NoteError) -> Self {
        Self::internal(&error)
    }
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        match &error {
            JsonError::TooLong { .. } => Self::too_long(error.to_string()),
            JsonError::Malformed { .. } => Self::malformed(error.to_string()),
            JsonError::Protocol(_) => Self::message(error.to_string()),
        }
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        match &error {
            FrameError::TooLong(_) => Self::too_long(error.to_string()),
            FrameError::LeftOver { .. } | FrameError::Malformed { .. } => {
                Self::malformed(error.to_string())
            }
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(_) => Self::full(&error),
            StoreError::ReadOnly(_) => Self::read_only(&error),
            StoreError::Gone(_) => Self::gone(&error),
            StoreError::Taken(_) => Self::taken(&error),
            // Named, so that the administrator finds it: nothing in it is secret.
            StoreError::Unreadable { .. }
            | StoreError::Gap { .. }
            | StoreError::EpochGap { .. }
            | StoreError::LogGap { .. } => {
                tracing::error!(%error, "what is stored was altered");
                Self::new(Kind::Altered, error.to_string())
            }
            _ => Self::internal(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_full_store_is_told_from_a_broken_one() {
        let refusal = |kind: io::ErrorKind| Refusal::from(StoreError::from(io::Error::from(kind)));
        for full in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let refusal = refusal(full);
            assert_eq!((refusal.kind(), refusal.retry_seconds()), (Kind::Full, Some(60)));
        }
        let read_only = refusal(io::ErrorKind::ReadOnlyFilesystem);
        assert_eq!((read_only.kind(), read_only.retry_seconds()), (Kind::ReadOnly, Some(60)));
        let broken = refusal(io::ErrorKind::NotFound);
        assert_eq!((broken.kind(), broken.retry_seconds()), (Kind::Internal, None));
        assert!(broken.detail().contains("changed nothing"), "the cause stays in the log");
    }
}

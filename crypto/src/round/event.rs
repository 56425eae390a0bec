//! What changes a round: decided first, made durable by the caller, then applied.

use serde::{Deserialize, Serialize};

use crate::id::{SiteId, UnixSeconds};
use crate::log::LogEntry;
use crate::signature::Signed;
use crate::statement::{
    self, Acknowledgement, Closing, Dispute, Endorsement, Endorses, Freeze, Header, Opening,
    Receipt, Review,
};

/// A change of a round. The events of a round, in order, are its whole state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A site announced a contribution.
    Announced(Signed<Header>),
    /// Its body and envelopes are durable.
    Received(Signed<Receipt>),
    /// Bytes of a contribution that has a receipt were found missing or altered: its site is asked
    /// for them again. A note of the aggregator's own and no statement.
    Damaged {
        /// Whose contribution.
        site: SiteId,
        /// When it was found.
        at: UnixSeconds,
    },
    /// They came again and have the digests in the header. A note, too.
    Mended {
        /// Whose contribution.
        site: SiteId,
        /// When.
        at: UnixSeconds,
    },
    /// No more contributions are taken: the list that is reviewed.
    Frozen(Signed<Freeze>),
    /// A holder reviewed the shares that were dealt to it, before the closing or after it.
    Reviewed(Signed<Review>),
    /// The set is fixed and added up.
    Closed(Signed<Closing>),
    /// A holder endorsed the closing.
    Endorsed(Signed<Endorsement>),
    /// A holder endorsed a dispute.
    Disputed(Signed<Endorses<Dispute>>),
    /// A holder endorsed a verdict.
    Judged(Signed<Endorses<statement::Verdict>>),
    /// A holder opened its share of the key sum, of functionals or of culprits' keys.
    Opened(Signed<Opening>),
    /// A site applied the mean, or could not.
    Acknowledged(Signed<Acknowledgement>),
}

impl Event {
    /// The statement as a leaf of the study's log. Damage and mending are no statements:
    /// what they led to is in the closing.
    pub fn entry(&self) -> Option<LogEntry> {
        match self {
            Self::Announced(signed) => Some(LogEntry::of_signed(signed)),
            Self::Received(signed) => Some(LogEntry::of_signed(signed)),
            Self::Damaged { .. } | Self::Mended { .. } => None,
            Self::Frozen(signed) => Some(LogEntry::of_signed(signed)),
            Self::Reviewed(signed) => Some(LogEntry::of_signed(signed)),
            Self::Closed(signed) => Some(LogEntry::of_signed(signed)),
            Self::Endorsed(signed) => Some(LogEntry::of_signed(signed)),
            Self::Disputed(signed) => Some(LogEntry::of_signed(signed)),
            Self::Judged(signed) => Some(LogEntry::of_signed(signed)),
            Self::Opened(signed) => Some(LogEntry::of_signed(signed)),
            Self::Acknowledged(signed) => Some(LogEntry::of_signed(signed)),
        }
    }
}

impl Event {
    /// The event's kind, as it stands in JSON; never its contents.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Announced(_) => "announced",
            Self::Received(_) => "received",
            Self::Damaged { .. } => "damaged",
            Self::Mended { .. } => "mended",
            Self::Frozen(_) => "frozen",
            Self::Reviewed(_) => "reviewed",
            Self::Closed(_) => "closed",
            Self::Endorsed(_) => "endorsed",
            Self::Disputed(_) => "disputed",
            Self::Judged(_) => "judged",
            Self::Opened(_) => "opened",
            Self::Acknowledged(_) => "acknowledged",
        }
    }
}

/// A message was acceptable: it changes the round, or it came before and changes nothing.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "made once a message and moved on at once")]
pub enum Verdict {
    /// Make this durable, then apply it.
    Fresh(Event),
    /// The same message again: answer as the first time.
    Repeat,
}

//! The REST service's messages that are not statements: its answers and its binary frames.

mod contribution;
mod opening;
mod token;
mod with;

pub use contribution::{ContributionFrame, MAX_WHOLE_BODY};
pub use opening::{
    CheckedOpening, OpeningContext, OpeningFrame, OpeningFrameError, OpeningPart, PartError,
    SALT_BYTES, SEALED_KEY_BYTES, content_bytes, opening_frame_bytes, opening_part_bytes,
    opening_words, recipient_leaf, recipients, share_words,
};
pub use token::{MIN_TOKEN_BYTES, TokenError, token};
pub use with::{
    MAX_LEAVES, MAX_WITH, Part, RoundPart, StatusFrame, StatusPart, StudyPart, UnknownPart, With,
};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{HeaderId, SiteId, StudyId, UnixSeconds};
use crate::log::{LogEntry, LogHash};
use crate::round::{Event, RoundStatus};
use crate::signature::{PublicKey, Signed, Statement};
use crate::statement::{Epoch, Manifest, Receipt, RoundKeys, SignedEpoch};

/// An RFC 9457 problem: what a refused request is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A relative reference that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was expected, what came, and what to do.
    pub detail: String,
}

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// How far a contribution has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ContributionProgress {
    /// The header that was announced.
    pub header: HeaderId,
    /// Whether the envelopes are stored.
    pub envelopes: bool,
    /// Bytes of the body that are stored: where to go on.
    pub body_bytes: u64,
    /// Given once everything is durable.
    pub receipt: Option<Signed<Receipt>>,
}

/// Which aggregator it is that answers. It says so unsigned: that tells apart aggregators, and does
/// not prove anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AggregatorStatus {
    /// The key that it signs with; it stands in the files of its studies.
    pub aggregator_key: PublicKey,
    /// What its clock shows.
    pub now: UnixSeconds,
}

/// A study as the aggregator runs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StudyStatus {
    /// The study.
    pub study: StudyId,
    /// Its name.
    pub name: String,
    /// Rounds opened so far.
    pub rounds: u32,
    /// The last of them.
    pub latest: Option<RoundStatus>,
    /// How often the roster has changed. Left out where it has not: so a site of a version without
    /// epochs reads it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub epochs: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Which round keys of a key holder the log has, as a manifest must name them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LoggedKeys {
    /// The key holder.
    pub holder: SiteId,
    /// The statement's digest; none where it has published no keys for the round.
    pub keys: Option<Digest>,
}

/// Most bytes of a sealed snapshot: a model of 10^8 values, with what FedAdam remembers of each.
pub const MAX_SNAPSHOT: usize = 1 << 31;

/// What has become of an epoch that was proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EpochStatus {
    /// The epoch.
    pub epoch: Digest,
    /// Its number.
    pub number: u32,
    /// Whether it is made: signed by all whom it needs, and in the log.
    pub made: bool,
    /// Sites that must sign it still.
    pub missing: Vec<SiteId>,
    /// How many sites of the roster before must sign besides, whichever.
    pub more: u32,
}

/// How far the signatures of a study have come that the aggregator gathers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DraftStatus {
    /// The study.
    pub study: StudyId,
    /// Its name.
    pub name: String,
    /// How many sites its roster has.
    pub sites: u32,
    /// How many of them have signed.
    pub signed: u32,
    /// The first few of those that have not, in the roster's order.
    pub missing: Vec<SiteId>,
    /// How many more have not.
    pub more: u32,
    /// Whether the study is registered: all have signed, and its rounds can be opened.
    pub registered: bool,
    /// Until when signatures are taken; nothing for a study that is registered.
    pub until: Option<UnixSeconds>,
}

/// A signed statement that the aggregator lost, and that a site sends back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Returned {
    /// The manifest of a round.
    Manifest(Signed<Manifest>),
    /// The keys that a site published for coming rounds.
    RoundKeys(Signed<RoundKeys>),
    /// A change of the roster.
    Epoch(Box<SignedEpoch>),
    /// What came in a round. An aggregator's own note is none and refused.
    Event(Event),
}

impl Returned {
    /// The statement as a leaf of the study's log; none for a note.
    pub fn entry(&self) -> Option<LogEntry> {
        match self {
            Self::Manifest(signed) => Some(LogEntry::of_signed(signed)),
            Self::RoundKeys(signed) => Some(LogEntry::of_signed(signed)),
            Self::Epoch(signed) => Some(LogEntry::of::<Epoch>(signed.epoch.id())),
            Self::Event(event) => event.entry(),
        }
    }
}

/// Which statements the aggregator lost, as far as it can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// Statements that it has.
    pub stored: u64,
    /// Statements that it has acknowledged.
    pub marked: u64,
    /// The leaves of the first [`MAX_PROOFS`] that are missing, in order.
    pub missing: Vec<LogHash>,
}

/// Most proofs in one answer: 512 of at most 64 hashes of 67 bytes in JSON take 2.2 MB, within
/// [`MAX_MESSAGE`](crate::wire::json::MAX_MESSAGE). Who needs more asks again.
pub const MAX_PROOFS: usize = 512;

/// Asks for the inclusion proofs of leaves in the log of a size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct InclusionQuery {
    /// Leaves of the log.
    pub size: u64,
    /// Hashes of at most [`MAX_PROOFS`] leaves; the answer keeps their order.
    pub leaves: Vec<LogHash>,
}

/// The parts of a round's openings that are sealed to one site, as a binary frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenedFrame {
    /// One entry for each opening, in the order of their list; none where the aggregator does not
    /// have it as its holder signed it.
    pub parts: Vec<Option<OpeningPart>>,
}

/// The envelopes of one contribution in window order, as a binary frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeFrame {
    /// Sealed bytes, one entry for each key holder.
    #[serde(with = "crate::wire::byte_string::list")]
    pub envelopes: Vec<Vec<u8>>,
}

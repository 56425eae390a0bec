//! A round at a glance.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::site_set::SiteSet;
use crate::id::{RoundNumber, SiteId, StudyId, UnixSeconds};

/// Where a round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RoundState {
    /// Contributions are taken.
    Collecting,
    /// Holders review the envelopes sealed to them.
    Reviewing,
    /// The set is fixed and waits for Q endorsements.
    Closed,
    /// Certified: holders open.
    Certified,
    /// At least t openings are there: every site can open the sum.
    Opened,
    /// The certified closing has an empty set.
    Aborted,
}

impl RoundState {
    /// All of them, in the order of a round.
    pub const ALL: [Self; 6] = [
        Self::Collecting,
        Self::Reviewing,
        Self::Closed,
        Self::Certified,
        Self::Opened,
        Self::Aborted,
    ];

    /// The name that it has in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Collecting => "collecting",
            Self::Reviewing => "reviewing",
            Self::Closed => "closed",
            Self::Certified => "certified",
            Self::Opened => "opened",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for RoundState {
    /// What a round is, in words: `round 0 is ...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Collecting => "still taking contributions",
            Self::Reviewing => "being reviewed by its key holders",
            Self::Closed => "closed and not certified yet",
            Self::Certified => "certified and not opened yet",
            Self::Opened => "opened",
            Self::Aborted => "aborted",
        })
    }
}

/// A contribution whose bytes the aggregator lost or damaged: its site sends them again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Whose bytes.
    pub site: SiteId,
    /// From then on the contribution is left out of the closing. None once the round is closed: it
    /// is in the set, and the sum waits for it.
    pub until: Option<UnixSeconds>,
}

/// How far a dispute of a round has come, or, with index 0, the verdict on wrong check words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DisputeStatus {
    /// 1 to c; 0 for check words.
    pub index: u16,
    /// Holders that endorsed the dispute.
    pub disputing: SiteSet,
    /// Whether Q of them endorsed the same one.
    pub disputed: bool,
    /// Holders that opened their shares of the functionals.
    pub answered: SiteSet,
    /// Holders that endorsed the verdict.
    pub judging: SiteSet,
    /// Whether Q of them endorsed the same one.
    pub judged: bool,
    /// Holders that opened their shares of the culprits' keys.
    pub removing: SiteSet,
}

/// What those who wait for a round act on. It changes when the round takes a step, and not when one
/// more of many has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where the round stands.
    pub state: RoundState,
    /// Whose bytes are to be sent again.
    pub wanted: Vec<SiteId>,
    /// Each dispute, by its index: whether it is certified, and whether its verdict is.
    pub disputes: Vec<(u16, bool, bool)>,
    /// Whether enough sites have acknowledged one model.
    pub agreed: bool,
}

/// What anyone may know of a round: who took part, and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RoundStatus {
    /// The study.
    pub study: StudyId,
    /// Round number.
    pub round: RoundNumber,
    /// Events so far; a long poll waits for more than it has seen.
    pub version: u64,
    /// Where it stands.
    pub state: RoundState,
    /// After this moment no contribution is taken.
    pub deadline: UnixSeconds,
    /// Who opened the round.
    pub initiator: SiteId,
    /// Key holders in window order.
    pub holders: Vec<SiteId>,
    /// Contributions with receipts.
    pub received: SiteSet,
    /// Those of them whose bytes are to be sent again.
    pub wanted: Vec<Wanted>,
    /// Holders that reviewed.
    pub reviewed: SiteSet,
    /// Holders that endorsed the closing.
    pub endorsed: SiteSet,
    /// Q.
    pub endorsements_needed: u16,
    /// Holders that opened.
    pub opened: SiteSet,
    /// t.
    pub openings_needed: u16,
    /// Disputes and verdicts so far, by index.
    pub disputes: Vec<DisputeStatus>,
    /// Sites that acknowledged.
    pub acknowledged: SiteSet,
}

//! Statements that are known to come: their labels, fields and signers are fixed, so that a version
//! that uses them needs no other format. Nothing in this version makes or takes one.
//!
//! `docs/reserved.md` says what each is for, and what a reader does that meets one.

use serde::{Deserialize, Serialize};

use super::roster_entry::RosterEntry;
use crate::digest::Digest;
use crate::id::{ManifestId, RoundNumber, SiteId, StudyId, UnixSeconds};
use crate::signature::Statement;
use crate::wire::canonical::{Canonical, canonical};

/// A change of the roster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A site comes.
    Enrol {
        /// Its name and keys.
        entry: RosterEntry,
    },
    /// A site has other keys.
    Rotate {
        /// Its name and the keys from then on.
        entry: RosterEntry,
    },
    /// A site is put out.
    Revoke {
        /// Which.
        site: SiteId,
    },
    /// A site goes.
    Leave {
        /// Which.
        site: SiteId,
    },
}

impl Canonical for Change {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Enrol { entry } => {
                0u8.encode(out);
                entry.encode(out);
            }
            Self::Rotate { entry } => {
                1u8.encode(out);
                entry.encode(out);
            }
            Self::Revoke { site } => {
                2u8.encode(out);
                site.encode(out);
            }
            Self::Leave { site } => {
                3u8.encode(out);
                site.encode(out);
            }
        }
    }
}

/// A study's next epoch: the same study with another roster. Sites sign an [`EpochSignature`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    /// The study as it was first signed; it names the log.
    pub study: StudyId,
    /// From 1, rising by one.
    pub epoch: u32,
    /// The study before the changes; the first study for epoch 1.
    pub before: StudyId,
    /// The study after them, with all that follows from the roster. Statements of later rounds name it.
    pub after: StudyId,
    /// The last round under the roster before.
    pub last_round: RoundNumber,
    /// The changes, in the order in which they are made.
    pub changes: Vec<Change>,
}
canonical!(Epoch { study, epoch, before, after, last_round, changes });

impl Statement for Epoch {
    const LABEL: &'static str = "epoch";
    type Id = Digest;
}

/// A site's signature of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochSignature {
    /// Digest of the [`Epoch`].
    pub epoch: Digest,
    /// Who signs.
    pub site: SiteId,
}
canonical!(EpochSignature { epoch, site });

impl Statement for EpochSignature {
    const LABEL: &'static str = "epoch-signature";
    type Id = Digest;
}

/// Why a site takes no part in a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RefusalReason {
    /// Its data or its machine are not there.
    Unavailable,
    /// Its privacy budget is spent.
    BudgetSpent,
    /// With the sets before, an opened sum could single a site out.
    SinglesOut,
    /// Another one.
    Other {
        /// In words: 1 to 200 bytes.
        why: String,
    },
}

impl Canonical for RefusalReason {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unavailable => 0u8.encode(out),
            Self::BudgetSpent => 1u8.encode(out),
            Self::SinglesOut => 2u8.encode(out),
            Self::Other { why } => {
                3u8.encode(out);
                why.encode(out);
            }
        }
    }
}

/// A site's word that it takes no part in a round: refusal is not silence. Signed by the site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The round's manifest.
    pub manifest: ManifestId,
    /// Who refuses.
    pub site: SiteId,
    /// Why.
    pub reason: RefusalReason,
    /// When, by its own clock.
    pub refused_at: UnixSeconds,
}
canonical!(Refusal { manifest, site, reason, refused_at });

impl Statement for Refusal {
    const LABEL: &'static str = "refusal";
    type Id = Digest;
}

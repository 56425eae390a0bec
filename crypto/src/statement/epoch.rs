//! Epochs: how a study's roster changes. An epoch is signed by the sites; `docs/study_life.md` says
//! who must sign what, and why.
//!
//! ```text
//! epoch      what is signed
//!   changes  what the changes make of a roster
//!   follows  what else a study may change with its roster: nothing but what follows from it
//!   signed   an epoch with its study and signatures; who must sign
//!   lineage  a study with its epochs: which study is in force in a round
//!   error    why an epoch is refused
//! ```

mod changes;
mod error;
mod follows;
mod lineage;
mod signed;

use serde::{Deserialize, Serialize};

pub use changes::change_roster;
pub use error::{EpochError, WhichKey};
pub use follows::{min_sites_after, threshold_after};
pub use lineage::{InForce, Lineage};
pub use signed::{HasSigned, MissingSignatures, SignedEpoch, signers_needed};

use super::roster_entry::RosterEntry;
use crate::digest::Digest;
use crate::id::{RoundNumber, SiteId, StudyId};
use crate::signature::Statement;
use crate::wire::canonical::{Canonical, canonical};

/// A change of the roster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A site comes. It stands last on the ring.
    Enrol {
        /// Its name and keys.
        entry: RosterEntry,
    },
    /// A site has other keys. Its place on the ring stays.
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

impl Change {
    /// The site that the change is about.
    pub fn site(&self) -> &SiteId {
        match self {
            Self::Enrol { entry } | Self::Rotate { entry } => &entry.id,
            Self::Revoke { site } | Self::Leave { site } => site,
        }
    }

    /// The site that is on the roster no more after it.
    pub fn gone(&self) -> Option<&SiteId> {
        match self {
            Self::Revoke { site } | Self::Leave { site } => Some(site),
            Self::Enrol { .. } | Self::Rotate { .. } => None,
        }
    }
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

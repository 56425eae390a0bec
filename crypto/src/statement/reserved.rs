//! Statements that are known to come: their labels, fields and signers are fixed, so that a version
//! that uses them needs no other format. Nothing in this version makes or takes one.
//!
//! `docs/reserved.md` says what each is for, and what a reader does that meets one.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{ManifestId, SiteId, UnixSeconds};
use crate::signature::Statement;
use crate::wire::canonical::{Canonical, canonical};

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

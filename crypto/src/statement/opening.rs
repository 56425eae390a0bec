//! A key holder's opening: its share of the sum of the keys over the certified set; in a dispute, of
//! functionals of single keys, and after a verdict of the culprits' whole keys.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{ClosingId, DisputeId, ManifestId, SiteId, VerdictId};
use crate::log::LogHash;
use crate::signature::Statement;
use crate::wire::canonical::{Canonical, canonical};

/// What an opening is a share of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// The sum of the keys over the certified set.
    Sum,
    /// One coefficient of each site's `a s`, at the position of a certified dispute.
    Functionals {
        /// The dispute.
        dispute: DisputeId,
    },
    /// The whole keys of the sites that a certified verdict names.
    Keys {
        /// The verdict.
        verdict: VerdictId,
    },
}

impl Canonical for Subject {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sum => 0u8.encode(out),
            Self::Functionals { dispute } => {
                1u8.encode(out);
                dispute.encode(out);
            }
            Self::Keys { verdict } => {
                2u8.encode(out);
                verdict.encode(out);
            }
        }
    }
}

/// The signed statement that goes with a sealed opening.
///
/// It commits to one digest a recipient, not to everything that was sealed, so that a site checks
/// its own part alone ([`OpeningPart`](crate::api::OpeningPart)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The round's manifest.
    pub manifest: ManifestId,
    /// The certified closing.
    pub closing: ClosingId,
    /// Who answers.
    pub holder: SiteId,
    /// What it is a share of.
    pub subject: Subject,
    /// Digest of the encrypted content, which is the same for every site.
    pub content: Digest,
    /// Root of the tree ([`recipients`](crate::api::recipients)) over the content keys as they are
    /// sealed to the sites, in roster order.
    pub recipients: LogHash,
    /// Salted digest of what was sealed: a holder cannot tell two recipients different shares.
    pub plaintext: Digest,
}
canonical!(Opening { manifest, closing, holder, subject, content, recipients, plaintext });

impl Statement for Opening {
    const LABEL: &'static str = "opening";
    type Id = Digest;
}

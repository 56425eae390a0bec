//! A key holder's opening: one share of the sum of the keys over the certified set.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{ClosingId, ManifestId, SiteId};
use crate::log::LogHash;
use crate::signature::Statement;
use crate::wire::canonical::canonical;

/// The signed statement that goes with a sealed opening.
///
/// It commits to one digest a recipient, not to everything that was sealed, so that a site checks
/// its own part alone ([`OpeningPart`](crate::api::OpeningPart)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The round's manifest.
    pub manifest: ManifestId,
    /// The certified closing.
    pub closing: ClosingId,
    /// Who answers.
    pub holder: SiteId,
    /// Digest of the encrypted content, which is the same for every site.
    pub content: Digest,
    /// Root of the tree ([`recipients`](crate::api::recipients)) over the content keys as they are
    /// sealed to the sites, in roster order.
    pub recipients: LogHash,
    /// Salted digest of what was sealed: a holder cannot tell two recipients different shares.
    pub plaintext: Digest,
}
canonical!(Opening { manifest, closing, holder, content, recipients, plaintext });

impl Statement for Opening {
    const LABEL: &'static str = "opening";
    type Id = Digest;
}

//! A key holder's opening: one share of the sum of the keys over the certified set.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{ClosingId, ManifestId, SiteId};
use crate::signature::Statement;
use crate::wire::canonical::canonical;

/// The signed statement that goes with a sealed opening.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The round's manifest.
    pub manifest: ManifestId,
    /// The certified closing.
    pub closing: ClosingId,
    /// Who answers.
    pub holder: SiteId,
    /// Digest of the sealed frame.
    pub sealed: Digest,
    /// Salted digest of what was sealed: a holder cannot tell two recipients different shares.
    pub plaintext: Digest,
}
canonical!(Opening { manifest, closing, holder, sealed, plaintext });

impl Statement for Opening {
    const LABEL: &'static str = "opening";
    type Id = Digest;
}

//! What a site made of the opened sum.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{ClosingId, ManifestId, SiteId};
use crate::signature::Statement;
use crate::wire::canonical::{Canonical, canonical};

/// A site's signed word on the end of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// The round's manifest.
    pub manifest: ManifestId,
    /// The certified closing.
    pub closing: ClosingId,
    /// Who speaks.
    pub site: SiteId,
    /// What became of the round there.
    pub outcome: Outcome,
}
canonical!(Acknowledgement { manifest, closing, site, outcome });

impl Statement for Acknowledgement {
    const LABEL: &'static str = "acknowledgement";
    type Id = Digest;
}

/// Applied or failed. Why it failed stays at the site: to an aggregator that chooses what it adds up
/// even the kind of the failure would tell one comparison about the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The mean was applied; the keyed digest of the model that the site now holds.
    Applied {
        /// Keyed with the check key, so that the aggregator cannot test a guess.
        model: Digest,
    },
    /// The sum could not be opened or did not check. `Applied` may follow, once more openings came.
    Failed,
}

impl Canonical for Outcome {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Applied { model } => {
                0u8.encode(out);
                model.encode(out);
            }
            Self::Failed => 1u8.encode(out),
        }
    }
}

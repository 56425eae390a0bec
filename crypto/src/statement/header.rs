//! A site's header: its signed promise of one contribution.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{HeaderId, ManifestId, RoundNumber, SiteId, StudyId};
use crate::signature::Statement;
use crate::wire::canonical::canonical;

/// A site's signed promise of one body and one envelope for each key holder. A site signs at most
/// one header per study and round number, whatever manifests it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The study.
    pub study: StudyId,
    /// Round number.
    pub round: RoundNumber,
    /// The round's manifest.
    pub manifest: ManifestId,
    /// Who contributes.
    pub site: SiteId,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// BLAKE3 root of the body.
    pub body: Digest,
    /// Digests of the envelopes, one for each holder in window order.
    pub envelopes: Vec<Digest>,
}
canonical!(Header { study, round, manifest, site, body_bytes, body, envelopes });

impl Statement for Header {
    const LABEL: &'static str = "header";
    type Id = HeaderId;
}

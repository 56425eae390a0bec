//! A site's contribution, and the aggregator's receipt for it.

use serde::{Deserialize, Serialize};

use super::name::SiteId;
use super::signed::Statement;
use crate::digest::Digest;
use crate::wire::canonical::canonical;

/// A site's signed promise of one body and one envelope for each key holder. A site signs at most
/// one header per study and round number, whatever manifests it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Digest of the study.
    pub study: Digest,
    /// Round number.
    pub round: u32,
    /// Digest of the manifest.
    pub manifest: Digest,
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
}

/// The aggregator's signed word that a contribution is durably stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Who contributed.
    pub site: SiteId,
    /// Digest of the header.
    pub header: Digest,
    /// Unix seconds.
    pub received_at: u64,
}
canonical!(Receipt { manifest, site, header, received_at });

impl Statement for Receipt {
    const LABEL: &'static str = "receipt";
}

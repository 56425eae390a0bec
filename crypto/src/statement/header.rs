//! A site's header: its signed promise of one contribution.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{HeaderId, ManifestId, RoundNumber, SiteId, StudyId};
use crate::ring::params::CHECK_WORDS;
use crate::signature::Statement;
use crate::statement::HexBytes;
use crate::wire::canonical::canonical;

/// Bytes of a header's sealed check words: 8 a word, and a tag of 16.
pub const CHECK_BYTES: usize = 8 * CHECK_WORDS + 16;

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
    /// The body's check words, sealed to whoever has the study's check key: [`CHECK_BYTES`] bytes.
    pub check: HexBytes,
    /// Digests of the envelopes, one for each holder in window order.
    pub envelopes: Vec<Digest>,
}
canonical!(Header { study, round, manifest, site, body_bytes, body, check, envelopes });

impl Statement for Header {
    const LABEL: &'static str = "header";
    type Id = HeaderId;
}

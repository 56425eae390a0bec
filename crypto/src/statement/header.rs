//! A site's header: its signed promise of one contribution.

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::spent::{Spent, SpentError};
use super::study::Study;
use crate::digest::Digest;
use crate::id::{HeaderId, ManifestId, RoundNumber, SiteId, StudyId};
use crate::ring::params::CHECK_WORDS;
use crate::signature::{SignatureError, Signed, Statement};
use crate::statement::HexBytes;
use crate::wire::canonical::canonical;

/// Bytes of a header's sealed check words: 8 a word, and a tag of 16.
pub const CHECK_BYTES: usize = 8 * CHECK_WORDS + 16;

/// A site's signed promise of one body and one envelope for each key holder. A site signs at most
/// one header per study and round number, whatever manifests it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// What its site's data have spent of the study's privacy budget; none where there is no budget.
    pub spent: Option<Spent>,
}
canonical!(Header { study, round, manifest, site, body_bytes, body, check, envelopes, spent });

impl Statement for Header {
    const LABEL: &'static str = "header";
    type Id = HeaderId;
}

/// A header that is not what a site signed for a round, or that no site may sign. The aggregator
/// checks every header before it takes it, so one of these is the aggregator's fault; but for
/// [`HeaderError::Spent`] it is never the site's.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HeaderError {
    /// By nobody on the roster, or of another round.
    #[error(
        "the aggregator showed a header of {got} for manifest {got_manifest}, expected that of {site} for round {round} (manifest {manifest})"
    )]
    Other {
        /// Whose header was asked for.
        site: SiteId,
        /// For this round.
        round: RoundNumber,
        /// Its manifest.
        manifest: ManifestId,
        /// By whom the one that came is.
        got: SiteId,
        /// Of which manifest.
        got_manifest: ManifestId,
    },
    /// Another number of envelopes than there are holders.
    #[error("the aggregator showed a header of {site} with {got} envelopes, expected {expected}")]
    Envelopes {
        /// Whose header.
        site: SiteId,
        /// `m`.
        expected: u16,
        /// As stated.
        got: usize,
    },
    /// What the site states of its budget is not what the study's policy allows. Its signature holds.
    #[error(
        "the header of {site} breaks the study's privacy policy: {source}; {site} signed it, and the aggregator should have refused it"
    )]
    Spent {
        /// Whose header.
        site: SiteId,
        /// What is wrong with it.
        source: SpentError,
    },
    /// The signature does not hold.
    #[error("the aggregator showed a header that its site has not signed: {0}")]
    Signature(#[from] SignatureError),
}

impl Header {
    /// Checks that a header is `site`'s own for the round of a checked manifest: what a holder
    /// does before it judges anything that the header names.
    ///
    /// # Errors
    /// [`HeaderError`]: the aggregator's fault.
    pub fn check(
        signed: &Signed<Self>,
        study: &Study,
        manifest: &Manifest,
        site: &SiteId,
    ) -> Result<(), HeaderError> {
        let header = &signed.statement;
        let id = manifest.id();
        let ours = header.site == *site
            && header.manifest == id
            && header.study == manifest.study
            && header.round == manifest.round;
        let member = study.site(site).filter(|_| ours).ok_or_else(|| HeaderError::Other {
            site: site.clone(),
            round: manifest.round,
            manifest: id,
            got: header.site.clone(),
            got_manifest: header.manifest,
        })?;
        let (expected, got) = (study.threshold.holders, header.envelopes.len());
        if got != usize::from(expected) {
            return Err(HeaderError::Envelopes { site: site.clone(), expected, got });
        }
        signed.verify(&member.signature_key, site)?;
        let spent = study.privacy.check_spent(header.spent);
        spent.map_err(|source| HeaderError::Spent { site: site.clone(), source })
    }
}

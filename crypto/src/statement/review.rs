//! A key holder's review of the envelopes that were sealed to it.

use serde::{Deserialize, Serialize};

use super::study::Study;
use crate::digest::Digest;
use crate::id::{ManifestId, RoundNumber, SiteId};
use crate::signature::{SignatureError, Signed, Statement};
use crate::wire::canonical::canonical;

/// A key holder's word, before the set is fixed, on the envelopes that were sealed to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// The round's manifest.
    pub manifest: ManifestId,
    /// Who reviewed.
    pub holder: SiteId,
    /// Dealers whose envelope did not open or held no residues, ascending by name.
    pub complaints: Vec<SiteId>,
}
canonical!(Review { manifest, holder, complaints });

impl Statement for Review {
    const LABEL: &'static str = "review";
    type Id = Digest;
}

/// Digests of the reviews, by different holders of the round, that complain about `dealer`.
///
/// # Errors
/// [`SignatureError`] when a review that counts is not its holder's.
pub(crate) fn complaints(
    study: &Study,
    round: RoundNumber,
    manifest: ManifestId,
    dealer: &SiteId,
    reviews: &[Signed<Review>],
) -> Result<Vec<Digest>, SignatureError> {
    let mut found = Vec::new();
    for holder in study.holders(round) {
        let complaint = reviews.iter().find(|review| {
            review.statement.holder == holder.id
                && review.statement.manifest == manifest
                && review.statement.complaints.contains(dealer)
        });
        if let Some(review) = complaint {
            review.verify(&holder.signature_key, &holder.id)?;
            found.push(review.id());
        }
    }
    Ok(found)
}

//! Making an epoch: from changes of the roster to the study after them, which sites sign.

use rand::CryptoRng;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::ring::packing::Packing;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{
    Change, Epoch, EpochError, Lineage, SignedEpoch, Study, StudyError, Weighting, change_roster,
    min_sites_after, threshold_after,
};

use crate::share::seal::SealError;
use crate::study::draft::seal_check_key;

/// Changes of which no epoch can be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChangeError {
    /// The epoch would be refused.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// A site's KEM key is none.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A site comes to a study that weights by samples.
    #[error(
        "the study weights sites by their samples: expected the number of training samples of {0}, got none"
    )]
    NoCount(SiteId),
    /// Samples of a site in a study that does not weight by them.
    #[error("the study weights all sites equally: expected no number of samples of {0}")]
    Count(SiteId),
}

/// The next epoch of a study, unsigned: these changes, and everything that follows from the roster that
/// they give. The check key is a fresh one, sealed to every site of that roster. `counts` are the
/// training samples of sites that come, in a study that weights by them.
///
/// # Errors
/// [`ChangeError`] with the reason why the study after the changes could not run, or why the epoch would
/// be refused.
pub fn change(
    lineage: &Lineage,
    changes: Vec<Change>,
    counts: &[(SiteId, u32)],
    last_round: RoundNumber,
    rng: &mut impl CryptoRng,
) -> Result<SignedEpoch, ChangeError> {
    let latest = lineage.latest();
    let before = &*latest.study;
    let roster = change_roster(&before.roster, &changes)?;
    let sites = roster.len();
    let refused = |error: StudyError| EpochError::from(error);
    if sites < 3 {
        return Err(refused(StudyError::Roster(sites)).into());
    }
    let threshold = threshold_after(&before.threshold, before.roster.len(), sites)
        .map_err(|error| refused(error.into()))?;
    let Packing { value_bits, noise_bound, .. } = before.packing;
    let packing = Packing::derive(value_bits, noise_bound, sites, threshold.collusion)
        .map_err(|error| refused(error.into()))?;
    let after = Study {
        check_key: seal_check_key(&roster, rng)?,
        weighting: weighting(
            before,
            &roster.iter().map(|entry| &entry.id).collect::<Vec<_>>(),
            counts,
        )?,
        min_sites: min_sites_after(before, &threshold, sites),
        roster,
        threshold,
        packing,
        ..before.clone()
    };
    let epoch = Epoch {
        study: lineage.first().id,
        epoch: lineage.epochs().saturating_add(1),
        before: latest.id,
        after: after.id(),
        last_round,
        changes,
    };
    let signed = SignedEpoch::unsigned(epoch, after);
    lineage.check(&signed)?;
    Ok(signed)
}

/// The weights of a roster: those that stay keep their counts.
fn weighting(
    before: &Study,
    roster: &[&SiteId],
    counts: &[(SiteId, u32)],
) -> Result<Weighting, ChangeError> {
    let Weighting::SampleCounts(old) = &before.weighting else {
        return match counts.first() {
            Some((site, _)) => Err(ChangeError::Count(site.clone())),
            None => Ok(Weighting::Equal),
        };
    };
    let count = |site: &&SiteId| {
        let known = before.position(site).and_then(|place| old.get(place));
        let given = || counts.iter().find(|(of, _)| of == *site).map(|(_, count)| count);
        known.or_else(given).copied().ok_or_else(|| ChangeError::NoCount((*site).clone()))
    };
    Ok(Weighting::SampleCounts(roster.iter().map(count).collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests;

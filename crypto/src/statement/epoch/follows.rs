//! What else a study may change with its roster: nothing but what follows from it.

use std::collections::BTreeSet;

use super::{Change, Epoch, EpochError, change_roster};
use crate::id::SiteId;
use crate::statement::{PrivacyPolicy, RosterEntry, Study, Weighting};
use crate::threshold::{Threshold, ThresholdError};

/// The thresholds of a study whose roster of `before` sites becomes one of `after`. `c` stays. Where
/// all sites were key holders all are, up to 16 or as many as there were; else as many as before, or
/// all that are left. `l` is the recommended one where it was, else as near to what it was as that
/// allows.
///
/// # Errors
/// [`ThresholdError`] when so many sites cannot keep to `c`.
pub fn threshold_after(
    threshold: &Threshold,
    before: usize,
    after: usize,
) -> Result<Threshold, ThresholdError> {
    let Threshold { holders, collusion, packing, .. } = *threshold;
    let sites = u16::try_from(after).unwrap_or(u16::MAX);
    let most = if usize::from(holders) == before { holders.max(16) } else { holders };
    let recommended =
        |holders, sites| Threshold::choose(sites, Some(holders), Some(collusion), None);
    let usual = recommended(holders, before).map_or(packing, |usual| usual.packing);
    let next = recommended(most.min(sites), after)?;
    match packing == usual || packing > next.packing {
        true => Ok(next),
        false => Threshold::choose(after, Some(next.holders), Some(collusion), Some(packing)),
    }
}

/// The fewest contributions a sum is opened for after a change of the roster: the recommended number
/// where it was that, else what it was, within what the thresholds allow. Under a policy for whole sites
/// it stays: the noise that sites add was made for it.
pub fn min_sites_after(before: &Study, threshold: &Threshold, after: usize) -> u16 {
    let usual = |threshold: &Threshold, sites: usize| {
        let most = (2 * sites).div_ceil(3).min(threshold.min_sites_ceiling(sites));
        threshold.min_sites_floor().max(u16::try_from(most).unwrap_or(u16::MAX))
    };
    let (min_sites, sites) = (before.min_sites, before.roster.len());
    if let PrivacyPolicy::SiteLevel(_) = before.privacy {
        return min_sites;
    }
    if min_sites == usual(&before.threshold, sites) {
        return usual(threshold, after);
    }
    let ceiling = u16::try_from(threshold.min_sites_ceiling(after)).unwrap_or(u16::MAX);
    min_sites.min(ceiling).max(threshold.min_sites_floor())
}

impl Epoch {
    /// Refuses changes that do not give `after`'s roster, and an `after` that differs from `before` in
    /// more than what follows from its roster.
    pub(super) fn check_after(&self, before: &Study, after: &Study) -> Result<(), EpochError> {
        if change_roster(&before.roster, &self.changes)? != after.roster {
            return Err(EpochError::Roster);
        }
        after.check()?;
        carried(before, after)?;
        groups_stay(before, after)?;
        let (sites, left) = (before.roster.len(), after.roster.len());
        let expected = threshold_after(&before.threshold, sites, left)
            .map_err(crate::statement::StudyError::from)?;
        if after.threshold != expected {
            return Err(EpochError::Threshold { expected, got: after.threshold });
        }
        let expected = min_sites_after(before, &expected, left);
        if after.min_sites != expected {
            return Err(EpochError::MinSites { expected, got: after.min_sites });
        }
        self.check_weights(before, after)?;
        let kept = before.check_key.commitment == after.check_key.commitment;
        match self.changes.iter().find_map(Change::gone).filter(|_| kept) {
            Some(site) => Err(EpochError::CheckKeyKept(site.clone())),
            None => Ok(()),
        }
    }

    /// Sites that stay keep their counts.
    fn check_weights(&self, before: &Study, after: &Study) -> Result<(), EpochError> {
        let (old, new) = match (&before.weighting, &after.weighting) {
            (Weighting::Equal, Weighting::Equal) => return Ok(()),
            (Weighting::SampleCounts(old), Weighting::SampleCounts(new)) => (old, new),
            _ => return Err(EpochError::Carried("weights")),
        };
        for (entry, count) in before.roster.iter().zip(old) {
            let place = after.position(&entry.id);
            match place.and_then(|place| new.get(place)) {
                Some(now) if now != count => return Err(EpochError::Carried("weights")),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Groups come and go whole. Sums over a part of a group, before or after, would tell of the rest.
fn groups_stay(before: &Study, after: &Study) -> Result<(), EpochError> {
    let names = |group: &[RosterEntry]| group.iter().map(|site| site.id.clone()).collect();
    let known: BTreeSet<Vec<SiteId>> = before.groups().into_iter().map(names).collect();
    for group in after.groups() {
        let new = group.iter().all(|site| before.site(&site.id).is_none());
        let group = names(group);
        if !new && !known.contains(&group) {
            return Err(EpochError::Groups { size: after.threshold.min_sites_floor(), group });
        }
    }
    Ok(())
}

/// What no epoch changes.
fn carried(before: &Study, after: &Study) -> Result<(), EpochError> {
    let noise = |study: &Study| (study.packing.value_bits, study.packing.noise_bound);
    let seconds = |study: &Study| {
        (
            study.min_round_seconds,
            study.longest_round_seconds,
            study.review_seconds,
            study.initiator_timeout_seconds,
        )
    };
    let same = [
        ("name", before.name == after.name),
        ("created_at", before.created_at == after.created_at),
        ("aggregator_key", before.aggregator_key == after.aggregator_key),
        ("parameters", before.parameters == after.parameters),
        ("value_bits and noise_bound", noise(before) == noise(after)),
        ("layout", before.layout == after.layout),
        ("initial_model", before.initial_model == after.initial_model),
        ("privacy", before.privacy == after.privacy),
        ("training", before.training == after.training),
        ("time limits", seconds(before) == seconds(after)),
    ];
    match same.into_iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(EpochError::Carried(field)),
        None => Ok(()),
    }
}

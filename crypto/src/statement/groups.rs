//! Groups of sites that count together or not at all: what the policy sets_apart asks of a set.
//!
//! Who sees the sums of several rounds may add and subtract them. If each set holds all or none of
//! each group, every such combination does, too: it is over whole groups, of `c + 2` sites at least,
//! whatever rounds it is made of (So et al., "Securing Secure Aggregation", AAAI 2023). The groups
//! follow from the study alone, so nobody needs to know the rounds before. `docs/cohorts.md` has the
//! argument and what it costs.

use std::collections::{BTreeMap, BTreeSet};

use super::closing::{ExclusionReason, Included};
use super::privacy_policy::PrivacyPolicy;
use super::roster_entry::RosterEntry;
use super::study::Study;
use crate::dealing::{Judgement, Trust};
use crate::id::SiteId;

/// The lengths of the groups that so many sites make, in ring order: `size` each, and the first has
/// those that are left over, so that groups which come last change no other.
pub fn group_lengths(sites: usize, size: usize) -> Vec<usize> {
    let first = sites.min(size + sites % size.max(1));
    let others = (sites - first) / size.max(1);
    std::iter::once(first).chain(std::iter::repeat_n(size, others)).collect()
}

impl Study {
    /// The groups, in ring order: of `c + 2` sites each, the first with those that are left over.
    /// None unless the study's policy holds sets apart.
    pub fn groups(&self) -> Vec<&[RosterEntry]> {
        if self.privacy != PrivacyPolicy::SetsApart {
            return Vec::new();
        }
        let size = usize::from(self.threshold.min_sites_floor());
        let mut rest = self.roster.as_slice();
        let groups = group_lengths(rest.len(), size).into_iter().map(|length| {
            let (group, others) = rest.split_at(length);
            rest = others;
            group
        });
        groups.collect()
    }

    /// How many sites may be silent, wherever they are, before there is no sum: where sets are held
    /// apart each may take its group with it.
    pub fn silent_contributors(&self) -> usize {
        let mut lengths: Vec<usize> = match self.groups() {
            none if none.is_empty() => vec![1; self.roster.len()],
            groups => groups.iter().map(|group| group.len()).collect(),
        };
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        let mut left = self.roster.len();
        let silent = lengths.into_iter().take_while(|length| {
            left -= length;
            left >= usize::from(self.min_sites)
        });
        silent.count()
    }

    /// Those of `sites` whose group is not whole without others. Barred sites are not missed: they
    /// are corrupt, and a combination that tells of one of them tells nothing that is protected.
    pub fn torn<'a>(&self, trust: &Trust, sites: &BTreeSet<&'a SiteId>) -> BTreeSet<&'a SiteId> {
        let mut torn = BTreeSet::new();
        for group in self.groups() {
            let missed = |site: &&RosterEntry| !sites.contains(&site.id) && !trust.bars(&site.id);
            if group.iter().any(|site| missed(&site)) {
                torn.extend(group.iter().filter_map(|site| sites.get(&site.id)));
            }
        }
        torn
    }

    /// How many of `sites` are in whole groups; all of them where there are no groups.
    pub(crate) fn in_whole_groups(&self, trust: &Trust, sites: &BTreeSet<&SiteId>) -> usize {
        sites.len() - self.torn(trust, sites).len()
    }

    /// Which contributions of a freeze are left out, and why: by the reviews, because the aggregator
    /// has lost their bytes, or because another one of their group is missing.
    pub(crate) fn left_out(
        &self,
        list: &[Included],
        judgement: &Judgement,
        lost: &BTreeSet<&SiteId>,
    ) -> BTreeMap<SiteId, ExclusionReason> {
        let alone = |site: &SiteId| {
            let judged = judgement.excluded.get(site).map(|why| ExclusionReason::from(*why));
            judged.or(lost.contains(site).then_some(ExclusionReason::Damaged))
        };
        let sites = list.iter().map(|entry| &entry.site);
        let left = sites.clone().filter(|site| alone(site).is_none()).collect();
        let torn = self.torn(&judgement.trust, &left);
        let reason = |site: &SiteId| {
            alone(site).or(torn.contains(site).then_some(ExclusionReason::GroupIncomplete))
        };
        sites.filter_map(|site| Some((site.clone(), reason(site)?))).collect()
    }
}

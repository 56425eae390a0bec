//! When collecting ends, and what has come by then.

use std::collections::BTreeSet;

use super::machine::Round;
use crate::id::{SiteId, UnixSeconds};
use crate::signature::Signed;
use crate::statement::{Freeze, Header, Included, Receipt};

/// Seconds that a round waits for sites which are known to be absent, once all others have come.
pub const ABSENT_GRACE: u64 = 30;

impl Round {
    /// The freeze to sign, if collecting ends now: everybody who may has contributed, or the deadline
    /// has passed.
    pub fn freeze_due(&self, now: UnixSeconds) -> Option<Freeze> {
        self.freeze_due_without(&BTreeSet::new(), now, now)
    }

    /// The same, where some sites are known to be `absent`, and the round was open to the others since
    /// a time: once all others have contributed, and as many in whole groups as `min_sites` and Q, the
    /// absent ones are waited for [`ABSENT_GRACE`] seconds longer and no more.
    ///
    /// It takes nothing from them that the aggregator could not take in any case: no statement shows
    /// when a contribution would have come.
    pub fn freeze_due_without(
        &self,
        absent: &BTreeSet<SiteId>,
        since: UnixSeconds,
        now: UnixSeconds,
    ) -> Option<Freeze> {
        let deadline = self.manifest.statement.deadline;
        let due = now > deadline || self.is_complete(absent, since, now);
        (self.freeze.is_none() && due).then(|| self.freeze_at(now))
    }

    /// Whether nobody is waited for any more before the deadline.
    fn is_complete(&self, absent: &BTreeSet<SiteId>, since: UnixSeconds, now: UnixSeconds) -> bool {
        let receipt = |site| self.contributions.get(site)?.receipt.as_ref();
        let missing = self.study.roster.iter().map(|member| &member.id);
        let missing = missing.filter(|site| !self.trust.bars(site) && receipt(*site).is_none());
        let missing: Vec<&SiteId> = missing.collect();
        if missing.is_empty() {
            return true;
        }
        let enough = self.study.min_sites.max(self.study.threshold.endorsements);
        let received_at = |receipt: &Signed<Receipt>| receipt.statement.received_at;
        let times = self.received().filter_map(|(site, _)| receipt(site).map(received_at));
        let last = times.max().unwrap_or(since).max(since);
        let there = self.received().map(|(site, _)| site).collect();
        self.study.in_whole_groups(&self.trust, &there) >= usize::from(enough)
            && missing.into_iter().all(|site| absent.contains(site))
            && now >= last.after(ABSENT_GRACE)
    }

    /// The freeze of what has come so far, with this time.
    pub(super) fn freeze_at(&self, at: UnixSeconds) -> Freeze {
        let entry = |(site, header): (&SiteId, &Signed<Header>)| Included {
            site: site.clone(),
            header: header.id(),
        };
        Freeze {
            study: self.manifest.statement.study,
            round: self.number(),
            manifest: self.id,
            frozen_at: at,
            contributions: self.received().map(entry).collect(),
        }
    }
}

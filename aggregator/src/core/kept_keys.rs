//! Round keys as they are sent, of the key holders of the rounds that sites are at: each site asks for
//! those of all of them, and a statement of 16 keys takes a millisecond to read and to check.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::RoundKeys;
use ringfence_crypto::wire::json;

/// Round keys that were checked.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The study under which they were published.
    study: StudyId,
    site: SiteId,
    first: RoundNumber,
    end: RoundNumber,
    /// The name of the statement.
    pub(crate) id: Digest,
    /// The signed statement.
    pub(crate) json: Bytes,
}

impl Kept {
    /// Those of a statement that is stored and checks.
    pub(crate) fn of(checked: &Signed<RoundKeys>) -> Self {
        let RoundKeys { study, site, first_round, .. } = &checked.statement;
        Self {
            study: *study,
            site: site.clone(),
            first: *first_round,
            end: checked.statement.end(),
            id: checked.id(),
            json: json::compact(checked).into(),
        }
    }

    fn covers(&self, study: StudyId, site: &SiteId, round: RoundNumber) -> bool {
        self.study == study && self.site == *site && (self.first..self.end).contains(&round)
    }
}

/// The round keys that are kept. A statement that is stored is never replaced.
#[derive(Debug, Default)]
pub(crate) struct KeptKeys(Mutex<Vec<Arc<Kept>>>);

impl KeptKeys {
    /// Those of a site for a round, published under a study.
    pub(crate) fn find(
        &self,
        study: StudyId,
        site: &SiteId,
        round: RoundNumber,
    ) -> Option<Arc<Kept>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|kept| kept.covers(study, site, round)).cloned()
    }

    /// Keeps some more, and of those before only the ones that are `wanted`: for a study, a site and
    /// a round they are needed now.
    pub(crate) fn keep(&self, new: &Arc<Kept>, wanted: &[(StudyId, SiteId, RoundNumber)]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.id != new.id);
        kept.push(new.clone());
        let is_wanted = |kept: &Arc<Kept>| {
            wanted.iter().any(|(study, site, round)| kept.covers(*study, site, *round))
        };
        kept.retain(is_wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(site: &str, first: u32, end: u32) -> Arc<Kept> {
        let (first, end) = (RoundNumber(first), RoundNumber(end));
        let id = Digest::of(format!("{site} {first}").as_bytes());
        let study = StudyId(Digest::of(b"study"));
        Arc::new(Kept { study, site: site.parse().unwrap(), first, end, id, json: Bytes::new() })
    }

    #[test]
    fn what_is_not_wanted_any_more_is_forgotten() {
        let (study, kept) = (StudyId(Digest::of(b"study")), KeptKeys::default());
        let of = |site: &str, round: u32| (study, site.parse().unwrap(), RoundNumber(round));
        let found = |site: &str, round: u32| {
            let (study, site, round) = of(site, round);
            kept.find(study, &site, round).map(|kept| kept.id)
        };
        let (a, b) = (keys("a", 0, 16), keys("b", 0, 16));
        kept.keep(&a, &[of("a", 0), of("b", 0)]);
        kept.keep(&b, &[of("a", 0), of("b", 0)]);
        kept.keep(&b, &[of("a", 0), of("b", 0)]);
        assert_eq!((found("a", 15), found("b", 0)), (Some(a.id), Some(b.id)));
        assert_eq!((found("a", 16), found("c", 0)), (None, None));
        assert!(kept.find(StudyId(Digest::of(b"other")), &a.site, RoundNumber(0)).is_none());
        assert_eq!(kept.0.lock().unwrap().len(), 2);
        // Others are not kept at all.
        kept.keep(&keys("c", 0, 16), &[of("a", 15), of("a", 16)]);
        assert_eq!((found("a", 0), found("b", 0), found("c", 0)), (Some(a.id), None, None));
        kept.keep(&keys("a", 16, 32), &[of("a", 16), of("a", 17)]);
        assert!(found("a", 15).is_none() && found("a", 16).is_some());
    }
}

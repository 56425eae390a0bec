//! Restore requests of sites and the others' answers: carried, and judged by nobody but the site that
//! asks. They are kept in memory only: whoever asks sends its request again and again, and whoever
//! answers does so whenever it runs.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{RestoreRequest, RosterEntry, Standing};

use crate::core::refusal::Refusal;
use crate::core::rounds::{LiveStudy, Made};

/// The last request of each site, each with one answer of each other site.
#[derive(Debug, Default)]
pub(crate) struct Restores(RwLock<BTreeMap<SiteId, Restore>>);

#[derive(Debug)]
struct Restore {
    request: Signed<RestoreRequest>,
    standings: BTreeMap<SiteId, Signed<Standing>>,
}

impl LiveStudy {
    /// Takes a site's restore request. A later one replaces it and its answers.
    pub(crate) fn request_restore(&self, signed: &Signed<RestoreRequest>) -> Result<Made, Refusal> {
        let RestoreRequest { study, site, nonce: _, restored_at } = &signed.statement;
        let member = self.member(*study, site)?;
        let verified = signed.verify(&member.signature_key, site);
        verified.map_err(|error| Refusal::sender(error.to_string()))?;
        let mut restores = self.restores.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = restores.get(site) {
            if known.request == *signed {
                return Ok(Made::Before);
            }
            let last = known.request.statement.restored_at;
            // Requests are public: an old one that somebody sends again must not undo a new one.
            if *restored_at <= last {
                return Err(Refusal::conflict(format!(
                    "{site} was restored at {last} by its last restore request, this one says {restored_at} (Unix seconds), expected a later time: make a new request, and set the site's clock if it is behind"
                )));
            }
        }
        let (request, standings) = (signed.clone(), BTreeMap::new());
        restores.insert(site.clone(), Restore { request, standings });
        Ok(Made::Now)
    }

    /// The last restore requests of all sites that have made one.
    pub(crate) fn restores(&self) -> Vec<Signed<RestoreRequest>> {
        let restores = self.restores.0.read().unwrap_or_else(PoisonError::into_inner);
        restores.values().map(|restore| restore.request.clone()).collect()
    }

    /// Takes a site's answer to the last restore request of another; a later answer replaces it.
    pub(crate) fn answer_restore(
        &self,
        of: &SiteId,
        signed: &Signed<Standing>,
    ) -> Result<Made, Refusal> {
        let Standing { study, request, site, round: _ } = &signed.statement;
        let member = self.member(*study, site)?;
        let verified = signed.verify(&member.signature_key, site);
        verified.map_err(|error| Refusal::sender(error.to_string()))?;
        let mut restores = self.restores.0.write().unwrap_or_else(PoisonError::into_inner);
        let restore = restores.get_mut(of).ok_or_else(|| no_request(of))?;
        let expected = restore.request.id();
        if *request != expected || site == of {
            return Err(Refusal::conflict(format!(
                "the answer of {site} is to restore request {request}, expected one by another site to the last request of {of}, {expected}; fetch that one and answer it"
            )));
        }
        let known = restore.standings.insert(site.clone(), signed.clone());
        Ok(if known.as_ref() == Some(signed) { Made::Before } else { Made::Now })
    }

    /// The answers to the last restore request of a site.
    pub(crate) fn standings(&self, of: &SiteId) -> Result<Vec<Signed<Standing>>, Refusal> {
        let restores = self.restores.0.read().unwrap_or_else(PoisonError::into_inner);
        let restore = restores.get(of).ok_or_else(|| no_request(of))?;
        Ok(restore.standings.values().cloned().collect())
    }

    fn member(&self, study: StudyId, site: &SiteId) -> Result<RosterEntry, Refusal> {
        let named = self.named(study).ok();
        named.and_then(|named| named.study.site(site).cloned()).ok_or_else(|| {
            Refusal::message(format!(
                "the statement of {site} is for another study than {}, or {site} is not on its roster",
                self.served.id
            ))
        })
    }
}

fn no_request(of: &SiteId) -> Refusal {
    Refusal::missing(format!(
        "{of} has made no restore request, or the aggregator was restarted since; it asks again while it waits"
    ))
}

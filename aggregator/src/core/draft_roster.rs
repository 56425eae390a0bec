//! Who is to sign a draft, and how far the signatures have come.

use std::collections::BTreeSet;

use ringfence_crypto::api::DraftStatus;
use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};
use ringfence_crypto::signature::PublicKey;
use ringfence_crypto::statement::{MOST_NAMED, Study};

use crate::core::drafts::GATHERED_FOR;
use crate::core::refusal::Refusal;
use crate::core::rounds::LiveStudy;
use crate::core::senders::Senders;
use crate::store::drafts::StoredDraft;

/// Who is to sign a draft.
#[derive(Debug)]
pub(crate) struct DraftRoster {
    pub(super) study: StudyId,
    name: String,
    /// In the roster's order.
    sites: Vec<(SiteId, PublicKey)>,
    /// What each site takes of the service now.
    pub(crate) senders: Senders,
}

impl DraftRoster {
    pub(super) fn of(study: &Study, id: StudyId) -> Self {
        let sites = study.roster.iter().map(|site| (site.id.clone(), site.signature_key));
        let (sites, senders) = (sites.collect(), Senders::default());
        Self { study: id, name: study.name.clone(), sites, senders }
    }

    /// The key of a site of the roster.
    ///
    /// # Errors
    /// A [`Refusal`] for anybody else.
    pub(crate) fn key(&self, site: &SiteId) -> Result<PublicKey, Refusal> {
        let found = self.sites.iter().find(|(known, _)| known == site);
        found.map(|(_, key)| *key).ok_or_else(|| {
            Refusal::sender(format!(
                "{site} is not on the roster of the draft {}, and signs this request; ask whoever made the study to put it there",
                self.study
            ))
        })
    }

    /// How far the signatures have come.
    pub(super) fn status(&self, signers: &[SiteId], until: UnixSeconds) -> DraftStatus {
        let signers: BTreeSet<&SiteId> = signers.iter().collect();
        let sites = self.sites.iter().map(|(site, _)| site);
        let (signed, missing): (Vec<&SiteId>, Vec<&SiteId>) =
            sites.partition(|site| signers.contains(site));
        DraftStatus {
            study: self.study,
            name: self.name.clone(),
            sites: count(self.sites.len()),
            signed: count(signed.len()),
            more: count(missing.len().saturating_sub(MOST_NAMED)),
            missing: missing.into_iter().take(MOST_NAMED).cloned().collect(),
            registered: false,
            until: Some(until),
        }
    }
}

/// No roster is longer than 2^32 sites.
fn count(sites: usize) -> u32 {
    u32::try_from(sites).unwrap_or(u32::MAX)
}

/// Until when a draft takes signatures.
pub(super) fn until(draft: &StoredDraft) -> UnixSeconds {
    draft.posted_at.after(GATHERED_FOR)
}

/// Of a study that is registered.
pub(super) fn registered(live: &LiveStudy) -> DraftStatus {
    let sites = count(live.served.study.roster.len());
    DraftStatus {
        study: live.served.first,
        name: live.served.study.name.clone(),
        sites,
        signed: sites,
        missing: Vec::new(),
        more: 0,
        registered: true,
        until: None,
    }
}

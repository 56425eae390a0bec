//! Which sites are there: a round does not wait until its deadline for one that has been gone for two.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ringfence_clock::Moment;
use ringfence_crypto::id::SiteId;

/// When each site of a study has asked for something last. In memory: after a start, whoever is there
/// asks again soon.
#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<BTreeMap<SiteId, Moment>>);

impl Presence {
    /// A site of the roster, and nobody else, asks for something now.
    pub(crate) fn heard(&self, site: &SiteId, now: Moment) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match heard.get_mut(site) {
            Some(last) => *last = now,
            None => _ = heard.insert(site.clone(), now),
        }
    }

    /// Whether a site has asked for anything since then.
    pub(crate) fn was_heard(&self, site: &SiteId, since: Moment) -> bool {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(site).is_some_and(|last| *last >= since)
    }
}

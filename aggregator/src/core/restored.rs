//! Restore requests of sites and the others' answers: carried, and judged by nobody but the site that
//! asks.

use std::sync::Arc;

use bytes::Bytes;
use ringfence_crypto::id::{SiteId, StudyId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{RestoreRequest, RosterEntry, Standing};
use ringfence_crypto::wire::json;
use tokio::sync::Mutex;

use crate::core::refusal::Refusal;
use crate::core::rounds::{LiveStudy, Made};

/// The restore requests as they are sent, once somebody has asked for them. Nothing is kept where
/// other aggregators use the same store: they take requests, too.
#[derive(Debug, Default)]
pub(crate) struct KeptRestores(Mutex<Option<Bytes>>);

impl LiveStudy {
    /// Takes a site's restore request. A later one replaces it and its answers.
    pub(crate) async fn request_restore(
        self: &Arc<Self>,
        signed: &Signed<RestoreRequest>,
    ) -> Result<Made, Refusal> {
        let RestoreRequest { study, site, nonce: _, restored_at } = &signed.statement;
        let member = self.member(*study, site)?;
        let verified = signed.verify(&member.signature_key, site);
        verified.map_err(|error| Refusal::sender(error.to_string()))?;
        let (study, request) = (self.clone(), signed.clone());
        // A task of its own, as for every write: the client may hang up.
        let stored = tokio::spawn(async move {
            // Held until it is stored: nobody keeps the list of before.
            let mut kept = study.kept_restores.0.lock().await;
            *kept = None;
            study.served.statements().put_restore_request(study.served.first, &request).await
        });
        if stored.await.map_err(|error| Refusal::internal(&error))?? {
            return Ok(Made::Now);
        }
        let stored = self.restore_request(site).await?;
        if stored == *signed {
            return Ok(Made::Before);
        }
        // Requests are public: an old one that somebody sends again must not undo a new one.
        let last = stored.statement.restored_at;
        Err(Refusal::conflict(format!(
            "{site} was restored at {last} by its last restore request, this one says {restored_at} (Unix seconds), expected a later time: make a new request, and set the site's clock if it is behind"
        )))
    }

    /// The last restore requests of all sites that have made one, as they are sent.
    pub(crate) async fn restores(&self) -> Result<Bytes, Refusal> {
        let mut kept = self.kept_restores.0.lock().await;
        if let Some(kept) = &*kept {
            return Ok(kept.clone());
        }
        let requests = self.served.statements().restore_requests(self.served.first).await?;
        let text = Bytes::from(json::compact(&requests));
        if self.served.shared.store.sharing.is_none() {
            *kept = Some(text.clone());
        }
        Ok(text)
    }

    /// Takes a site's answer to the last restore request of another; a later answer replaces it.
    pub(crate) async fn answer_restore(
        &self,
        of: &SiteId,
        signed: &Signed<Standing>,
    ) -> Result<Made, Refusal> {
        let Standing { study, request, site, round: _, has_signed: _ } = &signed.statement;
        let member = self.member(*study, site)?;
        let verified = signed.verify(&member.signature_key, site);
        verified.map_err(|error| Refusal::sender(error.to_string()))?;
        let expected = self.restore_request(of).await?.id();
        if *request != expected || site == of {
            return Err(Refusal::conflict(format!(
                "the answer of {site} is to restore request {request}, expected one by another site to the last request of {of}, {expected}; fetch that one and answer it"
            )));
        }
        let (statements, first) = (self.served.statements(), self.served.first);
        if statements.standings(first, of, expected).await?.contains(signed) {
            return Ok(Made::Before);
        }
        statements.put_standing(first, of, signed).await?;
        Ok(Made::Now)
    }

    /// The answers to the last restore request of a site.
    pub(crate) async fn standings(&self, of: &SiteId) -> Result<Vec<Signed<Standing>>, Refusal> {
        let request = self.restore_request(of).await?.id();
        Ok(self.served.statements().standings(self.served.first, of, request).await?)
    }

    async fn restore_request(&self, of: &SiteId) -> Result<Signed<RestoreRequest>, Refusal> {
        let requests = self.served.statements().restore_requests(self.served.first).await?;
        let mut requests = requests.into_iter();
        requests.find(|request| request.statement.site == *of).ok_or_else(|| {
            Refusal::missing(format!(
                "{of} has made no restore request; it asks again while it waits"
            ))
        })
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

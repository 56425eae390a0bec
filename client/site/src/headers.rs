//! The signed headers of a round's contributions: fetched in one list, and kept while this site runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ringfence_crypto::id::{HeaderId, RoundNumber, SiteId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Certificate, Freeze, Header, Manifest, RosterEntry};

use crate::error::{ServedError, SiteError};
use crate::site::Site;

/// Headers of one round whose signatures hold, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Headers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    round: Option<RoundNumber>,
    by_id: BTreeMap<HeaderId, Signed<Header>>,
    /// How many headers of the round's list were asked for.
    listed: usize,
}

impl Kept {
    /// What is kept of a round, and of no other from now on.
    fn of(&mut self, round: RoundNumber) -> &mut Self {
        if self.round != Some(round) {
            *self = Self { round: Some(round), ..Self::default() };
        }
        self
    }
}

impl Headers {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: HeaderId) -> Option<Signed<Header>> {
        self.kept().by_id.get(&id).cloned()
    }

    fn has(&self, id: HeaderId) -> bool {
        self.kept().by_id.contains_key(&id)
    }

    fn keep(&self, header: Signed<Header>) {
        self.kept().of(header.statement.round).by_id.insert(header.id(), header);
    }

    /// How many headers of a round's list were asked for.
    pub(crate) fn listed(&self, round: RoundNumber) -> usize {
        let kept = self.kept();
        if kept.round == Some(round) { kept.listed } else { 0 }
    }

    fn list(&self, round: RoundNumber, more: usize) {
        self.kept().of(round).listed += more;
    }
}

impl Site {
    /// The headers of a freeze's contributions, in its order, each checked.
    pub(crate) async fn frozen_headers(
        &self,
        manifest: &Manifest,
        freeze: &Freeze,
    ) -> Result<Vec<Signed<Header>>, SiteError> {
        let named: Vec<HeaderId> = freeze.contributions.iter().map(|entry| entry.header).collect();
        self.list_headers(manifest.round, &named).await;
        let mut headers = Vec::with_capacity(named.len());
        for entry in &freeze.contributions {
            headers.push(self.header(manifest, &entry.site, entry.header).await?);
        }
        Ok(headers)
    }

    /// A site's header, checked: nothing that it names is judged before. It may be another one than
    /// the `named` one where the aggregator shows another; who compares them says so.
    pub(crate) async fn header(
        &self,
        manifest: &Manifest,
        site: &SiteId,
        named: HeaderId,
    ) -> Result<Signed<Header>, SiteError> {
        let header = match self.headers.get(named) {
            Some(kept) => kept,
            None => self.at(manifest.round).header(site).await?,
        };
        Header::check(&header, &self.study, manifest, site)?;
        Ok(header)
    }

    /// The signed headers of a certified set, in its order.
    pub(crate) async fn set_headers(
        &self,
        certificate: &Certificate,
    ) -> Result<Vec<Signed<Header>>, SiteError> {
        let closing = &certificate.closing.statement;
        let named: Vec<HeaderId> = closing.included.iter().map(|entry| entry.header).collect();
        self.list_headers(closing.round, &named).await;
        let mut headers = Vec::with_capacity(named.len());
        for entry in &closing.included {
            headers.push(self.set_header(closing.round, &entry.site, entry.header).await?);
        }
        Ok(headers)
    }

    /// The signed header of a contribution in a certified set.
    pub(crate) async fn set_header(
        &self,
        round: RoundNumber,
        site: &SiteId,
        named: HeaderId,
    ) -> Result<Signed<Header>, SiteError> {
        let header = match self.headers.get(named) {
            Some(kept) => kept,
            None => self.at(round).header(site).await?,
        };
        let other = || SiteError::from(ServedError::OtherHeader { round, site: site.clone() });
        if header.id() != named {
            return Err(other());
        }
        header.verify(&self.study.site(site).ok_or_else(other)?.signature_key, site)?;
        Ok(header)
    }

    /// Fetches the list of a frozen round's headers where one of those `named` is not at hand. What
    /// cannot be had so, or has no valid signature, is asked for by itself, and judged then.
    async fn list_headers(&self, round: RoundNumber, named: &[HeaderId]) {
        // A list is no longer than the roster, whatever the aggregator says.
        while !named.iter().all(|id| self.headers.has(*id))
            && self.headers.listed(round) < self.study.roster.len()
            && self.more_headers(round).await
        {}
    }

    /// Fetches the next page of a frozen round's headers; whether there was one.
    pub(crate) async fn more_headers(&self, round: RoundNumber) -> bool {
        let page = self.at(round).headers(self.headers.listed(round)).await.unwrap_or_default();
        let listed = page.len();
        for header in page {
            let signer = self.study.site(&header.statement.site);
            let valid = |signer: &_| is_valid(&header, round, signer);
            if signer.is_some_and(valid) {
                self.headers.keep(header);
            }
        }
        self.headers.list(round, listed);
        listed > 0
    }
}

fn is_valid(header: &Signed<Header>, round: RoundNumber, signer: &RosterEntry) -> bool {
    header.statement.round == round && header.verify(&signer.signature_key, &signer.id).is_ok()
}

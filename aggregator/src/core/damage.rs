//! What is stored is checked when it is used: what was lost or altered is never served and never
//! added, and the site whose it is sends it again.

use std::sync::{Arc, PoisonError};

use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::{RoundError, Wanted};
use ringfence_crypto::statement::Header;

use crate::core::closing::Unadded;
use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::core::sum::names;
use crate::store::blobs::{Blob, Blobs, BodyCheck, EnvelopePlace};
use crate::store::terms::{RoundId, StoreError};

/// Bytes that are hashed at a time.
const CHUNK: u64 = 1 << 20;

/// Whether a stored blob of a round has this digest.
///
/// # Errors
/// [`StoreError`] when it cannot be read now; one that is lost is not intact.
pub(crate) async fn is_intact(
    blobs: &Arc<dyn Blobs>,
    round: RoundId,
    blob: &Blob,
    expected: Digest,
) -> Result<bool, StoreError> {
    let Some(extent) = blobs.extent(round, blob).await? else { return Ok(false) };
    let (mut hasher, mut offset) = (blake3::Hasher::new(), 0);
    while offset < extent.bytes {
        let end = extent.bytes.min(offset + CHUNK);
        match blobs.read(round, blob, offset..end).await {
            Ok(bytes) => hasher.update(&bytes),
            Err(StoreError::Lost(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        offset = end;
    }
    Ok(Digest::finish(&hasher) == expected)
}

impl LiveRound {
    /// Notes that bytes of these contributions are lost or altered, and removes what is left of such
    /// bodies: from now on their sites are asked for them.
    pub(crate) async fn found_damaged(self: &Arc<Self>, sites: Vec<SiteId>) -> Result<(), Refusal> {
        for site in sites {
            tracing::error!(study = %self.id.study, round = %self.id.round, %site, "stored bytes are missing or altered");
            if matches!(self.read().not_left_out(&site), Err(RoundError::LeftOut { .. })) {
                continue;
            }
            let of = site.clone();
            self.commit(move |round, now| round.damaged(&of, now)).await?;
            self.recheck_body(&site).await?;
        }
        Ok(())
    }

    /// Removes a body that is not the one that its header promises, also one that is cut short, so
    /// that it is sent again from its start.
    pub(crate) async fn recheck_body(&self, site: &SiteId) -> Result<(), Refusal> {
        let header = self.read().contribution(site)?.header.statement.clone();
        if self.served.blobs().extent(self.id, &Blob::Body(site.clone())).await?.is_none() {
            // What is on its way again is compared at its end.
            return Ok(());
        }
        match self.served.blobs().finish_body(self.id, &header, None).await {
            Ok(BodyCheck::Right | BodyCheck::Discarded { .. }) => {}
            // Not even readable.
            Err(_) => self.served.blobs().discard_body(self.id, site).await?,
        }
        Ok(())
    }

    /// Refuses for now what needs the bytes of these contributions, and says whose are wanted.
    pub(crate) fn refuse_wanted(&self, what: &str) -> Refusal {
        let wanted: Vec<Wanted> = self.read().wanted().collect();
        let until = wanted.iter().filter_map(|wanted| wanted.until).max();
        let until = until.map_or_else(String::new, |until| {
            format!(" until {until} (Unix seconds), and are left out of the closing after that")
        });
        let sites: Vec<SiteId> = wanted.into_iter().map(|wanted| wanted.site).collect();
        match sites.is_empty() {
            true => Refusal::wanted(format!(
                "{what} is missing or altered in the aggregator's store, and the round does not need it any more"
            )),
            false => Refusal::wanted(format!(
                "{what} waits for bytes that the aggregator lost or damaged: {} send header, envelopes and body of their contributions again{until}; ask again later",
                names(&sites)
            )),
        }
    }

    /// Whether a contribution's body is stored and the one that its header promises. For a range of
    /// it, one that was found so since it was written is not hashed again: what the disk altered
    /// without a write is found when the whole body is read, at the latest when it is added.
    pub(crate) async fn has_body(&self, header: &Header, ranged: bool) -> Result<bool, Refusal> {
        let blob = Blob::Body(header.site.clone());
        let stored = self.served.blobs().extent(self.id, &blob).await?;
        let known = || self.intact.lock().unwrap_or_else(PoisonError::into_inner);
        if ranged && stored.is_some() && known().get(&header.site).copied() == stored {
            return Ok(true);
        }
        let intact = self.is_intact(&blob, header.body).await?;
        match stored.filter(|_| intact) {
            Some(stored) => known().insert(header.site.clone(), stored),
            None => known().remove(&header.site),
        };
        Ok(intact)
    }

    /// Whether a stored blob has this digest.
    pub(crate) async fn is_intact(&self, blob: &Blob, expected: Digest) -> Result<bool, Refusal> {
        Ok(is_intact(self.served.blobs(), self.id, blob, expected).await?)
    }

    /// Makes sure that the stored sum is the one that the closing names.
    pub(crate) async fn checked_sum(self: &Arc<Self>, expected: Digest) -> Result<(), Refusal> {
        if self.is_intact(&Blob::Sum, expected).await? {
            return Ok(());
        }
        let _one_at_a_time = self.resuming.lock().await;
        if self.is_intact(&Blob::Sum, expected).await? {
            return Ok(());
        }
        tracing::error!(study = %self.id.study, round = %self.id.round, "the sum is missing or altered: it is made again");
        let what = format!("the sum of round {}", self.id.round);
        if self.read().wanted().next().is_some() {
            return Err(self.refuse_wanted(&what));
        }
        let included = self.closing()?.statement.included;
        let made = self.add_up(self.promised(&included)?, Some(expected)).await;
        match made {
            Ok(_) => Ok(()),
            Err(Unadded::Damaged(sites)) => {
                self.found_damaged(sites).await?;
                Err(self.refuse_wanted(&what))
            }
            Err(Unadded::Refused(refusal)) => Err(refusal),
        }
    }

    /// One envelope of each of several contributions, by these headers, each if it is stored and the one
    /// that its header promises.
    pub(crate) async fn checked_envelopes(
        &self,
        headers: &[Header],
        index: usize,
    ) -> Result<Vec<Option<Vec<u8>>>, Refusal> {
        let count = headers.first().map_or(0, |header| header.envelopes.len());
        let sites = headers.iter().map(|header| header.site.clone()).collect();
        let place = EnvelopePlace { index, count };
        let found = self.served.blobs().envelopes(self.id, sites, place).await?;
        let checked = |(header, found): (&Header, Option<Vec<u8>>)| {
            found.filter(|found| header.envelopes.get(index) == Some(&Digest::of(found)))
        };
        Ok(headers.iter().zip(found).map(checked).collect())
    }

    /// One envelope of a contribution, if it is stored and the one that the header promises.
    pub(crate) async fn checked_envelope(
        &self,
        header: &Header,
        index: usize,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let found = self.checked_envelopes(std::slice::from_ref(header), index).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// Whether all envelopes of a contribution are stored and the ones that its header promises.
    pub(crate) async fn has_envelopes(&self, header: &Header) -> Result<bool, Refusal> {
        for index in 0..header.envelopes.len() {
            if self.checked_envelope(header, index).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

//! A round that several aggregators add up together: each leases range after range of the sum, and
//! whoever adds the last one joins them.
//!
//! A range's sum is a function of the closed set, so nothing goes wrong where one is added twice. What
//! counts is what stands under the last lease of its job: who is late is told so, and writes nothing.

use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::hash_ranges::HashRanges;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::ClosedSet;
use ringfence_crypto::wire::frame;
use tokio::runtime::Handle;

use crate::core::closing::Unadded;
use crate::core::damage::is_intact;
use crate::core::lease::Lease;
use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::core::shared::blocking;
use crate::core::sum::{Addition, Promised, RangeHashes, Sum, SumError};
use crate::store::blobs::Blob;
use crate::store::sharing::{AddedRange, Sharing, Task, Work};
use crate::store::terms::{RoundId, StoreError};

/// What this aggregator does of a round's sum.
struct Together {
    live: Arc<LiveRound>,
    sharing: Arc<dyn Sharing>,
    addition: Addition,
    ranges: HashRanges,
    work: Work,
    closed: ClosedSet,
    bodies: Vec<Promised>,
}

impl LiveRound {
    /// Adds up what nobody else adds up of a set. The sum, if all ranges are added and this one has
    /// joined them; nothing while others are at it, or where it is not the set to close with any more.
    pub(crate) async fn add_up_together(
        self: &Arc<Self>,
        sharing: &Arc<dyn Sharing>,
        closed: &ClosedSet,
    ) -> Result<Option<Sum>, Unadded> {
        // Others may have closed it, or be about to close it with another set.
        self.catch_up().await?;
        if !self.closes_with(closed) {
            return Ok(None);
        }
        let addition = self.addition();
        let ranges = addition.ranges().map_err(Refusal::from)?;
        let bodies = self.promised(closed.included())?;
        let work = Work { round: self.id, set: named(&bodies, ranges) };
        sharing.divide(work, ranges.count()).await.map_err(Refusal::from)?;
        let (live, sharing, closed) = (self.clone(), sharing.clone(), closed.clone());
        let together = Together { live, sharing, addition, ranges, work, closed, bodies };
        let shared = &self.served.shared;
        let place = shared.sums.clone().acquire_owned().await;
        let place = place.map_err(|error| Refusal::internal(&error))?;
        let (runtime, began) = (Handle::current(), shared.clock.moment());
        // Adding and hashing keep a processor busy: off the threads that serve requests.
        let work = move || {
            // Kept for as long as the thread, even if nobody waits for the sum any more.
            let _place = place;
            runtime.block_on(together.work())
        };
        let sum = blocking(work).await??;
        if sum.is_some() {
            shared.metrics.summed(shared.clock.moment().since(began));
        }
        Ok(sum)
    }

    /// Whether this is still the set to close with.
    fn closes_with(&self, set: &ClosedSet) -> bool {
        let absent = self.absent();
        let round = self.read();
        round.closing().is_none()
            && round.closed_set_without(&absent, self.now()).as_ref() == Some(set)
    }

    /// Removes what was laid down to add up a round that is closed.
    pub(crate) async fn forget_jobs(&self) {
        let Some(sharing) = &self.served.shared.store.sharing else { return };
        if let Err(error) = sharing.forget(self.id).await {
            tracing::warn!(%error, study = %self.id.study, round = %self.id.round, "what a sum was made of is not removed");
        }
    }
}

/// Names a set and how its sum is divided.
pub(crate) fn named(bodies: &[Promised], ranges: HashRanges) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&ranges.count().to_le_bytes());
    hasher.update(&ranges.bytes(0).end.to_le_bytes());
    for Promised { site, digest } in bodies {
        hasher.update(&(site.as_str().len() as u64).to_le_bytes());
        hasher.update(site.as_str().as_bytes());
        hasher.update(&digest.0);
    }
    Digest::finish(&hasher)
}

impl Together {
    /// Does job after job.
    async fn work(&self) -> Result<Option<Sum>, Unadded> {
        let shared = &self.live.served.shared;
        while !*shared.stopping.borrow() && self.live.closes_with(&self.closed) {
            let lease = Lease::next(&self.sharing, self.work, &shared.clock).await;
            let Some(mut lease) = lease.map_err(Refusal::from)? else { return Ok(None) };
            let done = match lease.job.task {
                Task::Add(index) => self.add(index, &mut lease).await,
                Task::Join => match self.join(&mut lease).await {
                    Ok(sum) => return Ok(sum),
                    Err(error) => Err(error),
                },
            };
            match done {
                Ok(()) => {}
                // It is another one's: there may be more to do.
                Err(SumError::Outrun) => {
                    tracing::debug!(task = ?lease.job.task, "another aggregator has the job");
                }
                Err(error) => {
                    lease.release().await;
                    return Err(match error {
                        SumError::Damaged(sites) => Unadded::Damaged(sites),
                        error => Refusal::from(error).into(),
                    });
                }
            }
        }
        Ok(None)
    }

    async fn add(&self, index: u64, lease: &mut Lease) -> Result<(), SumError> {
        let range = (self.ranges, index);
        let (sum, hashes) = self.addition.add_range(&self.bodies, range, lease).await?;
        let hashes = frame::encode(&hashes).map_err(|error| StoreError::Failed(error.into()))?;
        match self.sharing.put_range(self.work, lease.job, sum, hashes).await? {
            true => {
                self.live.served.shared.metrics.range_added();
                Ok(())
            }
            false => Err(SumError::Outrun),
        }
    }

    /// Compares what all ranges hash to with the signed headers, and joins the ranges to the sum.
    async fn join(&self, lease: &mut Lease) -> Result<Option<Sum>, SumError> {
        let Some(added) = self.sharing.added(self.work).await? else { return Ok(None) };
        let decoded = added.iter().map(|range| frame::decode(&range.hashes, "hashes of a range"));
        let Ok(hashes) = decoded.collect::<Result<Vec<RangeHashes>, _>>() else {
            return self.begin_anew("what a range hashes to cannot be read").await;
        };
        let sum = match Sum::of(self.ranges, &self.bodies, &hashes) {
            Ok(sum) => sum,
            Err(SumError::Damaged(sites)) => return self.look_again(sites).await,
            Err(error) => return Err(error),
        };
        let mut writer = self.addition.blobs.write_sum(self.work.round).await?;
        let mut hasher = blake3::Hasher::new();
        for AddedRange { token, .. } in added {
            let bytes = match self.sharing.range(self.work, token).await {
                Err(StoreError::Lost(_)) => return self.begin_anew("a range is lost").await,
                read => read?,
            };
            hasher.update(&bytes);
            lease.keep().await?;
            writer.write(bytes).await?;
            lease.keep().await?;
        }
        if Digest::finish(&hasher) != sum.digest() {
            return self.begin_anew("a range is not what was added").await;
        }
        lease.renew().await?;
        writer.finish().await?;
        Ok(Some(sum))
    }

    /// Whether bodies are damaged that were not what their headers say when they were added. They may
    /// have been sent again since.
    async fn look_again(&self, sites: Vec<SiteId>) -> Result<Option<Sum>, SumError> {
        let mut damaged = Vec::new();
        for body in self.bodies.iter().filter(|body| sites.contains(&body.site)) {
            let blob = Blob::Body(body.site.clone());
            let blobs = &self.addition.blobs;
            let extent = blobs.extent(self.work.round, &blob).await?;
            let is_whole = extent.is_some_and(|stored| stored.bytes == self.addition.body_bytes);
            if !is_whole || !is_intact(blobs, self.work.round, &blob, body.digest).await? {
                damaged.push(body.site.clone());
            }
        }
        self.begin_anew("bodies were not what their headers say").await?;
        match damaged.is_empty() {
            true => Ok(None),
            false => Err(SumError::Damaged(damaged)),
        }
    }

    /// Removes what was added: the next step begins anew.
    async fn begin_anew(&self, reason: &str) -> Result<Option<Sum>, SumError> {
        let RoundId { study, round } = self.work.round;
        tracing::error!(%study, %round, reason, "the sum is begun anew");
        self.sharing.forget(self.work.round).await?;
        Ok(None)
    }
}

//! What this server can see of a study: all that it stores of it, counted, and the bytes of a body.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringfence_clock::Moment;
use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::round::Round;
use tokio::sync::Mutex;

use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::core::rounds::LiveStudy;
use crate::store::blobs::Blob;
use crate::store::held::{Counted, Held};

/// Bytes of a body that are looked at: 256 of each value on average, and a picture of 256 by 256.
pub(crate) const SAMPLE: u64 = 64 << 10;

/// How long a count is shown again at least, and so many times as long as it took: whoever asks again
/// and again keeps the store no busier.
const COUNTED: Duration = Duration::from_secs(30);
const TIMES: u32 = 20;

/// Rounds that are looked through for a body, from the last one on.
const LOOKED_THROUGH: u32 = 3;

/// All that is stored of a study.
#[derive(Debug)]
pub(crate) struct Inventory {
    /// When it was counted.
    pub(crate) counted_at: UnixSeconds,
    /// How long that took.
    pub(crate) took: Duration,
    /// In the database, and beside it.
    pub(crate) stored: [Counted; 2],
    /// Leaves and bytes of the mark, which lies apart from both.
    pub(crate) marked: (u64, u64),
}

impl Inventory {
    /// Of every kind of which there is something.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Held> {
        self.stored.iter().flat_map(|counted| &counted.held)
    }

    /// Whether there are more files than were counted.
    pub(crate) fn more(&self) -> bool {
        self.stored.iter().any(|counted| counted.more)
    }
}

/// The last count of a study, and until when it is shown again.
#[derive(Debug, Default)]
pub(crate) struct LastCount(Mutex<Option<(Moment, Arc<Inventory>)>>);

/// The beginning of a stored body.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Of which round.
    pub(crate) round: RoundNumber,
    /// Of which site.
    pub(crate) site: SiteId,
    /// How long the body is.
    pub(crate) body_bytes: u64,
    /// [`SAMPLE`] bytes from its beginning, or all of it.
    pub(crate) bytes: Bytes,
}

impl LiveStudy {
    /// All that is stored of the study, counted now or a moment ago.
    ///
    /// # Errors
    /// A [`Refusal`] when the store cannot be read.
    pub(crate) async fn inventory(&self) -> Result<Arc<Inventory>, Refusal> {
        let (served, clock) = (&self.served, &self.served.shared.clock);
        // Held while it is counted: others wait and are shown the same.
        let mut last = self.last_count.0.lock().await;
        let began = clock.moment();
        if let Some((until, inventory)) = &*last
            && began < *until
        {
            return Ok(inventory.clone());
        }
        let rows = served.statements().held(served.first).await?;
        let files = served.blobs().held(served.first).await?;
        let took = clock.moment().since(began);
        let inventory = Arc::new(Inventory {
            counted_at: clock.now(),
            took,
            stored: [rows, files],
            marked: served.log.marked(),
        });
        let until = clock.moment().after(took.saturating_mul(TIMES).max(COUNTED));
        *last = Some((until, inventory.clone()));
        Ok(inventory)
    }

    /// The beginning of a body that is stored, of the last round that has one; nothing where the last
    /// few have none.
    ///
    /// # Errors
    /// A [`Refusal`] when the store cannot be read.
    pub(crate) async fn a_body(&self) -> Result<Option<Sample>, Refusal> {
        let rounds = u32::try_from(self.latest().0).unwrap_or(u32::MAX);
        for number in (rounds.saturating_sub(LOOKED_THROUGH)..rounds).rev() {
            let round = self.round(RoundNumber(number)).await?;
            let first = first_received(&round.read());
            let Some(site) = first else { continue };
            if let Some(sample) = round.sample(&site).await? {
                return Ok(Some(sample));
            }
        }
        Ok(None)
    }
}

fn first_received(round: &Round) -> Option<SiteId> {
    let wanted: Vec<SiteId> = round.wanted().map(|wanted| wanted.site).collect();
    let mut received = round.received().map(|(site, _)| site);
    received.find(|site| !wanted.contains(site)).cloned()
}

impl LiveRound {
    /// The beginning of a site's body; nothing where none is stored.
    ///
    /// # Errors
    /// A [`Refusal`] when the store cannot be read.
    pub(crate) async fn sample(&self, site: &SiteId) -> Result<Option<Sample>, Refusal> {
        let (blobs, blob) = (self.served.blobs(), Blob::Body(site.clone()));
        let Some(stored) = blobs.extent(self.id, &blob).await? else { return Ok(None) };
        let bytes = blobs.read(self.id, &blob, 0..stored.bytes.min(SAMPLE)).await?;
        let (round, site, body_bytes) = (self.id.round, site.clone(), stored.bytes);
        Ok(Some(Sample { round, site, body_bytes, bytes }))
    }
}

//! Live rounds: the round machine of `ringfence-crypto` with a lock and a store.
//!
//! A message is decided, made durable and applied under one lock a round, in that order, so that
//! memory never says what the store does not.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use ringfence_crypto::id::{SiteId, UnixSeconds};
use ringfence_crypto::round::{Event, Round, RoundError, RoundStatus, Verdict};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Acknowledgement, Endorsement, Manifest, Previous, Review};
use tokio::sync::watch;

use crate::core::refusal::Refusal;
use crate::core::round_time::RoundTime;
use crate::core::study::ServedStudy;
use crate::store::statements::NextEvent;
use crate::store::terms::RoundId;

/// What only the holder of a round's lock may change.
#[derive(Debug)]
struct Writer {
    /// The next event's sequence number.
    sequence: u64,
    /// A write failed without saying whether it happened: what is stored counts.
    stale: bool,
}

/// One round: its machine and its lock.
#[derive(Debug)]
pub(crate) struct LiveRound {
    /// The study that it belongs to.
    pub(crate) served: ServedStudy,
    /// What the store calls it.
    pub(crate) id: RoundId,
    manifest: Signed<Manifest>,
    previous: Option<Previous>,
    round: RwLock<Round>,
    time: RoundTime,
    writer: tokio::sync::Mutex<Writer>,
    version: watch::Sender<u64>,
    uploading: Mutex<BTreeSet<SiteId>>,
}

impl LiveRound {
    /// Checks a manifest and replays the events that its round has seen.
    pub(crate) async fn load(
        served: &ServedStudy,
        manifest: Signed<Manifest>,
        previous: Option<Previous>,
    ) -> Result<Arc<Self>, Refusal> {
        let fresh =
            Round::open(served.study.clone(), served.id, manifest.clone(), previous.as_ref())?;
        let id = RoundId { study: served.id, round: fresh.number() };
        let (round, sequence) = replay(served, id, fresh).await?;
        served.blobs().begin(id).await?;
        Ok(Arc::new(Self {
            served: served.clone(),
            id,
            manifest,
            previous,
            time: RoundTime::begin(served.shared.clock.clone(), &round),
            round: RwLock::new(round),
            writer: tokio::sync::Mutex::new(Writer { sequence, stale: false }),
            version: watch::Sender::new(sequence),
            uploading: Mutex::default(),
        }))
    }

    /// The round as it stands. Never hold the guard across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Round> {
        // A poisoned lock would mean a panic in `apply`, which only moves values into maps.
        self.round.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time in this round.
    pub(crate) fn now(&self) -> UnixSeconds {
        self.time.now()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Round> {
        self.round.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The round at a glance.
    pub(crate) fn status(&self) -> RoundStatus {
        self.read().status()
    }

    /// The number of events so far, as it changes.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Waits for more events than `seen`, for at most so long, and not when the service ends.
    pub(crate) async fn news(&self, seen: u64, wait: Duration) {
        let mut versions = self.versions();
        let mut stopping = self.served.shared.stopping.clone();
        tokio::select! {
            _ = versions.wait_for(|version| *version > seen) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
            () = self.served.shared.clock.sleep(wait) => {}
        }
    }

    /// The signed manifest.
    pub(crate) fn manifest(&self) -> &Signed<Manifest> {
        &self.manifest
    }

    /// Takes a holder's review of the envelopes sealed to it.
    pub(crate) async fn review(
        self: &Arc<Self>,
        review: Signed<Review>,
    ) -> Result<RoundStatus, Refusal> {
        self.commit(move |round, _| round.review(&review)).await
    }

    /// Takes a holder's endorsement of the closing.
    pub(crate) async fn endorse(
        self: &Arc<Self>,
        endorsement: Signed<Endorsement>,
    ) -> Result<RoundStatus, Refusal> {
        self.commit(move |round, _| round.endorse(&endorsement)).await
    }

    /// Takes a site's word of what became of the mean.
    pub(crate) async fn acknowledge(
        self: &Arc<Self>,
        acknowledgement: Signed<Acknowledgement>,
    ) -> Result<RoundStatus, Refusal> {
        self.commit(move |round, _| round.acknowledge(&acknowledgement)).await
    }

    /// Decides, persists and applies, in that order and under the locks of the round and of the
    /// study's log; answers with the status then. `decide` runs under the locks too, so that the
    /// time that it is given is the one of the decision, and a checkpoint that it reads the one that
    /// the event follows.
    pub(crate) async fn commit<F>(self: &Arc<Self>, decide: F) -> Result<RoundStatus, Refusal>
    where
        F: FnOnce(&Round, UnixSeconds) -> Result<Verdict, RoundError> + Send + 'static,
    {
        let live = self.clone();
        // A task of its own: a request whose client hangs up is dropped at an await, and that
        // must not happen between the row and the memory.
        let commit = tokio::spawn(async move { live.decide_and_store(decide).await });
        commit.await.map_err(|error| Refusal::internal(&error))??;
        Ok(self.status())
    }

    async fn decide_and_store<F>(&self, decide: F) -> Result<(), Refusal>
    where
        F: FnOnce(&Round, UnixSeconds) -> Result<Verdict, RoundError>,
    {
        let mut writer = self.writer.lock().await;
        if writer.stale {
            self.reload(&mut writer).await?;
        }
        let mut log = self.served.log.writer().await?;
        let verdict = decide(&self.read(), self.now())?;
        let Verdict::Fresh(event) = verdict else { return Ok(()) };
        let sequence = writer.sequence;
        let entry = event.entry();
        let next = NextEvent { sequence, event: &event, leaf: entry.map(|_| log.reserve()) };
        if let Err(error) = self.served.statements().append(self.id, next).await {
            writer.stale = true;
            return Err(error.into());
        }
        if let Some(entry) = entry {
            log.appended(entry);
        }
        tracing::info!(
            study = %self.id.study.short(),
            round = %self.id.round,
            sequence,
            event = name(&event),
            "event"
        );
        self.write().apply(event);
        writer.sequence += 1;
        self.version.send_replace(writer.sequence);
        Ok(())
    }

    /// Takes the round from the store again after a write whose outcome is unknown.
    async fn reload(&self, writer: &mut Writer) -> Result<(), Refusal> {
        let (study, manifest) = (self.served.study.clone(), self.manifest.clone());
        let fresh = Round::open(study, self.served.id, manifest, self.previous.as_ref())?;
        let (round, sequence) = replay(&self.served, self.id, fresh).await?;
        *self.write() = round;
        *writer = Writer { sequence, stale: false };
        self.version.send_replace(sequence);
        Ok(())
    }

    /// Takes the one place for an upload of a site, or `None` while another one has it.
    pub(crate) fn begin_upload(self: &Arc<Self>, site: &SiteId) -> Option<UploadPlace> {
        self.uploads()
            .insert(site.clone())
            .then(|| UploadPlace { live: self.clone(), site: site.clone() })
    }

    fn uploads(&self) -> MutexGuard<'_, BTreeSet<SiteId>> {
        self.uploading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one upload that a site may have in a round at a time; dropping it makes room.
#[derive(Debug)]
pub(crate) struct UploadPlace {
    live: Arc<LiveRound>,
    site: SiteId,
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        self.live.uploads().remove(&self.site);
    }
}

/// Applies a round's stored events to it; answers with the next sequence number, too.
async fn replay(
    served: &ServedStudy,
    id: RoundId,
    mut round: Round,
) -> Result<(Round, u64), Refusal> {
    let events = served.statements().events(id).await?;
    let sequence = events.len() as u64;
    events.into_iter().for_each(|event| round.apply(event));
    Ok((round, sequence))
}

/// An event's kind for the log; never its contents.
fn name(event: &Event) -> &'static str {
    match event {
        Event::Announced(_) => "announced",
        Event::Received(_) => "received",
        Event::Frozen { .. } => "frozen",
        Event::Reviewed(_) => "reviewed",
        Event::Closed(_) => "closed",
        Event::Endorsed(_) => "endorsed",
        Event::Opened(_) => "opened",
        Event::Acknowledged(_) => "acknowledged",
    }
}

//! Live rounds: the round machine of `ringfence-crypto` with a lock and a store.
//!
//! Messages are decided, made durable and applied under one lock a round, in that order, so that
//! memory never says what the store does not: see [`commit`](crate::core::commit).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use ringfence_crypto::id::{SiteId, UnixSeconds};
use ringfence_crypto::round::{Event, ReplayError, Round, RoundStatus};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Acknowledgement, DisputeEndorsement, Endorsement, Manifest, Previous, Review,
    VerdictEndorsement,
};
use ringfence_crypto::wire::json;
use tokio::sync::watch;

use crate::core::commit::Wishes;
use crate::core::contribution::HeaderList;
use crate::core::news::News;
use crate::core::refusal::{Kind, Refusal};
use crate::core::round_time::RoundTime;
use crate::core::round_view::RoundView;
use crate::core::shared::Shared;
use crate::core::study::ServedStudy;
use crate::core::texts::Texts;
use crate::core::uploading::Uploads;
use crate::store::blobs::Extent;
use crate::store::statements::NextEvent;
use crate::store::terms::{RoundId, StoreError};

/// What only the holder of a round's lock may change.
#[derive(Debug)]
pub(super) struct Writer {
    /// The next event's sequence number.
    pub(super) sequence: u64,
    /// A write failed without saying whether it happened: what is stored counts.
    pub(super) stale: bool,
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
    pub(super) writer: tokio::sync::Mutex<Writer>,
    /// What waits to be decided.
    pub(super) wishes: Wishes,
    pub(super) news: News,
    /// The status as it is sent, and the version that it is of.
    sent: Mutex<Option<(u64, Bytes)>>,
    /// The round as the dashboard shows it, and the version that it is of.
    pub(super) viewed: Mutex<Option<(u64, Arc<RoundView>)>>,
    /// What else is sent to each site.
    pub(crate) texts: Texts,
    /// The uploads that run.
    pub(crate) uploads: Uploads,
    /// Sites that contributed to neither of the two rounds before, once that is known.
    missed: OnceLock<BTreeSet<SiteId>>,
    /// Those of them that another aggregator has heard of since the round was opened, or was told of.
    elsewhere: Mutex<BTreeSet<SiteId>>,
    /// Held by whoever makes a lost sum again.
    pub(crate) resuming: tokio::sync::Mutex<()>,
    /// Why the round is not closed any more by itself.
    halted: Mutex<Option<String>>,
    /// JSON of the frozen headers, once somebody has asked for them.
    pub(crate) header_texts: OnceLock<HeaderList>,
    /// The bodies that were found intact, each as it was stored then: one entry a site at most.
    pub(crate) intact: Mutex<BTreeMap<SiteId, Extent>>,
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
        let id = RoundId { study: served.first, round: fresh.number() };
        let (round, sequence) = replay(served, id, fresh).await?;
        served.blobs().begin(id).await?;
        let live = Self::new(served, id, (manifest, previous), (round, sequence));
        // A crash may have come between the note of a damage and the removal of what is damaged.
        let wanted: Vec<SiteId> = live.read().wanted().map(|wanted| wanted.site).collect();
        for site in wanted {
            live.recheck_body(&site).await?;
        }
        Ok(Arc::new(live))
    }

    fn new(
        served: &ServedStudy,
        id: RoundId,
        (manifest, previous): (Signed<Manifest>, Option<Previous>),
        (round, sequence): (Round, u64),
    ) -> Self {
        Self {
            served: served.clone(),
            id,
            manifest,
            previous,
            time: RoundTime::begin(served.shared.clock.clone(), &round),
            round: RwLock::new(round),
            writer: tokio::sync::Mutex::new(Writer { sequence, stale: false }),
            wishes: Wishes::default(),
            news: News::new(served.study.roster.len(), sequence),
            sent: Mutex::default(),
            viewed: Mutex::default(),
            texts: Texts::default(),
            uploads: Uploads::default(),
            missed: OnceLock::new(),
            elsewhere: Mutex::default(),
            resuming: tokio::sync::Mutex::default(),
            halted: Mutex::default(),
            header_texts: OnceLock::new(),
            intact: Mutex::default(),
        }
    }

    /// Why the round is not closed any more by itself, if so.
    pub(crate) fn halted(&self) -> Option<String> {
        self.halted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says why the round is not closed any more by itself, or that it is again.
    pub(crate) fn halt(&self, reason: Option<String>) {
        *self.halted.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// The round as it stands. Never hold the guard across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Round> {
        // A poisoned lock would mean a panic in `apply`, which only moves values into maps.
        self.round.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which sites contributed to neither of the two rounds before.
    pub(crate) fn missed(&self, sites: BTreeSet<SiteId>) {
        // Once: it stays as it was when the round was opened.
        let _ = self.missed.set(sites);
    }

    /// The sites that missed the two rounds before, and have asked for nothing since this one began.
    pub(crate) fn absent(&self) -> BTreeSet<SiteId> {
        let elsewhere = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = self.missed.get().into_iter().flatten();
        missed.filter(|site| !self.is_here(site) && !elsewhere.contains(site)).cloned().collect()
    }

    /// Whether a site has asked for something here since the round began.
    fn is_here(&self, site: &SiteId) -> bool {
        self.served.presence.was_heard(site, self.time.began().1)
    }

    /// Tells other aggregators which of the sites that missed two rounds are heard of here, and hears
    /// from them of the others: whoever asks one of them for something is there for all.
    pub(crate) async fn share_presence(&self) -> Result<(), Refusal> {
        let Some(sharing) = &self.served.shared.store.sharing else { return Ok(()) };
        let (now, asked): (Vec<SiteId>, Vec<SiteId>) = {
            let told = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
            let untold = self.missed.get().into_iter().flatten();
            let untold = untold.filter(|site| !told.contains(*site)).cloned();
            untold.partition(|site| self.is_here(site))
        };
        if now.is_empty() && asked.is_empty() {
            return Ok(());
        }
        let heard = sharing.heard(self.id, &now, &asked).await?;
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).extend(heard);
        Ok(())
    }

    /// Since when the sites could contribute.
    pub(crate) fn since(&self) -> UnixSeconds {
        self.time.began().0
    }

    /// The time in this round.
    pub(crate) fn now(&self) -> UnixSeconds {
        self.time.now()
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Round> {
        self.round.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The round at a glance.
    pub(crate) fn status(&self) -> RoundStatus {
        self.read().status()
    }

    /// The round at a glance, as JSON: made once, however many ask.
    pub(crate) fn status_json(&self) -> Bytes {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let status = self.read();
        match &*sent {
            Some((version, bytes)) if *version == status.version() => bytes.clone(),
            _ => {
                let bytes = Bytes::from(json::compact(&status.status()));
                *sent = Some((status.version(), bytes.clone()));
                bytes
            }
        }
    }

    /// The number of events so far, as it changes.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.news.versions()
    }

    /// Waits for news after `seen` events, for at most so long, and not when the service ends.
    pub(crate) async fn news(&self, seen: u64, wait: Duration) {
        let Shared { clock, stopping, .. } = &self.served.shared;
        let mut stopping = stopping.clone();
        tokio::select! {
            () = self.news.wait(clock, seen, wait) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    /// The signed manifest.
    pub(crate) fn manifest(&self) -> &Signed<Manifest> {
        &self.manifest
    }

    /// Takes a holder's review of the shares that were dealt to it, before the closing or after it.
    pub(crate) async fn review(self: &Arc<Self>, review: Signed<Review>) -> Result<(), Refusal> {
        self.commit_among(move |round, _| round.review(&review)).await
    }

    /// Takes a holder's endorsement of the closing.
    pub(crate) async fn endorse(
        self: &Arc<Self>,
        endorsement: Signed<Endorsement>,
    ) -> Result<(), Refusal> {
        self.commit_among(move |round, _| round.endorse(&endorsement)).await
    }

    /// Takes a holder's endorsement of a dispute.
    pub(crate) async fn dispute(
        self: &Arc<Self>,
        endorsement: Signed<DisputeEndorsement>,
    ) -> Result<(), Refusal> {
        self.commit_among(move |round, _| round.dispute(&endorsement)).await
    }

    /// Takes a holder's endorsement of a verdict.
    pub(crate) async fn judge(
        self: &Arc<Self>,
        endorsement: Signed<VerdictEndorsement>,
    ) -> Result<(), Refusal> {
        self.commit_among(move |round, _| round.judge(&endorsement)).await
    }

    /// Takes a site's word of what became of the mean.
    pub(crate) async fn acknowledge(
        self: &Arc<Self>,
        acknowledgement: Signed<Acknowledgement>,
    ) -> Result<(), Refusal> {
        self.commit_among(move |round, _| round.acknowledge(&acknowledgement)).await
    }

    /// Takes over what others have stored of the round.
    pub(crate) async fn catch_up(&self) -> Result<(), Refusal> {
        let mut writer = self.writer.lock().await;
        match writer.stale {
            true => {
                self.served.log.read_on().await?;
                self.reload(&mut writer).await
            }
            false => self.read_on(&mut writer).await,
        }
    }

    pub(super) async fn read_on(&self, writer: &mut Writer) -> Result<(), Refusal> {
        let events = self.served.statements().events_from(self.id, writer.sequence).await?;
        if events.is_empty() {
            return Ok(());
        }
        // After the events: it has at least the leaves that they speak of.
        self.served.log.read_on().await?;
        let before = self.read().step();
        for event in events {
            let stored = self.read().check_stored(&event, &self.served.log.read());
            stored.map_err(|error| altered(self.id, writer.sequence, &event, &error))?;
            self.write().apply(event);
            writer.sequence += 1;
        }
        self.news.tell(writer.sequence, before != self.read().step());
        Ok(())
    }

    /// Takes back what the database lost: a statement whose leaf is the next one of the mark, and
    /// before it the notes without which it could not have come.
    pub(crate) async fn take_back(&self, event: Event) -> Result<(), Refusal> {
        let mut writer = self.writer.lock().await;
        let log = self.served.log.recovering_writer().await?;
        if writer.stale {
            self.reload(&mut writer).await?;
        }
        let mut round = self.read().clone();
        let mut notes = Vec::new();
        for note in round.notes_before(&event) {
            round.check_stored(&note, &log.log()).map_err(|error| unproven(&error))?;
            round.apply(note.clone());
            notes.push(note);
        }
        round.check_stored(&event, &log.log()).map_err(|error| unproven(&error))?;
        for note in notes {
            let next = NextEvent { sequence: writer.sequence, event: &note, leaf: None };
            if let Err(error) = self.served.statements().append(self.id, &[next], &[]).await {
                writer.stale = true;
                return Err(error.into());
            }
            self.write().apply(note);
            writer.sequence += 1;
        }
        match self.store(&mut writer, log, vec![event], &[]).await? {
            true => Ok(()),
            false => Err(StoreError::Taken("another one takes it back".into()).into()),
        }
    }

    /// Takes the round from the store again after a write whose outcome is unknown.
    pub(super) async fn reload(&self, writer: &mut Writer) -> Result<(), Refusal> {
        let (study, manifest) = (self.served.study.clone(), self.manifest.clone());
        let fresh = Round::open(study, self.served.id, manifest, self.previous.as_ref())?;
        let (round, sequence) = replay(&self.served, self.id, fresh).await?;
        *self.write() = round;
        *writer = Writer { sequence, stale: false };
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.viewed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.texts.forget();
        self.news.tell(sequence, true);
        Ok(())
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
    for (sequence, event) in events.into_iter().enumerate() {
        let stored = round.check_stored(&event, &served.log.read());
        stored.map_err(|error| altered(id, sequence as u64, &event, &error))?;
        round.apply(event);
    }
    Ok((round, sequence))
}

fn altered(id: RoundId, sequence: u64, event: &Event, error: &ReplayError) -> Refusal {
    let RoundId { study, round } = id;
    let kind = event.name();
    let detail = format!(
        "event {sequence} of round {round} of study {study} ({kind}) is not what was stored: {error}; the database was altered, bring it back from a backup"
    );
    Refusal::new(Kind::Altered, detail)
}

/// A statement that came back is not what it should be.
fn unproven(error: &ReplayError) -> Refusal {
    Refusal::message(format!("the statement cannot be taken back: {error}"))
}

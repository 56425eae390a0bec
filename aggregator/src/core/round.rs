//! Live rounds: the round machine of `ringfence-crypto` with a lock, a database and files.
//!
//! A message is decided, made durable and applied under one lock a round, in that order, so that
//! memory never says what the disk does not.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use ringfence_crypto::Digest;
use ringfence_crypto::round::{Event, Round, RoundError, Verdict};
use ringfence_crypto::statement::{Manifest, Previous, Receipt, Signed, SiteId, Study};
use tokio::sync::watch;

use crate::blocking;
use crate::files::RoundFiles;
use crate::identity::Identity;
use crate::log::LiveLog;
use crate::problem::Refusal;
use crate::store::{Store, StoreError};

/// The server's clock, Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A study and its rounds so far.
#[derive(Debug)]
pub(crate) struct LiveStudy {
    pub(crate) study: Arc<Study>,
    pub(crate) digest: Digest,
    pub(crate) log: Arc<LiveLog>,
    /// Round `r` at index `r`: numbers rise by one.
    pub(crate) rounds: RwLock<Vec<Arc<LiveRound>>>,
    /// One manifest at a time.
    pub(crate) opening: tokio::sync::Mutex<()>,
}

impl LiveStudy {
    /// A study whose rounds are still to be added.
    pub(crate) fn new(study: Study, digest: Digest, log: LiveLog) -> Self {
        let (rounds, opening) = (RwLock::default(), tokio::sync::Mutex::default());
        Self { study: Arc::new(study), digest, log: Arc::new(log), rounds, opening }
    }

    /// One round.
    pub(crate) fn round(&self, number: u32) -> Result<Arc<LiveRound>, Refusal> {
        let rounds = self.rounds.read().unwrap_or_else(PoisonError::into_inner);
        let missing = || {
            Refusal::missing(format!(
                "study {} has no round {number}; {} opened so far",
                self.digest,
                rounds.len()
            ))
        };
        rounds.get(number as usize).cloned().ok_or_else(missing)
    }

    /// How many rounds there are, and the last one.
    pub(crate) fn latest(&self) -> (usize, Option<Arc<LiveRound>>) {
        let rounds = self.rounds.read().unwrap_or_else(PoisonError::into_inner);
        (rounds.len(), rounds.last().cloned())
    }

    /// How the round before `number` ended, as far as a manifest for `number` is concerned.
    ///
    /// Ahead of the rounds that there are, the last that *could* have a successor counts, so that
    /// the refusal names the number that is expected.
    pub(crate) fn before(&self, number: u32) -> Option<Previous> {
        let rounds = self.rounds.read().unwrap_or_else(PoisonError::into_inner);
        let until = rounds.len().min(number as usize);
        rounds.iter().take(until).rev().find_map(|round| round.read().ended())
    }

    /// Adds the next round.
    pub(crate) fn push(&self, round: Arc<LiveRound>) {
        self.rounds.write().unwrap_or_else(PoisonError::into_inner).push(round);
    }
}

/// What only the holder of a round's lock may change.
#[derive(Debug)]
struct Writer {
    /// The next event's sequence number.
    sequence: u64,
    /// A write failed without saying whether it happened: what is on the disk counts.
    stale: bool,
}

/// One round: its machine, its lock, its files.
#[derive(Debug)]
pub(crate) struct LiveRound {
    pub(crate) study: Arc<Study>,
    pub(crate) files: RoundFiles,
    pub(crate) log: Arc<LiveLog>,
    study_digest: Digest,
    number: u32,
    previous: Option<Previous>,
    manifest: Signed<Manifest>,
    store: Store,
    identity: Arc<Identity>,
    round: RwLock<Round>,
    writer: tokio::sync::Mutex<Writer>,
    version: watch::Sender<u64>,
    uploading: Mutex<BTreeSet<SiteId>>,
}

impl LiveRound {
    /// Checks a manifest and replays the events that its round has seen.
    pub(crate) async fn load(
        study: &LiveStudy,
        manifest: Signed<Manifest>,
        previous: Option<Previous>,
        store: Store,
        identity: Arc<Identity>,
        data: &Path,
    ) -> Result<Arc<Self>, Refusal> {
        let (study, study_digest, log) = (study.study.clone(), study.digest, study.log.clone());
        let number = manifest.statement.round;
        let fresh = Round::open(study.clone(), study_digest, manifest.clone(), previous.as_ref())?;
        let (round, sequence) = replay(&store, fresh, study_digest).await?;
        let data = data.to_owned();
        let files = blocking(move || RoundFiles::create(&data, study_digest, number)).await??;
        Ok(Arc::new(Self {
            study,
            files,
            log,
            study_digest,
            number,
            previous,
            manifest,
            store,
            identity,
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

    fn write(&self) -> RwLockWriteGuard<'_, Round> {
        self.round.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of events so far, as it changes.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The signed manifest.
    pub(crate) fn manifest(&self) -> &Signed<Manifest> {
        &self.manifest
    }

    /// The key that signs receipts and closings.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Decides, persists and applies, in that order and under the locks of the round and of the
    /// study's log. `decide` runs under the locks too, so a clock that it reads is the one of the
    /// decision, and a checkpoint the one that the event follows.
    pub(crate) async fn commit<F>(self: &Arc<Self>, decide: F) -> Result<(), Refusal>
    where
        F: FnOnce(&Round) -> Result<Verdict, RoundError> + Send + 'static,
    {
        let live = self.clone();
        // A task of its own: a request whose client hangs up is dropped at an await, and that
        // must not happen between the row and the memory.
        let commit = tokio::spawn(async move {
            let mut writer = live.writer.lock().await;
            if writer.stale {
                live.reload(&mut writer).await?;
            }
            let mut log = live.log.writer().await?;
            let verdict = decide(&live.read())?;
            let Verdict::Fresh(event) = verdict else { return Ok(()) };
            let sequence = writer.sequence;
            let entry = event.entry();
            let leaf = entry.map(|_| log.reserve());
            if let Err(error) =
                live.store.append(live.study_digest, live.number, sequence, &event, leaf).await
            {
                writer.stale = true;
                return Err(error.into());
            }
            if let Some(entry) = entry {
                log.appended(entry);
            }
            tracing::info!(
                study = %live.study_digest.short(),
                round = live.number,
                sequence,
                event = name(&event),
                "event"
            );
            live.write().apply(event);
            writer.sequence += 1;
            live.version.send_replace(writer.sequence);
            Ok(())
        });
        commit.await.map_err(|error| Refusal::internal(&error))?
    }

    /// Takes the round from the disk again after a write whose outcome is unknown.
    async fn reload(&self, writer: &mut Writer) -> Result<(), Refusal> {
        let fresh = Round::open(
            self.study.clone(),
            self.study_digest,
            self.manifest.clone(),
            self.previous.as_ref(),
        )?;
        let (round, sequence) = replay(&self.store, fresh, self.study_digest).await?;
        *self.write() = round;
        *writer = Writer { sequence, stale: false };
        self.version.send_replace(sequence);
        Ok(())
    }

    /// Signs and persists the receipt of a contribution whose body and envelopes are durable.
    pub(crate) async fn receive(self: &Arc<Self>, site: &SiteId) -> Result<(), Refusal> {
        let (identity, site) = (self.identity.clone(), site.clone());
        self.commit(move |round| {
            if round.contribution(&site)?.receipt.is_some() {
                return Ok(Verdict::Repeat);
            }
            let receipt: Receipt = round.receipt(&site, now())?;
            Ok(Verdict::Fresh(Event::Received(identity.sign(receipt))))
        })
        .await
    }

    /// Takes the one place for an upload of a site, or `None` while another one has it.
    pub(crate) fn begin_upload(self: &Arc<Self>, site: &SiteId) -> Option<Upload> {
        self.uploads()
            .insert(site.clone())
            .then(|| Upload { live: self.clone(), site: site.clone() })
    }

    fn uploads(&self) -> MutexGuard<'_, BTreeSet<SiteId>> {
        self.uploading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one upload that a site may have in a round at a time; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Upload {
    live: Arc<LiveRound>,
    site: SiteId,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.live.uploads().remove(&self.site);
    }
}

async fn replay(
    store: &Store,
    mut round: Round,
    study: Digest,
) -> Result<(Round, u64), StoreError> {
    let (number, mut sequence) = (round.number(), 0);
    let apply = |event| {
        round.apply(event);
        sequence += 1;
    };
    store.replay(study, number, apply).await?;
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

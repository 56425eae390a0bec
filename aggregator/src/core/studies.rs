//! Everything that the service holds, and how it comes back after a crash.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ringfence_crypto::Digest;
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::Round;
use ringfence_crypto::statement::{Manifest, Signed, SignedStudy, Statement};
use ringfence_crypto::wire::json;
use ringfence_crypto::wire::message::StudyStatus;
use tokio::sync::{Semaphore, watch};

use crate::blocking;
use crate::closing;
use crate::config::Config;
use crate::identity::{AdminToken, Identity};
use crate::incoming::Inbox;
use crate::log::LiveLog;
use crate::problem::Refusal;
use crate::rounds::{LiveRound, LiveStudy, now};
use crate::store::{Store, StoreError};

/// How far an initiator's clock may be ahead of ours.
const MAX_CLOCK_AHEAD: u64 = 300;

/// Whether a request made something, or it was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// 201.
    Now,
    /// 200.
    Before,
}

/// The state of the service.
#[derive(Debug)]
pub(crate) struct Aggregator {
    pub(crate) identity: Arc<Identity>,
    pub(crate) admin: AdminToken,
    pub(crate) store: Store,
    pub(crate) inbox: Inbox,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) stopping: watch::Receiver<bool>,
    data: PathBuf,
    studies: RwLock<HashMap<Digest, Arc<LiveStudy>>>,
}

impl Aggregator {
    /// Takes studies and rounds from the database and goes on with every round.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read, or [`Refusal`] in words when a stored
    /// round no longer passes its own checks.
    pub(crate) async fn load(
        identity: Identity,
        admin: AdminToken,
        store: Store,
        config: &Config,
        stopping: watch::Receiver<bool>,
    ) -> Result<Arc<Self>, LoadError> {
        let aggregator = Arc::new(Self {
            identity: Arc::new(identity),
            admin,
            store,
            inbox: Inbox::new(Duration::from_secs(config.idle_seconds.into())),
            uploads: Arc::new(Semaphore::new(config.max_uploads.into())),
            stopping,
            data: config.data.clone(),
            studies: RwLock::default(),
        });
        for digest in aggregator.store.studies().await? {
            aggregator.load_study(&digest).await?;
        }
        Ok(aggregator)
    }

    async fn load_study(self: &Arc<Self>, digest: &str) -> Result<(), LoadError> {
        let unsound = |reason: String| LoadError { study: digest.to_owned(), reason };
        let digest: Digest = digest.parse().map_err(|error| unsound(format!("{error}")))?;
        let file = self.store.study(digest).await?.unwrap_or_default();
        // What was stored had passed every check: only the database itself could have altered it.
        let signed: SignedStudy = json::parse(&file, json::MAX_STUDY, "signed study")
            .map_err(|error| unsound(error.to_string()))?;
        let got = signed.study.digest();
        if got != digest {
            return Err(unsound(format!("its digest is {got}: the database was altered")));
        }
        if signed.study.aggregator_key != self.identity.public_key() {
            return Err(unsound(format!(
                "it names the aggregator's key {}, the key file holds {}; serve with the right key",
                signed.study.aggregator_key,
                self.identity.public_key()
            )));
        }
        let log = LiveLog::load(digest, self.store.clone()).await;
        let log = log.map_err(|error| unsound(error.to_string()))?;
        let study = Arc::new(LiveStudy::new(signed.study, digest, log));
        for manifest in self.store.rounds(digest).await? {
            self.go_live(&study, manifest)
                .await
                .map_err(|refusal| unsound(refusal.detail().to_owned()))?;
        }
        tracing::info!(study = %digest.short(), rounds = study.latest().0, "study loaded");
        self.studies.write().unwrap_or_else(PoisonError::into_inner).insert(digest, study);
        Ok(())
    }

    /// A study by its digest.
    pub(crate) fn study(&self, digest: Digest) -> Result<Arc<LiveStudy>, Refusal> {
        let studies = self.studies.read().unwrap_or_else(PoisonError::into_inner);
        studies.get(&digest).cloned().ok_or_else(|| {
            Refusal::missing(format!(
                "no study {digest} is registered here; the administrator posts the signed study file"
            ))
        })
    }

    /// Registers a study that its whole roster signed; `file` is what was posted.
    pub(crate) async fn register(
        self: &Arc<Self>,
        file: Vec<u8>,
    ) -> Result<(Made, StudyStatus), Refusal> {
        let (key, store) = (self.identity.public_key(), self.store.clone());
        // Seconds of work for a study of thousands of sites.
        let (file, study) = blocking(move || -> Result<_, Refusal> {
            let signed: SignedStudy = json::parse(&file, json::MAX_STUDY, "signed study")?;
            signed.verify()?;
            let got = signed.study.aggregator_key;
            if got != key {
                return Err(Refusal::message(format!(
                    "the study names the aggregator's key {got}, this aggregator's is {key}; make the study with this one"
                )));
            }
            let digest = signed.study.digest();
            Ok((file, LiveStudy::new(signed.study, digest, LiveLog::empty(digest, store))))
        })
        .await??;
        let digest = study.digest;
        if let Ok(known) = self.study(digest) {
            return Ok((Made::Before, status(&known)));
        }
        // A study that is there already stays as it is, so a repeat or a race does no harm.
        self.store.insert_study(digest, &file).await?;
        tracing::info!(study = %digest.short(), sites = study.study.roster.len(), "study registered");
        let mut studies = self.studies.write().unwrap_or_else(PoisonError::into_inner);
        let known = studies.entry(digest).or_insert_with(|| Arc::new(study)).clone();
        Ok((Made::Now, status(&known)))
    }

    /// Opens a round by its manifest.
    pub(crate) async fn open_round(
        self: &Arc<Self>,
        study: Arc<LiveStudy>,
        manifest: Signed<Manifest>,
    ) -> Result<(Made, Arc<LiveRound>), Refusal> {
        let aggregator = self.clone();
        // A task of its own, as for every write: the client may hang up.
        let task = tokio::spawn(async move {
            let _one_at_a_time = study.opening.lock().await;
            aggregator.decide_round(&study, manifest).await
        });
        task.await.map_err(|error| Refusal::internal(&error))?
    }

    async fn decide_round(
        self: &Arc<Self>,
        study: &Arc<LiveStudy>,
        manifest: Signed<Manifest>,
    ) -> Result<(Made, Arc<LiveRound>), Refusal> {
        let number = manifest.statement.round;
        let known = study.round(number).ok();
        if let Some(known) = known.as_ref().filter(|known| *known.manifest() == manifest) {
            return Ok((Made::Before, known.clone()));
        }
        let previous = study.before(number);
        Round::open(study.study.clone(), study.digest, manifest.clone(), previous.as_ref())?;
        if known.is_some() {
            return Err(other_manifest(number));
        }
        timely(&manifest.statement)?;
        let mut log = study.log.writer().await?;
        let leaf = log.reserve();
        let (stored, fresh) = self.store.insert_round(study.digest, &manifest, leaf).await?;
        match fresh {
            true => log.appended(LogEntry::of_signed(&stored)),
            // An earlier row: whoever writes next takes the log from the disk.
            false => drop(log),
        }
        let round = self.go_live(study, stored).await?;
        // The row may be an earlier one whose write seemed to have failed: then it counts.
        match *round.manifest() == manifest {
            true => Ok((Made::Now, round)),
            false => Err(other_manifest(number)),
        }
    }

    /// Loads a round, and drives it unless it is closed.
    async fn go_live(
        self: &Arc<Self>,
        study: &Arc<LiveStudy>,
        manifest: Signed<Manifest>,
    ) -> Result<Arc<LiveRound>, Refusal> {
        let previous = study.before(manifest.statement.round);
        let (store, identity) = (self.store.clone(), self.identity.clone());
        let round = LiveRound::load(study, manifest, previous, store, identity, &self.data).await?;
        study.push(round.clone());
        if round.read().closing().is_none() {
            tokio::spawn(closing::drive(round.clone(), self.stopping.clone()));
        }
        Ok(round)
    }
}

/// A study as it stands.
pub(crate) fn status(study: &LiveStudy) -> StudyStatus {
    let (rounds, latest) = study.latest();
    StudyStatus {
        study: study.digest,
        name: study.study.name.clone(),
        // Round numbers are 32 bits wide, so no more than those can be there.
        rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
        latest: latest.map(|round| round.read().status()),
    }
}

/// Refuses a manifest that our clock contradicts. Not a rule of the round machine: an auditor who
/// checks the manifest later has another time.
fn timely(manifest: &Manifest) -> Result<(), Refusal> {
    let now = now();
    let Manifest { opened_at, deadline, .. } = manifest;
    if *opened_at > now.saturating_add(MAX_CLOCK_AHEAD) {
        return Err(Refusal::conflict(format!(
            "the manifest was opened at {opened_at}, more than {MAX_CLOCK_AHEAD} s ahead of the aggregator's clock ({now}, in Unix seconds); set the initiator's clock"
        )));
    }
    if *deadline <= now {
        return Err(Refusal::conflict(format!(
            "the manifest's deadline {deadline} is past by the aggregator's clock ({now}, in Unix seconds); sign one with a later deadline"
        )));
    }
    Ok(())
}

fn other_manifest(round: u32) -> Refusal {
    Refusal::conflict(format!(
        "round {round} was opened by another manifest; fetch that one, and report it if the initiator signed two"
    ))
}

/// A study in the database that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("study {study} cannot be served: {reason}")]
pub struct LoadError {
    study: String,
    reason: String,
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        Self { study: "(any)".to_owned(), reason: error.to_string() }
    }
}

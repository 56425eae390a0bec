//! Studies: registered once, and how they come back after a crash.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ringfence_clock::Moment;
use ringfence_crypto::api::StudyStatus;
use ringfence_crypto::id::StudyId;
use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{SignedStudy, Study};
use tokio::sync::Mutex;

use crate::core::drafts::Gathering;
use crate::core::log::LiveLog;
use crate::core::refusal::{Kind, Refusal};
use crate::core::rounds::{LiveStudy, Made};
use crate::core::shared::{Shared, blocking, sum_places};
use crate::core::study::ServedStudy;
use crate::metrics::{Metrics, Now};
use crate::store::terms::StoreError;

/// All studies that are served.
#[derive(Debug)]
pub(crate) struct Studies {
    pub(crate) shared: Shared,
    /// Or why one is not served.
    pub(crate) live: RwLock<HashMap<StudyId, Result<Arc<LiveStudy>, String>>>,
    /// Whether the store took what was written to it, when it was last tried.
    last_ready: Mutex<Option<(Moment, Result<(), Refusal>)>>,
    /// Held by whoever loads a study that another aggregator has registered.
    pub(crate) meeting: Mutex<()>,
    /// What is known of studies that wait for signatures.
    pub(crate) gathering: Gathering,
}

/// How long it counts that the store took what was written to it, or did not.
const READY: Duration = Duration::from_secs(5);

/// What is stored cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// One study.
    #[error("study {study} cannot be served: {reason}")]
    Study {
        /// The study.
        study: StudyId,
        /// Why.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a study is not served.
pub(crate) enum Unserved {
    /// The others are.
    Study(String),
    /// Nothing is.
    Everything(LoadError),
}

impl From<StoreError> for Unserved {
    /// What is stored wrongly is its study's misfortune; a store that fails is everybody's.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Failed(_)
            | StoreError::Full(_)
            | StoreError::ReadOnly(_)
            | StoreError::Gone(_)
            | StoreError::Taken(_) => Self::Everything(error.into()),
            _ => Self::Study(error.to_string()),
        }
    }
}

impl Unserved {
    fn because(study: StudyId, what: &str, refusal: &Refusal) -> Self {
        let reason = format!("{what}{}", refusal.detail());
        match refusal.kind() {
            Kind::Internal | Kind::Full | Kind::ReadOnly | Kind::Busy => {
                Self::Everything(LoadError::Study { study, reason })
            }
            _ => Self::Study(reason),
        }
    }
}

impl Studies {
    /// Takes studies and rounds from the store and goes on with every round.
    ///
    /// # Errors
    /// [`LoadError`] when the store cannot be read, or a study is another aggregator's. A study that
    /// no longer passes its own checks is refused service, and the others go on.
    pub(crate) async fn load(shared: Shared) -> Result<Self, LoadError> {
        let (live, last_ready) = (RwLock::default(), Mutex::default());
        let (meeting, gathering) = (Mutex::default(), Gathering::default());
        let studies = Self { shared, live, last_ready, meeting, gathering };
        for id in studies.shared.store.statements.studies().await? {
            let study = match studies.load_study(id).await {
                Err(Unserved::Everything(error)) => return Err(error),
                Err(Unserved::Study(reason)) => {
                    tracing::error!(study = %id, reason, "a study is not served");
                    Err(reason)
                }
                Ok(study) => Ok(study),
            };
            let mut live = studies.live.write().unwrap_or_else(PoisonError::into_inner);
            live.insert(id, study);
        }
        studies.take_up_drafts().await?;
        Ok(studies)
    }

    pub(crate) async fn load_study(&self, id: StudyId) -> Result<Arc<LiveStudy>, Unserved> {
        let unsound = Unserved::Study;
        let statements = &self.shared.store.statements;
        let file = statements.study(id).await?;
        let file = file
            .ok_or_else(|| unsound("its file is not there: the database was altered".to_owned()))?;
        // What was stored had passed every check: only the database itself could have altered it.
        let signed = SignedStudy::parse(&file).map_err(|error| unsound(error.to_string()))?;
        let got = signed.study.id();
        if got != id {
            return Err(unsound(format!("its digest is {got}: the database was altered")));
        }
        let key = self.shared.identity.public_key();
        if signed.study.aggregator_key != key {
            // Nothing can be signed with this key: a mistake of the operator's.
            let reason = format!(
                "it names the aggregator's key {}, the key file holds {key}; serve with the right key",
                signed.study.aggregator_key
            );
            return Err(Unserved::Everything(LoadError::Study { study: id, reason }));
        }
        // Seconds of work for a study of thousands of sites.
        let signed = blocking(move || signed.verify().map(|()| signed)).await;
        let signed = signed.map_err(|refusal| unsound(refusal.detail().to_owned()))?;
        let signed =
            signed.map_err(|error| unsound(format!("{error}: the database was altered")))?;
        let marks = self.shared.marks.clone();
        let mark = blocking(move || marks.load(id)).await;
        let mark = mark.map_err(|refusal| unsound(refusal.detail().to_owned()))?;
        let mark = mark.map_err(|error| unsound(error.to_string()))?;
        let log = LiveLog::load(id, statements.clone(), mark).await;
        let log = log.map_err(|refusal| Unserved::because(id, "", &refusal))?;
        let served = ServedStudy::new(self.shared.clone(), signed.study, log)
            .map_err(|error| unsound(error.to_string()))?;
        let study = Arc::new(LiveStudy::new(served));
        let epochs = study.load_epochs().await;
        epochs.map_err(|refusal| Unserved::because(id, "", &refusal))?;
        for manifest in statements.rounds(id).await? {
            let what = format!("round {}: ", manifest.statement.round);
            let live = study.load_round(manifest).await;
            live.map_err(|refusal| Unserved::because(id, &what, &refusal))?;
        }
        match study.served.log.check_current() {
            Ok(()) => study.drive_all(),
            Err(refusal) => {
                tracing::error!(study = %id, reason = refusal.detail(), "nothing is signed");
            }
        }
        tracing::info!(study = %id.short(), rounds = study.latest().0, "study loaded");
        Ok(study)
    }

    /// A study.
    pub(crate) fn study(&self, id: StudyId) -> Result<Arc<LiveStudy>, Refusal> {
        let studies = self.live.read().unwrap_or_else(PoisonError::into_inner);
        match studies.get(&id) {
            Some(Ok(study)) => Ok(study.clone()),
            Some(Err(reason)) => Err(Refusal::new(
                Kind::Altered,
                format!("study {id} is not served: {reason}; tell the aggregator's administrator"),
            )),
            None => Err(Refusal::missing(format!(
                "no study {id} is registered here; the administrator posts the signed study file"
            ))),
        }
    }

    /// Registers a study that its whole roster signed; `file` is what was posted.
    pub(crate) async fn register(&self, file: Vec<u8>) -> Result<(Made, StudyStatus), Refusal> {
        let shared = self.shared.clone();
        // Seconds of work for a study of thousands of sites.
        let (file, served) = blocking(move || checked(shared, file)).await??;
        let id = served.id;
        match self.study(id) {
            Ok(known) => return Ok((Made::Before, known.status())),
            Err(refusal) if refusal.kind() == Kind::Altered => return Err(refusal),
            Err(_) => {}
        }
        // A study that is there already stays as it is, so a repeat or a race does no harm.
        self.shared.store.statements.insert_study(id, &file).await?;
        // Whoever has signed it is answered by the study itself from now on.
        self.drop_draft(id).await;
        tracing::info!(study = %id.short(), sites = served.study.roster.len(), "study registered");
        let mut studies = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let known =
            studies.entry(id).or_insert_with(|| Ok(Arc::new(LiveStudy::new(served)))).clone();
        let known = known.map_err(|reason| Refusal::new(Kind::Altered, reason))?;
        Ok((Made::Now, known.status()))
    }

    /// A signed study, byte for byte as it was posted.
    pub(crate) async fn file(&self, id: StudyId) -> Result<Vec<u8>, Refusal> {
        let file = self.shared.store.statements.study(id).await?;
        file.ok_or_else(|| Refusal::internal(&"a live study has no row"))
    }

    /// Whether the store takes what is written to it. Who asks again within [`READY`] has the same
    /// answer: anybody may ask, and that shall cost no write each time.
    pub(crate) async fn ready(&self) -> Result<(), Refusal> {
        let mut last = self.last_ready.lock().await;
        let now = self.shared.clock.moment();
        if let Some((looked, is_ready)) = &*last
            && now.since(*looked) < READY
        {
            return is_ready.clone();
        }
        let written = match self.shared.store.statements.ping().await {
            Ok(()) => self.shared.store.blobs.ping().await,
            failed => failed,
        };
        let is_ready = written.map_err(|error| {
            tracing::error!(%error, "not ready");
            Refusal::busy("the store takes nothing now: its database or its disk fails")
        });
        *last = Some((now, is_ready.clone()));
        is_ready
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// How the studies stand.
    pub(crate) fn now(&self) -> Now {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let served: Vec<&Arc<LiveStudy>> = live.values().flatten().collect();
        let mut rounds = RoundState::ALL.map(|state| (state.name(), 0));
        for study in &served {
            study.count_states(|state| {
                let of = rounds.iter_mut().find(|(name, _)| *name == state.name());
                of.into_iter().for_each(|(_, count)| *count += 1);
            });
        }
        let sums = sum_places().saturating_sub(self.shared.sums.available_permits());
        Now { studies: served.len(), rounds: rounds.to_vec(), sums, ..Now::default() }
    }

    /// Ends after the last write.
    pub(crate) async fn close(&self) {
        self.shared.store.statements.close().await;
    }
}

/// Refuses a study of another aggregator.
pub(crate) fn check_ours(shared: &Shared, study: &Study) -> Result<(), Refusal> {
    let (got, key) = (study.aggregator_key, shared.identity.public_key());
    match got == key {
        true => Ok(()),
        false => Err(Refusal::message(format!(
            "the study names the aggregator's key {got}, this aggregator's is {key}; make the study with this one"
        ))),
    }
}

/// The study in a file that was posted, if it can be served here.
fn checked(shared: Shared, file: Vec<u8>) -> Result<(Vec<u8>, ServedStudy), Refusal> {
    let signed = SignedStudy::parse(&file)?;
    signed.verify()?;
    check_ours(&shared, &signed.study)?;
    // The mark comes first: a study without one was not registered, or has lost it.
    let mark = shared.marks.create(signed.study.id());
    let mark = mark.map_err(|error| Refusal::internal(&error))?;
    // It is not empty where the database has lost a study: what is in it is then taken back.
    let log = LiveLog::empty(signed.study.id(), shared.store.statements.clone(), mark);
    let served = ServedStudy::new(shared, signed.study, log);
    // The study has been checked, so its bodies have a length.
    Ok((file, served.map_err(|error| Refusal::internal(&error))?))
}

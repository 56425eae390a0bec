//! Studies: registered once, and how they come back after a crash.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use ringfence_crypto::api::StudyStatus;
use ringfence_crypto::id::StudyId;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::SignedStudy;

use crate::core::log::LiveLog;
use crate::core::refusal::Refusal;
use crate::core::rounds::{LiveStudy, Made};
use crate::core::shared::{Shared, blocking};
use crate::core::study::ServedStudy;
use crate::store::terms::StoreError;

/// All studies that are served.
#[derive(Debug)]
pub(crate) struct Studies {
    shared: Shared,
    live: RwLock<HashMap<StudyId, Arc<LiveStudy>>>,
}

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

impl Studies {
    /// Takes studies and rounds from the store and goes on with every round.
    ///
    /// # Errors
    /// [`LoadError`] when the store cannot be read, or a stored study or round no longer passes its
    /// own checks.
    pub(crate) async fn load(shared: Shared) -> Result<Self, LoadError> {
        let studies = Self { shared, live: RwLock::default() };
        for id in studies.shared.store.statements.studies().await? {
            let study = studies.load_study(id).await?;
            let mut live = studies.live.write().unwrap_or_else(PoisonError::into_inner);
            live.insert(id, study);
        }
        Ok(studies)
    }

    async fn load_study(&self, id: StudyId) -> Result<Arc<LiveStudy>, LoadError> {
        let unsound = |reason: String| LoadError::Study { study: id, reason };
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
            return Err(unsound(format!(
                "it names the aggregator's key {}, the key file holds {key}; serve with the right key",
                signed.study.aggregator_key
            )));
        }
        let log = LiveLog::load(id, statements.clone()).await;
        let log = log.map_err(|error| unsound(error.to_string()))?;
        let served = ServedStudy::new(self.shared.clone(), signed.study, log)
            .map_err(|error| unsound(error.to_string()))?;
        let study = Arc::new(LiveStudy::new(served));
        for manifest in statements.rounds(id).await? {
            let live = study.go_live(manifest).await;
            live.map_err(|refusal| unsound(refusal.detail().to_owned()))?;
        }
        tracing::info!(study = %id.short(), rounds = study.latest().0, "study loaded");
        Ok(study)
    }

    /// A study.
    pub(crate) fn study(&self, id: StudyId) -> Result<Arc<LiveStudy>, Refusal> {
        let studies = self.live.read().unwrap_or_else(PoisonError::into_inner);
        studies.get(&id).cloned().ok_or_else(|| {
            Refusal::missing(format!(
                "no study {id} is registered here; the administrator posts the signed study file"
            ))
        })
    }

    /// Registers a study that its whole roster signed; `file` is what was posted.
    pub(crate) async fn register(&self, file: Vec<u8>) -> Result<(Made, StudyStatus), Refusal> {
        let shared = self.shared.clone();
        // Seconds of work for a study of thousands of sites.
        let (file, served) = blocking(move || checked(shared, file)).await??;
        let id = served.id;
        if let Ok(known) = self.study(id) {
            return Ok((Made::Before, known.status()));
        }
        // A study that is there already stays as it is, so a repeat or a race does no harm.
        self.shared.store.statements.insert_study(id, &file).await?;
        tracing::info!(study = %id.short(), sites = served.study.roster.len(), "study registered");
        let mut studies = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let known = studies.entry(id).or_insert_with(|| Arc::new(LiveStudy::new(served))).clone();
        Ok((Made::Now, known.status()))
    }

    /// A signed study, byte for byte as it was posted.
    pub(crate) async fn file(&self, id: StudyId) -> Result<Vec<u8>, Refusal> {
        let file = self.shared.store.statements.study(id).await?;
        file.ok_or_else(|| Refusal::internal(&"a live study has no row"))
    }

    /// Whether the store answers.
    pub(crate) async fn ready(&self) -> Result<(), Refusal> {
        self.shared.store.statements.ping().await.map_err(|error| {
            tracing::error!(%error, "not ready");
            Refusal::busy("the statement database does not answer")
        })
    }

    /// Ends after the last write.
    pub(crate) async fn close(&self) {
        self.shared.store.statements.close().await;
    }
}

/// The study in a file that was posted, if it can be served here.
fn checked(shared: Shared, file: Vec<u8>) -> Result<(Vec<u8>, ServedStudy), Refusal> {
    let signed = SignedStudy::parse(&file)?;
    signed.verify()?;
    let (got, key) = (signed.study.aggregator_key, shared.identity.public_key());
    if got != key {
        return Err(Refusal::message(format!(
            "the study names the aggregator's key {got}, this aggregator's is {key}; make the study with this one"
        )));
    }
    let log = LiveLog::empty(signed.study.id(), shared.store.statements.clone());
    let served = ServedStudy::new(shared, signed.study, log);
    // The study has been checked, so its bodies have a length.
    Ok((file, served.map_err(|error| Refusal::internal(&error))?))
}

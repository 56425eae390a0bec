//! A study that is served: what all of its rounds share.

use std::sync::Arc;

use ringfence_crypto::id::{StudyId, UnixSeconds};
use ringfence_crypto::log::checkpoint::CheckpointError;
use ringfence_crypto::log::{Checkpoint, SignedNote, origin};
use ringfence_crypto::ring::packing::PackingError;
use ringfence_crypto::statement::{InForce, Study};

use crate::core::log::LiveLog;
use crate::core::presence::Presence;
use crate::core::shared::Shared;
use crate::store::blobs::Blobs;
use crate::store::statements::Statements;

/// A registered study and its log.
#[derive(Clone, Debug)]
pub(crate) struct ServedStudy {
    /// Store, key and clock.
    pub(crate) shared: Shared,
    /// What the roster signed.
    pub(crate) study: Arc<Study>,
    /// Its name, which the statements of its rounds name.
    pub(crate) id: StudyId,
    /// The study as it was first signed: what everything of it is stored under, and its log called by.
    pub(crate) first: StudyId,
    /// How long every body is.
    pub(crate) body_bytes: u64,
    /// Which of its sites are there.
    pub(crate) presence: Arc<Presence>,
    /// The log over all rounds.
    pub(crate) log: Arc<LiveLog>,
}

impl ServedStudy {
    /// A study that has passed its check, and its log.
    ///
    /// # Errors
    /// [`PackingError`] when its bodies have no length; the check excludes it.
    pub(crate) fn new(shared: Shared, study: Study, log: LiveLog) -> Result<Self, PackingError> {
        let body_bytes = study.body_bytes()?;
        let id = log.study();
        let (presence, log) = (Arc::default(), Arc::new(log));
        Ok(Self { shared, study: Arc::new(study), id, first: id, body_bytes, presence, log })
    }

    /// The same with another roster, as an epoch has left it.
    pub(crate) fn under(&self, later: &InForce) -> Self {
        // What a body is long follows from the packing, which a roster may change.
        let body_bytes = later.study.body_bytes().unwrap_or(self.body_bytes);
        Self { study: later.study.clone(), id: later.id, body_bytes, ..self.clone() }
    }

    /// Where its statements are.
    pub(crate) fn statements(&self) -> &Arc<dyn Statements> {
        &self.shared.store.statements
    }

    /// Where its bodies are.
    pub(crate) fn blobs(&self) -> &Arc<dyn Blobs> {
        &self.shared.store.blobs
    }

    /// The time of day. A round that runs has its own: see `LiveRound::now`.
    pub(crate) fn now(&self) -> UnixSeconds {
        self.shared.clock.now()
    }

    /// A checkpoint of the log, signed by us as a note.
    pub(crate) fn note_of(&self, checkpoint: Checkpoint) -> Result<SignedNote, CheckpointError> {
        self.shared.identity.sign_checkpoint(&origin(self.first), checkpoint)
    }
}

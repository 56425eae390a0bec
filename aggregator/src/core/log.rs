//! A study's log: in memory for proofs; in the store it is the order of the statements themselves.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ringfence_crypto::id::StudyId;
use ringfence_crypto::log::{LogEntry, StudyLog};
use tokio::sync::{Mutex, MutexGuard};

use crate::store::statements::Statements;
use crate::store::terms::StoreError;

/// The log of one study over all of its rounds.
pub(crate) struct LiveLog {
    study: StudyId,
    statements: Arc<dyn Statements>,
    log: RwLock<StudyLog>,
    /// Whether a write began and is not known to have happened: then what is stored counts.
    stale: Mutex<bool>,
}

/// The right to append: one statement of a study at a time, whatever round it belongs to.
#[derive(Debug)]
pub(crate) struct LogWriter<'a> {
    live: &'a LiveLog,
    stale: MutexGuard<'a, bool>,
}

impl LiveLog {
    /// The log of a study without rounds.
    pub(crate) fn empty(study: StudyId, statements: Arc<dyn Statements>) -> Self {
        Self { study, statements, log: RwLock::default(), stale: Mutex::default() }
    }

    /// The log of what is stored.
    pub(crate) async fn load(
        study: StudyId,
        statements: Arc<dyn Statements>,
    ) -> Result<Self, StoreError> {
        let live = Self::empty(study, statements);
        live.reload().await?;
        Ok(live)
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let entries = self.statements.log(self.study).await?;
        *self.log.write().unwrap_or_else(PoisonError::into_inner) = entries.into_iter().collect();
        Ok(())
    }

    /// Whose log.
    pub(crate) fn study(&self) -> StudyId {
        self.study
    }

    /// The log as it stands: of durable statements only. Never hold the guard across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, StudyLog> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the right to append. While it is held, the log grows by its holder only.
    pub(crate) async fn writer(&self) -> Result<LogWriter<'_>, StoreError> {
        let mut stale = self.stale.lock().await;
        if *stale {
            self.reload().await?;
            *stale = false;
        }
        Ok(LogWriter { live: self, stale })
    }
}

impl fmt::Debug for LiveLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveLog({}, {} leaves)", self.study.short(), self.read().size())
    }
}

impl LogWriter<'_> {
    /// The place of the next leaf. Until [`LogWriter::appended`] says that its statement is durable,
    /// the store counts: whoever appends next reads it first.
    pub(crate) fn reserve(&mut self) -> u64 {
        *self.stale = true;
        self.live.read().size()
    }

    /// The statement at the reserved place is durable.
    pub(crate) fn appended(mut self, entry: LogEntry) {
        self.live.log.write().unwrap_or_else(PoisonError::into_inner).append(entry);
        *self.stale = false;
    }
}

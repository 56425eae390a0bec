//! A study's log: in memory for proofs; on the disk it is the order of the statements themselves.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use ringfence_crypto::Digest;
use ringfence_crypto::log::{LogEntry, StudyLog};
use tokio::sync::{Mutex, MutexGuard};

use crate::store::{Store, StoreError};

/// The log of one study over all of its rounds.
#[derive(Debug)]
pub(crate) struct LiveLog {
    study: Digest,
    store: Store,
    log: RwLock<StudyLog>,
    /// Whether a write began and is not known to have happened: then what is on the disk counts.
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
    pub(crate) fn empty(study: Digest, store: Store) -> Self {
        Self { study, store, log: RwLock::default(), stale: Mutex::default() }
    }

    /// The log of what the database holds.
    pub(crate) async fn load(study: Digest, store: Store) -> Result<Self, StoreError> {
        let live = Self::empty(study, store);
        live.reload().await?;
        Ok(live)
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let entries = self.store.log(self.study).await?;
        *self.log.write().unwrap_or_else(PoisonError::into_inner) = entries.into_iter().collect();
        Ok(())
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

impl LogWriter<'_> {
    /// The place of the next leaf. Until [`LogWriter::appended`] says that its statement is durable,
    /// the disk counts: whoever appends next reads it first.
    pub(crate) fn reserve(&mut self) -> u64 {
        *self.stale = true;
        self.live.read().size()
    }

    /// The statement at the reserved place is on the disk.
    pub(crate) fn appended(mut self, entry: LogEntry) {
        self.live.log.write().unwrap_or_else(PoisonError::into_inner).append(entry);
        *self.stale = false;
    }
}

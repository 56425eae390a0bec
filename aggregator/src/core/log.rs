//! A study's log: in memory for proofs; in the store it is the order of the statements themselves.
//!
//! Beside the store stands the study's mark, which no backup brings back: a log that does not begin
//! with all that is marked is *behind*, and nothing is signed on it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ringfence_crypto::id::StudyId;
use ringfence_crypto::log::{LogEntry, LogHash, StudyLog};
use tokio::sync::{Mutex, MutexGuard};

use crate::core::refusal::{Kind, Refusal};
use crate::core::shared::blocking;
use crate::store::marks::StudyMark;
use crate::store::statements::{ALL_LEAVES, Statements};
use crate::store::terms::StoreError;

/// The log of one study over all of its rounds.
pub(crate) struct LiveLog {
    study: StudyId,
    statements: Arc<dyn Statements>,
    mark: StudyMark,
    log: RwLock<StudyLog>,
    /// Whether the log does not begin with all that is marked. Kept, because a leaf is in the mark a
    /// moment before it is in memory.
    behind: AtomicBool,
    /// Whether a write began and is not known to have happened: then what is stored counts.
    stale: Mutex<bool>,
}

/// The right to append: one statement of a study at a time, whatever round it belongs to.
#[derive(Debug)]
pub(crate) struct LogWriter<'a> {
    live: &'a LiveLog,
    stale: MutexGuard<'a, bool>,
}

/// How far a log is behind its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    /// Leaves that log and mark have in common from the start.
    pub(crate) common: u64,
    /// Leaves of the log.
    pub(crate) stored: u64,
    /// Leaves of the mark.
    pub(crate) marked: u64,
}

impl LiveLog {
    /// The log of a study without rounds.
    pub(crate) fn empty(study: StudyId, statements: Arc<dyn Statements>, mark: StudyMark) -> Self {
        let behind = AtomicBool::new(mark.checkpoint().size > 0);
        Self { study, statements, mark, log: RwLock::default(), behind, stale: Mutex::default() }
    }

    /// The log of what is stored.
    pub(crate) async fn load(
        study: StudyId,
        statements: Arc<dyn Statements>,
        mark: StudyMark,
    ) -> Result<Self, Refusal> {
        let live = Self::empty(study, statements, mark);
        live.reload().await?;
        live.catch_up().await?;
        Ok(live)
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let entries = self.statements.log(self.study, ALL_LEAVES).await?;
        *self.log.write().unwrap_or_else(PoisonError::into_inner) = entries.into_iter().collect();
        Ok(())
    }

    /// Marks what is stored and not marked yet: a crash came between the two.
    async fn catch_up(&self) -> Result<(), Refusal> {
        let behind = self.compare().is_some();
        self.behind.store(behind, Ordering::Release);
        if behind {
            return Ok(());
        }
        let leaves: Vec<LogHash> = self.read().leaves(self.mark.checkpoint().size).collect();
        self.mark(leaves).await
    }

    async fn mark(&self, leaves: Vec<LogHash>) -> Result<(), Refusal> {
        let mark = self.mark.clone();
        let marked = blocking(move || mark.append(&leaves)).await?;
        marked.map_err(|error| Refusal::internal(&error))
    }

    /// Whose log.
    pub(crate) fn study(&self) -> StudyId {
        self.study
    }

    /// The log as it stands: of durable statements only. Never hold the guard across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, StudyLog> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the log is behind its mark, if it is.
    pub(crate) fn behind(&self) -> Option<Behind> {
        if self.behind.load(Ordering::Acquire) { self.compare() } else { None }
    }

    fn compare(&self) -> Option<Behind> {
        let (log, marked) = (self.read(), self.mark.checkpoint());
        if log.checkpoint_at(marked.size) == Ok(marked) {
            return None;
        }
        let (stored, marked) = (log.size(), marked.size);
        let same = log.leaves(0).zip(0..marked).take_while(|(leaf, index)| {
            self.mark.leaf(*index).is_some_and(|marked| marked == *leaf)
        });
        Some(Behind { common: same.count() as u64, stored, marked })
    }

    /// How many leaves the mark has, and the bytes that they take.
    pub(crate) fn marked(&self) -> (u64, u64) {
        self.mark.extent()
    }

    /// The leaf that the mark has at an index.
    pub(crate) fn marked_leaf(&self, index: u64) -> Option<LogHash> {
        self.mark.leaf(index)
    }

    /// Refuses to go on with a log that is behind its mark.
    ///
    /// # Errors
    /// A [`Refusal`] that says what is missing, and what to do.
    pub(crate) fn check_current(&self) -> Result<(), Refusal> {
        match self.behind() {
            None => Ok(()),
            Some(behind) => Err(self.refuse_behind(behind)),
        }
    }

    /// Why nothing is done for the study, in words.
    pub(crate) fn refuse_behind(&self, behind: Behind) -> Refusal {
        let Behind { common, stored, marked } = behind;
        let (study, path) = (self.study, self.mark.path().display());
        let detail = match common == stored {
            true => format!(
                "the database of study {study} is behind: it has {stored} of the {marked} statements that this aggregator has acknowledged (mark {path}), as after a restore from a backup; nothing is signed until the others are back: bring the newest database back, or have the sites send what they hold to studies/{study}/recovered"
            ),
            false => format!(
                "the database of study {study} is another one: its log of {stored} statements differs at leaf {common} from the {marked} that this aggregator has acknowledged (mark {path}); nothing is signed: bring the right database back"
            ),
        };
        Refusal::new(Kind::Behind, detail)
    }

    /// Takes over what others have stored, and marks it before it is seen.
    pub(crate) async fn read_on(&self) -> Result<(), Refusal> {
        // Whoever finds it stale reads everything.
        drop(self.recovering_writer().await?.outrun().await?);
        Ok(())
    }

    async fn extend(&self) -> Result<(), Refusal> {
        let from = self.read().size();
        let entries = self.statements.log(self.study, from..ALL_LEAVES.end).await?;
        if entries.is_empty() {
            return Ok(());
        }
        let unmarked = (from..).zip(&entries).filter(|(place, _)| self.mark.leaf(*place).is_none());
        let unmarked: Vec<LogHash> = unmarked.map(|(_, entry)| entry.leaf()).collect();
        if !unmarked.is_empty() {
            self.mark(unmarked).await?;
        }
        let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        entries.into_iter().for_each(|entry| {
            log.append(entry);
        });
        drop(log);
        self.behind.store(self.compare().is_some(), Ordering::Release);
        Ok(())
    }

    /// Waits for the right to append. While it is held, the log grows by its holder only.
    ///
    /// # Errors
    /// A [`Refusal`] when the log is behind its mark, or cannot be read or marked.
    pub(crate) async fn writer(&self) -> Result<LogWriter<'_>, Refusal> {
        let writer = self.recovering_writer().await?;
        self.check_current()?;
        Ok(writer)
    }

    /// The same while the log may be behind: for statements that are marked already.
    pub(crate) async fn recovering_writer(&self) -> Result<LogWriter<'_>, Refusal> {
        let mut stale = self.stale.lock().await;
        if *stale {
            self.reload().await?;
            self.catch_up().await?;
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

    /// Somebody else has used the place, or may have used more: takes over what is there.
    ///
    /// # Errors
    /// A [`Refusal`] when it cannot be read or marked.
    pub(crate) async fn outrun(mut self) -> Result<Self, Refusal> {
        self.live.extend().await?;
        *self.stale = false;
        Ok(self)
    }

    /// The store has answered that it wrote nothing at the reserved place.
    pub(crate) fn unused(mut self) {
        *self.stale = false;
    }

    /// The log as it stands.
    pub(crate) fn log(&self) -> RwLockReadGuard<'_, StudyLog> {
        self.live.read()
    }

    /// The statement at the reserved place is in the store; marks it, unless it was marked before
    /// the store lost it. When this returns, it may leave.
    ///
    /// # Errors
    /// A [`Refusal`] when it cannot be marked: it is stored, and must not leave yet.
    pub(crate) async fn appended(self, entry: LogEntry) -> Result<(), Refusal> {
        self.all_appended(vec![entry]).await
    }

    /// The same of several, the first of which is at the reserved place: one write of the mark.
    ///
    /// # Errors
    /// As for [`LogWriter::appended`].
    pub(crate) async fn all_appended(mut self, entries: Vec<LogEntry>) -> Result<(), Refusal> {
        let (place, mut unmarked) = (self.live.read().size(), Vec::new());
        for (place, entry) in (place..).zip(&entries) {
            let leaf = entry.leaf();
            match self.live.mark.leaf(place) {
                None => unmarked.push(leaf),
                Some(marked) if marked == leaf => {}
                Some(_) => {
                    return Err(Refusal::internal(&"the leaf is not the one that is marked"));
                }
            }
        }
        if !unmarked.is_empty() {
            self.live.mark(unmarked).await?;
        }
        let mut log = self.live.log.write().unwrap_or_else(PoisonError::into_inner);
        entries.into_iter().for_each(|entry| {
            log.append(entry);
        });
        drop(log);
        if self.live.behind.load(Ordering::Acquire) {
            self.live.behind.store(self.live.compare().is_some(), Ordering::Release);
        }
        *self.stale = false;
        Ok(())
    }
}

//! A job that is leased: kept as long as it goes on, and nobody's once it does not.

use std::sync::Arc;
use std::time::Duration;

use ringfence_clock::{Clock, Moment};

use crate::core::sum::SumError;
use crate::store::sharing::{Job, Sharing, Work};
use crate::store::terms::StoreError;

/// Whose job makes no progress for so long has lost it: another one does it anew.
pub(crate) const LEASE: Duration = Duration::from_secs(8);

/// A leased job. It is kept by progress and not by time: one that waits for bytes that do not come
/// holds nobody up.
#[derive(Debug)]
pub(crate) struct Lease {
    sharing: Arc<dyn Sharing>,
    clock: Clock,
    /// What the job is of.
    pub(crate) work: Work,
    /// What is to be done.
    pub(crate) job: Job,
    kept: Moment,
}

impl Lease {
    /// The next job of a work, if one is free.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn next(
        sharing: &Arc<dyn Sharing>,
        work: Work,
        clock: &Clock,
    ) -> Result<Option<Self>, StoreError> {
        let kept = clock.moment();
        let job = sharing.lease(work, LEASE).await?;
        let (sharing, clock) = (sharing.clone(), clock.clone());
        Ok(job.map(|job| Self { sharing, clock, work, job, kept }))
    }

    /// Says that the job goes on, now and then.
    ///
    /// # Errors
    /// [`SumError::Outrun`] when it is another one's by now.
    pub(crate) async fn keep(&mut self) -> Result<(), SumError> {
        match self.clock.moment().since(self.kept) < LEASE / 4 {
            true => Ok(()),
            false => self.renew().await,
        }
    }

    /// Makes sure that nobody else has the job.
    ///
    /// # Errors
    /// [`SumError::Outrun`] when it is another one's by now.
    pub(crate) async fn renew(&mut self) -> Result<(), SumError> {
        let now = self.clock.moment();
        match self.sharing.keep(self.work, self.job, LEASE).await? {
            true => {
                self.kept = now;
                Ok(())
            }
            false => Err(SumError::Outrun),
        }
    }

    /// Gives the job back, so that others need not wait for the lease's end.
    pub(crate) async fn release(&self) {
        // A store that fails now gives it back by itself in a while.
        if let Err(error) = self.sharing.release(self.work, self.job).await {
            tracing::debug!(%error, "a lease is not given back");
        }
    }
}

//! What one site may take of the service at a time, so that none takes what is there for all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ringfence_crypto::id::SiteId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::refusal::Refusal;

/// Requests of a site that are answered at the same time: a site makes a handful, long polls among
/// them.
const REQUESTS: usize = 64;

/// Bytes of a site's messages that are held at the same time: four of the largest frames, an eighth of
/// what there is for all.
const MEMORY: usize = 64 << 20;

/// The sites of a study that have asked for something.
#[derive(Debug, Default)]
pub(crate) struct Senders(Mutex<BTreeMap<SiteId, Sender>>);

/// One site's share.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    requests: Arc<Semaphore>,
    /// For its messages.
    pub(crate) memory: Arc<Semaphore>,
}

impl Default for Sender {
    fn default() -> Self {
        let requests = Arc::new(Semaphore::new(REQUESTS));
        Self { requests, memory: Arc::new(Semaphore::new(MEMORY)) }
    }
}

impl Senders {
    /// The share of a site of the roster: of nobody else, so that there are no more than those.
    pub(crate) fn of(&self, site: &SiteId) -> Sender {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        senders.entry(site.clone()).or_default().clone()
    }
}

impl Sender {
    /// A place for one more request; dropping it makes room.
    ///
    /// # Errors
    /// A [`Refusal`] when there is none.
    pub(crate) fn begin(&self, site: &SiteId) -> Result<OwnedSemaphorePermit, Refusal> {
        self.requests.clone().try_acquire_owned().map_err(|_| {
            Refusal::busy(format!(
                "{site} has {REQUESTS} requests that are not answered yet; send this one after them"
            ))
        })
    }
}

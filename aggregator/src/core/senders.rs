//! What one site, or whoever has a token, may take of the service at a time, so that none takes what is
//! there for all.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use ringfence_crypto::id::SiteId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::refusal::Refusal;

/// Requests of a site that are answered at the same time: a site makes a handful, long polls among
/// them.
const REQUESTS: usize = 64;

/// Of these, answers to one and the same signed request: who listens may send it again and again, and
/// shall not take all places by that.
const SAME: usize = 8;

/// Bytes of a site's messages that are held at the same time: four of the largest frames, an eighth of
/// what there is for all.
const MEMORY: usize = 64 << 20;

/// The sites of a study that have asked for something.
#[derive(Debug, Default)]
pub(crate) struct Senders(Mutex<BTreeMap<SiteId, Sender>>);

/// The share of a site, or of whoever has a token.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    requests: Arc<Semaphore>,
    /// How often each signed request is being answered.
    same: Arc<Mutex<HashMap<[u8; 64], usize>>>,
    /// For its messages.
    pub(crate) memory: Arc<Semaphore>,
}

/// A request that is being answered; dropping it makes room for others.
#[derive(Debug)]
pub(crate) struct Answering {
    _place: OwnedSemaphorePermit,
    same: Option<(Sender, [u8; 64])>,
}

impl Default for Sender {
    fn default() -> Self {
        let requests = Arc::new(Semaphore::new(REQUESTS));
        Self { requests, same: Arc::default(), memory: Arc::new(Semaphore::new(MEMORY)) }
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
    /// A place for one more request, with its signature where it has one.
    ///
    /// # Errors
    /// A [`Refusal`] when there is none.
    pub(crate) fn begin(
        &self,
        who: &dyn Display,
        signature: Option<[u8; 64]>,
    ) -> Result<Answering, Refusal> {
        let busy = |most: usize, what: &str| {
            Refusal::busy(format!(
                "{who} has {most} {what} that are not answered yet; send this one after them"
            ))
        };
        let place = self.requests.clone().try_acquire_owned();
        let place = place.map_err(|_| busy(REQUESTS, "requests"))?;
        let Some(signature) = signature else {
            return Ok(Answering { _place: place, same: None });
        };
        let mut same = self.same.lock().unwrap_or_else(PoisonError::into_inner);
        let times = same.entry(signature).or_default();
        if *times >= SAME {
            return Err(busy(SAME, "requests with this very signature"));
        }
        *times += 1;
        drop(same);
        Ok(Answering { _place: place, same: Some((self.clone(), signature)) })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let Some((sender, signature)) = &self.same else { return };
        let mut same = sender.same.lock().unwrap_or_else(PoisonError::into_inner);
        match same.get_mut(signature) {
            Some(times) if *times > 1 => *times -= 1,
            _ => drop(same.remove(signature)),
        }
    }
}

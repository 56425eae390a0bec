//! What all studies and rounds of one aggregator share.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ringfence_clock::Clock;
use tokio::sync::{Semaphore, watch};

use crate::core::refusal::Refusal;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::marks::Marks;

/// Sums at once, at most, however many processors there are.
///
/// A sum keeps one of the runtime's blocking threads and waits for others, which read and write. If
/// sums could take all of them (512 by default), none would ever end.
const MAX_SUMS: usize = 64;

/// Store, key, clock, the places for sums, and whether the service is about to end.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// Where everything is stored.
    pub(crate) store: Store,
    /// How far every study has come, apart from the store.
    pub(crate) marks: Marks,
    /// The key that signs receipts and closings.
    pub(crate) identity: Arc<Identity>,
    /// What time it is, and waiting.
    pub(crate) clock: Clock,
    /// Places for sums: whoever adds up takes one first.
    pub(crate) sums: Arc<Semaphore>,
    /// How long bodies are kept after their round is over; for ever unless it is said.
    pub(crate) keep_bodies: Option<Duration>,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Turns true when the service ends: whoever waits stops waiting.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Shared {
    /// What is shared, with every place for a sum free.
    pub(crate) fn new(
        store: Store,
        marks: Marks,
        identity: Arc<Identity>,
        clock: Clock,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let sums = Arc::new(Semaphore::new(sum_places()));
        let (keep_bodies, metrics) = (None, Metrics::default());
        Self { store, marks, identity, clock, sums, keep_bodies, metrics, stopping }
    }

    /// The same, with bodies kept for so long after their round is over.
    pub(crate) fn keeping_bodies(self, keep_bodies: Option<Duration>) -> Self {
        Self { keep_bodies, ..self }
    }
}

/// How many sums are made at once: each keeps a processor busy, so more would end no sooner.
pub(crate) fn sum_places() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(MAX_SUMS)
}

/// Runs what takes long (checking signatures, adding) off the threads that serve requests.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::internal(&error))
}

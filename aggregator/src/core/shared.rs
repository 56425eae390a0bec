//! What all studies and rounds of one aggregator share.

use std::sync::Arc;

use ringfence_clock::Clock;
use tokio::sync::watch;

use crate::core::refusal::Refusal;
use crate::identity::Identity;
use crate::store::Store;

/// Store, key, clock, and whether the service is about to end.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// Where everything is stored.
    pub(crate) store: Store,
    /// The key that signs receipts and closings.
    pub(crate) identity: Arc<Identity>,
    /// What time it is, and waiting.
    pub(crate) clock: Clock,
    /// Turns true when the service ends: whoever waits stops waiting.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Runs what takes long (checking signatures, adding) off the threads that serve requests.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::internal(&error))
}

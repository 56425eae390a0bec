//! The one upload that a site may have in a round at a time. A newer one takes the place of an older:
//! a connection that the network has lost stays open here until it was silent for long, and its site
//! is back before that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::id::{SiteId, UnixSeconds};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, watch};

/// An upload that was told to stop writes what it has, and ends within this time.
const STOP_TIME: Duration = Duration::from_secs(10);

/// The uploads of a round, by site.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<BTreeMap<SiteId, Arc<Upload>>>);

#[derive(Debug, Default)]
struct Upload {
    /// Held by the one that runs.
    running: Arc<Turn<()>>,
    /// When the newest that came was signed.
    newest: watch::Sender<UnixSeconds>,
}

/// The place for the upload of a site; dropping it makes room.
#[derive(Debug)]
pub(crate) struct UploadPlace {
    _running: OwnedMutexGuard<()>,
    newest: watch::Receiver<UnixSeconds>,
    signed_at: UnixSeconds,
}

impl Uploads {
    /// Takes the place if it is free.
    pub(crate) fn try_begin(&self, site: &SiteId) -> Option<UploadPlace> {
        let upload = self.of(site);
        let running = upload.running.clone().try_lock_owned().ok()?;
        Some(upload.place(running, *upload.newest.borrow()))
    }

    /// Takes the place for an upload that was signed at this time. One that runs and was signed before
    /// is told to stop, and waited for; a request that somebody repeats is not newer than itself.
    pub(crate) async fn begin(
        &self,
        site: &SiteId,
        signed_at: UnixSeconds,
        clock: &Clock,
    ) -> Option<UploadPlace> {
        let upload = self.of(site);
        if let Ok(running) = upload.running.clone().try_lock_owned() {
            // Whatever the clock showed when earlier ones were signed: they have ended.
            upload.newest.send_replace(signed_at);
            return Some(upload.place(running, signed_at));
        }
        let is_newest = upload.newest.send_if_modified(|newest| {
            let is_newer = signed_at > *newest;
            *newest = (*newest).max(signed_at);
            is_newer
        });
        if !is_newest {
            return None;
        }
        let stopped = clock.timeout(STOP_TIME, upload.running.clone().lock_owned()).await;
        let place = upload.place(stopped.ok()?, signed_at);
        (!place.is_displaced()).then_some(place)
    }

    fn of(&self, site: &SiteId) -> Arc<Upload> {
        let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.entry(site.clone()).or_default().clone()
    }
}

impl Upload {
    fn place(&self, running: OwnedMutexGuard<()>, signed_at: UnixSeconds) -> UploadPlace {
        UploadPlace { _running: running, newest: self.newest.subscribe(), signed_at }
    }
}

impl UploadPlace {
    fn is_displaced(&self) -> bool {
        *self.newest.borrow() > self.signed_at
    }

    /// Waits until a newer upload wants the place.
    pub(crate) async fn displaced(&self) {
        let mut newest = self.newest.clone();
        let came = newest.wait_for(|newest| *newest > self.signed_at).await.is_ok();
        if !came {
            // Nobody can come any more.
            std::future::pending::<()>().await;
        }
    }
}

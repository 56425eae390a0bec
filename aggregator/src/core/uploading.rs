//! The one upload that a site may have in a round at a time. A newer one takes the place of an older:
//! a connection that the network has lost stays open here until it was silent for long, and its site
//! is back before that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringfence_clock::{Clock, Moment};
use ringfence_crypto::id::{SiteId, UnixSeconds};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, watch};

/// An upload that was told to stop writes what it has, and ends within this time.
const STOP_TIME: Duration = Duration::from_secs(10);

/// One that was silent for so long makes room for any other of its site, whatever the clock of the
/// site showed: it may have been set since. Shorter than a site goes on trying.
const SILENT: Duration = Duration::from_secs(3);

/// The uploads of a round, by site.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<BTreeMap<SiteId, Arc<Upload>>>);

#[derive(Debug, Default)]
struct Upload {
    /// Held by the one that runs.
    running: Arc<Turn<()>>,
    /// The one that has the place, or is to have it: counted from 1.
    turn: watch::Sender<u64>,
    /// When the one that runs was signed, and last heard of.
    seen: Mutex<Option<(UnixSeconds, Moment)>>,
}

/// The place for the upload of a site; dropping it makes room.
#[derive(Debug)]
pub(crate) struct UploadPlace {
    _running: OwnedMutexGuard<()>,
    upload: Arc<Upload>,
    turn: watch::Receiver<u64>,
    own: u64,
    signed_at: UnixSeconds,
}

impl Uploads {
    /// Takes the place if it is free.
    pub(crate) fn try_begin(&self, site: &SiteId) -> Option<UploadPlace> {
        let upload = self.of(site);
        let running = upload.running.clone().try_lock_owned().ok()?;
        Some(upload.place(running, UnixSeconds(0)))
    }

    /// Takes the place for an upload that was signed at this time. One that runs and was signed before,
    /// or has been silent, is told to stop and waited for; a request that somebody repeats is not
    /// newer than itself.
    pub(crate) async fn begin(
        &self,
        site: &SiteId,
        signed_at: UnixSeconds,
        clock: &Clock,
    ) -> Option<UploadPlace> {
        let upload = self.of(site);
        if let Ok(running) = upload.running.clone().try_lock_owned() {
            return Some(upload.place(running, signed_at));
        }
        let seen = *upload.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let gives_way = seen.is_none_or(|(running, heard)| {
            signed_at > running || clock.moment().since(heard) >= SILENT
        });
        if !gives_way {
            return None;
        }
        let mut own = 0;
        upload.turn.send_modify(|turn| {
            *turn += 1;
            own = *turn;
        });
        let stopped = clock.timeout(STOP_TIME, upload.running.clone().lock_owned()).await;
        let place = upload.place(stopped.ok()?, signed_at);
        // Of several that wait, the one that came last is to have it.
        Some(UploadPlace { own, ..place })
    }

    fn of(&self, site: &SiteId) -> Arc<Upload> {
        let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.entry(site.clone()).or_default().clone()
    }
}

impl Upload {
    fn place(self: Arc<Self>, running: OwnedMutexGuard<()>, signed_at: UnixSeconds) -> UploadPlace {
        let turn = self.turn.subscribe();
        let own = *turn.borrow();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
        UploadPlace { _running: running, upload: self, turn, own, signed_at }
    }
}

impl UploadPlace {
    /// Takes note that something came.
    pub(crate) fn heard(&self, now: Moment) {
        let mut seen = self.upload.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some((self.signed_at, now));
    }

    /// Waits until a newer upload wants the place.
    pub(crate) async fn displaced(&self) {
        let mut turn = self.turn.clone();
        let came = turn.wait_for(|turn| *turn > self.own).await.is_ok();
        if !came {
            // Nobody can come any more.
            std::future::pending::<()>().await;
        }
    }
}

//! How long the sites' bodies are kept after their round is over.
//!
//! Bodies are nearly all that a study stores: one of each site and round. Once a round is over, and
//! others after it were opened, nobody needs them but who adds the sum up again. Statements, digests,
//! envelopes, openings and the sum stay, so that sites which were away still open it.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ringfence_crypto::id::{RoundNumber, UnixSeconds};

use crate::core::refusal::{Kind, Refusal};
use crate::core::round::LiveRound;
use crate::core::rounds::LiveStudy;
use crate::core::studies::Studies;
use crate::store::terms::{RoundId, StoreError};

/// How often rounds are looked for whose bodies have been kept for long enough.
const EVERY: Duration = Duration::from_secs(3600);

impl Studies {
    /// Deletes bodies that have been kept for long enough, again and again until the service ends;
    /// none where they are kept for ever.
    pub(crate) async fn forget_bodies(&self) {
        let Some(keep) = self.shared.keep_bodies else { return };
        let mut stopping = self.shared.stopping.clone();
        loop {
            let before = self.shared.clock.now().earlier(keep.as_secs());
            let served: Vec<_> = {
                let studies = self.live.read().unwrap_or_else(PoisonError::into_inner);
                studies.values().flatten().cloned().collect()
            };
            for study in served {
                if let Err(error) = study.forget_bodies(before).await {
                    tracing::warn!(study = %study.served.id, %error, "bodies that were kept for long enough could not be deleted; trying again in an hour");
                }
            }
            tokio::select! {
                () = self.shared.clock.sleep(EVERY) => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
        }
    }
}

impl LiveStudy {
    /// Deletes the bodies of rounds that are at rest and were closed before this time.
    async fn forget_bodies(&self, before: UnixSeconds) -> Result<(), StoreError> {
        while let Some(round) = self.rounds.next_closed_before(before, self.forgotten.next()) {
            // Under the roster of the round: others have come and gone by epochs.
            for site in &self.in_force(round).study.roster {
                let of = RoundId { study: self.served.id, round };
                // One that never came, or is gone already, is no error.
                self.served.blobs().discard_body(of, &site.id).await?;
            }
            tracing::info!(study = %self.served.id, %round, "the sites' bodies were kept for long enough and are deleted");
            self.forgotten.forgot(round);
        }
        Ok(())
    }
}

impl LiveRound {
    /// Refuses what needs a body that was kept for long enough, and is gone.
    pub(crate) fn check_kept(&self, what: &str) -> Result<(), Refusal> {
        let Some(keep) = self.served.shared.keep_bodies else { return Ok(()) };
        let closed_at = self.read().ended().map(|ended| ended.closed_at);
        let until = closed_at.map(|closed_at| closed_at.after(keep.as_secs()));
        match until.filter(|until| *until < self.served.now()) {
            Some(until) => Err(Refusal::new(
                Kind::Gone,
                format!(
                    "{what} was kept until {} and then deleted, as the aggregator's operator has set (--keep-bodies-days); its digest stands in its site's header, and the sum is still there",
                    until.utc()
                ),
            )),
            None => Ok(()),
        }
    }
}

/// The first round whose bodies were not deleted yet.
#[derive(Debug, Default)]
pub(crate) struct Forgotten(AtomicU32);

impl Forgotten {
    /// Its number.
    pub(crate) fn next(&self) -> RoundNumber {
        RoundNumber(self.0.load(Ordering::Relaxed))
    }

    /// Bodies of this round are deleted.
    pub(crate) fn forgot(&self, round: RoundNumber) {
        self.0.store(round.next().0, Ordering::Relaxed);
    }
}

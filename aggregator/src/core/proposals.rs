//! Epochs that are proposed, and wait for signatures.
//!
//! They lie in the store, and here as they lie there: until one is made, which voids the others, or their
//! time is over. A site proposes one at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Epoch, SignedEpoch, SiteSignature};
use ringfence_crypto::wire::json;

use crate::core::drafts::{GATHERED_FOR, MOST_DRAFTS};
use crate::core::refusal::Refusal;
use crate::core::rounds::LiveStudy;
use crate::core::shared::blocking;
use crate::store::drafts::{NextProposal, StoredProposal};

/// An epoch that is proposed.
#[derive(Clone, Debug)]
struct Proposed {
    signed: Arc<SignedEpoch>,
    /// The sites that propose it: each one epoch.
    by: Vec<SiteId>,
    /// When it was first sent.
    at: UnixSeconds,
}

/// What is proposed for a study's next epoch.
#[derive(Debug, Default)]
pub(crate) struct Proposals(Mutex<Vec<Proposed>>);

impl Proposals {
    fn lock(&self) -> MutexGuard<'_, Vec<Proposed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is proposed for the next epoch, and not over at this time.
    fn at(&self, now: UnixSeconds) -> Vec<Arc<SignedEpoch>> {
        let proposed = self.lock();
        let in_time = proposed.iter().filter(|known| known.at.after(GATHERED_FOR) >= now);
        in_time.map(|known| known.signed.clone()).collect()
    }

    /// Adds one that a site proposes, as [`Drafts::propose`](crate::store::drafts::Drafts::propose) stores
    /// it: what is over, and what nobody proposes any more, goes.
    fn add(&self, by: &SiteId, signed: SignedEpoch, now: UnixSeconds) {
        let mut proposed = self.lock();
        let (mut sites, mut at) = (Vec::new(), now);
        proposed.retain_mut(|known| {
            known.by.retain(|site| site != by);
            match known.signed.epoch == signed.epoch {
                true => {
                    if known.at.after(GATHERED_FOR) >= now {
                        (sites, at) = (std::mem::take(&mut known.by), known.at);
                    }
                    false
                }
                false => !known.by.is_empty() && known.at.after(GATHERED_FOR) >= now,
            }
        });
        sites.push(by.clone());
        proposed.push(Proposed { signed: Arc::new(signed), by: sites, at });
    }

    /// Takes over what is stored.
    fn take_over(&self, stored: Vec<Proposed>) {
        *self.lock() = stored;
    }

    /// Forgets all: an epoch is made, and what was proposed beside it is void.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }
}

impl LiveStudy {
    /// What is proposed for the next epoch.
    pub(crate) fn proposed(&self) -> Vec<Arc<SignedEpoch>> {
        self.roster.proposals.at(self.served.now())
    }

    /// Takes over the proposed epochs that are stored. One that does not hold is left out: it makes
    /// nothing.
    pub(super) async fn load_proposed(&self) -> Result<(), Refusal> {
        let stored = self.served.shared.store.drafts.proposals(self.served.first).await?;
        let lineage = self.roster.read().clone();
        let next = lineage.epochs().saturating_add(1);
        let read = move |StoredProposal { file, by, signatures, at, .. }: StoredProposal| {
            let mut signed = SignedEpoch::parse(&file).map_err(|error| error.to_string())?;
            // Two aggregators may have taken two by one site.
            signed.merge(signatures, &lineage.latest().study);
            lineage.check(&signed).map_err(|error| error.to_string())?;
            Ok::<_, String>(Proposed { signed: Arc::new(signed), by, at })
        };
        // Of the numbers before, epochs are made.
        let stored = stored.into_iter().filter(move |proposal| proposal.number == next);
        // Seconds of work for a study of thousands of sites.
        let read: Vec<_> = blocking(move || stored.map(read).collect()).await?;
        let mut sound = Vec::new();
        for read in read {
            match read {
                Ok(proposed) => sound.push(proposed),
                Err(reason) => {
                    tracing::error!(study = %self.served.id, reason, "a proposed epoch is unsound: the database was altered");
                }
            }
        }
        self.roster.proposals.take_over(sound);
        Ok(())
    }

    /// The same epoch, as it is proposed already.
    pub(super) fn known_epoch(&self, signed: &SignedEpoch) -> Option<Arc<SignedEpoch>> {
        self.proposed().into_iter().find(|known| known.epoch == signed.epoch)
    }

    /// Stores a checked epoch that a site proposes, with the signatures that are not stored yet.
    pub(super) async fn propose(
        &self,
        by: &SiteId,
        signed: &SignedEpoch,
        signatures: &[SiteSignature],
    ) -> Result<(), Refusal> {
        if self.known_epoch(signed).is_none() && self.proposed().len() >= MOST_DRAFTS {
            return Err(Refusal::conflict(format!(
                "expected at most {MOST_DRAFTS} proposed epochs, and there are so many; sign one of them (`ringfence study epochs`)"
            )));
        }
        let (now, shared) = (self.served.now(), &self.served.shared);
        let unsigned = SignedEpoch { signatures: Vec::new(), ..signed.clone() };
        let next = NextProposal {
            number: signed.epoch.epoch,
            digest: signed.epoch.id(),
            file: &json::compact(&unsigned),
            by,
            signatures,
            at: now,
            over_before: now.earlier(GATHERED_FOR),
        };
        shared.store.drafts.propose(self.served.first, next).await?;
        match shared.store.sharing.is_some() {
            true => self.load_proposed().await,
            false => {
                self.roster.proposals.add(by, signed.clone(), now);
                Ok(())
            }
        }
    }

    /// Refuses to open a round after the last one of a proposed epoch that more than c sites have signed:
    /// one of them is honest, and takes part in no such round before the epoch is made.
    pub(crate) fn check_proposed(&self, round: RoundNumber) -> Result<(), Refusal> {
        let lineage = self.roster.read();
        let before = &lineage.latest().study;
        for signed in self.proposed() {
            let Epoch { epoch, last_round, .. } = &signed.epoch;
            let of_before = |signature: &&SiteSignature| before.site(&signature.site).is_some();
            let signers = signed.signatures.iter().filter(of_before).count();
            if round > *last_round && signers > usize::from(before.threshold.collusion) {
                return Err(Refusal::busy(format!(
                    "epoch {epoch} is proposed, by which round {last_round} is the last under the present roster, and {signers} sites have signed it: round {round} is opened once the others have signed, too (`ringfence study epochs` says who is missing)"
                )));
            }
        }
        Ok(())
    }

    /// Drops what is proposed for the next epoch, and says what it was. The others may not sign it, and
    /// no later round is opened for it.
    pub(crate) async fn drop_proposed(self: &Arc<Self>) -> Result<Vec<Arc<SignedEpoch>>, Refusal> {
        let study = self.clone();
        // A task of its own, as for every write: the client may hang up.
        let task = tokio::spawn(async move {
            let _one_at_a_time = study.opening.lock().await;
            let (dropped, next) = (study.proposed(), study.roster.read().epochs() + 1);
            study.served.shared.store.drafts.void_proposals(study.served.first, next).await?;
            study.roster.proposals.clear();
            tracing::info!(study = %study.served.id.short(), "proposed epochs are dropped");
            Ok(dropped)
        });
        task.await.map_err(|error| Refusal::internal(&error))?
    }

    /// Removes what was proposed up to the number of an epoch that is made. What is left does no harm,
    /// for its number has passed.
    pub(super) async fn void_proposed(&self, number: u32) {
        let drafts = &self.served.shared.store.drafts;
        if let Err(error) = drafts.void_proposals(self.served.first, number).await {
            tracing::warn!(study = %self.served.id, %error, "proposals beside an epoch that is made stay for now");
        }
    }
}

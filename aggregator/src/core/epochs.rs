//! How a study's roster changes: epochs are proposed, signed by the sites in any order, and made.
//!
//! Whoever signs sends what it has, with all signatures that it knows of; it waits with the other
//! proposals. Once enough have signed, the epoch is a leaf of the log and never changes.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ringfence_crypto::api::EpochStatus;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::signature::{PublicKey, Statement};
use ringfence_crypto::statement::{
    Epoch, InForce, Lineage, MissingSignatures, SignedEpoch, SiteSignature,
};
use ringfence_crypto::wire::json;
use tokio::sync::watch;

use crate::core::log::LogWriter;
use crate::core::proposals::Proposals;
use crate::core::refusal::{Kind, Refusal};
use crate::core::rounds::{LiveStudy, Made};
use crate::core::shared::blocking;
use crate::core::study::ServedStudy;
use crate::store::statements::NextEpoch;

/// The rosters of a study, by round, and what is proposed for the next one.
#[derive(Debug)]
pub(crate) struct Rosters {
    lineage: RwLock<Lineage>,
    /// How many epochs there are, as it changes.
    changed: watch::Sender<u32>,
    /// What is proposed for the next epoch.
    pub(super) proposals: Proposals,
}

impl Rosters {
    /// Of a study whose roster has never changed.
    pub(crate) fn of(served: &ServedStudy) -> Self {
        let lineage = RwLock::new(Lineage::of(served.study.clone()));
        Self { lineage, changed: watch::Sender::new(0), proposals: Proposals::default() }
    }

    /// The study with its epochs. Never hold the guard across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Lineage> {
        self.lineage.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says when there is another epoch.
    pub(crate) fn changes(&self) -> watch::Receiver<u32> {
        self.changed.subscribe()
    }

    /// Takes a checked epoch; what was proposed beside it is void.
    fn add(&self, signed: SignedEpoch) -> Result<(), Refusal> {
        let mut lineage = self.lineage.write().unwrap_or_else(PoisonError::into_inner);
        lineage.add(signed)?;
        self.proposals.clear();
        self.changed.send_replace(lineage.epochs());
        Ok(())
    }
}

/// What a request of a site is for, as far as it matters which of its keys sign it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The round that the path names.
    pub(crate) round: Option<RoundNumber>,
    /// Whether it only reads.
    pub(crate) reads: bool,
    /// Whether a site needs it that is asked whether it comes: it is for those, too, that are proposed.
    pub(crate) joining: bool,
}

impl LiveStudy {
    /// The study that is in force in a round.
    pub(crate) fn in_force(&self, round: RoundNumber) -> ServedStudy {
        self.served.under(self.roster.read().in_force(round))
    }

    /// The study of this name.
    ///
    /// # Errors
    /// A [`Refusal`] where it is none of this study's.
    pub(crate) fn named(&self, id: StudyId) -> Result<ServedStudy, Refusal> {
        let lineage = self.roster.read();
        let named = lineage.all().find(|study| study.id == id);
        named.map(|study| self.served.under(study)).ok_or_else(|| {
            Refusal::message(format!(
                "the statement is of study {id}, expected {}, or this study after one of its epochs",
                self.served.id
            ))
        })
    }

    /// Whether two rounds are of one check key, under which models are named.
    pub(crate) fn same_check_key(&self, one: RoundNumber, other: RoundNumber) -> bool {
        let lineage = self.roster.read();
        let key = |round| lineage.in_force(round).study.check_key.commitment;
        key(one) == key(other)
    }

    /// The keys of which one must sign a request of a site. Of a round: those of the roster in force in
    /// it, and of the newest. Of no round: those of the rosters that are in force now and later; to read,
    /// all that there were, so that a site that is gone can see why.
    pub(crate) fn keys_of(&self, site: &SiteId, wanted: Wanted) -> Vec<PublicKey> {
        let opened = u32::try_from(self.latest().0).unwrap_or(u32::MAX);
        let now = RoundNumber(opened.saturating_sub(1));
        let lineage = self.roster.read();
        let in_force = wanted.round.map(|round| lineage.in_force(round).id);
        let current = lineage.in_force(now).from;
        let is_meant = |study: &&InForce| match in_force {
            Some(in_force) => study.id == in_force || study.id == lineage.latest().id,
            None => wanted.reads || study.from >= current,
        };
        let mut keys: Vec<PublicKey> = lineage
            .all()
            .filter(is_meant)
            .filter_map(|study| study.study.site(site).map(|entry| entry.signature_key))
            .collect();
        if wanted.joining {
            let proposed = self.proposed();
            let of =
                |epoch: &Arc<SignedEpoch>| epoch.after.site(site).map(|entry| entry.signature_key);
            keys.extend(proposed.iter().filter_map(of));
        }
        keys.reverse();
        keys
    }

    /// Why a site's request is not taken, in words.
    pub(crate) fn not_on_roster(&self, site: &SiteId) -> Refusal {
        let lineage = self.roster.read();
        let gone =
            lineage.all().rev().filter_map(|study| study.epoch.as_ref()).find(|signed| {
                signed.epoch.changes.iter().any(|change| change.gone() == Some(site))
            });
        Refusal::sender(match gone {
            Some(signed) => format!(
                "{site} is on the study's roster no more since epoch {}, whose last round before it was {}",
                signed.epoch.epoch, signed.epoch.last_round
            ),
            None => format!("{site} is not on the study's roster, and signs this request"),
        })
    }

    /// The epoch with a number.
    pub(crate) fn epoch(&self, number: u32) -> Result<Arc<SignedEpoch>, Refusal> {
        let lineage = self.roster.read();
        let mut epochs = lineage.all().filter_map(|study| study.epoch.clone());
        epochs.find(|signed| signed.epoch.epoch == number).ok_or_else(|| {
            Refusal::missing(format!(
                "there is no epoch {number}; the roster has changed {} times",
                lineage.epochs()
            ))
        })
    }

    /// Takes over the epochs that are stored and not here yet. The caller holds `opening`, or is alone.
    pub(crate) async fn load_epochs(&self) -> Result<(), Refusal> {
        let stored = self.served.statements().epochs(self.served.first).await?;
        let known = self.roster.read().epochs() as usize;
        for file in stored.into_iter().skip(known) {
            let signed = SignedEpoch::parse(&file).map_err(|error| altered(&error))?;
            let mut lineage = self.roster.read().clone();
            // Seconds of work for a study of thousands of sites.
            let checked = blocking(move || lineage.add(signed.clone()).map(drop).map(|()| signed));
            let signed = checked.await?.map_err(|error| altered(&error))?;
            self.roster.add(signed)?;
        }
        self.load_proposed().await
    }

    /// Takes an epoch that a site proposes or signs, with the signatures that it knows of. It is made once
    /// enough have signed.
    pub(crate) async fn take_epoch(
        self: &Arc<Self>,
        by: SiteId,
        signed: SignedEpoch,
    ) -> Result<(Made, EpochStatus), Refusal> {
        let study = self.clone();
        // A task of its own, as for every write: the client may hang up.
        let task = tokio::spawn(async move {
            let _one_at_a_time = study.opening.lock().await;
            study.decide_epoch(&by, signed).await
        });
        task.await.map_err(|error| Refusal::internal(&error))?
    }

    async fn decide_epoch(
        &self,
        by: &SiteId,
        mut signed: SignedEpoch,
    ) -> Result<(Made, EpochStatus), Refusal> {
        let (epoch, number) = (signed.epoch.id(), signed.epoch.epoch);
        if let Ok(made) = self.epoch(number) {
            return match made.epoch == signed.epoch {
                true => Ok((Made::Before, status(&made.epoch, None))),
                false => Err(Refusal::conflict(format!(
                    "epoch {number} is another one, which is made; fetch it, and make the change again from that"
                ))),
            };
        }
        if !signed.signatures.iter().any(|SiteSignature { site, .. }| site == by) {
            return Err(Refusal::message(format!(
                "expected an epoch that {by}, who sends it, has signed"
            )));
        }
        let known = self.known_epoch(&signed);
        let before = known.as_ref().map_or(0, |known| known.signatures.len());
        if let Some(known) = known {
            signed = self.merged((*known).clone(), signed.signatures).await?;
        }
        let new: Vec<SiteSignature> = signed.signatures.iter().skip(before).cloned().collect();
        let (mut missing, mut signed) = self.checked(signed).await?;
        self.check_open(&signed.epoch)?;
        if !missing.is_complete() {
            self.propose(by, &signed, &new).await?;
            // Others may have taken signatures at the same moment: whoever stored last sees all.
            if let Some(with_others) = self.known_epoch(&signed)
                && with_others.signatures.len() > signed.signatures.len()
            {
                (missing, signed) = self.checked((*with_others).clone()).await?;
            }
        }
        if !missing.is_complete() {
            let made = if new.is_empty() { Made::Before } else { Made::Now };
            return Ok((made, status(&signed.epoch, Some(&missing))));
        }
        let status = status(&signed.epoch, Some(&missing));
        let log = self.served.log.writer().await?;
        self.store_epoch(log, signed).await?;
        tracing::info!(study = %self.served.id.short(), number, epoch = %epoch, "the roster has changed");
        Ok((Made::Now, status))
    }

    /// A proposed epoch with signatures that came behind those that it has.
    async fn merged(
        &self,
        mut known: SignedEpoch,
        others: Vec<SiteSignature>,
    ) -> Result<SignedEpoch, Refusal> {
        let before = self.roster.read().latest().study.clone();
        // Seconds of work for a study of thousands of sites.
        let merge = move || {
            known.merge(others, &before);
            known
        };
        blocking(merge).await
    }

    /// Whose signatures a next epoch lacks, after a check of it.
    async fn checked(
        &self,
        signed: SignedEpoch,
    ) -> Result<(MissingSignatures, SignedEpoch), Refusal> {
        let lineage = self.roster.read().clone();
        // Seconds of work for a study of thousands of sites.
        let (checked, signed) = blocking(move || (lineage.check(&signed), signed)).await?;
        Ok((checked?, signed))
    }

    /// Refuses an epoch after whose last round one is open already, under the roster before.
    fn check_open(&self, epoch: &Epoch) -> Result<(), Refusal> {
        let (opened, last) = (self.latest().0, epoch.last_round);
        match opened > last.0 as usize + 1 {
            true => Err(Refusal::conflict(format!(
                "round {last} is to be the last under the roster before, and {opened} rounds are open; make the change again, with a later last round"
            ))),
            false => Ok(()),
        }
    }

    async fn store_epoch(
        &self,
        mut log: LogWriter<'_>,
        signed: SignedEpoch,
    ) -> Result<(), Refusal> {
        let (digest, leaf) = (signed.epoch.id(), log.reserve());
        let file = json::compact(&signed);
        let next = NextEpoch { number: signed.epoch.epoch, digest, file: &file, leaf };
        let number = next.number;
        self.served.statements().insert_epoch(self.served.first, next).await?;
        log.appended(LogEntry::of::<Epoch>(digest)).await?;
        self.roster.add(signed)?;
        self.void_proposed(number).await;
        Ok(())
    }

    /// Takes back an epoch whose leaf is the next one of the mark.
    pub(crate) async fn take_back_epoch(&self, signed: SignedEpoch) -> Result<(), Refusal> {
        let missing = self.roster.read().check(&signed)?;
        if !missing.is_complete() {
            return Err(Refusal::message(format!("the epoch is not signed: {missing}")));
        }
        let log = self.served.log.recovering_writer().await?;
        self.store_epoch(log, signed).await
    }
}

fn status(epoch: &Epoch, missing: Option<&MissingSignatures>) -> EpochStatus {
    let named = missing.into_iter().flat_map(|missing| &missing.named);
    let mut named: Vec<SiteId> = named.map(|(site, _)| site.clone()).collect();
    named.dedup();
    let more = missing.map_or(0, |missing| missing.more);
    EpochStatus {
        epoch: epoch.id(),
        number: epoch.epoch,
        made: missing.is_none_or(MissingSignatures::is_complete),
        missing: named,
        more: u32::try_from(more).unwrap_or(u32::MAX),
    }
}

fn altered(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(
        Kind::Altered,
        format!("a stored epoch is unsound ({error}): the database was altered"),
    )
}

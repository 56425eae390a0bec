//! After a restore from a backup: what the ledger may have forgotten is charged.

use std::path::Path;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, StudyId, UnixSeconds};
use ringfence_crypto::statement::{RosterEntry, Spent};
use ringfence_keys::study::spending::Spending;

use super::entry::Charged;
use super::error::LedgerError;
use super::{Ledger, RoundCharge};
use crate::journal::{Journal, LedgerNote};

/// What a restore came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Restored {
    /// The last round that is charged as forgotten.
    pub through: RoundNumber,
    /// What is spent in the study with it, by the unit that has spent most.
    pub spent: Spent,
    /// How far the sums are from those that have this guarantee: see [`Ledger::within`].
    pub within: Option<f64>,
}

/// A ledger that may have come back from a backup. Nothing is charged to it but what it may have
/// forgotten.
#[derive(Debug)]
pub struct RestoredLedger<'a>(Ledger<'a>);

impl<'a> RestoredLedger<'a> {
    /// Opens a ledger as [`Ledger::open`] does, but not held against the site's journal.
    ///
    /// # Errors
    /// Those of [`Ledger::open`] beside [`LedgerError::CopiedBack`] and [`LedgerError::Unsettled`].
    pub fn open(
        folder: &Path,
        site: &RosterEntry,
        journal: &'a Journal,
    ) -> Result<Self, LedgerError> {
        Ledger::open_unseen(folder, site, journal).map(Self)
    }

    /// Digest of its terms: which ledger.
    pub fn id(&self) -> Digest {
        self.0.book.id
    }

    /// Refuses a ledger that no study of this site's state is known to be charged to, while others are
    /// known to be charged to another one: of a study that the state has forgotten nothing shows
    /// which is the right one.
    ///
    /// # Errors
    /// [`LedgerError::Unfamiliar`].
    pub fn check_familiar(&self, study: StudyId) -> Result<(), LedgerError> {
        let found = self.id();
        let is_here = |note: &LedgerNote| note.ledger == found;
        let mut notes = self.0.journal.ledger_notes()?;
        // Said before, or shown by the ledger itself.
        let was_said = notes.iter().any(|(noted, note)| *noted == study && is_here(note));
        if was_said || self.0.of_study(study).next().is_some() {
            return Ok(());
        }
        notes.retain(|(_, note)| !note.assumed);
        if notes.iter().any(|(_, note)| is_here(note)) {
            return Ok(());
        }
        match notes.first() {
            None => Ok(()),
            Some((other, note)) => {
                let (root, other, known) = (self.0.book.root(), *other, note.ledger);
                Err(LedgerError::Unfamiliar { root, study, other, known, found })
            }
        }
    }

    /// Holds the ledger against this site's own headers, as [`Ledger::check_log`] does.
    ///
    /// # Errors
    /// [`LedgerError::LogKnowsMore`]: the ledger was copied back.
    pub fn check_log(&self, study: StudyId, signed: u32) -> Result<(), LedgerError> {
        self.0.check_log(study, signed)
    }

    /// Charges every round of a study that is not charged yet, through the last one that restores may
    /// have made it forget, as if the site had contributed to each of them with every unit there is:
    /// with all that the ledger knows, and with whoever it comes to know later, for it may have
    /// forgotten them. So of the charge's units only the kind is looked at. The last contribution that
    /// the journal holds is among these rounds in any case. `restores` names what is settled by it
    /// ([`Unsettled`](crate::Unsettled)). The journal's note of this study gives way; those of other
    /// studies stand until this is done for them, too.
    ///
    /// No more rounds are charged than can have been forgotten: nobody has been in more of them than
    /// the study's budget is enough for, since a round beyond it is never charged. So a number that
    /// was typed wrongly costs the study's budget at most.
    ///
    /// This is written even where it overspends the hospital's budget: it may have happened. Nothing
    /// more is charged after that.
    ///
    /// Answers what is spent. Where the noise of all these rounds takes
    /// up delta, no epsilon holds any more: it is infinite.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be written.
    pub fn charge(
        self,
        charge: &RoundCharge<'_>,
        (restores, through): (Digest, RoundNumber),
        now: UnixSeconds,
    ) -> Result<Restored, LedgerError> {
        let Self(mut ledger) = self;
        let (study, budget) = (charge.study, charge.budget);
        ledger.check_terms(charge)?;
        let contributed = ledger.contributed(study)?.into_iter().max();
        let through = contributed.map_or(through, |contributed| through.max(contributed));
        let uncharged = ledger.uncharged(study, through);
        if uncharged > 0 {
            let units = ledger.universe(ledger.book.entries(), None)?;
            let most = rounds_within(charge)?;
            let rounds = uncharged.min(most.saturating_sub(ledger.fewest(study, &units)?));
            let unseen = Some(uncharged.min(most.saturating_sub(ledger.unseen(study))));
            let name = ledger.book.save(&units)?;
            let charged = Charged::Forgotten { through, rounds, unseen };
            ledger.book.append(ledger.entry(charge, charged, name, now)?)?;
        }
        ledger.settle(study, Some(restores))?;
        let spent = match ledger.reckon(study, budget, None) {
            Err(LedgerError::DeltaTaken { delta, .. }) => {
                let (rounds, epsilon) = (ledger.rounds(study), f32::INFINITY);
                Spent { rounds, epsilon, delta: delta as f32 }
            }
            spent => spent?,
        };
        Ok(Restored { through, spent, within: ledger.within(study) })
    }
}

/// In how many rounds a unit can have been: as many as the study's budget is enough for.
fn rounds_within(charge: &RoundCharge<'_>) -> Result<u32, LedgerError> {
    let RoundCharge { mechanisms, once, inexact, budget, .. } = *charge;
    let (each_round, once) = (mechanisms.to_vec(), once.to_vec());
    let spending = Spending { each_round, once, inexact };
    Ok(spending.rounds_within(budget.epsilon, budget.delta)?)
}

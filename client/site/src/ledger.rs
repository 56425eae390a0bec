//! The privacy ledger of one cohort: what was spent on each unit, over all studies, durably.
//!
//! A round is charged before its update leaves. Whether the budgets of the study and of the hospital
//! suffice for the unit that has spent most is known before anything is trained ([`Ledger::check`]).
//!
//! ```text
//! DIR/lock                 one process at a time
//! DIR/cohort.key           32 bytes: see `key`; never leaves the site
//! DIR/ledger.json          the terms: budget, kind of unit, whose it is
//! DIR/entries              a line for each charge, each naming the one before: see `entry`, `book`
//! DIR/head.json            how many of them were acknowledged
//! DIR/snapshots/<digest>   a set of units, by keyed digests: see `units`
//! ```
//!
//! A ledger cannot know by itself that an older copy was put in its place. The site's journal notes
//! how long it was with every charge, and refuses one that has forgotten ([`Ledger::open`]). Where
//! the state directory came back from a backup, too, every round that may have been forgotten is
//! charged ([`RestoredLedger`]); and a signed header in the study's log that counts more rounds is
//! evidence ([`Ledger::check_log`]).
//!
//! `charge` decides whether a round is charged, `exposure` and `spent` say what units were exposed to
//! and what that comes to, `summary` what people read.

mod book;
mod charge;
mod entry;
mod error;
mod exposure;
mod key;
mod lock;
mod overspent;
mod restored;
mod sealed;
mod spent;
mod summary;
#[cfg(test)]
mod tests;
mod units;

use std::path::Path;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, StudyId, UnixSeconds};
use ringfence_crypto::statement::{RosterEntry, Spent};
use ringfence_keys::CryptoRng;
use ringfence_keys::update::site_noise::inexact::Inexactness;
use ringfence_privacy::Release;

use book::Book;
use charge::Decision;

pub use entry::{Budget, Charged, Owner, Terms};
pub use error::LedgerError;
pub use overspent::{Overspent, Whose, shown};
pub use restored::{Restored, RestoredLedger};
pub use summary::{LedgerSummary, SpentSummary, StudySummary};
pub use units::{MOST_UNITS, UnitKind, UnitKindError, Units};

use crate::journal::{Journal, LedgerNote};
use crate::site::Site;

/// What each round of a study does to a site's data.
#[derive(Clone, Copy, Debug)]
pub struct RoundCharge<'a> {
    /// The study.
    pub study: StudyId,
    /// The mechanisms of one round, each with how often it is applied.
    pub mechanisms: &'a [Release],
    /// What the study does once, in whichever round: what disputes may open.
    pub once: &'a [Release],
    /// How far the noise of one round is from the one that is accounted for: it is taken off delta.
    pub inexact: Inexactness,
    /// The budget of the study's policy, for each unit.
    pub budget: Budget,
    /// Who takes part.
    pub units: &'a Units,
}

/// A ledger in use by one site. Others are locked out while it is held: it is opened for a charge, and
/// dropped after it.
#[derive(Debug)]
pub struct Ledger<'a> {
    book: Book,
    owner: Owner,
    journal: &'a Journal,
}

impl<'a> Ledger<'a> {
    /// Makes a ledger for a new cohort, and draws its key.
    ///
    /// # Errors
    /// [`LedgerError::Exists`] where one is.
    pub fn init(folder: &Path, terms: &Terms, rng: &mut impl CryptoRng) -> Result<(), LedgerError> {
        Book::make(folder, terms, rng)
    }

    /// Opens a ledger for a site, and holds it against all that the site's journal has seen of it.
    ///
    /// # Errors
    /// [`LedgerError::Unsettled`] while what a restore made it forget is not charged, in whatever study
    /// of the journal; [`LedgerError::CopiedBack`], [`LedgerError::NotOwner`],
    /// [`LedgerError::Damaged`], [`LedgerError::Locked`].
    pub fn open(
        folder: &Path,
        site: &RosterEntry,
        journal: &'a Journal,
    ) -> Result<Self, LedgerError> {
        let ledger = Self::open_unseen(folder, site, journal)?;
        ledger.check_settled()?;
        for (study, note) in journal.ledger_notes()? {
            ledger.check_note(study, &note)?;
        }
        Ok(ledger)
    }

    /// Opens a ledger without asking the journal.
    fn open_unseen(
        folder: &Path,
        site: &RosterEntry,
        journal: &'a Journal,
    ) -> Result<Self, LedgerError> {
        let (book, owner) = (Book::open(folder)?, Owner::from(site));
        if !book.terms.owners.contains(&owner) {
            let owners = book.terms.owners.iter().map(|owner| owner.site.as_str());
            let owners = owners.collect::<Vec<_>>().join(", ");
            return Err(LedgerError::NotOwner { root: book.root(), owners, site: owner.site });
        }
        Ok(Self { book, owner, journal })
    }

    /// What the site would have spent after a round, if the budgets suffice for it. Nothing is
    /// written: this is asked before anything is trained, and others are let at the ledger meanwhile.
    ///
    /// # Errors
    /// Those of [`Ledger::charge`].
    pub fn check(self, charge: &RoundCharge<'_>, round: RoundNumber) -> Result<Spent, LedgerError> {
        let this = Self { book: self.book.released(), ..self };
        match this.decide(charge, round, UnixSeconds::default())? {
            Decision::Repeat => this.reckon(charge.study, charge.budget, None),
            Decision::Append(entry, units) => {
                this.reckon(charge.study, charge.budget, Some((&entry, &units)))
            }
        }
    }

    /// Whether a study's rounds can be charged to this ledger at all, whatever the round and what is
    /// spent: asked at the very beginning.
    ///
    /// # Errors
    /// Those of [`Ledger::charge`] that are of no round and no budget.
    pub fn check_study(&self, charge: &RoundCharge<'_>) -> Result<(), LedgerError> {
        self.check_charge(charge).map(|_| ())
    }

    /// Charges a round, durably, before its update leaves. A round that was charged already, exactly
    /// so, is not charged again. Answers what its header states: the rounds charged, and the epsilon
    /// of the unit that has spent most.
    ///
    /// # Errors
    /// [`LedgerError::Overspent`] when a budget does not suffice, [`LedgerError::OtherCharge`] when
    /// the round was charged otherwise; [`LedgerError::Io`] when nothing, or nothing that counts,
    /// could be written.
    pub fn charge(
        &mut self,
        charge: &RoundCharge<'_>,
        round: RoundNumber,
        now: UnixSeconds,
    ) -> Result<Spent, LedgerError> {
        if let Decision::Append(entry, units) = self.decide(charge, round, now)? {
            self.book.save(&units)?;
            self.book.append(*entry)?;
        }
        self.settle(charge.study, None)?;
        self.reckon(charge.study, charge.budget, None)
    }

    /// Acknowledges what is written, and notes it in the journal. `restores`: those that are settled by
    /// it, if any are.
    fn settle(&mut self, study: StudyId, restores: Option<Digest>) -> Result<(), LedgerError> {
        self.book.acknowledge()?;
        let (entries, last) = (self.book.kept.len() as u64, self.book.last());
        // Whether a restore is settled is noted when it is.
        let noted = self.journal.ledger_note(study)?;
        let settled = restores.or(noted.and_then(|noted| noted.settled));
        let is_known = noted.is_some_and(|noted| !noted.assumed && noted.ledger == self.book.id)
            || self.of_study(study).any(|entry| matches!(entry.charged, Charged::Round(_)));
        let assumed = restores.is_some() && !is_known;
        let note = LedgerNote { ledger: self.book.id, entries, last, settled, assumed };
        self.journal.note_ledger(study, &note)?;
        Ok(())
    }

    /// What the site's data have spent in a study; none when no round of it was charged.
    ///
    /// # Errors
    /// [`LedgerError`] when a snapshot cannot be read.
    pub fn spent(&self, study: StudyId) -> Result<Option<Spent>, LedgerError> {
        let Some(entry) = self.of_study(study).last() else { return Ok(None) };
        self.reckon(study, entry.budget, None).map(Some)
    }

    /// Holds the ledger against this site's own headers in a study's log: the largest number of rounds
    /// that one of them says were spent.
    ///
    /// # Errors
    /// [`LedgerError::LogKnowsMore`]: the ledger was copied back.
    pub fn check_log(&self, study: StudyId, signed: u32) -> Result<(), LedgerError> {
        let known = self.known(study);
        if signed > known {
            return Err(LedgerError::LogKnowsMore { root: self.book.root(), study, signed, known });
        }
        Ok(())
    }
}

impl Site {
    /// Opens the privacy ledger of this site's cohort, for as long as it takes to ask or to charge.
    ///
    /// # Errors
    /// Those of [`Ledger::open`].
    pub fn ledger(&self, folder: &Path) -> Result<Ledger<'_>, LedgerError> {
        Ledger::open(folder, &self.identity.public(), &self.journal)
    }

    /// Opens it after a restore, to charge what it may have forgotten: see [`RestoredLedger`].
    ///
    /// # Errors
    /// Those of [`RestoredLedger::open`].
    pub fn restored_ledger(&self, folder: &Path) -> Result<RestoredLedger<'_>, LedgerError> {
        RestoredLedger::open(folder, &self.identity.public(), &self.journal)
    }
}

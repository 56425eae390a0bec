//! After a restore from a backup: what the ledger may have forgotten is charged.

use std::path::Path;

use ringfence_crypto::id::{RoundNumber, UnixSeconds};
use ringfence_crypto::statement::{RosterEntry, Spent};

use super::entry::Charged;
use super::error::LedgerError;
use super::{Ledger, RoundCharge};
use crate::journal::Journal;

/// A ledger that may have come back from a backup. Nothing is charged to it but what it may have
/// forgotten.
#[derive(Debug)]
pub struct RestoredLedger<'a>(Ledger<'a>);

impl<'a> RestoredLedger<'a> {
    /// Opens a ledger as [`Ledger::open`] does, but not held against the site's journal.
    ///
    /// # Errors
    /// Those of [`Ledger::open`] beside [`LedgerError::CopiedBack`].
    pub fn open(
        folder: &Path,
        site: &RosterEntry,
        journal: &'a Journal,
    ) -> Result<Self, LedgerError> {
        Ledger::open_unseen(folder, site, journal).map(Self)
    }

    /// Charges every round of a study that is not charged yet, through the one until which the site
    /// abstains after a restore at this time, as if it had contributed to each of them with these units and all that the ledger
    /// knows. The last contribution that the journal holds is among them in any case. The journal's
    /// note of this study gives way; those of other studies stand until this is done for them, too.
    ///
    /// This is written even where it overspends a budget: it may have happened. Nothing more of the
    /// study is charged after that.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be written.
    pub fn charge(
        self,
        charge: &RoundCharge<'_>,
        (restored_at, through): (UnixSeconds, RoundNumber),
        now: UnixSeconds,
    ) -> Result<Spent, LedgerError> {
        let Self(mut ledger) = self;
        let mut units = ledger.check_charge(charge)?;
        let contributed = ledger.contributed(charge.study)?.into_iter().max();
        let through = contributed.map_or(through, |contributed| through.max(contributed));
        let rounds = ledger.uncharged(charge.study, through);
        if rounds > 0 {
            units.join(&ledger.universe(ledger.book.entries(), None)?)?;
            let name = ledger.book.save(&units)?;
            let charged = Charged::Forgotten { through, rounds };
            ledger.book.append(ledger.entry(charge, charged, name, now)?)?;
        }
        ledger.settle(charge, Some(restored_at))
    }
}

//! What a private study spends is charged to the privacy ledger of the site's cohort: asked before
//! anything is trained, durably charged before a header is signed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::statement::Spent;
use ringfence_keys::study::spending::Spending;

use crate::error::SiteError;
use crate::event::Event;
use crate::ledger::{Budget, Restored, RoundCharge, UnitKind, Units};
use crate::site::Site;
use crate::transport::present;

/// Rounds beyond the ones that this site's state knows, in which its own headers are looked for: an
/// aggregator may show any number of them.
const MOST_UNKNOWN_ROUNDS: u32 = 10_000;

/// Where the rounds are charged, and to whom.
#[derive(Debug)]
pub(crate) struct Charging {
    ledger: PathBuf,
    units: Units,
}

impl Site {
    /// Charges this site's rounds to a ledger, and these units of it. A study with a privacy budget is
    /// not contributed to without.
    #[must_use]
    pub fn charging(self, ledger: PathBuf, units: Units) -> Self {
        let charging = Arc::new(Charging { ledger, units });
        self.with(|site| site.charging = Some(Arc::clone(&charging)))
    }

    /// What this site's data will have spent after a round, if the budgets of study and hospital
    /// suffice for it; none where the study has no budget, and where the contribution is on disk
    /// already. To be asked before anything is trained. After a restore, rounds that the ledger may
    /// have forgotten are charged first.
    ///
    /// # Errors
    /// [`SiteError::Ledger`] when the round would overspend or the ledger cannot be used,
    /// [`SiteError::NoLedger`], [`SiteError::Units`], [`SiteError::Spending`].
    pub fn check_budget(&self, round: RoundNumber) -> Result<Option<Spent>, SiteError> {
        if self.journal.round(self.study_id, round)?.contribution()?.is_some() {
            return Ok(None);
        }
        self.with_charge(|charging, charge| {
            Ok(self.ledger(&charging.ledger)?.check(charge, round)?)
        })
    }

    /// Charges a round, durably: what its header states.
    pub(crate) fn charge(&self, round: RoundNumber) -> Result<Option<Spent>, SiteError> {
        let charged = self.with_charge(|charging, charge| {
            let mut ledger = self.ledger(&charging.ledger)?;
            let spent = ledger.charge(charge, round, self.clock.now())?;
            Ok((spent, ledger.within(charge.study)))
        })?;
        let of = charged.zip(UnitKind::protected_by(&self.study.privacy));
        if let Some(((spent, within), unit)) = of {
            self.tell(&Event::Charged { round, unit, spent, within });
        }
        Ok(charged.map(|(spent, _)| spent))
    }

    /// Whether this site's rounds can be charged to its ledger at all: to be asked at its start.
    /// Whether a budget suffices is asked before each round ([`Site::check_budget`]).
    ///
    /// # Errors
    /// [`SiteError::Ledger`] for one that was altered or copied back, or is not this site's or of
    /// these units, [`SiteError::NoLedger`], [`SiteError::Units`], [`SiteError::Spending`].
    pub fn check_ledger(&self) -> Result<(), SiteError> {
        self.with_charge(|charging, charge| {
            Ok(self.ledger(&charging.ledger)?.check_study(charge)?)
        })?;
        Ok(())
    }

    /// Holds the ledger against this site's own headers in the rounds that its state does not know: a
    /// site whose state and ledger came back from one backup learns of it here, if the aggregator
    /// shows them. One that has said that it was restored is charged for what was forgotten, as soon as
    /// it is known how far.
    ///
    /// # Errors
    /// [`SiteError::Ledger`] when a header counts more rounds than the ledger.
    pub async fn compare_ledger_with_log(&self) -> Result<(), SiteError> {
        match &self.charging {
            Some(charging) => self.compare_with_log(&charging.ledger).await,
            None => Ok(()),
        }
    }

    /// The same, with a ledger that this site is not set up with.
    ///
    /// # Errors
    /// As for [`Site::compare_ledger_with_log`].
    pub async fn compare_with_log(&self, ledger: &Path) -> Result<(), SiteError> {
        if self.study.privacy.budget().is_none() {
            return Ok(());
        }
        // What may have been forgotten is charged first: it is what would be found here.
        self.settle_restores(ledger, false)?;
        let records = self.journal.contributions()?.into_iter();
        let own = records.filter(|record| self.is_this_study(record.study));
        let first = own.map(|record| record.round.next()).max().unwrap_or(RoundNumber::FIRST);
        let own_key = self.identity.public().signature_key;
        let mut signed = 0;
        for round in (first.0..).take(MOST_UNKNOWN_ROUNDS as usize).map(RoundNumber) {
            match present(self.at(round).header(self.id()).await)? {
                // What this site has not signed proves nothing, and stops nobody.
                Some(header) => {
                    let is_own = header.verify(&own_key, self.id()).is_ok()
                        && header.statement.site == *self.id()
                        && self.is_this_study(header.statement.study);
                    if let Some(spent) = header.statement.spent.filter(|_| is_own) {
                        signed = signed.max(spent.rounds);
                    }
                }
                // Not there, or the round itself is not.
                None => {
                    if present(self.at(round).manifest().await)?.is_none() {
                        break;
                    }
                }
            }
        }
        match signed {
            0 => Ok(()),
            // Also while a restore is not settled.
            signed => Ok(self.restored_ledger(ledger)?.check_log(self.first_study, signed)?),
        }
    }

    /// After a restore, charges every round that the ledger may have forgotten, once; nothing where
    /// there was no restore, where it is settled, and while it is not known how far it reaches. No
    /// server is asked, and no data are needed. `unfamiliar`: the ledger is the right one, though
    /// nothing shows it ([`RestoredLedger::check_familiar`](crate::ledger::RestoredLedger)).
    ///
    /// # Errors
    /// [`SiteError::Ledger`], [`SiteError::Spending`].
    pub fn settle_restores(&self, ledger: &Path, unfamiliar: bool) -> Result<(), SiteError> {
        let Some(unit) = UnitKind::protected_by(&self.study.privacy) else { return Ok(()) };
        let Some(unsettled) = self.journal.restores_to_settle(self.first_study)? else {
            return Ok(());
        };
        let Some(through) = unsettled.through else { return Ok(()) };
        // The plan's last round is one less than its rounds, and the number may be as many.
        let last = self.study.training.rounds().and_then(|rounds| RoundNumber(rounds).before());
        let through = last.map_or(through, |last| through.min(last));
        let ledger = self.restored_ledger(ledger)?;
        if unsettled.assumed == Some(ledger.id()) {
            return Ok(());
        }
        if !unfamiliar {
            ledger.check_familiar(self.first_study)?;
        }
        self.with_units(&Units::none(unit), |charge| {
            let restores = (unsettled.restores, through);
            let Restored { through, spent, within } =
                ledger.charge(charge, restores, self.clock.now())?;
            self.tell(&Event::ChargedForgotten { through, spent, within });
            Ok(())
        })?;
        Ok(())
    }

    /// Does something with the ledger and what a round charges to it; nothing where the study has no
    /// budget. What may have been forgotten is charged first.
    fn with_charge<T>(
        &self,
        run: impl FnOnce(&Charging, &RoundCharge<'_>) -> Result<T, SiteError>,
    ) -> Result<Option<T>, SiteError> {
        let Some(expected) = UnitKind::protected_by(&self.study.privacy) else { return Ok(None) };
        let charging = self.charging.as_deref().ok_or(SiteError::NoLedger(expected))?;
        let units = &charging.units;
        if units.kind() != expected {
            return Err(SiteError::Units { expected, got: units.kind() });
        }
        self.settle_restores(&charging.ledger, false)?;
        self.with_units(units, |charge| run(charging, charge))
    }

    /// Does something with what a round charges to units; nothing where the study has no budget.
    fn with_units<T>(
        &self,
        units: &Units,
        run: impl FnOnce(&RoundCharge<'_>) -> Result<T, SiteError>,
    ) -> Result<Option<T>, SiteError> {
        let Some(budget) = self.study.privacy.budget() else { return Ok(None) };
        let Spending { each_round, once, inexact } = &Spending::of(&self.study)?;
        let budget = Budget { epsilon: budget.epsilon.into(), delta: budget.delta.into() };
        let (study, inexact) = (self.first_study, *inexact);
        let charge = RoundCharge { study, mechanisms: each_round, once, inexact, budget, units };
        run(&charge).map(Some)
    }
}

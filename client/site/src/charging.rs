//! What a private study spends is charged to the privacy ledger of the site's cohort: asked before
//! anything is trained, durably charged before a header is signed.

use std::path::PathBuf;

use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::statement::Spent;
use ringfence_keys::duties::abstention::Abstention;
use ringfence_keys::study::spending::Spending;

use crate::error::SiteError;
use crate::event::Event;
use crate::ledger::{Budget, RoundCharge, UnitKind, Units};
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
        Self { charging: Some(Charging { ledger, units }), ..self }
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
    /// shows them. One that has said that it was restored is charged for what was forgotten.
    ///
    /// # Errors
    /// [`SiteError::Ledger`] when a header counts more rounds than the ledger.
    pub async fn compare_ledger_with_log(&self) -> Result<(), SiteError> {
        let Some(charging) = &self.charging else { return Ok(()) };
        if self.study.privacy.budget().is_none() {
            return Ok(());
        }
        match self.abstention()? {
            // Until the others have said how far the study has come, nothing is charged.
            Some(Abstention { through: None, .. }) => return Ok(()),
            // What may have been forgotten is charged first: it is what would be found here.
            Some(_) => _ = self.with_charge(|_, _| Ok(()))?,
            None => {}
        }
        let records = self.journal.contributions()?.into_iter();
        let own = records.filter(|record| record.study == self.study_id);
        let first = own.map(|record| record.round.next()).max().unwrap_or(RoundNumber::FIRST);
        let own_key = self.identity.public().signature_key;
        let mut signed = 0;
        for round in (first.0..).take(MOST_UNKNOWN_ROUNDS as usize).map(RoundNumber) {
            match present(self.at(round).header(self.id()).await)? {
                // What this site has not signed proves nothing, and stops nobody.
                Some(header) => {
                    let of = (&header.statement.site, header.statement.study);
                    let is_own = header.verify(&own_key, self.id()).is_ok()
                        && of == (self.id(), self.study_id);
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
            signed => Ok(self.ledger(&charging.ledger)?.check_log(self.study_id, signed)?),
        }
    }

    /// Does something with the ledger and what a round charges to it; nothing where the study has no
    /// budget.
    fn with_charge<T>(
        &self,
        run: impl FnOnce(&Charging, &RoundCharge<'_>) -> Result<T, SiteError>,
    ) -> Result<Option<T>, SiteError> {
        let policy = &self.study.privacy;
        let (Some(budget), Some(expected)) = (policy.budget(), UnitKind::protected_by(policy))
        else {
            return Ok(None);
        };
        let charging = self.charging.as_ref().ok_or(SiteError::NoLedger(expected))?;
        let units = &charging.units;
        if units.kind() != expected {
            return Err(SiteError::Units { expected, got: units.kind() });
        }
        let Spending { each_round, once, inexact } = &Spending::of(&self.study)?;
        let budget = Budget { epsilon: budget.epsilon.into(), delta: budget.delta.into() };
        let (study, inexact) = (self.study_id, *inexact);
        let charge = RoundCharge { study, mechanisms: each_round, once, inexact, budget, units };
        self.settle_restore(charging, &charge)?;
        run(charging, &charge).map(Some)
    }

    /// After a restore, once: charges every round that the ledger may have forgotten.
    fn settle_restore(
        &self,
        charging: &Charging,
        charge: &RoundCharge<'_>,
    ) -> Result<(), SiteError> {
        let Some(Abstention { restored_at, through: Some(through) }) = self.abstention()? else {
            return Ok(());
        };
        let noted = self.journal.ledger_note(self.study_id)?;
        if noted.is_some_and(|noted| noted.restored_at == Some(restored_at)) {
            return Ok(());
        }
        let ledger = self.restored_ledger(&charging.ledger)?;
        let (spent, within) = ledger.charge(charge, (restored_at, through), self.clock.now())?;
        self.tell(&Event::ChargedForgotten { through, spent, within });
        Ok(())
    }
}

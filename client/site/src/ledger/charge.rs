//! Whether a round may be charged, and what is written for it.

use std::path::Path;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, StudyId, UnixSeconds};
use ringfence_crypto::wire::json;
use ringfence_privacy::delta_below_one_over_records;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::entry::{Budget, Charged, Entry, check_mechanisms};
use super::error::LedgerError;
use super::exposure::Exposure;
use super::overspent::{Overspent, Whose};
use super::sealed::MAX_LINE;
use super::units::Snapshot;
use super::{Ledger, RoundCharge};
use crate::journal::{LedgerNote, Unsettled};

/// What a charge comes to where nothing stands against it.
pub(super) enum Decision {
    /// Charged already, exactly so.
    Repeat,
    /// To be appended, with its units.
    Append(Box<Entry>, Snapshot),
}

impl Ledger<'_> {
    /// Whether what the journal saw in a study still stands here.
    pub(super) fn check_note(&self, study: StudyId, note: &LedgerNote) -> Result<(), LedgerError> {
        let LedgerNote { ledger, entries, last, .. } = *note;
        if ledger != self.book.id {
            return Ok(());
        }
        let place = usize::try_from(entries).ok().and_then(|entries| entries.checked_sub(1));
        let found = match place.and_then(|place| self.book.kept.get(place)) {
            Some(kept) if kept.name == last => return Ok(()),
            Some(kept) => format!("another one in that place, {}", kept.name.short()),
            None => format!("{}", self.book.kept.len()),
        };
        let root = self.book.root();
        Err(LedgerError::CopiedBack { root, study, seen: entries, last, found })
    }

    /// Refuses to charge anything while what a restore made this ledger forget is not charged: in any
    /// study, for the same units may be in all of them.
    pub(super) fn check_settled(&self) -> Result<(), LedgerError> {
        let unsettled = self.journal.unsettled()?.into_iter();
        let mut here = unsettled.filter(|of| of.ledger.is_none_or(|ledger| ledger == self.book.id));
        match here.next() {
            Some(Unsettled { study, through, .. }) => {
                Err(LedgerError::Unsettled { root: self.book.root(), study, through })
            }
            None => Ok(()),
        }
    }

    /// All that is checked of a charge but its round and the budgets; its units by their digests.
    pub(super) fn check_charge(&self, charge: &RoundCharge<'_>) -> Result<Snapshot, LedgerError> {
        self.check_terms(charge)?;
        Snapshot::of(charge.units, &self.book.key)
    }

    /// The same, but for the units: only of which kind they are is looked at.
    pub(super) fn check_terms(&self, charge: &RoundCharge<'_>) -> Result<(), LedgerError> {
        let RoundCharge { study, mechanisms, once, budget, units, .. } = *charge;
        budget.check()?;
        check_mechanisms(mechanisms, once)?;
        let note = self.journal.ledger_note(study)?.filter(|note| !note.assumed);
        if let Some(noted) = note.map(|note| note.ledger).filter(|noted| *noted != self.book.id) {
            let (root, found) = (self.book.root(), self.book.id);
            return Err(LedgerError::OtherLedger { root, study, noted, found });
        }
        let (expected, got) = (self.book.terms.unit, units.kind());
        if got != expected {
            return Err(LedgerError::Unit { root: self.book.root(), expected, got });
        }
        let got = as_read(&budget)?;
        for entry in self.of_study(study) {
            if entry.owner != self.owner {
                let (charged, site) = (entry.owner.site.clone(), self.owner.site.clone());
                return Err(LedgerError::OtherSite { study, charged, site });
            }
            if entry.budget != got {
                return Err(LedgerError::PolicyChanged { study, charged: entry.budget, got });
            }
        }
        Ok(())
    }

    /// What a charge comes to, or what stands against it.
    pub(super) fn decide(
        &self,
        charge: &RoundCharge<'_>,
        round: RoundNumber,
        now: UnixSeconds,
    ) -> Result<Decision, LedgerError> {
        let (study, units) = (charge.study, self.check_charge(charge)?);
        for round in self.contributed(study)? {
            if !self.of_study(study).any(|entry| entry.covers(round)) {
                return Err(LedgerError::Uncharged { root: self.book.root(), study, round });
            }
        }
        self.check_deltas(charge.budget, units.units().len())?;
        let name = units.name(&self.book.key);
        let entry = self.entry(charge, Charged::Round(round), name, now)?;
        if let Some(charged) = self.of_study(study).find(|charged| charged.covers(round)) {
            return repeats(charged, &entry, round).map(|()| Decision::Repeat);
        }
        self.check_budgets((&entry, &units), charge.budget, round)?;
        Ok(Decision::Append(Box::new(entry), units))
    }

    /// Refuses a delta that so many units are too many for. A site that is one unit has none such.
    fn check_deltas(&self, of_study: Budget, units: usize) -> Result<(), LedgerError> {
        let of_hospital = self.book.terms.budget;
        for (whose, budget) in [(Whose::Study, of_study), (Whose::Hospital, of_hospital)] {
            let delta = budget.delta;
            if delta_below_one_over_records(delta, units as u64).is_err() {
                return Err(LedgerError::DeltaForUnits { whose, delta, units });
            }
        }
        Ok(())
    }

    /// Refuses an entry with which a unit would be beyond the budget of the study, or one of the
    /// entry's own units beyond that of the hospital. In a study every unit counts: its header says
    /// what the worst has spent.
    fn check_budgets(
        &self,
        (entry, units): (&Entry, &Snapshot),
        of_study: Budget,
        round: RoundNumber,
    ) -> Result<(), LedgerError> {
        let (study, more) = (entry.study, Some((entry, units)));
        for (whose, budget) in [(Whose::Study, of_study), (Whose::Hospital, self.book.terms.budget)]
        {
            let counts = |other: &&Entry| whose == Whose::Hospital || other.study == study;
            let before = || self.book.entries().filter(counts);
            let universe = match whose {
                Whose::Study => self.universe(before().chain([entry]), more)?,
                Whose::Hospital => units.clone(),
            };
            let load = |name| self.load(name, more);
            let exposed = Exposure::of(&universe, before().chain([entry]), load)?;
            let after = exposed.worst(budget)?;
            if after <= budget.epsilon {
                continue;
            }
            let spent = Exposure::of(&universe, before(), load)?.worst(budget)?;
            let spending = exposed.spending(budget)?;
            let within = spending.iter().filter(|group| group.epsilon <= budget.epsilon);
            let within: usize = within.map(|group| group.units).sum();
            let units = universe.units().len();
            let beyond = units - within;
            let overspent = Overspent { whose, study, round, budget, spent, after, beyond, units };
            return Err(LedgerError::Overspent(Box::new(overspent)));
        }
        Ok(())
    }

    /// The next entry, for a charge. What the study does once stands on the first entry of its units.
    pub(super) fn entry(
        &self,
        charge: &RoundCharge<'_>,
        charged: Charged,
        units: Digest,
        at: UnixSeconds,
    ) -> Result<Entry, LedgerError> {
        let charged_once =
            self.of_study(charge.study).any(|entry| entry.units == units && !entry.once.is_empty());
        let once = if charged_once { Vec::new() } else { charge.once.to_vec() };
        as_read(&Entry {
            number: self.book.kept.len() as u64 + 1,
            before: self.book.last(),
            at,
            study: charge.study,
            owner: self.owner.clone(),
            charged,
            mechanisms: charge.mechanisms.to_vec(),
            once,
            inexact: charge.inexact,
            budget: charge.budget,
            units,
        })
    }
}

/// Whether what is charged for a round is what would be charged again.
fn repeats(charged: &Entry, again: &Entry, round: RoundNumber) -> Result<(), LedgerError> {
    let study = again.study;
    if let Charged::Forgotten { through, .. } = charged.charged {
        return Err(LedgerError::Forgotten { study, round, through });
    }
    let alike = (&charged.mechanisms, charged.inexact) == (&again.mechanisms, again.inexact);
    let differs = match (alike, charged.units == again.units) {
        (true, true) => return Ok(()),
        (false, true) => "another mechanism",
        (true, false) => "other units",
        (false, false) => "another mechanism and other units",
    };
    Err(LedgerError::OtherCharge { study, round, differs })
}

/// A value as it is read back from its JSON: reading a number may give its neighbour, and what is
/// compared or reckoned with now must be what is found later.
fn as_read<T: Serialize + DeserializeOwned>(value: &T) -> Result<T, LedgerError> {
    let text = json::compact(value);
    let read = json::parse(&text, MAX_LINE, "ledger's line");
    read.map_err(|error| LedgerError::damaged(Path::new("the entry"), error.to_string()))
}

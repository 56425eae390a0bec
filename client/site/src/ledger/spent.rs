//! What is spent in a study, and which of its rounds are charged.

use std::collections::BTreeSet;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, StudyId};
use ringfence_crypto::statement::Spent;
use ringfence_keys::study::spending::rounded_up;
use ringfence_keys::update::site_noise::inexact::DeltaLeft;

use super::Ledger;
use super::entry::{Budget, Charged, Entry};
use super::error::LedgerError;
use super::exposure::{Exposure, inexact};
use super::units::Snapshot;

impl Ledger<'_> {
    /// What is spent in a study, with one entry more or without.
    pub(super) fn reckon(
        &self,
        study: StudyId,
        budget: Budget,
        more: Option<(&Entry, &Snapshot)>,
    ) -> Result<Spent, LedgerError> {
        let entries = || self.of_study(study).chain(more.map(|(entry, _)| entry));
        let universe = self.universe(entries(), more)?;
        let exposed = Exposure::of(&universe, entries(), |name| self.load(name, more))?;
        let epsilon = rounded_up(exposed.worst(budget)?);
        let more = more.map_or(0, |(entry, _)| entry.rounds());
        let rounds = self.rounds(study).saturating_add(more);
        Ok(Spent { rounds, epsilon, delta: budget.delta as f32 })
    }

    /// Every unit that stands in one of these entries.
    pub(super) fn universe<'e>(
        &self,
        entries: impl Iterator<Item = &'e Entry>,
        more: Option<(&Entry, &Snapshot)>,
    ) -> Result<Snapshot, LedgerError> {
        let mut universe = Snapshot::default();
        let names: BTreeSet<Digest> = entries.map(|entry| entry.units).collect();
        for name in names {
            universe.join(&self.load(name, more)?)?;
        }
        Ok(universe)
    }

    /// A snapshot, of the disk or of an entry that is not written yet.
    pub(super) fn load(
        &self,
        name: Digest,
        more: Option<(&Entry, &Snapshot)>,
    ) -> Result<Snapshot, LedgerError> {
        match more {
            Some((entry, units)) if entry.units == name => Ok(units.clone()),
            _ => self.book.snapshot(name),
        }
    }

    pub(super) fn of_study(&self, study: StudyId) -> impl Iterator<Item = &Entry> + Clone {
        self.book.entries().filter(move |entry| entry.study == study)
    }

    /// How many rounds of a study are charged.
    pub(super) fn rounds(&self, study: StudyId) -> u32 {
        self.of_study(study).fold(0, |rounds, entry| rounds.saturating_add(entry.rounds()))
    }

    /// How far the sums of a study are from those that have its guarantee, where they have it not
    /// outright: see [`DeltaLeft`]. Whoever prints an epsilon says so.
    pub fn within(&self, study: StudyId) -> Option<f64> {
        let Budget { epsilon, delta } = self.of_study(study).last()?.budget;
        DeltaLeft::of(delta, epsilon, inexact(self.of_study(study)))?.within()
    }

    /// How many rounds of a study the ledger knows of: those that are charged, and all up to the last
    /// that a restore may have forgotten.
    pub(super) fn known(&self, study: StudyId) -> u32 {
        let first = self.first_known(study);
        let single = |entry: &&Entry| match entry.charged {
            Charged::Round(round) => u64::from(round.0) >= first,
            Charged::Forgotten { .. } => false,
        };
        let singles = self.of_study(study).filter(single).count() as u64;
        u32::try_from(first.saturating_add(singles)).unwrap_or(u32::MAX)
    }

    /// The first round after all that restores may have forgotten.
    fn first_known(&self, study: StudyId) -> u64 {
        let through = self.of_study(study).filter_map(|entry| match entry.charged {
            Charged::Forgotten { through, .. } => Some(u64::from(through.0) + 1),
            Charged::Round(_) => None,
        });
        through.max().unwrap_or(0)
    }

    /// In how many of a study's charged rounds the unit of a set was that stands in the fewest.
    pub(super) fn fewest(&self, study: StudyId, units: &Snapshot) -> Result<u32, LedgerError> {
        let mut rounds: Vec<u32> = vec![0; units.units().len()];
        for entry in self.of_study(study) {
            for unit in self.load(entry.units, None)?.units() {
                let place = units.units().binary_search(unit);
                if let Some(rounds) = place.ok().and_then(|place| rounds.get_mut(place)) {
                    *rounds = rounds.saturating_add(entry.rounds());
                }
            }
        }
        Ok(rounds.into_iter().min().unwrap_or(0))
    }

    /// In how many of a study's charged rounds a unit counts that the ledger does not know.
    pub(super) fn unseen(&self, study: StudyId) -> u32 {
        let entries = self.of_study(study);
        entries.fold(0, |rounds, entry| rounds.saturating_add(entry.rounds_unseen()))
    }

    /// How many rounds of a study, up to one, are not charged.
    pub(super) fn uncharged(&self, study: StudyId, through: RoundNumber) -> u32 {
        let range = self.first_known(study)..u64::from(through.0) + 1;
        let single = |entry: &&Entry| match entry.charged {
            Charged::Round(round) => range.contains(&u64::from(round.0)),
            Charged::Forgotten { .. } => false,
        };
        let charged = self.of_study(study).filter(single).count() as u64;
        let rounds = range.end.saturating_sub(range.start);
        u32::try_from(rounds.saturating_sub(charged)).unwrap_or(u32::MAX)
    }

    /// Rounds of a study that the journal holds a contribution to.
    pub(super) fn contributed(&self, study: StudyId) -> Result<Vec<RoundNumber>, LedgerError> {
        let records = self.journal.contributions()?.into_iter();
        Ok(records.filter(|record| record.study == study).map(|record| record.round).collect())
    }
}

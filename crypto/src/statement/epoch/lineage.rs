//! A study with its epochs: which study is in force in a round.

use std::sync::Arc;

use super::{Change, Epoch, EpochError, MissingSignatures, SignedEpoch};
use crate::dealing::Trust;
use crate::id::{RoundNumber, SiteId, StudyId};
use crate::signature::Statement;
use crate::statement::Study;

/// One study of a lineage.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The study.
    pub study: Arc<Study>,
    /// Its digest: what statements of its rounds name.
    pub id: StudyId,
    /// The first round under it.
    pub from: RoundNumber,
    /// The epoch that made it; none for the first study.
    pub epoch: Option<Arc<SignedEpoch>>,
}

/// A study as it was first signed, and all of its epochs in order, each checked.
#[derive(Clone, Debug)]
pub struct Lineage {
    first: InForce,
    later: Vec<InForce>,
}

impl Lineage {
    /// A study without epochs. That its roster signed it is the caller's to check.
    pub fn of(study: Arc<Study>) -> Self {
        let id = study.id();
        let first = InForce { study, id, from: RoundNumber::FIRST, epoch: None };
        Self { first, later: Vec::new() }
    }

    /// The study as it was first signed.
    pub fn first(&self) -> &InForce {
        &self.first
    }

    /// The study as it is after all epochs.
    pub fn latest(&self) -> &InForce {
        self.later.last().unwrap_or(&self.first)
    }

    /// All studies, the first one first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &InForce> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// How many epochs there are.
    pub fn epochs(&self) -> u32 {
        // They are numbered so.
        u32::try_from(self.later.len()).unwrap_or(u32::MAX)
    }

    /// The study that is in force in a round.
    pub fn in_force(&self, round: RoundNumber) -> &InForce {
        self.later.iter().rev().find(|study| study.from <= round).unwrap_or(&self.first)
    }

    /// Checks everything of a next epoch but whether enough have signed; answers with whose signatures
    /// are missing.
    ///
    /// # Errors
    /// [`EpochError`] with the first rule that it breaks.
    pub fn check(&self, signed: &SignedEpoch) -> Result<MissingSignatures, EpochError> {
        let Epoch { study, epoch, before, after, last_round, .. } = &signed.epoch;
        let (first, latest) = (self.first.id, self.latest());
        if *study != first {
            return Err(EpochError::First { expected: first, got: *study });
        }
        let expected = self.epochs().saturating_add(1);
        if *epoch != expected {
            return Err(EpochError::Number { expected, got: *epoch });
        }
        if *before != latest.id {
            return Err(EpochError::Before { expected: latest.id, got: *before });
        }
        let got = signed.after.id();
        if *after != got {
            return Err(EpochError::After { expected: *after, got });
        }
        let least = latest.epoch.as_ref().map(|last| last.epoch.last_round);
        if let Some(least) = least.filter(|least| last_round < least) {
            return Err(EpochError::LastRound { least, got: *last_round });
        }
        signed.epoch.check_after(&latest.study, &signed.after)?;
        signed.missing(&latest.study)
    }

    /// Takes the next epoch, once enough have signed it.
    ///
    /// # Errors
    /// [`EpochError`] with the first rule that it breaks, or whose signatures are missing.
    pub fn add(&mut self, signed: SignedEpoch) -> Result<&InForce, EpochError> {
        let missing = self.check(&signed)?;
        if !missing.is_complete() {
            return Err(EpochError::Unsigned(missing));
        }
        let (study, id) = (Arc::new(signed.after.clone()), signed.epoch.after);
        let from = signed.epoch.last_round.next();
        self.later.push(InForce { study, id, from, epoch: Some(Arc::new(signed)) });
        Ok(self.latest())
    }

    /// The trust that one round leaves, as a later one finds it: without the sites that were gone
    /// between them.
    pub fn carried(&self, trust: &Trust, last: RoundNumber, next: RoundNumber) -> Trust {
        let between = self.later.iter().filter(|study| last < study.from && study.from <= next);
        let epochs = between.filter_map(|study| study.epoch.as_ref());
        let gone: Vec<&SiteId> = epochs
            .flat_map(|signed| signed.epoch.changes.iter().filter_map(Change::gone))
            .collect();
        trust.without(&gone)
    }
}

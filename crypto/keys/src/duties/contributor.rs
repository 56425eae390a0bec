//! The rules on when a site may contribute: at most one opened set for each base model.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use ringfence_crypto::id::{ModelId, RoundNumber, StudyId};
use ringfence_crypto::statement::{Closing, Manifest};

use super::abstention::{Abstention, AbstentionError};

/// How a round that a site contributed to ended, by certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A set was certified: the base model of that round is spent.
    Set,
    /// An abort was certified: nothing is ever opened, the base model may be used again.
    Abort,
}

impl From<&Closing> for End {
    fn from(closing: &Closing) -> Self {
        if closing.is_abort() { Self::Abort } else { Self::Set }
    }
}

/// A contribution that would break a rule of safety.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Already contributed in this round number.
    #[error(
        "this site has already signed a header for round {0}; it signs at most one per study and round number, so only the same bytes may be sent again"
    )]
    AlreadyContributed(RoundNumber),
    /// Numbers only rise.
    #[error(
        "round {got} is not after round {last}, to which this site contributed; round numbers only rise"
    )]
    NotRising {
        /// As shown.
        got: RoundNumber,
        /// Highest contributed.
        last: RoundNumber,
    },
    /// Restored from a backup.
    #[error(transparent)]
    Abstains(#[from] AbstentionError),
    /// An earlier contribution's round has no certificate yet.
    #[error(
        "this site contributed to round {0} and holds no certificate of how it ended; wait for it, or a set and the same set without one site could both be opened"
    )]
    NoCertificate(RoundNumber),
    /// A second set on the same base model.
    #[error(
        "an update from this base model was contributed in {study} round {round}, which did not end in a certified abort; a second opened set on one base model would reveal single updates by subtraction, and so would one on this model with a few bits changed: go on from the model after that round's mean, or, if no mean of it can be opened, in a new study from a model that does not derive from this one"
    )]
    BaseModelSpent {
        /// That study.
        study: StudyId,
        /// Round there.
        round: RoundNumber,
    },
}

/// One durable record of a contribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The study.
    pub study: StudyId,
    /// Round number.
    pub round: RoundNumber,
    /// The base model itself (not keyed: it holds across studies).
    pub base_model: ModelId,
    /// How the round ended, once this site holds the certificate.
    pub end: Option<End>,
}

/// The rules that keep "at most one opened set per base model", over a site's durable records.
#[derive(Clone, Debug, Default)]
pub struct Contributor {
    rounds: BTreeMap<(StudyId, RoundNumber), (ModelId, Option<End>)>,
    spent: BTreeMap<ModelId, BTreeSet<(StudyId, RoundNumber)>>,
    abstains: BTreeMap<StudyId, Abstention>,
}

impl Contributor {
    /// From what the site has on disk.
    pub fn restore(records: impl IntoIterator<Item = Record>) -> Self {
        let mut contributor = Self::default();
        records.into_iter().for_each(|record| contributor.record(record));
        contributor
    }

    /// Keeps out of rounds of a study after a restore from a backup, which may have forgotten a
    /// header.
    pub fn abstain(&mut self, study: StudyId, abstention: Abstention) {
        let known = self.abstains.entry(study).or_insert(abstention);
        *known = known.and(abstention);
    }

    /// Whether a header may be signed under this manifest (it stands for study and round number) for
    /// an update from this base model.
    ///
    /// # Errors
    /// [`RuleError`] names the rule and the round that stands against it.
    pub fn may_contribute(
        &self,
        manifest: &Manifest,
        base_model: ModelId,
    ) -> Result<(), RuleError> {
        let Manifest { study, round, .. } = *manifest;
        let of_study =
            || self.rounds.range((study, RoundNumber(0))..=(study, RoundNumber(u32::MAX)));
        if let Some(((_, last), _)) = of_study().next_back() {
            match round.cmp(last) {
                Ordering::Equal => return Err(RuleError::AlreadyContributed(round)),
                Ordering::Less => {
                    return Err(RuleError::NotRising { got: round, last: *last });
                }
                Ordering::Greater => {}
            }
        }
        if let Some(abstention) = self.abstains.get(&study) {
            abstention.allows(manifest)?;
        }
        if let Some(((_, open), _)) = of_study().find(|(_, (_, end))| end.is_none()) {
            return Err(RuleError::NoCertificate(*open));
        }
        self.may_start_from(base_model)
    }

    /// Whether an update from this base model may be contributed in a round of any number.
    ///
    /// # Errors
    /// [`RuleError::BaseModelSpent`] names the round in which one was.
    pub fn may_start_from(&self, base_model: ModelId) -> Result<(), RuleError> {
        match self.spent.get(&base_model).and_then(BTreeSet::first) {
            Some((study, round)) => Err(RuleError::BaseModelSpent { study: *study, round: *round }),
            None => Ok(()),
        }
    }

    /// Takes note of a record that is on disk (or of its end, once certified).
    pub fn record(&mut self, record: Record) {
        let Record { study, round, base_model, end } = record;
        self.rounds.insert((study, round), (base_model, end));
        let rounds = self.spent.entry(base_model).or_default();
        match end {
            Some(End::Abort) => rounds.remove(&(study, round)),
            Some(End::Set) | None => rounds.insert((study, round)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_crypto::Digest;
    use ringfence_crypto::id::UnixSeconds;

    fn manifest(study: StudyId, round: u32) -> Manifest {
        Manifest {
            study,
            round: RoundNumber(round),
            initiator: "site-0".parse().unwrap(),
            opened_at: UnixSeconds(100),
            deadline: UnixSeconds(200),
            holders: Vec::new(),
            holder_keys: Vec::new(),
            base_model: Digest::of(b"keyed"),
            previous: None,
            trust: Digest::of(b"trust"),
        }
    }

    fn study(name: &[u8]) -> StudyId {
        Digest::of(name).into()
    }

    fn model(name: &[u8]) -> ModelId {
        Digest::of(name).into()
    }

    fn record(of: &[u8], round: u32, base: &[u8], end: Option<End>) -> Record {
        let (study, base_model) = (study(of), model(base));
        Record { study, round: RoundNumber(round), base_model, end }
    }

    #[test]
    fn one_opened_set_per_base_model() {
        let (of, base) = (study(b"s"), model(b"w0"));
        let mut contributor = Contributor::default();
        assert_eq!(contributor.may_contribute(&manifest(of, 0), base), Ok(()));
        contributor.record(record(b"s", 0, b"w0", None));
        let again = contributor.may_contribute(&manifest(of, 0), base);
        assert_eq!(again, Err(RuleError::AlreadyContributed(RoundNumber(0))));
        let next = contributor.may_contribute(&manifest(of, 1), model(b"w1"));
        assert_eq!(next, Err(RuleError::NoCertificate(RoundNumber(0))));

        let mut aborted = contributor.clone();
        aborted.record(record(b"s", 0, b"w0", Some(End::Abort)));
        assert_eq!(aborted.may_contribute(&manifest(of, 1), base), Ok(()));

        contributor.record(record(b"s", 0, b"w0", Some(End::Set)));
        let same = contributor.may_contribute(&manifest(of, 1), base);
        assert_eq!(same, Err(RuleError::BaseModelSpent { study: of, round: RoundNumber(0) }));
        assert_eq!(contributor.may_contribute(&manifest(of, 1), model(b"w1")), Ok(()));
        contributor.record(record(b"s", 3, b"w1", Some(End::Set)));
        let falling = contributor.may_contribute(&manifest(of, 2), model(b"w2"));
        assert_eq!(
            falling,
            Err(RuleError::NotRising { got: RoundNumber(2), last: RoundNumber(3) })
        );
    }

    #[test]
    fn a_site_restored_from_a_backup_abstains() {
        let (of, base) = (study(b"s"), model(b"w1"));
        let mut contributor = Contributor::restore([record(b"s", 0, b"w0", Some(End::Set))]);
        let through =
            |round| Abstention { restored_at: UnixSeconds(100), through: Some(RoundNumber(round)) };
        contributor.abstain(of, through(3));
        contributor.abstain(of, through(2));
        for round in 1..=3 {
            let abstains = contributor.may_contribute(&manifest(of, round), base);
            let (round, through) = (RoundNumber(round), RoundNumber(3));
            assert_eq!(abstains, Err(AbstentionError::Through { round, through }.into()));
        }
        assert_eq!(contributor.may_contribute(&manifest(of, 4), base), Ok(()));
        // Opened before the restore, by the manifest.
        let early = Manifest { opened_at: UnixSeconds(99), ..manifest(of, 4) };
        let error = contributor.may_contribute(&early, base).unwrap_err().to_string();
        assert!(error.contains("before this site was restored"), "{error}");
        let other = study(b"other");
        assert_eq!(contributor.may_contribute(&manifest(other, 0), base), Ok(()));
        // Restored once more, and not yet told how far.
        contributor.abstain(of, Abstention { restored_at: UnixSeconds(0), through: None });
        let error = contributor.may_contribute(&manifest(of, 9), base).unwrap_err();
        assert_eq!(error, AbstentionError::Unknown.into());
    }

    #[test]
    fn a_second_study_on_the_same_model_is_refused() {
        let contributor = Contributor::restore([record(b"s", 0, b"w0", Some(End::Set))]);
        let other = contributor.may_contribute(&manifest(study(b"other"), 0), model(b"w0"));
        assert!(matches!(other, Err(RuleError::BaseModelSpent { round: RoundNumber(0), .. })));
    }
}

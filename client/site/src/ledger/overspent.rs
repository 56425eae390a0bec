//! A round that a budget does not suffice for, in words.

use std::fmt;

use ringfence_crypto::id::{RoundNumber, StudyId};

use super::entry::Budget;

/// Whose budget it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The study's: its policy.
    Study,
    /// The hospital's: the ledger's terms, over all studies.
    Hospital,
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Study => "the study's",
            Self::Hospital => "the hospital's",
        })
    }
}

/// A round that would overspend.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct Overspent {
    /// Which budget.
    pub whose: Whose,
    /// The study.
    pub study: StudyId,
    /// The round.
    pub round: RoundNumber,
    /// The budget.
    pub budget: Budget,
    /// Epsilon that the worst of the round's units has spent.
    pub spent: f64,
    /// Epsilon that the worst unit would have spent after the round.
    pub after: f64,
    /// Units that would be beyond the budget.
    pub beyond: usize,
    /// Units of the round.
    pub units: usize,
}

impl fmt::Display for Overspent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whose, study, round, budget, spent, after, beyond, units } = self;
        let (budget_of, way_out) = match whose {
            Whose::Study => (
                format!("the budget of study {}", study.short()),
                "this site's part in the study ends here, unless it trains on units that have spent less; its earlier contributions stay",
            ),
            Whose::Hospital => (
                "the hospital's budget over all studies".to_owned(),
                "train on units that have spent less, take part in a study with more noise or fewer steps, or end here",
            ),
        };
        write!(
            f,
            "round {round} of study {} would overspend {budget_of}, {budget} for each unit: the unit that has spent most stands at epsilon {}, this round would take one to {}, and {beyond} of {units} units would be beyond; nothing was charged and nothing leaves; {way_out}",
            study.short(),
            shown(*spent),
            shown(*after)
        )
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epsilon {} at delta {}", self.epsilon, self.delta)
    }
}

/// An epsilon with four places, rounded up: never shown smaller than it is.
#[must_use]
pub fn shown(epsilon: f64) -> String {
    format!("{:.4}", (epsilon * 1e4).ceil() / 1e4)
}

//! What people read of a ledger: what each study and all together have spent, and what is left.

use std::collections::BTreeSet;
use std::path::Path;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};
use serde::Serialize;

use super::book::Book;
use super::entry::{Budget, Charged, Entry, Terms};
use super::error::LedgerError;
use super::exposure::{Exposure, Spending};
use super::units::Snapshot;

/// A ledger at a glance. Epsilons are upper bounds, for one unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LedgerSummary {
    /// Digest of the terms: which ledger.
    pub ledger: Digest,
    /// The terms.
    #[serde(flatten)]
    pub terms: Terms,
    /// Entries.
    pub entries: usize,
    /// What all studies together have spent, at the hospital's delta.
    pub spent: SpentSummary,
    /// What the unit that has spent most has left of the hospital's budget: the budget less what is
    /// spent. Epsilons of several rounds do not simply add up, so this is no number of rounds.
    pub epsilon_left: f64,
    /// Every study, in the order of their first charges.
    pub studies: Vec<StudySummary>,
}

/// What was spent by units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SpentSummary {
    /// How many units took part.
    pub units: usize,
    /// Epsilon of the unit that has spent most; 0 with no unit. Infinite, in JSON null, where what
    /// the noise lacks to exact noise takes up delta: no epsilon holds then.
    pub worst_epsilon: f64,
    /// Epsilon that at least half of the units have not passed; 0 with no unit. Infinite as above.
    pub median_epsilon: f64,
    /// How far the opened sums are from those that have these guarantees (statistical distance),
    /// where epsilon is so large that they have them not outright: see [`not_outright`].
    ///
    /// [`not_outright`]: ringfence_keys::update::site_noise::inexact::not_outright
    pub within: Option<f64>,
}

/// One study's part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StudySummary {
    /// The study.
    pub study: StudyId,
    /// The site's name there.
    pub site: SiteId,
    /// Rounds that were charged, the forgotten ones among them.
    pub rounds: u32,
    /// Of these, rounds that are charged because a restore may have forgotten them.
    pub forgotten_rounds: u32,
    /// When the first charge was made.
    pub first_at: UnixSeconds,
    /// When the last was made.
    pub last_at: UnixSeconds,
    /// The budget of its policy.
    pub budget: Budget,
    /// What it has spent alone, at its own delta.
    pub spent: SpentSummary,
    /// The budget less what its worst unit has spent.
    pub epsilon_left: f64,
}

impl LedgerSummary {
    /// Reads and verifies a ledger as it is. Whether it was copied back only the site's journal can
    /// tell: see [`Ledger::open`](super::Ledger::open).
    ///
    /// # Errors
    /// [`LedgerError`] when it is altered, in use, or none.
    pub fn read(folder: &Path) -> Result<Self, LedgerError> {
        // Whoever looks keeps nobody waiting.
        let book = Book::open(folder)?.released();
        let mut studies: Vec<StudySummary> = Vec::new();
        for entry in book.entries() {
            if !studies.iter().any(|known| known.study == entry.study) {
                studies.push(of_study(&book, entry.study, entry)?);
            }
        }
        let budget = book.terms.budget;
        let spent = spent(&book, book.entries(), budget)?;
        Ok(Self {
            ledger: book.id,
            terms: book.terms.clone(),
            entries: book.kept.len(),
            spent,
            epsilon_left: (budget.epsilon - spent.worst_epsilon).max(0.0),
            studies,
        })
    }
}

fn of_study(book: &Book, study: StudyId, first: &Entry) -> Result<StudySummary, LedgerError> {
    let entries = || book.entries().filter(|entry| entry.study == study);
    let (mut rounds, mut forgotten_rounds, mut last_at) = (0u32, 0u32, first.at);
    for entry in entries() {
        rounds = rounds.saturating_add(entry.rounds());
        if let Charged::Forgotten { rounds, .. } = entry.charged {
            forgotten_rounds = forgotten_rounds.saturating_add(rounds);
        }
        last_at = entry.at;
    }
    let spent = spent(book, entries(), first.budget)?;
    Ok(StudySummary {
        study,
        site: first.owner.site.clone(),
        rounds,
        forgotten_rounds,
        first_at: first.at,
        last_at,
        budget: first.budget,
        spent,
        epsilon_left: (first.budget.epsilon - spent.worst_epsilon).max(0.0),
    })
}

fn spent<'e>(
    book: &Book,
    entries: impl Iterator<Item = &'e Entry> + Clone,
    budget: Budget,
) -> Result<SpentSummary, LedgerError> {
    let mut universe = Snapshot::default();
    let names: BTreeSet<Digest> = entries.clone().map(|entry| entry.units).collect();
    for name in names {
        universe.join(&book.snapshot(name)?)?;
    }
    let exposed = Exposure::of(&universe, entries, |name| book.snapshot(name))?;
    let units = universe.units().len();
    let groups = match exposed.spending(budget) {
        Err(LedgerError::DeltaTaken { .. }) => vec![Spending { units, epsilon: f64::INFINITY }],
        groups => groups?,
    };
    Ok(SpentSummary {
        units,
        worst_epsilon: groups.last().map_or(0.0, |group| group.epsilon),
        median_epsilon: median(&groups),
        within: exposed.delta_left(budget).ok().and_then(|left| left.within()),
    })
}

/// The epsilon that at least half of the units have not passed. The least come first.
fn median(groups: &[Spending]) -> f64 {
    let units: usize = groups.iter().map(|group| group.units).sum();
    let mut counted = 0;
    for group in groups {
        counted += group.units;
        if 2 * counted >= units {
            return group.epsilon;
        }
    }
    0.0
}

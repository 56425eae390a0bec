//! What came out.

use std::fmt;

use ringfence_crypto::cohorts::CohortReport;
use ringfence_crypto::evidence::{Check, Found, RoundSummary};
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId, UnixSeconds};
use ringfence_crypto::log::Checkpoint;
use ringfence_crypto::statement::{PrivacyPolicy, Training, Weighting};
use serde::{Serialize, Serializer};

use crate::views::Fork;

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The study file, signed by all.
    Study,
    /// All rounds are there, and each begins where the one before ended.
    Rounds,
    /// A round's file can be read.
    File,
    /// A check of one round's statements.
    Round(Check),
    /// All checkpoints are of one log.
    OneHistory,
    /// Everything in the log is in a file of this export.
    WholeLog,
    /// One certified set a round.
    OneSet,
    /// One opened set a base model.
    OneOpening,
    /// What the sums of all rounds together could tell of few sites, and that sets are held apart
    /// where the study says so.
    Cohorts,
    /// The sum is that of the bodies.
    Sum,
    /// Sites have cosigned this log.
    Witnesses,
    /// A checkpoint that somebody else has seen is of this log.
    Seen,
    /// The stated privacy budget is at least what the rounds have spent.
    Spent,
}

impl Subject {
    /// Its name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Study => "study",
            Self::Rounds => "rounds",
            Self::File => "file",
            Self::Round(check) => check.name(),
            Self::OneHistory => "one-history",
            Self::WholeLog => "whole-log",
            Self::OneSet => "one-set",
            Self::OneOpening => "one-opening",
            Self::Cohorts => "cohorts",
            Self::Sum => "sum",
            Self::Witnesses => "witnesses",
            Self::Seen => "seen",
            Self::Spent => "spent",
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds, by what is in the folder alone.
    Proven,
    /// The round has not come so far.
    Pending,
    /// The bodies were deleted when the time for which they are kept was over: nothing is wrong, and
    /// nobody can add them up any more.
    Gone,
    /// Not in the folder, so that it could not be checked.
    Missing,
    /// It does not hold.
    False,
}

impl Verdict {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Pending => "pending",
            Self::Gone => "gone",
            Self::Missing => "missing",
            Self::False => "FALSE",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<Found> for Verdict {
    fn from(found: Found) -> Self {
        match found {
            Found::Proven => Self::Proven,
            Found::False => Self::False,
            Found::Pending => Self::Pending,
        }
    }
}

/// A check, what it found, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is about.
    pub check: Subject,
    /// What it found.
    pub verdict: Verdict,
    /// Why, in sentences.
    pub words: String,
}

impl Line {
    pub(crate) fn new(check: Subject, verdict: Verdict, words: impl Into<String>) -> Self {
        Self { check, verdict, words: words.into() }
    }
}

/// The study that all is held against.
#[derive(Clone, Debug, Serialize)]
pub struct StudyReport {
    /// For people.
    pub name: String,
    /// Its digest.
    pub id: StudyId,
    /// The sites that signed it, in ring order.
    pub sites: Vec<SiteId>,
    /// `c`: how many may collude.
    pub collusion: u16,
    /// `m`: key holders of a round.
    pub holders: u16,
    /// `Q`: endorsements of a certificate.
    pub endorsements: u16,
    /// `t`: openings that open a sum.
    pub opening: u16,
    /// Fewest contributions that a sum is opened for.
    pub min_sites: u16,
    /// When the study file was made.
    pub created_at: UnixSeconds,
    /// Numbers in the model.
    pub values: usize,
    /// How contributions are weighted.
    pub weighting: Weighting,
    /// What all sites train alike.
    pub training: Training,
    /// A round takes contributions for so many seconds at most.
    pub longest_round_seconds: u32,
    /// What the study promises of its sums.
    pub privacy: PrivacyPolicy,
    /// The key that the aggregator signs with.
    pub aggregator_key: String,
}

/// A round.
#[derive(Clone, Debug, Serialize)]
pub struct RoundReport {
    /// Which.
    pub round: RoundNumber,
    /// Its checks.
    pub lines: Vec<Line>,
    /// The round at a glance; none where its file cannot be read, or opens no round of the study.
    pub summary: Option<RoundSummary>,
}

/// What came out of an audit.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What made it.
    pub program: String,
    /// The worst of all verdicts.
    pub verdict: Verdict,
    /// The study.
    pub study: StudyReport,
    /// The log's state that all is held against, if it could be told.
    pub checkpoint: Option<Checkpoint>,
    /// What the sums of all rounds could tell together, if the rounds could be read.
    pub cohorts: Option<CohortReport>,
    /// Both signed heads wherever the log was found to be forked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forks: Vec<Fork>,
    /// Checks of the study as a whole.
    pub lines: Vec<Line>,
    /// The rounds.
    pub rounds: Vec<RoundReport>,
}

impl Report {
    /// All checks, each with its round where it is of one.
    pub fn all(&self) -> impl Iterator<Item = (Option<RoundNumber>, &Line)> {
        let of_rounds = self
            .rounds
            .iter()
            .flat_map(|round| round.lines.iter().map(|line| (Some(round.round), line)));
        self.lines.iter().map(|line| (None, line)).chain(of_rounds)
    }

    /// What is false.
    pub fn faults(&self) -> impl Iterator<Item = (Option<RoundNumber>, &Line)> {
        self.all().filter(|(_, line)| line.verdict == Verdict::False)
    }

    /// What an audit ends with: 0 where nothing is false and nothing is missing, 1 where something is
    /// false, 3 where something could not be checked.
    pub fn exit_code(&self) -> u8 {
        match self.verdict {
            Verdict::Proven | Verdict::Pending | Verdict::Gone => 0,
            Verdict::False => 1,
            Verdict::Missing => ringfence_exit::INCOMPLETE,
        }
    }
}

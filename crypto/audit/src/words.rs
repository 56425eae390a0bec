//! The report in plain language: questions, sentences that answer them, and the check behind each.
//!
//! A sentence is said only where every check behind it holds. Where one is false, missing or not yet
//! made, the report says that instead, and names the check: it never claims what was not shown.

mod answers;
mod conduct;
mod limits;

use std::fmt;

use ringfence_crypto::id::RoundNumber;

use crate::report::{Report, Verdict};

/// A question, and sentences that answer it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The question, as a heading.
    pub question: &'static str,
    /// The sentences.
    pub sentences: Vec<Said>,
}

/// A sentence as the report may say it.
#[derive(Clone, Debug)]
pub struct Said {
    /// What is said.
    pub words: String,
    /// Whether it says that something was not shown.
    pub withheld: bool,
    /// What it rests on.
    pub basis: Basis,
}

/// What a sentence rests on.
#[derive(Clone, Debug)]
pub enum Basis {
    /// Checks of this report.
    Checks(Vec<Behind>),
    /// Nothing that a folder can show: whoever relies on the study assumes it.
    Assumption,
    /// Nothing that needs showing: it says what is not protected.
    Limit,
    /// The protocol, which the documentation states.
    Rule,
}

impl Said {
    /// The names of the checks that it rests on, or what it is where there are none.
    pub fn rests_on(&self) -> String {
        match &self.basis {
            Basis::Checks(behind) => {
                behind.iter().map(|behind| behind.check).collect::<Vec<_>>().join(", ")
            }
            other => other.name().to_owned(),
        }
    }
}

impl Basis {
    /// What a reader is told that a sentence rests on, where that is no check.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Checks(_) => "checked",
            Self::Assumption => "assumed",
            Self::Limit => "limit",
            Self::Rule => "rule of the protocol",
        }
    }
}

/// A check behind a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Its name.
    pub check: &'static str,
    /// Where its worst finding stands: in a round, or among those of the study; nowhere where the
    /// check is not in the report.
    pub at: Option<Place>,
    /// What it found; missing where the check is not in the report.
    pub verdict: Verdict,
}

/// Where a line of the report stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Among those of the study as a whole.
    Study,
    /// Among those of a round.
    Round(RoundNumber),
}

impl From<Option<RoundNumber>> for Place {
    fn from(round: Option<RoundNumber>) -> Self {
        round.map_or(Self::Study, Self::Round)
    }
}

impl fmt::Display for Place {
    /// As links call it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Study => f.write_str("all"),
            Self::Round(round) => round.fmt(f),
        }
    }
}

impl fmt::Display for Behind {
    /// As in `certificate of round 3 is FALSE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            None => write!(f, "{} is not in this report", self.check),
            Some(Place::Study) => write!(f, "{} is {}", self.check, self.verdict),
            Some(Place::Round(round)) => {
                write!(f, "{} of round {round} is {}", self.check, self.verdict)
            }
        }
    }
}

/// The questions that the report answers in plain language, in order.
pub fn answers(report: &Report) -> Vec<Answer> {
    let answer = |(question, sentences): (&'static str, Vec<Sentence>)| Answer {
        question,
        sentences: sentences.into_iter().map(|sentence| sentence.held_to(report)).collect(),
    };
    let sections = [
        ("What was protected", answers::protected(report)),
        ("From whom", answers::from_whom(report)),
        ("Under which assumptions", answers::assumptions(report)),
        ("What was not protected", limits::unprotected(report)),
        ("What was agreed, and whether all kept to it", conduct::agreed(report)),
        ("What happens when somebody withdraws, and what is kept", conduct::withdrawal(report)),
        ("Why this report can be believed, and what it does not show", limits::belief(report)),
    ];
    sections.into_iter().map(answer).collect()
}

/// A sentence before it is held to the checks.
struct Sentence {
    /// Said where all checks hold.
    words: String,
    /// What is not shown where they do not: a clause, as in `that only sums were opened`.
    topic: &'static str,
    basis: On,
}

/// What a sentence is to rest on.
enum On {
    /// Checks of these names.
    Checks(Vec<&'static str>),
    Assumption,
    Limit,
    Rule,
}

impl Sentence {
    /// Rests on checks.
    fn checked(
        words: impl Into<String>,
        topic: &'static str,
        checks: impl Into<Vec<&'static str>>,
    ) -> Self {
        Self { words: words.into(), topic, basis: On::Checks(checks.into()) }
    }

    fn assumption(words: impl Into<String>) -> Self {
        Self { words: words.into(), topic: "", basis: On::Assumption }
    }

    fn limit(words: impl Into<String>) -> Self {
        Self { words: words.into(), topic: "", basis: On::Limit }
    }

    fn rule(words: impl Into<String>) -> Self {
        Self { words: words.into(), topic: "", basis: On::Rule }
    }

    /// What may be said of it.
    fn held_to(self, report: &Report) -> Said {
        let checks = match self.basis {
            On::Checks(checks) => checks,
            On::Assumption => return said(self.words, Basis::Assumption),
            On::Limit => return said(self.words, Basis::Limit),
            On::Rule => return said(self.words, Basis::Rule),
        };
        let mut behind: Vec<Behind> =
            checks.into_iter().map(|check| worst(check, report)).collect();
        // What cannot be read at all shows nothing, of whatever check.
        let unread = worst("file", report);
        if unread.verdict == Verdict::False {
            behind.push(unread);
        }
        let lacks = |of: &[Verdict]| -> Vec<String> {
            behind.iter().filter(|one| of.contains(&one.verdict)).map(ToString::to_string).collect()
        };
        let (bad, open) = (lacks(&[Verdict::False, Verdict::Missing]), lacks(&[Verdict::Pending]));
        let (yet, lacks) = match (bad.is_empty(), open.is_empty()) {
            (true, true) => return said(self.words, Basis::Checks(behind)),
            (true, false) => (" yet", open),
            (false, _) => ("", bad),
        };
        let words = format!("This folder does not show{yet} {}: {}.", self.topic, lacks.join("; "));
        Said { words, withheld: true, basis: Basis::Checks(behind) }
    }
}

fn said(words: String, basis: Basis) -> Said {
    Said { words, withheld: false, basis }
}

/// The worst finding of a check, and the first place where it stands. That a round has not come so far
/// counts only where there is nothing else.
fn worst(check: &'static str, report: &Report) -> Behind {
    let rank = |verdict| if verdict == Verdict::Pending { None } else { Some(verdict) };
    let lines = report.all().filter(|(_, line)| line.check.name() == check);
    let worst =
        lines.reduce(
            |before, line| {
                if rank(line.1.verdict) > rank(before.1.verdict) { line } else { before }
            },
        );
    match worst {
        Some((round, line)) => Behind { check, at: Some(round.into()), verdict: line.verdict },
        None => Behind { check, at: None, verdict: Verdict::Missing },
    }
}

/// So many of something: `1 round`, `3 rounds`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

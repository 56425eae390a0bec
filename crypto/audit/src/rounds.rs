//! Each round's file, one after the other, and the rounds together.

use std::collections::BTreeMap;

use ringfence_crypto::Digest;
use ringfence_crypto::evidence::{Check, RoundProof, Verified, Verifier};
use ringfence_crypto::id::{HeaderId, RoundNumber, SiteId};
use ringfence_crypto::log::{Checkpoint, LogEntry};
use ringfence_crypto::round::{Event, RoundState};
use ringfence_crypto::signature::Statement as _;
use ringfence_crypto::statement::{Header, Previous, Spent, Study, Subject as Opened};

use crate::cohorts::CertifiedSet;
use crate::folder::Folder;
use crate::progress::{Progress, Step};
use crate::report::{Line, RoundReport, Subject, Verdict};

/// What is kept of a round when its file is done with.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) round: RoundNumber,
    /// The study in force in it.
    pub(crate) study: std::sync::Arc<Study>,
    /// The log's state that the file proves itself in.
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) entries: Vec<(u64, LogEntry)>,
    /// Every contribution with a receipt: whose, its header, the body's digest.
    pub(crate) bodies: BTreeMap<SiteId, (HeaderId, Digest)>,
    /// What headers state of the budget.
    pub(crate) spent: BTreeMap<SiteId, Spent>,
    /// Closings in the file, whatever they are.
    pub(crate) closings: usize,
    /// The set that is certified, if one is.
    pub(crate) certified: Option<CertifiedSet>,
    /// Whether it opened something, and from which base model.
    pub(crate) opened: bool,
}

/// All rounds' files.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    pub(crate) reports: Vec<RoundReport>,
    pub(crate) kept: Vec<Kept>,
    pub(crate) missing: Vec<RoundNumber>,
    /// Whether no round but the last is unfinished, and each file stands on the one before.
    pub(crate) broken: Option<RoundNumber>,
}

impl Rounds {
    /// Checks every file of the folder, in order.
    pub(crate) fn check(
        folder: Folder<'_>,
        verifier: &Verifier,
        progress: Progress<'_>,
    ) -> Result<Self, crate::FolderError> {
        let there = folder.rounds()?;
        let mut rounds = Self::default();
        let Some(last) = there.iter().next_back().copied() else { return Ok(rounds) };
        let mut previous: Option<Previous> = None;
        let mut epochs = 0;
        for round in (0..=last.0).map(RoundNumber) {
            progress(Step::Round { round, last });
            if !there.contains(&round) {
                rounds.missing.push(round);
                previous = None;
                continue;
            }
            let proof = match folder.proof(round) {
                Ok(bytes) => {
                    RoundProof::parse(&bytes.unwrap_or_default()).map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            let proof = match proof {
                Ok(proof) => proof,
                Err(words) => {
                    let lines = vec![Line::new(Subject::File, Verdict::False, words)];
                    rounds.reports.push(RoundReport { round, lines, summary: None });
                    previous = None;
                    continue;
                }
            };
            let verified = verifier.verify(&proof, previous.as_ref());
            let mut lines = lines(&verified);
            if proof.round != round {
                let words = format!(
                    "The file of round {round} holds the statements of round {}.",
                    proof.round
                );
                lines.push(Line::new(Subject::File, Verdict::False, words));
            }
            if proof.epochs.len() < epochs {
                let words =
                    "The file states fewer changes of the roster than one of a round before.";
                lines.push(Line::new(Subject::Round(Check::Epochs), Verdict::False, words));
            }
            epochs = epochs.max(proof.epochs.len());
            if previous.is_none()
                && round.0 > 0
                && !rounds.missing.contains(&RoundNumber(round.0 - 1))
            {
                rounds.broken.get_or_insert(round);
            }
            previous = verified.ended.clone();
            rounds.kept.push(kept(round, &proof, &verified));
            rounds.reports.push(RoundReport { round, lines, summary: verified.summary });
        }
        Ok(rounds)
    }

    /// Whether all are there, and each begins where the one before ended.
    pub(crate) fn all_there(&self) -> Line {
        let check = |verdict, words: String| Line::new(Subject::Rounds, verdict, words);
        let count = self.reports.len();
        if let Some(missing) = self.missing.first() {
            return check(
                Verdict::Missing,
                format!(
                    "{} no file, the first of them round {missing}: fetch the export again.",
                    match self.missing.len() {
                        1 => "1 round has".to_owned(),
                        more => format!("{more} rounds have"),
                    }
                ),
            );
        }
        if let Some(round) = self.broken {
            return check(
                Verdict::False,
                format!(
                    "Round {round} was opened although the file of the round before does not show that it had ended: something of that file is false, or it was made too early."
                ),
            );
        }
        match self.reports.last() {
            None => check(Verdict::Missing, "The folder has no file of a round.".to_owned()),
            Some(last) => check(
                Verdict::Proven,
                format!(
                    "All {count} rounds up to round {} have a file, and each begins where the one before ended.",
                    last.round
                ),
            ),
        }
    }

    /// One certified set a round: one closing in each file. That the log has no other is said elsewhere.
    pub(crate) fn one_set(&self) -> Line {
        let two = self.kept.iter().find(|kept| kept.closings > 1);
        if let Some(two) = two {
            let words = format!("Round {} has {} closings.", two.round, two.closings);
            return Line::new(Subject::OneSet, Verdict::False, words);
        }
        let closed = self.kept.iter().filter(|kept| kept.closings == 1).count();
        Line::new(
            Subject::OneSet,
            Verdict::Proven,
            format!(
                "Each of the {closed} rounds that were closed has one closing, and so one set at most."
            ),
        )
    }

    /// One opened set a base model: from two sums over the same updates, single ones can be computed.
    pub(crate) fn one_opening(&self) -> Line {
        let mut of: BTreeMap<Digest, RoundNumber> = BTreeMap::new();
        let mut opened = 0;
        for (kept, report) in self.kept.iter().filter_map(|kept| Some((kept, self.summary(kept)?)))
        {
            if !kept.opened {
                continue;
            }
            opened += 1;
            if let Some(before) = of.insert(report.base_model, kept.round) {
                return Line::new(
                    Subject::OneOpening,
                    Verdict::False,
                    format!(
                        "Rounds {before} and {} both opened a sum of updates that start from the same model: from two such sums the update of a single site may be computed.",
                        kept.round
                    ),
                );
            }
        }
        Line::new(
            Subject::OneOpening,
            Verdict::Proven,
            format!(
                "Something was opened in {opened} of {} rounds, and no two of them start from the same model.",
                self.reports.len()
            ),
        )
    }

    fn summary(&self, kept: &Kept) -> Option<&ringfence_crypto::evidence::RoundSummary> {
        self.reports.iter().find(|report| report.round == kept.round)?.summary.as_ref()
    }
}

fn lines(verified: &Verified) -> Vec<Line> {
    let line = |finding: &ringfence_crypto::evidence::Finding| Line {
        check: Subject::Round(finding.check),
        verdict: finding.found.into(),
        words: finding.words.clone(),
    };
    verified.findings.iter().map(line).collect()
}

fn kept(round: RoundNumber, proof: &RoundProof, verified: &Verified) -> Kept {
    let in_force = verified.lineage.in_force(round);
    let mut headers: BTreeMap<SiteId, &Header> = BTreeMap::new();
    let (mut received, mut closings, mut opened) = (Vec::new(), 0, false);
    for event in &proof.events {
        match &event.statement {
            Event::Announced(header) => {
                headers.insert(header.statement.site.clone(), &header.statement);
            }
            Event::Received(receipt) => received.push(receipt.statement.site.clone()),
            Event::Closed(_) => closings += 1,
            Event::Opened(opening) => opened |= opening.statement.subject == Opened::Sum,
            _ => {}
        }
    }
    let received: Vec<(SiteId, &Header)> = received
        .into_iter()
        .filter_map(|site| Some((site.clone(), *headers.get(&site)?)))
        .collect();
    Kept {
        round,
        study: in_force.study.clone(),
        checkpoint: verified.checkpoint,
        entries: proof.entries(),
        bodies: received
            .iter()
            .map(|(site, header)| (site.clone(), (header.id(), header.body)))
            .collect(),
        spent: received
            .iter()
            .filter_map(|(site, header)| Some((site.clone(), header.spent?)))
            .collect(),
        closings,
        certified: CertifiedSet::of(proof, &in_force.study),
        opened: opened
            && verified.summary.as_ref().is_none_or(|round| round.state != RoundState::Aborted),
    }
}

//! The checks: the round's own machine, driven by the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::finding::{Check, Finding, Found};
use super::log::{check_closing_log, check_log};
use super::proof::RoundProof;
use super::summary::RoundSummary;
use super::words::Replayed;
use crate::log::note::NoteError;
use crate::log::{Checkpoint, NoteKey, origin};
use crate::round::{Event, ReplayError, Round, RoundError};
use crate::signature::{Signed, Statement};
use crate::statement::{
    HolderKeys, InForce, Lineage, Previous, RoundKeys, SignedStudy, StudyError,
};

/// A study that its whole roster signed: what all evidence of its rounds is held against.
#[derive(Clone, Debug)]
pub struct Verifier {
    first: Lineage,
    key: NoteKey,
}

/// What the file of a round shows.
#[derive(Clone, Debug)]
pub struct Verified {
    /// One for each check, in the order of [`Check::ALL`].
    pub findings: Vec<Finding>,
    /// The round at a glance; none where the manifest does not open a round of the study.
    pub summary: Option<RoundSummary>,
    /// How the round ended, for the one after it; none where it is not over, or something is false.
    pub ended: Option<Previous>,
    /// Size and root of the log, if all statements of the file are proved to be in it.
    pub checkpoint: Option<Checkpoint>,
    /// The study with its epochs up to this round.
    pub lineage: Lineage,
}

impl Verified {
    /// What is false.
    pub fn faults(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.found == Found::False)
    }

    /// Whether nothing is false.
    pub fn holds(&self) -> bool {
        self.faults().next().is_none()
    }

    /// What a check found.
    pub fn of(&self, check: Check) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.check == check)
    }
}

/// Failures of each check, the first one's words and how many more there are.
#[derive(Debug, Default)]
struct Failures(BTreeMap<Check, (String, usize)>);

impl Failures {
    fn add(&mut self, check: Check, words: String) {
        self.0.entry(check).and_modify(|(_, more)| *more += 1).or_insert((words, 0));
    }

    fn add_result(&mut self, check: Check, result: Result<(), String>) {
        if let Err(words) = result {
            self.add(check, words);
        }
    }
}

impl Verifier {
    /// Checks the study, and every signature of its roster.
    ///
    /// # Errors
    /// [`StudyError`]: it is not sound, or not all have signed it.
    pub fn new(signed: SignedStudy) -> Result<Self, StudyError> {
        signed.verify()?;
        let first = Lineage::of(Arc::new(signed.study));
        let key = note_key(first.first());
        let key = key.map_err(|_| StudyError::Name(first.first().study.name.len()))?;
        Ok(Self { first, key })
    }

    /// The study as it was first signed.
    pub fn study(&self) -> &InForce {
        self.first.first()
    }

    /// What the aggregator signs the log's checkpoints with.
    pub fn log_key(&self) -> &NoteKey {
        &self.key
    }

    /// Checks the file of a round. `previous` is how the round before ended, by its own file; without
    /// it the closing and the trust that this file states are taken, as far as the manifest names
    /// them. Sites that an epoch between the two has put out are left out of its trust here.
    pub fn verify(&self, proof: &RoundProof, previous: Option<&Previous>) -> Verified {
        let mut failures = Failures::default();
        let mut lineage = self.first.clone();
        failures.add_result(Check::Epochs, add_epochs(&mut lineage, proof));
        let in_force = lineage.in_force(proof.round).clone();
        let before = previous_of(proof, &in_force);
        let previous = previous.map(|ended| Previous {
            trust: lineage.carried(&ended.trust, ended.round, proof.round),
            ..ended.clone()
        });
        if let (Some(ours), Some(theirs)) = (&previous, &before)
            && ours != theirs
        {
            let words = differs(ours, theirs);
            failures.add(Check::Manifest, words);
        }
        let previous = previous.as_ref().or(before.as_ref());
        failures.add_result(Check::Manifest, check_before(proof, &in_force));
        let checkpoint = check_log(proof, &self.key);
        let manifest = &proof.manifest.statement;
        let closing_log = checkpoint
            .as_ref()
            .ok()
            .and_then(|checkpoint| check_closing_log(proof, &manifest.statement, checkpoint));
        failures.add_result(Check::RoundKeys, check_round_keys(proof, &in_force));
        let opened = Round::open(in_force.study.clone(), in_force.id, manifest.clone(), previous);
        let round = match opened {
            Ok(round) => Some(replay(round, proof, &mut failures)),
            Err(error) => {
                failures.add(Check::Manifest, error.to_string());
                None
            }
        };
        if let Err(words) = &checkpoint {
            failures.add(Check::Log, words.clone());
        }
        if let Some(Err(words)) = &closing_log {
            failures.add(Check::ClosingLog, words.clone());
        }
        let announced = |event: &Event| matches!(event, Event::Announced(_));
        let announced = proof.events.iter().filter(|event| announced(&event.statement)).count();
        let study = &*in_force.study;
        let seen = Seen {
            proof,
            replayed: round.as_ref().map(|round| Replayed { study, round, announced }),
            checkpoint: checkpoint.as_ref().ok().copied(),
            closing_log: closing_log.and_then(Result::ok),
        };
        let finding = |check: Check| {
            let (found, words) = match failures.0.get(&check) {
                Some((words, 0)) => (Found::False, sentence(words)),
                Some((words, more)) => {
                    (Found::False, format!("{} {more} more of this kind.", sentence(words)))
                }
                None => seen.holds(check),
            };
            Finding { check, found, words }
        };
        let findings: Vec<Finding> = Check::ALL.into_iter().map(finding).collect();
        let sound = failures.0.is_empty();
        // Once: it judges all reviews again.
        let ended = round.as_ref().and_then(Round::ended);
        let summary = |round| RoundSummary::of(study, round, ended.as_ref());
        Verified {
            summary: round.as_ref().map(summary),
            ended: ended.filter(|_| sound),
            checkpoint: checkpoint.ok(),
            findings,
            lineage,
        }
    }
}

/// What the file shows, as far as nothing of it is false.
struct Seen<'a> {
    proof: &'a RoundProof,
    /// None where the manifest opens no round.
    replayed: Option<Replayed<'a>>,
    /// None where the log could not be checked.
    checkpoint: Option<Checkpoint>,
    /// That the closing was signed over the beginning of the log, in words.
    closing_log: Option<String>,
}

impl Seen<'_> {
    /// What a check shows that has found nothing false.
    fn holds(&self, check: Check) -> (Found, String) {
        let Self { proof, replayed, checkpoint, closing_log } = self;
        let manifest = &proof.manifest.statement.statement;
        let proven = |words: String| (Found::Proven, words);
        match check {
            Check::Epochs => proven(match proof.epochs.len() {
                0 => "The roster is the one that signed the study.".to_owned(),
                1 => "The roster has changed once; those who must sign a change have signed it."
                    .to_owned(),
                times => format!(
                    "The roster has changed {times} times; those who must sign a change have signed each."
                ),
            }),
            Check::Manifest => proven(format!(
                "{} opened round {}, whose turn it was, and signed what it is about.",
                manifest.initiator, manifest.round
            )),
            Check::RoundKeys => proven(format!(
                "{} of {} key holders hold under keys for single rounds, which they signed.",
                proof.round_keys.len(),
                manifest.holder_keys.len()
            )),
            Check::Log => proven(format!(
                "All {} statements of this file are in the log at the places that it states; the aggregator signed the log's state of {} leaves.",
                proof.entries().len(),
                checkpoint.map_or(0, |checkpoint| checkpoint.size)
            )),
            Check::ClosingLog => match (closing_log, checkpoint) {
                (Some(words), _) => proven(words.clone()),
                (None, None) => not_checked("the log could not be checked"),
                (None, Some(_)) => (Found::Pending, "There is no closing.".to_owned()),
            },
            _ => match replayed {
                Some(replayed) => replayed.said(check),
                None => not_checked("the manifest opens no round of this study"),
            },
        }
    }
}

fn not_checked(why: &str) -> (Found, String) {
    (Found::Pending, format!("Not checked: {why}."))
}

/// A failure as a sentence of a report.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

fn note_key(study: &InForce) -> Result<NoteKey, NoteError> {
    NoteKey::new(&origin(study.id), study.study.aggregator_key)
}

fn add_epochs(lineage: &mut Lineage, proof: &RoundProof) -> Result<(), String> {
    for logged in &proof.epochs {
        let from = lineage.add(logged.statement.clone()).map_err(|error| error.to_string())?.from;
        if from > proof.round {
            return Err(format!(
                "the file of round {} states an epoch that begins with round {from}",
                proof.round
            ));
        }
    }
    Ok(())
}

/// How the round before ended, as the file states it.
fn previous_of(proof: &RoundProof, in_force: &InForce) -> Option<Previous> {
    let before = proof.before.as_ref()?;
    let closing = &before.closing.statement;
    closing.verify(&in_force.study.aggregator_key, &"the aggregator").ok()?;
    Some(Previous {
        round: closing.statement.round,
        closing: closing.id(),
        closed_at: closing.statement.closed_at,
        trust: before.trust.clone(),
    })
}

fn check_before(proof: &RoundProof, in_force: &InForce) -> Result<(), String> {
    let manifest = &proof.manifest.statement.statement;
    if manifest.round != proof.round {
        return Err(format!(
            "the file is of round {}, its manifest of {}",
            proof.round, manifest.round
        ));
    }
    let Some(before) = &proof.before else { return Ok(()) };
    let signed = before.closing.statement.verify(&in_force.study.aggregator_key, &"the aggregator");
    signed.map_err(|error| error.to_string())?;
    let (named, got) = (manifest.trust, before.trust.digest());
    match named == got {
        true => Ok(()),
        false => Err(format!(
            "the file states a trust before the round with digest {got}, the manifest names {named}"
        )),
    }
}

fn differs(ours: &Previous, theirs: &Previous) -> String {
    format!(
        "the file says that round {} ended with closing {}, and its own file shows round {} with closing {} and {} barred",
        theirs.round,
        theirs.closing,
        ours.round,
        ours.closing,
        ours.trust.barred.len()
    )
}

/// The statements of round keys are those that the manifest names, and no others.
fn check_round_keys(proof: &RoundProof, in_force: &InForce) -> Result<(), String> {
    let manifest = &proof.manifest.statement.statement;
    let statements: Vec<Signed<RoundKeys>> =
        proof.round_keys.iter().map(|keys| keys.statement.clone()).collect();
    let named = manifest.holder_keys.iter().flatten();
    if !statements.iter().map(|keys| keys.statement.id()).eq(named.copied()) {
        return Err(
            "the file's statements of round keys are not those that the manifest names".to_owned()
        );
    }
    let resolved = HolderKeys::resolve(&in_force.study, manifest, &statements);
    resolved.map(drop).map_err(|error| error.to_string())
}

/// Plays the statements through the round's machine. One that is refused changes nothing, and the
/// others are tried all the same.
fn replay(mut round: Round, proof: &RoundProof, failures: &mut Failures) -> Round {
    for logged in &proof.events {
        let event = &logged.statement;
        let proved = match event {
            Event::Closed(closing) => Some(closing.statement.checkpoint),
            _ => None,
        };
        for note in round.notes_before(event) {
            match round.check_shown(&note, None) {
                Ok(()) => round.apply(note),
                Err(error) => failures.add(Check::Closing, error.to_string()),
            }
        }
        match round.check_shown(event, proved) {
            Ok(()) => round.apply(event.clone()),
            Err(error) => {
                let words = format!("leaf {}: {error}", logged.leaf);
                failures.add(check_of(event, &error), words);
            }
        }
    }
    round
}

/// The check that an event belongs to.
fn check_of(event: &Event, error: &ReplayError) -> Check {
    match event {
        Event::Announced(_) => match error {
            ReplayError::Round(RoundError::Spent { .. }) => Check::Budget,
            _ => Check::Contributions,
        },
        Event::Received(_) => Check::Receipts,
        Event::Damaged { .. } | Event::Mended { .. } => Check::Log,
        Event::Frozen(_) => Check::Freeze,
        Event::Reviewed(_) => Check::Reviews,
        Event::Closed(_) => Check::Closing,
        Event::Endorsed(_) => Check::Certificate,
        Event::Disputed(_) | Event::Judged(_) => Check::Disputes,
        Event::Opened(_) => Check::Openings,
        Event::Acknowledged(_) => Check::Acknowledgements,
    }
}

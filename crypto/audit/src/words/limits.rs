//! What was not protected, and what the report itself cannot show.

use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::{PrivacyPolicy, PrivacyUnit, RecordLevel, SiteLevel};

use super::answers::{WHOLE, summaries};
use super::{Sentence, count};
use crate::report::{Report, Subject};

pub(super) fn unprotected(report: &Report) -> Vec<Sentence> {
    let mut sentences = match report.study.privacy {
        PrivacyPolicy::None | PrivacyPolicy::SetsApart => vec![
            Sentence::limit(
                "What the opened sums and the trained model give away by themselves: this study adds no noise, so that nothing bounds what they tell of a patient. Whether a given patient was in the data may be found out from them.",
            ),
            Sentence::checked(
                "The study sets no privacy budget, and no site states that it keeps one.",
                "that no site states a privacy budget in a study that sets none",
                ["budget", "spent"],
            ),
        ],
        PrivacyPolicy::RecordLevel(policy) => records(report, policy),
        PrivacyPolicy::SiteLevel(policy) => sites(report, policy),
    };
    sentences.extend([
        together(report),
        Sentence::limit(
            "Who took part, when, and how large the model is: server and log show it.",
        ),
        Sentence::limit(
            "The model against false training: a site may send an update that harms it, within the bounds that the study sets.",
        ),
        Sentence::limit("A site's own data on its own machines, and the model where it is used."),
    ]);
    sentences
}

/// What the sums of several rounds tell together.
fn together(report: &Report) -> Sentence {
    match report.study.privacy {
        PrivacyPolicy::SetsApart => Sentence::checked(
            format!(
                "What the sums of several rounds tell of a whole group of sites; of fewer than {} sites no combination of them tells, for every sum is over all or none of each group.",
                report.study.collusion + 2
            ),
            "that every sum is over whole groups of sites",
            ["cohorts"],
        ),
        _ => Sentence::checked(
            format!(
                "What sums of rounds with different members tell of the members in which they differ, beyond the noise that the study adds, if any. {}",
                fewest(report)
            ),
            "a measure of what the sums of several rounds tell together",
            ["cohorts"],
        ),
    }
}

/// The worst that the sums come to, in a sentence.
fn fewest(report: &Report) -> String {
    let Some(told) = &report.cohorts else { return String::new() };
    match (told.singled_out.as_slice(), told.fewest) {
        (_, None) => "No sum was opened yet.".to_owned(),
        ([], Some(fewest)) => format!(
            "Were a site's update the same in every round, some combination of the sums would be over as few as {}.",
            count(fewest.at_most, "site")
        ),
        (alone, _) => {
            let named: Vec<&str> = alone.iter().take(8).map(SiteId::as_str).collect();
            let more = match alone.len().saturating_sub(named.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!(
                "Were a site's update the same in every round, the sums would tell the update of {} by itself: {}{more}.",
                count(alone.len(), "site"),
                named.join(", ")
            )
        }
    }
}

fn records(report: &Report, policy: RecordLevel) -> Vec<Sentence> {
    let (unit, such_as) = match policy.unit {
        PrivacyUnit::Record => ("record", " (an image, a row)"),
        PrivacyUnit::Patient { .. } => ("patient", ""),
    };
    let words = format!(
        "What the opened sums and the trained model give away is bounded by noise, if the sites trained as they state: epsilon {} at delta {} for each {unit}{such_as}. {}",
        policy.epsilon,
        policy.delta,
        odds(policy.epsilon, policy.delta, &format!("a given {unit} was used"))
    );
    bounded(report, words)
}

fn sites(report: &Report, policy: SiteLevel) -> Vec<Sentence> {
    let words = format!(
        "What the opened sums give away of a single site is bounded by noise, if the honest sites added it as they state: epsilon {} at delta {}. {} A single patient is protected no better than his site.",
        policy.epsilon,
        policy.delta,
        odds(policy.epsilon, policy.delta, "a given site sent a given update")
    );
    bounded(report, words)
}

/// The guarantee, and how much of it is spent.
fn bounded(report: &Report, guarantee: String) -> Vec<Sentence> {
    let spent = summaries(report).flat_map(|round| &round.spent);
    let most = spent.map(|by| f64::from(by.spent.epsilon)).fold(0.0, f64::max);
    // Rounded up: less is never said than was spent.
    let most = (most * 1000.0).ceil() / 1000.0;
    vec![
        Sentence::checked(
            guarantee,
            "that what the sums give away is bounded as the study says",
            ["study", "budget", "spent"],
        ),
        Sentence::checked(
            format!(
                "Each site keeps count and states it in every round: at most epsilon {most} is spent so far. That this is no less than what the rounds cost was computed here once more."
            ),
            "how much of the privacy budget is spent",
            ["budget", "spent", WHOLE[0], WHOLE[1]],
        ),
    ]
}

/// What epsilon and delta mean for somebody who guesses.
fn odds(epsilon: f32, delta: f32, guess: &str) -> String {
    let factor = f64::from(epsilon).exp();
    if factor > 1e6 {
        return "At so large an epsilon this bounds next to nothing.".to_owned();
    }
    format!(
        "Whoever sees all of it can raise the odds of his guess that {guess} by a factor of {factor:.1} at most, but for a chance of {delta}."
    )
}

/// How far the folder goes. A server can hand out the beginning of its log as if that were all.
fn until(report: &Report) -> String {
    let size = report.checkpoint.map_or(0, |checkpoint| checkpoint.size);
    let dates = summaries(report).flat_map(|round| [Some(round.opened_at), round.closed_at]);
    let last = match dates.flatten().max() {
        Some(last) => format!(", the last dated one of {}", last.utc()),
        None => String::new(),
    };
    let seen = report.lines.iter().find(|line| line.check == Subject::Witnesses);
    let seen = match seen {
        Some(line) => format!(" What the sites say of it: {}", line.words),
        None => " It has nothing of the sites on whether this is the log that they were shown."
            .to_owned(),
    };
    format!(
        "What came later: this folder is the log as it stood at {}{last}, and a server can give out the beginning of its log as if it were all. Ask a site how many statements its last checkpoint has, or compare the checkpoint that it keeps (ringfence-audit --seen).{seen}",
        count(usize::try_from(size).unwrap_or(usize::MAX), "statement")
    )
}

pub(super) fn belief(report: &Report) -> Vec<Sentence> {
    vec![
        Sentence::checked(
            "Nothing was taken back: the log only grew, all of it is in this folder, and every round's statements are in it in the order in which they were made.",
            "that nothing was taken back or left out",
            ["one-history", "whole-log", "log", "closing-log"],
        ),
        Sentence::checked(
            format!(
                "Whoever handed this folder over need not be trusted: every statement in it carries the signature of its site or of the server, and {} holds them against the study file without a key or a network.",
                report.program
            ),
            "that the folder is complete and unaltered",
            ["study", "rounds", "one-history", "whole-log", "log"],
        ),
        Sentence::limit(until(report)),
        Sentence::limit(
            "A site that was shown another log than this one would have to compare: two heads of the log that do not agree convict the server.",
        ),
        Sentence::limit(
            "It does not show what ran on a site's machine, whose data were in it, whether they might be used for this, or whether the model is good. It is evidence for a judgement, and no judgement of law.",
        ),
    ]
}

//! What was not protected, and what the report itself cannot show.

use ringfence_crypto::statement::{PrivacyPolicy, PrivacyUnit, RecordLevel, SiteLevel};

use super::Sentence;
use super::answers::{WHOLE, summaries};
use crate::report::Report;

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
            "What sums of rounds with different members tell of the members in which they differ, beyond the noise that the study adds, if any: the check measures how few sites that can be.",
            "a measure of what the sums of several rounds tell together",
            ["cohorts"],
        ),
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
        Sentence::limit(
            "A site that was shown another log than this one would have to compare: two heads of the log that do not agree convict the server.",
        ),
        Sentence::limit(
            "It does not show what ran on a site's machine, whose data were in it, whether they might be used for this, or whether the model is good. It is evidence for a judgement, and no judgement of law.",
        ),
    ]
}

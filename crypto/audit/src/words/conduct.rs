//! What was agreed, who kept to it, what happens when somebody withdraws, and what is kept.

use std::collections::BTreeSet;

use ringfence_crypto::evidence::RoundSummary;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::statement::{PrivacyPolicy, Training};

use super::answers::summaries;
use super::{Sentence, count};
use crate::report::Report;

pub(super) fn agreed(report: &Report) -> Vec<Sentence> {
    let study = &report.study;
    let training = match study.training {
        Training::None => "that each site trains by its own program",
        Training::Plan(_) => "the training plan",
    };
    vec![
        Sentence::checked(
            format!(
                "All {} sites signed one study file: who takes part, how many must agree to what, the promise on privacy, {training}, the server's key. Every round names it by its digest: there was no round under other rules.",
                study.sites.len()
            ),
            "that all sites agreed to the rules of every round",
            ["study", "manifest", "rounds"],
        ),
        roster(report),
        Sentence::checked(
            broken(report),
            "who broke the protocol, if anybody did",
            behind_broken(report),
        ),
        Sentence::checked(
            left_out(report),
            "who was left out, and why",
            ["freeze", "reviews", "closing"],
        ),
        Sentence::checked(
            format!(
                "In {} enough sites confirmed by their signature that they hold the same model afterwards.",
                count(
                    summaries(report).filter(|round| round.agreed_model.is_some()).count(),
                    "round"
                )
            ),
            "what became of the sums",
            ["acknowledgements"],
        ),
        Sentence::checked(
            "Each round was opened by the site whose turn it was, and shares of keys were sealed to the key holders' own keys.",
            "that each round was opened as agreed",
            ["manifest", "round-keys"],
        ),
    ]
}

/// What was changed of who takes part.
fn roster(report: &Report) -> Sentence {
    let mut changes = Vec::new();
    let mut before = report.study.id;
    for round in summaries(report) {
        if round.study != before {
            changes.push(round.round.to_string());
            before = round.study;
        }
    }
    let words = match changes.as_slice() {
        [] => "Who takes part did not change.".to_owned(),
        [one] => format!(
            "Who takes part, or with which keys, changed once, before round {one}: by the signatures of those who must agree, and nothing else of the rules changed."
        ),
        more => format!(
            "Who takes part, or with which keys, changed {} times, before rounds {}: each time by the signatures of those who must agree, and nothing else of the rules changed.",
            more.len(),
            more.join(", ")
        ),
    };
    Sentence::checked(words, "how the roster changed", ["study", "epochs", "rounds"])
}

/// Whatever is false may be somebody's breach of the protocol.
fn behind_broken(report: &Report) -> Vec<&'static str> {
    let mut checks = vec!["reviews", "closing", "disputes", "whole-log"];
    for (_, line) in report.faults() {
        let name = line.check.name();
        // Said of every sentence.
        if !checks.contains(&name) && name != "file" {
            checks.push(name);
        }
    }
    checks
}

fn broken(report: &Report) -> String {
    let last = summaries(report).last();
    let named = summaries(report).flat_map(|round| &round.named).flat_map(|named| &named.sites);
    let barred = last.into_iter().flat_map(|round| &round.trust.barred);
    let sites: BTreeSet<&SiteId> = named.chain(barred).collect();
    let sites: Vec<&str> = sites.into_iter().map(SiteId::as_str).collect();
    match sites.as_slice() {
        [] => "Nobody was found to have broken the protocol.".to_owned(),
        sites => format!(
            "Found to have broken the protocol, by evidence that enough key holders signed: {}. The rounds say of each which rule, its contribution is left out of the sum or the mean, and it is barred from then on.",
            sites.join(", ")
        ),
    }
}

fn left_out(report: &Report) -> String {
    let of = |has: fn(&RoundSummary) -> bool| summaries(report).filter(|round| has(round)).count();
    let excluded = match of(|round| !round.excluded.is_empty()) {
        0 => "Nothing that was received was left out of a set".to_owned(),
        rounds => format!(
            "In {} something that was received was left out of the set, for a reason that the part on the round gives",
            count(rounds, "round")
        ),
    };
    let absent = match of(|round| !round.absent.is_empty()) {
        0 => "every site sent an update in every round.".to_owned(),
        rounds => format!(
            "in {} a site sent no update, or none in time; the part on the round names it.",
            count(rounds, "round")
        ),
    };
    format!("{excluded}; {absent}")
}

pub(super) fn withdrawal(report: &Report) -> Vec<Sentence> {
    let study = &report.study;
    let (n, c) = (study.sites.len(), usize::from(study.collusion));
    let bound = match study.privacy {
        PrivacyPolicy::None | PrivacyPolicy::SetsApart => {
            "the study adds no noise that would bound what they tell of him"
        }
        PrivacyPolicy::RecordLevel(_) => {
            "the study's bound, where it is kept, covers what they tell of him"
        }
        PrivacyPolicy::SiteLevel(_) => {
            "the study's bound, where it is kept, covers what they tell of his site"
        }
    };
    vec![
        Sentence::rule(format!(
            "A site may stop at any time, and nobody can make it send anything more. To be taken off the list of sites it signs so, with {} of the {n} sites altogether.",
            (n + c) / 2 + 1
        )),
        Sentence::rule(
            "What it sent before stays in the sums that are open and in every model since: nobody can take it out again, for a sum does not come apart. Whoever wants a model without it starts a new study from a model before it came.",
        ),
        Sentence::rule(format!(
            "A patient who withdraws is taken out of the data of his site, and so of all training from then on. Sums of earlier rounds stay open, and {bound}."
        )),
        Sentence::rule(
            "The server keeps the encrypted updates as long as its operator sets, for ever unless he does; the statements, the log, the sealed shares, openings and sums stay. A round of this report whose updates are deleted says so.",
        ),
        Sentence::assumption(format!(
            "What one site sent cannot be opened later either: its key was made for one round, and more than {c} key holders of that round would have to break the rules together."
        )),
    ]
}

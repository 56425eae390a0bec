//! What the report says in plain language, and which checks each sentence rests on.

use ringfence_crypto::round::RoundState;
use ringfence_crypto::statement::PrivacyPolicy;

use crate::report::{Report, Subject};

/// A question, and sentences that answer it.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) sentences: Vec<Sentence>,
}

/// A sentence, and the checks behind it by their names.
pub(super) struct Sentence {
    pub(super) words: String,
    pub(super) checks: Vec<&'static str>,
}

fn sentence(words: impl Into<String>, checks: &[&'static str]) -> Sentence {
    Sentence { words: words.into(), checks: checks.to_vec() }
}

pub(super) fn sections(report: &Report) -> Vec<Section> {
    vec![
        Section { title: "What was protected", sentences: protected(report) },
        Section { title: "From whom", sentences: from_whom(report) },
        Section { title: "Under which assumptions", sentences: assumptions(report) },
        Section { title: "What was not protected", sentences: unprotected(report) },
    ]
}

fn protected(report: &Report) -> Vec<Sentence> {
    let summaries = || report.rounds.iter().filter_map(|round| round.summary.as_ref());
    let in_rounds = |state| match summaries().filter(|round| round.state == state).count() {
        1 => "1 round".to_owned(),
        rounds => format!("{rounds} rounds"),
    };
    let (opened, aborted) = (in_rounds(RoundState::Opened), in_rounds(RoundState::Aborted));
    let named: usize =
        summaries().flat_map(|round| &round.named).map(|named| named.sites.len()).sum();
    let mut sentences = vec![
        sentence(
            format!(
                "The update that each of the {} sites trained on its own data. The program that the sites run lets it out encrypted only; the log has the digest of each ciphertext, signed by its site.",
                report.study.sites.len()
            ),
            &["contributions", "receipts"],
        ),
        sentence(
            format!(
                "Only sums were opened: one in each of {opened}, over one set of at least {} sites that the key holders certified; nothing in {aborted}, which the key holders aborted. No two sums were opened over updates from the same model.",
                report.study.min_sites
            ),
            &["certificate", "openings", "one-set", "one-opening", "whole-log"],
        ),
        sentence(
            match named {
                0 => "The key of a single site was never opened.".to_owned(),
                1 => "The key of one site was opened, because enough key holders certified that this site broke the protocol; its round names it.".to_owned(),
                _ => format!(
                    "The keys of {named} sites were opened, because enough key holders certified of each that it broke the protocol; their rounds name them."
                ),
            },
            &["disputes", "openings", "whole-log"],
        ),
    ];
    if report.all().any(|(_, line)| line.check == Subject::Sum) {
        sentences.push(sentence(
            "The opened sums are those of the bodies that the sites signed: they were added up once more, where the bodies are still kept.",
            &["sum"],
        ));
    }
    sentences.push(sentence(
        "Nothing was taken back: the log only grew, and everything in it is in this folder.",
        &["one-history", "whole-log", "log", "closing-log"],
    ));
    sentences
}

fn from_whom(report: &Report) -> Vec<Sentence> {
    let (c, n) = (report.study.collusion, report.study.sites.len());
    vec![
        sentence(
            "From whoever runs the server, has taken it over, or reads what it stores: what it holds opens nothing.",
            &["study", "certificate"],
        ),
        sentence(
            format!(
                "From the other sites, also where up to {c} of the {n} work together and with the server."
            ),
            &["study", "certificate", "openings"],
        ),
    ]
}

fn assumptions(report: &Report) -> Vec<Sentence> {
    let study = &report.study;
    let (c, m, q, t) = (study.collusion, study.holders, study.endorsements, study.opening);
    vec![
        sentence(
            format!(
                "At most {c} sites collude. Of {m} key holders of a round {q} must certify a set and {t} open its sum: while no more than {c} collude, two sets cannot both be certified."
            ),
            &["study", "certificate"],
        ),
        sentence(
            "The other sites ran the program as it was published; their signatures show what they said, not what ran there.",
            &[],
        ),
        sentence(
            "The encryption holds (a lattice problem, parameters in docs/parameters.md), and so do the signatures and hashes.",
            &[],
        ),
        sentence(
            format!(
                "The study file came from somebody whom the reader trusts, such as his own site: all else is held against it. Its digest is {}.",
                study.id
            ),
            &["study"],
        ),
    ]
}

fn unprotected(report: &Report) -> Vec<Sentence> {
    let noise = match report.study.privacy {
        PrivacyPolicy::None | PrivacyPolicy::SetsApart => {
            "What the opened sums and the trained model show by themselves: this study adds no noise, so that nothing bounds it.".to_owned()
        }
        PrivacyPolicy::RecordLevel(policy) => format!(
            "What the opened sums and the trained model show by themselves is bounded by noise, epsilon {} at delta {} for each protected unit, if the sites trained as they state.",
            policy.epsilon, policy.delta
        ),
        PrivacyPolicy::SiteLevel(policy) => format!(
            "What the opened sums show of a single site is bounded by noise, epsilon {} at delta {}, if the honest sites added it as they state.",
            policy.epsilon, policy.delta
        ),
    };
    let checks: &[&'static str] = match report.study.privacy.budget() {
        Some(_) => &["budget", "spent"],
        None => &[],
    };
    vec![
        sentence(noise, checks),
        sentence("Who took part, when, and how large the model is: server and log show it.", &[]),
        sentence(
            "The model against false training: a site may send an update that harms it, within the bounds that the study sets.",
            &[],
        ),
        sentence("A site's own data on its own machines.", &[]),
    ]
}

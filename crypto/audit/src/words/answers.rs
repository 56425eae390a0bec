//! What was protected, from whom, and under which assumptions.

use ringfence_crypto::evidence::RoundSummary;
use ringfence_crypto::round::RoundState;
use ringfence_crypto::statement::Weighting;

use super::{Sentence, count};
use crate::report::{Report, Subject, Verdict};

/// The rounds that can be told of.
pub(super) fn summaries(report: &Report) -> impl Iterator<Item = &RoundSummary> {
    report.rounds.iter().filter_map(|round| round.summary.as_ref())
}

/// That all rounds are there, and the log shows nothing else.
pub(super) const WHOLE: [&str; 2] = ["rounds", "whole-log"];

fn with_whole(checks: &[&'static str]) -> Vec<&'static str> {
    checks.iter().chain(&WHOLE).copied().collect()
}

pub(super) fn protected(report: &Report) -> Vec<Sentence> {
    let in_state =
        |state| count(summaries(report).filter(|round| round.state == state).count(), "round");
    let opened = in_state(RoundState::Opened);
    let aborted = match summaries(report).filter(|round| round.state == RoundState::Aborted).count()
    {
        0 => String::new(),
        rounds => format!(
            "; {} ended without a sum, by decision of the key holders",
            count(rounds, "round")
        ),
    };
    let only = match summaries(report).any(|round| !round.named.is_empty()) {
        true => "But for what disputes made readable (below), only sums were",
        false => "Only sums were made readable",
    };
    let mut sentences = vec![
        Sentence::assumption(format!(
            "Patients' data stay at their site (a hospital, or another member of the study): the published program sends encrypted updates of the model and, about the data, {}.",
            told(report)
        )),
        Sentence::checked(
            "Every update in the log is the one that its site sent: the site signed its digest, and the server signed that it has it.",
            "that every update was signed by its site and received as it was sent",
            ["contributions", "receipts", "log"],
        ),
        Sentence::checked(
            format!(
                "{only}: one in each of {opened}, over one set of at least {} sites that the key holders certified{aborted}. No two sums are over updates of the same model.",
                report.study.min_sites
            ),
            "that only sums were made readable, and one in each round",
            with_whole(&["certificate", "openings", "one-set", "one-opening"]),
        ),
        Sentence::checked(
            "The part on each round names the day, the sites in the sum, and the key holders who opened it together.",
            "which sums were made readable, when and by whom",
            with_whole(&["manifest", "closing", "openings"]),
        ),
        single_keys(report),
    ];
    sentences.extend(sums(report));
    sentences
}

/// What a site tells of its data beside its updates.
fn told(report: &Report) -> &'static str {
    let counted = matches!(report.study.weighting, Weighting::SampleCounts(_));
    match (counted, report.study.privacy.budget().is_some()) {
        (false, false) => "nothing",
        (true, false) => "how many samples there are, which the study file states",
        (false, true) => "how much of the privacy budget is spent",
        (true, true) => {
            "how many samples there are, which the study file states, and how much of the privacy budget is spent"
        }
    }
}

/// What was made readable of single sites.
fn single_keys(report: &Report) -> Sentence {
    let named = || summaries(report).flat_map(|round| &round.named);
    let disputes = named().filter(|named| named.position.is_some()).count();
    let sites: usize = named().map(|named| named.sites.len()).sum();
    let singled_out = report.cohorts.as_ref().is_some_and(|told| !told.singled_out.is_empty());
    let mut words = String::new();
    if disputes > 0 {
        words += &format!(
            "To find out who had spoiled a round, one number of each update in it was made readable to the sites, in {}. ",
            count(disputes, "dispute")
        );
    }
    words += &match (sites, disputes) {
        (0, 0) if singled_out => {
            "What a single site sent was never made readable by itself. What the sums of several rounds tell together is another matter, and is said below.".to_owned()
        }
        (0, 0) => "What a single site sent was never made readable, nor a part of it.".to_owned(),
        (0, _) => "No single site's key was opened.".to_owned(),
        _ => format!(
            "The key of {} was opened for that round, because enough key holders certified that it had broken the protocol; no other site's was. The part on the round names it.",
            count(sites, "site")
        ),
    };
    Sentence::checked(
        words,
        "what was made readable of single sites",
        with_whole(&["disputes", "openings"]),
    )
}

/// What was added up once more; nothing where nobody asked for it.
fn sums(report: &Report) -> Option<Sentence> {
    let of = |verdict| {
        report
            .all()
            .filter(|(_, line)| line.check == Subject::Sum && line.verdict == verdict)
            .count()
    };
    if !report.all().any(|(_, line)| line.check == Subject::Sum) {
        return None;
    }
    let (proven, gone) = (of(Verdict::Proven), of(Verdict::Gone));
    let gone = match gone {
        0 => String::new(),
        _ => format!(
            " In {} the encrypted updates are deleted, as the operator says, and nobody can add them up any more.",
            count(gone, "round")
        ),
    };
    Some(Sentence::checked(
        format!(
            "The sums are those of what the sites sent: in {} they were added up once more here, all or a random part, as the round's check says.{gone}",
            count(proven, "round")
        ),
        "that the sums are those of what the sites sent",
        ["sum"],
    ))
}

pub(super) fn from_whom(report: &Report) -> Vec<Sentence> {
    let (c, n) = (report.study.collusion, report.study.sites.len());
    vec![
        Sentence::checked(
            "From whoever runs the server, has taken it over, or reads what it stores: it holds encrypted updates and sealed shares of keys, and no key that opens any of them, nor the sum.",
            "that the server could read nothing",
            with_whole(&["study", "certificate", "openings"]),
        ),
        Sentence::checked(
            format!(
                "From the other sites, also where up to {c} of the {n} work together and with the server. If {} or more do, nothing is promised: they might find out what a single site sent.",
                c + 1
            ),
            "that sites could not read what others sent",
            with_whole(&["study", "certificate", "openings", "one-opening"]),
        ),
        Sentence::limit(
            "The sites themselves read the sums: they hold the common model, and whoever they give it to.",
        ),
    ]
}

pub(super) fn assumptions(report: &Report) -> Vec<Sentence> {
    let study = &report.study;
    let (c, m, q, t) = (study.collusion, study.holders, study.endorsements, study.opening);
    vec![
        Sentence::checked(
            format!(
                "At most {} In each round {m} sites hold keys, {q} of them must certify a set, and {t} open its sum: while no more than {c} collude, two sets cannot both be certified.",
                match c {
                    1 => "1 site colludes with the server.".to_owned(),
                    c => format!("{c} sites collude."),
                }
            ),
            "that two sets could not both be certified",
            ["study", "certificate"],
        ),
        Sentence::assumption(format!(
            "For a contract: {c} is the number of sites whose common breach the others accept as a risk. Sites under one management, or on machines that one company administers, can be told to collude by one person: they count together. A company that runs {} or more of them must not be trusted by this number alone.",
            c + 1
        )),
        Sentence::assumption(
            "The other sites ran the program as it was published: their signatures show what they said, not what ran there.",
        ),
        Sentence::assumption(
            "The encryption holds, today and for as long as the data must stay secret: it was chosen to hold against quantum computers, too (docs/parameters.md). So do the signatures and hashes, until this folder is checked or dated by a trusted time stamp.",
        ),
        Sentence::checked(
            format!(
                "The study file came from somebody whom the reader trusts, such as his own site: all else is held against it. Its digest is {}.",
                study.id
            ),
            "that the study file is the one that the sites signed",
            ["study"],
        ),
    ]
}

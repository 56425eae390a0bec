//! What the report says in plain language, and what it never says.

use std::collections::BTreeSet;

use ringfence_audit::{Basis, Disk, Options, Report, Said, Verdict, answers, page, text};

use crate::honest::report;
use crate::printed::{printed, squeezed};
use crate::studies::{eventful, private, spending};

/// All sentences, each with the heading that it stands under.
fn sentences(report: &Report) -> Vec<(&'static str, Said)> {
    let of = answers(report).into_iter();
    of.flat_map(|answer| answer.sentences.into_iter().map(move |said| (answer.question, said)))
        .collect()
}

fn checks(said: &Said) -> Vec<&'static str> {
    match &said.basis {
        Basis::Checks(behind) => behind.iter().map(|behind| behind.check).collect(),
        _ => Vec::new(),
    }
}

/// A study in which nearly everything happens, and one with a privacy budget.
fn reports() -> [Report; 2] {
    let (record, spent) = private();
    let spending = spending(&[spent(1), spent(2)], record);
    [eventful(), spending].map(|record| report(&record, &Options::default()))
}

/// docs/questions.md quotes, under each of ten questions, the sentences that answer it.
#[test]
fn ten_questions_are_answered_by_sentences_of_a_report() {
    let page_of_questions = include_str!("../../../../docs/questions.md");
    let [eventful, spending] = reports();
    let said: Vec<_> = sentences(&eventful).into_iter().chain(sentences(&spending)).collect();
    let mut questions = 0;
    for question in page_of_questions
        .split("\n## ")
        .skip(1)
        .filter(|part| part.starts_with(|first: char| first.is_ascii_digit()))
    {
        questions += 1;
        assert!(question.starts_with(&format!("{questions}. ")), "{question}");
        let mut quoted = 0;
        // A heading of the report in bold, and under it what it says there.
        let mut heading = "";
        for paragraph in question.split("\n\n").skip(1) {
            if let Some(named) = paragraph.strip_prefix("**") {
                heading = named.split("**").next().unwrap();
            }
            let Some(quote) = paragraph.strip_prefix("> ") else { continue };
            let quote = quote.trim_end().replace("\n> ", " ");
            let found = said.iter().any(|(at, said)| *at == heading && said.words == quote);
            assert!(found, "question {questions}, under {heading:?}: no report says {quote:?}");
            quoted += 1;
        }
        assert!(quoted > 0, "question {questions} has no answer");
    }
    assert_eq!(questions, 10);
}

/// Whatever check is false or missing, or not in the report at all: what rests on it is not said, in
/// no form of the report, and the check is named instead.
#[test]
fn nothing_is_said_that_was_not_shown() {
    for honest in reports() {
        let names: BTreeSet<&str> = honest.all().map(|(_, line)| line.check.name()).collect();
        let said = sentences(&honest);
        for name in names {
            let resting: Vec<&Said> = said
                .iter()
                .map(|(_, said)| said)
                .filter(|said| checks(said).contains(&name))
                .collect();
            assert!(!resting.is_empty(), "no sentence rests on {name}");
            for verdict in [Verdict::False, Verdict::Missing] {
                let mut found = honest.clone();
                let lines = found.rounds.iter_mut().flat_map(|round| &mut round.lines);
                let line =
                    found.lines.iter_mut().chain(lines).find(|line| line.check.name() == name);
                line.unwrap().verdict = verdict;
                withheld(&found, &resting, &format!("{name} of round 0 is {verdict}"), name);
            }
            let mut without = honest.clone();
            without.lines.retain(|line| line.check.name() != name);
            for round in &mut without.rounds {
                round.lines.retain(|line| line.check.name() != name);
            }
            // Nobody asked for the sums.
            if name != "sum" {
                withheld(&without, &resting, &format!("{name} is not in this report"), name);
            }
        }
    }
}

fn withheld(found: &Report, resting: &[&Said], why: &str, check: &str) {
    // The slowest form, once a check.
    let printed = if why.ends_with("FALSE") { printed(found) } else { String::new() };
    let forms = [text(found), page(found)];
    let after = sentences(found);
    for claim in resting {
        assert!(
            after.iter().all(|(_, said)| said.words != claim.words),
            "{check}: {}",
            claim.words
        );
        assert!(forms.iter().all(|form| !form.contains(&claim.words)), "{check}: {}", claim.words);
        assert!(!printed.contains(&squeezed(&claim.words)), "{check}: {}", claim.words);
    }
    let said = after.iter().filter(|(_, said)| said.withheld && checks(said).contains(&check));
    let said: Vec<_> = said.collect();
    assert!(said.len() >= resting.len(), "{check}");
    let of_study = why.replace(" of round 0", "");
    for (_, said) in said {
        assert!(said.words.starts_with("This folder does not show "), "{}", said.words);
        assert!(
            said.words.contains(why) || said.words.contains(&of_study),
            "{why}: {}",
            said.words
        );
    }
}

/// What a file that cannot be read would have shown is not told of the others.
#[test]
fn a_file_that_cannot_be_read_shows_nothing() {
    let record = eventful();
    let folder = tempfile::tempdir().unwrap();
    crate::export::export(&record, folder.path());
    std::fs::write(folder.path().join("rounds/1.proof.json"), "{}").unwrap();
    let report = ringfence_audit::audit(&Disk::at(folder.path()), &Options::default()).unwrap();
    let (mut claimed, mut withheld) = (0, 0);
    for (_, said) in sentences(&report) {
        match (&said.basis, said.withheld) {
            (Basis::Checks(_), false) => claimed += 1,
            (Basis::Checks(_), true) => withheld += 1,
            _ => {}
        }
    }
    assert_eq!(claimed, 0);
    assert!(withheld > 10, "{}", text(&report));
    assert!(text(&report).contains("file of round 1 is FALSE"), "{}", text(&report));
}

#[test]
fn what_is_not_over_is_not_shown_yet() {
    let mut record = crate::studies::record(|_| ());
    record.begin(b"model 0");
    let report = report(&record, &Options::default());
    let said = text(&report);
    assert!(
        said.contains("This folder does not show yet that only sums were made readable"),
        "{said}"
    );
    assert!(said.contains("certificate of round 0 is pending"), "{said}");
    assert!(said.contains("Nobody was found") == said.contains("- Nobody was found"), "{said}");
}

#[test]
fn a_study_s_privacy_is_said_in_words() {
    let [plain, private] = reports();
    assert!(text(&plain).contains("this study adds no noise"));
    let said = text(&private);
    assert!(said.contains("epsilon 4 at delta 0.00001 for each record"), "{said}");
    // e^4
    assert!(said.contains("by a factor of 54.6 at most"), "{said}");
    assert!(said.contains("of the privacy budget is spent"), "{said}");
}

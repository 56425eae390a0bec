//! The draft of an impact assessment.

use ringfence_audit::{Options, answers, dpia};
use ringfence_crypto::statement::Weighting;

use crate::honest::report;
use crate::studies::{eventful, private, record, spending};

const BLANK: &str = "**To be filled by the controller:** ";

#[test]
fn what_the_study_file_states_is_filled_in() {
    let (record, spent) = private();
    let report = report(&spending(&[spent(1)], record), &Options::default());
    let draft = dpia(&report);
    for filled in [
        &report.study.id.to_string(),
        "site-0, site-1, site-2, site-3, site-4, site-5, site-6",
        "epsilon 4 at delta 0.00001 over the whole study, for each record; noise multiplier 2, clip 1, rate 0.02, 50 steps a round",
        "  - optimiser: sgd",
        "Only sums over at least 4 sites are opened, by at least 3 of 7 key holders",
        "up to 2 of 7 sites may",
        "3 or more might",
        "Rounds so far: 1.",
        "states no number of samples",
    ] {
        assert!(draft.contains(filled), "{filled}: {draft}");
    }
    // All of article 35(7), in order.
    let at = |what: &str| draft.find(what).unwrap_or_else(|| panic!("{what}: {draft}"));
    let parts = ["(a))", "(b))", "(c))", "(d))"].map(|part| at(&format!("35(7){part}")));
    assert!(parts.is_sorted());
    // The measures are the report's sentences, no others.
    for said in answers(&report).into_iter().flat_map(|answer| answer.sentences) {
        assert!(draft.contains(&said.words), "{}: {draft}", said.words);
    }
}

#[test]
fn what_it_cannot_know_is_left_blank() {
    let draft = dpia(&report(&eventful(), &Options::default()));
    for blank in [
        "controller or joint controllers",
        "purposes",
        "legal ground",
        "whose data",
        "how many persons and records",
        "what is trained",
        "for how many days",
        "likelihood and severity",
        "advice of the data protection officer",
        "views of the persons concerned",
        "what risk remains",
    ] {
        assert!(draft.contains(&format!("{BLANK}{blank}")), "{blank}: {draft}");
    }
    assert!(draft.contains("adds no noise") && !draft.contains("epsilon"), "{draft}");
}

#[test]
fn sample_counts_are_those_of_the_study_file() {
    let mut record = record(|study| {
        study.weighting = Weighting::SampleCounts(vec![100, 101, 102, 103, 104, 105, 106]);
    });
    record.begin(b"model 0");
    let draft = dpia(&report(&record, &Options::default()));
    assert!(draft.contains("  - site-3: 103\n"), "{draft}");
    assert!(!draft.contains("how many persons and records"), "{draft}");
    assert!(draft.contains("This folder does not show yet"), "{draft}");
}

#[test]
fn a_name_is_text_and_no_markup() {
    let mut report = report(&eventful(), &Options::default());
    report.study.name = "a\n# b | <script> *c* `d` [e](f)".to_owned();
    let draft = dpia(&report);
    let title = draft.lines().next().unwrap();
    assert_eq!(
        title,
        "# Data protection impact assessment: study a\u{fffd}\\# b \\| &lt;script&gt; \\*c\\* \\`d\\` \\[e\\](f)"
    );
}

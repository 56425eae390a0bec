//! Honest exports: every check is proven, whatever happened in the rounds.

use std::fs;
use std::path::Path;

use ringfence_audit::{Disk, Options, Report, Subject, Verdict, audit, page, text};
use ringfence_crypto::evidence::Check;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::round::{Event, RoundState};
use ringfence_crypto::statement::{Spent, Subject as Opened};
use ringfence_testkit::{Record, rng};

use crate::export::export;
use crate::studies::{ALL, eventful, private, record, spending};

/// The report of a record's export.
pub(crate) fn report(record: &Record, options: &Options) -> Report {
    let folder = tempfile::tempdir().unwrap();
    export(record, folder.path());
    audit(&Disk::at(folder.path()), options).unwrap()
}

pub(crate) fn verdict(report: &Report, round: Option<u32>, check: Subject) -> Verdict {
    let mut found = report
        .all()
        .filter(|(of, line)| *of == round.map(RoundNumber) && line.check == check)
        .map(|(_, line)| line.verdict);
    found.next().unwrap()
}

#[test]
fn an_eventful_study_is_proven_as_far_as_it_has_come() {
    let record = eventful();
    let report = report(&record, &Options::default());
    let faults: Vec<_> = report.faults().collect();
    assert!(faults.is_empty(), "{}", text(&report));
    // The last round is not over.
    assert_eq!((report.verdict, report.exit_code()), (Verdict::Pending, 0), "{}", text(&report));
    let states: Vec<_> =
        report.rounds.iter().map(|round| round.summary.as_ref().unwrap().state).collect();
    use RoundState::{Aborted, Opened, Reviewing};
    assert_eq!(states, [Opened, Opened, Aborted, Opened, Reviewing]);
    for round in [0, 1, 3] {
        assert_eq!(verdict(&report, Some(round), Subject::Sum), Verdict::Proven);
    }
    let of = |round: usize| report.rounds[round].summary.as_ref().unwrap();
    let names = |sites: &[ringfence_crypto::id::SiteId]| {
        sites.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&of(1).absent), ["site-6"]);
    assert_eq!(of(1).opened.len(), 4);
    assert_eq!(of(2).included.len(), 0);
    assert_eq!(names(&of(3).named[0].sites), ["site-5"]);
    assert_eq!(of(3).named[0].position, Some((0, 77)));
    assert_eq!(names(&of(3).trust.barred), ["site-5"]);
    assert_eq!(names(&of(4).trust.barred), ["site-5"]);
    let said = text(&report);
    for words in [
        "All is proven as far as the study has come, for the log as it stood at",
        "the log as it stood at 179 statements, the last dated one of",
        "in the sum: 6 of 7 sites: site-0, site-1",
        "the sums would tell the update of 1 site by itself: site-6",
        "did not contribute: site-6",
        "dispute 1 named site-5",
        "There is one closing, an abort",
        "only after the set was certified",
        "to the last bit",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let page = page(&report);
    assert!(page.contains("site-5") && !page.contains("http:") && !page.contains("<script"));
    assert!(page.contains("The key of 1 site was opened"));
    assert!(
        !page.contains("This folder does not") && !said.contains("This folder does not"),
        "{said}"
    );
    serde_json::to_string(&report).unwrap();
}

#[test]
fn accused_dealers_are_left_out_with_their_reason() {
    let (mut record, mut rng) = (record(|_| ()), rng(2));
    record.begin(b"model 0");
    record.contribute(&ALL, None, &mut rng);
    record.freeze();
    record.review(&[0, 1, 2, 3, 4], &[]);
    record.review(&[5, 6], &[1]);
    record.close();
    record.endorse(&ALL);
    record.open(&ALL, Opened::Sum);
    record.acknowledge(&ALL, Some(b"model 1"));
    let report = report(&record, &Options::default());
    assert_eq!(report.verdict, Verdict::Proven, "{}", text(&report));
    let summary = report.rounds[0].summary.as_ref().unwrap();
    assert_eq!(summary.excluded[0].site.as_str(), "site-1");
    assert!(text(&report).contains("left out: site-1: "));
}

#[test]
fn a_sample_says_what_it_would_have_found() {
    let (mut record, mut rng) = (record(|_| ()), rng(3));
    record.run(b"model 0", b"model 1", &mut rng);
    let options = Options { sample: Some(3), seed: Some(1), ..Options::default() };
    let found = report(&record, &options);
    assert_eq!(found.verdict, Verdict::Proven, "{}", text(&found));
    assert!(text(&found).contains("in a single part with 100.0 %"), "{}", text(&found));
    // None is not a sample.
    let least = report(&record, &Options { sample: Some(0), ..Options::default() });
    assert!(text(&least).contains("1 of 1 parts"), "{}", text(&least));
    let none = report(&record, &Options { without_bodies: true, ..Options::default() });
    assert_eq!(none.verdict, Verdict::Proven);
    assert!(none.all().all(|(_, line)| line.check != Subject::Sum));
}

#[test]
fn bodies_that_are_gone_have_a_verdict_of_their_own() {
    let (mut record, mut rng) = (record(|_| ()), rng(4));
    record.run(b"model 0", b"model 1", &mut rng);
    let folder = tempfile::tempdir().unwrap();
    export(&record, folder.path());
    let bodies = folder.path().join("rounds/0.bodies");
    fs::remove_file(bodies.join("site-2")).unwrap();
    let report = audit(&Disk::at(folder.path()), &Options::default()).unwrap();
    assert_eq!((report.verdict, report.exit_code()), (Verdict::Missing, 3));
    assert!(text(&report).contains("1 of 7 bodies of the set are not in this folder"));
    // Whoever wants a sum to go unchecked takes one body out and says that it is gone.
    fs::write(folder.path().join("rounds/0.gone"), "kept until 2030-01-01").unwrap();
    let report = audit(&Disk::at(folder.path()), &Options::default()).unwrap();
    assert_eq!((report.verdict, report.exit_code()), (Verdict::Missing, 3));
    fs::remove_dir_all(bodies).unwrap();
    let report = audit(&Disk::at(folder.path()), &Options::default()).unwrap();
    assert_eq!((report.verdict, report.exit_code()), (Verdict::Gone, 0));
    let said = text(&report);
    assert!(
        said.contains("in a note that nobody signed") && !said.contains("2030-01-01"),
        "{said}"
    );
}

#[test]
fn the_budget_is_computed_once_more() {
    let (record, spent) = private();
    let record = spending(&[spent(1), spent(2), spent(4)], record);
    let honest = report(&record, &Options::default());
    assert_eq!(honest.verdict, Verdict::Proven, "{}", text(&honest));
    assert!(text(&honest).contains("7 sites state what they have spent"));
    let (record, spent) = private();
    let less = Spent { epsilon: spent(2).epsilon * 0.99, ..spent(2) };
    let found = report(&spending(&[spent(1), less], record), &Options::default());
    assert_eq!(verdict(&found, None, Subject::Spent), Verdict::False);
    assert!(text(&found).contains("2 rounds at the study's noise spend"), "{}", text(&found));
    let (record, spent) = private();
    let found = report(&spending(&[spent(2), spent(1)], record), &Options::default());
    assert_eq!(verdict(&found, None, Subject::Spent), Verdict::False);
    assert_eq!(found.exit_code(), 1);
    assert!(found.all().all(|(round, line)| {
        round.is_none()
            || line.check != Subject::Round(Check::Budget)
            || line.verdict == Verdict::Proven
    }));
}

#[test]
fn what_is_no_export_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let said = |path: &Path| audit(&Disk::at(path), &Options::default()).unwrap_err().to_string();
    assert!(said(folder.path()).contains("has no study.json"));
    fs::write(folder.path().join("study.json"), "{}").unwrap();
    assert!(said(folder.path()).contains("expected the JSON of a study file"));
    let mut unsigned = record(|_| ()).study_file();
    unsigned.signatures.pop();
    let file = serde_json::to_vec(&unsigned).unwrap();
    fs::write(folder.path().join("study.json"), file).unwrap();
    assert!(said(folder.path()).contains("lacks the signatures of site-6"));
    let file = serde_json::to_vec(&record(|_| ()).study_file()).unwrap();
    fs::write(folder.path().join("study.json"), file).unwrap();
    let report = audit(&Disk::at(folder.path()), &Options::default()).unwrap();
    assert_eq!((report.verdict, report.exit_code()), (Verdict::Missing, 3));
}

/// What the aggregator lost stands in no log: a closing says so, and an abort says nothing.
#[test]
fn bytes_that_the_aggregator_lost_accuse_nobody() {
    let lose = |record: &mut Record, site: usize| {
        let site = record.parties.identities[site].site().clone();
        let at = record.last().round.latest_time();
        record.put(Event::Damaged { site, at });
    };
    let (mut record, mut rng) = (record(|_| ()), rng(9));
    record.begin(b"model 0");
    record.contribute(&ALL, None, &mut rng);
    record.freeze();
    record.review(&ALL, &[]);
    lose(&mut record, 2);
    record.close();
    record.endorse(&ALL);
    record.open(&ALL, Opened::Sum);
    record.acknowledge(&ALL, Some(b"model 1"));
    // As many as are needed, and one of them is lost.
    record.begin(b"model 1");
    record.contribute(&[0, 1, 2, 3], None, &mut rng);
    record.freeze();
    record.review(&ALL, &[]);
    lose(&mut record, 3);
    record.close();
    record.endorse(&ALL);
    let report = report(&record, &Options::default());
    assert_eq!(report.verdict, Verdict::Proven, "{}", text(&report));
    let of = |round: usize| report.rounds[round].summary.as_ref().unwrap();
    assert_eq!(of(0).excluded[0].site.as_str(), "site-2");
    assert_eq!(of(1).state, RoundState::Aborted);
}

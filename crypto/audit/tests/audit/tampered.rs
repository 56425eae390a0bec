//! Every tampering is found and named; no honest export is accused.

use std::fs;
use std::path::Path;

use rand::RngExt as _;
use ringfence_audit::{Disk, Options, Report, Subject, Verdict, audit, page, text};
use ringfence_crypto::Digest;
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::sign;
use ringfence_crypto::statement::{Closing, Subject as Opened};
use ringfence_testkit::{Record, rng};

use crate::export::export;
use crate::honest::{ALL, eventful, record, report, verdict};
use crate::tampering::{KINDS, Tampering};

/// How many of them are tried, each with other places.
const TAMPERINGS: usize = 200;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let there = to.join(entry.file_name().unwrap());
        if entry.is_dir() { copy(&entry, &there) } else { _ = fs::copy(&entry, there).unwrap() }
    }
}

#[test]
fn every_tampering_is_found_and_named() {
    let honest = tempfile::tempdir().unwrap();
    export(&eventful(), honest.path());
    let mut missed = Vec::new();
    for number in 0..TAMPERINGS {
        let folder = tempfile::tempdir().unwrap();
        copy(honest.path(), folder.path());
        let tamper = KINDS[number % KINDS.len()];
        let Tampering { what, named_by } = tamper(folder.path(), &mut rng(1000 + number as u64));
        let report = match audit(&Disk::at(folder.path()), &Options::default()) {
            Ok(report) => report,
            // The study file itself: it says what of it.
            Err(error) if named_by.is_empty() && !error.to_string().is_empty() => continue,
            Err(error) => panic!("{number}, {what}: {error}"),
        };
        let found = |line: &ringfence_audit::Line| {
            let counts = matches!(line.verdict, Verdict::False | Verdict::Missing);
            counts && (named_by.is_empty() || named_by.contains(&line.check.name()))
        };
        if report.exit_code() == 0 || !report.all().any(|(_, line)| found(line)) {
            missed.push(format!("{number}, {what}:\n{}", text(&report)));
        }
    }
    assert!(missed.is_empty(), "{} missed: {}", missed.len(), missed.join("\n"));
}

/// Rounds in which anything may happen that honest sites and honest accidents make.
fn random(seed: u64) -> Record {
    let (mut record, mut rng) = (record(|_| ()), rng(seed));
    let (mut model, mut next) = (0, 1);
    for _ in 0..3 {
        // More corrupt sites than the study allows for end it.
        if record.rounds.last().is_some_and(|last| last.round.ended().is_none()) {
            break;
        }
        let base = format!("model {model}");
        record.begin(base.as_bytes());
        let barred = record.last().round.trust().barred.clone();
        let free =
            |site: &usize| !barred.iter().any(|barred| barred.as_str() == format!("site-{site}"));
        let mut come: Vec<usize> = ALL.into_iter().filter(free).collect();
        come.retain(|_| rng.random_ratio(9, 10));
        record.contribute(&come, None, &mut rng);
        record.freeze();
        let mut reviewers = ALL.to_vec();
        reviewers.retain(|_| rng.random_ratio(19, 20));
        let accused: Vec<usize> =
            come.iter().copied().filter(|_| rng.random_ratio(1, 12)).collect();
        for holder in reviewers {
            record.review(&[holder], if holder == 3 { &accused } else { &[] });
        }
        record.close();
        record.endorse(&ALL[..if rng.random() { 7 } else { 5 }]);
        if record.last().round.closing().unwrap().statement.is_abort() {
            continue;
        }
        record.open(&ALL[..if rng.random() { 7 } else { 6 }], Opened::Sum);
        let set = record.last().round.closing().unwrap().statement.included.len();
        if set > 5 && barred.is_empty() && rng.random_ratio(1, 3) {
            let name = &record.last().round.closing().unwrap().statement.included[2].site;
            let culprit = ALL.iter().find(|site| name.as_str() == format!("site-{site}")).unwrap();
            record.dispute(&ALL, &[*culprit]);
        }
        record.acknowledge(&[1], None);
        record.acknowledge(&ALL[..6], Some(format!("model {next}").as_bytes()));
        (model, next) = (next, next + 1);
    }
    record
}

#[test]
fn no_honest_export_is_accused() {
    for seed in 0..12 {
        let report = report(&random(seed), &Options::default());
        assert_eq!(report.exit_code(), 0, "seed {seed}: {}", text(&report));
        assert!(report.verdict <= Verdict::Pending, "seed {seed}: {}", text(&report));
    }
}

/// A round up to its reviews.
fn reviewed(record: &mut Record, seed: u64) {
    record.begin(b"model 0");
    record.contribute(&ALL, None, &mut rng(seed));
    record.freeze();
    record.review(&ALL, &[]);
}

fn finish(record: &mut Record, model: &[u8]) {
    record.endorse(&ALL);
    record.open(&ALL, Opened::Sum);
    record.acknowledge(&ALL, Some(model));
}

fn false_by(report: &Report, check: Subject) {
    let named = report.faults().any(|(_, line)| line.check == check);
    assert!(named && report.exit_code() == 1, "{check:?}: {}", text(report));
}

/// The aggregator's own lies: it signs them, and they stand in its log.
mod by_the_aggregator {
    use super::*;

    /// The closing as the machine would have it, altered.
    fn closed_with(record: &mut Record, alter: impl FnOnce(&mut Closing)) {
        record.close();
        let Some(Event::Closed(closing)) = record.rounds[0].events.pop() else { panic!() };
        let mut closing = closing.statement;
        alter(&mut closing);
        // The log is made anew without the honest one.
        let mut entries = std::mem::take(&mut record.entries);
        entries.pop();
        record.log = entries.iter().copied().collect();
        record.entries = entries;
        record.put(Event::Closed(sign(closing, &record.parties.aggregator)));
    }

    #[test]
    fn a_false_sum() {
        let mut record = record(|_| ());
        reviewed(&mut record, 21);
        let mut sum = None;
        closed_with(&mut record, |closing| {
            closing.sum = Some(Digest::of(b"another sum"));
            sum = closing.sum;
        });
        finish(&mut record, b"model 1");
        let found = report(&record, &Options::default());
        false_by(&found, Subject::Sum);
        assert!(text(&found).contains("the aggregator signed a false sum"));
        let page = page(&found);
        let said = page.lines().filter(|line| line.contains("This folder does not show"));
        let said: Vec<_> = said.collect();
        let topics = ["that the sums are those", "who broke the protocol"];
        assert_eq!(said.len(), topics.len(), "{said:?}");
        for (said, topic) in said.iter().zip(topics) {
            assert!(said.contains(topic) && said.contains("#0-sum"), "{said}");
        }
        assert!(!page.contains("Nobody was found"));
        let sampled = Options { sample: Some(1), ..Options::default() };
        false_by(&report(&record, &sampled), Subject::Sum);
    }

    #[test]
    fn a_set_without_a_site() {
        let mut record = record(|_| ());
        reviewed(&mut record, 22);
        closed_with(&mut record, |closing| _ = closing.included.remove(2));
        finish(&mut record, b"model 1");
        let found = report(&record, &Options::default());
        false_by(&found, Subject::Round(ringfence_crypto::evidence::Check::Closing));
    }

    #[test]
    fn two_closings_one_of_them_hidden() {
        let mut record = record(|_| ());
        reviewed(&mut record, 23);
        record.close();
        let mut other = record.rounds[0].round.closing().unwrap().statement.clone();
        other.included.pop();
        let hidden = sign(other, &record.parties.aggregator);
        record.append(LogEntry::of_signed(&hidden));
        finish(&mut record, b"model 1");
        let found = report(&record, &Options::default());
        false_by(&found, Subject::WholeLog);
        assert!(text(&found).contains("the first of them closing"), "{}", text(&found));
        // And shown.
        record.rounds[0].events.push(Event::Closed(hidden));
        let found = report(&record, &Options::default());
        false_by(&found, Subject::OneSet);
    }

    #[test]
    fn two_sums_from_one_model() {
        let (mut record, mut rng) = (record(|_| ()), rng(24));
        record.run(b"model 0", b"model 1", &mut rng);
        record.run(b"model 0", b"model 2", &mut rng);
        let found = report(&record, &Options::default());
        false_by(&found, Subject::OneOpening);
        assert!(text(&found).contains("Rounds 0 and 1 both opened"));
    }

    #[test]
    fn two_histories() {
        let (one, other) = (eventful(), {
            let (mut record, mut rng) = (record(|_| ()), rng(25));
            record.run(b"model 0", b"model 1", &mut rng);
            record
        });
        let folder = tempfile::tempdir().unwrap();
        export(&one, folder.path());
        let fork = tempfile::tempdir().unwrap();
        export(&other, fork.path());
        // The same study, played otherwise.
        let report = audit(&Disk::at(folder.path()), &Options::default()).unwrap();
        assert_eq!(verdict(&report, None, Subject::OneHistory), Verdict::Proven);
        for file in ["log/checkpoint", "log/entries.txt"] {
            fs::copy(fork.path().join(file), folder.path().join(file)).unwrap();
        }
        // It is shorter than what the files are of, and has other statements in the same places.
        false_by(&audit(&Disk::at(folder.path()), &Options::default()).unwrap(), Subject::WholeLog);
        // The same study, and a history that parts from the first after its first round.
        let mut parted = super::record(|_| ());
        parted.parties = one.parties.clone();
        parted.run(b"model 0", b"another model", &mut super::rng(26));
        while parted.log.size() < one.log.size() {
            parted.append(LogEntry::of::<Closing>(Digest::of(b"filler").into()));
        }
        let fork = tempfile::tempdir().unwrap();
        export(&parted, fork.path());
        for file in ["log/checkpoint", "log/entries.txt"] {
            fs::copy(fork.path().join(file), folder.path().join(file)).unwrap();
        }
        let report = audit(&Disk::at(folder.path()), &Options::default()).unwrap();
        false_by(&report, Subject::OneHistory);
        assert!(text(&report).contains("the aggregator signed two histories"), "{}", text(&report));
    }
}

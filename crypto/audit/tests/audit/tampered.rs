//! Every tampering is found and named; no honest export is accused.

use std::fs;

use ringfence_audit::{Disk, Line, Options, Report, Subject, Verdict, audit, page, text};
use ringfence_crypto::Digest;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::sign;
use ringfence_crypto::statement::Closing;
use ringfence_testkit::{Record, rng};

use crate::export::export;
use crate::honest::{report, verdict};
use crate::lies::{closed_with, finish};
use crate::studies::{ALL, eventful, random, record};
use crate::tampering::{COUNT, Tampering, tampered};

/// How many of them are tried, each kind at several places: 204.
const TAMPERINGS: u64 = 6 * COUNT;

#[test]
fn every_tampering_is_found_and_named() {
    let mut missed = Vec::new();
    for number in 0..TAMPERINGS {
        let folder = tempfile::tempdir().unwrap();
        let Tampering { what, named, unreadable } = tampered(number, folder.path());
        let report = match audit(&Disk::at(folder.path()), &Options::default()) {
            Ok(report) => report,
            Err(_) if unreadable => continue,
            Err(error) => panic!("{number}, {what}: {error}"),
        };
        let found = |(round, line): (Option<RoundNumber>, &Line)| {
            let counts = matches!(line.verdict, Verdict::False | Verdict::Missing);
            counts && named.contains(&(round.map(|round| round.0), line.check.name()))
        };
        if unreadable || report.exit_code() == 0 || !report.all().any(found) {
            missed.push(format!("{number}, {what}: expected {named:?}:\n{}", text(&report)));
        }
    }
    assert!(missed.is_empty(), "{} missed: {}", missed.len(), missed.join("\n"));
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

fn false_by(report: &Report, check: Subject) {
    let named = report.faults().any(|(_, line)| line.check == check);
    assert!(named && report.exit_code() == 1, "{check:?}: {}", text(report));
}

/// The aggregator's own lies: it signs them, and they stand in its log.
mod by_the_aggregator {
    use super::*;

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

//! What the sums of all rounds together could tell, and a set that a study which holds its sets apart
//! must not have.

use ringfence_audit::{Options, Report, Subject, Verdict};
use ringfence_crypto::Digest;
use ringfence_crypto::ring::words::WordSum;
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::sign;
use ringfence_crypto::statement::{Included, Subject as Opened};
use ringfence_testkit::{REVIEW_SECONDS, ROUND_SECONDS, Record, rng};

use crate::honest::{report, verdict};
use crate::studies::{apart, eventful};

const ALL: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// A round to which site 7 does not contribute, up to the reviews.
fn without_one(record: &mut Record) {
    record.begin(b"model 1");
    record.contribute(&[0, 1, 2, 3, 4, 5, 6], None, &mut rng(32));
    record.freeze();
    record.review(&ALL, &[]);
}

fn to_the_end(record: &mut Record) {
    record.endorse(&ALL);
    record.open(&ALL, Opened::Sum);
    record.acknowledge(&ALL, Some(b"model 2"));
}

fn words(report: &Report) -> &str {
    &report.lines.iter().find(|line| line.check == Subject::Cohorts).unwrap().words
}

#[test]
fn what_the_sums_of_all_rounds_tell_is_said() {
    let report = report(&eventful(), &Options::default());
    assert_eq!(verdict(&report, None, Subject::Cohorts), Verdict::Proven);
    let said = words(&report);
    // Sites 0 to 6, without site 6, and all without the one that a verdict named. That one does not
    // count anywhere.
    assert!(said.contains("would single out 1 site: site-6"), "{said}");
    assert!(said.contains("does not hold its sets apart"), "{said}");
}

#[test]
fn sets_that_are_held_apart_tell_of_whole_groups() {
    let mut record = apart();
    record.run(b"model 0", b"model 1", &mut rng(31));
    without_one(&mut record);
    record.close();
    to_the_end(&mut record);
    let report = report(&record, &Options::default());
    assert_eq!(report.verdict, Verdict::Proven, "{:#?}", report.lines);
    let said = words(&report);
    assert!(said.starts_with("2 sums were opened over 2 different sets of 8 sites"), "{said}");
    assert!(said.contains("over fewer than 4 sites"), "{said}");
    assert!(said.contains("all or none of each of its 2 groups"), "{said}");
    let of_round = report.rounds[1].summary.as_ref().unwrap();
    assert_eq!((of_round.included.len(), of_round.excluded.len()), (4, 3));
}

/// A holder that contributes nothing and accuses more dealers than may be corrupt: its group counts
/// without it, and no auditor calls that torn.
#[test]
fn a_silent_site_that_the_reviews_bar_is_not_missed() {
    let mut record = apart();
    record.begin(b"model 0");
    record.contribute(&[0, 1, 2, 3, 4, 5, 6], None, &mut rng(32));
    record.freeze();
    record.review(&[0, 1, 2, 3, 4, 5, 6], &[]);
    record.review(&[7], &[0, 1, 2]);
    record.close();
    to_the_end(&mut record);
    let report = report(&record, &Options::default());
    let of_round = report.rounds[0].summary.as_ref().unwrap();
    assert_eq!((of_round.included.len(), of_round.trust.barred.len()), (7, 1));
    assert_eq!(verdict(&report, None, Subject::Cohorts), Verdict::Proven, "{}", words(&report));
}

/// The aggregator and enough corrupt holders open what the study forbids.
#[test]
fn a_set_that_tears_a_group_is_named() {
    let mut record = apart();
    record.run(b"model 0", b"model 1", &mut rng(31));
    without_one(&mut record);
    let aggregator = record.parties.aggregator.clone();
    let wire_bits = record.parties.study.packing.wire_bits;
    let checkpoint = record.log.checkpoint();
    let last = record.rounds.last_mut().unwrap();
    let opened_at = last.round.manifest().statement.opened_at;
    let now = opened_at.after(ROUND_SECONDS + 2 + u64::from(REVIEW_SECONDS));
    let set = last.round.closed_set(now).unwrap();
    let mut sum = WordSum::new(wire_bits, last.bodies.values().next().unwrap().len()).unwrap();
    last.bodies.values().for_each(|body| sum.add(body).unwrap());
    let sum = sum.finish();
    let mut closing = last.round.closing_of(set, Some(Digest::of(&sum)), checkpoint, now);
    let out = std::mem::take(&mut closing.excluded).into_iter();
    closing.included.extend(out.map(|out| Included { site: out.site, header: out.header }));
    assert_eq!(closing.included.len(), 7);
    last.sum = Some(sum);
    record.put(Event::Closed(sign(closing, &aggregator)));
    to_the_end(&mut record);
    let report = report(&record, &Options::default());
    assert_eq!(verdict(&report, None, Subject::Cohorts), Verdict::False);
    let said = words(&report);
    assert!(said.contains("the set of round 1 holds site-4, site-5, site-6 without"), "{said}");
}

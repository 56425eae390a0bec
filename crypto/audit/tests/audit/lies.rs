//! Lies with a signature: an aggregator that signs what is not so, and sites that state less of their
//! budget than is spent.

use rand::RngExt as _;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::log::{LogEntry, LogHash, SignedNote};
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::{Statement as _, sign};
use ringfence_crypto::statement::{Closing, Included, Opening, Spent, Subject as Opened};
use ringfence_testkit::Record;

use crate::cosigned::cosigned;
use crate::studies::{ALL, apart, private, record, spending};
use crate::tampering::Tampering;

/// A study, what its sites have cosigned, and what must be named.
type Lie = (Record, Vec<SignedNote>, Tampering);

fn told(record: Record, tampering: Option<Tampering>) -> Lie {
    (record, Vec::new(), tampering.unwrap())
}

/// A round up to its reviews.
fn reviewed(rng: &mut ChaCha20Rng) -> Record {
    let mut record = record(|_| ());
    record.begin(b"model 0");
    record.contribute(&ALL, None, rng);
    record.freeze();
    record.review(&ALL, &[]);
    record
}

pub(crate) fn finish(record: &mut Record, model: &[u8]) {
    record.endorse(&ALL);
    record.open(&ALL, Opened::Sum);
    record.acknowledge(&ALL, Some(model));
}

/// The closing as the machine would have it, altered.
pub(crate) fn closed_with(record: &mut Record, alter: impl FnOnce(&mut Closing)) {
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

pub(crate) fn a_false_sum(rng: &mut ChaCha20Rng) -> Lie {
    let mut record = reviewed(rng);
    closed_with(&mut record, |closing| closing.sum = Some(Digest(rng.random())));
    finish(&mut record, b"model 1");
    told(record, Tampering::of_round("a false sum", 0, &["sum"]))
}

pub(crate) fn a_set_without_a_site(rng: &mut ChaCha20Rng) -> Lie {
    let mut record = reviewed(rng);
    let at = rng.random_range(0..7);
    closed_with(&mut record, |closing| _ = closing.included.remove(at));
    finish(&mut record, b"model 1");
    told(record, Tampering::of_round("a set without a site", 0, &["closing"]))
}

/// The log has a second closing.
fn second_closing(rng: &mut ChaCha20Rng) -> (Record, Event) {
    let mut record = reviewed(rng);
    record.close();
    let mut other = record.rounds[0].round.closing().unwrap().statement.clone();
    other.included.remove(rng.random_range(0..7));
    let other = sign(other, &record.parties.aggregator);
    record.append(LogEntry::of_signed(&other));
    finish(&mut record, b"model 1");
    (record, Event::Closed(other))
}

pub(crate) fn a_second_closing_hidden(rng: &mut ChaCha20Rng) -> Lie {
    let (record, _) = second_closing(rng);
    told(record, Tampering::of_study("a second closing, hidden", &["whole-log"]))
}

pub(crate) fn a_second_closing_shown(rng: &mut ChaCha20Rng) -> Lie {
    let (mut record, other) = second_closing(rng);
    record.rounds[0].events.push(other);
    told(record, Tampering::of_study("a second closing, shown", &["one-set"]))
}

pub(crate) fn two_sums_from_one_model(rng: &mut ChaCha20Rng) -> Lie {
    let mut record = record(|_| ());
    record.run(b"model 0", b"model 1", rng);
    record.run(b"model 0", b"model 2", rng);
    told(record, Tampering::of_study("two sums from one model", &["one-opening"]))
}

pub(crate) fn less_budget_than_is_spent(rng: &mut ChaCha20Rng) -> Lie {
    let (record, spent) = private();
    let honest = spent(2);
    let less = Spent { epsilon: honest.epsilon * rng.random_range(0.5..0.999), ..honest };
    let record = spending(&[spent(1), less], record);
    told(record, Tampering::of_study("less budget than is spent", &["spent"]))
}

pub(crate) fn budget_that_comes_back(_: &mut ChaCha20Rng) -> Lie {
    let (record, spent) = private();
    let record = spending(&[spent(3), spent(2)], record);
    told(record, Tampering::of_study("a budget that comes back", &["spent"]))
}

pub(crate) fn an_opening_before_the_certificate(rng: &mut ChaCha20Rng) -> Lie {
    let mut record = reviewed(rng);
    record.close();
    record.endorse(&[0, 1]);
    let holder = record.parties.identities[rng.random_range(0..7)].site().clone();
    let opening = record.parties.identity(&holder).sign(Opening {
        manifest: record.last().round.manifest_id(),
        closing: record.last().round.closing().unwrap().statement.id(),
        holder,
        subject: Opened::Sum,
        content: Digest::of(b"content"),
        recipients: LogHash([1; 32]),
        plaintext: Digest::of(b"salted"),
    });
    record.put(Event::Opened(opening));
    let what = "an opening before the certificate";
    told(record, Tampering::of_round(what, 0, &["openings"]))
}

pub(crate) fn a_torn_group(rng: &mut ChaCha20Rng) -> Lie {
    let mut record = apart();
    record.begin(b"model 0");
    // Sites 4 to 7 are a group.
    let absent = rng.random_range(4..8);
    let come: Vec<usize> = (0..8).filter(|site| *site != absent).collect();
    record.contribute(&come, None, rng);
    record.freeze();
    record.review(&ALL, &[]);
    closed_with(&mut record, |closing| {
        let out = std::mem::take(&mut closing.excluded).into_iter();
        closing.included.extend(out.map(|out| Included { site: out.site, header: out.header }));
    });
    finish(&mut record, b"model 1");
    told(record, Tampering::of_study("a torn group", &["cohorts"]))
}

pub(crate) fn another_history_for_a_site(rng: &mut ChaCha20Rng) -> Lie {
    let (mut record, mut other) = (record(|_| ()), record(|_| ()));
    other.parties = record.parties.clone();
    record.run(b"model 0", b"model 1", rng);
    other.run(b"model 0", b"model 1 for others", rng);
    let notes = vec![
        cosigned(&record, &[0, 1], 1_800_000_000),
        cosigned(&other, &[rng.random_range(2..7)], 1_800_000_000),
    ];
    let tampering = Tampering::of_study("another history for a site", &["witnesses"]);
    (record, notes, tampering.unwrap())
}

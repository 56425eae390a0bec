//! Sums that do not fit their headers: the bodies are added up again, the mean is right all the
//! same, and whoever is at fault is named, nobody else.

use std::io::Cursor;

use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::signature::{Signed, sign};
use ringfence_crypto::statement::{Closing, Summands};
use ringfence_keys::open::{Evidence, OpenError, OpenedSum, Recount, RecountError, SumContext};
use ringfence_testkit::{FinishedRound, Made, Rehearsal, plain_sum};

/// A round of five sites, of which site 1 seals check words that do not open if it `lies`.
fn finished(lies: bool) -> (Rehearsal, Vec<Made>, FinishedRound) {
    let mut rehearsal = Rehearsal::new(5, None, 9000);
    let mut made: Vec<_> = (0..5).map(|k| rehearsal.contribute(k)).collect();
    if lies {
        let contribution = &mut made[1].contribution;
        contribution.header.statement.check.0[5] ^= 1;
        let header = contribution.header.statement.clone();
        contribution.header = rehearsal.identities[1].sign(header);
    }
    let mut round = rehearsal.round();
    rehearsal.collect(&mut round, &made);
    let (_, sum) = rehearsal.close(&mut round, &made);
    rehearsal.endorse(&mut round, &[]);
    let frames = rehearsal.openings(&mut round, &made, &[]);
    let finished = rehearsal.finished(&round, sum, frames);
    (rehearsal, made, finished)
}

/// What a site does with a sum: if it has not the check words that the headers promise, it adds up
/// the bodies and opens their sum. Says what it found.
fn recounted(
    (rehearsal, made, finished): &(Rehearsal, Vec<Made>, FinishedRound),
    closing: &Signed<Closing>,
) -> Vec<Evidence> {
    let (study, manifest) = (&*rehearsal.study, finished.manifest_id());
    let mut sum = Cursor::new(Vec::new());
    let mut count = Recount::new(study, manifest, &rehearsal.check_key, &mut sum).unwrap();
    for header in &finished.headers {
        let of = made.iter().find(|made| made.contribution.header == *header).unwrap();
        count.add(header, &mut &of.body[..]).unwrap();
    }
    let (check, found) = count.finish(closing).unwrap();
    assert_eq!(Some(Digest::of(sum.get_ref())), finished.closing.statement.sum);
    let context = SumContext {
        study,
        manifest,
        summands: Summands::alike(made.len(), &study.packing),
        keys: &finished.key_sum(3),
        check: &check,
        check_key: &rehearsal.check_key,
    };
    let opened = OpenedSum::open(context, &mut &sum.get_ref()[..]).unwrap();
    assert_eq!(opened.sums(), plain_sum(made), "the right mean, whoever is at fault");
    found
}

#[test]
fn a_flipped_bit_in_the_stored_sum_is_seen_and_costs_nothing() {
    let round = finished(false);
    let finished = &round.2;
    for at in [0, 7777, finished.sum.len() - 1] {
        let mut flipped = finished.sum.clone();
        flipped[at] ^= 0x10;
        let (study, manifest) = (&round.0.study, finished.manifest_id());
        let words = round.0.check_key.words_of(study, manifest, &mut &flipped[..]).unwrap();
        assert!(!words.matches(&finished.check()), "byte {at}");
    }
    assert_eq!(recounted(&round, &finished.closing), []);
}

#[test]
fn an_aggregator_that_signs_a_wrong_sum_is_convicted_by_its_closing() {
    let round = finished(false);
    let mut closing = round.2.closing.statement.clone();
    let mut wrong = round.2.sum.clone();
    wrong[1000] ^= 1;
    closing.sum = Some(Digest::of(&wrong));
    let closing = sign(closing, &round.0.aggregator);
    // By the digest alone it is what was signed; the check words tell.
    let error = round.2.try_open(&round.2.key_sum(0), &wrong).unwrap_err();
    assert!(matches!(error, OpenError::Check | OpenError::Noise { .. }), "{error}");
    let found = recounted(&round, &closing);
    let expected = round.2.closing.statement.sum.unwrap();
    assert_eq!(found, [Evidence::WrongSum { closing, expected }]);
    assert_eq!(found[0].against(), None);
}

#[test]
fn a_site_with_wrong_check_words_is_named_by_its_header() {
    let round = finished(true);
    let headers = round.2.headers.iter().map(|header| &header.statement);
    let wire_bits = round.0.study.packing.wire_bits;
    assert!(round.0.check_key.sum_of_headers(headers, wire_bits).is_err());
    let found = recounted(&round, &round.2.closing);
    let header = round.1[1].contribution.header.clone();
    let site: SiteId = header.statement.site.clone();
    assert_eq!(found, [Evidence::CheckWords { header }]);
    assert_eq!(found[0].against(), Some(&site));
    assert!(found[0].to_string().contains(site.as_str()));
}

#[test]
fn another_body_than_the_headers_is_refused() {
    let (rehearsal, made, finished) = finished(false);
    let (study, sum) = (&*rehearsal.study, Cursor::new(Vec::new()));
    let id = finished.manifest_id();
    let mut count = Recount::new(study, id, &rehearsal.check_key, sum).unwrap();
    let error = count.add(&made[0].contribution.header, &mut &made[1].body[..]).unwrap_err();
    assert!(matches!(error, RecountError::Body { .. }), "{error}");
    let short = &made[0].body[..made[0].body.len() - 1];
    let error = count.add(&made[0].contribution.header, &mut &short[..]).unwrap_err();
    assert!(matches!(error, RecountError::Io(_)), "{error}");
}

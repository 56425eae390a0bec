//! What a key holder reviews, and what it refuses to: one freeze a round, with its own receipt and
//! without barred sites.

use std::collections::BTreeSet;

use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::round::Round;
use ringfence_crypto::signature::sign;
use ringfence_crypto::statement::{Freeze, FreezeError, Included, ManifestError};
use ringfence_keys::duties::holder::{Decision, Holder, HolderError, Records};
use ringfence_testkit::{Made, ROUND_SECONDS, Rehearsal, START, Shown};

use crate::refusals::closed;

/// A round to which all contribute and whose freeze lists the first `listed` sites only.
fn frozen(listed: usize) -> (Rehearsal, Round, Vec<Made>) {
    let mut rehearsal = Rehearsal::new(5, None, 100);
    let made: Vec<_> = (0..5).map(|k| rehearsal.contribute(k)).collect();
    let mut round = rehearsal.round();
    rehearsal.collect(&mut round, &made[..listed]);
    rehearsal.close(&mut round, &made[..listed]);
    (rehearsal, round, made)
}

#[test]
fn a_holder_reviews_one_freeze_a_round() {
    let (rehearsal, round, _) = frozen(5);
    let shown = Shown::of(&round);
    let site = rehearsal.identities[1].site();
    let mut holder = rehearsal.holder(site);
    let Decision::Fresh(freeze) = holder.review(shown.freeze_view()).unwrap() else { panic!() };
    holder.record_review(RoundNumber(0), freeze);
    let records = Records { reviewed: vec![(RoundNumber(0), freeze)], ..Records::default() };
    let restarted = Holder::restore(rehearsal.study.clone(), site.clone(), records, None, None);
    let later = Freeze {
        frozen_at: shown.freeze.statement.frozen_at.after(1),
        ..shown.freeze.statement.clone()
    };
    let second = Shown { freeze: sign(later, &rehearsal.aggregator), ..shown.clone() };
    for holder in [holder, restarted] {
        let again = holder.review(shown.freeze_view()).unwrap();
        assert_eq!(again, Decision::Repeat(freeze));
        let error = holder.review(second.freeze_view()).unwrap_err();
        let HolderError::Reviewed { reviewed, shown: other, .. } = error else { panic!("{error}") };
        assert_eq!((reviewed, other), (freeze, second.freeze.id()));
    }
}

#[test]
fn a_freeze_without_the_own_receipt_is_neither_reviewed_nor_endorsed() {
    let (rehearsal, round, made) = frozen(4);
    let own = {
        let mut complete = rehearsal.round();
        rehearsal.collect(&mut complete, &made);
        complete.contribution(rehearsal.identities[4].site()).unwrap().receipt.clone()
    };
    let without = Shown::of(&round);
    let shown = Shown { receipt: own, ..without.clone() };
    let holder = rehearsal.holder(rehearsal.identities[4].site());
    assert!(holder.review(without.freeze_view()).is_ok());
    let error = holder.review(shown.freeze_view()).unwrap_err();
    assert!(matches!(error, HolderError::ReceiptOmitted { what: "freeze", .. }), "{error}");
    assert!(holder.endorse(without.closing_view()).is_ok());
    let error = holder.endorse(shown.closing_view()).unwrap_err();
    assert!(matches!(error, HolderError::ReceiptOmitted { what: "freeze", .. }), "{error}");
}

#[test]
fn a_freeze_with_a_barred_site_is_refused() {
    let (rehearsal, round, _) = frozen(5);
    let mut shown = Shown::of(&round);
    let barred = rehearsal.identities[2].site().clone();
    shown.trust.bar(&BTreeSet::from([barred.clone()]));
    let holder = rehearsal.holder(rehearsal.identities[1].site());
    for error in
        [holder.review(shown.freeze_view()).err(), holder.endorse(shown.closing_view()).err()]
    {
        let Some(HolderError::Freeze(FreezeError::Barred(site))) = error else {
            panic!("{error:?}")
        };
        assert_eq!(site, barred);
    }
}

#[test]
fn a_freeze_of_what_its_sites_did_not_sign_is_refused() {
    let (rehearsal, round, _) = frozen(5);
    let good = Shown::of(&round);
    let holder = rehearsal.holder(rehearsal.identities[1].site());
    let refused = |alter: &dyn Fn(&mut Freeze), text: &str| {
        let mut freeze = good.freeze.statement.clone();
        alter(&mut freeze);
        let freeze = sign(freeze, &rehearsal.aggregator);
        let shown = Shown { freeze, ..good.clone() };
        let error = holder.review(shown.freeze_view()).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    refused(&|f| f.contributions.swap(0, 1), "out of order");
    refused(&|f| f.contributions[4].site = "site-9".parse().unwrap(), "not on the roster");
    refused(&|f| f.round = RoundNumber(1), "expected round 0");
    refused(&|f| f.frozen_at = START.earlier(1), "before the manifest opened the round");
    refused(
        &|f| {
            let of_another = f.contributions[1].header;
            f.contributions[0] = Included { header: of_another, ..f.contributions[0].clone() };
        },
        "but what that site signed is",
    );
    let mut forged = good.clone();
    forged.freeze = rehearsal.identities[0].sign(good.freeze.statement.clone());
    let error = holder.review(forged.freeze_view()).unwrap_err().to_string();
    assert!(error.contains("the aggregator"), "{error}");
    let mut headers = good.clone();
    headers.headers[2] = rehearsal.identities[3].sign(good.headers[2].statement.clone());
    let error = holder.review(headers.freeze_view()).unwrap_err().to_string();
    assert!(error.contains("does not verify"), "{error}");
}

/// Collecting ends without the barred site, whose contribution nobody takes; another site opens the
/// round in its turn, and only under the trust that the round before left.
#[test]
fn a_barred_site_takes_no_part_in_the_next_round() {
    let (mut rehearsal, mut round, ..) = closed();
    rehearsal.endorse(&mut round, &[]);
    rehearsal.agree(&mut round);
    let mut previous = round.ended().unwrap();
    let barred = rehearsal.identities[1].site().clone();
    previous.trust.bar(&BTreeSet::from([barred.clone()]));
    rehearsal.previous = Some(previous);
    // Round 1 would be the barred site's to open.
    let manifest = rehearsal.manifest();
    assert_eq!(manifest.statement.initiator, *rehearsal.identities[2].site());
    rehearsal.round_keys.clear();
    rehearsal.secrets.clear();
    let mut next = rehearsal.round();
    let made = rehearsal.contribute(1);
    let header = &made.contribution.header;
    let error = next.announce(header, manifest.statement.opened_at).unwrap_err().to_string();
    assert!(error.contains("site-1"), "{error}");
    let others: Vec<_> = [0, 2, 3, 4].map(|k| rehearsal.contribute(k)).into();
    rehearsal.collect(&mut next, &others);
    let now = manifest.statement.opened_at.after(ROUND_SECONDS / 2);
    assert!(next.freeze_due(now).is_some(), "nobody waits for the barred site");
    // Whoever forgets it does not agree with the others.
    rehearsal.previous.as_mut().unwrap().trust = Trust::default();
    let forgetful = rehearsal.manifest();
    let (study, id) = (rehearsal.study.clone(), rehearsal.id);
    let expected = next.trust().digest();
    rehearsal.previous.as_mut().unwrap().trust.bar(&BTreeSet::from([barred]));
    let error = Round::open(study, id, forgetful, rehearsal.previous.as_ref()).unwrap_err();
    let ringfence_crypto::round::RoundError::Manifest(ManifestError::Trust {
        expected: own, ..
    }) = error
    else {
        panic!("{error}");
    };
    assert_eq!(own, expected);
}

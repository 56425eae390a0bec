//! Disputes and verdicts: which are endorsed, when one is certified, and what is opened under it.

use ringfence_crypto::Digest;
use ringfence_crypto::api::share_words;
use ringfence_crypto::id::{ClosingId, DisputeId, RoundNumber, SiteId, StudyId, VerdictId};
use ringfence_crypto::round::{DisputeStatus, Round, RoundError, SiteSet};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{
    Dispute, DisputeError, Endorses, Quorum, QuorumError, Subject, Verdict,
};
use ringfence_crypto::threshold::Threshold;

use crate::parties::{Game, Parties};

#[test]
fn dispute_bad() {
    let game = Game::certified();
    let (study, closing) = (&game.parties.study, &game.round.closing().unwrap().statement);
    let with = |change: &dyn Fn(&mut Dispute)| {
        let mut dispute = game.dispute();
        change(&mut dispute);
        let checked = dispute.check(study, closing);
        if let Err(refused) = &checked {
            let same = game.round.dispute(&game.endorses(0, &dispute)).unwrap_err();
            assert_eq!(same, RoundError::Dispute(refused.clone()));
        }
        checked
    };
    let blocks = study.blocks().unwrap();
    with(&|dispute| dispute.block = blocks as u64 - 1).unwrap();
    let after = Some(VerdictId(Digest::of(b"before")));
    with(&|dispute| (dispute.index, dispute.after) = (2, after)).unwrap();
    let refused = |change: &dyn Fn(&mut Dispute)| with(change).unwrap_err();
    for refused in [
        refused(&|dispute| dispute.study = StudyId(Digest::of(b"other"))),
        refused(&|dispute| dispute.round = RoundNumber(1)),
        refused(&|dispute| dispute.closing = ClosingId(Digest::of(b"other"))),
    ] {
        assert!(matches!(refused, DisputeError::Other { what: "dispute", .. }), "{refused}");
    }
    for refused in [
        refused(&|dispute| dispute.index = 0),
        refused(&|dispute| (dispute.index, dispute.after) = (3, after)),
        refused(&|dispute| dispute.index = 2),
        refused(&|dispute| dispute.after = after),
    ] {
        assert!(matches!(refused, DisputeError::Index { .. }), "{refused}");
    }
    for refused in [
        refused(&|dispute| dispute.block = blocks as u64),
        refused(&|dispute| dispute.coefficient = 4096),
    ] {
        assert!(matches!(refused, DisputeError::Position { .. }), "{refused}");
    }
}

#[test]
fn verdict_bad() {
    let mut game = Game::frozen();
    // Site 7 is not in the set.
    (0..7).for_each(|holder| game.put_review(holder, if holder < 3 { &[7] } else { &[] }));
    game.close();
    game.endorse(0..5);
    let dispute = game.dispute();
    game.put_dispute(0..5, &dispute);
    let (study, closing) = (&game.parties.study, &game.round.closing().unwrap().statement);
    let with = |sites: &[usize], change: &dyn Fn(&mut Verdict)| {
        let mut verdict = game.verdict(Some(&dispute), sites);
        change(&mut verdict);
        let checked = verdict.check(study, closing);
        if let Err(refused) = &checked {
            let same = game.round.judge(&game.endorses(0, &verdict)).unwrap_err();
            assert_eq!(same, RoundError::Dispute(refused.clone()));
        }
        checked
    };
    with(&[1, 3], &|_| ()).unwrap();
    for change in [
        (&|verdict: &mut Verdict| verdict.study = StudyId(Digest::of(b"other")))
            as &dyn Fn(&mut Verdict),
        &|verdict| verdict.round = RoundNumber(1),
        &|verdict| verdict.closing = ClosingId(Digest::of(b"other")),
    ] {
        let refused = with(&[1], change).unwrap_err();
        assert!(matches!(refused, DisputeError::Other { what: "verdict", .. }), "{refused}");
    }
    for sites in [&[][..], &[1, 2, 3], &[3, 1], &[1, 1], &[7]] {
        let refused = with(sites, &|_| ()).unwrap_err();
        let count = sites.len();
        assert_eq!(refused, DisputeError::Sites { got: count, collusion: 2 }, "{sites:?}");
    }
}

#[test]
fn quorum_bad() {
    let game = Game::certified();
    let (dispute, study) = (game.dispute(), &game.parties.study);
    let endorsements = |holders: &[usize]| {
        let endorsements = holders.iter().map(|holder| game.endorses(*holder, &dispute));
        Quorum { statement: dispute.clone(), endorsements: endorsements.collect() }
    };
    endorsements(&[0, 1, 2, 3, 4]).check(study).unwrap();
    let few = endorsements(&[0, 1, 2, 3]).check(study).unwrap_err();
    assert!(matches!(few, QuorumError::TooFew { needed: 5, got: 4, .. }), "{few}");
    let refuse = |quorum: Quorum<Dispute>| quorum.check(study).unwrap_err();
    let twice = refuse(endorsements(&[0, 1, 2, 3, 3]));
    assert!(matches!(twice, QuorumError::Endorsement(..)), "{twice}");
    let outside = refuse(endorsements(&[0, 1, 2, 3, 7]));
    assert!(matches!(outside, QuorumError::Endorsement(..)), "{outside}");
    let mut other = endorsements(&[0, 1, 2, 3, 4]);
    let elsewhere = Dispute { coefficient: 0, ..dispute.clone() };
    other.endorsements[4] = game.endorses(4, &elsewhere);
    let other = refuse(other);
    assert!(matches!(other, QuorumError::Endorsement(..)), "{other}");
    let mut forged = endorsements(&[0, 1, 2, 3, 4]);
    forged.endorsements[4].signature = forged.endorsements[3].signature;
    let forged = refuse(forged);
    assert!(matches!(forged, QuorumError::Signature(_)), "{forged}");
    // Enough endorsements in all, and not of one statement.
    let split: Vec<_> = (0..7)
        .map(|holder| game.endorses(holder, if holder < 4 { &dispute } else { &elsewhere }))
        .collect();
    assert_eq!(Quorum::of(split.iter(), 5), None);
    assert_eq!(Quorum::of(split[..4].iter(), 4).unwrap().statement, dispute);
}

#[test]
fn nothing_is_disputed_before_the_certificate_or_by_others_than_holders() {
    let mut game = Game::closed();
    game.endorse(0..4);
    let (dispute, verdict) = (game.dispute(), game.verdict(None, &[1]));
    let refused = game.round.dispute(&game.endorses(0, &dispute)).unwrap_err();
    assert!(matches!(refused, RoundError::Uncertified { .. }), "{refused}");
    let refused = game.round.judge(&game.endorses(0, &verdict)).unwrap_err();
    assert!(matches!(refused, RoundError::Uncertified { .. }), "{refused}");
    game.endorse(4..5);
    let refused = game.round.dispute(&game.endorses(7, &dispute)).unwrap_err();
    assert!(matches!(refused, RoundError::NoHolder { .. }), "{refused}");
    let refused = game.round.judge(&game.endorses(7, &verdict)).unwrap_err();
    assert!(matches!(refused, RoundError::NoHolder { .. }), "{refused}");
    let mut forged = game.endorses(0, &dispute);
    forged.signature = game.endorses(1, &dispute).signature;
    let refused = game.round.dispute(&forged).unwrap_err();
    assert!(matches!(refused, RoundError::Signature(_)), "{refused}");
    let mut forged = game.endorses(0, &verdict);
    forged.signature = game.endorses(1, &verdict).signature;
    let refused = game.round.judge(&forged).unwrap_err();
    assert!(matches!(refused, RoundError::Signature(_)), "{refused}");
}

#[test]
fn one_dispute_and_one_verdict_a_holder_and_index() {
    let mut game = Game::certified();
    let dispute = game.dispute();
    game.put_dispute(0..1, &dispute);
    assert!(!game.take(game.round.dispute(&game.endorses(0, &dispute))), "the same again");
    let other = Dispute { coefficient: 0, ..dispute.clone() };
    let refused = game.round.dispute(&game.endorses(0, &other)).unwrap_err();
    assert!(matches!(refused, RoundError::SecondDispute { what: "dispute", .. }), "{refused}");

    // A verdict waits for the certificate of its dispute.
    let verdict = game.verdict(Some(&dispute), &[1]);
    game.put_dispute(1..4, &dispute);
    let refused = game.round.judge(&game.endorses(0, &verdict)).unwrap_err();
    assert!(matches!(refused, RoundError::NoGround { what: "verdict", .. }), "{refused}");
    game.put_dispute(4..5, &dispute);
    game.put_verdict(0..1, &verdict);
    assert!(!game.take(game.round.judge(&game.endorses(0, &verdict))), "the same again");
    let other = game.verdict(Some(&dispute), &[2]);
    let refused = game.round.judge(&game.endorses(0, &other)).unwrap_err();
    assert!(matches!(refused, RoundError::SecondDispute { what: "verdict", .. }), "{refused}");
    // Check words are another matter.
    game.put_verdict(0..1, &game.verdict(None, &[2]));
}

#[test]
fn a_dispute_follows_the_certified_verdict_before_it() {
    let mut game = Game::certified();
    let first = game.dispute();
    game.put_dispute(0..5, &first);
    let verdict = game.verdict(Some(&first), &[1]);
    let second = Dispute { index: 2, after: Some(verdict.id()), ..first.clone() };
    game.put_verdict(0..4, &verdict);
    let refused = game.round.dispute(&game.endorses(0, &second)).unwrap_err();
    assert!(matches!(refused, RoundError::NoGround { what: "dispute", .. }), "{refused}");
    game.put_verdict(4..5, &verdict);
    let other = Dispute { after: Some(game.verdict(None, &[1]).id()), ..second.clone() };
    let refused = game.round.dispute(&game.endorses(0, &other)).unwrap_err();
    assert!(matches!(refused, RoundError::NoGround { what: "dispute", .. }), "{refused}");
    game.put_dispute(0..5, &second);
    assert_eq!(game.round.certified_dispute(2).unwrap().statement, second);
}

#[test]
fn what_is_opened_has_its_own_certificate_and_its_own_number_of_words() {
    let mut game = Game::certified();
    let key = share_words(&game.parties.study.threshold);
    assert_eq!(game.round.opening_words(Subject::Sum), Ok(key));
    let first = game.dispute();
    let functionals = Subject::Functionals { dispute: first.id() };
    game.put_dispute(0..4, &first);
    let no_ground = |game: &Game, subject| {
        let refused = game.round.take_opening(&game.opening(0, subject)).unwrap_err();
        assert!(matches!(refused, RoundError::NoGround { .. }), "{refused}");
        assert_eq!(game.round.opening_words(subject), Err(refused));
    };
    no_ground(&game, functionals);
    game.put_dispute(4..5, &first);
    no_ground(&game, Subject::Functionals { dispute: DisputeId(Digest::of(b"other")) });
    // One word of each of eight sites, as l = 1.
    assert_eq!(game.round.opening_words(functionals), Ok(8));
    assert!(game.take(game.round.take_opening(&game.opening(0, functionals))));
    let mut second = game.opening(0, functionals).statement;
    second.content = Digest::of(b"other");
    let refused = game.round.take_opening(&game.parties.signed(0, second)).unwrap_err();
    assert!(matches!(refused, RoundError::SecondOpening(_)), "{refused}");

    // Keys are opened under a certified verdict of a dispute only: not for check words.
    let check_words = game.verdict(None, &[5]);
    game.put_verdict(0..5, &check_words);
    no_ground(&game, Subject::Keys { verdict: check_words.id() });
    let verdict = game.verdict(Some(&first), &[1, 3]);
    let keys = Subject::Keys { verdict: verdict.id() };
    game.put_verdict(0..4, &verdict);
    no_ground(&game, keys);
    game.put_verdict(4..5, &verdict);
    assert_eq!(game.round.opening_words(keys), Ok(2 * key));
    assert!(game.take(game.round.take_opening(&game.opening(0, keys))));
    assert!(game.take(game.round.take_opening(&game.opening(0, Subject::Sum))));

    // Those that it named are left out of the next dispute; those of check words are not.
    let second = Dispute { index: 2, after: Some(verdict.id()), ..first.clone() };
    game.put_dispute(0..5, &second);
    let subject = Subject::Functionals { dispute: second.id() };
    assert_eq!(game.round.opening_words(subject), Ok(6));
    assert_eq!(game.round.opening_words(functionals), Ok(8), "as long as it was");

    let set = |sites: std::ops::Range<usize>| {
        SiteSet::of(&game.parties.study.roster, &game.parties.ids[sites])
    };
    let statuses = game.round.status().disputes;
    let expected = [
        DisputeStatus {
            index: 0,
            disputing: set(0..0),
            disputed: false,
            answered: set(0..0),
            judging: set(0..5),
            judged: true,
            removing: set(0..0),
        },
        DisputeStatus {
            index: 1,
            disputing: set(0..5),
            disputed: true,
            answered: set(0..1),
            judging: set(0..5),
            judged: true,
            removing: set(0..1),
        },
        DisputeStatus {
            index: 2,
            disputing: set(0..5),
            disputed: true,
            answered: set(0..0),
            judging: set(0..0),
            judged: false,
            removing: set(0..0),
        },
    ];
    assert_eq!(statuses, expected);
    replay(&game);
}

/// Every event once more, as from a database: the round is the same.
fn replay(game: &Game) {
    let (study, manifest) = (game.parties.study.clone(), game.round.manifest().clone());
    let mut round = Round::open(study.clone(), study.id(), manifest, None).unwrap();
    for event in &game.events {
        round.check_stored(event, &game.log).unwrap();
        round.apply(event.clone());
        round.check_stored(event, &game.log).unwrap_err();
    }
    assert_eq!(round.status(), game.round.status());
}

#[test]
fn a_study_with_few_holders_has_no_disputes() {
    let threshold = Threshold::derive(3, 1, 1, 3).unwrap();
    assert!(!threshold.names());
    let mut game = Game::begin(Parties::of(3, threshold), None);
    game.contribute(0..3);
    game.freeze();
    (0..3).for_each(|holder| game.put_review(holder, &[]));
    game.close();
    game.endorse(0..3);
    let dispute = game.dispute();
    let none = RoundError::Dispute(DisputeError::NoNames { holders: 3 });
    assert_eq!(game.round.dispute(&game.endorses(0, &dispute)), Err(none.clone()));
    let verdict = game.verdict(None, &[1]);
    assert_eq!(game.round.judge(&game.endorses(0, &verdict)), Err(none));
}

#[test]
fn an_endorsement_is_signed_under_its_own_label() {
    let game = Game::certified();
    let verdict = game.verdict(None, &[1]);
    let holder: SiteId = game.parties.ids[0].clone();
    let dispute = Endorses { statement: game.dispute(), holder: holder.clone() };
    assert_eq!(<Endorses<Dispute> as Statement>::LABEL, "dispute-endorsement");
    assert_eq!(<Endorses<Verdict> as Statement>::LABEL, "verdict-endorsement");
    assert_ne!(dispute.id(), Endorses { statement: verdict, holder }.id());
}

//! What freezes a round, and the reviews of the frozen list.

use ringfence_crypto::Digest;
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{FreezeId, ManifestId, RoundNumber, StudyId};
use ringfence_crypto::round::{ABSENT_GRACE, Event, ReplayError, RoundError, RoundState};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Freeze, FreezeError, Review, ReviewError};

use crate::parties::Game;

#[test]
fn a_round_freezes_once_all_have_come_or_the_deadline_has_passed() {
    let mut game = Game::new();
    game.contribute(0..7);
    let deadline = game.round.manifest().statement.deadline;
    assert_eq!(game.round.freeze_due(deadline), None);
    let late = game.round.freeze_due(deadline.after(1)).unwrap();
    assert_eq!((late.frozen_at, late.contributions.len()), (deadline.after(1), 7));
    // One that was announced and not received is not on the list.
    game.take(game.round.announce(&game.header(7), game.now));
    assert_eq!(game.round.freeze_due(deadline.after(1)).unwrap().contributions.len(), 7);
    let receipt = game.round.receipt(&game.parties.ids[7], game.now).unwrap();
    game.fresh(Event::Received(game.parties.by_aggregator(receipt)));
    assert_eq!(game.freeze().dealers(), game.parties.ids);
    assert_eq!(game.round.state(), RoundState::Reviewing);
    assert_eq!(game.round.freeze_due(deadline.after(1)), None, "one freeze a round");
}

#[test]
fn an_absent_holders_review_is_waited_for_a_little_longer_than_the_others_and_no_more() {
    let mut game = Game::frozen();
    let (ids, frozen) = (game.parties.ids.clone(), game.now);
    let absent = |places: &[usize]| places.iter().map(|place| ids[*place].clone()).collect();
    let is_closed = |game: &Game, places: &[usize], seconds| {
        game.round.closed_set_without(&absent(places), frozen.after(seconds)).is_some()
    };
    let review_seconds = game.parties.study.review_seconds.into();
    assert!(ABSENT_GRACE < review_seconds);
    (0..4).for_each(|holder| game.put_review(holder, &[]));
    // Too few for a set: nothing is aborted before the others' time is over.
    assert!(!is_closed(&game, &[4, 5, 6], review_seconds - 1));
    assert!(is_closed(&game, &[4, 5, 6], review_seconds));
    game.put_review(4, &[]);
    game.put_review(5, &[]);
    assert!(!is_closed(&game, &[], review_seconds - 1));
    assert!(!is_closed(&game, &[5], review_seconds - 1), "the one that is missing is not absent");
    assert!(!is_closed(&game, &[6], ABSENT_GRACE - 1));
    assert!(is_closed(&game, &[6], ABSENT_GRACE));
}

#[test]
fn sites_that_are_absent_are_waited_for_a_little_longer_than_the_others_and_no_more() {
    let mut game = Game::new();
    let ids = game.parties.ids.clone();
    let absent = |places: &[usize]| places.iter().map(|place| ids[*place].clone()).collect();
    let opened = game.round.manifest().statement.opened_at;
    let due = |game: &Game, places: &[usize], seconds: u64| {
        let now = game.now.after(seconds);
        game.round.freeze_due_without(&absent(places), opened, now).is_some()
    };
    let enough = game.parties.study.min_sites.max(game.parties.study.threshold.endorsements);
    assert_eq!((ids.len(), enough), (8, 5), "what follows counts on it");
    game.contribute(0..4);
    assert!(!due(&game, &[4, 5, 6, 7], 100), "four are fewer than a set needs");
    game.contribute(4..6);
    assert!(!due(&game, &[6, 7], ABSENT_GRACE - 1));
    assert!(due(&game, &[6, 7], ABSENT_GRACE));
    assert!(!due(&game, &[6], 100), "one of those that are missing is not known to be absent");
    assert!(!due(&game, &[], 100));
    // Who is back in time is in it, and nobody waits for the other one twice as long.
    game.contribute(6..7);
    assert!(due(&game, &[6, 7], ABSENT_GRACE));
    // An aggregator that was away itself waits as long from its start on.
    let (now, since) = (game.now.after(100), game.now.after(90));
    assert!(game.round.freeze_due_without(&absent(&[7]), since, now).is_none());
    game.contribute(7..8);
    assert!(due(&game, &[], 0));
}

#[test]
fn nothing_is_taken_after_the_freeze() {
    let mut game = Game::new();
    game.contribute(0..7);
    game.now = game.round.manifest().statement.deadline.after(1);
    game.freeze();
    let early = game.round.manifest().statement.opened_at;
    let refused = game.round.announce(&game.header(7), early).unwrap_err();
    assert!(matches!(refused, RoundError::Late { .. }), "{refused}");
    let refused = game.round.receipt(&game.parties.ids[0], early).unwrap_err();
    assert!(matches!(refused, RoundError::Late { .. }), "{refused}");
    // Nor is it taken from what was stored.
    let event = Event::Announced(game.header(7));
    let refused = game.round.check_stored(&event, &game.log).unwrap_err();
    assert!(matches!(refused, ReplayError::Differs(_)), "{refused}");
}

#[test]
fn freeze_bad() {
    let mut game = Game::new();
    game.contribute(0..8);
    let (sound, parties) = (game.freeze(), &game.parties);
    let manifest = &game.round.manifest().statement;
    let check = |change: &dyn Fn(&mut Freeze), trust: &Trust| {
        let mut freeze = sound.clone();
        change(&mut freeze);
        Freeze::check(&parties.by_aggregator(freeze), &parties.study, manifest, trust)
    };
    let none = Trust::default();
    check(&|_| (), &none).unwrap();
    let refused = |change: &dyn Fn(&mut Freeze)| check(change, &none).unwrap_err();
    let (study, other) = (StudyId(Digest::of(b"other")), ManifestId(Digest::of(b"other")));
    for refused in [
        refused(&|freeze| freeze.study = study),
        refused(&|freeze| freeze.round = RoundNumber(1)),
        refused(&|freeze| freeze.manifest = other),
    ] {
        assert!(matches!(refused, FreezeError::Round { .. }), "{refused}");
    }
    let early = refused(&|freeze| freeze.frozen_at = manifest.opened_at.earlier(1));
    assert!(matches!(early, FreezeError::BeforeOpened { .. }), "{early}");
    for refused in [
        refused(&|freeze| freeze.contributions.swap(0, 1)),
        refused(&|freeze| freeze.contributions[1] = freeze.contributions[0].clone()),
        refused(&|freeze| freeze.contributions[7].site = "stranger".parse().unwrap()),
    ] {
        assert!(matches!(refused, FreezeError::Entry(_)), "{refused}");
    }
    let barred = Trust { barred: vec![parties.ids[3].clone()], pairs: Vec::new() };
    let refused = check(&|_| (), &barred).unwrap_err();
    assert_eq!(refused, FreezeError::Barred(parties.ids[3].clone()));
    let forged = parties.signed(0, sound.clone());
    let refused = Freeze::check(&forged, &parties.study, manifest, &none).unwrap_err();
    assert!(matches!(refused, FreezeError::Signature(_)), "{refused}");
}

#[test]
fn a_stored_freeze_is_the_list_of_what_had_come() {
    let mut game = Game::new();
    game.contribute(0..8);
    let mut shorter = game.round.freeze_due(game.now).unwrap();
    shorter.contributions.pop();
    let event = Event::Frozen(game.parties.by_aggregator(shorter));
    let refused = game.round.check_stored(&event, &game.log).unwrap_err();
    assert!(matches!(refused, ReplayError::Differs(_)), "{refused}");
    game.freeze();
    let twice = Event::Frozen(game.round.freeze().unwrap().clone());
    let refused = game.round.check_stored(&twice, &game.log).unwrap_err();
    assert!(matches!(refused, ReplayError::Twice), "{refused}");
}

#[test]
fn review_bad() {
    let game = Game::frozen();
    let freeze = &game.round.freeze().unwrap().statement;
    let (parties, sound) = (&game.parties, game.review(0, &[]));
    Review::check(&sound, &parties.study, freeze).unwrap();
    let refused = |signer: usize, change: &dyn Fn(&mut Review)| {
        let mut review = sound.statement.clone();
        change(&mut review);
        let review = parties.signed(signer, review);
        let refused = Review::check(&review, &parties.study, freeze).unwrap_err();
        // The machine decides the same, but for what names another round.
        match game.round.review(&review).unwrap_err() {
            RoundError::Review(same) => assert_eq!(same, refused),
            RoundError::NoHolder { .. } | RoundError::UnknownSite(_) => {}
            RoundError::OtherRound { .. } => assert_ne!(review.statement.manifest, freeze.manifest),
            other => panic!("{other}"),
        }
        refused
    };
    for site in [parties.ids[7].clone(), "stranger".parse().unwrap()] {
        let none = refused(7, &|review| review.holder = site.clone());
        assert!(matches!(none, ReviewError::NoHolder { .. }), "{none}");
    }
    let (other, manifest) = (FreezeId(Digest::of(b"other")), ManifestId(Digest::of(b"other")));
    for refused in [
        refused(0, &|review| review.freeze = other),
        refused(0, &|review| review.manifest = manifest),
    ] {
        assert!(matches!(refused, ReviewError::OtherFreeze { .. }), "{refused}");
    }
    for refused in [
        refused(0, &|review| review.answers.truncate(7)),
        refused(0, &|review| review.answers.push(review.answers[0])),
    ] {
        assert!(matches!(refused, ReviewError::Answers { expected: 8, .. }), "{refused}");
    }
    let forged = refused(1, &|_| ());
    assert!(matches!(forged, ReviewError::Signature(_)), "{forged}");
}

#[test]
fn a_holder_reviews_once_and_not_before_the_freeze() {
    let mut game = Game::new();
    game.contribute(0..8);
    // The list that will be frozen: nobody may review it before.
    let unsigned = game.round.freeze_due(game.now).unwrap();
    let review = Review {
        manifest: unsigned.manifest,
        freeze: unsigned.id(),
        holder: game.parties.ids[0].clone(),
        answers: Vec::new(),
    };
    let refused = game.round.review(&game.parties.signed(0, review)).unwrap_err();
    assert!(matches!(refused, RoundError::NotNow { .. }), "{refused}");
    game.freeze();
    game.put_review(0, &[]);
    assert!(!game.take(game.round.review(&game.review(0, &[]))), "the same again");
    let refused = game.round.review(&game.review(0, &[3])).unwrap_err();
    assert_eq!(refused, RoundError::SecondReview(game.parties.ids[0].clone()));
}

#[test]
fn a_late_review_is_taken_and_not_judged() {
    let mut game = Game::frozen();
    (0..6).for_each(|holder| game.put_review(holder, &[]));
    game.now = game.now.after(60);
    let closing = game.close();
    assert_eq!(closing.reviews.len(), 6);
    // It accuses somebody of the set, and changes neither the closing nor what follows from it.
    game.put_review(6, &[0]);
    assert_eq!(game.reviews().len(), 7);
    let freeze = &game.round.freeze().unwrap().statement;
    let (study, trust) = (&game.parties.study, game.round.trust());
    let judged = closing.judge(study, trust, freeze, &game.reviews()).unwrap();
    assert_eq!(judged.trust, Trust::default());
    let refused = game.round.review(&game.review(6, &[])).unwrap_err();
    assert!(matches!(refused, RoundError::SecondReview(_)), "{refused}");
}

//! What is judged, which set follows, and closings that nobody endorses.

use ringfence_crypto::Digest;
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{FreezeId, HeaderId, ManifestId};
use ringfence_crypto::round::{Event, ReplayError};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Closing, ClosingError, Excluded, ExclusionReason, FreezeError, Header, Review, SetView,
};

use crate::parties::Game;

/// Holders 0 and 1 say that site 7 dealt them no share: the first is set aside with it, the second
/// is needed, and site 7 is left out.
fn accused() -> Game {
    let mut game = Game::frozen();
    (0..7).for_each(|holder| game.put_review(holder, if holder < 2 { &[7] } else { &[] }));
    game
}

/// Checks a closing of this game with all headers and reviews.
fn check(game: &Game, closing: &Closing) -> Result<Trust, ClosingError> {
    check_with(game, closing, &game.headers(), &game.reviews())
}

fn check_with(
    game: &Game,
    closing: &Closing,
    headers: &[Signed<Header>],
    reviews: &[Signed<Review>],
) -> Result<Trust, ClosingError> {
    let freeze = &game.round.freeze().unwrap().statement;
    let shown = SetView { trust: game.round.trust(), freeze, headers, reviews };
    closing.check_set(&game.parties.study, shown).map(|judgement| judgement.trust)
}

#[test]
fn the_set_waits_for_all_reviews_or_for_their_time() {
    let mut game = Game::frozen();
    assert_eq!(game.set(), None);
    (0..6).for_each(|holder| game.put_review(holder, &[]));
    assert_eq!(game.set(), None);
    let start = game.now;
    game.now = start.after(59);
    assert_eq!(game.set(), None);
    game.now = start.after(60);
    let closing = game.closing_of(game.set().unwrap()).statement;
    assert_eq!((closing.included.len(), closing.reviews.len()), (8, 6));
    check(&game, &closing).unwrap();
    game.now = start;
    game.put_review(6, &[]);
    assert_eq!(game.set().unwrap().included().len(), 8, "all have reviewed");
}

/// Sites refuse a closing from their future, and there is no second one: a clock that is years ahead
/// when the aggregator is started must not stop the study for as long.
#[test]
fn a_closing_states_no_later_time_than_the_round_could_have_taken() {
    let mut game = Game::frozen();
    (0..7).for_each(|holder| game.put_review(holder, &[]));
    let latest = game.round.manifest().statement.deadline.after(60 + 300);
    game.now = latest.after(315_360_000);
    let closing = game.closing_of(game.set().unwrap()).statement;
    assert_eq!(closing.closed_at, latest);
    check(&game, &closing).unwrap();
}

#[test]
fn fewer_reviews_than_a_judgement_needs_are_an_abort() {
    let mut game = Game::frozen();
    // t + c' is 5.
    (0..4).for_each(|holder| game.put_review(holder, &[]));
    game.now = game.now.after(60);
    assert!(game.set().unwrap().included().is_empty());
    game.put_review(4, &[]);
    assert_eq!(game.set().unwrap().included().len(), 8);
}

#[test]
fn too_few_contributions_are_an_abort_at_once() {
    let mut game = Game::new();
    game.contribute(0..3);
    game.now = game.round.manifest().statement.deadline.after(1);
    game.freeze();
    let closing = game.close();
    assert!(closing.is_abort() && closing.excluded.is_empty() && closing.sum.is_none());
    check(&game, &closing).unwrap();
}

#[test]
fn the_reviews_leave_contributions_out() {
    let game = accused();
    let closing = game.closing_of(game.set().unwrap()).statement;
    let [out] = closing.excluded.as_slice() else { panic!("{closing:?}") };
    assert_eq!((&out.site, out.reason), (&game.parties.ids[7], ExclusionReason::Accused));
    let trust = check(&game, &closing).unwrap();
    assert_eq!((trust.barred.len(), trust.pairs.len()), (0, 1));

    // A third accusation bars it.
    let mut game = Game::frozen();
    (0..7).for_each(|holder| game.put_review(holder, if holder < 3 { &[7] } else { &[] }));
    let closing = game.closing_of(game.set().unwrap()).statement;
    assert_eq!(closing.excluded[0].reason, ExclusionReason::Barred);
    assert_eq!(check(&game, &closing).unwrap().barred, [game.parties.ids[7].clone()]);

    // Four answers of six are too few to tell.
    let mut game = Game::frozen();
    (0..6).for_each(|holder| game.put_review(holder, if holder < 2 { &[7] } else { &[] }));
    game.now = game.now.after(60);
    let closing = game.closing_of(game.set().unwrap()).statement;
    assert_eq!(closing.excluded[0].reason, ExclusionReason::Undetermined);
    check(&game, &closing).unwrap();
}

#[test]
fn more_corrupt_sites_than_the_study_allows_for_stop_it() {
    let mut game = Game::frozen();
    // Three dealers that three holders each accuse, and c = 2.
    (0..7).for_each(|holder| game.put_review(holder, if holder < 3 { &[5, 6, 7] } else { &[] }));
    let closing = game.close();
    assert!(closing.is_abort());
    let refused = check(&game, &closing).unwrap_err();
    assert!(matches!(refused, ClosingError::Broken(_)), "{refused}");
}

#[test]
fn judge_bad() {
    let game = accused();
    let sound = game.closing_of(game.set().unwrap()).statement;
    let refused = |change: &dyn Fn(&mut Closing)| {
        let mut closing = sound.clone();
        change(&mut closing);
        check(&game, &closing).unwrap_err()
    };
    let other = refused(&|closing| closing.freeze = FreezeId(Digest::of(b"other")));
    assert!(matches!(other, ClosingError::Freeze { .. }), "{other}");
    for refused in [
        refused(&|closing| closing.reviews[0] = Digest::of(b"none")),
        refused(&|closing| closing.reviews.swap(2, 3)),
        refused(&|closing| closing.reviews.insert(1, closing.reviews[0])),
    ] {
        assert!(matches!(refused, ClosingError::ReviewMissing(_)), "{refused}");
    }
    let mut reviews = game.reviews();
    let missing = check_with(&game, &sound, &game.headers(), &reviews[1..]).unwrap_err();
    assert!(matches!(missing, ClosingError::ReviewMissing(_)), "{missing}");
    reviews[3].signature = reviews[4].signature;
    let forged = check_with(&game, &sound, &game.headers(), &reviews).unwrap_err();
    assert!(matches!(forged, ClosingError::Review(_)), "{forged}");
    // With four reviews there is no set, whatever else they say.
    let none = refused(&|closing| closing.reviews.truncate(4));
    assert_eq!(none, ClosingError::NoSet);
}

#[test]
fn check_set_bad() {
    let game = accused();
    let sound = game.closing_of(game.set().unwrap()).statement;
    let with = |change: &dyn Fn(&mut Closing)| {
        let mut closing = sound.clone();
        change(&mut closing);
        check(&game, &closing)
    };
    let leave_out = |closing: &mut Closing, place: usize, reason| {
        let entry = closing.included.remove(place);
        closing.excluded.insert(0, Excluded { site: entry.site, header: entry.header, reason });
    };
    // An abort needs no reason, and lost bytes nobody else can check.
    with(&|closing| {
        closing.included.clear();
        closing.excluded.clear();
    })
    .unwrap();
    with(&|closing| leave_out(closing, 3, ExclusionReason::Damaged)).unwrap();

    let refused = |change: &dyn Fn(&mut Closing)| with(change).unwrap_err();
    for refused in [
        refused(&|closing| leave_out(closing, 3, ExclusionReason::Accused)),
        refused(&|closing| closing.excluded[0].reason = ExclusionReason::Barred),
        refused(&|closing| closing.excluded[0].reason = ExclusionReason::Damaged),
        refused(&|closing| {
            let Excluded { site, header, reason: _ } = closing.excluded.remove(0);
            closing.included.push(ringfence_crypto::statement::Included { site, header });
        }),
    ] {
        assert!(matches!(refused, ClosingError::Judgement { .. }), "{refused}");
    }
    for refused in [
        refused(&|closing| closing.excluded.clear()),
        refused(&|closing| drop(closing.included.remove(2))),
        refused(&|closing| closing.included[2].header = HeaderId(Digest::of(b"other"))),
    ] {
        assert!(matches!(refused, ClosingError::NotTheList { .. }), "{refused}");
    }
    let with_headers =
        |headers: &[_]| check_with(&game, &sound, headers, &game.reviews()).unwrap_err();
    let mut headers = game.headers();
    let missing = with_headers(&headers[1..]);
    assert!(
        matches!(missing, ClosingError::List(FreezeError::Header { expected: None, .. })),
        "{missing}"
    );
    let mut other = headers[2].statement.clone();
    other.body = Digest::of(b"another body");
    headers[2] = game.parties.signed(2, other);
    let other = with_headers(&headers);
    assert!(
        matches!(other, ClosingError::List(FreezeError::Header { expected: Some(_), .. })),
        "{other}"
    );
    let mut headers = game.headers();
    headers[2].signature = headers[3].signature;
    let forged = with_headers(&headers);
    assert!(matches!(forged, ClosingError::List(FreezeError::Signature(_))), "{forged}");
}

/// The aggregator froze a header that its site signed for another manifest.
#[test]
fn a_header_of_another_manifest_is_in_no_set() {
    let mut game = Game::new();
    game.contribute(0..8);
    let mut freeze = game.round.freeze_due(game.now).unwrap();
    let mut headers = game.headers();
    let mut foreign = headers[0].statement.clone();
    foreign.manifest = ManifestId(Digest::of(b"another round"));
    headers[0] = game.parties.signed(0, foreign);
    freeze.contributions[0].header = headers[0].id();
    game.fresh(Event::Frozen(game.parties.by_aggregator(freeze)));
    (0..7).for_each(|holder| game.put_review(holder, &[]));
    let closing = game.closing_of(game.set().unwrap()).statement;
    let refused = check_with(&game, &closing, &headers, &game.reviews()).unwrap_err();
    assert!(matches!(refused, ClosingError::List(FreezeError::Header { .. })), "{refused}");
}

#[test]
fn a_stored_closing_is_the_one_that_follows() {
    let mut open = Game::new();
    open.contribute(0..8);
    let full = Game::closed();
    let early = full.round.closing().unwrap().clone();
    let refused = |game: &Game, closing: Signed<Closing>| {
        game.round.check_stored(&Event::Closed(closing), &game.log).unwrap_err()
    };
    let before = refused(&open, early);
    assert!(matches!(before, ReplayError::Differs(_)), "{before}");

    let game = accused();
    let sound = game.closing_of(game.set().unwrap());
    game.round.check_stored(&Event::Closed(sound.clone()), &game.log).unwrap();
    let changed = |change: &dyn Fn(&mut Closing)| {
        let mut closing = sound.statement.clone();
        change(&mut closing);
        refused(&game, game.parties.by_aggregator(closing))
    };
    for differs in [
        changed(&|closing| closing.excluded[0].reason = ExclusionReason::Barred),
        changed(&|closing| closing.reviews.truncate(6)),
        changed(&|closing| closing.freeze = FreezeId(Digest::of(b"other"))),
        changed(&|closing| closing.checkpoint.root.0[0] ^= 1),
    ] {
        assert!(matches!(differs, ReplayError::Differs(_)), "{differs}");
    }
    let mut twice = accused();
    twice.close();
    let again = refused(&twice, twice.round.closing().unwrap().clone());
    assert!(matches!(again, ReplayError::Twice), "{again}");
}

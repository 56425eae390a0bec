//! How a round ends, and what the next one's manifest says of it.

use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::dealing::{Pair, Trust};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::round::{Round, RoundError};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{
    Manifest, ManifestError, Outcome, Previous, Setting, Study, Training,
};

use crate::parties::{Game, Parties};

const MODEL: Outcome = Outcome::Applied { model: Digest([9; 32]) };

fn other_model() -> Outcome {
    Outcome::Applied { model: Digest::of(b"another model") }
}

/// Whether the manifest that would follow this round opens one.
fn opens(game: &Game, manifest: Manifest) -> Result<(), ManifestError> {
    let (study, manifest) = (&game.parties.study, game.parties.by_initiator(manifest));
    let previous = game.round.ended();
    Manifest::check(&manifest, study, study.id(), previous.as_ref())
}

#[test]
fn a_round_has_ended_once_q_sites_hold_one_model() {
    let mut game = Game::certified();
    let next = |game: &Game| {
        let closing = game.round.closing().unwrap();
        let closed_at = closing.statement.closed_at;
        let (round, closing, trust) = (game.round.number(), closing.id(), Trust::default());
        game.parties.manifest(Some(&Previous { round, closing, closed_at, trust }))
    };
    let too_early = |game: &Game| {
        assert_eq!((game.round.agreed_model(), game.round.ended()), (None, None));
        let refused = opens(game, next(game)).unwrap_err();
        assert!(matches!(refused, ManifestError::Round { .. }), "{refused}");
    };
    too_early(&game);
    (0..4).for_each(|site| game.acknowledge(site, MODEL));
    game.acknowledge(4, other_model());
    game.acknowledge(5, Outcome::Failed);
    too_early(&game);
    // A site that failed has applied it since then.
    game.acknowledge(5, MODEL);
    assert_eq!(game.round.agreed_model(), Some(Digest([9; 32])));
    assert_eq!(game.round.ended().unwrap().trust, Trust::default());
    opens(&game, next(&game)).unwrap();
}

#[test]
fn failures_are_no_model() {
    let mut game = Game::certified();
    (0..8).for_each(|site| game.acknowledge(site, Outcome::Failed));
    assert_eq!(game.round.ended(), None);
}

#[test]
fn an_abort_ends_a_round_when_it_is_certified_and_its_judgement_counts() {
    let mut game = Game::frozen();
    for holder in 0..7 {
        let accused: &[usize] = match holder {
            0..3 => &[6, 7],
            _ => &[],
        };
        game.put_review(holder, accused);
    }
    let mut closing = game.closing_of(game.set().unwrap()).statement;
    // An abort is always allowed.
    closing.included.clear();
    closing.excluded.clear();
    closing.sum = None;
    game.fresh(ringfence_crypto::round::Event::Closed(game.parties.by_aggregator(closing)));
    game.endorse(0..4);
    assert_eq!(game.round.ended(), None);
    game.endorse(4..5);
    let ended = game.round.ended().unwrap();
    assert_eq!(ended.trust.barred, game.parties.ids[6..8]);
    opens(&game, game.parties.manifest(Some(&ended))).unwrap();
}

/// Sites 0 and 7 in a pair by the reviews, 1 by a verdict on check words, 7 by one of a dispute.
fn judged() -> Game {
    let mut game = Game::frozen();
    (0..7).for_each(|holder| game.put_review(holder, if holder == 0 { &[7] } else { &[] }));
    game.close();
    game.endorse(0..5);
    let dispute = game.dispute();
    game.put_dispute(0..5, &dispute);
    game.put_verdict(0..5, &game.verdict(Some(&dispute), &[7]));
    game.put_verdict(2..7, &game.verdict(None, &[1]));
    (0..5).for_each(|site| game.acknowledge(site, MODEL));
    game
}

#[test]
fn trust_after_a_round_is_its_judgement_and_its_verdicts() {
    let mut game = Game::frozen();
    (0..7).for_each(|holder| game.put_review(holder, if holder == 0 { &[7] } else { &[] }));
    game.close();
    game.endorse(0..5);
    (0..5).for_each(|site| game.acknowledge(site, MODEL));
    let pair = Pair { holder: game.parties.ids[0].clone(), dealer: game.parties.ids[7].clone() };
    assert_eq!(game.round.ended().unwrap().trust, Trust { barred: vec![], pairs: vec![pair] });

    let game = judged();
    let ids = &game.parties.ids;
    let barred = vec![ids[1].clone(), ids[7].clone()];
    let ended = game.round.ended().unwrap();
    assert_eq!(ended.trust, Trust { barred, pairs: vec![] }, "the pair is dissolved");

    // A manifest that names another trust is refused.
    let sound = game.parties.manifest(Some(&ended));
    opens(&game, sound.clone()).unwrap();
    let refused = opens(&game, Manifest { trust: Trust::default().digest(), ..sound }).unwrap_err();
    assert!(matches!(refused, ManifestError::Trust { .. }), "{refused}");
    let first = Parties::new();
    let other = Manifest { trust: Digest::of(b"trust"), ..first.manifest(None) };
    let refused = Manifest::check(&first.by_initiator(other), &first.study, first.study.id(), None);
    assert!(matches!(refused, Err(ManifestError::Trust { .. })), "{refused:?}");
}

#[test]
fn the_turn_of_a_barred_initiator_passes_at_once() {
    let game = judged();
    let ended = game.round.ended().unwrap();
    let sound = game.parties.manifest(Some(&ended));
    // It would have been site 1, which is barred.
    assert_eq!(sound.initiator, game.parties.ids[2]);
    assert_eq!(sound.opened_at, ended.closed_at);
    let barred = Manifest { initiator: game.parties.ids[1].clone(), ..sound.clone() };
    let refused = opens(&game, barred.clone()).unwrap_err();
    assert!(matches!(refused, ManifestError::Initiator { .. }), "{refused}");
    // Nor after any time.
    let opened_at = sound.opened_at.after(100 * 3600);
    let late = Manifest { opened_at, deadline: opened_at.after(600), ..barred };
    let refused = opens(&game, late).unwrap_err();
    assert!(matches!(refused, ManifestError::Initiator { .. }), "{refused}");
    // The one after the next has waited one time-out, not two.
    let next = |seconds| {
        let opened_at = sound.opened_at.after(seconds);
        let (initiator, deadline) = (game.parties.ids[3].clone(), opened_at.after(600));
        opens(&game, Manifest { initiator, opened_at, deadline, ..sound.clone() })
    };
    assert!(matches!(next(3599), Err(ManifestError::Initiator { .. })));
    next(3600).unwrap();
}

#[test]
fn barred_sites_contribute_no_more_and_are_not_waited_for() {
    let game = judged();
    let ended = game.round.ended().unwrap();
    let mut next = Game::begin(game.parties, Some(&ended));
    for barred in [1, 7] {
        let refused = next.round.announce(&next.header(barred), next.now).unwrap_err();
        assert_eq!(refused, RoundError::Barred(next.parties.ids[barred].clone()));
    }
    next.contribute([0, 2, 3, 4, 5]);
    assert_eq!(next.round.freeze_due(next.now), None);
    next.contribute([6]);
    next.freeze();
    // Six holders of round 1 are not set aside; 1 and 7 are, and nobody waits for them.
    for holder in [2, 3, 4, 5] {
        next.put_review(holder, &[]);
    }
    assert_eq!(next.set(), None);
    next.put_review(6, &[]);
    let closing = next.close();
    assert_eq!(closing.included.len(), 6);
    // Certificates need Q of all holders, and those that are set aside endorse, too.
    next.endorse([1, 2, 3, 4, 7]);
    assert!(next.round.certificate().is_some());
}

/// A verdict on check words may come while sites acknowledge: it counts before Q of them have, and
/// never after, for the next manifest names the trust of then.
#[test]
fn who_is_barred_is_settled_once_a_model_is_agreed_on() {
    let mut game = Game::certified();
    let (dispute, verdict) = (game.dispute(), game.verdict(None, &[6]));
    game.put_verdict(0..4, &verdict);
    (0..4).for_each(|site| game.acknowledge(site, MODEL));
    game.put_dispute(0..1, &dispute);
    game.acknowledge(4, MODEL);
    let ended = game.round.ended().unwrap();
    let refused = game.round.judge(&game.endorses(4, &verdict)).unwrap_err();
    assert!(matches!(refused, RoundError::Ended { what: "verdict", .. }), "{refused}");
    let refused = game.round.dispute(&game.endorses(1, &dispute)).unwrap_err();
    assert!(matches!(refused, RoundError::Ended { what: "dispute", .. }), "{refused}");
    assert!(!game.take(game.round.judge(&game.endorses(0, &verdict))), "the same again");
    assert_eq!(game.round.ended().unwrap(), ended);
    let (study, next) = (game.parties.study.clone(), game.parties.manifest(Some(&ended)));
    let next = game.parties.by_initiator(next);
    Round::open(study.clone(), study.id(), next, Some(&ended)).unwrap();
}

#[test]
fn no_round_is_opened_beyond_those_of_the_training_plan() {
    let mut parties = Parties::new();
    let plan = |rounds: &str| {
        let setting = Setting { name: "rounds".into(), value: rounds.into() };
        Study { training: Training::Plan(vec![setting]), ..(*Parties::new().study).clone() }
    };
    let last = |parties: &Parties| {
        let (closing, closed_at) = (Digest::of(b"closing").into(), parties.study.created_at);
        Previous { round: RoundNumber(0), closing, closed_at, trust: Trust::default() }
    };
    let opens = |parties: &Parties, previous: Option<&Previous>| {
        let signed = parties.by_initiator(parties.manifest(previous));
        Manifest::check(&signed, &parties.study, parties.study.id(), previous)
    };
    for (rounds, second) in [("1", false), ("2", true), ("as many as it takes", true)] {
        parties.study = Arc::new(plan(rounds));
        opens(&parties, None).unwrap();
        let refused = opens(&parties, Some(&last(&parties)));
        assert_eq!(refused.is_ok(), second, "{rounds}: {refused:?}");
        let beyond =
            |error: &ManifestError| matches!(error, ManifestError::BeyondPlan { rounds: 1, .. });
        assert!(refused.as_ref().err().is_none_or(beyond), "{refused:?}");
    }
}

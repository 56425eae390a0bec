//! A study that holds its sets apart: a group counts whole or not at all.
//!
//! Eight sites, `c = 2`: the groups are sites 0 to 3 and sites 4 to 7.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::{ABSENT_GRACE, Event};
use ringfence_crypto::statement::{
    Closing, ClosingError, Excluded, ExclusionReason, Included, PrivacyPolicy, SetView,
};

use crate::parties::{Game, Parties};

/// A round to which these sites contribute, and whose list is frozen.
fn frozen(privacy: PrivacyPolicy, sites: &[usize]) -> Game {
    let mut game = begun(privacy, sites);
    game.now = game.round.manifest().statement.deadline.after(1);
    game.freeze();
    game
}

fn begun(privacy: PrivacyPolicy, sites: &[usize]) -> Game {
    let mut parties = Parties::new();
    Arc::make_mut(&mut parties.study).privacy = privacy;
    let mut game = Game::begin(parties, None);
    game.contribute(sites.iter().copied());
    game
}

/// All holders review, and nobody accuses but who is told to.
fn reviewed(mut game: Game, accusing: usize, accused: &[usize]) -> Game {
    (0..7).for_each(|holder| {
        game.put_review(holder, if holder < accusing { accused } else { &[] });
    });
    game
}

/// What a holder says of a closing.
fn check(game: &Game, closing: &Closing) -> Result<(), ClosingError> {
    let freeze = &game.round.freeze().unwrap().statement;
    let listed = |site: &SiteId| freeze.contributions.iter().any(|entry| entry.site == *site);
    let headers = game.headers().into_iter().filter(|header| listed(&header.statement.site));
    let (headers, reviews): (Vec<_>, _) = (headers.collect(), game.reviews());
    let shown = SetView { trust: game.round.trust(), freeze, headers: &headers, reviews: &reviews };
    Closing::check(
        &game.parties.by_aggregator(closing.clone()),
        &game.parties.study,
        &game.round.manifest().statement,
    )?;
    closing.check_set(&game.parties.study, shown).map(drop)
}

fn closing(game: &Game) -> Closing {
    game.closing_of(game.set().unwrap()).statement
}

fn places(game: &Game, sites: impl Iterator<Item = SiteId>) -> Vec<usize> {
    sites.map(|site| game.parties.study.position(&site).unwrap()).collect()
}

fn included(game: &Game, closing: &Closing) -> Vec<usize> {
    places(game, closing.included.iter().map(|entry| entry.site.clone()))
}

/// The same set, but with a site that is left out.
fn with(closing: &Closing, site: &SiteId) -> Closing {
    let mut other = closing.clone();
    let place = other.excluded.iter().position(|entry| entry.site == *site).unwrap();
    let Excluded { site, header, .. } = other.excluded.remove(place);
    other.included.push(Included { site, header });
    other.included.sort_by(|a, b| a.site.cmp(&b.site));
    other
}

#[test]
fn a_group_that_is_not_whole_is_left_out_and_nobody_endorses_it_in() {
    let apart = reviewed(frozen(PrivacyPolicy::SetsApart, &[0, 1, 2, 3, 4, 5, 6]), 0, &[]);
    let sound = closing(&apart);
    assert_eq!(included(&apart, &sound), [0, 1, 2, 3]);
    assert!(sound.excluded.iter().all(|out| out.reason == ExclusionReason::GroupIncomplete));
    assert_eq!(sound.excluded.len(), 3);
    check(&apart, &sound).unwrap();
    // The aggregator keeps one, two, all of them: the sum, less one over the first group, would be
    // over so few.
    let mut kept = sound.clone();
    for site in 4..7 {
        kept = with(&kept, &apart.parties.ids[site]);
        let refused = check(&apart, &kept).unwrap_err();
        assert!(matches!(refused, ClosingError::Judgement { .. }), "{refused}");
    }
    assert_eq!(included(&apart, &kept), [0, 1, 2, 3, 4, 5, 6]);
    // It is the set of a study that does not hold its sets apart.
    let plain = reviewed(frozen(PrivacyPolicy::None, &[0, 1, 2, 3, 4, 5, 6]), 0, &[]);
    assert_eq!(included(&plain, &closing(&plain)), [0, 1, 2, 3, 4, 5, 6]);
    // And there nobody may leave out the rest of a group.
    let mut torn = closing(&plain);
    let Included { site, header } = torn.included.pop().unwrap();
    torn.excluded.push(Excluded { site, header, reason: ExclusionReason::GroupIncomplete });
    assert!(matches!(check(&plain, &torn).unwrap_err(), ClosingError::Judgement { .. }));
    // Nor where the group is whole.
    let whole = reviewed(frozen(PrivacyPolicy::SetsApart, &[0, 1, 2, 3, 4, 5, 6, 7]), 0, &[]);
    let mut torn = closing(&whole);
    assert_eq!(torn.included.len(), 8);
    for Included { site, header } in torn.included.split_off(4) {
        torn.excluded.push(Excluded { site, header, reason: ExclusionReason::GroupIncomplete });
    }
    assert!(matches!(check(&whole, &torn).unwrap_err(), ClosingError::Judgement { .. }));
}

/// An aggregator that says that it lost one contribution chose who stands alone in the difference.
#[test]
fn who_says_that_one_is_lost_loses_its_group() {
    let game = reviewed(frozen(PrivacyPolicy::SetsApart, &[0, 1, 2, 3, 4, 5, 6, 7]), 0, &[]);
    let all = closing(&game);
    let lose = |sites: &[usize], reasons: &[ExclusionReason]| {
        let mut closing = all.clone();
        let (lost, kept): (Vec<_>, Vec<_>) = closing
            .included
            .into_iter()
            .partition(|entry| sites.contains(&game.parties.study.position(&entry.site).unwrap()));
        closing.included = kept;
        let lost = lost.into_iter().zip(reasons);
        closing.excluded = lost
            .map(|(Included { site, header }, reason)| Excluded { site, header, reason: *reason })
            .collect();
        check(&game, &closing)
    };
    use ExclusionReason::{Damaged, GroupIncomplete};
    let refused = lose(&[7], &[Damaged]).unwrap_err();
    assert!(matches!(refused, ClosingError::Judgement { .. }), "{refused}");
    assert!(lose(&[5, 7], &[Damaged, Damaged]).is_err());
    lose(&[4, 5, 6, 7], &[GroupIncomplete, GroupIncomplete, GroupIncomplete, Damaged]).unwrap();
    lose(&[4, 5, 6, 7], &[Damaged; 4]).unwrap();
    assert!(lose(&[4, 5, 6, 7], &[GroupIncomplete; 4]).is_err());
    // The machine signs what the holders take.
    let mut game = game;
    let site = game.parties.ids[7].clone();
    let damaged = Event::Damaged { site, at: game.now };
    game.fresh(damaged);
    game.now = game.now.after(60);
    let closing = closing(&game);
    assert_eq!(included(&game, &closing), [0, 1, 2, 3]);
    check(&game, &closing).unwrap();
}

/// A site that is shown to be corrupt is not missed: nothing that is protected stands alone.
#[test]
fn a_barred_site_is_not_missed_in_its_group() {
    let all = [0, 1, 2, 3, 4, 5, 6, 7];
    let game = reviewed(frozen(PrivacyPolicy::SetsApart, &all), 3, &[7]);
    let barred = closing(&game);
    assert_eq!(included(&game, &barred), [0, 1, 2, 3, 4, 5, 6]);
    check(&game, &barred).unwrap();
    // One that is only accused may be honest.
    let game = reviewed(frozen(PrivacyPolicy::SetsApart, &all), 2, &[7]);
    let accused = closing(&game);
    assert_eq!(accused.excluded.last().unwrap().reason, ExclusionReason::Accused);
    assert_eq!(included(&game, &accused), [0, 1, 2, 3]);
    check(&game, &accused).unwrap();
}

#[test]
fn a_round_without_a_whole_group_is_an_abort() {
    let mut game = frozen(PrivacyPolicy::SetsApart, &[0, 1, 2, 4, 5, 6]);
    // There is nothing to review.
    let abort = game.close();
    assert!(abort.is_abort() && abort.excluded.is_empty() && abort.sum.is_none());
    check(&game, &abort).unwrap();
}

/// Where only those are missing that are known to be absent, collecting ends early; but not if what
/// has come is no set.
#[test]
fn nobody_is_waited_for_less_than_a_set_needs() {
    let ends = |absent: &[usize], there: &[usize]| {
        let game = begun(PrivacyPolicy::SetsApart, there);
        let absent: BTreeSet<SiteId> =
            absent.iter().map(|site| game.parties.ids[*site].clone()).collect();
        let now = game.now.after(ABSENT_GRACE);
        game.round.freeze_due_without(&absent, game.now, now).is_some()
    };
    // Q is 5.
    assert!(ends(&[], &[0, 1, 2, 3, 4, 5, 6, 7]));
    assert!(!ends(&[7], &[0, 1, 2, 3, 4, 5, 6]));
}

#[test]
fn groups_are_of_c_and_two_sites_and_the_first_has_the_rest() {
    let mut study = Parties::new().study;
    assert!(study.groups().is_empty());
    let study = Arc::make_mut(&mut study);
    study.privacy = PrivacyPolicy::SetsApart;
    let mut sizes = |sites: usize| {
        let entry = study.roster[0].clone();
        study.roster = vec![entry; sites];
        study.groups().iter().map(|group| group.len()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(4), [4]);
    assert_eq!(sizes(7), [7]);
    assert_eq!(sizes(8), [4, 4]);
    assert_eq!(sizes(11), [7, 4]);
    assert_eq!(sizes(16), [4, 4, 4, 4]);
}

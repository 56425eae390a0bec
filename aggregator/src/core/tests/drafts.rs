//! Studies that wait for signatures, on a clock that the test turns, and over two aggregators.

use ringfence_crypto::api::DraftStatus;
use ringfence_crypto::statement::SignedStudy;
use tokio::task::JoinSet;

use super::*;
use crate::core::drafts::MOST_DRAFTS;
use crate::core::rounds::Made;
use crate::store::Engines;
use crate::store::conformance::Backend;

fn unsigned(roster: &Roster) -> Vec<u8> {
    json::compact(&SignedStudy::unsigned(roster.study().clone()))
}

async fn sign(
    studies: &Arc<Studies>,
    roster: &Roster,
    site: usize,
) -> Result<(Made, DraftStatus), Refusal> {
    studies.sign_draft(roster.id(), roster.signed.signatures[site].clone()).await
}

fn of(service: &Service, values: u32) -> Roster {
    let shape = Shape { sites: 3, values, ..Shape::default() };
    Roster::new(service.identity.public_key(), shape)
}

#[tokio::test]
async fn a_draft_ends_with_a_word_and_posted_again_keeps_what_was_signed() {
    let service = Service::start().await;
    let roster = of(&service, 1000);
    let studies = Arc::new(service.restarted().await);
    assert_eq!(studies.post_draft(unsigned(&roster)).await.unwrap().0, Made::Now);
    sign(&studies, &roster, 2).await.unwrap();
    service.hand.advance(90 * DAY);
    assert_eq!(sign(&studies, &roster, 2).await.unwrap().0, Made::Before);
    let again = studies.post_draft(unsigned(&roster)).await.unwrap();
    assert_eq!((again.0, again.1.signed), (Made::Before, 1));

    service.hand.advance(SECOND);
    for refused in [
        sign(&studies, &roster, 0).await.unwrap_err(),
        studies.draft_status(roster.id()).await.unwrap_err(),
        studies.draft_file(roster.id()).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), Kind::Gone);
        for word in ["has ended at", "90 days after", "1 of 3 sites had signed", "posts it again"] {
            assert!(refused.detail().contains(word), "{refused:?}");
        }
    }
    assert_eq!(studies.drafts().await.unwrap().len(), 1, "the administrator sees it");
    // The same after a restart, and then it is posted again.
    let studies = Arc::new(service.restarted().await);
    assert_eq!(sign(&studies, &roster, 0).await.unwrap_err().kind(), Kind::Gone);
    let again = studies.post_draft(unsigned(&roster)).await.unwrap();
    assert_eq!((again.0, again.1.signed), (Made::Now, 1));
    sign(&studies, &roster, 0).await.unwrap();

    service.hand.advance(120 * DAY + SECOND);
    let other = of(&service, 1001);
    studies.post_draft(unsigned(&other)).await.unwrap();
    let refused = sign(&studies, &roster, 1).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Missing, "nothing is said of it any more");
    assert_eq!(studies.drafts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn there_are_only_so_many_and_those_that_have_ended_make_room() {
    let service = Service::start().await;
    let studies = Arc::new(service.restarted().await);
    let values = |number: usize| 1000 + number as u32;
    let first = of(&service, values(0));
    studies.post_draft(unsigned(&first)).await.unwrap();
    for number in 1..MOST_DRAFTS {
        studies.post_draft(unsigned(&of(&service, values(number)))).await.unwrap();
    }
    let more = of(&service, values(MOST_DRAFTS));
    let refused = studies.post_draft(unsigned(&more)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.detail().contains("100 studies of"), "{refused:?}");
    // What is there may be posted again, and what is removed makes room.
    studies.post_draft(unsigned(&first)).await.unwrap();
    studies.remove_draft(first.id()).await.unwrap();
    studies.post_draft(unsigned(&more)).await.unwrap();
    studies.post_draft(unsigned(&first)).await.unwrap_err();
    service.hand.advance(91 * DAY);
    studies.post_draft(unsigned(&first)).await.unwrap();
    assert_eq!(studies.drafts().await.unwrap().len(), MOST_DRAFTS);
}

/// As after a crash between the last signature and the study.
#[tokio::test]
async fn what_all_have_signed_is_registered_at_the_start_or_by_whoever_asks() {
    let service = Service::start().await;
    let studies = Arc::new(service.restarted().await);
    for (values, restarts) in [(1000, true), (1001, false)] {
        let roster = of(&service, values);
        studies.post_draft(unsigned(&roster)).await.unwrap();
        let all = &roster.signed.signatures;
        service.store.drafts.sign_draft(roster.id(), all).await.unwrap();
        let studies = match restarts {
            true => Arc::new(service.restarted().await),
            false => studies.clone(),
        };
        assert_eq!(studies.study(roster.id()).is_ok(), restarts);
        assert!(studies.draft_status(roster.id()).await.unwrap().registered);
        assert!(studies.study(roster.id()).is_ok());
        assert_eq!(service.store.drafts.draft(roster.id()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_draft_that_was_altered_is_not_registered() {
    let service = Service::start().await;
    let studies = Arc::new(service.restarted().await);
    let (roster, other) = (of(&service, 1000), of(&service, 1001));
    let now = service.clock.now();
    service.store.drafts.insert_draft(roster.id(), &unsigned(&other), now).await.unwrap();
    let refused = sign(&studies, &roster, 0).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Altered);
    // A signature that was altered in the database registers nothing.
    studies.post_draft(unsigned(&other)).await.unwrap();
    let mut all = other.signed.signatures.clone();
    all[1].signature = all[0].signature;
    service.store.drafts.sign_draft(other.id(), &all).await.unwrap();
    studies.draft_status(other.id()).await.unwrap_err();
    assert!(studies.study(other.id()).is_err());
}

/// Aggregators of one database and bucket.
async fn over(
    engines: &Engines,
    folder: &TempDir,
    count: usize,
) -> (Vec<Arc<Studies>>, Arc<Identity>) {
    let identity = Arc::new(Identity::generate(&folder.path().join("key")).unwrap());
    let mut all = Vec::new();
    for number in 0..count {
        let place = folder.path().join(number.to_string());
        let store = engines.open().await;
        let marks = Marks::open(&place.join("marks"), identity.clone(), false).unwrap();
        let (clock, _hand) = Clock::mock(now());
        let (_stop, stopping) = watch::channel(false);
        let shared = Shared::new(store, marks, identity.clone(), clock, stopping);
        all.push(Arc::new(Studies::load(shared).await.unwrap()));
    }
    (all, identity)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_aggregators_that_take_the_last_two_signatures_at_once_both_have_the_study() {
    let Some(engines) = Engines::new() else { return };
    let folder = TempDir::new().unwrap();
    let (both, identity) = over(&engines, &folder, 2).await;
    for attempt in 0..10 {
        let shape = Shape { sites: 4, values: 1000 + attempt, ..Shape::default() };
        let roster = Roster::new(identity.public_key(), shape);
        both[0].post_draft(unsigned(&roster)).await.unwrap();
        // What one takes the other sees.
        sign(&both[0], &roster, 3).await.unwrap();
        let (_, status) = sign(&both[1], &roster, 0).await.unwrap();
        assert_eq!((status.signed, status.registered), (2, false));
        // Whoever asks meanwhile hears of no fewer signatures, and of no fault.
        let mut asking = JoinSet::new();
        for one in [0, 1, 0, 1] {
            let (studies, id) = (both[one].clone(), roster.id());
            asking.spawn(async move {
                loop {
                    let status = studies.draft_status(id).await.unwrap();
                    match status.registered {
                        true => return,
                        false => assert!(status.signed >= 2, "{status:?}"),
                    }
                }
            });
        }
        let (one, two) = tokio::join!(sign(&both[0], &roster, 1), sign(&both[1], &roster, 2));
        asking.join_all().await;
        let said = [one.unwrap().1, two.unwrap().1];
        assert!(said.iter().any(|status| status.registered), "{said:?}");
        for studies in &both {
            assert!(studies.draft_status(roster.id()).await.unwrap().registered);
            let file = studies.file(roster.id()).await.unwrap();
            assert_eq!(file, json::compact(&roster.signed), "in the roster's order");
            assert!(studies.drafts().await.unwrap().is_empty());
        }
    }
    // One that another one has removed is not signed any more.
    let roster = Roster::new(identity.public_key(), Shape { sites: 4, ..Shape::default() });
    let roster = Roster::of(
        ringfence_crypto::statement::Study { name: "another".into(), ..roster.study().clone() },
        roster.keys.clone(),
    );
    both[0].post_draft(unsigned(&roster)).await.unwrap();
    sign(&both[0], &roster, 0).await.unwrap();
    both[1].remove_draft(roster.id()).await.unwrap();
    assert_eq!(sign(&both[0], &roster, 1).await.unwrap_err().kind(), Kind::Missing);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_is_proposed_at_one_aggregator_is_made_at_another() {
    use super::epochs::{revoked, sign as sign_epoch};
    let Some(engines) = Engines::new() else { return };
    let folder = TempDir::new().unwrap();
    let (both, identity) = over(&engines, &folder, 2).await;
    let roster = Roster::new(identity.public_key(), Shape::default());
    both[0].register(json::compact(&roster.signed)).await.unwrap();
    both[1].meet(roster.id()).await.unwrap();
    let of = |one: usize| both[one].study(roster.id()).unwrap();
    let caught_up = async |one: usize| {
        of(one).catch_up().await.unwrap();
        of(one)
    };
    let epoch = revoked(&of(0), &roster, 4, 0);
    assert_eq!(sign_epoch(&of(0), &roster, &epoch, 0).await.unwrap(), (Made::Now, false));
    assert_eq!(caught_up(1).await.proposed()[0].signatures.len(), 1);
    assert_eq!(sign_epoch(&of(1), &roster, &epoch, 1).await.unwrap(), (Made::Now, false));
    // The last two at once, neither having heard of the other.
    let (at_one, at_two) = (of(0), of(1));
    let (one, two) = tokio::join!(
        sign_epoch(&at_one, &roster, &epoch, 2),
        sign_epoch(&at_two, &roster, &epoch, 3)
    );
    let made = [&one, &two].iter().filter(|said| matches!(said, Ok((_, true)))).count();
    assert!(made >= 1, "{one:?} {two:?}");
    for one in 0..2 {
        let study = caught_up(one).await;
        assert_eq!(study.status().epochs, 1);
        assert!(study.proposed().is_empty());
    }
}

#[tokio::test]
async fn a_signature_that_does_not_hold_is_not_kept() {
    let service = Service::start().await;
    let roster = of(&service, 1000);
    let studies = Arc::new(service.restarted().await);
    studies.post_draft(unsigned(&roster)).await.unwrap();
    let mut wrong = roster.signed.signatures[0].clone();
    wrong.site = roster.ids[1].clone();
    let refused = studies.sign_draft(roster.id(), wrong).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Sender);
    assert_eq!(studies.draft_status(roster.id()).await.unwrap().signed, 0);
}

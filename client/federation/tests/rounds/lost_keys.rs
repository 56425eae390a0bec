//! Round keys that an aggregator has had and lost, or says that it needs for other rounds.

use ringfence_clock::Clock;
use ringfence_crypto::api::StudyStatus;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::RoundKeys;
use ringfence_keys::round_secret::{self, RoundSecret};
use ringfence_site::{Journal, Site, SiteError};

use crate::round_keys::{lied_to, named};
use crate::trio::{Trio, finish};

const FIRST: RoundNumber = RoundNumber::FIRST;

/// What a site that is not running has of its round keys: whether it has made any, and whether the
/// aggregator has them, as far as it knows.
fn made(trio: &Trio, k: usize) -> (bool, bool) {
    let journal = Journal::open(&trio.folder.path().join(format!("state-{k}"))).unwrap();
    let keys = journal.round_keys(trio.study_id()).unwrap();
    (!keys.kept().unwrap().is_empty(), keys.published(FIRST).unwrap().is_some())
}

/// Round keys of a site that the aggregator does not have, with their secrets.
fn keys(trio: &Trio, k: usize) -> (Signed<RoundKeys>, Vec<RoundSecret>) {
    let mut rng = ringfence_keys::system_rng().unwrap();
    let secrets: Vec<RoundSecret> =
        (0..16).map(|_| RoundSecret::generate(&mut rng).unwrap()).collect();
    (round_secret::publish(&trio.identity(k), trio.study_id(), FIRST, &secrets), secrets)
}

async fn has(trio: &Trio, site: &str) -> bool {
    let site: SiteId = site.parse().unwrap();
    trio.transport().round_keys(trio.study_id(), &site, FIRST).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_keys_are_made_for_rounds_of_which_there_is_only_a_number() {
    let trio = Trio::start().await;
    for rounds in [200, 5000, u32::MAX] {
        let site = lied_to(&trio, 1, move |asked, answer| {
            if asked.is_study_status() && answer.status == 200 {
                answer.alter(|status: &mut StudyStatus| status.rounds = rounds);
            }
        });
        let error = site.publish_round_keys().await.unwrap_err();
        assert!(matches!(&error, SiteError::RoundsNotShown { .. }), "{error}");
        drop(site);
        assert_eq!(made(&trio, 1), (false, false));
    }
    // Told the truth, it publishes for the rounds that come.
    trio.site(1).publish_round_keys().await.unwrap();
    assert_eq!(made(&trio, 1), (true, true));
}

/// Keys for rounds far off that the aggregator does not take are no reason to stop.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_taken_yet_do_not_hold_up_the_others() {
    let trio = Trio::start().await;
    trio.site(1).publish_round_keys().await.unwrap();
    let mut rng = ringfence_keys::system_rng().unwrap();
    let secrets = [RoundSecret::generate(&mut rng).unwrap()];
    let (far, identity) = (RoundNumber(5000), trio.identity(1));
    let statement = round_secret::publish(&identity, trio.study_id(), far, &secrets);
    let journal = Journal::open(&trio.folder.path().join("state-1")).unwrap();
    journal.round_keys(trio.study_id()).unwrap().save(&statement, &secrets).unwrap();
    drop(journal);
    trio.site(1).publish_round_keys().await.unwrap();
    let journal = Journal::open(&trio.folder.path().join("state-1")).unwrap();
    let unsent = journal.round_keys(trio.study_id()).unwrap().unsent().unwrap();
    assert_eq!(unsent, [statement]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_aggregator_has_lost_are_sent_again() {
    let trio = Trio::start().await;
    let (statement, secrets) = keys(&trio, 2);
    let journal = Journal::open(&trio.folder.path().join("state-2")).unwrap();
    let of_study = journal.round_keys(trio.study_id()).unwrap();
    of_study.save(&statement, &secrets).unwrap();
    of_study.sent(&statement, Clock::system().now().earlier(60)).unwrap();
    drop((of_study, journal));
    assert!(!has(&trio, "c").await);
    trio.site(2).publish_round_keys().await.unwrap();
    assert!(has(&trio, "c").await);
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    for site in &sites {
        site.publish_round_keys().await.unwrap();
    }
    sites[0].open_round(trio.base, 600).await.unwrap();
    assert_eq!(named(&trio).await, [true; 3]);
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, FIRST).await.unwrap();
    }
    assert!(!finish(&sites, FIRST).await[0].is_empty());
}

/// A silent site's keys that somebody has shown to the initiator alone stop nobody.
#[tokio::test(flavor = "multi_thread")]
async fn an_initiator_gives_the_aggregator_the_keys_that_it_has_seen() {
    let trio = Trio::start().await;
    let (statement, _) = keys(&trio, 2);
    let journal = Journal::open(&trio.folder.path().join("state-0")).unwrap();
    journal.round_keys(trio.study_id()).unwrap().see(&statement).unwrap();
    drop(journal);
    assert!(!has(&trio, "c").await);
    trio.site(0).open_round(trio.base, 600).await.unwrap();
    assert!(has(&trio, "c").await);
    assert_eq!(named(&trio).await, [true, false, true]);
}

/// Its keys were gone when the round was opened: it takes no part, and the round ends all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_leaves_out_a_sites_keys_ends_without_it() {
    let trio = Trio::start_of(5, |draft| draft.review_seconds = 3).await;
    let sites: Vec<Site> = (0..5).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 8).await.unwrap();
    // By its own account the aggregator had them long before.
    let mut sites = sites;
    drop(sites.pop());
    let (statement, secrets) = keys(&trio, 4);
    let journal = Journal::open(&trio.folder.path().join("state-4")).unwrap();
    let of_study = journal.round_keys(trio.study_id()).unwrap();
    of_study.save(&statement, &secrets).unwrap();
    of_study.sent(&statement, Clock::system().now().earlier(600)).unwrap();
    drop((of_study, journal));
    let left_out = trio.site(4);
    let error = trio.contribute(&left_out, 4, FIRST).await.unwrap_err();
    assert!(matches!(&error, SiteError::RoundKeyLeftOut { .. }), "{error}");
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, FIRST).await.unwrap();
    }
    let others = futures_util::future::join_all(sites.iter().map(|site| site.hold(FIRST)));
    let (error, others) = tokio::join!(left_out.hold(FIRST), others);
    let error = error.unwrap_err();
    assert!(matches!(&error, SiteError::RoundKeyLeftOut { .. }), "{error}");
    others.into_iter().for_each(|held| _ = held.unwrap());
    let status = trio.transport().round(trio.study_id(), FIRST).status().await.unwrap();
    assert!(status.endorsed.contains(&left_out.study().roster, left_out.id()), "{status:?}");
}

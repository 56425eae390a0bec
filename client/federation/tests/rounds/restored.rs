//! Sites whose state was restored from a backup do nothing twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_site::{Event, RestoreRun, Site};

use crate::private;
use crate::trio::Trio;

#[tokio::test(flavor = "multi_thread")]
async fn a_site_restored_from_a_backup_signs_no_second_header() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    sites[2].abstain(RoundNumber(1)).unwrap();
    let error = trio.contribute(&sites[2], 2, RoundNumber(0)).await.unwrap_err().to_string();
    assert!(error.contains("abstains through round 1"), "{error}");
    trio.contribute(&sites[1], 1, RoundNumber(0)).await.unwrap();
}

/// It may have opened a round before with another manifest, and forgotten it.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_site_opens_no_round_of_its_abstention() {
    let trio = Trio::start().await;
    let site = trio.site_with(0, |membership| membership.patience = Duration::from_secs(1));
    site.restored(RestoreRun::Ask).await.unwrap_err();
    let error = site.open_round(trio.base, 600).await.unwrap_err().to_string();
    assert!(error.contains("takes part in none"), "{error}");
    site.abstain(RoundNumber(0)).unwrap();
    let error = site.open_round(trio.base, 600).await.unwrap_err().to_string();
    assert!(error.contains("abstains through round 0"), "{error}");
    assert_eq!(site.next_round().await.unwrap(), RoundNumber(0));
}

/// A number that the site's own state contradicts is refused: one after the highest round that it knows
/// is the least.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_abstains_through_the_round_after_the_last_that_it_knows() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..2).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    trio.contribute(&sites[1], 1, RoundNumber(0)).await.unwrap();
    let error = sites[1].abstain(RoundNumber(0)).unwrap_err().to_string();
    assert!(error.contains("knows round 0 already, so that 1 is the least"), "{error}");
    assert_eq!(sites[1].abstention().unwrap(), None);
    sites[1].abstain(RoundNumber(1)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_restored_from_a_backup_abstains() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, RoundNumber(0)).await.unwrap();
    }
    sites[2].abstain(RoundNumber(1)).unwrap();
    let others =
        futures_util::future::join_all(sites[..2].iter().map(|site| site.hold(RoundNumber(0))));
    let (restored, others) = tokio::join!(sites[2].hold(RoundNumber(0)), others);
    let restored = restored.unwrap_err().to_string();
    assert!(restored.contains("abstains through round 1"), "{restored}");
    for other in others {
        // Three sites with c = 1 tolerate no silent holder: the error counts who answered.
        let other = other.unwrap_err().to_string();
        assert!(other.contains("2 of 3 endorsements needed"), "{other}");
    }
}

// Three sites, c = 1, Q = 3: both others must answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_abstention_is_what_the_other_sites_sign() {
    let trio = Trio::start().await;
    let hasty = |k| trio.site_with(k, |m| m.patience = Duration::from_secs(1));
    let sites: Vec<Site> = (0..3).map(hasty).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    trio.contribute(&sites[0], 0, RoundNumber(0)).await.unwrap();
    trio.contribute(&sites[1], 1, RoundNumber(0)).await.unwrap();

    // The aggregator alone says nothing: without answers the site takes part in no round.
    let error = sites[2].restored(RestoreRun::Ask).await.unwrap_err().to_string();
    assert!(error.contains("2 must answer"), "{error}");
    assert!(error.contains("answered: nobody"), "{error}");
    let error = trio.contribute(&sites[2], 2, RoundNumber(0)).await.unwrap_err().to_string();
    assert!(error.contains("takes part in none"), "{error}");
    let error = sites[2].hold(RoundNumber(0)).await.unwrap_err().to_string();
    assert!(error.contains("takes part in none"), "{error}");

    // One answer is not enough, and who is missing is named; going on, the second one is.
    assert_eq!(sites[0].answer_restored().await.unwrap(), [sites[2].id().clone()]);
    let error = sites[2].restored(RestoreRun::Continue).await.unwrap_err().to_string();
    assert!(error.contains(&format!("missing: {}", sites[1].id())), "{error}");
    sites[1].answer_restored().await.unwrap();
    // Round 0 is the highest that they know: round 1 could have been opened unseen.
    assert_eq!(sites[2].restored(RestoreRun::Continue).await.unwrap(), RoundNumber(1));
    let error = trio.contribute(&sites[2], 2, RoundNumber(0)).await.unwrap_err().to_string();
    assert!(error.contains("abstains through round 1"), "{error}");

    // After another restore the old answers do not count, and it does not answer others itself.
    let error = sites[2].restored(RestoreRun::Ask).await.unwrap_err().to_string();
    assert!(error.contains("answered: nobody"), "{error}");
    sites[1].restored(RestoreRun::Ask).await.unwrap_err();
    assert_eq!(sites[2].answer_restored().await.unwrap(), []);
}

/// Sites wait in a round, for hours where the slowest trains: one that is restored meanwhile has its
/// answer before the round goes on.
#[tokio::test(flavor = "multi_thread")]
async fn sites_that_wait_in_a_round_answer_a_restored_one() {
    let trio = Trio::start().await;
    let told = Arc::new(AtomicUsize::new(0));
    let sites: Vec<Site> = (0..3)
        .map(|k| {
            let heard = Arc::clone(&told);
            // Longer than a look at the round may last.
            let site = trio.site_with(k, |m| m.patience = Duration::from_secs(60));
            site.telling(move |event| {
                let answers = matches!(event, Event::ToldRestored { .. });
                heard.fetch_add(answers.into(), Ordering::Relaxed);
            })
        })
        .collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    trio.contribute(&sites[0], 0, RoundNumber(0)).await.unwrap();
    // Both wait for the contribution of the third, which never comes.
    let waiting =
        async { tokio::join!(sites[0].hold(RoundNumber(0)), sites[1].hold(RoundNumber(0))) };
    let asking = async {
        // They have asked for restored sites at their beginning, and found none.
        tokio::time::sleep(Duration::from_secs(2)).await;
        sites[2].restored(RestoreRun::Ask).await
    };
    let through = tokio::select! {
        ended = waiting => panic!("nobody ended the round: {ended:?}"),
        through = asking => through.unwrap(),
    };
    assert_eq!(through, RoundNumber(1));
    // Each has said so once, though each answers as often as it asks.
    assert_eq!(told.load(Ordering::Relaxed), 2);
}

/// A restore that was noted while the clock was a day ahead does not shut the site out for a day.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_noted_again_with_the_right_clock_counts() {
    let trio = Trio::start().await;
    let (clock, _hand) = Clock::mock(Clock::system().now().after(86_400));
    let ahead = trio.site_with(2, |membership| membership.clock = clock);
    // The study has no round yet: nothing is to be abstained from but the time.
    ahead.abstain(RoundNumber(0)).unwrap();
    drop(ahead);
    let site = trio.site(2);
    let noted = |site: &Site| site.abstention().unwrap().unwrap().restored_at;
    assert!(noted(&site) > Clock::system().now().after(80_000));
    site.abstain(RoundNumber(0)).unwrap();
    assert!(noted(&site) <= Clock::system().now());
    // How far it abstains is the most that it was ever told.
    site.abstain(RoundNumber(3)).unwrap();
    site.abstain(RoundNumber(1)).unwrap();
    assert_eq!(site.abstention().unwrap().unwrap().through, Some(RoundNumber(3)));
}

/// A study whose budget is enough for two rounds has no third that could be forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_plan_a_budget_bounds_no_round_numbers() {
    let trio = private::trio().await;
    let site = trio.site(2);
    // Its budget is two rounds; aborted ones use up numbers as well.
    site.abstain(RoundNumber(3)).unwrap();
    assert_eq!(site.abstention().unwrap().unwrap().through, Some(RoundNumber(3)));
}

//! What a site is told that would open a round from another model than the sites hold.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ringfence_crypto::id::RoundNumber;
use ringfence_site::{RoundEnd, Site, SiteError};

use crate::trio::{Trio, next_model};

const FIRST: RoundNumber = RoundNumber(0);
const SECOND: RoundNumber = RoundNumber(1);

/// A round of three sites, up to its mean; whether they say which model they hold after it.
async fn round(trio: &Trio, sites: &[Site], acknowledged: bool) {
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, FIRST).await.unwrap();
    }
    let parts = sites.iter().map(|site| async move {
        site.hold(FIRST).await.unwrap();
        let RoundEnd::Done(done) = site.join(FIRST).await.unwrap().finish().await.unwrap() else {
            panic!("the round was aborted")
        };
        if acknowledged {
            done.acknowledge(next_model()).await.unwrap();
        }
    });
    join_all(parts).await;
}

/// In its own turn it is told that its model is another one, and to ask nobody for an opening: at once where
/// so many have said which model they hold that no more can agree, and else as soon as it waits no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_turn_it_is_is_told_that_its_model_is_another_one() {
    for acknowledged in [true, false] {
        let trio = Trio::start().await;
        let patience = if acknowledged { 60 } else { 3 };
        let patient = |k| trio.site_with(k, |m| m.patience = Duration::from_secs(patience));
        let sites: Vec<Site> = (0..3).map(patient).collect();
        round(&trio, &sites, acknowledged).await;
        for site in &sites {
            let began = Instant::now();
            // The one that the first round began with, as if it had not been.
            let error = site.open_or_await(SECOND, trio.base, 600).await.unwrap_err();
            let SiteError::NotAgreed { round: FIRST, agreeing: 0, .. } = &error else {
                panic!("{}: {error}", site.id())
            };
            assert!(error.to_string().contains("(--base)"), "{error}");
            assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        }
    }
}

/// Whoever waits for a round that it would open itself is told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_next_on_the_ring_is_not_sent_to_itself() {
    let trio = Trio::start().await;
    let site = trio.site_with(0, |membership| membership.patience = Duration::from_secs(1));
    let error = site.await_opening(FIRST).await.unwrap_err().to_string();
    assert!(error.contains("this site is next on the ring and opens it by"), "{error}");
    assert!(!error.contains("ask a"), "{error}");
}

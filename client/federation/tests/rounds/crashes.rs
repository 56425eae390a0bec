//! Both sides are killed in a round, and it comes to its end.

use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_site::Site;

use crate::trio::{Trio, finish, update};

#[tokio::test(flavor = "multi_thread")]
async fn a_round_survives_crashes_on_both_sides() {
    let mut trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    let first = trio.contribute(&sites[0], 0, RoundNumber(0)).await.unwrap();
    trio.contribute(&sites[1], 1, RoundNumber(0)).await.unwrap();
    trio.aggregator.kill_and_restart().await.unwrap();

    // The same site after a crash, with another update at hand: what is on disk is sent again.
    let mut sites = sites;
    drop(sites.remove(0));
    let restarted = trio.site(0);
    let again = restarted.join(RoundNumber(0)).await.unwrap();
    let again = again.contribute(trio.base, &update(7), |_| panic!("encrypted twice")).await;
    let again = again.unwrap();
    assert_eq!(again.receipt().header, first);
    // The others had published no keys yet when the round was opened.
    let long_term: Vec<&str> = again.sealing().long_term.iter().map(SiteId::as_str).collect();
    assert_eq!(long_term, ["b", "c"]);
    drop(again);
    sites.insert(0, restarted);

    trio.contribute(&sites[2], 2, RoundNumber(0)).await.unwrap();
    trio.aggregator.kill_and_restart().await.unwrap();
    let means = finish(&sites, RoundNumber(0)).await;
    for (k, mean) in means[0].iter().enumerate() {
        let expected = (0..3).map(|site| update(site)[k]).sum::<f32>() / 3.0;
        assert!((mean - expected).abs() < 1.0 / 65535.0, "value {k}: {mean} for {expected}");
    }
    assert_eq!(means[0], means[1]);
    assert_eq!(means[1], means[2]);
}

//! Weighted rounds: what is clipped, what is said of it, and how precise the mean is.

use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::statement::Weighting;
use ringfence_site::{Clipping, RoundEnd, Site};

use crate::trio::{Trio, VALUES};

/// The first site counts for a hundredth of the others, and sends values far beyond the clip bound.
#[tokio::test(flavor = "multi_thread")]
async fn updates_are_clipped_before_they_are_weighted() {
    let counts = Weighting::SampleCounts(vec![10, 1000, 1000]);
    let trio = Trio::start_with(|draft| draft.weighting = counts).await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    let round = RoundNumber(0);
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (site, value) in sites.iter().zip([40.0, 0.1, 0.1]) {
        let joined = site.join(round).await.unwrap();
        let made = joined.contribute(trio.base, &vec![value; VALUES], |_| ()).await.unwrap();
        // Clipping is told of the update as it came: 40 is beyond 0.5, and so 40 / 100 is no excuse.
        match made.clipping() {
            Some(Clipping::Whole(_)) => panic!("no privacy policy"),
            Some(Clipping::Values(clipped)) => {
                assert_eq!((clipped.values, clipped.furthest, clipped.clip), (VALUES, 40.0, 0.5));
            }
            None => assert!((value - 0.1).abs() < 1e-6, "{value} was clipped"),
        }
    }
    let holding = sites.iter().map(|site| site.hold(round));
    futures_util::future::join_all(holding).await.into_iter().for_each(|held| drop(held.unwrap()));
    // (10 * 0.5 + 1000 * 0.1 + 1000 * 0.1) / 2010; weighted first, it was 0.2985.
    let expected = 0.101_990_05;
    let mut models = Vec::new();
    for site in &sites {
        let RoundEnd::Done(done) = site.join(round).await.unwrap().finish().await.unwrap() else {
            panic!("the round was aborted")
        };
        let mean = done.mean();
        assert!(mean.iter().all(|value| (value - expected).abs() < 1e-4), "{}", mean[0]);
        let precision = done.precision();
        assert_eq!((precision.sites, precision.total_factor), (3, 2.01));
        assert!((precision.step - 2.0 / (65535.0 * 2.01)).abs() < 1e-12, "{precision:?}");
        models.push(mean.into_iter().map(f32::to_bits).collect::<Vec<_>>());
    }
    assert!(models.iter().all(|mean| *mean == models[0]), "all sites get the same bits");
}

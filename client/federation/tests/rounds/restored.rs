//! Sites whose state was restored from a backup do nothing twice.

use ringfence_crypto::id::RoundNumber;
use ringfence_site::Site;

use crate::trio::Trio;

#[tokio::test(flavor = "multi_thread")]
async fn a_site_restored_from_a_backup_signs_no_second_header() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    assert_eq!(sites[2].abstain().await.unwrap(), RoundNumber(1));
    let error = trio.contribute(&sites[2], 2, RoundNumber(0)).await.unwrap_err().to_string();
    assert!(error.contains("contributes to no round through 1"), "{error}");
    trio.contribute(&sites[1], 1, RoundNumber(0)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_restored_from_a_backup_abstains() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, RoundNumber(0)).await.unwrap();
    }
    assert_eq!(sites[2].abstain().await.unwrap(), RoundNumber(1));
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

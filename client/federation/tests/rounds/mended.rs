//! What the aggregator lost comes back from its sites.

use std::path::Path;

use ringfence_crypto::id::RoundNumber;

use crate::trio::{Trio, contribute_in_steps, finish};

const FILES: [&str; 3] = ["statements.sqlite", "statements.sqlite-wal", "statements.sqlite-shm"];

fn copy_database(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in FILES {
        let _ = std::fs::remove_file(to.join(file));
        if from.join(file).exists() {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_the_aggregator_lost_is_sent_again_while_its_site_waits() {
    // All three are needed: without the body, the round would be an abort.
    let trio = Trio::start_with(|draft| draft.review_seconds = 60).await;
    let sites = [0, 1, 2].map(|k| trio.site(k));
    let round = RoundNumber::FIRST;
    sites[0].open_round(trio.base, 60).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        contribute_in_steps(&trio, site, k, round).await;
    }
    let folder = trio.folder.path().join("aggregator/data/studies");
    let folder = folder.join(trio.study_id().to_string()).join("0");
    std::fs::remove_file(folder.join("bodies/b")).unwrap();
    std::fs::write(folder.join("envelopes/c"), b"short").unwrap();
    let means = finish(&sites, round).await;
    assert!(!means[0].is_empty());
    assert!(means.iter().all(|mean| *mean == means[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_aggregator_gets_its_statements_back_from_the_sites() {
    let mut trio = Trio::start().await;
    let sites = [0, 1, 2].map(|k| trio.site(k));
    let round = RoundNumber::FIRST;
    sites[0].open_round(trio.base, 60).await.unwrap();
    trio.contribute(&sites[0], 0, round).await.unwrap();
    let data = trio.folder.path().join("aggregator/data");
    let backup = trio.folder.path().join("backup");
    copy_database(&data, &backup);
    for (k, site) in sites.iter().enumerate().skip(1) {
        trio.contribute(site, k, round).await.unwrap();
    }
    let means = finish(&sites, round).await;
    let before = trio.transport().round(trio.study_id(), round).status().await.unwrap();
    copy_database(&backup, &data);
    trio.aggregator.kill_and_restart().await.unwrap();

    let error = trio.transport().round(trio.study_id(), round).status().await.unwrap_err();
    assert!(error.to_string().contains("is behind"), "{error}");
    let first = sites[0].give_back().await.unwrap();
    assert!(first.stored < first.marked, "{first:?}");
    // The others do so by themselves when they go on: at once, or when they repeat the step that was
    // refused, where they have just seen that nothing was missing.
    for site in &sites[1..] {
        for _ in 0..2 {
            if let Ok(joined) = site.join(round).await {
                let _ = joined.finish().await;
            }
        }
    }
    let after = trio.transport().round(trio.study_id(), round).status().await.unwrap();
    assert_eq!((after.state, &after.acknowledged), (before.state, &before.acknowledged));
    let again = finish(&sites, round).await;
    assert_eq!(again, means);
}

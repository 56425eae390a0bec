//! Two manifests or two freezes of one round: who has seen the wrong one goes on with the others.

use std::time::Duration;

use futures_util::future::join_all;
use ringfence_clock::Clock;
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{RoundNumber, UnixSeconds};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Freeze, Manifest};
use ringfence_crypto::wire::json;
use ringfence_site::transport::Transport;
use ringfence_site::{Journal, RoundEnd, Site};

use crate::liar;
use crate::trio::{Trio, finish, next_model, update};

const FIRST: RoundNumber = RoundNumber::FIRST;

/// Another manifest of the first round, signed by its initiator.
fn another_manifest(trio: &Trio) -> Signed<Manifest> {
    let (identity, study) = (trio.identity(0), &trio.study.study);
    let opened_at = Clock::system().now();
    identity.sign(Manifest {
        study: trio.study_id(),
        round: FIRST,
        initiator: identity.site().clone(),
        opened_at,
        deadline: opened_at.after(777),
        holders: study.holders(FIRST).map(|site| site.id.clone()).collect(),
        holder_keys: vec![None; study.threshold.holders.into()],
        base_model: identity.check_key(study).unwrap().model(&trio.base),
        previous: None,
        trust: Trust::default().digest(),
    })
}

/// Site `k`, which the aggregator shows this manifest.
fn shown(trio: &Trio, k: usize, manifest: Signed<Manifest>) -> Site {
    let url = liar::start(trio.aggregator.url(), move |asked, answer| {
        if asked.path.ends_with("/rounds/0/manifest") {
            (answer.status, answer.bytes) = (200, json::compact(&manifest));
        }
    });
    let transport = Transport::new(&url, false, Clock::system()).unwrap();
    trio.site_with(k, |membership| membership.transport = transport)
}

async fn mean_of(site: &Site) -> Vec<f32> {
    match site.join(FIRST).await.unwrap().finish().await.unwrap() {
        RoundEnd::Done(done) => {
            let mean = done.mean();
            done.acknowledge(next_model()).await.unwrap();
            mean
        }
        RoundEnd::Aborted(_) => panic!("aborted"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_has_only_seen_another_manifest_takes_the_one_of_the_others() {
    let trio = Trio::start().await;
    let other = another_manifest(&trio);
    trio.site(0).open_round(trio.base, 600).await.unwrap();
    let victim = shown(&trio, 2, other.clone());
    assert_eq!(victim.join(FIRST).await.unwrap().manifest(), &other.statement);
    drop(victim);
    // All three sites are needed.
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, FIRST).await.unwrap();
    }
    let means = finish(&sites, FIRST).await;
    assert!(!means[0].is_empty() && means[0] == means[2]);
}

/// What it has signed binds it: it takes no other manifest until a certificate names one.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_contributed_under_another_manifest_follows_the_certificate() {
    let trio = Trio::start_of(5, |draft| draft.review_seconds = 4).await;
    let other = another_manifest(&trio);
    // The fifth sends nothing that is taken: collecting lasts until the deadline.
    trio.site(0).open_round(trio.base, 20).await.unwrap();
    let victim = shown(&trio, 4, other.clone());
    let joined = victim.join(FIRST).await.unwrap();
    // The aggregator does not take it: it has another manifest.
    joined.contribute(trio.base, &update(4), |_| ()).await.unwrap_err();
    drop(victim);
    let victim = trio.site_with(4, |membership| membership.patience = Duration::from_secs(60));
    assert_eq!(victim.join(FIRST).await.unwrap().manifest(), &other.statement);

    let sites: Vec<Site> = (0..4).map(|k| trio.site(k)).collect();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, FIRST).await.unwrap();
    }
    let held = join_all(sites.iter().map(|site| site.hold(FIRST)));
    held.await.into_iter().for_each(|held| _ = held.unwrap());
    let means = join_all(sites.iter().map(mean_of)).await;
    assert_eq!(mean_of(&victim).await, means[0]);
    // It is among the sites of the next round.
    let transport = trio.transport().round(trio.study_id(), FIRST).manifest().await.unwrap();
    assert_eq!(victim.join(FIRST).await.unwrap().manifest(), &transport.statement);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_was_shown_another_freeze_follows_the_certificate() {
    let trio = Trio::start_of(5, |_| ()).await;
    let sites: Vec<Site> = (0..5).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, FIRST).await.unwrap();
    }
    let transport = trio.transport();
    let at = transport.round(trio.study_id(), FIRST);
    let freeze = loop {
        match at.freeze().await {
            Ok(freeze) => break freeze,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let mut sites = sites;
    drop(sites.pop());
    // As if the aggregator had signed it: what is on disk has been checked.
    let false_one = Freeze {
        frozen_at: UnixSeconds(freeze.statement.frozen_at.0 + 1),
        ..freeze.statement.clone()
    };
    let false_one = trio.identity(0).sign(false_one);
    let journal = Journal::open(&trio.folder.path().join("state-4")).unwrap();
    let of_round = journal.round(trio.study_id(), FIRST).unwrap();
    of_round.save_freeze(&false_one).unwrap();
    drop((of_round, journal));

    let held = join_all(sites.iter().map(|site| site.hold(FIRST)));
    held.await.into_iter().for_each(|held| _ = held.unwrap());
    let means = join_all(sites.iter().map(mean_of)).await;
    let victim = trio.site(4);
    assert_eq!(mean_of(&victim).await, means[0]);
    drop(victim);
    let journal = Journal::open(&trio.folder.path().join("state-4")).unwrap();
    let of_round = journal.round(trio.study_id(), FIRST).unwrap();
    assert_eq!(of_round.freeze().unwrap().unwrap(), freeze);
}

//! A site spoils a round: what a dispute survives, and what comes of it for those who were away.

use futures_util::future::join_all;
use ringfence_clock::Clock;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::statement::ManifestError;
use ringfence_federation::liar::{Liar, Misdeed, Rubbish};
use ringfence_keys::open::Evidence;
use ringfence_site::transport::Transport;
use ringfence_site::{Done, RoundEnd, Site, SiteError};
use std::time::Duration;

use crate::liar;
use crate::trio::{Trio, next_model, update};

const ROUND: RoundNumber = RoundNumber(0);

/// Whose contribution is not as it should be: b's.
const CULPRIT: usize = 1;

pub(crate) const SPOILS: Misdeed = Misdeed {
    rubbish: Some(Rubbish::Noise(1000)),
    wrong_shares: 0,
    no_shares: 0,
    wrong_check_words: false,
};

async fn five() -> Trio {
    Trio::start_of(5, |draft| draft.review_seconds = 10).await
}

fn patient(trio: &Trio, k: usize) -> Site {
    trio.site_with(k, |membership| membership.patience = Duration::from_secs(90))
}

/// Opens the round; all five contribute, b with a misdeed.
async fn contributed(trio: &Trio, misdeed: Misdeed) -> Vec<Site> {
    let sites: Vec<Site> = (0..5).map(|k| patient(trio, k)).collect();
    contribute(trio, &sites, misdeed).await;
    sites
}

/// The same of sites that are there.
pub(crate) async fn contribute(trio: &Trio, sites: &[Site], misdeed: Misdeed) {
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        if k != CULPRIT {
            trio.contribute(site, k, ROUND).await.unwrap();
            continue;
        }
        let liar = Liar { site, identity: &trio.identity(k) };
        liar.contribute(ROUND, &update(k), misdeed).await.unwrap();
    }
}

async fn hold(sites: &[Site]) {
    let held = join_all(sites.iter().map(|site| site.hold(ROUND))).await;
    held.into_iter().for_each(|held| assert!(held.unwrap().opened));
}

async fn finish(site: &Site) -> Done<'_> {
    match site.join(ROUND).await.unwrap().finish().await.unwrap() {
        RoundEnd::Done(done) => done,
        RoundEnd::Aborted(_) => panic!("the round was aborted"),
    }
}

/// The mean must be that of these sites' updates; its bits.
fn mean_of(done: &Done<'_>, sites: &[usize]) -> Vec<u32> {
    let updates: Vec<Vec<f32>> = sites.iter().map(|site| update(*site)).collect();
    let mean = done.mean();
    for (index, value) in mean.iter().enumerate() {
        let expected = updates.iter().map(|of| of[index]).sum::<f32>() / sites.len() as f32;
        assert!((value - expected).abs() < 1e-4, "value {index}: {value} for {expected}");
    }
    mean.into_iter().map(f32::to_bits).collect()
}

fn culprit() -> SiteId {
    "b".parse().unwrap()
}

async fn status(trio: &Trio) -> RoundStatus {
    trio.transport().round(trio.study_id(), ROUND).status().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_was_away_for_the_dispute_catches_up() {
    let trio = five().await;
    let sites = contributed(&trio, SPOILS).await;
    let (away, there) = sites.split_last().unwrap();
    hold(there).await;
    let ends = join_all(there.iter().map(finish)).await;
    let (mean, trust) = (mean_of(&ends[0], &[0, 2, 3, 4]), ends[0].trust.clone());
    assert_eq!(trust.barred, [culprit()]);
    for done in ends {
        assert_eq!((mean_of(&done, &[0, 2, 3, 4]), &done.trust), (mean.clone(), &trust));
        assert_eq!(done.evidence[0].against(), Some(&culprit()));
        done.acknowledge(next_model()).await.unwrap();
    }
    // Q sites hold one model: no dispute is endorsed any more.
    let done = finish(away).await;
    assert_eq!((mean_of(&done, &[0, 2, 3, 4]), &done.trust), (mean, &trust));
    assert!(matches!(done.evidence[..], [Evidence::Format { .. }]), "{:?}", done.evidence);
    done.acknowledge(next_model()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_crashes_in_a_dispute_goes_on_where_it_was() {
    let trio = five().await;
    let mut sites = contributed(&trio, SPOILS).await;
    hold(&sites).await;
    let crashing = sites.pop().unwrap();
    let restarted = async {
        let endorsed = async {
            while !status(&trio).await.disputes.iter().any(|of| of.disputing.len() == 5) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            biased;
            () = endorsed => {}
            done = finish(&crashing) => drop(done),
        }
        drop(crashing);
        patient(&trio, 4)
    };
    let (ends, restarted) = tokio::join!(join_all(sites.iter().map(finish)), restarted);
    let done = finish(&restarted).await;
    let mean = mean_of(&done, &[0, 2, 3, 4]);
    assert!(ends.iter().all(|end| mean_of(end, &[0, 2, 3, 4]) == mean && end.trust == done.trust));
    let [dispute] = &status(&trio).await.disputes[..] else { panic!("one dispute") };
    assert!(dispute.judged && dispute.disputing.len() == 5, "{dispute:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_beyond_their_limits_are_named_too() {
    let trio = five().await;
    let misdeed = Misdeed { rubbish: Some(Rubbish::Huge(200)), ..SPOILS };
    let sites = contributed(&trio, misdeed).await;
    hold(&sites).await;
    for done in join_all(sites.iter().map(finish)).await {
        mean_of(&done, &[0, 2, 3, 4]);
        assert_eq!(done.trust.barred, [culprit()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_check_words_bar_their_site_and_its_body_counts() {
    let trio = five().await;
    let misdeed = Misdeed { wrong_check_words: true, ..Misdeed::default() };
    let sites = contributed(&trio, misdeed).await;
    hold(&sites).await;
    for done in join_all(sites.iter().map(finish)).await {
        mean_of(&done, &[0, 1, 2, 3, 4]);
        assert!(done.proceedings.removed().is_empty());
        assert_eq!(done.trust.barred, [culprit()]);
        assert!(matches!(done.evidence[..], [Evidence::CheckWords { .. }]), "{:?}", done.evidence);
        done.acknowledge(next_model()).await.unwrap();
    }
    // It has neither its turn nor a contribution in the next round.
    let refused = sites[CULPRIT].open_round(next_model(), 600).await.unwrap_err();
    assert!(matches!(refused, SiteError::Barred { .. }), "{refused}");
    let status = sites[2].open_round(next_model(), 600).await.unwrap();
    assert_eq!((status.round, status.initiator.as_str()), (RoundNumber(1), "c"));
    let joined = sites[CULPRIT].join(RoundNumber(1)).await.unwrap();
    let refused = joined.contribute(next_model(), &update(1), |_| ()).await.unwrap_err();
    assert!(matches!(refused, SiteError::Barred { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_that_the_aggregator_hides_is_missed_in_the_next_manifest() {
    let trio = five().await;
    let mut sites = contributed(&trio, SPOILS).await;
    hold(&sites).await;
    for done in join_all(sites.iter().map(finish)).await {
        done.acknowledge(next_model()).await.unwrap();
    }
    sites[2].open_round(next_model(), 600).await.unwrap();
    drop(sites.pop());
    let url = liar::start(trio.aggregator.url(), |asked, answer| {
        if asked.is_round_status() {
            answer.alter(|status: &mut RoundStatus| status.disputes.clear());
        }
    });
    let misled = trio.site_with(4, |membership| {
        membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
    });
    let refused = misled.join(RoundNumber(1)).await.unwrap_err();
    assert!(matches!(refused, SiteError::Manifest(ManifestError::Trust { .. })), "{refused}");
    drop(misled);
    patient(&trio, 4).join(RoundNumber(1)).await.unwrap();
}

//! Shares that are wrong, by a dealer's doing or by the aggregator's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use ringfence_clock::Clock;
use ringfence_crypto::api::EnvelopeFrame;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::round::SiteSet;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Header;
use ringfence_crypto::wire::{frame, json};
use ringfence_federation::liar::{Liar, Misdeed};
use ringfence_site::transport::Transport;
use ringfence_site::{HoldReport, RoundEnd, Site, SiteError};

use crate::liar;
use crate::trio::{Trio, update};

const ROUND: RoundNumber = RoundNumber(0);

async fn five() -> (Trio, Vec<Site>) {
    let trio = Trio::start_of(5, |draft| draft.review_seconds = 60).await;
    let patience = Duration::from_secs(60);
    let sites: Vec<Site> =
        (0..5).map(|k| trio.site_with(k, |membership| membership.patience = patience)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    (trio, sites)
}

async fn held(sites: &[Site]) -> Vec<HoldReport> {
    let held = join_all(sites.iter().map(|site| site.hold(ROUND))).await;
    held.into_iter().collect::<Result<_, _>>().unwrap()
}

/// b cheats a, and c = 1: b or a is corrupt, and nobody can say which. Both are set aside as
/// holders, and the sum opens over all. What each holder reports.
async fn cheated(misdeed: Misdeed) -> Vec<HoldReport> {
    let (trio, sites) = five().await;
    for (k, site) in sites.iter().enumerate() {
        let liar = Liar { site, identity: &trio.identity(k) };
        let misdeed = if k == 1 { misdeed } else { Misdeed::default() };
        liar.contribute(ROUND, &update(k), misdeed).await.unwrap();
    }
    let reports = held(&sites).await;
    for site in &sites {
        let RoundEnd::Done(done) = site.join(ROUND).await.unwrap().finish().await.unwrap() else {
            panic!("the round was aborted")
        };
        let [pair] = &done.trust.pairs[..] else { panic!("{:?}", done.trust) };
        assert_eq!((pair.holder.as_str(), pair.dealer.as_str()), ("a", "b"));
        assert!(done.trust.barred.is_empty() && done.reviews_file.as_ref().unwrap().is_file());
        assert_eq!(done.sites().count(), 5);
        let updates = [0, 1, 2, 3, 4].map(update);
        for (index, value) in done.mean().iter().enumerate() {
            let expected = updates.iter().map(|update| update[index]).sum::<f32>() / 5.0;
            assert!((value - expected).abs() < 1e-4, "value {index}: {value} for {expected}");
        }
    }
    reports
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_share_for_as_many_holders_as_may_lie_makes_a_pair() {
    let reports = cheated(Misdeed { wrong_shares: 1, ..Misdeed::default() }).await;
    // It is well-formed: only the masked answers show it.
    assert!(reports.iter().all(|report| report.opened && report.complaints.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_was_dealt_no_share_complains_and_the_others_open() {
    let reports = cheated(Misdeed { no_shares: 1, ..Misdeed::default() }).await;
    let (own, others) = reports.split_first().unwrap();
    assert_eq!((own.complaints.len(), own.opened), (1, false));
    assert_eq!(own.cheated_by, [own.complaints[0].dealer().clone()]);
    assert!(others.iter().all(|report| report.opened && report.complaints.is_empty()));
}

/// One holder is shown an altered envelope, again and again: it complains about nobody, endorses
/// nothing, and goes on once the aggregator shows it what its dealer sent.
#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_that_the_aggregator_altered_is_no_reason_to_complain() {
    let (trio, mut sites) = five().await;
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, ROUND).await.unwrap();
    }
    drop(sites.pop());
    let url = liar::start(trio.aggregator.url(), |asked, answer| {
        if asked.method == "GET" && asked.path.ends_with("/contributions/b/envelopes/e") {
            answer.bytes[40] ^= 1;
        }
        if asked.path.contains("/dealt/e") {
            let mut list: EnvelopeFrame = frame::decode(&answer.bytes, "envelopes").unwrap();
            list.envelopes[1][40] ^= 1;
            answer.bytes = frame::encode(&list).unwrap();
        }
    });
    let misled = trio.site_with(4, |membership| {
        membership.patience = Duration::from_secs(3);
        membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
    });
    let error = misled.hold(ROUND).await.unwrap_err();
    assert!(matches!(error, SiteError::Envelope(_)), "{error}");
    let own: SiteId = "e".parse().unwrap();
    let status = trio.transport().round(trio.study_id(), ROUND).status().await.unwrap();
    let did = |set: &SiteSet| set.contains(&misled.study().roster, &own);
    assert!(!did(&status.reviewed) && !did(&status.endorsed), "{status:?}");
    drop(misled);

    // The dealer's envelopes are damaged on the aggregator's disk as well: it sends them again.
    let folder = trio.folder.path().join("aggregator/data/studies");
    let envelopes = folder.join(trio.study_id().to_string()).join("0/envelopes/b");
    std::fs::write(envelopes, b"short").unwrap();
    sites.push(trio.site_with(4, |membership| membership.patience = Duration::from_secs(60)));
    let reports = held(&sites).await;
    assert!(reports.iter().all(|report| report.opened && report.complaints.is_empty()));
    let RoundEnd::Done(done) = sites[4].join(ROUND).await.unwrap().finish().await.unwrap() else {
        panic!("the round was aborted")
    };
    assert!(done.trust.barred.is_empty() && done.trust.pairs.is_empty(), "{:?}", done.trust);
    assert_eq!(done.sites().count(), 5);
}

/// Alters a list of headers or of envelopes, whole or not.
fn alter_list(path: &str, bytes: &mut Vec<u8>, whole: bool) {
    if path.contains("/headers?") {
        let mut headers: Vec<Signed<Header>> = json::parse(bytes, usize::MAX, "headers").unwrap();
        match whole {
            // Signed by another, so to speak.
            true => headers.iter_mut().for_each(|of| of.statement.body_bytes += 1),
            false => headers.truncate(1),
        }
        *bytes = json::compact(&headers);
    }
    if path.contains("/dealt/") {
        match whole {
            true => bytes.iter_mut().skip(16).step_by(999).for_each(|of| *of ^= 1),
            false => bytes.truncate(100),
        }
    }
}

/// Lists of headers and of envelopes save requests. One that is cut short, unreadable or altered
/// accuses nobody: each header and envelope is asked for by itself then. So it is where it came along
/// with a status.
#[tokio::test(flavor = "multi_thread")]
async fn lists_that_the_aggregator_alters_are_asked_for_one_by_one() {
    let (trio, mut sites) = five().await;
    for (k, site) in sites.iter().enumerate().skip(1) {
        trio.contribute(site, k, ROUND).await.unwrap();
    }
    drop(sites.split_off(2));
    let asked_alone = Arc::new(AtomicU32::new(0));
    let came_along = Arc::new(AtomicU32::new(0));
    for (k, whole) in [(2, false), (3, true), (4, true)] {
        let (count, came) = (Arc::clone(&asked_alone), Arc::clone(&came_along));
        let lie = move |asked: &liar::Asked<'_>, answer: &mut liar::Answer| {
            if asked.path.contains("/contributions/") && asked.method == "GET" {
                count.fetch_add(1, Ordering::SeqCst);
            }
            match asked.asks_with() {
                true => answer.alter_brought(|path, bytes| {
                    came.fetch_add(u32::from(path.contains("/dealt/")), Ordering::SeqCst);
                    alter_list(path, bytes, whole);
                }),
                false => alter_list(asked.path, &mut answer.bytes, whole),
            }
        };
        let url = match k {
            4 => liar::start_bringing(trio.aggregator.url(), lie),
            _ => liar::start(trio.aggregator.url(), lie),
        };
        sites.push(trio.site_with(k, |membership| {
            membership.patience = Duration::from_secs(60);
            membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
        }));
    }
    // They wait for it, so that lists come along.
    let last = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        trio.contribute(&sites[0], 0, ROUND).await.unwrap();
    };
    let (reports, ()) = tokio::join!(held(&sites), last);
    assert!(reports.iter().all(|report| report.opened && report.complaints.is_empty()));
    assert!(asked_alone.load(Ordering::SeqCst) >= 5 * 5, "{asked_alone:?}");
    assert_eq!(came_along.load(Ordering::SeqCst), 1);
    for site in &sites {
        let RoundEnd::Done(done) = site.join(ROUND).await.unwrap().finish().await.unwrap() else {
            panic!("the round was aborted")
        };
        assert!(done.trust.barred.is_empty() && done.trust.pairs.is_empty(), "{:?}", done.trust);
    }
}

/// The attack that the masked reviews are for: c dealers each cheat c holders, so that together
/// more openings would be wrong than can be corrected. The dealer that a holder which is not set
/// aside accuses is left out; the other's victims are set aside already, and its shares count.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_cheating_dealers_as_may_be_corrupt_stop_no_round() {
    let trio = Trio::start_of(9, |draft| draft.review_seconds = 60).await;
    assert_eq!(trio.study.study.threshold.collusion, 2);
    let patience = Duration::from_secs(90);
    let sites: Vec<Site> =
        (0..9).map(|k| trio.site_with(k, |membership| membership.patience = patience)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        // b cheats a and c, e cheats a and b.
        let wrong_shares = if [1, 4].contains(&k) { 2 } else { 0 };
        let liar = Liar { site, identity: &trio.identity(k) };
        let misdeed = Misdeed { wrong_shares, ..Misdeed::default() };
        liar.contribute(ROUND, &update(k), misdeed).await.unwrap();
    }
    held(&sites).await;
    let RoundEnd::Done(done) = sites[8].join(ROUND).await.unwrap().finish().await.unwrap() else {
        panic!("the round was aborted")
    };
    let [pair] = &done.trust.pairs[..] else { panic!("{:?}", done.trust) };
    assert_eq!((pair.holder.as_str(), pair.dealer.as_str()), ("a", "b"));
    assert!(done.trust.barred.is_empty(), "{:?}", done.trust);
    let left: Vec<&str> = done.sites().map(SiteId::as_str).collect();
    assert_eq!(left, ["a", "c", "d", "e", "f", "g", "h", "i"]);
    let counted = [0, 2, 3, 4, 5, 6, 7, 8].map(update);
    for (index, value) in done.mean().iter().enumerate() {
        let expected = counted.iter().map(|update| update[index]).sum::<f32>() / 8.0;
        assert!((value - expected).abs() < 1e-4, "value {index}: {value} for {expected}");
    }
}
